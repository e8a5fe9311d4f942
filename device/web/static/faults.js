// Active faults: cards that say what is wrong and what to do, and the mark on the tab of the Health view.
import { el, icon, show } from "./dom.js";
import { faultTexts, t, whenText } from "./i18n.js";

export function faultCard(fault) {
  const { text, remedy } = faultTexts(fault);
  return el("article", { class: "fault" }, icon("warning"), el("div", {},
    el("p", {}, el("strong", {}, text)),
    remedy && el("p", {}, t("what_to_do", { remedy })),
    el("p", { class: "hint" }, t("since", { when: whenText(new Date(fault.since)) }))));
}

/** A part of the Door view: the active faults, the newest first, and how many more the Health view has. */
export function faultsPart(doorbell) {
  const part = el("div", { class: "faults", role: "status" });
  let drawn = "";
  const draw = () => {
    const faults = [...(doorbell.status?.faults ?? [])].sort((a, b) => b.since.localeCompare(a.since));
    // A live region speaks whatever is put into it, so only changes are.
    const now = JSON.stringify(faults);
    if (now === drawn) return;
    drawn = now;
    show(part, faults.slice(0, 2).map(faultCard),
      faults.length > 2 && el("p", {}, el("a", { href: "#/health" }, t("faults_more", { count: faults.length - 2 }))));
  };
  draw();
  return { node: part, stop: doorbell.onFact((fact) => { if (fact.kind === "status") draw(); }) };
}

export function faultMark(doorbell) {
  const count = doorbell.status.faults.length;
  doorbell.mark("health", count, t("faults_count", { count }));
}

/** Why there are no pictures, in the words of the camera's fault. */
export function cameraText(status) {
  const fault = status.faults.find(({ code }) => code === "camera_down");
  if (status.camera.state === "down" && fault) return faultTexts(fault).text;
  return t(`camera_${status.camera.state}`);
}
