// A row of a list: one ring, or one visit without a ring, with its picture, its time, and what happened.
import { el, icon } from "./dom.js";
import { clock, lengthText, t } from "./i18n.js";
import { isRecording, noClipText } from "./recording.js";

/** What a visit was, in a few words. */
export function visitWords(visit) {
  if (visit.press > 1) return t("visit_ring_again", { number: visit.press });
  if (visit.press) return t("visit_ring");
  if (visit.motions) return visit.zones.length ? t("visit_motion_in", { zones: visit.zones.join(", ") }) : t("visit_motion");
  return t("visit_recorded");
}

export function visitLength(visit) {
  return visit.clips.reduce((sum, clip) => sum + clip[2], 0) / 1000;
}

/** Names a row: a visit has one for each ring. */
export const rowId = (visit) => (visit.press ? `${visit.id}/${visit.press}` : visit.id);

/** The address of the picture of the moment of a ring. */
export const pressPicture = (eventId, press, small = false) =>
  `/api/press-pictures/${encodeURIComponent(eventId)}/${press}.jpg${small ? "?small=true" : ""}`;

function rowPicture(visit) {
  if (visit.picture) return el("img", { alt: "", width: 160, height: 90, decoding: "async", class: "thumbnail", src: pressPicture(visit.id, visit.press, true) });
  if (visit.clips.length) return thumbnail(visit.clips[0][0]);
  return el("span", { class: "thumbnail none" }, icon(isRecording(visit.id) ? "record" : "nothing"));
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

export function visitRow(visit, when = clock) {
  const seconds = visitLength(visit);
  return el("a", { class: "visit", href: `#/visit/${rowId(visit)}`, "data-visit": visit.id, "data-row": rowId(visit) },
    rowPicture(visit),
    el("span", { class: "what" },
      el("span", { class: "time" }, when(visit.at_ms)),
      el("span", { class: "words" }, icon(visit.press ? "bell" : visit.motions ? "motion" : "record"), el("span", { class: "text" }, visitWords(visit))),
      el("span", { class: "more" },
        visit.clips.length ? lengthText(seconds) : noClipText(visit.id, visit.no_clip),
        visit.starred && el("span", { class: "starred" }, icon("star"), el("span", { class: "unseen" }, t("starred"))))));
}
