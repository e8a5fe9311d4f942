// Blurred areas of a clip: rectangles, drawn on its middle picture or moved with the keyboard.
import { el, icon, show, svg } from "../dom.js";
import { t } from "../i18n.js";

const MAX = 8;
const MIN = 0.02;
const SIDES = ["left", "top", "right", "bottom"];
const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;

/** The part of the choice that blurs one clip; `shapes()` gives corners as the API wants them. */
export function blurPart(clip, when) {
  const boxes = clip.blur.map((shape) => {
    const [xs, ys] = [0, 1].map((axis) => shape.map((corner) => corner[axis] / 1e6));
    return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
  });
  const middle = Math.round((clip.first_us + clip.last_us) / 2);
  const picture = el("img", { class: "frame", draggable: false, alt: t("picture_between"), loading: "lazy",
    src: `/api/clips/${encodeURIComponent(clip.id)}/picture.jpg?at_us=${middle}` });
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
  const details = el("details", { class: "blur" }, el("summary", {}, t("blur_title", { when })), el("p", { class: "hint" }, t("blur_help")),
    el("div", { class: "stage editor" }, picture, board), list, el("div", { class: "buttons" }, add));
  details.open = boxes.length > 0;
  draw();
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
