// A swipe to the side, told from scrolling with a drift.

const MIN_PX = 90;
// A finger that scrolls drifts; a swipe goes at least this many times further across than down.
const FLAT = 3;

/** Call `swiped(toTheRight)` for each flat movement of one finger over `box` that did not scroll it. */
export function onSwipe(box, swiped) {
  let begin = null;
  box.addEventListener("touchstart", ({ touches }) => {
    begin = touches.length === 1
      ? { x: touches[0].clientX, y: touches[0].clientY, top: box.scrollTop } : null;
  }, { passive: true });
  box.addEventListener("touchcancel", () => { begin = null; }, { passive: true });
  box.addEventListener("touchend", ({ changedTouches }) => {
    if (!begin) return;
    const across = changedTouches[0].clientX - begin.x;
    const down = changedTouches[0].clientY - begin.y;
    const flat = Math.abs(across) > MIN_PX && Math.abs(across) > FLAT * Math.abs(down);
    if (flat && box.scrollTop === begin.top) swiped(across > 0);
    begin = null;
  }, { passive: true });
}
