// Snooze: the chime is silent for an hour. Presses are still reported and recorded.
import { ask } from "./api.js";
import { el, icon } from "./dom.js";
import { clock, t } from "./i18n.js";

const HOUR_MS = 3_600_000;

/** Silence the chime for an hour from now, or end that. */
async function setQuiet(doorbell, on) {
  await ask("PUT", "/switches/quiet_until", { value: on ? new Date(Date.now() + HOUR_MS).toISOString() : "" });
  await doorbell.refresh();
}

/** A button that begins an hour of quiet, or shows until when it is quiet and ends that. */
export function quietButton(doorbell, { done = () => {}, failed, ...properties }) {
  const until = doorbell.status?.settings.quiet_until;
  const button = el("button", {
    "aria-pressed": String(Boolean(until)), "data-switch": "quiet_until", ...properties,
    onclick: async () => {
      button.disabled = true;
      try {
        await setQuiet(doorbell, !until);
        done();
      } catch (error) {
        failed(error.message);
      }
      button.disabled = false;
    },
  }, icon("mute"), until ? t("snoozed", { time: clock(new Date(until)) }) : t("snooze"));
  return button;
}
