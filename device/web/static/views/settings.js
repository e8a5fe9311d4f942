// Settings. Each part is saved separately, takes effect immediately, and can be undone.
import { report } from "../act.js";
import { ask, askWithRecentPassword, get, getVisits } from "../api.js";
import { changeSettings, undoChange } from "../config.js";
import { dialog, el, icon, show } from "../dom.js";
import { chooseLanguage, currentLanguage, languages, t, whenText } from "../i18n.js";
import { asksBeforeLeaving, saved } from "../unsaved.js";
import { storagePart } from "./storage.js";

const DAY_MS = 86_400_000;

export async function mount(container, doorbell) {
  const rows = await get("/config");
  const settings = Object.fromEntries(rows.map((row) => [row.key, row]));
  const value = (key) => settings[key].value;
  const message = el("p", { role: "status", class: "message", id: "settings-message" });

  const save = async (changes, button) => {
    if (button) button.disabled = true;
    try {
      if (await changeSettings(changes) !== null) {
        for (const [key, now] of Object.entries(changes)) if (settings[key]) settings[key].value = now;
        if (button) saved(button);
        report(message, t("saved"));
      }
    } catch (error) {
      report(message, error.message, { error: true });
    }
    if (button) button.disabled = false;
  };
  const source = (key) => (settings[key].source === "page" ? el("span", { class: "source" }, t("changed_here")) : null);

  const slider = el("input", {
    id: "sensitivity", type: "range", min: 0, max: 1, step: 0.05, value: value("motion.sensitivity"), "aria-describedby": "sensitivity-help",
    onchange: () => save({ "motion.sensitivity": Number(slider.value) }),
  });
  const quietFrom = el("input", { id: "quiet-from", type: "time", value: value("chime.quiet_hours").slice(0, 5) });
  const quietUntil = el("input", { id: "quiet-until", type: "time", value: value("chime.quiet_hours").slice(6) });
  const saveQuiet = el("button", { onclick: () => save({
    "chime.quiet_hours": quietFrom.value && quietUntil.value ? `${quietFrom.value}-${quietUntil.value}` : "" }, saveQuiet) }, t("save"));
  const noQuiet = el("button", { class: "quiet", onclick: () => { quietFrom.value = ""; quietUntil.value = ""; save({ "chime.quiet_hours": "" }, noQuiet); } }, t("no_quiet_hours"));
  const preRoll = el("input", { id: "pre-roll", type: "number", min: 0, max: 30, step: 1, value: value("clips.pre_roll_s"), inputMode: "numeric" });
  const postRoll = el("input", { id: "post-roll", type: "number", min: 1, max: 120, step: 1, value: value("clips.post_roll_s"), inputMode: "numeric" });
  const saveRolls = el("button", { onclick: () => save({
    "clips.pre_roll_s": Number(preRoll.value), "clips.post_roll_s": Number(postRoll.value) }, saveRolls) }, t("save"));

  const undo = el("button", {
    class: "quiet", id: "undo", onclick: async () => {
      try {
        if (await undoChange() === null) return;
        await doorbell.refresh();
        await mount(container, doorbell);
        report(document.getElementById("settings-message"), t("undone"));
      } catch (error) {
        report(message, error.message, { error: true });
      }
    },
  }, icon("undo"), t("undo"));

  show(container,
    el("h1", {}, t("nav_settings")),
    el("section", {}, el("h2", {}, t("set_motion")),
      el("label", { htmlFor: "sensitivity" }, t("sensitivity"), " ", source("motion.sensitivity")),
      el("div", { class: "range" }, el("span", { "aria-hidden": "true" }, t("fewer")), slider, el("span", { "aria-hidden": "true" }, t("more"))),
      el("p", { class: "hint", id: "sensitivity-help" }, t("sensitivity_help")),
      el("div", { class: "buttons" },
        el("a", { class: "button quiet", href: "#/zones" }, icon("zones"), t("zones_open")),
        await lastMotion())),
    el("section", {}, el("h2", {}, t("set_chime")),
      el("p", { class: "hint" }, t("quiet_help")),
      el("div", { class: "pair" },
        el("div", {}, el("label", { htmlFor: "quiet-from" }, t("quiet_from")), quietFrom),
        el("div", {}, el("label", { htmlFor: "quiet-until" }, t("quiet_until")), quietUntil)),
      el("div", { class: "buttons" }, noQuiet, saveQuiet),
      pageSound(message)),
    el("section", {}, el("h2", {}, t("set_clips")),
      el("div", { class: "pair" },
        el("div", {}, el("label", { htmlFor: "pre-roll" }, t("pre_roll")), preRoll),
        el("div", {}, el("label", { htmlFor: "post-roll" }, t("post_roll")), postRoll)),
      el("div", { class: "buttons" }, saveRolls)),
    storagePart(doorbell, value, message),
    el("section", {}, el("h2", {}, t("readers")),
      el("p", { class: "hint" }, t("readers_hint")),
      el("div", { class: "buttons" }, el("a", { class: "button quiet", href: "#/readers" }, icon("phone"), t("readers_link")))),
    mqttPart(value, save),
    neighbourhoodPart(value, save),
    securityPart(doorbell, message),
    namePart(value, save, doorbell),
    el("section", {}, el("h2", {}, t("set_page")),
      el("label", { htmlFor: "language" }, t("language")),
      el("select", { id: "language", onchange: (event) => chooseLanguage(event.target.value) },
        languages().map(([code, name]) => el("option", { value: code, selected: code === currentLanguage() }, name))),
      el("p", {}, el("a", { href: "/api/docs" }, t("api_link"))),
      location.protocol === "https:" && el("p", {}, el("a", { href: "/ca.crt", download: "doorbell-ca.crt" }, t("ca_link")))),
    el("section", {}, el("h2", {}, t("set_changes")),
      el("p", { class: "hint" }, t("changes_help")),
      changesList(rows),
      el("div", { class: "buttons" }, undo)),
    message);
  const saving = [saveQuiet, saveRolls, ...container.querySelectorAll("#save-storage, #mqtt-save, #hood-save")];
  for (const button of saving) asksBeforeLeaving(button.closest("section"));
}

/** The doorbell's name: on this page, in notifications and in Home Assistant. */
function namePart(value, save, doorbell) {
  const name = el("input", { id: "doorbell-name", maxLength: 64, required: true, value: value("device.name"), "aria-describedby": "doorbell-name-help" });
  const rename = async (event) => {
    event.preventDefault();
    await save({ "device.name": name.value.trim() }, event.submitter);
    doorbell.session.name = (await get("/session")).name;
    document.querySelector("header .name").textContent = document.title = doorbell.session.name;
  };
  return el("section", {}, el("h2", {}, t("set_name")),
    el("form", { onsubmit: rename },
      el("label", { htmlFor: "doorbell-name" }, t("name")), name,
      el("p", { class: "hint", id: "doorbell-name-help" }, t("name_help")),
      el("div", { class: "buttons" }, el("button", { type: "submit", id: "rename" }, t("save")))));
}

async function lastMotion() {
  const until = Date.now() + 60_000;
  const last = (await getVisits(until - 2 * DAY_MS, until)).find((visit) => visit.motions);
  return last && el("a", { class: "button quiet", href: `#/visit/${last.id}` }, icon("motion"), t("why_last"));
}

function pageSound(message) {
  const on = localStorage.getItem("page-sound") !== "off";
  const sound = el("button", {
    class: "chip", "aria-pressed": String(on), onclick: () => {
      localStorage.setItem("page-sound", on ? "off" : "on");
      sound.replaceWith(pageSound(message).firstChild);
    },
  }, icon("bell"), t("page_sound"));
  const canNotify = "Notification" in self && Notification.permission !== "denied";
  const allowed = canNotify && Notification.permission === "granted";
  return el("div", { class: "chips" }, sound, canNotify && el("button", {
    class: "chip", "aria-pressed": String(allowed), disabled: allowed, onclick: async (event) => {
      const found = await Notification.requestPermission();
      event.target.closest("button").setAttribute("aria-pressed", String(found === "granted"));
      report(message, t(found === "granted" ? "notifications_on" : "notifications_off"));
    },
  }, icon("phone"), t("notifications")));
}

function mqttPart(value, save) {
  const enabled = el("input", { id: "mqtt-enabled", type: "checkbox", checked: value("mqtt.enabled") });
  const host = el("input", { id: "mqtt-host", value: value("mqtt.host"), autocomplete: "off", spellcheck: false });
  const port = el("input", { id: "mqtt-port", type: "number", min: 1, max: 65535, value: value("mqtt.port"), inputMode: "numeric" });
  const user = el("input", { id: "mqtt-user", value: value("mqtt.username"), autocomplete: "off", spellcheck: false });
  const password = el("input", { id: "mqtt-password", type: "password", autocomplete: "off", placeholder: value("mqtt.password_file") ? "••••••••" : "" });
  const message = el("p", { role: "status", class: "message", id: "mqtt-message" });
  // A broker on this machine seldom comes alone: Home Assistant's page, on another port, gets this page's cookie too.
  const sameMachine = el("p", { class: "hint", id: "mqtt-same-machine" }, t("mqtt_same_machine"));
  const compare = () => {
    const name = host.value.trim().toLowerCase();
    sameMachine.hidden = !(["localhost", "::1", location.hostname].includes(name) || name.startsWith("127."));
  };
  host.addEventListener("input", compare);
  compare();
  const changes = () => ({
    "mqtt.enabled": enabled.checked, "mqtt.host": host.value.trim(), "mqtt.port": Number(port.value), "mqtt.username": user.value,
    ...(password.value ? { "mqtt.password": password.value } : {}),
  });
  const test = el("button", {
    class: "quiet", id: "mqtt-test", onclick: async () => {
      test.disabled = true;
      message.textContent = t("mqtt_trying");
      try {
        const answer = await askWithRecentPassword("POST", "/mqtt/test", { changes: { ...changes(), "mqtt.enabled": true } });
        message.textContent = answer === null ? "" : t("mqtt_good", { result: answer.result });
      } catch (error) {
        message.textContent = error.message;
      }
      test.disabled = false;
    },
  }, t("mqtt_test"));
  const store = el("button", { id: "mqtt-save", onclick: () => save(changes(), store) }, t("save"));
  return el("section", {}, el("h2", {}, t("set_mqtt")),
    el("p", { class: "hint" }, t("mqtt_help")),
    sameMachine,
    el("label", { class: "check" }, enabled, t("mqtt_enabled")),
    el("div", { class: "pair" },
      el("div", {}, el("label", { htmlFor: "mqtt-host" }, t("mqtt_host")), host),
      el("div", {}, el("label", { htmlFor: "mqtt-port" }, t("mqtt_port")), port)),
    el("div", { class: "pair" },
      el("div", {}, el("label", { htmlFor: "mqtt-user" }, t("mqtt_user")), user),
      el("div", {}, el("label", { htmlFor: "mqtt-password" }, t("password")), password)),
    el("div", { class: "buttons" }, test, store), message);
}

function neighbourhoodPart(value, save) {
  const enabled = el("input", { id: "hood-enabled", type: "checkbox", checked: value("neighbourhood.enabled") });
  const field = (id, key, options) => el("input", { id, value: value(`neighbourhood.${key}`), autocomplete: "off", spellcheck: false, ...options });
  const degrees = { type: "number", step: "any", inputMode: "decimal" };
  const latitude = field("hood-latitude", "latitude", { ...degrees, min: -85, max: 85 });
  const longitude = field("hood-longitude", "longitude", { ...degrees, min: -180, max: 180 });
  const host = field("hood-host", "broker_host");
  const port = field("hood-port", "broker_port", { type: "number", min: 1, max: 65535, inputMode: "numeric" });
  const kbps = field("hood-kbps", "upload_kbps", { type: "number", min: 0, max: 1000000, inputMode: "numeric" });
  const hours = field("hood-hours", "upload_hours", { placeholder: "23:00-06:00" });
  const store = el("button", { id: "hood-save", onclick: () => save({
    "neighbourhood.enabled": enabled.checked, "neighbourhood.latitude": Number(latitude.value), "neighbourhood.longitude": Number(longitude.value),
    "neighbourhood.broker_host": host.value.trim(), "neighbourhood.broker_port": Number(port.value),
    "neighbourhood.upload_kbps": Number(kbps.value), "neighbourhood.upload_hours": hours.value.trim() }, store) }, t("save"));
  return el("section", {}, el("h2", {}, t("set_neighbourhood")),
    el("p", { class: "hint" }, t("neighbourhood_help")),
    el("label", { class: "check" }, enabled, t("neighbourhood_enabled")),
    el("div", { class: "pair" },
      el("div", {}, el("label", { htmlFor: "hood-latitude" }, t("latitude")), latitude),
      el("div", {}, el("label", { htmlFor: "hood-longitude" }, t("longitude")), longitude)),
    el("div", { class: "pair" },
      el("div", {}, el("label", { htmlFor: "hood-host" }, t("server_host")), host),
      el("div", {}, el("label", { htmlFor: "hood-port" }, t("server_port")), port)),
    el("h3", {}, t("set_upload")),
    el("div", { class: "pair" },
      el("div", {}, el("label", { htmlFor: "hood-kbps" }, t("upload_kbps")), kbps),
      el("div", {}, el("label", { htmlFor: "hood-hours" }, t("upload_hours")), hours)),
    el("div", { class: "buttons" }, el("a", { class: "button quiet", href: "#/senders" }, icon("phone"), t("senders_link")), store));
}

function securityPart(doorbell, message) {
  const sessions = el("ul", { class: "sessions" });
  get("/sessions").then((rows) => show(sessions, rows.map((row) =>
    el("li", {}, row.this ? el("strong", {}, t("this_browser")) : agentWords(row.agent), ` · ${t("since", { when: whenText(new Date(row.began_at)) })}`))))
    .catch(() => { /* the list is a help only */ });
  const out = async (path) => {
    try {
      await ask("POST", path);
      location.hash = "";
      location.reload();
    } catch (error) {
      message.textContent = error.message;
    }
  };
  const change = async () => {
    const password = await dialog(t("change_password"), (close) => {
      const wanted = el("input", { id: "wanted", type: "password", required: true, minLength: 10, maxLength: 256, autocomplete: "new-password" });
      return el("form", { onsubmit: (event) => { event.preventDefault(); close(wanted.value); } },
        el("label", { htmlFor: "wanted" }, t("new_password")), wanted, el("p", { class: "hint" }, t("new_password_help")),
        el("div", { class: "buttons" }, el("button", { type: "button", class: "quiet", onclick: () => close(null) }, t("cancel")),
          el("button", { type: "submit" }, t("save"))));
    });
    if (!password) return;
    try {
      if (await askWithRecentPassword("POST", "/password", { password }) !== null) report(message, t("password_changed"));
    } catch (error) {
      message.textContent = error.message;
    }
  };
  return el("section", {}, el("h2", {}, t("set_security")),
    el("p", { class: "hint" }, t("sessions_help")), sessions,
    el("div", { class: "buttons" },
      el("button", { class: "quiet", onclick: change }, t("change_password")),
      el("button", { class: "quiet", id: "logout", onclick: () => out("/logout") }, t("logout")),
      el("button", { class: "quiet danger", id: "logout-everywhere", onclick: () => out("/logout-everywhere") }, t("logout_everywhere"))));
}

function agentWords(agent) {
  const browser = ["Firefox", "Edg", "Chrome", "Safari"].find((name) => agent.includes(name)) ?? "";
  const system = ["iPhone", "iPad", "Android", "Windows", "Mac OS", "Linux"].find((name) => agent.includes(name)) ?? "";
  return [browser.replace("Edg", "Edge"), system].filter(Boolean).join(", ") || t("unknown");
}

function changesList(rows) {
  const changed = rows.filter((row) => row.source === "page");
  if (!changed.length) return el("p", { class: "empty" }, t("no_changes"));
  return el("ul", {}, changed.map((row) => el("li", {}, el("code", {}, row.key))));
}
