// Forms whose changes are saved by a button: leaving asks while one differs from what was loaded or saved.
import { dialog, el } from "./dom.js";
import { t } from "./i18n.js";

let forms = []; // [node, read, what it read when it was last saved]

function fieldsOf(node) {
  const fields = [...node.querySelectorAll("input, select, textarea")].filter(({ type }) => type !== "file");
  return JSON.stringify(fields.map((field) => (field.type === "checkbox" ? field.checked : field.value)));
}

/** From here on, leaving `node` asks while what `read` returns differs; without `read`: its fields. Returns the node. */
export function asksBeforeLeaving(node, read = () => fieldsOf(node)) {
  forms = forms.filter(([other]) => other !== node && other.isConnected);
  forms.push([node, read, read()]);
  return node;
}

/** What `node`, or the form that it is in, holds has been saved. */
export function saved(node) {
  for (const form of forms) if (form[0].contains(node)) form[2] = form[1]();
}

export function hasUnsaved() {
  return forms.some(([node, read, before]) => node.isConnected && read() !== before);
}

/** Ask whether to leave; true if what is not saved may be lost. */
export async function mayLeave() {
  const leaves = await dialog(t("unsaved_title"), (close) => el("div", {},
    el("p", {}, t("unsaved_text")),
    el("div", { class: "buttons" },
      el("button", { class: "quiet danger", id: "unsaved-leave", onclick: () => close(true) }, t("unsaved_leave")),
      el("button", { id: "unsaved-stay", onclick: () => close(false) }, t("unsaved_stay")))));
  if (leaves) forms = [];
  return Boolean(leaves);
}

addEventListener("beforeunload", (event) => { if (hasUnsaved()) event.preventDefault(); });
