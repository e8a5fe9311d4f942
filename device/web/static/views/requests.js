// The Neighbourhood view: requests of police departments, notices of sources, links to senders and ledger.
import { ask, get } from "../api.js";
import { el, icon, show } from "../dom.js";
import { bytesText, lengthMetres, t, whenText } from "../i18n.js";

const UNDER_WAY = ["approved", "sealed", "handed over"];
const OPEN = ["offered", ...UNDER_WAY];
const NO_LEDGER = ["ledger_unreadable", "ledger_broken"];

export async function mount(container, doorbell) {
  let stop = null;
  const draw = async () => {
    const [requests, { notices }, { senders, feeds }] = await Promise.all([get("/requests"), get("/notices"), get("/senders")]);
    const here = notices.filter((notice) => notice.here);
    const open = requests.filter((request) => OPEN.includes(request.state));
    const done = requests.filter((request) => !OPEN.includes(request.state));
    // The part stays while it stops and shows what became of it, though the list is drawn again meanwhile.
    const underWay = requests.some((request) => UNDER_WAY.includes(request.state));
    if (stop?.dataset.phase !== "busy" && underWay) stop = stop?.dataset.phase === "ready" ? stop : stopPart(t("stop_all_open"));
    else if (stop?.dataset.phase === "ready") stop = null;
    const listening = senders.length + Object.keys(feeds).length > 0;
    show(container,
      el("h1", {}, t("nav_requests")),
      el("p", { class: "notice" }, icon("warning"), el("strong", {}, t("emergency"))),
      el("section", {}, el("h2", {}, t("requests_open")),
        open.length ? el("ul", { class: "cards" }, open.map(requestCard)) : el("p", { class: "empty" }, icon("requests"), t("requests_none")),
        stop),
      el("section", {}, el("h2", {}, t("notices")),
        here.length ? el("ul", { class: "cards" }, here.map(noticeCard)) : el("p", { class: "empty" }, t(listening ? "notices_none" : "notices_no_source"))),
      el("div", { class: "buttons" },
        el("a", { class: "button quiet", href: "#/senders" }, icon("phone"), t("senders_open")),
        el("a", { class: "button quiet", href: "#/ledger" }, icon("visits"), t("ledger_open"))),
      done.length > 0 && el("details", {}, el("summary", {}, t("requests_done", { count: done.length })),
        el("ul", { class: "cards" }, done.map(requestCard))),
      el("section", {}, el("h2", {}, t("requests_how")),
        el("ol", { class: "steps" }, [1, 2, 3, 4].map((step) => el("li", {}, t(`requests_step_${step}`)))),
        el("h2", {}, t("requests_promise")),
        el("ul", {}, [1, 2, 3, 4].map((step) => el("li", {}, t(`requests_promise_${step}`))))));
  };
  const drawAnyway = async () => {
    try {
      await draw();
    } catch (error) {
      if (!NO_LEDGER.includes(error.code)) throw error;
      drawWithoutLedger(container, error);
    }
  };
  await drawAnyway();
  return doorbell.onFact((fact) => { if (/notice_heard|consent/.test(fact.kind)) draw().catch(() => { /* the line at the top says it */ }); });
}

/** The list cannot be shown (the ledger is broken): what is being sent can be stopped all the same. */
function drawWithoutLedger(container, error) {
  show(container,
    el("h1", {}, t("nav_requests")),
    el("p", { class: "notice" }, icon("warning"), error.message),
    stopPart(t("stop_all_hint")));
}

/** The button that stops every release at once, and what became of it. */
function stopPart(hint) {
  const message = el("p", { role: "status", class: "message", id: "stopped" });
  const stop = async () => {
    button.disabled = true;
    part.dataset.phase = "busy";
    try {
      const { requests, parcels, recorded_in: where } = await ask("POST", "/withdrawals");
      // Nothing is on its way any more: neither the hint nor the button is true.
      const nothing = where === "ledger" && requests.length === 0 && parcels.length === 0;
      message.textContent = nothing ? t("stopped_none") : [t("stopped_all"), ...parcels.map((parcel) =>
        t("stopped_parcel", { left: bytesText(parcel.left_bytes), size: bytesText(parcel.of_bytes) }))].join(" ");
      part.dataset.phase = "done";
      show(part, message);
    } catch (trouble) {
      message.textContent = trouble.message;
      button.disabled = false;
      part.dataset.phase = "ready";
    }
  };
  const button = el("button", { class: "plain", id: "stop-all", onclick: stop }, t("stop_all"));
  const part = el("section", { id: "stop", "data-phase": "ready" }, el("p", {}, hint), el("div", { class: "buttons" }, button), message);
  return part;
}

function requestCard(request) {
  return el("li", {}, el("a", { class: "card", href: `#/request/${request.handle}` },
    el("strong", {}, t("request_by", { name: request.agency_name })),
    el("span", {}, t("request_case", { case: request.case })),
    el("span", {}, spanText(request.window)),
    el("span", {}, placeText(request.place)),
    el("span", { class: "state" }, t(`state_${request.state.replace(" ", "_")}`))));
}

function noticeCard(notice) {
  const signed = notice.signed_by
    ? t("notice_signed", { name: notice.signed_by })
    : t("notice_unsigned", { name: notice.feed || notice.source });
  const map = notice.area && `/api/notices/map.svg?${new URLSearchParams({ source: notice.source, id: notice.id })}`;
  return el("li", { class: `card notice-card ${notice.severity} ${notice.state}` },
    el("p", { class: "kind" }, t(`notice_${notice.kind}`), notice.severity !== "unknown" && ` · ${t(`severity_${notice.severity}`)}`,
      notice.state !== "current" && ` · ${t(`notice_${notice.state}`)}`),
    el("h3", {}, notice.headline),
    notice.text && el("p", { class: "text" }, notice.text),
    notice.area_text && el("p", { class: "hint" }, notice.area_text),
    map && el("details", {}, el("summary", {}, t("map_show")), el("img", { class: "map", src: map, alt: t("map_notice"), loading: "lazy" })),
    el("p", { class: "hint" }, `${signed} · ${whenText(new Date(notice.sent * 1000))} · ${t("until", { when: whenText(new Date(notice.expires * 1000)) })}`));
}

/** From when until when something was asked for. */
export function spanText(window) {
  return t("span", { from: whenText(new Date(window.start * 1000)), until: whenText(new Date(window.end * 1000)) });
}

const NEAR_M = 30;

/** Where an area is, seen from home. */
export function placeText({ across_m: across, distance_m: distance, direction }) {
  const values = { across: lengthMetres(across), distance: lengthMetres(distance), direction: t(`direction_${direction}`) };
  return t(distance < NEAR_M ? "place_here" : "place", values);
}
