// @ts-check
// Keys and wheel, as far as they are the timeline's and not the canvas's.
import { actionOf } from "./keys.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

const WHEEL_STEP = 1.22;

/** @param {Event} event */
function taken(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** @param {Event} event @param {string} selector */
function comesFrom(event, selector) {
  return /** @type {HTMLElement} */ (event.target).matches(selector);
}

/** @param {KeyboardEvent} event */
function onField(event) {
  // the canvas must not take what is typed for keys of its own
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  if (event.key === "Enter") event.target?.dispatchEvent(new Event("change"));
}

/** @param {Timeline} timeline */
export function listenToKeys(timeline) {
  const { element, view } = timeline;
  element.addEventListener("keydown", (event) => {
    if (comesFrom(event, "input, select")) return onField(event);
    const target = /** @type {HTMLElement} */ (event.target);
    const { pin } = target.dataset;
    const act = view.lane.contains(target) ? actionOf(event) : null;
    if (act) timeline.act(...act);
    else if (pin && ["Delete", "Backspace"].includes(event.key)) timeline.removePin(Number(pin));
    else return;
    taken(event);
  });
}

/** While the strip has the keys the wheel is its own, too; else it is the canvas's. @param {Timeline} timeline */
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
    taken(event);
  };
  element.addEventListener("wheel", onWheel, { passive: false });
}
