// Claim the doorbell with the claim code, or sign in.
import { ask, setToken } from "../api.js";
import { el, show } from "../dom.js";
import { t } from "../i18n.js";

export function mount(container, doorbell, entered) {
  const claiming = !doorbell.session.claimed;
  const message = el("p", { class: "error", role: "alert" });
  const code = el("input", {
    id: "code", name: "code", required: true, autocomplete: "one-time-code", autocapitalize: "characters",
    spellcheck: false, maxLength: 20, placeholder: "ABCDE-12345", "aria-describedby": "code-help",
  });
  const password = el("input", {
    id: "password", name: "password", type: "password", required: true, maxLength: 256,
    minLength: claiming ? 10 : 1, autocomplete: claiming ? "new-password" : "current-password",
    "aria-describedby": claiming ? "password-help" : undefined,
  });
  const button = el("button", { type: "submit" }, t(claiming ? "claim_button" : "login_button"));
  const submit = async (event) => {
    event.preventDefault();
    message.textContent = "";
    button.disabled = true;
    try {
      const body = claiming ? { code: code.value, password: password.value } : { password: password.value };
      const { token } = await ask("POST", claiming ? "/claim" : "/login", body);
      setToken(token);
      await entered();
    } catch (error) {
      message.textContent = error.message;
      if (error.code === "claimed") await entered();
      button.disabled = false;
      (error.code === "wrong_code" ? code : password).select();
    }
  };
  show(container, el("main", { class: "alone" },
    el("h1", {}, doorbell.session.name),
    el("p", { class: "lead" }, t(claiming ? "claim_lead" : "login_lead")),
    el("form", { onsubmit: submit },
      claiming && [
        el("label", { htmlFor: "code" }, t("claim_code")), code,
        el("p", { id: "code-help", class: "hint" }, t("claim_code_help")),
      ],
      el("label", { htmlFor: "password" }, t(claiming ? "new_password" : "password")), password,
      claiming && el("p", { id: "password-help", class: "hint" }, t("new_password_help")),
      message,
      button),
    !claiming && el("p", { class: "hint" }, t("login_forgot")),
  ));
  (claiming ? code : password).focus();
}
