// Backups to the owner's own targets: list, add (with the password), stop.
import { acting } from "../act.js";
import { ask, askWithRecentPassword, get } from "../api.js";
import { el, icon, show } from "../dom.js";
import { bytesText, t } from "../i18n.js";
import { asksBeforeLeaving } from "../unsaved.js";

const FIELDS = ["name", "url", "user", "secret", "age", "host_key"];

export async function mount(container) {
  const message = el("p", { role: "status", class: "message", id: "backups-message" });
  const act = acting(message, () => draw());
  const draw = async () => {
    const targets = await get("/destinations");
    show(container,
      el("p", {}, el("a", { href: "#/settings", class: "back" }, icon("left"), t("nav_settings"))),
      el("h1", {}, t("backups")),
      message,
      el("p", {}, t("backups_help")),
      targets.length === 0 && el("p", { class: "empty" }, t("backups_none")),
      targets.map((target) => el("section", {}, el("h2", {}, target.name),
        el("dl", { class: "facts" }, [
          [t("fact_place"), target.url], [t("fact_kind"), target.kind], [t("fact_sealed"), target.age],
          [t("fact_way"), t(target.outside ? "way_courier" : "way_home")],
          [t("fact_stored"), t("backups_stored", { count: target.stored, size: bytesText(target.stored_bytes), waiting: target.waiting })],
        ].map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])),
        el("div", { class: "buttons" }, el("button", { class: "quiet danger",
          onclick: () => act(() => ask("DELETE", `/destinations/${encodeURIComponent(target.name)}`), "backup_ended") }, t("backup_end"))))),
      addPart(act));
  };
  await draw();
}

function addPart(act) {
  const fields = Object.fromEntries(FIELDS.map((name) => [name, el("input", {
    id: `backup-${name}`, autocomplete: "off", spellcheck: false, type: name === "secret" ? "password" : "text" })]));
  const kind = el("select", { id: "backup-kind" }, ["webdav", "sftp", "s3"].map((name) => el("option", { value: name }, t(`kind_${name}`))));
  const limit = el("input", { id: "backup-limit", type: "number", min: 0, value: 0, inputMode: "numeric" });
  const add = () => act(() => askWithRecentPassword("POST", "/destinations", {
    ...Object.fromEntries(FIELDS.map((name) => [name, fields[name].value.trim()])),
    kind: kind.value, limit_bytes: Math.round(Number(limit.value) * 1e9) }), "backup_added");
  return asksBeforeLeaving(el("section", {}, el("h2", {}, t("backup_add")), el("p", { class: "hint" }, t("backup_add_help")),
    el("label", { htmlFor: "backup-kind" }, t("fact_kind")), kind,
    FIELDS.map((name) => [el("label", { htmlFor: `backup-${name}` }, t(`backup_${name}`)), fields[name]]),
    el("label", { htmlFor: "backup-limit" }, t("backup_limit")), limit,
    el("div", { class: "buttons" }, el("button", { id: "backup-save", onclick: add }, t("backup_add")))));
}
