// The Door view: the live view, the switches, and recent visits.
import { ask, askWithRecentPassword, get, getVisits } from "../api.js";
import { isConnected, lastHeard } from "../connection.js";
import { el, icon, show } from "../dom.js";
import { cameraText, faultsPart } from "../faults.js";
import { clockSeconds, t } from "../i18n.js";
import { playLive } from "../live.js";
import { isRecording, lossText } from "../recording.js";
import { quietButton } from "../quiet.js";
import { showMissedRing } from "../missed-ring.js";
import { visitRow } from "../visit-row.js";

const DAY_MS = 86_400_000;

export async function mount(container, doorbell) {
  const say = el("p", { class: "over", role: "status", hidden: true });
  const video = el("video", {
    muted: true, autoplay: true, playsInline: true, "aria-label": t("live_label"), id: "live",
  });
  video.setAttribute("playsinline", "");
  const stage = el("div", { class: "stage" });
  const state = el("p", { class: "state" });
  let way = localStorage.getItem("live-way") === "webrtc" ? "webrtc" : "mse";
  let stop = () => {};
  let playing = false;
  let liveSays = "";
  let cameraSays = "";
  let picture = { live: false, at: null };
  const showSaid = () => {
    const old = picture.at && !picture.live ? t("picture_of", { time: clockSeconds(picture.at) }) : "";
    say.textContent = [isConnected() ? cameraSays || liveSays : "", old].filter(Boolean).join(" · ");
    say.hidden = !say.textContent;
    stage.classList.toggle("past", Boolean(old) || !isConnected());
  };
  /** What is known about the door at this moment, and nothing else. */
  const showState = () => {
    const status = doorbell.status;
    const camera = status?.camera.state ?? "opening";
    const motion = status ? ` · ${t(`motion_${status.motion}`)}` : "";
    let dot = camera;
    let text = t(`camera_${camera}`);
    if (!isConnected()) {
      dot = "away";
      text = lastHeard() ? t("not_connected_since", { time: clockSeconds(lastHeard()) }) : t("connecting");
    } else if (camera === "live" && picture.live) text += motion;
    else if (camera === "live") {
      dot = "opening";
      text = picture.at ? t("no_new_pictures") : t("camera_on") + motion;
    }
    show(state, el("span", { class: `dot ${dot}` }), text);
    showSaid();
  };
  const judged = (now) => {
    const changed = now.live !== picture.live || (!now.live && now.at?.getTime() !== picture.at?.getTime());
    picture = now;
    if (changed) showState();
  };
  const tell = (text) => {
    // No pictures: the doorbell's status has the reason.
    if (text && text !== liveSays) doorbell.refresh().catch(() => { /* the line at the top says it */ });
    else if (!text && cameraSays) doorbell.refresh().catch(() => { /* as above */ });
    liveSays = text;
    showSaid();
  };
  const pause = () => {
    stop();
    stop = () => {};
    playing = false;
    picture = { live: false, at: null };
    liveSays = "";
  };
  const play = () => {
    pause();
    playing = true;
    stop = playLive(video, way, tell, judged);
  };
  const fast = el("button", {
    class: "chip", "aria-pressed": String(way === "webrtc"), title: t("live_fast_help"),
    onclick: () => {
      way = way === "webrtc" ? "mse" : "webrtc";
      localStorage.setItem("live-way", way);
      fast.setAttribute("aria-pressed", String(way === "webrtc"));
      if (playing) play();
    },
  }, icon("fast"), t("live_fast"));
  const message = el("p", { role: "status", class: "message" });
  let ordered = "";
  const orderClip = async () => {
    record.disabled = true;
    try {
      ordered = (await ask("POST", "/record")).event_id;
      message.textContent = t(isRecording(ordered) ? "recording" : "record_asked");
    } catch (error) {
      message.textContent = error.message;
    }
    record.disabled = false;
  };
  // Recording is what the doorbell reports, not what it was asked for.
  const followOrder = (fact) => {
    if (!ordered) return;
    if (fact.kind === "recording" && isRecording(ordered)) message.textContent = t("recording");
    else if (fact.event_id === ordered && fact.kind === "clip_kept") message.textContent = t("record_kept");
    else if (fact.event_id === ordered && /clip_dropped|clip_deleted/.test(fact.kind)) message.textContent = lossText(fact);
  };
  // Not a plain link: where there is no picture of now, it would save the refusal as a picture.
  const saveSnapshot = async () => {
    try {
      const url = URL.createObjectURL(await (await get("/snapshot.jpg")).blob());
      const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
      el("a", { href: url, download: `door-${time}Z.jpg` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      message.textContent = error.message;
    }
  };
  const record = el("button", { onclick: orderClip }, icon("record"), t("record"));
  const full = el("button", { class: "on-picture", onclick: () => fullScreen(video), "aria-label": t("full_screen"), title: t("full_screen") }, icon("full"));
  const others = el("div");
  const recent = el("ol", { class: "visits", "aria-label": t("recent") });
  const switches = el("div", { class: "chips", role: "group", "aria-label": t("switches") });

  const missed = el("div", { role: "status" });

  const showStatus = () => {
    const status = doorbell.status;
    if (!status) return;
    showMissedRing(missed, status.press.missed);
    const camera = status.camera.state;
    // In privacy no picture stays on the page, and none is asked for.
    if (status.settings.privacy === playing) {
      if (playing) pause();
      else play();
    }
    cameraSays = camera === "live" ? "" : cameraText(status);
    showState();
    const motion = status.settings.motion_enabled;
    show(switches,
      toggle(doorbell, "privacy", "privacy", status.settings.privacy),
      toggle(doorbell, "chime_muted", "mute", status.settings.chime_muted),
      // Turned off in the configuration, the switch has no effect.
      toggle(doorbell, "motion_enabled", "motion", motion, motion && status.motion === "off"),
      quietButton(doorbell, { class: "chip", failed: (text) => { message.textContent = text; } }),
      fast);
  };
  const showRecent = async () => {
    const until = Date.now() + 60_000;
    const visits = await getVisits(until - DAY_MS, until);
    show(recent, visits.slice(0, 4).map((visit) => el("li", {}, visitRow(visit))));
    if (!visits.length) show(recent, el("li", { class: "empty" }, t("nobody_today")));
  };
  const faults = faultsPart(doorbell);
  stage.append(video, say, full);
  show(container,
    el("h1", { class: "unseen" }, t("nav_door")),
    stage,
    el("div", { class: "under" }, state, el("div", { class: "buttons" },
      el("button", { class: "quiet", onclick: saveSnapshot }, icon("photo"), t("snapshot")), record)),
    missed, message, faults.node, switches,
    el("section", {}, el("h2", {}, t("recent")), recent,
      el("p", {}, el("a", { href: "#/visits" }, t("all_visits")))),
    others);
  if (!doorbell.status) play();
  otherDoorbells(doorbell).then((part) => show(others, part));
  showState();
  showStatus();
  let timer = 0;
  const stopFacts = doorbell.onFact((fact) => {
    if (fact.kind === "status") showStatus();
    if (fact.kind === "connection") showState();
    if (fact.kind === "connection" && isConnected()) showRecent().catch(() => { /* it is lost again */ });
    followOrder(fact);
    if (fact.kind === "press_missed") doorbell.refresh().catch(() => { /* the line says it */ });
    if (fact.kind.startsWith("motion_")) {
      if (doorbell.status) doorbell.status.motion = fact.kind === "motion_started" ? "moving" : "still";
      showStatus();
    }
    if (/press|motion_started|clip_|recording/.test(fact.kind)) {
      clearTimeout(timer);
      timer = setTimeout(() => showRecent().catch(() => { /* shown when the doorbell is reachable again */ }), 150);
    }
  });
  const ticking = setInterval(() => doorbell.refresh().catch(() => { /* the line says it */ }), 20_000);
  await showRecent().catch((error) => { message.textContent = error.message; });
  return () => { pause(); stopFacts(); faults.stop(); clearTimeout(timer); clearInterval(ticking); };
}

/** Links to the pages of the home's other doorbells; each asks for its own password. */
async function otherDoorbells(doorbell) {
  const status = doorbell.status ?? await doorbell.refresh().catch(() => null);
  if (!status?.doorbells.length) return null;
  return el("section", {}, el("h2", {}, t("other_doorbells")),
    el("ul", {}, status.doorbells.map(({ name, url }) => el("li", {}, el("a", { href: url, rel: "noreferrer" }, name)))));
}

function toggle(doorbell, name, iconName, on, powerless = false) {
  const flip = async () => {
    button.disabled = true;
    try {
      const send = name === "privacy" && on ? askWithRecentPassword : ask;  // its end shows more than now
      await send("PUT", `/switches/${name}`, { value: on ? "OFF" : "ON" });
      await doorbell.refresh();
    } catch (error) {
      document.querySelector(".message").textContent = error.message;
    }
    button.disabled = false;
  };
  const button = el("button", {
    class: "chip", "aria-pressed": String(on && !powerless), "data-switch": name, disabled: powerless, onclick: flip,
  }, icon(iconName), t(`switch_${name}`));
  return button;
}

function fullScreen(video) {
  const ask = video.requestFullscreen ?? video.webkitEnterFullscreen;
  ask?.call(video);
}
