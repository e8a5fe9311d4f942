// One visit: its clips in a player, its log, and where motion was detected.
import { ask, askWithRecentPassword, get } from "../api.js";
import { dayOf } from "../calendar.js";
import { dialog, el, icon, show, svg } from "../dom.js";
import { bytesText, clockSeconds, dayName, lengthText, number, t } from "../i18n.js";
import { isRecording, lossText } from "../recording.js";
import { pressPicture } from "../visit-row.js";

// A wall clock may be adjusted between a ring and the begin of its clip.
const SLACK_MS = 1000;

export async function mount(container, doorbell, [eventId, press]) {
  const [rows, { clips, pictures }] = await Promise.all([logOf(eventId), get(`/visits/${encodeURIComponent(eventId)}`)]);
  if (!rows.length && !clips.length && !pictures.length) {
    show(container, el("p", {}, el("a", { href: "#/visits", class: "back" }, icon("left"), t("nav_visits"))),
      el("h1", {}, t("visit_unknown_title")), el("p", { role: "alert" }, t("visit_unknown")));
    return () => {};
  }
  // Rings by their number in the visit: from the log, or from their pictures once the log has forgotten them.
  const rings = new Map(pictures);
  for (const row of rows) if (row.kind === "press") rings.set(row.press_number, Date.parse(row.occurred_at));
  const ringMs = rings.get(Number(press)) ?? [...rings.values()][0];
  const at = new Date(ringMs ?? rows[0]?.occurred_at ?? clips[0]?.[1] ?? Date.now());
  const day = dayOf(at);
  const recorded = isRecording(eventId);
  const ended = [];
  let started = "";
  for (const row of rows) {
    if (row.kind === "motion_started") started = row.occurred_at;
    else if (row.kind === "motion_ended" && started) ended.push({ ...row, startedMs: Date.parse(started) });
  }
  const picture = [Number(press), ...pictures.map(([number]) => number)].find((number) => pictures.some(([known]) => known === number));
  const parts = [
    el("p", {}, el("a", { href: `#/visits/${day}`, class: "back" }, icon("left"), dayName(at))),
    el("h1", {}, clockSeconds(at)),
  ];
  let player = null;
  if (clips.length) {
    player = makePlayer({ clips, ended, rings: [...rings.values()], doorbell, day, ringMs, poster: picture && pressPicture(eventId, picture) });
    parts.push(player.node);
  } else {
    const loss = rows.findLast((row) => row.kind === "clip_dropped" || row.kind === "clip_deleted");
    parts.push(el("p", { class: "empty" }, recorded ? t("visit_being_recorded") : loss ? lossText(loss) : t("visit_no_clip_known")));
    if (pictures.length) parts.push(momentsOf(eventId, pictures, doorbell, day));
  }
  parts.push(el("section", {}, el("h2", {}, t("what_happened")),
    el("ol", { class: "story" }, rows.map(rowText).filter(Boolean).map(([when, text]) =>
      el("li", {}, storyTime(when, player), el("span", {}, text))))));
  show(container, parts);
  const stopFacts = doorbell.onFact((fact) => {
    if (clips.length) return;
    const ours = fact.event_id === eventId && fact.kind.startsWith("clip_");
    if (ours || (fact.kind === "recording" && isRecording(eventId) !== recorded)) doorbell.again();
  });
  return () => { player?.stop(); stopFacts(); };
}

async function logOf(eventId) {
  try {
    return await get(`/events/${encodeURIComponent(eventId)}`);
  } catch (error) {
    if (error.code !== "no_event") throw error;
    return []; // the log no longer has it; clips and pictures may still be there
  }
}

/** The time of something that happened; tapped, it shows that moment, if a clip has it. */
function storyTime(when, player) {
  const time = el("time", { dateTime: when.toISOString() }, clockSeconds(when));
  if (!player?.has(when.getTime())) return time;
  return el("button", { class: "plain-link", "aria-label": t("story_show", { time: clockSeconds(when) }), onclick: () => player.showMoment(when.getTime()) }, time);
}

/** The pictures of the rings of a visit that has no clip any more. */
function momentsOf(eventId, pictures, doorbell, day) {
  const message = el("p", { role: "status", class: "message" });
  const remove = async () => {
    if (!await sureToDelete("delete_pictures_title", "delete_pictures_text")) return;
    try {
      if (await askWithRecentPassword("DELETE", `/press-pictures/${encodeURIComponent(eventId)}`) === null) return;
      doorbell.go(`#/visits/${day}`);
    } catch (error) {
      message.textContent = error.message;
    }
  };
  return el("div", {},
    pictures.map(([press, atMs]) => el("figure", { class: "moment" },
      el("img", { src: pressPicture(eventId, press), alt: t("ring_picture") }),
      el("figcaption", { class: "hint" }, t("ring_at", { time: clockSeconds(atMs) })))),
    el("div", { class: "buttons" }, el("button", { class: "quiet danger", id: "delete-pictures", onclick: remove }, icon("delete"), t("delete_pictures"))),
    message);
}

function sureToDelete(title, text) {
  return dialog(t(title), (close) => el("div", {},
    el("p", {}, t(text)),
    el("div", { class: "buttons" },
      el("button", { class: "quiet", onclick: () => close(null) }, t("cancel")),
      el("button", { class: "danger", id: "delete-yes", onclick: () => close(true) }, t("delete")))));
}

function rowText(row) {
  const when = new Date(row.occurred_at);
  switch (row.kind) {
    case "press": return [when, t("story_press", { number: row.press_number })];
    case "press_missed": return [when, t(`story_missed_${row.reason}`)];
    case "motion_started": return [when, row.zones?.length ? t("story_motion_in", { zones: row.zones.join(", ") }) : t("story_motion")];
    case "motion_ended": return [when, t("story_motion_ended", {
      seconds: number(row.moved_s), direction: t(`direction_${row.direction}`), score: number(row.peak_score, 2) })];
    case "clip_kept": return [when, t("story_clip", { seconds: number(row.duration_s) })];
    case "clip_dropped":
    case "clip_deleted": return [when, lossText(row)];
    default: return null;
  }
}

function makePlayer({ clips, ended, rings, doorbell, day, ringMs, poster }) {
  const covers = (clip, atMs) => clip[1] - SLACK_MS <= atMs && atMs <= clip[1] + clip[2] + SLACK_MS;
  const clipAt = (atMs) => clips.findIndex((clip) => covers(clip, atMs));
  let index = Math.max(0, clipAt(ringMs));
  const boxes = svg("svg", { class: "boxes", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const video = el("video", { controls: true, playsInline: true, preload: "metadata", id: "player", "aria-label": t("player_label") });
  const say = el("p", { class: "over", role: "status", hidden: true });
  const message = el("p", { role: "status", class: "message" });
  const tabs = el("div", { class: "chips", role: "group", "aria-label": t("clips") });
  const facts = el("p", { class: "hint" });
  const actions = el("div", { class: "buttons" });
  const marks = el("div", { class: "ring-marks", role: "group", "aria-label": t("ring_marks") });
  let why = false;
  let timer = 0;
  const path = () => `/clips/${encodeURIComponent(clips[index][0])}`;

  const drawMarks = () => {
    const [, startMs, lengthMs] = clips[index];
    show(marks, rings.filter((atMs) => covers(clips[index], atMs)).map((atMs) => {
      const mark = el("button", { class: "ring-mark", "aria-label": t("ring_mark", { time: clockSeconds(atMs) }), title: t("ring_mark", { time: clockSeconds(atMs) }), onclick: () => showMoment(atMs) }, icon("bell"));
      mark.style.left = `${Math.min(100, Math.max(0, (100 * (atMs - startMs)) / lengthMs))}%`;
      return mark;
    }));
  };
  const seek = (atMs) => {
    const [, startMs, lengthMs] = clips[index];
    video.currentTime = Math.min(Math.max(0, (atMs - startMs) / 1000), Math.max(0, lengthMs / 1000 - 0.1));
  };
  const showMoment = (atMs) => {
    const found = clipAt(atMs);
    if (found < 0) return;
    if (found === index) { seek(atMs); return; }
    index = found;
    showClip(true, atMs);
  };
  const showClip = async (play, atMs) => {
    const [id, , lengthMs] = clips[index];
    say.hidden = true;
    const ring = atMs !== undefined && rings.includes(atMs);
    video.poster = ring && atMs === ringMs && poster ? poster : `/api${path()}/thumbnail.jpg?soon=true`;
    video.src = `/api${path()}/video`;
    // A clip opens at its ring; the seconds before it are there to go back to.
    if (atMs !== undefined) video.addEventListener("loadedmetadata", () => seek(atMs), { once: true });
    drawMarks();
    if (play) video.play().catch(() => { /* it plays when it is touched */ });
    show(tabs, clips.length > 1 && clips.map((clip, number) => el("button", {
      class: "chip", "aria-pressed": String(number === index), onclick: () => { index = number; showClip(true); },
    }, t("clip_number", { number: number + 1, length: lengthText(clip[2] / 1000) }))));
    drawActions();
    try {
      const details = await get(path());
      if (clips[index]?.[0] !== id) return;
      const masks = new Set([...details.masks_recorded, ...details.masks].map((mask) => JSON.stringify(mask))).size;
      show(facts, `${lengthText(lengthMs / 1000)} · ${bytesText(details.bytes)}`,
        details.clock === "synchronised" ? null : ` · ${t("clock_unsure")}`,
        details.lost_packets ? ` · ${t("lost_packets", { count: details.lost_packets })}` : null,
        masks ? ` · ${t("masked_clip", { count: masks })}` : null);
    } catch (error) {
      facts.textContent = error.message;
    }
  };
  const drawActions = () => {
    const starred = Boolean(clips[index][3]);
    show(actions,
      el("button", { class: "quiet", "aria-pressed": String(starred), id: "star", onclick: star }, icon("star"), t("star")),
      el("a", { class: "button quiet", href: `/api${path()}/video?download=true`, download: `${clips[index][0]}.mp4` }, icon("download"), t("download")),
      ended.length > 0 && el("button", { class: "quiet", "aria-pressed": String(why), onclick: () => { why = !why; drawActions(); drawBoxes(); } }, icon("motion"), t("why")),
      el("button", { class: "quiet danger", id: "delete", onclick: remove }, icon("delete"), t("delete")));
  };
  const star = async () => {
    const on = !clips[index][3];
    try {
      await ask("PUT", `${path()}/star`, { on });
      clips[index][3] = Number(on);
      message.textContent = t(on ? "star_on" : "star_off");
    } catch (error) {
      message.textContent = error.message;
    }
    drawActions();
  };
  const remove = async () => {
    if (!await sureToDelete("delete_title", "delete_text")) return;
    try {
      if (await askWithRecentPassword("DELETE", path()) === null) return;
      clips.splice(index, 1);
      if (!clips.length) { doorbell.go(`#/visits/${day}`); return; }
      index = Math.min(index, clips.length - 1);
      message.textContent = t("deleted");
      showClip(false);
    } catch (error) {
      message.textContent = error.message;
    }
  };
  const drawBoxes = () => {
    if (!why || !clips[index]) { show(boxes); return; }
    const nowMs = clips[index][1] + video.currentTime * 1000;
    const near = [];
    for (const row of ended) {
      for (const glimpse of row.why) {
        const offMs = Math.abs(row.startedMs + glimpse.s * 1000 - nowMs);
        if (offMs < 500) near.push([offMs, glimpse]);
      }
    }
    near.sort((a, b) => a[0] - b[0]);
    show(boxes, near.slice(0, 1).map(([, { box: [x, y, width, height] }]) => svg("rect", { x, y, width, height, class: "found" })));
  };
  const tick = () => { drawBoxes(); timer = requestAnimationFrame(tick); };
  video.addEventListener("error", () => {
    say.hidden = false;
    say.textContent = video.error?.code === 4 || video.error?.code === 3 ? t("clip_cannot_play") : t("clip_unreachable");
  });
  video.addEventListener("ended", () => { if (index + 1 < clips.length) { index += 1; showClip(true); } });
  document.addEventListener("keydown", keys);
  function keys(event) {
    if (event.target.closest("input, button, a, dialog, video")) return;
    const steps = { ArrowLeft: -5, ArrowRight: 5, ",": -1 / 15, ".": 1 / 15 };
    if (event.key in steps) video.currentTime = Math.max(0, video.currentTime + steps[event.key]);
    else if (event.key === " ") { event.preventDefault(); if (video.paused) video.play(); else video.pause(); }
  }
  timer = requestAnimationFrame(tick);
  showClip(false, clipAt(ringMs) >= 0 ? ringMs : undefined);
  return {
    node: el("div", {}, el("div", { class: "stage" }, video, boxes, say), marks, tabs, facts, actions, message),
    has: (atMs) => clipAt(atMs) >= 0,
    showMoment,
    stop() {
      cancelAnimationFrame(timer);
      document.removeEventListener("keydown", keys);
      video.removeAttribute("src");
      video.load();
    },
  };
}
