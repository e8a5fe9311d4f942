// The Visits view: all visits of one day, newest first, with the hours above the list to jump to.
import { ask, getVisits } from "../api.js";
import { dayOf, pickDay } from "../calendar.js";
import { el, icon, show } from "../dom.js";
import { dayName, hourSpan, t } from "../i18n.js";
import { onSwipe } from "../swipe.js";
import { rowId, visitRow } from "../visit-row.js";
import { virtualList } from "../virtual-list.js";

/** As high as a row in style.css, which grows with the reader's own text size. */
export const rowPx = () => Math.max(92, 5.75 * parseFloat(getComputedStyle(document.documentElement).fontSize));
// A bar that a finger can hit is this wide; where 24 have no room, one bar stands for two hours.
const BAR_PX = 24;
const FILTERS = {
  all: () => true,
  rings: (visit) => visit.press > 0,
  motion: (visit) => visit.motions > 0 && !visit.press,
  starred: (visit) => visit.starred,
};

export async function mount(container, doorbell, [asked]) {
  const today = dayOf(new Date());
  const day = asked || today;
  if (!isDay(day) || day > today) {
    show(container, el("h1", {}, t("nav_visits")),
      el("p", { role: "alert" }, isDay(day) ? t("day_future", { day: dayName(new Date(`${day}T12:00:00`)) }) : t("day_wrong", { asked: day })),
      el("p", {}, el("a", { class: "button quiet", href: "#/visits" }, t("today"))));
    return () => {};
  }
  const begin = new Date(`${day}T00:00:00`);
  const end = new Date(begin);
  end.setDate(end.getDate() + 1);
  let filter = sessionStorage.getItem("visits-filter") ?? "all";
  let visits = [];
  let shown = [];

  const box = el("div", { class: "scroller", id: "day", tabIndex: -1 });
  const hours = el("div", { class: "hours", role: "group", "aria-label": t("hours") });
  const message = el("p", { role: "status", class: "message" });
  const chips = el("div", { class: "chips", role: "group", "aria-label": t("filter") });
  const list = virtualList(box, rowPx(), (index) => visitRow(shown[index]));

  const draw = (stay) => {
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.row : null;
    shown = visits.filter(FILTERS[filter]);
    list.update(shown.length, { stay });
    if (focused) list.focus(Math.max(0, shown.findIndex((visit) => rowId(visit) === focused)));
    message.textContent = shown.length ? t("visits_count", { count: shown.length })
      : visits.length ? t("nothing_with_filter") : t(day === today ? "nobody_today" : "nobody_that_day");
    drawHours(hours, shown, (lastHour) => {
      const index = shown.findIndex((visit) => new Date(visit.at_ms).getHours() <= lastHour);
      list.scrollTo(Math.max(0, index));
      list.focus(Math.max(0, index));
    });
    show(chips, Object.keys(FILTERS).map((name) =>
      el("button", {
        class: "chip", "aria-pressed": String(filter === name), "data-filter": name,
        onclick: () => { filter = name; sessionStorage.setItem("visits-filter", name); draw(); },
      }, t(`filter_${name}`))));
  };
  const load = async (stay) => {
    visits = await getVisits(begin, end);
    draw(stay);
  };

  const move = (days) => {
    const other = new Date(begin);
    other.setDate(other.getDate() + days);
    doorbell.go(`#/visits/${dayOf(other)}`);
  };
  const choose = async () => {
    const chosen = await pickDay(day);
    if (chosen && chosen !== day) doorbell.go(`#/visits/${chosen}`);
  };
  box.addEventListener("keydown", async (event) => {
    const index = list.indexOf(document.activeElement);
    if (index < 0) return;
    const visit = shown[index];
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -shown.length, End: shown.length };
    if (event.key in steps) {
      event.preventDefault();
      list.focus(index + steps[event.key]);
    } else if (event.key === "s" && visit.clips.length) {
      await starVisit(visit);
      draw(true);
    }
  });
  onSwipe(box, (toTheRight) => {
    if (toTheRight) move(-1);
    else if (day < today) move(1);
  });
  const watching = new ResizeObserver(() => { if (visits.length && hours.childElementCount !== barsIn(hours)) draw(true); });
  watching.observe(hours);

  show(container,
    el("div", { class: "day" },
      el("button", { class: "quiet", onclick: () => move(-1), "aria-label": t("day_before") }, icon("left")),
      el("h1", {}, day === today ? t("today") : dayName(begin)),
      el("button", { class: "quiet", onclick: () => move(1), disabled: day >= today, "aria-label": t("day_after") }, icon("right"))),
    el("div", { class: "chips" },
      el("button", { class: "chip", id: "pick-day", onclick: choose }, icon("visits"), t("choose_day")),
      el("a", { class: "button chip", href: "#/across" }, icon("star"), t("visits_across")),
      el("a", { class: "button chip", download: `doorbell-${day}.zip`, href: `/api/archive.zip?from_wall_us=${begin.getTime() * 1000}&until_wall_us=${end.getTime() * 1000}&name=doorbell-${day}` }, icon("download"), t("download_day"))),
    chips, hours, message, box);
  await load();
  let timer = 0;
  const stopFacts = doorbell.onFact((fact) => {
    if (!(day === today && /press|motion_started|clip_|recording/.test(fact.kind)) && fact.kind !== "clip_deleted") return;
    clearTimeout(timer);
    timer = setTimeout(() => load(true).catch(() => { /* shown when the doorbell is reachable again */ }), 300);
  });
  return () => { stopFacts(); clearTimeout(timer); list.stop(); watching.disconnect(); };
}

/** Give every clip of a visit the star, or take it from all. */
export async function starVisit(visit) {
  const on = !visit.starred;
  for (const clip of visit.clips) {
    await ask("PUT", `/clips/${encodeURIComponent(clip[0])}/star`, { on });
    clip[3] = Number(on);
  }
  visit.starred = on;
}

/** Is a text a day of the calendar? 2026-02-31 is none. */
function isDay(text) {
  return /^\d{4}-\d\d-\d\d$/.test(text) && dayOf(new Date(`${text}T12:00:00`)) === text;
}

const barsIn = (container) => (container.clientWidth >= 24 * BAR_PX ? 24 : 12);

function drawHours(container, visits, jump) {
  const bars = barsIn(container);
  const step = 24 / bars;
  const counts = new Array(bars).fill(0);
  for (const visit of visits) counts[Math.floor(new Date(visit.at_ms).getHours() / step)] += 1;
  const most = Math.max(1, ...counts);
  show(container, counts.map((count, index) => {
    const hour = index * step;
    const label = t("hour_count", { hours: hourSpan(hour, hour + step), count });
    const bar = el("span", { class: "bar" });
    bar.style.height = `${count ? 12 + (88 * count) / most : 0}%`;
    return el("button", {
      class: "hour", disabled: !count, onclick: () => jump(hour + step - 1), "aria-label": label, title: label,
    }, el("span", { class: "column" }, bar), hour % 6 === 0 && el("span", { class: "mark", "aria-hidden": "true" }, String(hour)));
  }));
}
