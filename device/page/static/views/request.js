// One request: who asks for what, exactly what would leave, and three buttons of one size. Nothing is chosen for you.
import { ask, get } from "../api.js";
import { dialog, el, icon, show } from "../dom.js";
import { clockSeconds, lengthText, t, whenText } from "../i18n.js";
import { spanText } from "./requests.js";

const PICTURES = 5;

export async function mount(place, house, [id]) {
  const path = `/requests/${encodeURIComponent(id)}`;
  let request = await get(path);
  let chosen = null; // null: all clips, as far as the window goes
  const said = el("p", { role: "status", class: "said toast", id: "request-said" });

  const act = async (call, text) => {
    try {
      const done = await call();
      if (done === null) return;
      request = await get(path);
      draw(false);
      said.textContent = t(text);
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const share = () => act(() => confirm(request, path, chosen), "request_approved");
  const decline = () => act(() => ask("POST", `${path}/decline`), "request_declined");
  const withdraw = () => act(() => ask("POST", `${path}/withdraw`), "request_withdrawn");
  const choose = async (clips) => {
    try {
      request = await ask("POST", `${path}/offer`, { clips });
      chosen = clips;
      draw(false);
      said.textContent = t("choice_shown");
    } catch (error) {
      said.textContent = error.message;
    }
  };

  const draw = (choosing) => {
    const { offer } = request;
    show(place,
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
          [t("fact_sound"), t("sound_off")],
          [t("fact_masks"), offer.masks.length ? t("masks_burnt", { count: offer.masks.length }) : t("masks_none")],
          [t("fact_sealed"), `${offer.recipient.name} (${offer.recipient.age})`],
          [t("fact_sent"), offer.upload.origin],
          [t("fact_hash"), request.offer_hash],
        ])),
      offer && choosing && choicePart(offer, choose, () => draw(false)),
      offer && !choosing && el("div", { class: "three" },
        el("button", { class: "plain", id: "share", disabled: offer.clips.length === 0, onclick: share }, t("share_these")),
        el("button", { class: "plain", id: "choose", onclick: () => draw(true) }, t("choose")),
        el("button", { class: "plain", id: "decline", onclick: decline }, t("decline"))),
      offer && el("p", { class: "hint" }, t("no_hurry")),
      ["approved", "sealed", "handed over"].includes(request.state) && el("div", { class: "buttons" },
        el("button", { class: "plain", id: "withdraw", onclick: withdraw }, t("withdraw"))),
      said);
  };
  draw(false);
  return house.onFact(async (fact) => {
    if (fact.kind !== "consent" || fact.request !== id || fact.state === request.state) return;
    request = await get(path);
    draw(false);
  });
}

function facts(rows) {
  return el("dl", { class: "facts" }, rows.filter(([, text]) => text).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
}

function clipPart(clip) {
  const seconds = (clip.last_us - clip.first_us) / 1e6;
  const last = Math.max(clip.first_us, clip.last_us - Math.round((clip.last_us - clip.first_us) / clip.frames));
  const times = Array.from({ length: PICTURES }, (_, number) => Math.round(clip.first_us + ((last - clip.first_us) * number) / (PICTURES - 1)));
  return el("figure", { class: "clip-strip" },
    el("div", { class: "strip" }, times.map((at, number) => el("img", {
      src: `/api/clips/${encodeURIComponent(clip.id)}/picture.jpg?at_us=${at}`, loading: "lazy",
      alt: t(number === 0 ? "picture_first" : number === PICTURES - 1 ? "picture_last" : "picture_between"),
    }))),
    el("figcaption", {}, `${clockSeconds(new Date(clip.start))} – ${clockSeconds(new Date(clip.end))} · ${lengthText(seconds)} · ${t("frames", { count: clip.frames })}`,
      clip.clock === "synchronised" ? null : ` · ${t("clock_unsure")}`));
}

function choicePart(offer, choose, leave) {
  const rows = offer.clips.map((clip) => {
    const start = Date.parse(clip.start);
    const length = (Date.parse(clip.end) - start) / 1000;
    const on = el("input", { type: "checkbox", checked: true });
    const range = (name, value) => el("input", {
      type: "range", min: 0, max: Math.ceil(length * 10) / 10, step: 0.1, value, "aria-label": t(name),
      oninput: () => { told.textContent = t("piece", { from: Number(from.value).toFixed(1), until: Number(until.value).toFixed(1) }); },
    });
    const from = range("piece_from", 0);
    const until = range("piece_until", Math.ceil(length * 10) / 10);
    const told = el("span", { class: "hint" }, t("piece", { from: "0.0", until: length.toFixed(1) }));
    const whole = () => Number(from.value) === 0 && Number(until.value) >= length;
    const iso = (seconds) => new Date(start + seconds * 1000).toISOString();
    return {
      node: el("div", { class: "choice" }, el("label", { class: "check" }, on, clockSeconds(new Date(start))), from, until, told),
      // A whole piece keeps the offer's own ends, which are finer than a millisecond.
      entry: () => on.checked && [clip.id, whole() ? { start: clip.start, end: clip.end } : { start: iso(Number(from.value)), end: iso(Number(until.value)) }],
    };
  });
  return el("section", { id: "choice" }, el("h2", {}, t("choose")),
    el("p", { class: "hint" }, t("choice_help")),
    rows.map((row) => row.node),
    el("div", { class: "buttons" },
      el("button", { class: "quiet", onclick: leave }, t("cancel")),
      el("button", { id: "choice-show", onclick: () => choose(Object.fromEntries(rows.map((row) => row.entry()).filter(Boolean))) }, t("choice_look"))));
}

/** The password, for exactly this; null if the dialog is left. */
function confirm(request, path, clips) {
  return dialog(t("share_title"), (close) => {
    const password = el("input", { type: "password", id: "share-password", autocomplete: "current-password", required: true });
    const said = el("p", { class: "error", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      try {
        close(await ask("POST", `${path}/approve`, { offer_hash: request.offer_hash, password: password.value, ...(clips ? { clips } : {}) }));
      } catch (error) {
        said.textContent = error.message;
        password.select();
      }
    };
    return el("form", { onsubmit: submit },
      el("p", {}, t("share_text", { name: request.agency_name, case: request.case, origin: request.offer.upload.origin })),
      el("label", { htmlFor: "share-password" }, t("password")), password, said,
      el("div", { class: "three" },
        el("button", { type: "button", class: "plain", onclick: () => close(null) }, t("cancel")),
        el("button", { type: "submit", class: "plain", id: "share-yes" }, t("share_these"))));
  });
}

/** A fingerprint in groups of four, as it is printed on paper. */
export function spoken(kid) {
  return kid.toUpperCase().match(/.{1,4}/g).join("-");
}
