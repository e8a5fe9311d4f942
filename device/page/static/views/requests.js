// What agencies ask for: nothing yet. What will stand here, and what never happens.
import { el, icon, show } from "../dom.js";
import { get } from "../api.js";
import { t } from "../i18n.js";

export async function mount(place) {
  await get("/requests");
  show(place,
    el("h1", {}, t("nav_requests")),
    el("div", { class: "empty big" }, icon("requests"), el("p", {}, t("requests_none"))),
    el("section", {}, el("h2", {}, t("requests_how")),
      el("ol", { class: "steps" }, [1, 2, 3, 4].map((step) => el("li", {}, t(`requests_step_${step}`))))),
    el("section", {}, el("h2", {}, t("requests_promise")),
      el("ul", {}, [1, 2, 3, 4].map((step) => el("li", {}, t(`requests_promise_${step}`))))),
    el("p", { class: "notice" }, icon("warning"), el("strong", {}, t("emergency"))));
}
