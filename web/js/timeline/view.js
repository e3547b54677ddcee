// @ts-check
// The timeline's elements, with zoom and scrolling. Clicks, keys and edits are handled by timeline.js.
import { say } from "../i18n/say.js";
import { el, percent, showChildren } from "../lib/dom.js";
import { button } from "./button.js";
import { Editor } from "./editor.js";
import { Inspector } from "./inspector.js";
import { NO_RUN } from "./run.js";
import * as strip from "./strip.js";
import { Wave } from "./wave.js";

/** @typedef {import("./operations.js").PlacedSchedule} PlacedSchedule */
/** @typedef {import("../schedule/plan.js").Plan} Plan */
/** @typedef {(action: string, amount?: number) => unknown} Act */

const WIDEST_CHUNK_PX = 96;
// faces of buttons that are no icons
const WORDS = ["Takes", "Copy as text"];

// left out by screen readers
const HIDDEN = { "aria-hidden": "true" };

export class View {
  zoom = 1;
  run = NO_RUN;
  cursor_s = 0;
  /** @type {Plan | null} */
  plan = null;
  /** @type {import("../lib/kept.js").Kept | null} of the story, as far as it is known */
  kept = null;
  /** @type {import("../lib/controls.js").Placed[]} of the story, as far as they are known */
  controls = [];
  /** @type {Map<string, HTMLElement>} thumbnails on show */
  images = new Map();

  ruler = el("div", { class: "mft-ruler", ...HIDDEN });
  pins = el("div", { class: "mft-pins" });
  lane = el("div", {
    class: "mft-lane",
    role: "listbox",
    "aria-label": say("Prompts"),
    "aria-orientation": "horizontal",
  });
  controlParts = el("div", { class: "mft-controls", role: "list", "aria-label": say("Controls") });
  wave = new Wave();
  marks = el("div", { class: "mft-run", ...HIDDEN });
  keptParts = el("div", { class: "mft-kept", ...HIDDEN });
  end = el("div", { class: "mft-end", ...HIDDEN });
  handle = el("div", { class: "mft-handle", role: "slider", tabindex: 0, hidden: "" });
  badLines = el("div", { class: "mft-bad-lines" });
  cursor = el("div", { class: "mft-cursor", ...HIDDEN });
  playhead = el("div", { class: "mft-playhead", hidden: "", ...HIDDEN });
  rows = [this.ruler, this.pins, this.lane, this.controlParts, this.wave.element, this.keptParts, this.marks];
  track = el("div", { class: "mft-track" }, ...this.rows, this.end, this.badLines, this.playhead, this.cursor, this.handle);
  scroller = el("div", { class: "mft-view" }, this.track);
  sentence = el("span");
  message = el("div", { class: "mft-message" });
  announcement = el("div", { class: "mft-live", role: "status", "aria-live": "polite" });
  editor = new Editor();

  /** @param {Act} act @param {import("./inspector.js").FieldHandlers} handlers */
  constructor(act, handlers) {
    this.inspector = new Inspector(handlers);
    this.convert = button(say("Convert to text"), say("Convert to text"), "", () => act("convert"));
    this.notice = el("div", { class: "mft-notice", role: "alert", hidden: "" }, this.sentence, this.convert);
    // the attribute asks Vue nodes for the wheel while something in here has the focus
    const stage = { class: "mft-stage", "data-capture-wheel": "true" };
    this.stage = el("div", stage, this.scroller, this.notice, this.editor.box);
    const buttons = toolbar(act);
    this.undo = buttons.undo;
    this.redo = buttons.redo;
    /** Buttons that change the text. */
    this.changing = buttons.changing;
    const fields = [this.inspector.element, this.inspector.globalRow];
    const parts = [buttons.bar, this.stage, ...fields, this.message, this.announcement];
    this.element = el("div", { class: "mft", role: "group", "aria-label": say("Prompt timeline") }, ...parts);
    this.scroller.addEventListener("scroll", () => this.drawWindow());
    new ResizeObserver(() => this.drawWindow()).observe(this.scroller);
  }

  // -- the schedule --------------------------------------------------------------------------------------------

  /**
   * Draw a schedule.
   * @param {PlacedSchedule | null} schedule @param {number} focus
   * @param {{dragging: boolean, readable: boolean, bad: import("./partial.js").BadMark[]}} how  readable: the node's text
   *   can be read, but for some lines
   */
  draw(schedule, focus, { dragging, readable, bad }) {
    const held = this.lane.contains(document.activeElement);
    this.plan = schedule?.plan ?? null;
    this.element.classList.toggle("mft-unread", !readable);
    this.lane.classList.toggle("mft-dragging", dragging);
    this.drawPlan(focus);
    this.badLines.replaceChildren(...(this.plan ? strip.badMarks(bad, this.plan) : []));
    if (held) this.focusBlock(focus);
    this.drawWindow();
  }

  /** Draw segments and pins. @param {number} focus */
  drawPlan(focus) {
    const { plan } = this;
    const blocks = plan?.placed.map((_, index) => strip.block(plan, index, index === focus)) ?? [];
    this.lane.replaceChildren(...blocks, ...(plan ? strip.edges(plan) : []));
    this.pins.replaceChildren(...(plan ? strip.pins(plan) : []));
    this.end.hidden = !plan || plan.end_s === null || plan.end_s >= plan.length_s - 1e-6;
    if (plan) this.end.style.left = percent(plan.end_s ?? 0, plan.length_s);
  }

  /** Show the handle at the story's end; null hides it. @param {Plan | null} plan */
  showHandle(plan) {
    const end_s = plan?.end_s ?? null;
    this.handle.hidden = plan === null || end_s === null;
    if (plan === null || end_s === null) return;
    this.handle.style.left = percent(Math.min(end_s, plan.length_s), plan.length_s);
    this.handle.classList.toggle("mft-at-end", end_s > plan.length_s - 1e-6);
    const title = say("The story ends at {0}", strip.clock(end_s));
    this.handle.title = `${title}\n${say("Drag it to make the story longer or shorter (or use the arrow keys)")}`;
    for (const [name, value] of Object.entries({ label: title, valuenow: end_s.toFixed(2), valuetext: title })) {
      this.handle.setAttribute(`aria-${name}`, value);
    }
  }

  /** Draw what depends on zoom and scrolling: ruler, grid, run. */
  drawWindow() {
    this.track.style.width = `${this.zoom * 100}%`;
    const { plan } = this;
    this.wave.place(plan);
    if (!plan) {
      for (const part of [this.ruler, this.controlParts, this.keptParts, this.marks]) part.replaceChildren();
      return;
    }
    const pixelsPerSecond = Math.max(1, this.track.clientWidth) / plan.length_s;
    const left_s = this.scroller.scrollLeft / pixelsPerSecond;
    const window = { left_s, right_s: left_s + this.scroller.clientWidth / pixelsPerSecond, pixelsPerSecond };
    const marks = strip.runMarks(this.run, plan, window, this.images);
    this.ruler.replaceChildren(...strip.ticks(plan, window));
    showChildren(this.marks, marks);
    for (const [key, image] of this.images) if (image.parentElement !== this.marks) this.images.delete(key);
    this.controlParts.replaceChildren(...strip.controlMarks(this.controls, plan));
    this.keptParts.replaceChildren(...strip.keptMarks(this.kept, plan));
    this.element.classList.toggle("mft-ran", marks.length > 0);
    strip.showGrid(this.track, plan, window);
    this.cursor.style.left = percent(Math.min(this.cursor_s, plan.length_s), plan.length_s);
  }

  /** Show where a film of the story plays. @param {number} time_s */
  showPlayhead(time_s) {
    const { plan } = this;
    this.playhead.hidden = !plan || time_s > plan.length_s;
    if (plan) this.playhead.style.left = percent(Math.min(time_s, plan.length_s), plan.length_s);
  }

  /** Show the controls of the story. @param {import("../lib/controls.js").Placed[]} controls */
  showControls(controls) {
    if (JSON.stringify(controls) === JSON.stringify(this.controls)) return;
    this.controls = controls;
    this.drawWindow();
  }

  /** Show the wave of the story's sound. @param {import("./wave.js").Sound | null} sound */
  showSound(sound) {
    this.wave.set(sound);
    this.wave.place(this.plan);
  }

  blocks() {
    return /** @type {HTMLElement[]} */ ([...this.lane.querySelectorAll(".mft-block")]);
  }

  /** Mark the segment in focus. @param {number} focus */
  markFocus(focus) {
    this.blocks().forEach((block, index) => {
      block.tabIndex = index === focus ? 0 : -1;
      block.setAttribute("aria-selected", String(index === focus));
    });
  }

  /** Give the segment in focus the keys, and bring it into view. @param {number} focus */
  focusBlock(focus) {
    const block = this.blocks()[focus];
    if (!block) return;
    block.focus({ preventScroll: true });
    const [left, right] = [block.offsetLeft, block.offsetLeft + block.offsetWidth];
    const { scrollLeft, clientWidth } = this.scroller;
    if (right > scrollLeft && left < scrollLeft + clientWidth) return;
    this.scroller.scrollLeft = left - clientWidth / 4;
  }

  // -- messages -----------------------------------------------------------------------------------------------

  /** Show a line below the strip. @param {string} sentence @param {boolean} bad  whether it is a problem */
  showMessage(sentence, bad) {
    this.message.textContent = sentence;
    this.message.classList.toggle("mft-bad", bad);
  }

  /** Let screen readers read a sentence. @param {string} sentence */
  announce(sentence) {
    this.announcement.textContent = sentence;
  }

  /**
   * Show over the strip why it cannot be edited.
   * @param {string} sentence "" for nothing @param {"" | "foreign"} kind
   */
  showNotice(sentence, kind = "", convertible = false) {
    this.sentence.textContent = sentence;
    this.convert.hidden = !convertible;
    this.notice.hidden = !sentence;
    this.notice.classList.toggle("mft-foreign", kind === "foreign");
  }

  // -- zoom ---------------------------------------------------------------------------------------------------

  /**
   * Zoom around a moment.
   * @param {number} zoom  1 shows the whole story @param {number} still_s  the moment that stays where it is
   */
  zoomTo(zoom, still_s) {
    const { plan, scroller, track } = this;
    if (!plan) return;
    const most = Math.max(1, (plan.chunks * WIDEST_CHUNK_PX) / Math.max(1, scroller.clientWidth));
    const share = still_s / plan.length_s;
    const before = share * track.clientWidth - scroller.scrollLeft;
    const inView = before >= 0 && before <= scroller.clientWidth;
    this.zoom = Math.min(most, Math.max(1, zoom));
    this.drawWindow();
    scroller.scrollLeft = share * track.clientWidth - (inView ? before : scroller.clientWidth / 2);
    this.drawWindow();
  }

  /** Zoom to a stretch of the story. @param {number} start_s @param {number} end_s */
  zoomToSpan(start_s, end_s) {
    const { plan, scroller, track } = this;
    if (!plan) return;
    const middle_s = (start_s + end_s) / 2;
    this.zoomTo((0.9 * plan.length_s) / Math.max(end_s - start_s, 1e-6), middle_s);
    scroller.scrollLeft = (middle_s / plan.length_s) * track.clientWidth - scroller.clientWidth / 2;
    this.drawWindow();
  }

  /** Where on the axis a pointer is, as a share of its length. @param {number} clientX */
  shareAt(clientX) {
    const { left, width } = this.track.getBoundingClientRect();
    return (clientX - left) / width;
  }

  /** The moment under a pointer. @param {number} clientX */
  secondsAt(clientX) {
    return this.shareAt(clientX) * (this.plan?.length_s ?? 0);
  }
}

/** The toolbar and those of its buttons that can be disabled. @param {Act} act */
function toolbar(act) {
  const make = (/** @type {string} */ label, face = "", keys = "", action = face, amount = 1) =>
    button(say(label), WORDS.includes(face) ? say(face) : face, keys, () => act(action, amount));
  const undo = make("Undo", "undo", "Ctrl+Z");
  const redo = make("Redo", "redo", "Ctrl+Y");
  const changing = [
    make("Add a prompt at the end: the story becomes longer", "add", "A"),
    make("Split the prompt at the cursor", "split", "S"),
    make("Duplicate the prompt", "duplicate", "D"),
    make("Delete the prompt", "remove", "Delete"),
    make("Pin the moment at the cursor, so that it is remembered", "pin", "P"),
  ];
  const looking = [
    make("Zoom out", "zoomOut", "-", "zoom", -1),
    make("Zoom in", "zoomIn", "+", "zoom", 1),
    make("Zoom to this prompt", "zoomToPrompt", "Z"),
    make("Show the whole story", "fit", "0"),
    make("Takes of this prompt: what earlier runs have made of it", "Takes", "", "takes"),
    make("Copy as text", "Copy as text", "", "copy"),
  ];
  const parts = [...changing, undo, redo, el("span", { class: "mft-gap" }), ...looking];
  const bar = el("div", { class: "mft-bar", role: "toolbar", "aria-label": say("Timeline") }, ...parts);
  return { bar, undo, redo, changing };
}
