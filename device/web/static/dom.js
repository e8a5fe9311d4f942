// The few functions that replace a framework.

/** Make an element: properties by name, "on…" listeners, data and aria as attributes; children may be null. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG, where everything is an attribute. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children, true);
}

function fill(node, properties, children, attributes = false) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (!attributes && name in node && !name.includes("-") && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An icon of icons.svg. The text beside it, or its button's label, gives its meaning. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("use", { href: `/static/icons/icons.svg#${name}` }));
}

/** Put other children into a node. */
export function show(node, ...children) {
  node.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
}

/** Show a dialog; resolves to what `close(value)` was called with, null if it was left. */
export function dialog(title, build) {
  return new Promise((resolve) => {
    let answer = null;
    const box = el("dialog", { "aria-labelledby": "dialog-title" });
    const close = (value) => { answer = value; box.close(); };
    box.append(el("h2", { id: "dialog-title" }, title), build(close));
    box.addEventListener("close", () => { box.remove(); resolve(answer); });
    document.body.append(box);
    box.showModal();
  });
}
