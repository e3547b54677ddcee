// @ts-check
// Pointer gestures on the track: set the cursor, drag an edge, drag a segment to another place.

/** @typedef {{clientX: number, altKey: boolean}} Point x is in pixels of the page */
/** @typedef {{from: number, moved: boolean, dragged: (at: Point) => void, click: ((at: Point) => void) | null}} Press */
/**
 * @typedef {object} Gestures what the gestures do
 * @property {(x: number, free: boolean) => void} cursor
 * @property {(index: number) => void} focus
 * @property {(index: number, x: number, free: boolean) => void} retime  while it is dragged
 * @property {(index: number, x: number) => void} move  while it is dragged
 * @property {(x: number) => void} end  while the story's end is dragged
 * @property {() => void} keep    at the end of a drag
 * @property {() => void} cancel
 * @property {(index: number) => void} edit
 */

const CLICK_PX = 5;

/**
 * The element of a kind that an event is on or in.
 * @param {Event} event @param {string} selector @returns {HTMLElement | null}
 */
function under(event, selector) {
  return /** @type {Element} */ (event.target).closest(selector);
}

/**
 * Begin a press: what to do on every move, and on a click.
 * @param {Gestures} gestures @param {PointerEvent} event
 */
function begin(gestures, event) {
  if (under(event, ".mft-handle")) {
    return { dragged: (/** @type {Point} */ at) => gestures.end(at.clientX), click: null };
  }
  const edge = under(event, ".mft-edge");
  if (edge) {
    const index = Number(edge.dataset.index);
    gestures.focus(index);
    return { dragged: (/** @type {Point} */ at) => gestures.retime(index, at.clientX, at.altKey), click: null };
  }
  const block = under(event, ".mft-block");
  const toCursor = (/** @type {Point} */ at) => gestures.cursor(at.clientX, at.altKey);
  if (!block) {
    toCursor(event);
    return { dragged: toCursor, click: toCursor };
  }
  const index = Number(block.dataset.index);
  gestures.focus(index);
  return { dragged: (/** @type {Point} */ at) => gestures.move(index, at.clientX), click: toCursor };
}

/** Listen to the pointer on the track. @param {HTMLElement} track @param {Gestures} gestures */
export function listenToPointer(track, gestures) {
  /** @type {Press | null} */
  let press = null;
  const end = (/** @type {boolean} */ keep, /** @type {Point | null} */ at) => {
    if (!press) return;
    const { moved, click } = press;
    press = null;
    if (at && !moved) click?.(at);
    else if (keep) gestures.keep();
    else gestures.cancel();
  };
  track.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || under(event, ".mft-pin")) return;
    track.setPointerCapture(event.pointerId);
    press = { from: event.clientX, moved: false, ...begin(gestures, event) };
    event.preventDefault();
  });
  track.addEventListener("pointermove", (event) => {
    if (!press) return;
    press.moved ||= Math.abs(event.clientX - press.from) >= CLICK_PX;
    if (press.moved) press.dragged(event);
  });
  track.addEventListener("pointerup", (event) => end(true, event));
  track.addEventListener("pointercancel", () => end(false, null));
  track.addEventListener("keydown", (event) => {
    if (event.key === "Escape") end(false, null);
  });
  track.addEventListener("dblclick", (event) => {
    // the captured pointer's events all name the track
    const block = document.elementFromPoint(event.clientX, event.clientY)?.closest(".mft-block");
    if (block) gestures.edit(Number(/** @type {HTMLElement} */ (block).dataset.index));
  });
}
