// @ts-check
// Keys and wheel on the timeline; what it does not use is left to the canvas.
import { actionOf } from "./keys.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

const WHEEL_STEP = 1.22;

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

/** Listen to keys in fields and on segments and pins. @param {Timeline} timeline */
export function listenToKeys(timeline) {
  const { element, view } = timeline;
  element.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.matches("input, select")) return onFieldKey(event);
    const { pin } = target.dataset;
    const act = view.lane.contains(target) ? actionOf(event) : null;
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
