// Requests to the doorbell. Every change carries the session's token; some need the password again.
import { dialog, el } from "./dom.js";
import { errorText, faultTexts, t } from "./i18n.js";

let token = null;
let onSignedOut = () => {};

export function setToken(value) { token = value; }
export function whenSignedOut(call) { onSignedOut = call; }

/** Return a refusal for a reason that is also a fault's, such as a broker that refuses the login. */
function faultError({ code, params }) {
  const fault = faultTexts({ code, reason: params?.reason, params });
  return fault.text && `${fault.text} ${fault.remedy}`;
}

/** The doorbell's refusal: a sentence for people, and a code for programs. */
export class Refused extends Error {
  constructor(status, problem) {
    super(errorText(problem) ?? faultError(problem) ?? problem.error ?? t("error_status", { status }));
    this.status = status;
    this.code = problem.code ?? "";
  }
}

/** The doorbell could not be reached. */
export class Unreachable extends Error {
  constructor() { super(t("error_unreachable")); }
}

/** Another tab may have signed in again: its session has another token. Return whether there is one. */
async function renewToken() {
  const answer = await fetch("/api/session").catch(() => null);
  token = answer?.ok ? (await answer.json()).token : token;
  return Boolean(token);
}

async function send(method, path, body, signal, again = false) {
  const headers = {};
  if (token && method !== "GET") headers["x-doorbell-token"] = token;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api${path}`, {
      method, headers, signal, keepalive: method === "DELETE", body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (answer.ok) {
    const type = answer.headers.get("content-type") ?? "";
    return type.includes("json") ? answer.json() : answer;
  }
  let problem = {};
  try { problem = await answer.json(); } catch { /* no JSON: the status has to do */ }
  if (problem.code === "token" && !again && await renewToken()) return send(method, path, body, signal, true);
  if (answer.status === 401) onSignedOut();
  throw new Refused(answer.status, problem);
}

const STEPPED_UP_MS = 280_000;
let steppedUpUntil = 0; // of performance.now(), which no wall clock moves

/** Ask for something that needs a recent password; null if the dialog is cancelled. */
export async function askWithRecentPassword(method, path, body) {
  if (performance.now() > steppedUpUntil && !await stepUp()) return null;
  return ask(method, path, body);
}

/** Ask; if the doorbell wants the password again, show a dialog for it; null if that is cancelled. */
export async function ask(method, path, body, { signal } = {}) {
  try {
    return await send(method, path, body, signal);
  } catch (error) {
    if (error.code !== "step_up") throw error;
  }
  if (!await stepUp()) return null;
  return send(method, path, body, signal);
}

/** Send an SDP offer (WHEP); return the answer, and the path that ends the view. */
export async function askSdp(path, sdp, again = false) {
  const headers = { "content-type": "application/sdp", "x-doorbell-token": token };
  const answer = await fetch(`/api${path}`, { method: "POST", headers, body: sdp });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    if (problem.code === "token" && !again && await renewToken()) return askSdp(path, sdp, true);
    throw new Refused(answer.status, problem);
  }
  return { sdp: await answer.text(), path: answer.headers.get("location").replace(/^\/api/, "") };
}

/** The rings, and visits without a ring, from one moment (a Date or Unix ms) until another, newest first. */
export async function getVisits(from, until, { kind = "all", most = 20_000 } = {}) {
  const { columns, rows } = await ask("GET", `/visits?from_wall_us=${Math.floor(from) * 1000}&until_wall_us=${Math.ceil(until) * 1000}&kind=${kind}&most=${most}`);
  return rows.map((row) => {
    const visit = Object.fromEntries(columns.map((name, index) => [name, row[index]]));
    visit.starred = visit.clips.some((clip) => clip[3]);
    return visit;
  });
}

export const get = (path, options) => ask("GET", path, undefined, options);

function stepUp() {
  return dialog(t("step_up_title"), (close) => {
    const password = el("input", {
      type: "password", name: "password", autocomplete: "current-password", required: true, id: "step-up",
    });
    const message = el("p", { class: "error", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      try {
        await send("POST", "/step-up", { password: password.value });
        steppedUpUntil = performance.now() + STEPPED_UP_MS;
        close(true);
      } catch (error) {
        message.textContent = error.message;
        password.select();
      }
    };
    return el("form", { onsubmit: submit },
      el("p", {}, t("step_up_text")),
      el("label", { htmlFor: "step-up" }, t("password")), password, message,
      el("div", { class: "buttons" },
        el("button", { type: "button", class: "quiet", onclick: () => close(null) }, t("cancel")),
        el("button", { type: "submit" }, t("go_on"))),
    );
  });
}

/** Keep a WebSocket open: reconnect with a growing delay until the returned function is called. */
export function keepOpen(path, { onText, onBytes, onOpen, onClose }) {
  let socket = null;
  let ended = false;
  let delay = 500;
  let timer = 0;
  const open = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/api${path}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { delay = 500; onOpen?.(); };
    socket.onmessage = ({ data }) => {
      if (!ended) (typeof data === "string" ? onText : onBytes)?.(data);
    };
    socket.onclose = async (event) => {
      if (ended) return;
      onClose?.();
      if (event.code === 1008 || event.code === 1006) {
        // Signed out elsewhere, or only unreachable? Asking for /status shows the sign-in page if necessary.
        try { await get("/status"); } catch { /* whenSignedOut handles it, or the retry below */ }
      }
      if (ended) return;
      timer = setTimeout(open, delay);
      delay = Math.min(delay * 2, 10_000);
    };
  };
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    // A socket that is still connecting is closed once it is open, so that the browser logs no error.
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
    else socket?.close();
  };
}
