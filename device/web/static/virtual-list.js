// A list of any length; only the visible rows are in the document. All rows have the same height.

/** Show `rows(index)` for `count` rows in `box`, which scrolls; returns {update, focus}. */
export function virtualList(box, rowHeight, makeRow) {
  const list = document.createElement("ol");
  list.className = "virtual";
  box.replaceChildren(list);
  let count = 0;
  let alive = new Map();
  let asked = 0;
  let wanted = -1;

  const draw = () => {
    asked = 0;
    const first = Math.max(0, Math.floor(box.scrollTop / rowHeight) - 4);
    const last = Math.min(count, Math.ceil((box.scrollTop + box.clientHeight) / rowHeight) + 4);
    const now = new Map();
    for (let index = first; index < last; index += 1) {
      let row = alive.get(index);
      if (!row) {
        row = document.createElement("li");
        row.style.transform = `translateY(${index * rowHeight}px)`;
        row.setAttribute("aria-posinset", String(index + 1));
        row.setAttribute("aria-setsize", String(count));
        row.append(makeRow(index));
        list.append(row);
      }
      now.set(index, row);
      alive.delete(index);
    }
    for (const row of alive.values()) row.remove();
    alive = now;
    if (wanted >= 0 && alive.has(wanted)) {
      alive.get(wanted).querySelector("a, button")?.focus({ preventScroll: true });
      wanted = -1;
    }
  };
  const soon = () => { if (!asked) asked = requestAnimationFrame(draw); };
  box.addEventListener("scroll", soon, { passive: true });
  const watching = new ResizeObserver(soon);
  watching.observe(box);
  return {
    /** Another list, from the top unless `stay`. */
    update(newCount, { stay = false } = {}) {
      count = newCount;
      for (const row of alive.values()) row.remove();
      alive = new Map();
      list.style.height = `${count * rowHeight}px`;
      if (!stay) box.scrollTop = 0;
      draw();
    },
    /** Bring a row into view and focus it. */
    focus(index) {
      wanted = Math.max(0, Math.min(count - 1, index));
      const top = wanted * rowHeight;
      if (top < box.scrollTop) box.scrollTop = top;
      else if (top + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = top + rowHeight - box.clientHeight;
      draw();
    },
    scrollTo(index) { box.scrollTop = index * rowHeight; draw(); },
    indexOf(node) {
      for (const [index, row] of alive) if (row.contains(node)) return index;
      return -1;
    },
    stop() { watching.disconnect(); cancelAnimationFrame(asked); },
  };
}
