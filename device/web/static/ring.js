// A ring while the page is open: a banner with a sound, and a notification if the owner allowed it.
import { el, icon } from "./dom.js";
import { clock, clockSeconds, t } from "./i18n.js";
import { quietButton } from "./quiet.js";
import { pressPicture } from "./visit-row.js";

const STAYS_MS = 60_000;
let sound = null;
let shown = null;
let before = null; // what had the focus when the card came
let title = "";

/** Browsers let a page sound only after it was touched; from then on it may. */
export function prepareSound() {
  const Context = self.AudioContext ?? self.webkitAudioContext;
  if (!sound && Context) sound = new Context();
  sound?.resume?.();
}

function chime() {
  if (!sound || localStorage.getItem("page-sound") === "off") return;
  // Two struck bars, a major third apart, synthesised so that nothing has to be fetched.
  for (const [frequency, after] of [[659.3, 0], [523.3, 0.45]]) {
    const begin = sound.currentTime + after;
    const volume = sound.createGain();
    volume.gain.setValueAtTime(0.0001, begin);
    volume.gain.exponentialRampToValueAtTime(0.5, begin + 0.01);
    volume.gain.exponentialRampToValueAtTime(0.0001, begin + 1.4);
    volume.connect(sound.destination);
    for (const [harmonic, share] of [[1, 0.8], [2.76, 0.15]]) {
      const bar = sound.createOscillator();
      const part = sound.createGain();
      part.gain.value = share;
      bar.frequency.value = frequency * harmonic;
      bar.connect(part).connect(volume);
      bar.start(begin);
      bar.stop(begin + 1.5);
    }
  }
}

/** Take the card away; whoever goes to another view has seen it. */
export function dismissRing() {
  if (!shown) return;
  const focused = shown.contains(document.activeElement);
  shown.remove();
  shown = null;
  document.removeEventListener("keydown", escape);
  document.title = title;
  if (focused && before?.isConnected) before.focus();
}

function escape(event) {
  if (event.key !== "Escape") return;
  event.preventDefault(); // the card goes first, a dialog under it with the next
  dismissRing();
}

export function announceRing(doorbell, fact) {
  const at = new Date(fact.occurred_at);
  if (Date.now() - at > 30_000 && Date.now() > at) return;
  chime();
  notify(doorbell, at);
  dismissRing();
  const there = /^(#\/?)?$/.test(location.hash);
  const see = !there && el("button", { onclick: () => { dismissRing(); doorbell.go("#/"); } }, t("ring_see"));
  const card = el("section", {
    class: there ? "ringing there" : "ringing", role: "alertdialog", "aria-labelledby": "ringing", tabIndex: -1,
    "data-event": fact.event_id, "data-press": fact.press_number,
  },
    icon("bell"),
    el("div", {},
      el("h2", { id: "ringing" }, t("ring_title")),
      el("p", { id: "ring-text" }, t("ring_at", { time: clockSeconds(at) }))),
    el("div", { class: "buttons" }, see,
      quietButton(doorbell, { class: "quiet", done: dismissRing, failed: (text) => { document.getElementById("ring-text").textContent = text; } }),
      el("button", { class: "quiet", onclick: dismissRing }, t("dismiss"))));
  card.dataset.shownMs = String(performance.timeOrigin + performance.now());
  shown = card;
  before = document.activeElement;
  title = document.title;
  document.title = t("ring_window", { time: clock(at), name: doorbell.session.name });
  // Only what is inside an open dialog can be seen and used.
  const host = document.querySelector("dialog[open]") ?? document.body;
  host.append(card);
  host.addEventListener("close", () => { if (shown === card) document.body.append(card); }, { once: true });
  document.addEventListener("keydown", escape);
  // Not a button: what somebody is typing must not press it.
  card.focus({ preventScroll: true });
  const expire = () => {
    if (shown !== card) return;
    if (!document.hidden) dismissRing();
    // In a tab in the background the title shows the ring until somebody looks.
    else document.addEventListener("visibilitychange", () => setTimeout(expire, STAYS_MS), { once: true });
  };
  setTimeout(expire, STAYS_MS);
}

/** The picture of a ring can be had: show it on the card, and in the notification. */
export function showRingPicture(doorbell, fact) {
  const picture = pressPicture(fact.event_id, fact.press_number);
  if (shown?.dataset.event === fact.event_id && shown.dataset.press === String(fact.press_number)) {
    const image = el("img", { class: "moment", alt: t("ring_picture"), src: picture, onload: () => { image.dataset.shownMs = String(performance.timeOrigin + performance.now()); } });
    shown.prepend(image);
  }
  notify(doorbell, new Date(fact.occurred_at), picture);
}

async function notify(doorbell, at, picture) {
  if (!("Notification" in self) || Notification.permission !== "granted" || document.visibilityState === "visible") return;
  // The picture comes a moment later, in place of the same notification and without a second sound.
  const options = {
    body: t("ring_at", { time: clockSeconds(at) }), tag: "ring", renotify: !picture, icon: "/static/icons/icon-192.png",
    ...(picture && { image: picture }),
  };
  const worker = await navigator.serviceWorker?.getRegistration();
  if (worker) worker.showNotification(`${doorbell.session.name}: ${t("ring_title")}`, options);
  else new Notification(`${doorbell.session.name}: ${t("ring_title")}`, options);
}
