// Asking the doorbell. Every change carries the session's token; what is grave asks for the password once more.
import { dialog, el } from "./dom.js";
import { t } from "./i18n.js";

let token = null;
let onSignedOut = () => {};

export function setToken(value) { token = value; }
export function whenSignedOut(call) { onSignedOut = call; }

/** What the doorbell said when it refused: a sentence, and a word for programs. */
export class Refused extends Error {
  constructor(status, told) {
    super(told.error ?? t("error_status", { status }));
    this.status = status;
    this.code = told.code ?? "";
  }
}

/** The doorbell could not be reached. */
export class Unreachable extends Error {
  constructor() { super(t("error_unreachable")); }
}

async function send(method, path, body, signal) {
  const headers = {};
  if (token && method !== "GET") headers["x-doorbell-token"] = token;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api${path}`, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (answer.ok) {
    const type = answer.headers.get("content-type") ?? "";
    return type.includes("json") ? answer.json() : answer;
  }
  let told = {};
  try { told = await answer.json(); } catch { /* no JSON: the status says it */ }
  if (answer.status === 401) onSignedOut();
  throw new Refused(answer.status, told);
}

const STEPPED_UP_MS = 280_000;
let steppedUpUntil = 0;

/** Ask for what is grave: the password first, unless it was just given; null if the dialog is left. */
export async function askGrave(method, path, body) {
  if (Date.now() > steppedUpUntil && !await stepUp()) return null;
  return ask(method, path, body);
}

/** Ask; what turns out to be grave shows a dialog for the password first, and null comes back if it is left. */
export async function ask(method, path, body, { signal } = {}) {
  try {
    return await send(method, path, body, signal);
  } catch (error) {
    if (error.code !== "step_up") throw error;
  }
  if (!await stepUp()) return null;
  return send(method, path, body, signal);
}

/** Offer SDP (WHEP); return the answer and the place under which the view can be ended. */
export async function askSdp(path, sdp) {
  const headers = { "content-type": "application/sdp", "x-doorbell-token": token };
  const answer = await fetch(`/api${path}`, { method: "POST", headers, body: sdp });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return { sdp: await answer.text(), place: answer.headers.get("location").replace(/^\/api/, "") };
}

/** The visits that began from one moment (a Date or Unix ms) until another, newest first. */
export async function getVisits(from, until) {
  const { columns, rows } = await ask("GET", `/visits?from_wall_us=${Math.floor(from) * 1000}&until_wall_us=${Math.ceil(until) * 1000}`);
  return rows.map((row) => {
    const visit = Object.fromEntries(columns.map((name, place) => [name, row[place]]));
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
    const said = el("p", { class: "error", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      try {
        await send("POST", "/step-up", { password: password.value });
        steppedUpUntil = Date.now() + STEPPED_UP_MS;
        close(true);
      } catch (error) {
        said.textContent = error.message;
        password.select();
      }
    };
    return el("form", { onsubmit: submit },
      el("p", {}, t("step_up_text")),
      el("label", { htmlFor: "step-up" }, t("password")), password, said,
      el("div", { class: "buttons" },
        el("button", { type: "button", class: "quiet", onclick: () => close(null) }, t("cancel")),
        el("button", { type: "submit" }, t("go_on"))),
    );
  });
}

/** Keep a WebSocket open: opened again with a growing delay until the returned function is called. */
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
        // Signed out elsewhere, or only away? The answer of /status tells, and shows the door if need be.
        try { await get("/status"); } catch { /* told by whenSignedOut, or tried again below */ }
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
    // One that is still being opened is closed once it is: browsers complain of less.
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
    else socket?.close();
  };
}
