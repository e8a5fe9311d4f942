// Blurred areas of a clip: rectangles, drawn on the picture of any moment or moved with the keyboard.
import { el, icon, show, svg } from "../dom.js";
import { clockTenths, t } from "../i18n.js";
import { lastPictureUs, momentPicture } from "./moment.js";

const MAX = 8;
const MIN = 0.02;
const SIDES = ["left", "top", "right", "bottom"];
const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;

/** The part of the choice that blurs one clip; `drawn` and `shapes()` are corners as the API has them. */
export function blurPart(clip, name, drawn = []) {
  const boxes = drawn.map((shape) => {
    const [xs, ys] = [0, 1].map((axis) => shape.map((corner) => corner[axis]));
    return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
  });
  const picture = momentPicture(clip, t("picture_moment"));
  const lengthS = (clip.last_us - clip.first_us) / 1e6;
  const when = el("span", { class: "clock" });
  const moment = el("input", { type: "range", min: 0, max: Math.ceil(lengthS * 10) / 10, step: 0.1, value: lengthS / 2, "aria-label": `${t("blur_moment")} (${name})`,
    oninput: () => showMoment() });
  const showMoment = () => {
    const seconds = Number(moment.value);
    when.textContent = clockTenths(new Date(Date.parse(clip.start) + seconds * 1000));
    moment.setAttribute("aria-valuetext", when.textContent);
    if (details.open) picture.show(Math.min(lastPictureUs(clip), clip.first_us + seconds * 1e6));
  };
  const board = svg("svg", { class: "board", viewBox: "0 0 1000 1000", preserveAspectRatio: "none" });
  const list = el("ul", { class: "blurs" });
  const draw = () => {
    show(board, boxes.map((box) => svg("rect", { class: "shape mask", x: box.left * 1000, y: box.top * 1000,
      width: (box.right - box.left) * 1000, height: (box.bottom - box.top) * 1000 })));
    show(list, boxes.map((box, number) => el("li", {},
      SIDES.map((side) => el("label", {}, t(`blur_${side}`), el("input", { type: "number", min: 0, max: 100, step: 1,
        value: Math.round(box[side] * 100), onchange: (event) => { box[side] = share(Number(event.target.value) / 100); tidy(box); draw(); } }))),
      el("button", { type: "button", class: "quiet", "aria-label": t("blur_remove", { number: number + 1 }), onclick: () => { boxes.splice(number, 1); draw(); } },
        icon("delete")))));
    add.disabled = boxes.length >= MAX;
  };
  const add = el("button", { type: "button", class: "quiet", onclick: () => { boxes.push({ left: 0.4, top: 0.3, right: 0.6, bottom: 0.7 }); draw(); } }, t("blur_add"));
  const at = (event) => {
    const frame = board.getBoundingClientRect();
    return [share((event.clientX - frame.left) / frame.width), share((event.clientY - frame.top) / frame.height)];
  };
  board.addEventListener("pointerdown", (event) => {
    if (boxes.length >= MAX) return;
    const [x, y] = at(event);
    const box = { left: x, top: y, right: x, bottom: y };
    boxes.push(box);
    board.setPointerCapture(event.pointerId);
    const move = (moved) => {
      const [nowX, nowY] = at(moved);
      Object.assign(box, { left: Math.min(x, nowX), right: Math.max(x, nowX), top: Math.min(y, nowY), bottom: Math.max(y, nowY) });
      draw();
    };
    board.addEventListener("pointermove", move);
    board.addEventListener("pointerup", () => {
      board.removeEventListener("pointermove", move);
      if (box.right - box.left < MIN || box.bottom - box.top < MIN) boxes.splice(boxes.indexOf(box), 1);
      draw();
    }, { once: true });
  });
  const details = el("details", { class: "blur", ontoggle: () => showMoment() },
    el("summary", {}, t("blur_title", { clip: name })), el("p", { class: "hint" }, t("blur_help")),
    el("div", { class: "stage editor" }, picture.node, board),
    el("p", { class: "piece" }, `${t("blur_moment")} `, when), moment,
    list, el("div", { class: "buttons" }, add));
  details.open = boxes.length > 0;
  draw();
  showMoment();
  return {
    node: details,
    shapes: () => boxes.map(({ left, top, right, bottom }) => [[left, top], [right, top], [right, bottom], [left, bottom]]),
  };
}

/** Keep a box a box: its right is right of its left. */
function tidy(box) {
  [box.left, box.right] = [Math.min(box.left, box.right), Math.max(box.left, box.right)];
  [box.top, box.bottom] = [Math.min(box.top, box.bottom), Math.max(box.top, box.bottom)];
}
