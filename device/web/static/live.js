// The live view: the camera's own pictures through MediaSource, or through WebRTC for low delay.
import { ask, askSdp, keepOpen, Refused } from "./api.js";
import { t } from "./i18n.js";

const BEHIND_S = 0.7;
const HURRY_S = 0.25;
const KEEP_S = 20;
const WEBRTC_PATIENCE_MS = 6000;

/** Play into `video` until the returned function is called; `say` gets the reason why it does not play, or "". */
export function playLive(video, way, say) {
  return way === "webrtc" && "RTCPeerConnection" in self ? playWebRtc(video, say) : playMediaSource(video, say);
}

function playMediaSource(video, say) {
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
  const follow = () => {
    const ranges = video.buffered;
    if (!ranges.length) return;
    const end = ranges.end(ranges.length - 1);
    const begin = ranges.start(ranges.length - 1);
    video.playbackRate = end - video.currentTime > HURRY_S ? 1.1 : 1;
    if (end - video.currentTime > BEHIND_S || video.currentTime < begin) video.currentTime = Math.max(begin, end - 0.05);
    if (video.paused && !document.hidden) video.play().catch(() => { /* it plays when it is touched */ });
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
    onText: (text) => {
      const head = JSON.parse(text);
      if (head.error) say(head.error);
      else if (head.codec) { say(""); begin(head); }
      else if (!refused) say(t("live_no_pictures"));
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
  const shown = () => { if (!document.hidden) follow(); };
  document.addEventListener("visibilitychange", shown);
  return () => {
    stop();
    waitingFor += 1;
    document.removeEventListener("visibilitychange", shown);
    video.removeAttribute("src");
    video.load();
    if (url) URL.revokeObjectURL(url);
  };
}

function playWebRtc(video, say) {
  let peer = null;
  let viewPath = "";
  let ended = false;
  let fallBack = () => {};
  const giveUp = (error) => {
    if (ended || fallBack.done) return;
    peer?.close();
    leaveServer();
    say(error instanceof Refused ? error.message : t("live_webrtc_failed"));
    const stop = playMediaSource(video, (text) => { if (text) say(text); });
    fallBack = Object.assign(() => stop(), { done: true });
  };
  const leaveServer = () => {
    if (viewPath) ask("DELETE", viewPath).catch(() => { /* it ends by itself */ });
    viewPath = "";
  };
  const begin = async () => {
    peer = new RTCPeerConnection({ iceServers: [] });
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.ontrack = ({ track, receiver }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      video.srcObject = new MediaStream([track]);
      video.play().catch(() => { /* it plays when it is touched */ });
    };
    peer.onconnectionstatechange = () => { if (peer.connectionState === "failed") giveUp(); };
    await peer.setLocalDescription(await peer.createOffer());
    await new Promise((resolve) => {
      if (peer.iceGatheringState === "complete") resolve();
      peer.onicegatheringstatechange = () => { if (peer.iceGatheringState === "complete") resolve(); };
      setTimeout(resolve, 1000);
    });
    const answer = await askSdp("/live/whep", peer.localDescription.sdp);
    viewPath = answer.path;
    if (ended) { leaveServer(); return; }
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    say("");
  };
  begin().catch(giveUp);
  const patience = setTimeout(() => { if (!video.videoWidth) giveUp(); }, WEBRTC_PATIENCE_MS);
  return () => {
    ended = true;
    clearTimeout(patience);
    peer?.close();
    leaveServer();
    fallBack();
    video.srcObject = null;
  };
}
