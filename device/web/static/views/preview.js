// The preview: the very files that would be sealed, played before the approval. They are made on demand, never leave
// the doorbell, and are deleted when the offer is left.
import { ask, get, Refused } from "../api.js";
import { el, icon, show } from "../dom.js";
import { bytesText, clockSeconds, t } from "../i18n.js";

const MAKING_MS = 700;
const READY_MS = 20_000;

/** `files()` are the hashes of what can be played now; `close()` deletes it. */
export function previewPart(request, path, choice) {
  const place = `${path}/preview`;
  const node = el("div", { id: "preview", "aria-live": "polite" });
  let begun = false;
  let ended = false;
  let timer = 0;
  let shown = null; // what is ready

  const button = (text) => el("div", { class: "buttons" }, el("button", { class: "quiet", id: "preview-make", type: "button", onclick: make }, icon("play"), t(text)));
  const offerIt = (why) => {
    begun = false;
    shown = null;
    show(node, why && el("p", { class: "error" }, why), button(why ? "preview_again" : "preview_make"), el("p", { class: "hint" }, t("preview_help")));
  };
  async function make() {
    begun = true;
    await follow(() => ask("POST", place, { offer_hash: request.offer_hash, ...choice }));
  }
  async function follow(call) {
    let state;
    try {
      state = await call();
    } catch (error) {
      if (ended) return;
      if (error instanceof Refused) offerIt(error.message);
      else timer = setTimeout(() => follow(() => get(place)), READY_MS); // unreachable: the line at the top says it
      return;
    }
    if (ended) return;
    if (state.state === "failed") {
      offerIt(new Refused(409, state.error).message);
      return;
    }
    if (state.state === "none" || state.offer_hash !== request.offer_hash) {
      offerIt(t("preview_gone"));
      return;
    }
    if (state.state === "ready") drawFiles(state.files);
    else drawProgress(state);
    timer = setTimeout(() => follow(() => get(place)), state.state === "ready" ? READY_MS : MAKING_MS);
  }
  function drawProgress({ state, progress }) {
    const stage = t(state === "waiting" ? "preview_waiting" : progress.hot ? "stage_hot" : `stage_${progress.stage.replaceAll(" ", "_")}`);
    show(node, el("label", { htmlFor: "preview-bar" }, stage), el("progress", { id: "preview-bar", max: 1, value: progress.part }));
  }
  function drawFiles(files) {
    if (shown) return; // it plays
    shown = files.map((file) => file.sha256);
    show(node, el("p", {}, t("preview_ready")),
      request.offer.clips.map((clip, number) => el("figure", { class: "clip-strip" },
        el("div", { class: "stage" }, el("video", { controls: true, playsInline: true, preload: "metadata", "aria-label": t("preview_clip", { when: clockSeconds(new Date(clip.start)) }),
          src: `/api${place}/${number + 1}.mp4?sha256=${files[number].sha256}` })),
        el("figcaption", { class: "hint" }, `${clockSeconds(new Date(clip.start))} – ${clockSeconds(new Date(clip.end))} · ${bytesText(files[number].bytes)}`))),
      request.offer.audio && el("p", { class: "hint" }, t("preview_sound")),
      el("p", { class: "hint" }, t("preview_help")));
  }
  const close = () => {
    clearTimeout(timer);
    removeEventListener("pagehide", close);
    if (begun && !ended) ask("DELETE", place).catch(() => { /* it is deleted after five minutes */ });
    ended = true;
  };
  addEventListener("pagehide", close);
  offerIt("");
  return { node, close, hash: request.offer_hash, files: () => shown ?? [] };
}
