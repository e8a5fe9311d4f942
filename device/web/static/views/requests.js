// The Neighbourhood view: requests of police departments, notices of sources, links to senders and ledger.
import { ask, get } from "../api.js";
import { el, icon, show } from "../dom.js";
import { bytesText, t, whenText } from "../i18n.js";

const OPEN = ["offered", "approved", "sealed", "handed over"];

export async function mount(container, doorbell) {
  const draw = async () => {
    const [requests, { notices }, { senders, feeds }] = await Promise.all([get("/requests"), get("/notices"), get("/senders")]);
    const here = notices.filter((notice) => notice.here);
    const open = requests.filter((request) => OPEN.includes(request.state));
    const done = requests.filter((request) => !OPEN.includes(request.state));
    const listening = senders.length + Object.keys(feeds).length > 0;
    show(container,
      el("h1", {}, t("nav_requests")),
      el("p", { class: "notice" }, icon("warning"), el("strong", {}, t("emergency"))),
      el("section", {}, el("h2", {}, t("requests_open")),
        open.length ? el("ul", { class: "cards" }, open.map(requestCard)) : el("p", { class: "empty" }, icon("requests"), t("requests_none"))),
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
  try {
    await draw();
  } catch (error) {
    stopAll(container, error);
  }
  return doorbell.onFact((fact) => { if (/notice_heard|consent/.test(fact.kind)) draw().catch(() => { /* the line at the top says it */ }); });
}

/** The list cannot be shown (the ledger is broken): what is being sent can be stopped all the same. */
function stopAll(container, error) {
  const message = el("p", { role: "status", class: "message", id: "stopped" });
  const stop = async () => {
    try {
      const { parcels } = await ask("POST", "/withdrawals");
      message.textContent = [t("stopped_all"), ...parcels.map((parcel) =>
        t("stopped_parcel", { left: bytesText(parcel.left_bytes), size: bytesText(parcel.of_bytes) }))].join(" ");
    } catch (trouble) {
      message.textContent = trouble.message;
    }
  };
  show(container,
    el("h1", {}, t("nav_requests")),
    el("p", { class: "notice" }, icon("warning"), error.message),
    el("p", {}, t("stop_all_hint")),
    el("div", { class: "buttons" }, el("button", { class: "plain", id: "stop-all", onclick: stop }, t("stop_all"))),
    message);
}

function requestCard(request) {
  return el("li", {}, el("a", { class: "card", href: `#/request/${request.handle}` },
    el("strong", {}, t("request_by", { name: request.agency_name })),
    el("span", {}, t("request_case", { case: request.case })),
    el("span", {}, spanText(request.window)),
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
