// @ts-check
// Keys and wheel on the timeline; what it does not use is left to the canvas.
import { actionOf, endActionOf } from "./keys.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

const WHEEL_STEP = 1.22;
const COMMAND_KEYS = ["Control", "Meta"];

/** Keep an event from the canvas and the browser. @param {Event} event */
function consume(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** A key in a field. @param {KeyboardEvent} event */
function onFieldKey(event) {
  // typing must not reach the canvas, which has keys of its own
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  if (event.key === "Enter") event.target?.dispatchEvent(new Event("change"));
}

/**
 * Tell the page that the strip has a history of its own while Ctrl or Cmd is down: newer front ends undo the graph at
 * Ctrl+Z, before any listener of the strip, unless what has the focus is editable.
 * @param {HTMLElement} lane
 */
function keepOwnHistory(lane) {
  const mark = (/** @type {Event} */ { target }) => {
    if (target instanceof HTMLElement) target.contentEditable = "true";
  };
  const end = (/** @type {Event} */ event) => {
    const goesOn = event instanceof KeyboardEvent ? !COMMAND_KEYS.includes(event.key) : event.target !== window;
    if (goesOn) return;
    for (const name of ["keyup", "blur"]) window.removeEventListener(name, end, true);
    lane.removeEventListener("focusin", mark);
    for (const part of lane.querySelectorAll("[contenteditable]")) part.removeAttribute("contenteditable");
  };
  lane.addEventListener("keydown", (event) => {
    if (!COMMAND_KEYS.includes(event.key) || event.repeat) return;
    mark(event);
    // segments are drawn anew by every step
    lane.addEventListener("focusin", mark);
    for (const name of ["keyup", "blur"]) window.addEventListener(name, end, true);
  });
  lane.addEventListener("beforeinput", (event) => event.preventDefault());
}

/** Listen to keys in fields and on segments and pins. @param {Timeline} timeline */
export function listenToKeys(timeline) {
  const { element, view } = timeline;
  keepOwnHistory(view.lane);
  element.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.matches("input, select")) return onFieldKey(event);
    const { pin } = target.dataset;
    const act = view.lane.contains(target) ? actionOf(event) : target === view.handle ? endActionOf(event) : null;
    if (act) timeline.act(...act);
    else if (pin && ["Delete", "Backspace"].includes(event.key)) timeline.removePin(Number(pin));
    else return;
    consume(event);
  });
}

/**
 * Scroll and zoom by the wheel while the strip has the keys; else the wheel is the canvas's.
 * @param {Timeline} timeline
 */
export function listenToWheel(timeline) {
  const { element, view, host } = timeline;
  const onWheel = (/** @type {WheelEvent} */ event) => {
    const { deltaX, deltaY, clientX } = event;
    const focused = view.stage.contains(document.activeElement);
    const own = focused && view.stage.contains(/** @type {Node} */ (event.target));
    if (!own || event.ctrlKey || event.metaKey) return host.wheel(event);
    const sideways = event.shiftKey || Math.abs(deltaX) > Math.abs(deltaY);
    if (sideways) view.scroller.scrollLeft += deltaX || deltaY;
    else view.zoomTo(view.zoom * WHEEL_STEP ** -Math.sign(deltaY), view.secondsAt(clientX));
    consume(event);
  };
  element.addEventListener("wheel", onWheel, { passive: false });
}
