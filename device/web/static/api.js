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

const READ_MS = 10_000;
const CHANGE_MS = 60_000; // some try a connection, or make a copy first

/** Fetch; head and body have to come within `timeoutMs`. Throws Unreachable, or AbortError if `signal` was aborted. */
async function fetched(path, options, signal, timeoutMs, read) {
  const limit = new AbortController();
  const stop = () => limit.abort();
  signal?.addEventListener("abort", stop);
  const timer = setTimeout(stop, timeoutMs);
  try {
    const answer = await fetch(`/api${path}`, { ...options, signal: limit.signal });
    return await read(answer);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    throw new Unreachable();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** The problem of an answer that is none. */
async function refusal(answer) {
  let problem = {};
  try { problem = await answer.json(); } catch { /* no JSON: the status has to do */ }
  return new Refused(answer.status, problem);
}

/** Another tab may have signed in again: its session has another token. Return whether there is one. */
async function renewToken() {
  const session = await fetched("/session", {}, null, READ_MS, (answer) => (answer.ok ? answer.json() : null)).catch(() => null);
  token = session?.token ?? token;
  return Boolean(token);
}

/** Do `call`; once more if the session has another token by now. */
async function withToken(call) {
  try {
    return await call();
  } catch (error) {
    if (error.code !== "token" || !await renewToken()) throw error;
  }
  return call();
}

function send(method, path, body, signal, timeoutMs = method === "GET" ? READ_MS : CHANGE_MS) {
  return withToken(() => {
    const headers = {};
    if (token && method !== "GET") headers["x-doorbell-token"] = token;
    if (body !== undefined) headers["content-type"] = "application/json";
    const options = { method, headers, keepalive: method === "DELETE", body: body === undefined ? undefined : JSON.stringify(body) };
    return fetched(path, options, signal, timeoutMs, async (answer) => {
      if (answer.ok) {
        const type = answer.headers.get("content-type") ?? "";
        return type.includes("json") ? answer.json() : answer;
      }
      const refused = await refusal(answer);
      if (answer.status === 401) onSignedOut();
      throw refused;
    });
  });
}

const STEPPED_UP_MS = 280_000;
let steppedUpUntil = 0; // of performance.now(), which no wall clock moves

/** Ask for something that needs a recent password; null if the dialog is cancelled. */
export async function askWithRecentPassword(method, path, body) {
  if (performance.now() > steppedUpUntil && !await stepUp()) return null;
  return ask(method, path, body);
}

/** Ask; if the doorbell wants the password again, show a dialog for it; null if that is cancelled. */
export async function ask(method, path, body, { signal, timeoutMs } = {}) {
  try {
    return await send(method, path, body, signal, timeoutMs);
  } catch (error) {
    if (error.code !== "step_up") throw error;
  }
  if (!await stepUp()) return null;
  return send(method, path, body, signal, timeoutMs);
}

/** Send an SDP offer (WHEP); return the answer, and the path that ends the view. */
export function askSdp(path, sdp) {
  return withToken(() => {
    const headers = { "content-type": "application/sdp", "x-doorbell-token": token };
    return fetched(path, { method: "POST", headers, body: sdp }, null, READ_MS, async (answer) => {
      if (!answer.ok) throw await refusal(answer);
      return { sdp: await answer.text(), path: answer.headers.get("location").replace(/^\/api/, "") };
    });
  });
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

/**
 * Keep a WebSocket open until the returned function is called: connect again, with a growing delay, when it ends or
 * when nothing came for `silentMs`. The function has a `send(text)`.
 */
export function keepOpen(path, { onText, onBytes, onOpen, onClose, silentMs }) {
  let socket = null;
  let ended = false;
  let delay = 500;
  let timer = 0;
  let heardMs = 0;
  const open = () => {
    clearTimeout(timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = new WebSocket(`${scheme}://${location.host}/api${path}`);
    socket = mine;
    heardMs = Date.now();
    mine.binaryType = "arraybuffer";
    mine.onopen = () => {
      if (socket !== mine) mine.close();
      else onOpen?.();
    };
    mine.onmessage = ({ data }) => {
      if (socket !== mine) return; // what a stalled link delivers late is of the past
      heardMs = Date.now();
      delay = 500;
      (typeof data === "string" ? onText : onBytes)?.(data);
    };
    mine.onclose = ({ code }) => { if (socket === mine) closed(code === 1008 || code === 1006); };
  };
  const closed = (unsure, silent = false) => {
    socket = null;
    onClose?.({ silent });
    // Signed out elsewhere, or only unreachable? Asking for /status shows the sign-in page if necessary.
    if (unsure) get("/status").catch(() => { /* whenSignedOut handles it, or the retry below */ });
    if (ended) return;
    timer = setTimeout(open, delay);
    delay = Math.min(delay * 2, 10_000);
  };
  const look = () => {
    if (!socket || Date.now() - heardMs < silentMs) return;
    // Its close would wait for an answer of the silent side.
    const old = socket;
    closed(true, true);
    if (old.readyState !== WebSocket.CONNECTING) old.close();
  };
  const again = () => {
    look();
    if (!socket && !ended && !document.hidden) open();
  };
  const watchdog = setInterval(look, 500);
  addEventListener("online", again);
  document.addEventListener("visibilitychange", again);
  open();
  const stop = () => {
    ended = true;
    clearTimeout(timer);
    clearInterval(watchdog);
    removeEventListener("online", again);
    document.removeEventListener("visibilitychange", again);
    // A socket that is still connecting is closed once it is open, so that the browser logs no error.
    const old = socket;
    socket = null;
    if (old && old.readyState !== WebSocket.CONNECTING) old.close();
  };
  stop.send = (text) => { if (socket?.readyState === WebSocket.OPEN) socket.send(text); };
  return stop;
}
