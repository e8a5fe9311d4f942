// Where each entry of the browser's history was scrolled to, so that going back shows the same place.

// What scrolls in a view, besides the page itself.
const BOX = ".scroller";
const places = new Map();
let now = { number: 0, from: "" };
let shownHash = "";

history.scrollRestoration = "manual";

/** Note where the present entry is; call before its view goes. */
export function leavePlace() {
  places.set(now.number, [scrollY, document.querySelector(BOX)?.scrollTop ?? 0]);
}

/** The address has changed: know the entry that is shown from here on. */
export function enterPlace() {
  if (!history.state?.number) {
    // A new entry follows the one that was shown; what was ahead of that is gone.
    const number = now.number + 1;
    for (const other of places.keys()) if (other >= number) places.delete(other);
    history.replaceState({ number, from: shownHash }, "");
  }
  now = history.state;
  shownHash = location.hash;
}

/** Scroll to where the entry was left, or to the top. */
export function restorePlace() {
  const [page, box] = places.get(now.number) ?? [0, 0];
  scrollTo(0, page);
  const scroller = document.querySelector(BOX);
  if (scroller && box) scroller.scrollTop = box;
}

/** Undo the change of the address that has just come, forwards or back: the view that is shown stays. */
export function stayInPlace() {
  history.go(now.number - (history.state?.number ?? now.number + 1));
}

export const isShown = () => location.hash === shownHash;

const viewOf = (hash) => hash.replace(/^#\/?/, "").split("/")[0];

/** A click on a "back" link goes back in the history if its view was shown just before. */
export function followBack(event) {
  const link = event.target.closest?.("a.back");
  if (!link || !now.from || viewOf(now.from) !== viewOf(link.hash)) return;
  event.preventDefault();
  history.back();
}
