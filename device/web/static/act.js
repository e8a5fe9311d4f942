// What a button does: call something, redraw, and show the result.
import { t } from "./i18n.js";

const STAYS_MS = 6000;
let pressed = null;
for (const kind of ["click", "change"]) document.addEventListener(kind, (event) => { pressed = event.target; }, true);

/**
 * Show what became of an action, in the part of the view that asked for it, so that it covers nothing. Good news goes
 * by itself; an error stays until the next action.
 */
export function report(message, text, { error = false } = {}) {
  const part = pressed?.isConnected && pressed.closest("#view section");
  if (part) part.append(message);
  message.classList.toggle("error", error);
  message.textContent = "";
  // A reader of the screen speaks a text that comes after its place.
  setTimeout(() => {
    message.textContent = text;
    message.scrollIntoView({ block: "nearest" });
  }, 20);
  if (!error) setTimeout(() => { if (message.textContent === text) message.textContent = ""; }, STAYS_MS);
}

/** Return a function that calls something, redraws and shows `text` in `message`; null means cancelled. */
export function acting(message, draw) {
  return async (call, text) => {
    try {
      if (await call() === null) return;
      await draw();
      report(message, t(text));
    } catch (error) {
      report(message, error.message, { error: true });
    }
  };
}
