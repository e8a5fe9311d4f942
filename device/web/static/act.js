// What a button does: call something, redraw, and show the result.
import { t } from "./i18n.js";

/** Return a function that calls something, redraws and shows `text` in `message`; null means cancelled. */
export function acting(message, draw) {
  return async (call, text) => {
    try {
      if (await call() === null) return;
      await draw();
      message.textContent = t(text);
    } catch (error) {
      message.textContent = error.message;
    }
  };
}
