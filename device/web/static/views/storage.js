// The storage part of the Settings view: the limits in force, those that wait, and fields for others.
import { report } from "../act.js";
import { ask } from "../api.js";
import { changeSettings, waitingLimits } from "../config.js";
import { el, icon, show } from "../dom.js";
import { bytesText, t } from "../i18n.js";
import { saved } from "../unsaved.js";

/** Return the section; `value(key)` is a setting's configured value, `message` a line for results. */
export function storagePart(doorbell, value, message) {
  const used = el("p", { class: "hint" });
  const waiting = el("div", { "aria-live": "polite" });
  const limit = el("input", {
    id: "limit", type: "number", min: 0.1, step: 0.1, value: value("storage.limit_bytes") / 1e9, inputMode: "decimal",
  });
  const age = el("input", { id: "age", type: "number", min: 1, max: 3650, step: 1, value: value("storage.longest_age_days"), inputMode: "numeric" });

  const draw = () => {
    const status = doorbell.status;
    if (!status) return;
    used.textContent = t("storage_now", { used: bytesText(status.storage.used_bytes), count: status.storage.clips });
    show(waiting, waitingLimits(status, keep));
  };
  const run = async (call, text, button) => {
    if (button) button.disabled = true;
    try {
      if (await call() !== null) {
        await doorbell.refresh();
        draw();
        if (button) saved(button);
        report(message, t(text));
      }
    } catch (error) {
      report(message, error.message, { error: true });
    }
    if (button) button.disabled = false;
  };
  const keep = () => run(async () => {
    const held = doorbell.status.storage.waiting;
    await ask("POST", "/config/keep-limits");
    for (const { key, in_force } of held) {
      if (key === "storage.limit_bytes") limit.value = in_force / 1e9;
      if (key === "storage.longest_age_days") age.value = in_force;
    }
  }, "limit_kept");
  const save = el("button", { id: "save-storage", onclick: () => run(() => changeSettings({
    "storage.limit_bytes": Math.round(Number(limit.value) * 1e9), "storage.longest_age_days": Math.round(Number(age.value)) }), "saved", save) }, t("save"));

  draw();
  return el("section", {}, el("h2", {}, t("set_storage")), used, waiting,
    el("div", { class: "pair" },
      el("div", {}, el("label", { htmlFor: "limit" }, t("storage_limit")), limit),
      el("div", {}, el("label", { htmlFor: "age" }, t("storage_age")), age)),
    el("p", { class: "hint" }, t("storage_help")),
    el("div", { class: "buttons" }, el("a", { class: "button quiet", href: "#/backups" }, icon("download"), t("backups_link")), save));
}
