// One request: who asks for what, exactly what would leave, and three buttons of one size. None is preselected.
import { ask, get } from "../api.js";
import { dialog, el, icon, show } from "../dom.js";
import { clockSeconds, lengthText, t, whenText } from "../i18n.js";
import { blurPart } from "./blur.js";
import { spanText } from "./requests.js";

const PICTURES = 5;

export async function mount(container, doorbell, [id]) {
  const path = `/requests/${encodeURIComponent(id)}`;
  let request = await get(path);
  let chosen = {}; // empty: all clips, the whole window, without sound
  const message = el("p", { role: "status", class: "message toast", id: "request-message" });

  const act = async (call, text) => {
    try {
      const done = await call();
      if (done === null) return;
      request = await get(path);
      draw(false);
      message.textContent = t(text);
    } catch (error) {
      message.textContent = error.message;
    }
  };
  const share = () => act(() => confirm(request, path, chosen), "request_approved");
  const decline = () => act(() => ask("POST", `${path}/decline`), "request_declined");
  const withdraw = () => act(() => ask("POST", `${path}/withdraw`), "request_withdrawn");
  const choose = async (choice) => {
    try {
      request = await ask("POST", `${path}/offer`, choice);
      chosen = choice;
      draw(false);
      message.textContent = t("choice_shown");
    } catch (error) {
      message.textContent = error.message;
    }
  };

  const draw = (choosing) => {
    const { offer } = request;
    show(container,
      el("p", {}, el("a", { href: "#/requests", class: "back" }, icon("left"), t("nav_requests"))),
      el("h1", {}, t("request_by", { name: request.agency_name })),
      el("p", { class: "notice" }, icon("warning"), el("strong", {}, t("emergency"))),
      facts([
        [t("fact_state"), `${t(`state_${request.state.replace(" ", "_")}`)}${request.why ? ` (${request.why})` : ""}`],
        [t("fact_case"), request.case], [t("fact_purpose"), request.purpose], [t("fact_when"), spanText(request.window)],
        [t("fact_contact"), request.contact],
        [t("fact_signed"), request.signed_by.map(spoken).join(", ") || t("not_pinned_any_more")],
        [t("fact_ends"), whenText(new Date((request.ends_at || request.exp) * 1000))],
      ]),
      el("img", { class: "map", src: `/api${path}/map.svg`, alt: t("map_request") }),
      offer && el("section", {}, el("h2", {}, t("offer_title")),
        el("p", { class: "hint" }, t("offer_exactly")),
        offer.clips.length === 0 && el("p", { class: "empty" }, t("offer_empty")),
        offer.clips.map((clip) => clipPart(clip)),
        facts([
          ...offerFacts(offer), [t("fact_hash"), request.offer_hash],
        ])),
      request.release && releasePart(request),
      offer && choosing && choicePart(offer, choose, () => draw(false)),
      offer && !choosing && el("div", { class: "three" },
        el("button", { class: "plain", id: "share", disabled: offer.clips.length === 0, onclick: share }, t("share_these")),
        el("button", { class: "plain", id: "choose", onclick: () => draw(true) }, t("choose")),
        el("button", { class: "plain", id: "decline", onclick: decline }, t("decline"))),
      offer && el("p", { class: "hint" }, t("no_hurry")),
      ["approved", "sealed", "handed over"].includes(request.state) && el("div", { class: "buttons" },
        el("button", { class: "plain", id: "withdraw", onclick: withdraw }, t("withdraw"))),
      message);
  };
  const progress = () => document.getElementById("progress");
  draw(false);
  return doorbell.onFact(async (fact) => {
    if (fact.request !== request.handle) return;
    if (fact.kind === "release" && progress()) {
      request = await get(path);
      progress().replaceWith(progressPart(request));
    } else if (fact.kind === "release" || (fact.kind === "consent" && fact.state !== request.state)) {
      request = await get(path);
      draw(false);
    }
  });
}

function facts(rows) {
  return el("dl", { class: "facts" }, rows.filter(([, text]) => text).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
}

function offerFacts(offer) {
  const blurred = offer.clips.reduce((count, clip) => count + clip.blur.length, 0);
  return [
    [t("fact_sound"), t(offer.audio ? "sound_on" : "sound_off")],
    [t("fact_masks"), offer.masks.length ? t("masks_burnt", { count: offer.masks.length }) : t("masks_none")],
    [t("fact_blur"), blurred ? t("blur_count", { count: blurred }) : ""],
    [t("fact_video"), t("video_encoded")],
    [t("fact_sealed"), `${offer.recipient.name} (${offer.recipient.age})`],
    [t("fact_sent"), offer.upload.origin],
  ];
}

/** What was approved, how far it is, and what became of it. */
function releasePart(request) {
  const { offer, parcel, receipt, left_bytes: left, accounted, progress } = request.release;
  return el("section", { id: "release" }, el("h2", {}, t("release_title")),
    progressPart(request),
    offer.clips.map((clip) => clipPart(clip)),
    facts([
      ...offerFacts(offer),
      [t("fact_hash"), request.approved_hash],
      [t("fact_parcel"), parcel ? t("parcel_is", { sha256: parcel.sha256, bytes: parcel.bytes.toLocaleString() }) : ""],
      [t("fact_receipt"), receipt ? `${receipt.origin}${receipt.said.upload ?? ""} · ${receipt.said.date ?? ""}` : ""],
      [t("fact_left"), parcel && !receipt && !progress
        ? t(accounted ? "left_bytes" : "left_at_most", { bytes: left.toLocaleString(), whole: parcel.bytes.toLocaleString() }) : ""],
    ]));
}

function progressPart(request) {
  const progress = request.release?.progress;
  if (!progress) return el("div", { id: "progress", hidden: true });
  const stage = t(progress.hot ? "stage_hot" : `stage_${progress.stage.replaceAll(" ", "_")}`);
  return el("div", { id: "progress" }, el("label", { htmlFor: "progress-bar" }, stage),
    el("progress", { id: "progress-bar", max: 1, value: progress.part }));
}

function clipPart(clip) {
  const seconds = (clip.last_us - clip.first_us) / 1e6;
  const last = Math.max(clip.first_us, clip.last_us - Math.round((clip.last_us - clip.first_us) / clip.frames));
  const times = Array.from({ length: PICTURES }, (_, number) => Math.round(clip.first_us + ((last - clip.first_us) * number) / (PICTURES - 1)));
  return el("figure", { class: "clip-strip" },
    el("div", { class: "strip" }, times.map((at, number) => el("img", {
      src: pictureOf(clip, at), loading: "lazy",
      alt: t(number === 0 ? "picture_first" : number === PICTURES - 1 ? "picture_last" : "picture_between"),
    }))),
    el("figcaption", {}, `${clockSeconds(new Date(clip.start))} – ${clockSeconds(new Date(clip.end))} · ${lengthText(seconds)} · ${t("frames", { count: clip.frames })}`,
      clip.clock === "synchronised" ? null : ` · ${t("clock_unsure")}`));
}

/** A picture of a clip, as it would leave: with its masks and what is blurred. */
function pictureOf(clip, at) {
  const blur = clip.blur.map((shape) => `&blur=${shape.map(([x, y]) => `${x / 1e6},${y / 1e6}`).join(",")}`).join("");
  return `/api/clips/${encodeURIComponent(clip.id)}/picture.jpg?at_us=${at}${blur}`;
}

function choicePart(offer, choose, leave) {
  const audio = el("input", { type: "checkbox", checked: offer.audio });
  const rows = offer.clips.map((clip) => {
    const start = Date.parse(clip.start);
    const length = (Date.parse(clip.end) - start) / 1000;
    const on = el("input", { type: "checkbox", checked: true });
    const range = (name, value) => el("input", {
      type: "range", min: 0, max: Math.ceil(length * 10) / 10, step: 0.1, value, "aria-label": t(name),
      oninput: () => { lengthHint.textContent = t("piece", { from: Number(from.value).toFixed(1), until: Number(until.value).toFixed(1) }); },
    });
    const from = range("piece_from", 0);
    const until = range("piece_until", Math.ceil(length * 10) / 10);
    const lengthHint = el("span", { class: "hint" }, t("piece", { from: "0.0", until: length.toFixed(1) }));
    const whole = () => Number(from.value) === 0 && Number(until.value) >= length;
    const blur = blurPart(clip, clockSeconds(new Date(start)));
    const iso = (seconds) => new Date(start + seconds * 1000).toISOString();
    return {
      node: el("div", { class: "choice" }, el("label", { class: "check" }, on, clockSeconds(new Date(start))), from, until, lengthHint, blur.node),
      // An unshortened piece keeps the offer's own ends, which are finer than a millisecond.
      entry: () => on.checked && [clip.id, {
        ...(whole() ? { start: clip.start, end: clip.end } : { start: iso(Number(from.value)), end: iso(Number(until.value)) }), blur: blur.shapes() }],
    };
  });
  const choice = () => ({
    clips: Object.fromEntries(rows.map((row) => row.entry()).filter(Boolean)), audio: audio.checked });
  return el("section", { id: "choice" }, el("h2", {}, t("choose")),
    el("p", { class: "hint" }, t("choice_help")),
    rows.map((row) => row.node),
    el("label", { class: "check" }, audio, t("choice_sound")), el("p", { class: "hint" }, t("choice_sound_help")),
    el("div", { class: "buttons" },
      el("button", { class: "quiet", onclick: leave }, t("cancel")),
      el("button", { id: "choice-show", onclick: () => choose(choice()) }, t("choice_look"))));
}

/** The password, for exactly this; null if the dialog is left. */
function confirm(request, path, choice) {
  return dialog(t("share_title"), (close) => {
    const password = el("input", { type: "password", id: "share-password", autocomplete: "current-password", required: true });
    const message = el("p", { class: "error", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      try {
        close(await ask("POST", `${path}/approve`, { offer_hash: request.offer_hash, password: password.value, ...choice }));
      } catch (error) {
        message.textContent = error.message;
        password.select();
      }
    };
    return el("form", { onsubmit: submit },
      el("p", {}, t("share_text", { name: request.agency_name, case: request.case, origin: request.offer.upload.origin })),
      el("label", { htmlFor: "share-password" }, t("password")), password, message,
      el("div", { class: "three" },
        el("button", { type: "button", class: "plain", onclick: () => close(null) }, t("cancel")),
        el("button", { type: "submit", class: "plain", id: "share-yes" }, t("share_these"))));
  });
}

/** A fingerprint in groups of four, as it is printed on paper. */
export function spoken(kid) {
  return kid.toUpperCase().match(/.{1,4}/g).join("-");
}
