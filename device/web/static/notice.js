// A notice that arrives while the page is open: shown on any view until it is dismissed.
import { el, icon } from "./dom.js";
import { t } from "./i18n.js";

let shown = null;

export function announceNotice(notice) {
  shown?.remove();
  const gone = notice.state !== "current";
  const close = () => { shown?.remove(); shown = null; };
  shown = el("div", { class: `announced ${notice.severity}`, role: "alert" },
    icon("warning"),
    el("div", {},
      el("strong", {}, gone ? t("notice_gone", { headline: notice.headline }) : notice.headline),
      el("p", {}, notice.signed_by ? t("notice_signed", { name: notice.signed_by }) : t("notice_unsigned", { name: notice.feed || notice.source })),
      el("p", { class: "hint" }, t("emergency"))),
    el("div", { class: "buttons" },
      el("a", { class: "button quiet", href: "#/requests", onclick: close }, t("look")),
      el("button", { class: "quiet", onclick: close }, t("close"))));
  document.body.append(shown);
}
