// The page: who is asking, which view, and what the doorbell tells while it is open.
import { get, keepOpen, setToken, Unreachable, whenSignedOut } from "./api.js";
import { el, icon, show } from "./dom.js";
import { loadLanguage, t } from "./i18n.js";
import { announceNotice } from "./notice.js";
import { announceRing, dismissRing, prepareSound } from "./ring.js";

const VIEWS = {
  door: { icon: "door", load: () => import("./views/door.js") },
  visits: { icon: "visits", load: () => import("./views/visits.js") },
  requests: { icon: "requests", load: () => import("./views/requests.js") },
  health: { icon: "health", load: () => import("./views/health.js") },
  settings: { icon: "settings", load: () => import("./views/settings.js") },
};
const MORE = {
  visit: () => import("./views/visit.js"),
  zones: () => import("./views/zones.js"),
  request: () => import("./views/request.js"),
  senders: () => import("./views/senders.js"),
  ledger: () => import("./views/ledger.js"),
  backups: () => import("./views/backups.js"),
};
const BELONGS_TO = { visit: "visits", zones: "settings", backups: "settings", request: "requests", senders: "requests", ledger: "requests" };

const app = document.getElementById("app");
const listeners = new Set();
const house = {
  session: null,
  status: null,
  /** Be told each fact of the log while the page is open; returns how to stop. */
  onFact(call) { listeners.add(call); return () => listeners.delete(call); },
  async refresh() {
    house.status = await get("/status");
    for (const call of listeners) call({ kind: "status" });
    return house.status;
  },
  go(place) { location.hash = place; },
};
let leave = () => {};
let stopEvents = () => {};
let turn = 0;

async function start() {
  await loadLanguage();
  whenSignedOut(enter);
  navigator.serviceWorker?.register("/sw.js").catch(() => { /* not over plain HTTP from elsewhere: then without */ });
  await enter();
}

async function enter() {
  stopEvents();
  leave();
  leave = () => {};
  turn += 1;
  try {
    house.session = await get("/session");
  } catch (error) {
    show(app, el("main", { class: "alone" }, el("h1", {}, t("app")), el("p", { role: "alert" }, error.message),
      el("button", { onclick: enter }, t("try_again"))));
    return;
  }
  document.title = house.session.name;
  setToken(house.session.token);
  if (!house.session.signed_in) {
    const { mount } = await import("./views/enter.js");
    mount(app, house, async () => { await enter(); });
    return;
  }
  frame();
  stopEvents = keepOpen("/events", { onText: heard, onOpen: online, onClose: offline });
  addEventListener("hashchange", route);
  document.addEventListener("pointerdown", prepareSound, { once: true });
  house.refresh().catch(() => { /* the line at the top says it */ });
  await route();
}

function frame() {
  const links = Object.entries(VIEWS).map(([name, view]) =>
    el("a", { href: `#/${name === "door" ? "" : name}`, "data-view": name }, icon(view.icon), el("span", {}, t(`nav_${name}`))));
  show(app,
    el("a", { class: "skip", href: "#view", onclick: skip }, t("skip")),
    el("header", {},
      el("p", { class: "name" }, house.session.name),
      el("p", { id: "line", role: "status" })),
    el("nav", { "aria-label": t("navigation") }, links),
    el("main", { id: "view", tabIndex: -1 }),
  );
}

function skip(event) {
  event.preventDefault();
  document.getElementById("view").focus();
}

async function route() {
  const place = document.getElementById("view");
  if (!place) return;
  const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const found = name || "door";
  const load = VIEWS[found]?.load ?? MORE[found] ?? VIEWS.door.load;
  const tab = BELONGS_TO[found] ?? found;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave();
  leave = () => {};
  dismissRing();
  const mine = ++turn;
  const { mount } = await load();
  if (mine !== turn) return;
  place.className = `view-${found}`;
  show(place);
  try {
    const left = await mount(place, house, rest);
    if (mine === turn) leave = left ?? (() => {});
    else left?.();
  } catch (error) {
    if (mine !== turn) return;
    show(place, el("p", { role: "alert", class: "error" }, error.message),
      el("button", { onclick: route }, t("try_again")));
    if (!(error instanceof Unreachable) && !error.code) throw error;
  }
  place.scrollTo?.(0, 0);
}

function heard(text) {
  const fact = JSON.parse(text);
  if (!fact.kind) return;
  for (const call of listeners) call(fact);
  if (fact.kind === "press") announceRing(house, fact);
  if (fact.kind === "notice_heard" && fact.announce) announceNotice(fact.notice);
  if (/fault|setting|config/.test(fact.kind)) house.refresh().catch(() => { /* the line says it */ });
}

let lost = 0;
function online() {
  clearTimeout(lost);
  const line = document.getElementById("line");
  if (line) show(line);
  house.refresh().catch(() => { /* it has just gone again */ });
}

function offline() {
  clearTimeout(lost);
  // A restart takes two seconds; only what lasts is worth a word.
  lost = setTimeout(() => {
    const line = document.getElementById("line");
    if (line) show(line, icon("away"), el("span", {}, t("offline")));
  }, 1500);
}

await start();
