// Zones and masks, drawn on the camera's present picture.
import { get } from "../api.js";
import { changeSettings } from "../config.js";
import { el, icon, show, svg } from "../dom.js";
import { t } from "../i18n.js";
import { asksBeforeLeaving } from "../unsaved.js";

const MAX_CORNERS = 32;
const KEY_STEP = 0.01;
const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;

export async function mount(container, doorbell) {
  const config = Object.fromEntries((await get("/config")).map((row) => [row.key, row.value]));
  let shapes = [
    ...config.zones.map((zone) => ({ ...zone })),
    ...config.masks.map((mask) => ({ ...mask, kind: "mask" })),
  ];
  const before = JSON.stringify(shapes);
  let chosen = shapes.length ? 0 : -1;
  let drawing = null;

  const picture = el("img", { class: "frame", alt: t("zones_picture"), draggable: false });
  const board = svg("svg", { class: "board", viewBox: "0 0 1000 1000", preserveAspectRatio: "none", id: "board" });
  const list = el("ul", { class: "shapes", "aria-label": t("zones_list") });
  const form = el("div", { class: "shape-form" });
  const message = el("p", { role: "status", class: "message", id: "zones-message" });
  const hint = el("p", { class: "hint" });
  const save = el("button", { id: "save-zones", onclick: store }, t("save"));
  const refreshPicture = () => { picture.src = `/api/snapshot.jpg?at=${Date.now()}`; };
  picture.addEventListener("error", () => { message.textContent = t("zones_no_picture"); });

  const at = (event) => {
    const frame = board.getBoundingClientRect();
    return [share((event.clientX - frame.left) / frame.width), share((event.clientY - frame.top) / frame.height)];
  };
  const text = (points) => points.map(([x, y]) => `${x * 1000},${y * 1000}`).join(" ");

  function draw() {
    show(board, shapes.map((shape, index) => svg("polygon", {
      points: text(shape.points), class: `shape ${shape.kind}${index === chosen ? " chosen" : ""}`,
      onpointerdown: (event) => { if (!drawing) { choose(index); moveWhole(event, shape); } },
    })), drawing && svg("polyline", { points: text(drawing.points), class: `shape ${drawing.kind} chosen drawing` }));
    const handles = document.querySelector(".handles");
    const current = drawing ?? shapes[chosen];
    show(handles, (current?.points ?? []).map(([x, y], corner) => {
      const handle = el("button", {
        class: "handle", type: "button", "aria-label": t("corner", { number: corner + 1, x: Math.round(x * 100), y: Math.round(y * 100) }),
        onpointerdown: (event) => { if (!drawing) dragCorner(event, current, corner); else if (corner === 0) finish(); },
        onkeydown: (event) => moveByKey(event, current, corner),
      });
      handle.style.left = `${x * 100}%`;
      handle.style.top = `${y * 100}%`;
      return handle;
    }));
    hint.textContent = drawing ? t("zones_drawing_hint") : shapes.length ? t("zones_hint") : t("zones_empty_hint");
    drawList();
    drawForm();
    save.disabled = JSON.stringify(shapes) === before || Boolean(drawing);
  }

  function choose(index) {
    chosen = index;
    draw();
  }

  function follow(event, moved, done) {
    event.preventDefault();
    const move = (moving) => { moved(at(moving)); drawOnly(); };
    const up = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", up);
      removeEventListener("pointercancel", up);
      draw();
      done?.();
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up);
    addEventListener("pointercancel", up);
  }

  // During a drag only the moving parts are updated: a new handle would lose the finger.
  function drawOnly() {
    const current = shapes[chosen];
    board.querySelectorAll("polygon")[chosen]?.setAttribute("points", text(current.points));
    document.querySelectorAll(".handle").forEach((handle, corner) => {
      handle.style.left = `${current.points[corner][0] * 100}%`;
      handle.style.top = `${current.points[corner][1] * 100}%`;
    });
  }

  function dragCorner(event, shape, corner) {
    follow(event, (point) => { shape.points[corner] = point; });
  }

  function moveWhole(event, shape) {
    const [fromX, fromY] = at(event);
    const points = shape.points.map((point) => [...point]);
    follow(event, ([x, y]) => {
      const dx = Math.min(1 - Math.max(...points.map((p) => p[0])), Math.max(-Math.min(...points.map((p) => p[0])), x - fromX));
      const dy = Math.min(1 - Math.max(...points.map((p) => p[1])), Math.max(-Math.min(...points.map((p) => p[1])), y - fromY));
      shape.points = points.map((point) => [share(point[0] + dx), share(point[1] + dy)]);
    });
  }

  function moveByKey(event, shape, corner) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in steps) {
      event.preventDefault();
      const [x, y] = shape.points[corner];
      const [dx, dy] = steps[event.key];
      shape.points[corner] = [share(x + dx * KEY_STEP), share(y + dy * KEY_STEP)];
    } else if (["Delete", "Backspace"].includes(event.key) && shape.points.length > 3) {
      event.preventDefault();
      shape.points.splice(corner, 1);
    } else return;
    draw();
    document.querySelectorAll(".handle")[Math.min(corner, shape.points.length - 1)]?.focus();
  }

  board.addEventListener("pointerdown", (event) => {
    if (!drawing) return;
    event.preventDefault();
    if (drawing.points.length < MAX_CORNERS) drawing.points.push(at(event));
    draw();
  });

  function begin(kind) {
    drawing = { name: freeName(kind), kind, points: [], ...(kind === "mask" ? {} : { sensitivity: 0.5 }) };
    chosen = -1;
    draw();
  }

  function freeName(kind) {
    for (let number = 1; ; number += 1) {
      const name = t(`new_${kind}`, { number });
      if (!shapes.some((shape) => shape.name === name)) return name;
    }
  }

  function finish() {
    if (drawing.points.length >= 3) {
      shapes.push(drawing);
      chosen = shapes.length - 1;
    }
    drawing = null;
    draw();
  }

  function drawList() {
    show(list, shapes.map((shape, index) => el("li", {},
      el("button", { class: "chip", "aria-pressed": String(index === chosen), onclick: () => choose(index) },
        el("span", { class: `swatch ${shape.kind}` }), `${shape.name} (${t(`zone_${shape.kind}`)})`))));
  }

  function drawForm() {
    if (drawing) {
      show(form, el("div", { class: "buttons" },
        el("button", { class: "quiet", onclick: () => { drawing = null; draw(); } }, t("cancel")),
        el("button", { id: "finish-shape", disabled: drawing.points.length < 3, onclick: finish }, t("zones_finish"))));
      return;
    }
    const shape = shapes[chosen];
    if (!shape) {
      show(form);
      return;
    }
    const name = el("input", { id: "shape-name", value: shape.name, maxLength: 64, onchange: () => { shape.name = name.value.trim() || shape.name; draw(); } });
    const middle = el("button", {
      class: "quiet", disabled: shape.points.length >= MAX_CORNERS, onclick: () => { addCorner(shape); draw(); },
    }, t("zones_add_corner"));
    show(form,
      el("label", { htmlFor: "shape-name" }, t("name")), name,
      shape.kind !== "mask" && [
        el("label", { htmlFor: "shape-kind" }, t("zones_kind")),
        el("select", { id: "shape-kind", onchange: (event) => { shape.kind = event.target.value; draw(); } },
          ["include", "ignore"].map((kind) => el("option", { value: kind, selected: shape.kind === kind }, t(`zone_${kind}`)))),
      ],
      shape.kind === "include" && [
        el("label", { htmlFor: "shape-sensitivity" }, t("sensitivity")),
        el("input", {
          id: "shape-sensitivity", type: "range", min: 0, max: 1, step: 0.05, value: shape.sensitivity,
          onchange: (event) => { shape.sensitivity = Number(event.target.value); draw(); },
        }),
      ],
      el("div", { class: "buttons" }, middle,
        el("button", { class: "quiet danger", onclick: () => { shapes.splice(chosen, 1); chosen = -1; draw(); } }, t("zones_remove"))));
  }

  function addCorner(shape) {
    // In the middle of the longest side.
    let longest = 0;
    let side = 0;
    shape.points.forEach(([x, y], index) => {
      const [nextX, nextY] = shape.points[(index + 1) % shape.points.length];
      const length = Math.hypot(nextX - x, nextY - y);
      if (length > longest) { longest = length; side = index; }
    });
    const [a, b] = [shape.points[side], shape.points[(side + 1) % shape.points.length]];
    shape.points.splice(side + 1, 0, [share((a[0] + b[0]) / 2), share((a[1] + b[1]) / 2)]);
  }

  async function store() {
    save.disabled = true;
    const zones = shapes.filter((shape) => shape.kind !== "mask");
    const masks = shapes.filter((shape) => shape.kind === "mask").map(({ name, points }) => ({ name, points }));
    const changes = { zones };
    if (JSON.stringify(masks) !== JSON.stringify(config.masks)) changes.masks = masks;
    try {
      if (await changeSettings(changes) === null) {
        save.disabled = false;
        return;
      }
      message.textContent = t("zones_saved");
      await mount(container, doorbell);
      document.getElementById("zones-message").textContent = t("zones_saved");
    } catch (error) {
      message.textContent = error.message;
      save.disabled = false;
    }
  }

  show(container,
    el("p", {}, el("a", { href: "#/settings", class: "back" }, icon("left"), t("nav_settings"))),
    el("h1", {}, t("zones_title")),
    el("p", { class: "lead" }, t("zones_lead")),
    el("div", { class: "stage editor" }, picture, board, el("div", { class: "handles" })),
    hint,
    el("div", { class: "buttons" },
      el("button", { class: "quiet", id: "add-include", onclick: () => begin("include") }, icon("plus"), t("zones_add_include")),
      el("button", { class: "quiet", id: "add-ignore", onclick: () => begin("ignore") }, icon("plus"), t("zones_add_ignore")),
      el("button", { class: "quiet", id: "add-mask", onclick: () => begin("mask") }, icon("plus"), t("zones_add_mask")),
      el("button", { class: "quiet", onclick: refreshPicture }, t("zones_new_picture"))),
    list, form,
    el("div", { class: "buttons end" }, save), message);
  refreshPicture();
  draw();
  asksBeforeLeaving(form, () => JSON.stringify([shapes, drawing?.points]));
}
