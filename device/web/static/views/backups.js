// Backups to places of the owner's own: listed, added with the password, ended with one button.
import { acting } from "../act.js";
import { ask, askGrave, get } from "../api.js";
import { el, icon, show } from "../dom.js";
import { bytesText, t } from "../i18n.js";

const FIELDS = ["name", "url", "user", "secret", "age", "host_key"];

export async function mount(place) {
  const said = el("p", { role: "status", class: "said toast", id: "backups-said" });
  const act = acting(said, () => draw());
  const draw = async () => {
    const places = await get("/destinations");
    show(place,
      el("p", {}, el("a", { href: "#/settings", class: "back" }, icon("left"), t("nav_settings"))),
      el("h1", {}, t("backups")),
      el("p", {}, t("backups_help")),
      places.length === 0 && el("p", { class: "empty" }, t("backups_none")),
      places.map((each) => el("section", {}, el("h2", {}, each.name),
        el("dl", { class: "facts" }, [
          [t("fact_place"), each.url], [t("fact_kind"), each.kind], [t("fact_sealed"), each.age],
          [t("fact_way"), t(each.outside ? "way_courier" : "way_home")],
          [t("fact_stored"), t("backups_stored", { count: each.stored, size: bytesText(each.stored_bytes), waiting: each.waiting })],
        ].map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])),
        el("div", { class: "buttons" }, el("button", { class: "quiet danger",
          onclick: () => act(() => ask("DELETE", `/destinations/${encodeURIComponent(each.name)}`), "backup_ended") }, t("backup_end"))))),
      addPart(act), said);
  };
  await draw();
}

function addPart(act) {
  const fields = Object.fromEntries(FIELDS.map((name) => [name, el("input", {
    id: `backup-${name}`, autocomplete: "off", spellcheck: false, type: name === "secret" ? "password" : "text" })]));
  const kind = el("select", { id: "backup-kind" }, ["webdav", "sftp", "s3"].map((each) => el("option", { value: each }, t(`kind_${each}`))));
  const limit = el("input", { id: "backup-limit", type: "number", min: 0, value: 0, inputMode: "numeric" });
  const add = () => act(() => askGrave("POST", "/destinations", {
    ...Object.fromEntries(FIELDS.map((name) => [name, fields[name].value.trim()])),
    kind: kind.value, limit_bytes: Math.round(Number(limit.value) * 1e9) }), "backup_added");
  return el("section", {}, el("h2", {}, t("backup_add")), el("p", { class: "hint" }, t("backup_add_help")),
    el("label", { htmlFor: "backup-kind" }, t("fact_kind")), kind,
    FIELDS.map((name) => [el("label", { htmlFor: `backup-${name}` }, t(`backup_${name}`)), fields[name]]),
    el("label", { htmlFor: "backup-limit" }, t("backup_limit")), limit,
    el("div", { class: "buttons" }, el("button", { id: "backup-save", onclick: add }, t("backup_add"))));
}
