// Visits of all days: those with a star, rings, or motion, newest first.
import { getVisits } from "../api.js";
import { el, icon, show } from "../dom.js";
import { t, whenText } from "../i18n.js";
import { visitRow } from "../visit-row.js";
import { virtualList } from "../virtual-list.js";
import { rowPx } from "./visits.js";

const KINDS = ["starred", "rings", "motion", "all"];
const AT_ONCE = 500;

export async function mount(container, doorbell, [asked]) {
  const kind = KINDS.includes(asked) ? asked : "starred";
  let visits = [];
  let more = false;
  const box = el("div", { class: "scroller", id: "day", tabIndex: -1 });
  const message = el("p", { role: "status", class: "message" });
  const list = virtualList(box, rowPx(), (index) => visitRow(visits[index], whenText));
  const earlier = el("button", { class: "quiet", hidden: true, onclick: () => load().catch((error) => { message.textContent = error.message; }) }, t("visits_earlier"));
  const load = async () => {
    // What is as old as the last one comes again, in case two have one time; it is left out then.
    const until = visits.length ? visits.at(-1).at_ms + 1 : Date.now() + 60_000;
    const found = await getVisits(0, until, { kind, most: AT_ONCE });
    const known = new Set(visits.map((visit) => `${visit.id}/${visit.press}`));
    const added = found.filter((visit) => !known.has(`${visit.id}/${visit.press}`));
    visits = [...visits, ...added];
    more = found.length === AT_ONCE && added.length > 0;
    list.update(visits.length, { stay: true });
    message.textContent = visits.length ? t(more ? "visits_count_newest" : "visits_count", { count: visits.length }) : t(`nothing_${kind}`);
    earlier.hidden = !more;
  };
  show(container,
    el("p", {}, el("a", { href: "#/visits", class: "back" }, icon("left"), t("nav_visits"))),
    el("h1", {}, t("visits_across")),
    el("div", { class: "chips", role: "group", "aria-label": t("filter") }, KINDS.map((name) =>
      el("a", { class: "button chip", href: `#/across/${name}`, "aria-current": name === kind ? "true" : undefined }, t(`filter_${name}`)))),
    message, box, earlier);
  await load();
  return () => list.stop();
}
