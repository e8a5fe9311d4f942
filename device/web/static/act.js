// A button's work: do it, draw anew, and say what came of it.
import { t } from "./i18n.js";

/** Return a function that calls something, draws anew and says `text`; null means that it was left. */
export function acting(said, draw) {
  return async (call, text) => {
    try {
      if (await call() === null) return;
      await draw();
      said.textContent = t(text);
    } catch (error) {
      said.textContent = error.message;
    }
  };
}
