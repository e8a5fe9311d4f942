// A ring that nobody heard over MQTT, or that Home Assistant missed: shown until it is dismissed, or for a day.
import { el, icon, show } from "./dom.js";
import { t, whenText } from "./i18n.js";

const DAY_MS = 86_400_000;
const SEEN = "missed-ring-seen";

/** Show the last missed ring of a status in `place`; nothing if there is none, or if it was dismissed. */
export function showMissedRing(place, missed) {
  const at = missed && new Date(missed.occurred_at);
  if (!missed || localStorage.getItem(SEEN) === missed.occurred_at || Date.now() - at > DAY_MS) {
    show(place);
    return;
  }
  if (place.dataset.at === missed.occurred_at) return; // a button in it may have the focus
  place.dataset.at = missed.occurred_at;
  show(place, el("div", { class: "fault missed-ring" }, icon("bell"), el("div", {},
    el("p", {}, t("missed_ring", { time: whenText(at) })),
    el("p", { class: "hint" }, t(`story_missed_${missed.reason}`)),
    el("p", { class: "buttons" },
      el("a", { class: "button quiet", href: `#/visit/${missed.event_id}` }, t("ring_see")),
      el("button", {
        class: "quiet", onclick: () => {
          localStorage.setItem(SEEN, missed.occurred_at);
          show(place);
        },
      }, t("dismiss"))))));
}
