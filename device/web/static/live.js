// The live view: the camera's own pictures through MediaSource, or through WebRTC for low delay.
import { ask, askSdp, keepOpen, Refused } from "./api.js";
import { t, worded } from "./i18n.js";

const LIVE_MS = 2000; // what is older is not live
const BEHIND_S = 0.7;
const HURRY_S = 0.25;
const KEEP_S = 20;
const LOOK_MS = 500;
const SILENT_MS = 3000; // the doorbell answers each of our texts, two a second
const WEBRTC_PATIENCE_MS = 6000;
const WEBRTC_STALLED_MS = 4000;

/**
 * Play into `video` until the returned function is called.
 * `say` gets the reason why it does not play, or "". `judge` gets what is shown, twice a second: {live: whether it is
 * at most 2 s old, at: when it was taken (a Date; null: nothing is shown)}.
 */
export function playLive(video, way, say, judge) {
  return way === "webrtc" && "RTCPeerConnection" in self ? playWebRtc(video, say, judge) : playMediaSource(video, say, judge);
}

function playMediaSource(video, say, judge) {
  const Source = self.ManagedMediaSource ?? self.MediaSource;
  if (!Source) {
    say(t("live_no_mediasource"));
    return () => {};
  }
  let source = null;
  let buffer = null;
  let url = "";
  let waiting = [];
  let waitingFor = 0;
  let refused = false;
  let expiry = 0;
  let proof = null; // the last heartbeat: when we asked for it, and how old the newest picture before it was

  const pump = () => {
    if (!buffer || !waiting.length) return;
    try {
      if (buffer.updating) return;
      const ranges = buffer.buffered;
      if (ranges.length && video.currentTime - ranges.start(0) > KEEP_S) {
        buffer.remove(0, video.currentTime - KEEP_S / 2);
        return;
      }
      buffer.appendBuffer(waiting.shift());
    } catch (error) {
      // A full buffer, or a player that has given up: start again at the next head.
      waiting = [];
      if (error.name !== "QuotaExceededError") buffer = null;
    }
  };
  const behindS = () => {
    const ranges = video.buffered;
    return ranges.length ? Math.max(0, ranges.end(ranges.length - 1) - video.currentTime) : 0;
  };
  const follow = () => {
    const ranges = video.buffered;
    if (!ranges.length) return;
    const end = ranges.end(ranges.length - 1);
    const begin = ranges.start(ranges.length - 1);
    video.playbackRate = end - video.currentTime > HURRY_S ? 1.1 : 1;
    if (end - video.currentTime > BEHIND_S || video.currentTime < begin) video.currentTime = Math.max(begin, end - 0.05);
    if (video.paused && !document.hidden) video.play().catch(() => { /* it plays when it is touched */ });
  };
  const look = () => {
    stop.send(String(Date.now()));
    decide();
  };
  const decide = () => {
    clearTimeout(expiry);
    if (!proof || video.readyState < 2) { judge({ live: false, at: null }); return; }
    const behindMs = behindS() * 1000;
    // No picture that we have got since we asked can be older than this, however slow the link has become.
    const ageMs = proof.ageMs + behindMs + (Date.now() - proof.askedMs);
    judge({ live: ageMs < LIVE_MS, at: new Date(proof.atMs - behindMs) });
    if (ageMs < LIVE_MS) expiry = setTimeout(decide, LIVE_MS - ageMs);
  };
  const begin = (head) => {
    const type = `video/mp4; codecs="${head.codec}"`;
    if (!Source.isTypeSupported(type)) {
      refused = true;
      say(/^h(vc|ev)1/.test(head.codec) ? t("live_no_h265") : t("live_no_codec", { codec: head.codec }));
      return;
    }
    refused = false;
    waiting = [];
    buffer = null;
    const mine = ++waitingFor;
    source = new Source();
    const before = url;
    url = URL.createObjectURL(source);
    source.addEventListener("sourceopen", () => {
      if (mine !== waitingFor) return;
      buffer = source.addSourceBuffer(type);
      buffer.addEventListener("updateend", () => { follow(); pump(); });
      pump();
    }, { once: true });
    video.disableRemotePlayback = true;
    video.src = url;
    if (before) URL.revokeObjectURL(before);
  };
  const stop = keepOpen("/live", {
    silentMs: SILENT_MS,
    onOpen: () => stop.send(String(Date.now())),
    onText: (text) => {
      const head = JSON.parse(text);
      if (head.error) say(worded(`error_${head.code}`, head.params) ?? head.error);
      else if (head.codec) { say(""); begin(head); }
      else if (head.at_ms && head.echo) proof = { askedMs: Number(head.echo), ageMs: head.age_ms, atMs: head.at_ms };
      else if (head.at_ms === null && !refused && !head.echo) say(t("live_no_pictures"));
    },
    onBytes: (bytes) => {
      if (refused) return;
      say("");
      waiting.push(bytes);
      if (waiting.length > 300) waiting = [];
      pump();
    },
    onClose: () => say(t("live_lost")),
  });
  const looking = setInterval(look, LOOK_MS);
  const shown = () => { if (!document.hidden) follow(); };
  document.addEventListener("visibilitychange", shown);
  return () => {
    stop();
    clearInterval(looking);
    clearTimeout(expiry);
    waitingFor += 1;
    document.removeEventListener("visibilitychange", shown);
    video.removeAttribute("src");
    video.load();
    if (url) URL.revokeObjectURL(url);
  };
}

function playWebRtc(video, say, judge) {
  let peer = null;
  let viewPath = "";
  let ended = false;
  let stopOther = null;
  let retry = 0;
  let delay = 1000;
  let frames = 0;
  let frameMs = 0; // when the last picture was shown; 0: none yet
  let begunMs = 0;
  const leaveServer = () => {
    peer?.close();
    peer = null;
    if (viewPath) ask("DELETE", viewPath).catch(() => { /* it ends by itself */ });
    viewPath = "";
  };
  const giveUp = (error) => {
    if (ended || stopOther) return;
    leaveServer();
    clearInterval(looking);
    video.srcObject = null;
    say(error instanceof Refused ? error.message : t("live_webrtc_failed"));
    stopOther = playMediaSource(video, (text) => { if (text) say(text); }, judge);
  };
  const begin = async () => {
    begunMs = Date.now();
    const mine = new RTCPeerConnection({ iceServers: [] });
    peer = mine;
    mine.addTransceiver("video", { direction: "recvonly" });
    mine.ontrack = ({ track, receiver }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      video.srcObject = new MediaStream([track]);
      video.play().catch(() => { /* it plays when it is touched */ });
    };
    mine.onconnectionstatechange = () => { if (peer === mine && mine.connectionState === "failed") lose(); };
    await mine.setLocalDescription(await mine.createOffer());
    await new Promise((resolve) => {
      if (mine.iceGatheringState === "complete") resolve();
      mine.onicegatheringstatechange = () => { if (mine.iceGatheringState === "complete") resolve(); };
      setTimeout(resolve, 1000);
    });
    const answer = await askSdp("/live/whep", mine.localDescription.sdp);
    viewPath = answer.path;
    if (ended || peer !== mine) { leaveServer(); return; }
    await mine.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    say("");
  };
  /** Begin again after a view that had played; one that never played gives up. */
  const lose = (error) => {
    if (ended || stopOther) return;
    if (!frameMs) { giveUp(error); return; }
    leaveServer();
    say(t("live_lost"));
    clearTimeout(retry);
    retry = setTimeout(() => { if (!ended) begin().catch(lose); }, delay);
    delay = Math.min(delay * 2, 10_000);
    begunMs = Date.now() + delay;
  };
  const look = () => {
    const shown = video.getVideoPlaybackQuality().totalVideoFrames;
    const now = Date.now();
    if (shown !== frames && video.srcObject) {
      frames = shown;
      frameMs = now;
      delay = 1000;
      say("");
    }
    if (peer && now - Math.max(frameMs, begunMs) > (frameMs ? WEBRTC_STALLED_MS : WEBRTC_PATIENCE_MS)) lose();
    if (!stopOther) judge({ live: frameMs > 0 && now - frameMs <= LIVE_MS, at: frameMs ? new Date(frameMs) : null });
  };
  const looking = setInterval(look, LOOK_MS);
  begin().catch(lose);
  return () => {
    ended = true;
    clearInterval(looking);
    clearTimeout(retry);
    leaveServer();
    stopOther?.();
    video.srcObject = null;
  };
}
