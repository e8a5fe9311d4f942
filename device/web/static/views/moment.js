// The picture of a clip at a time, while the time is being dragged.
import { el } from "../dom.js";

/** `show(at_us)`: the newest wanted picture is loaded as soon as the one before has come; those between are left out. */
export function momentPicture(clip, alt) {
  let wanted = null;
  let loading = false;
  const load = () => {
    loading = wanted !== null;
    if (loading) picture.src = pictureOf(clip, wanted);
    wanted = null;
  };
  const picture = el("img", { class: "frame", draggable: false, alt, onload: load, onerror: load });
  return { node: picture, show(at) { wanted = Math.round(at); if (!loading) load(); } };
}

/** A picture of a clip as it would leave: with its masks, and with what is blurred. */
export function pictureOf(clip, at, shapes = []) {
  const blur = shapes.map((shape) => `&blur=${shape.map(([x, y]) => `${x / 1e6},${y / 1e6}`).join(",")}`).join("");
  return `/api/clips/${encodeURIComponent(clip.id)}/picture.jpg?at_us=${at}${blur}`;
}

/** When the last picture of an offered clip begins; at its end there is none. */
export function lastPictureUs(clip) {
  return Math.max(clip.first_us, clip.last_us - Math.round((clip.last_us - clip.first_us) / clip.frames));
}
