// One visit in a list: its picture, its time, and what happened.
import { el, icon } from "./dom.js";
import { clock, lengthText, t } from "./i18n.js";
import { isRecording, noClipText } from "./recording.js";

/** What a visit was, in a few words. */
export function visitWords(visit) {
  if (visit.presses > 1) return t("visit_rings", { count: visit.presses });
  if (visit.presses) return t("visit_ring");
  if (visit.motions) return visit.zones.length ? t("visit_motion_in", { zones: visit.zones.join(", ") }) : t("visit_motion");
  return t("visit_recorded");
}

export function visitLength(visit) {
  return visit.clips.reduce((sum, clip) => sum + clip[2], 0) / 1000;
}

/** The picture of a visit's first clip; made by the doorbell on demand, so it may come a little later. */
export function thumbnail(clipId) {
  const image = el("img", { alt: "", width: 160, height: 90, decoding: "async", class: "thumbnail" });
  let tries = 0;
  const path = `/api/clips/${encodeURIComponent(clipId)}/thumbnail.jpg?soon=true`;
  image.addEventListener("load", () => {
    const empty = image.naturalWidth <= 1;
    image.classList.toggle("missing", empty);
    tries += 1;
    if (empty && tries < 8) setTimeout(() => { if (image.isConnected) image.src = `${path}&again=${tries}`; }, 400 * tries);
  });
  image.src = path;
  return image;
}

export function visitRow(visit) {
  const seconds = visitLength(visit);
  return el("a", { class: "visit", href: `#/visit/${visit.id}`, "data-visit": visit.id },
    visit.clips.length ? thumbnail(visit.clips[0][0]) : el("span", { class: "thumbnail none" }, icon(isRecording(visit.id) ? "record" : "nothing")),
    el("span", { class: "what" },
      el("span", { class: "time" }, clock(visit.at_ms)),
      el("span", { class: "words" }, icon(visit.presses ? "bell" : visit.motions ? "motion" : "record"), visitWords(visit)),
      el("span", { class: "more" },
        visit.clips.length ? lengthText(seconds) : noClipText(visit.id, visit.no_clip),
        visit.starred && el("span", { class: "starred" }, icon("star"), el("span", { class: "unseen" }, t("starred"))))));
}
