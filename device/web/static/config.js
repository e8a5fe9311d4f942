// Changing settings. What a change deletes is shown before, and confirmed with the password; it waits for an hour.
import { ask, askWithRecentPassword } from "./api.js";
import { dialog, el, icon } from "./dom.js";
import { bytesText, clock, number, t, whenText } from "./i18n.js";

const UNITS = { "storage.limit_bytes": bytesText, "storage.reserve_bytes": bytesText };

/** Change settings (dotted key → value); null if the owner cancels. */
export async function changeSettings(changes) {
  const found = await ask("POST", "/config/effects", { changes });
  return confirmed(found, "PATCH", "/config", { changes });
}

/** Undo the last change; null if the owner cancels. */
export async function undoChange() {
  const found = await ask("POST", "/config/undo/effects");
  return confirmed(found, "POST", "/config/undo", {});
}

function confirmed({ effects, deletion }, method, path, body) {
  if (deletion) return confirmDeletion(deletion, (password) => ask(method, path, { ...body, password }));
  const asks = Object.values(effects).some((effect) => effect !== "closes");
  return (asks ? askWithRecentPassword : ask)(method, path, body);
}

function confirmDeletion(deletion, send) {
  const goes = deletion.clips
    ? t("deletion_clips", { count: deletion.clips, clips: number(deletion.clips), all: number(deletion.of_clips), size: bytesText(deletion.bytes),
      oldest: whenText(new Date(deletion.oldest_at)), newest: whenText(new Date(deletion.newest_at)) })
    : t("deletion_nothing");
  const some = deletion.clips || deletion.pictures || deletion.log_rows;
  return dialog(t(some ? "deletion_title" : "deletion_title_none"), (close) => {
    const password = el("input", { id: "deletion-password", type: "password", autocomplete: "current-password", required: true });
    const message = el("p", { class: "error", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      try {
        close(await send(password.value));
      } catch (error) {
        message.textContent = error.message;
        password.select();
      }
    };
    return el("form", { onsubmit: submit },
      el("p", { id: "deletion-goes" }, el("strong", {}, goes)),
      deletion.pictures > 0 && el("p", {}, t("deletion_pictures", { count: deletion.pictures, pictures: number(deletion.pictures) })),
      deletion.log_rows > 0 && el("p", {}, t("deletion_log", { count: deletion.log_rows, rows: number(deletion.log_rows) })),
      el("p", {}, t("deletion_wait", { when: clock(Date.now() + deletion.wait_s * 1000) })),
      el("label", { htmlFor: "deletion-password" }, t("password")), password, message,
      el("div", { class: "buttons" },
        el("button", { type: "button", class: "quiet", onclick: () => close(null) }, t("cancel")),
        el("button", { type: "submit", class: "danger" }, t("deletion_confirm"))));
  });
}

/** Return a card for each storage limit that waits, with a button that keeps the one in force if `keep` is given. */
export function waitingLimits(status, keep) {
  return (status?.storage.waiting ?? []).map((limit) => {
    const amount = UNITS[limit.key] ?? ((value) => number(value, 0));
    const text = t("limit_waits", { name: t(`limit_${limit.key.split(".")[1]}`), now: amount(limit.in_force), coming: amount(limit.coming),
      when: clock(Date.now() + limit.wait_s * 1000) });
    return el("article", { class: "fault", "data-waits": limit.key }, icon("warning"), el("div", {}, el("p", {}, text),
      keep ? el("button", { class: "quiet", onclick: keep }, icon("undo"), t("limit_keep")) : el("p", {}, el("a", { href: "#/settings" }, t("limit_keep_link")))));
  });
}
