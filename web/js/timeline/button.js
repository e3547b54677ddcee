// @ts-check
// Make the buttons of the timeline's toolbar, with an icon or a text on them.
import { el } from "../lib/dom.js";

// stroked paths on a 16 x 16 grid
const PATHS = {
  add: "M8 3v10M3 8h10",
  split: "M8 2v12M6 5.5 3.5 8 6 10.5M10 5.5 12.5 8 10 10.5",
  duplicate: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  remove: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.7 9h5.6l.7-9",
  pin: "M8 9.5V14M5 9.5h6L9.8 7V3h-3.6v4z",
  undo: "M6 3 3 6l3 3M3 6h6a3.5 3.5 0 0 1 0 7H6",
  redo: "M10 3l3 3-3 3M13 6H7a3.5 3.5 0 0 0 0 7h3",
  zoomOut: "M4 8h8",
  zoomIn: "M8 4v8M4 8h8",
  zoomToPrompt: "M2.5 4v8M13.5 4v8M8 5.5v5M5.5 8h5",
  fit: "M2.5 4v8M13.5 4v8M5 8h6M6.5 6 4.5 8l2 2M9.5 6l2 2-2 2",
};

/** An icon as inline SVG. @param {keyof typeof PATHS} name */
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/**
 * Make a toolbar button.
 * @param {string} label  read aloud, and shown as a tooltip with the keys
 * @param {keyof typeof PATHS | string} face  name of an icon, or a text
 * @param {string} keys
 * @param {() => void} onPress
 */
export function button(label, face, keys, onPress) {
  const inner = face in PATHS ? icon(/** @type {keyof typeof PATHS} */ (face)) : face;
  const title = keys ? `${label} (${keys})` : label;
  const element = el("button", { type: "button", class: "mft-button", title, "aria-label": label }, inner);
  element.addEventListener("click", onPress);
  return element;
}
