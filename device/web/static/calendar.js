// A month to choose a day from; days with rings and with other visits are marked.
import { get } from "./api.js";
import { dialog, el, icon, show } from "./dom.js";
import { dayName, firstWeekday, monthName, t, weekdayLetters } from "./i18n.js";

export const dayOf = (date) => `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;

/** Show the calendar at the month of `day`; resolves to the chosen day, null if it was left. */
export function pickDay(day) {
  return dialog(t("choose_day"), (close) => {
    let month = new Date(`${day.slice(0, 7)}-01T12:00:00`);
    const box = el("div", { class: "calendar" });
    const draw = async (focus) => {
      drawMonth(box, month, day, new Map(), { close, move });
      const shown = month;
      const marks = await marksOf(month).catch(() => new Map()); // without marks it is still a calendar
      if (shown !== month) return;
      drawMonth(box, month, day, marks, { close, move });
      if (focus) box.querySelector(focus)?.focus();
    };
    const move = (months, focus) => {
      month = new Date(month.getFullYear(), month.getMonth() + months, 1, 12);
      draw(focus);
    };
    draw("[aria-current]");
    return el("div", {}, box,
      el("p", { class: "hint legend" }, el("span", { class: "mark ring" }), t("calendar_ring"), el("span", { class: "mark" }), t("calendar_visit")),
      el("div", { class: "buttons end" }, el("button", { class: "quiet", onclick: () => close(null) }, t("cancel"))));
  });
}

/** Which days of a month had a ring ("ring") or only other visits ("visit"). */
async function marksOf(month) {
  const begin = new Date(month.getFullYear(), month.getMonth(), 1);
  const end = new Date(month.getFullYear(), month.getMonth() + 1, 1);
  const marks = new Map();
  for (const [beginS, , rang] of await get(`/calendar?from_wall_us=${begin.getTime() * 1000}&until_wall_us=${end.getTime() * 1000}`)) {
    const day = dayOf(new Date(beginS * 1000));
    if (rang || !marks.has(day)) marks.set(day, rang ? "ring" : "visit");
  }
  return marks;
}

function drawMonth(box, month, chosen, marks, { close, move }) {
  const today = dayOf(new Date());
  const first = new Date(month.getFullYear(), month.getMonth(), 1, 12);
  const lead = (first.getDay() - firstWeekday() + 7) % 7;
  const count = new Date(month.getFullYear(), month.getMonth() + 1, 0).getDate();
  const cells = Array.from({ length: count }, (_, index) => {
    const date = new Date(first.getFullYear(), first.getMonth(), index + 1, 12);
    const day = dayOf(date);
    const mark = marks.get(day);
    return el("button", {
      class: "quiet", disabled: day > today, "aria-current": day === chosen ? "date" : undefined, "data-day": day,
      "aria-label": mark ? `${dayName(date)}, ${t(`calendar_${mark}`)}` : dayName(date),
      onclick: () => close(day),
    }, String(index + 1), mark && el("span", { class: mark === "ring" ? "mark ring" : "mark" }));
  });
  const last = dayOf(new Date(month.getFullYear(), month.getMonth() + 1, 1, 12)) > today;
  show(box,
    el("div", { class: "day" },
      el("button", { class: "quiet before", onclick: () => move(-1, ".before"), "aria-label": t("month_before") }, icon("left")),
      el("p", { class: "month", role: "status" }, monthName(month)),
      el("button", { class: "quiet after", disabled: last, onclick: () => move(1, ".after"), "aria-label": t("month_after") }, icon("right"))),
    el("div", { class: "month-grid" },
      weekdayLetters().map((letter) => el("span", { class: "weekday", "aria-hidden": "true" }, letter)),
      Array.from({ length: lead }, () => el("span", {})), cells));
}
