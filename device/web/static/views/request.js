// One request: who asks for what, exactly what would leave, and three buttons of one size. None is preselected.
import { report } from "../act.js";
import { ask, get } from "../api.js";
import { dialog, el, icon, show } from "../dom.js";
import { clockSeconds, lengthText, t, whenText } from "../i18n.js";
import { choicePart } from "./choice.js";
import { lastPictureUs, pictureOf } from "./moment.js";
import { previewPart } from "./preview.js";
import { placeText, spanText } from "./requests.js";

const PICTURES = 5;

export async function mount(container, doorbell, [id]) {
  const path = `/requests/${encodeURIComponent(id)}`;
  let request = await get(path);
  let chosen = {}; // empty: all clips, the whole window, without sound
  let preview = null; // of the offer that is shown
  const message = el("p", { role: "status", class: "message", id: "request-message" });

  const act = async (call, text) => {
    try {
      const done = await call();
      if (done === null) return;
      request = await get(path);
      draw();
      report(message, t(text));
    } catch (error) {
      report(message, error.message, { error: true });
    }
  };
  const share = () => act(() => confirm(request, path, chosen, preview?.files() ?? []), "request_approved");
  const decline = () => act(() => ask("POST", `${path}/decline`), "request_declined");
  const withdraw = () => act(() => ask("POST", `${path}/withdraw`), "request_withdrawn");
  const look = async (choice) => {
    try {
      request = await ask("POST", `${path}/offer`, choice);
      chosen = choice;
      draw();
      const missing = Object.keys(choice.clips).length - request.offer.clips.length;
      report(message, missing > 0 && request.offer.clips.length > 0 ? t("choice_missing", { count: missing }) : t("choice_shown"));
    } catch (error) {
      report(message, error.message, { error: true });
    }
  };
  // Always from all clips, whatever was chosen before.
  const choose = async () => {
    try {
      const all = await get(path);
      if (all.offer) draw(all.offer);
    } catch (error) {
      report(message, error.message, { error: true });
    }
  };

  const draw = (all = null) => {
    const { offer } = request;
    if (preview && preview.hash !== request.offer_hash) {
      preview.close();
      preview = null;
    }
    if (offer?.clips.length > 0) preview ??= previewPart(request, path, chosen);
    show(container,
      el("p", {}, el("a", { href: "#/requests", class: "back" }, icon("left"), t("nav_requests"))),
      el("h1", {}, t("request_by", { name: request.agency_name })),
      el("p", { class: "notice" }, icon("warning"), el("strong", {}, t("emergency"))),
      facts([
        [t("fact_state"), `${t(`state_${request.state.replace(" ", "_")}`)}${request.why ? ` (${request.why})` : ""}`],
        [t("fact_case"), request.case], [t("fact_purpose"), request.purpose], [t("fact_where"), placeText(request.place)],
        [t("fact_when"), spanText(request.window)],
        [t("fact_contact"), request.contact],
        [t("fact_signed"), request.signed_by.map(spoken).join(", ") || t("not_pinned_any_more")],
        [t("fact_ends"), whenText(new Date((request.ends_at || request.exp) * 1000))],
      ]),
      el("img", { class: "map", src: `/api${path}/map.svg`, alt: t("map_request") }),
      offer && !all && el("section", {}, el("h2", {}, t("offer_title")),
        el("p", { class: "hint" }, t("offer_exactly")),
        request.offer_empty && el("p", { class: "empty" }, t(`offer_empty_${request.offer_empty}`)),
        offer.clips.map((clip) => clipPart(clip)),
        preview?.node,
        facts([
          ...offerFacts(offer), [t("fact_hash"), request.offer_hash],
        ])),
      request.release && releasePart(request),
      all && choicePart(all, chosen, { look, leave: () => draw() }),
      offer && !all && el("div", { class: "three" },
        el("button", { class: "plain", id: "share", disabled: offer.clips.length === 0, onclick: share }, t("share_these")),
        el("button", { class: "plain", id: "choose", onclick: choose }, t("choose")),
        el("button", { class: "plain", id: "decline", onclick: decline }, t("decline"))),
      offer && el("p", { class: "hint" }, t("no_hurry")),
      ["approved", "sealed", "handed over"].includes(request.state) && el("div", { class: "buttons" },
        el("button", { class: "plain", id: "withdraw", onclick: withdraw }, t("withdraw"))),
      message);
  };
  const progress = () => document.getElementById("progress");
  draw();
  const stop = doorbell.onFact(async (fact) => {
    if (fact.request !== request.handle) return;
    if (fact.kind === "release" && progress()) {
      request = await get(path);
      progress().replaceWith(progressPart(request));
    } else if (fact.kind === "release" || (fact.kind === "consent" && fact.state !== request.state)) {
      request = await get(path);
      draw();
    }
  });
  return () => {
    stop();
    preview?.close();
  };
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
  const last = lastPictureUs(clip);
  const times = Array.from({ length: PICTURES }, (_, number) => Math.round(clip.first_us + ((last - clip.first_us) * number) / (PICTURES - 1)));
  return el("figure", { class: "clip-strip" },
    el("div", { class: "strip" }, times.map((at, number) => el("img", {
      src: pictureOf(clip, at, clip.blur), loading: "lazy",
      alt: t(number === 0 ? "picture_first" : number === PICTURES - 1 ? "picture_last" : "picture_between"),
    }))),
    el("figcaption", {}, `${clockSeconds(new Date(clip.start))} – ${clockSeconds(new Date(clip.end))} · ${lengthText(seconds)} · ${t("frames", { count: clip.frames })}`,
      clip.clock === "synchronised" ? null : ` · ${t("clock_unsure")}`));
}

/** The password, for exactly this; null if the dialog is left. */
function confirm(request, path, choice, files) {
  return dialog(t("share_title"), (close) => {
    const password = el("input", { type: "password", id: "share-password", autocomplete: "current-password", required: true });
    const message = el("p", { class: "error", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      try {
        close(await ask("POST", `${path}/approve`, { offer_hash: request.offer_hash, password: password.value, files, ...choice }));
      } catch (error) {
        message.textContent = error.message;
        password.select();
      }
    };
    return el("form", { onsubmit: submit },
      el("p", {}, t("share_text", { name: request.agency_name, case: request.case, origin: request.offer.upload.origin })),
      el("p", { class: "hint" }, t(files.length ? "share_played" : "share_not_played")),
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
