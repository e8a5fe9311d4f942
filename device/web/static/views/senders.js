// Senders: pinned departments and sources, feeds; and pinning a new one.
import { acting, report } from "../act.js";
import { ask, askWithRecentPassword, get } from "../api.js";
import { el, icon, show } from "../dom.js";
import { t, whenText } from "../i18n.js";
import { asksBeforeLeaving } from "../unsaved.js";
import { spoken } from "./request.js";

export async function mount(container) {
  const message = el("p", { role: "status", class: "message", id: "senders-message" });
  const act = acting(message, () => draw());
  const draw = async () => {
    const { senders, feeds } = await get("/senders");
    show(container,
      el("p", {}, el("a", { href: "#/requests", class: "back" }, icon("left"), t("nav_requests"))),
      el("h1", {}, t("senders_open")),
      message,
      el("p", { class: "notice" }, icon("warning"), el("strong", {}, t("emergency"))),
      senders.length === 0 && el("p", { class: "empty" }, t("senders_none")),
      senders.map((sender) => el("section", {}, el("h2", {}, sender.name),
        senderFacts(sender),
        el("img", { class: "map", src: `/api/senders/${encodeURIComponent(sender.sender)}/map.svg`, alt: t("map_sender"), loading: "lazy" }),
        el("div", { class: "buttons" }, el("button", {
          class: "quiet danger", onclick: () => act(() => ask("DELETE", `/senders/${encodeURIComponent(sender.sender)}`), "unpinned"),
        }, t("unpin"))))),
      addSender(act, message),
      feedsPart(feeds, act));
  };
  await draw();
}

function senderFacts(sender) {
  const rows = [
    [t("fact_kind"), t(`sender_${sender.kind}`)], [t("fact_letters"), sender.name_code_points],
    [t("fact_contact"), [sender.contact, sender.contact_code_points].filter(Boolean).join(" · ")],
    [t("fact_key"), sender.keys.map((key) => `${spoken(key.kid)} (${t("until", { when: whenText(new Date(key.valid_until * 1000)) })})`).join(", ")],
    [t("fact_sealed"), sender.recipients.map(({ name, age }) => `${name}: ${age}`).join(", ")],
    [t("fact_sent"), sender.uploads.map((upload) => upload.origin).join(", ")],
    [t("fact_record"), String(sender.serial)],
  ];
  return el("dl", { class: "facts" }, rows.filter(([, text]) => text).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
}

function addSender(act, message) {
  const container = el("div", { id: "looked-at" });
  const look = async (file) => {
    if (!file) return;
    try {
      const record = (await file.text()).trim();
      const found = await ask("POST", "/senders/look", { record });
      const map = await ask("POST", "/senders/look/map.svg", { record });
      const drawn = el("img", { class: "map", alt: t("map_sender"), src: URL.createObjectURL(await map.blob()) });
      const rotation = found.pinned;
      const typed = el("input", { id: "fingerprint", autocomplete: "off", spellcheck: false, autocapitalize: "characters" });
      show(container, el("h3", {}, found.name), senderFacts({ ...found, keys: rotation ? found.keys : [] }), drawn,
        rotation ? el("p", {}, t(found.signed_by_pinned_key ? "rotation_help" : "rotation_stranger"))
          : [el("label", { htmlFor: "fingerprint" }, t("fingerprint_type")), el("p", { class: "hint" }, t("fingerprint_help")), typed],
        el("div", { class: "buttons" }, el("button", {
          id: "pin", disabled: rotation && !found.signed_by_pinned_key, onclick: () => act(
            () => (rotation ? askWithRecentPassword("PUT", "/senders", { record }) : askWithRecentPassword("POST", "/senders", { record, fingerprint: typed.value })), "pinned"),
        }, t(rotation ? "rotate" : "pin"))));
    } catch (error) {
      show(container);
      report(message, error.message, { error: true });
    }
  };
  return el("section", {}, el("h2", {}, t("sender_add")),
    el("p", { class: "hint" }, t("sender_add_help")),
    el("label", { htmlFor: "record" }, t("sender_file")),
    el("input", { id: "record", type: "file", accept: ".jws,.txt,text/plain", onchange: (event) => look(event.target.files[0]) }),
    container);
}

function feedsPart(feeds, act) {
  const name = el("input", { id: "feed-name", autocomplete: "off", spellcheck: false, placeholder: "weather" });
  const url = el("input", { id: "feed-url", type: "url", autocomplete: "off", spellcheck: false, placeholder: "https://" });
  return asksBeforeLeaving(el("section", {}, el("h2", {}, t("feeds")),
    el("p", { class: "hint" }, t("feeds_help")),
    el("ul", { class: "sessions" }, Object.entries(feeds).map(([key, address]) => el("li", {},
      el("strong", {}, key), ` ${address} `,
      el("button", { class: "quiet danger", onclick: () => act(() => ask("DELETE", `/feeds/${encodeURIComponent(key)}`), "feed_removed") }, t("remove"))))),
    el("div", { class: "pair" },
      el("div", {}, el("label", { htmlFor: "feed-name" }, t("feed_name")), name),
      el("div", {}, el("label", { htmlFor: "feed-url" }, t("feed_url")), url)),
    el("div", { class: "buttons" }, el("button", {
      id: "feed-add", onclick: () => act(() => askWithRecentPassword("POST", "/feeds", { name: name.value.trim(), url: url.value.trim() }), "feed_added"),
    }, t("feed_add")))));
}
