// The owner's choice: which clips may leave, from when until when, and what is blurred in them.
import { el } from "../dom.js";
import { clockTenths, lengthText, t } from "../i18n.js";
import { blurPart } from "./blur.js";
import { lastPictureUs, momentPicture } from "./moment.js";

const STEP_S = 0.1;
const SHORTEST_S = 0.5;

/** `offer` is of all clips; `chosen` is the choice so far. `look(choice)` shows what would leave. */
export function choicePart(offer, chosen, { look, leave }) {
  const audio = el("input", { type: "checkbox", checked: Boolean(chosen.audio) });
  const rows = offer.clips.map((clip) => clipRow(clip, chosen.clips === undefined ? {} : chosen.clips[clip.id]));
  const choice = () => ({ clips: Object.fromEntries(rows.map((row) => row.entry()).filter(Boolean)), audio: audio.checked });
  return el("section", { id: "choice" }, el("h2", {}, t("choose")),
    el("p", { class: "hint" }, t("choice_help")),
    rows.map((row) => row.node),
    el("label", { class: "check" }, audio, t("choice_sound")), el("p", { class: "hint" }, t("choice_sound_help")),
    el("div", { class: "buttons" },
      el("button", { class: "quiet", onclick: leave }, t("cancel")),
      el("button", { id: "choice-show", onclick: () => look(choice()) }, t("choice_look"))));
}

/** One clip; `piece` is what was chosen of it before: undefined if it was left out. */
function clipRow(clip, piece) {
  const beginMs = Date.parse(clip.start);
  const longest = Math.ceil((Date.parse(clip.end) - beginMs) / 100) / 10;
  const at = (seconds) => new Date(beginMs + seconds * 1000);
  const secondsOf = (text, otherwise) => (text ? Math.min(longest, Math.max(0, (Date.parse(text) - beginMs) / 1000)) : otherwise);
  const name = t("clip_of", { from: clockTenths(at(0)), until: clockTenths(at(longest)) });
  const picture = momentPicture(clip, t("picture_moment"));
  const caption = el("figcaption", { class: "hint" });
  const on = el("input", { type: "checkbox", checked: piece !== undefined, onchange: () => draw() });
  const slider = (side, value) => el("input", { type: "range", min: 0, max: longest, step: STEP_S, value, "aria-label": `${t(`piece_${side}`)} (${name})` });
  const from = slider("from", secondsOf(piece?.start, 0));
  const until = slider("until", secondsOf(piece?.end, longest));
  const texts = [from, until].map(() => el("strong", { class: "clock" }));
  const length = el("p", { class: "hint" });
  const blur = blurPart(clip, name, piece?.blur);
  const gap = Math.min(SHORTEST_S, longest);

  const draw = () => {
    [from, until].forEach((input, index) => {
      texts[index].textContent = clockTenths(at(Number(input.value)));
      input.setAttribute("aria-valuetext", texts[index].textContent);
      input.disabled = !on.checked;
    });
    length.textContent = on.checked ? t("piece_length", { length: lengthText(Number(until.value) - Number(from.value)) }) : t("piece_left_out");
  };
  const showAt = (seconds) => {
    picture.show(Math.min(lastPictureUs(clip), clip.first_us + seconds * 1e6));
    caption.textContent = t("picture_at", { when: clockTenths(at(seconds)) });
  };
  from.addEventListener("input", () => {
    until.value = Math.max(Number(until.value), Number(from.value) + gap);
    from.value = Math.min(Number(from.value), Number(until.value) - gap);
    draw();
    showAt(Number(from.value));
  });
  until.addEventListener("input", () => {
    from.value = Math.min(Number(from.value), Number(until.value) - gap);
    until.value = Math.max(Number(until.value), Number(from.value) + gap);
    draw();
    showAt(Number(until.value));
  });
  draw();
  showAt(Number(from.value));
  const iso = (seconds) => at(seconds).toISOString();
  return {
    node: el("div", { class: "choice" },
      el("label", { class: "check" }, on, name),
      el("figure", {}, el("div", { class: "stage" }, picture.node), caption),
      el("p", { class: "piece" }, `${t("piece_from")} `, texts[0]), from,
      el("p", { class: "piece" }, `${t("piece_until")} `, texts[1]), until,
      length, blur.node),
    // An end that was not moved stays the offer's own, which is finer than a millisecond.
    entry: () => on.checked && [clip.id, {
      start: Number(from.value) === 0 ? clip.start : iso(Number(from.value)),
      end: Number(until.value) >= longest ? clip.end : iso(Number(until.value)),
      blur: blur.shapes(),
    }],
  };
}
