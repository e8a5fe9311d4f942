// Readers: clients of the home network that may read pictures. List, add (with the password), revoke.
import { acting } from "../act.js";
import { ask, askWithRecentPassword, get } from "../api.js";
import { el, icon, show } from "../dom.js";
import { t, whenText } from "../i18n.js";

const SCOPES = ["snapshot", "live", "rtsp", "sound"];

export async function mount(container) {
  const message = el("p", { role: "status", class: "message", id: "readers-message" });
  let added = null;
  const act = acting(message, () => draw());
  const draw = async () => {
    const readers = await get("/readers");
    show(container,
      el("p", {}, el("a", { href: "#/settings", class: "back" }, icon("left"), t("nav_settings"))),
      el("h1", {}, t("readers")),
      el("p", {}, t("readers_help")),
      added && tokenPart(added),
      message,
      readers.length === 0 && el("p", { class: "empty" }, t("readers_none")),
      readers.map((reader) => el("section", {}, el("h2", {}, reader.name),
        el("dl", { class: "facts" }, [
          [t("reader_reads"), reader.scopes.map((scope) => t(`scope_${scope}`)).join(", ")],
          [t("reader_since"), whenText(new Date(reader.added_at * 1000))],
          reader.name !== "mqtt" && [t("reader_used"), reader.used_at ? t("reader_used_at", { when: whenText(new Date(reader.used_at * 1000)), address: reader.peers.at(-1) }) : t("reader_unused")],
        ].filter(Boolean).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])),
        el("div", { class: "buttons" }, el("button", { class: "quiet danger",
          onclick: () => act(() => { added = null; return ask("DELETE", `/readers/${encodeURIComponent(reader.name)}`); }, "reader_revoked") }, t("reader_revoke"))))),
      addPart(act, (answer) => { added = answer; }),
      !readers.some((reader) => reader.name === "mqtt") && brokerPart(act));
  };
  await draw();
}

function tokenPart({ name, token, scopes, port }) {
  const http = [["snapshot", "snapshot.jpg"], ["live", "live.mjpeg"]].filter(([scope]) => scopes.includes(scope));
  return el("section", { id: "reader-token" }, el("h2", {}, t("reader_token", { name })),
    el("p", { class: "hint" }, t("reader_token_help")),
    el("p", { class: "hash" }, token),
    http.length > 0 && el("p", { class: "hint" }, t("reader_token_use", { name })),
    http.map(([, file]) => el("p", { class: "hash" }, `${location.origin}/api/${file}`)),
    scopes.includes("rtsp") && [el("p", { class: "hint" }, t("reader_token_rtsp")),
      el("p", { class: "hash" }, `rtsp://${name}:${token}@${location.hostname}:${port}/live`)]);
}

function addPart(act, keep) {
  const name = el("input", { id: "reader-name", autocomplete: "off", spellcheck: false, maxLength: 32 });
  const boxes = SCOPES.map((scope) => el("input", { type: "checkbox", id: `reader-${scope}`, value: scope, checked: scope === "snapshot" }));
  const add = () => act(async () => {
    const scopes = boxes.filter((box) => box.checked).map((box) => box.value);
    const answer = await askWithRecentPassword("POST", "/readers", { name: name.value.trim(), scopes });
    if (answer === null) return null;
    const port = (await get("/config")).find((row) => row.key === "rtsp.port").value;
    keep({ ...answer, scopes, port });
    return answer;
  }, "reader_added").then(() => document.getElementById("reader-token")?.scrollIntoView());
  return el("section", {}, el("h2", {}, t("reader_add")), el("p", { class: "hint" }, t("reader_add_help")),
    el("label", { htmlFor: "reader-name" }, t("backup_name")), name,
    el("fieldset", {}, el("legend", {}, t("reader_reads")),
      boxes.map((box) => el("label", { class: "check" }, box, t(`scope_${box.value}`)))),
    el("div", { class: "buttons" }, el("button", { id: "reader-save", onclick: add }, t("reader_add"))));
}

function brokerPart(act) {
  const grant = () => act(() => askWithRecentPassword("POST", "/readers", { name: "mqtt", scopes: ["press_picture"] }), "broker_picture_added");
  return el("section", {}, el("h2", {}, t("broker_picture")), el("p", { class: "hint" }, t("broker_picture_help")),
    el("div", { class: "buttons" }, el("button", { class: "quiet", id: "broker-picture", onclick: grant }, t("broker_picture_add"))));
}
