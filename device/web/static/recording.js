// Which visits the doorbell is recording, as it has said, and why others have no clip.
import { t, worded } from "./i18n.js";

let eventIds = new Set();

/** Keep what the doorbell reported: by /status, and by each change. */
export function setRecording(reported) { eventIds = new Set(reported); }

export const isRecording = (eventId) => eventIds.has(eventId);

/** Why a visit has no clip; `reason` is that of its newest clip_dropped or clip_deleted, if it has one. */
export function noClipText(eventId, reason) {
  if (isRecording(eventId)) return t("clip_being_recorded");
  return (reason && worded(`no_clip_${reason}`)) ?? t("visit_no_clip");
}

/** What a row of the log says about a clip that was not recorded, or only in part, or was deleted. */
export function lossText(row) {
  const name = row.kind === "clip_deleted" ? "deleted" : "dropped";
  return worded(`clip_${name}_${row.reason}`, row.params) ?? t("story_dropped", { reason: row.text ?? row.reason });
}
