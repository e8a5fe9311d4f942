// Strings by key, in the languages of strings/. A missing key is shown as it is, and a test finds it.
const LANGUAGES = ["en", "de"];
const NAMES = { en: "English", de: "Deutsch" };
const STRINGS_MS = 10_000;
let strings = {};
let language = "en";
let locale = "en";

/** Load the chosen language, or the browser's first one that exists. */
export async function loadLanguage() {
  const wanted = [localStorage.getItem("language"), ...navigator.languages].map((tag) => tag?.slice(0, 2));
  language = wanted.find((code) => LANGUAGES.includes(code)) ?? "en";
  // The region decides how times are written: 23:00 or 11:00 PM.
  locale = navigator.languages.find((tag) => tag.slice(0, 2) === language) ?? language;
  strings = await (await fetch(`/static/strings/${language}.json`, { signal: AbortSignal.timeout?.(STRINGS_MS) })).json();
  document.documentElement.lang = language;
}

/** Return a string; {name} in it becomes values.name. For values.count = 1, KEY_one is used if it exists. */
export function t(key, values = {}) {
  const found = (values.count === 1 && strings[`${key}_one`]) || strings[key] || key;
  return found.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Return the string of a code from the doorbell, with its parameters in the reader's units; undefined if there is none. */
export function worded(key, params = {}) {
  if (!(key in strings)) return undefined;
  return t(key, Object.fromEntries(Object.entries(params).map(([name, value]) => [name, shown(name, value)])));
}

function shown(name, value) {
  if (name === "detail" || name === "why") return systemText(value);
  if (name === "key") return labelOf(value);
  if (name === "reason") return t(`reason_${value}`);
  if (name === "state") return t(`state_${value.replace(" ", "_")}`);
  if (typeof value !== "number") return value;
  return name.endsWith("_bytes") ? bytesText(value) : number(value);
}

/** The labels of the settings, as their fields have them. */
const LABELS = {
  "device.name": "name",
  "motion.sensitivity": "sensitivity",
  "motion.quiet_s": "motion_quiet",
  zones: "zones_open",
  masks: "zones_open",
  "clips.pre_roll_s": "pre_roll",
  "clips.post_roll_s": "post_roll",
  "storage.limit_bytes": "storage_limit",
  "storage.longest_age_days": "storage_age",
  "storage.reserve_bytes": "limit_reserve_bytes",
  "storage.log_rows": "limit_log_rows",
  "chime.quiet_hours": "quiet_hours",
  "mqtt.enabled": "mqtt_enabled",
  "mqtt.host": "mqtt_host",
  "mqtt.port": "mqtt_port",
  "mqtt.username": "mqtt_user",
  "mqtt.password_file": "password",
  "mqtt.discovery": "mqtt_discovery",
  "neighbourhood.enabled": "neighbourhood_enabled",
  "neighbourhood.latitude": "latitude",
  "neighbourhood.longitude": "longitude",
  "neighbourhood.broker_host": "server_host",
  "neighbourhood.broker_port": "server_port",
  "neighbourhood.broker_ca_file": "server_ca",
  "neighbourhood.upload_kbps": "upload_kbps",
  "neighbourhood.upload_hours": "upload_hours",
};

/** Return a setting's label; of one without a label, its key. */
export function labelOf(key) {
  return key in LABELS ? t(LABELS[key]) : key;
}

/** Return what a refusal says; undefined if this page does not know its code. A setting may have words of its own. */
export function errorText({ code, params = {} }) {
  const own = params.key && worded(`error_${code}_${params.key.replace(/\W/g, "_")}`, params);
  return own || worded(`error_${code}`, params);
}

/** Return what the operating system says, in the page's language where it is one of its usual errors. */
function systemText(text) {
  const key = `system_${String(text).toLowerCase().replace(/\W+/g, "_")}`;
  return key in strings ? t(key) : text;
}

/** Return what a fault says, and what to do about it, in the page's language. */
export function faultTexts(fault) {
  const params = { subject: fault.subject, ...fault.params };
  const find = (kind) => (fault.reason && worded(`${kind}_${fault.code}_${fault.reason}`, params)) || worded(`${kind}_${fault.code}`, params);
  return { text: find("fault") ?? fault.text, remedy: find("remedy") ?? fault.remedy };
}

export function currentLanguage() {
  return language;
}

export function languages() {
  return LANGUAGES.map((code) => [code, NAMES[code]]);
}

export function chooseLanguage(chosen) {
  localStorage.setItem("language", chosen);
  location.reload();
}

const formats = new Map();
function format(options) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale, options));
  return formats.get(key);
}

export const clock = (at) => format({ hour: "2-digit", minute: "2-digit" }).format(at);
export const clockSeconds = (at) => format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);
export const clockTenths = (at) => format({ hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1 }).format(at);
export const hourSpan = (from, until) => `${from}–${until}`;
export const dayName = (at) => format({ weekday: "long", day: "numeric", month: "long" }).format(at);
export const monthName = (at) => format({ month: "long", year: "numeric" }).format(at);
export const whenText = (at) => format({ dateStyle: "medium", timeStyle: "short" }).format(at);

export function bytesText(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let step = 0;
  while (count >= 1000 && step < units.length - 1) { count /= 1000; step += 1; }
  const digits = { maximumFractionDigits: step > 1 ? 1 : 0 };
  return new Intl.NumberFormat(locale, { style: "unit", unit: units[step], unitDisplay: "short", ...digits }).format(count);
}

export function number(value, digits = 1) {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);
}

export function lengthMetres(metres) {
  const far = metres >= 1000;
  return new Intl.NumberFormat(locale, { style: "unit", unit: far ? "kilometer" : "meter", maximumFractionDigits: far ? 1 : 0 }).format(far ? metres / 1000 : metres);
}

export function lengthText(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The day that a week begins with: 0 is Sunday. */
export function firstWeekday() {
  const info = new Intl.Locale(locale);
  return ((info.getWeekInfo?.() ?? info.weekInfo)?.firstDay ?? 1) % 7;
}

/** The short names of the days of a week, from its first. */
export function weekdayLetters() {
  const sunday = new Date(2023, 0, 1, 12);
  return Array.from({ length: 7 }, (_, index) => {
    const day = new Date(sunday);
    day.setDate(1 + firstWeekday() + index);
    return format({ weekday: "short" }).format(day);
  });
}
