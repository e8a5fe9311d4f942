// The page: the session, the current view, and the events that the doorbell sends while the page is open.
import { get, keepOpen, setToken, Unreachable, whenSignedOut } from "./api.js";
import { isConnected, lastHeard, onConnection, setConnected, setLost } from "./connection.js";
import { el, icon, show } from "./dom.js";
import { clockSeconds, loadLanguage, t } from "./i18n.js";
import { announceNotice } from "./notice.js";
import { setRecording } from "./recording.js";
import { faultMark } from "./faults.js";
import { enterPlace, followBack, isShown, leavePlace, restorePlace, stayInPlace } from "./places.js";
import { hasUnsaved, mayLeave } from "./unsaved.js";
import { announceRing, dismissRing, prepareSound, showRingPicture } from "./ring.js";

const VIEWS = {
  door: { icon: "door", load: () => import("./views/door.js") },
  visits: { icon: "visits", load: () => import("./views/visits.js") },
  requests: { icon: "requests", load: () => import("./views/requests.js") },
  health: { icon: "health", load: () => import("./views/health.js") },
  settings: { icon: "settings", load: () => import("./views/settings.js") },
};
const MORE = {
  visit: () => import("./views/visit.js"),
  across: () => import("./views/across.js"),
  zones: () => import("./views/zones.js"),
  request: () => import("./views/request.js"),
  senders: () => import("./views/senders.js"),
  ledger: () => import("./views/ledger.js"),
  backups: () => import("./views/backups.js"),
  readers: () => import("./views/readers.js"),
};
const BELONGS_TO = { visit: "visits", across: "visits", zones: "settings", backups: "settings", readers: "settings", request: "requests", senders: "requests", ledger: "requests" };

const app = document.getElementById("app");
const listeners = new Set();
const doorbell = {
  session: null,
  status: null,
  /** Call `call` with each row of the log while the page is open; returns a function that stops it. */
  onFact(call) { listeners.add(call); return () => listeners.delete(call); },
  async refresh() {
    doorbell.status = await get("/status");
    setRecording(doorbell.status.storage.recording);
    const waiting = doorbell.status.requests_pending;
    doorbell.mark("requests", waiting, t("tab_waiting", { count: waiting }));
    faultMark(doorbell);
    for (const call of listeners) call({ kind: "status" });
    return doorbell.status;
  },
  go(hash) { location.hash = hash; },
  /** Show the current view again, with what the doorbell has now. */
  again() { return route(); },
  /** Mark a view's tab: `count` things, which `text` says; 0 takes the mark away. Nothing outside the page learns of it. */
  mark(name, count, text) {
    const tab = document.querySelector(`nav a[data-view="${name}"]`);
    tab?.querySelector(".mark")?.remove();
    if (count) tab?.append(el("span", { class: "mark" }, el("span", { "aria-hidden": "true" }, String(count)), el("span", { class: "unseen" }, text)));
  },
};
let leave = () => {};
let stopEvents = () => {};
let turn = 0;
let outdated = false; // the doorbell has other files than those of this page
let failed = false; // the view could not be loaded, because the doorbell was not reached
const SILENT_MS = 5000; // the doorbell sends something at least every 2 s

async function start() {
  try {
    await loadLanguage();
  } catch {
    // Without the strings there is no language to say it in but both.
    show(app, el("main", { class: "alone" }, el("p", { role: "alert" }, "Not connected to the doorbell · Nicht mit der Klingel verbunden"),
      el("button", { onclick: () => location.reload(), "aria-label": "Try again · Noch einmal" }, "↻")));
    return;
  }
  whenSignedOut(enter);
  onConnection(showConnection);
  const before = navigator.serviceWorker?.controller;
  navigator.serviceWorker?.addEventListener("controllerchange", () => { outdated = Boolean(before); });
  navigator.serviceWorker?.register("/sw.js").catch(() => { /* plain HTTP from another machine has none */ });
  await enter();
}

async function enter() {
  stopEvents();
  leave();
  leave = () => {};
  turn += 1;
  try {
    doorbell.session = await get("/session");
  } catch (error) {
    show(app, el("main", { class: "alone" }, el("h1", {}, t("app")), el("p", { role: "alert" }, error.message),
      el("button", { onclick: enter }, t("try_again"))));
    return;
  }
  document.title = doorbell.session.name;
  setToken(doorbell.session.token);
  if (!doorbell.session.signed_in) {
    const { mount } = await import("./views/enter.js");
    mount(app, doorbell, async () => { await enter(); });
    return;
  }
  frame();
  stopEvents = keepOpen("/events", { onText: heard, onOpen: online, onClose: offline, silentMs: SILENT_MS });
  addEventListener("hashchange", follow);
  document.addEventListener("click", followBack);
  document.addEventListener("pointerdown", prepareSound, { once: true });
  doorbell.refresh().catch(() => { /* the line at the top shows it */ });
  await route();
}

function frame() {
  const links = Object.entries(VIEWS).map(([name, view]) =>
    el("a", { href: `#/${name === "door" ? "" : name}`, "data-view": name }, icon(view.icon), el("span", {}, t(`nav_${name}`))));
  show(app,
    el("a", { class: "skip", href: "#view", onclick: skip }, t("skip")),
    el("header", {},
      el("p", { class: "name" }, doorbell.session.name),
      el("p", { id: "line", role: "status" })),
    el("nav", { "aria-label": t("navigation") }, links),
    el("main", { id: "view", tabIndex: -1 }),
  );
}

function skip(event) {
  event.preventDefault();
  document.getElementById("view").focus();
}

let asking = false;
async function follow() {
  if (asking || isShown()) return;
  if (hasUnsaved()) {
    asking = true;
    const leaves = await mayLeave();
    asking = false;
    if (!leaves) { stayInPlace(); return; }
  }
  await route();
}

async function route() {
  if (!document.getElementById("view")) return;
  if (outdated) { location.reload(); return; }
  leavePlace();
  enterPlace();
  const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const found = name || "door";
  const load = VIEWS[found]?.load ?? MORE[found] ?? (() => ({ mount: unknownView }));
  const tab = BELONGS_TO[found] ?? found;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave();
  leave = () => {};
  dismissRing();
  const mine = ++turn;
  failed = false;
  let mount;
  try {
    ({ mount } = await load());
  } catch {
    // A browser may keep that a file could not be loaded, so only a new page tries again.
    if (mine === turn) show(document.getElementById("view"), el("p", { role: "alert", class: "error" }, t("error_unreachable")), el("button", { onclick: () => location.reload() }, t("try_again")));
    return;
  }
  if (mine !== turn) return;
  // Each view has an element of its own: one that is left while it waits for an answer draws nothing into the next.
  const view = el("main", { id: "view", tabIndex: -1, class: `view-${found.replace(/\W/g, "")}` });
  document.getElementById("view").replaceWith(view);
  try {
    const left = await mount(view, doorbell, rest);
    if (mine === turn) leave = left ?? (() => {});
    else left?.();
  } catch (error) {
    if (mine !== turn) return;
    failed = error instanceof Unreachable;
    show(view, el("p", { role: "alert", class: "error" }, error.message),
      el("button", { onclick: route }, t("try_again")));
    if (!(error instanceof Unreachable) && !error.code) throw error;
  }
  if (mine === turn) restorePlace();
}

/** A part of the address; what is no percent-encoding stays as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function unknownView(view) {
  show(view, el("h1", {}, t("view_unknown")), el("p", { role: "alert" }, t("view_unknown_text")),
    el("p", {}, el("a", { class: "button quiet", href: "#/" }, t("nav_door"))));
}

function heard(text) {
  if (isConnected()) setConnected();
  else online();
  const fact = JSON.parse(text);
  if (!fact.kind) return;
  if (fact.kind === "recording") setRecording(fact.event_ids);
  for (const call of listeners) call(fact);
  if (fact.kind === "press") announceRing(doorbell, fact);
  if (fact.kind === "press_picture") showRingPicture(doorbell, fact);
  if (fact.kind === "notice_heard" && fact.announce) announceNotice(fact.notice);
  if (/fault|setting|config|consent/.test(fact.kind)) doorbell.refresh().catch(() => { /* the line at the top shows it */ });
}

let lost = 0;
let refreshing = false;

/** The doorbell is heard again; it counts as connected once its state is known. */
async function online() {
  if (refreshing) return;
  refreshing = true;
  try {
    await doorbell.refresh();
    clearTimeout(lost);
    lost = 0;
    setConnected();
  } catch { /* the next heartbeat tries again */ }
  refreshing = false;
}

function offline({ silent }) {
  // A restart takes two seconds; only a longer interruption is shown.
  if (silent) setLost();
  else lost ||= setTimeout(setLost, 1500);
}

function showConnection(connected) {
  const line = document.getElementById("line");
  const since = lastHeard();
  if (line && connected) show(line);
  else if (line) show(line, icon("away"), el("span", {}, since ? t("offline_since", { time: clockSeconds(since) }) : t("offline")));
  for (const call of listeners) call({ kind: "connection" });
  if (connected && failed) route();
}

await start();
