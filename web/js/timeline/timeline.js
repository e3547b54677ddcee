// @ts-check
// The timeline of one schedule node: reads the node's text, shows it, and writes every edit back into it.
import { say } from "../i18n/say.js";
import { TextError } from "../schedule/errors.js";
import { chunkShownAt, nearestChunk, startSeconds } from "../schedule/grid.js";
import { segmentAt } from "../schedule/plan.js";
import { parseText } from "../schedule/text.js";
import { ACTIONS, editPrompt } from "./actions.js";
import { listenToClipboard } from "./clipboard.js";
import { DelayedReader, readTextForm, understood } from "./convert.js";
import { listenToPointer } from "./gestures.js";
import { History } from "./history.js";
import { listenToKeys, listenToWheel } from "./input.js";
import * as operations from "./operations.js";
import { clock } from "./strip.js";
import { View } from "./view.js";

/** @typedef {import("./operations.js").PlacedSchedule} PlacedSchedule */
/** @typedef {import("./operations.js").Change} Change */
/** @typedef {import("./history.js").State} State */
/** @typedef {(schedule: PlacedSchedule) => Change | null} Operation */
/** @typedef {{change: Change, schedule: PlacedSchedule}} Draft a change that is shown and not written */
/**
 * @typedef {object} Host what the timeline needs of its node and of the page
 * @property {() => string} text
 * @property {(text: string) => void} setText
 * @property {() => string} globalPrompt
 * @property {(prompt: string) => void} setGlobalPrompt
 * @property {() => import("../schedule/plan.js").Setting} setting
 * @property {() => string} locked  why the text cannot be edited here, "" if it can
 * @property {() => boolean} globalLocked
 * @property {(text: string) => Promise<{text?: string, error?: string, said?: import("../i18n/say.js").Message[]}>} convert  another form to the text form, by the server
 * @property {(sentence: string) => void} tell  shows a sentence for a while
 * @property {(event: WheelEvent) => void} wheel  passes an event to the canvas
 * @property {() => void} edited  called after every edit
 */

const FOREIGN = "This schedule is in another form than the timeline edits.";

export class Timeline {
  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    /** @type {PlacedSchedule | null} of the text; null while it cannot be read */
    this.schedule = null;
    /** @type {PlacedSchedule | null} of a text in another form, converted by the server */
    this.converted = null;
    /** @type {Draft | null} of a drag, or of a prompt that is being added */
    this.draft = null;
    this.focus = 0;
    /** the text of which was told what was understood */
    this.told = "";
    this.delayedReader = new DelayedReader(host, (result) => this.showConverted(result));
    this.history = new History(this.state());
    this.view = new View((action, amount) => this.act(action, amount), this.fieldHandlers());
    this.listen();
    this.refresh();
  }

  get element() {
    return this.view.element;
  }

  /** What the fields change. @returns {import("./inspector.js").FieldHandlers} */
  fieldHandlers() {
    return {
      start: (time) => this.apply((schedule) => operations.setStart(schedule, this.focus, time), false),
      switch: (...kind) => this.apply((schedule) => operations.setSwitch(schedule, this.focus, ...kind), false),
      seed: (digits) => this.apply((schedule) => operations.setSeed(schedule, this.focus, digits), false),
      asks: (names) => this.apply((schedule) => operations.setAsks(schedule, this.focus, names), false),
      global: (prompt) => this.setGlobal(prompt),
    };
  }

  listen() {
    const { view } = this;
    view.track.addEventListener("pointerdown", () => this.finishTyping());
    listenToPointer(view.track, {
      cursor: (x, free) => this.setCursor(view.secondsAt(x), free),
      focus: (index) => this.setFocus(index),
      retime: (index, x, free) =>
        this.showDraft((schedule) => operations.retime(schedule, index, view.secondsAt(x), free)),
      move: (index, x) => this.dragTo(index, view.secondsAt(x)),
      keep: () => this.keepDraft(),
      cancel: () => this.refresh(),
      edit: (index) => editPrompt(this, index),
    });
    listenToKeys(this);
    listenToWheel(this);
    listenToClipboard(this);
  }

  // -- reading ------------------------------------------------------------------------------------------------

  /** @returns {State} */
  state() {
    return { text: this.host.text(), globalPrompt: this.host.globalPrompt() };
  }

  /** Read the node's text and show it. */
  refresh() {
    const state = this.state();
    this.history.typed(state, performance.now());
    this.converted = null;
    this.draft = null;
    this.setting = JSON.stringify(this.host.setting());
    this.schedule = this.read(state.text);
    if (this.schedule) this.view.showNotice("");
    else this.delayedReader.read(state.text);
    this.show();
  }

  /** Start anew with other values of the node: there is nothing to undo. */
  reset() {
    this.history = new History(this.state());
    // a workflow that opens is no news
    this.told = this.host.text();
    this.refresh();
  }

  /** Show the schedule anew if the sampler's length or frame rate has changed. */
  refreshSetting() {
    if (this.setting !== JSON.stringify(this.host.setting())) this.refresh();
  }

  /** @param {string} text @returns {PlacedSchedule | null} */
  read(text) {
    return readTextForm(text, this.host);
  }

  /** Show a text in another form as the server converts it. @param {import("./convert.js").ReadResult} result */
  showConverted(result) {
    this.converted = result.schedule;
    if (result.schedule) {
      const read = understood(result);
      this.view.showNotice(`${say(FOREIGN)} ${say("It reads as {0}.", read)}`, "foreign", !this.host.locked());
      this.tell(read);
    } else this.view.showNotice(result.problem);
    this.show();
  }

  /** Tell once for each text what was understood of it. @param {string} read */
  tell(read) {
    const text = this.host.text();
    if (this.told !== text) this.host.tell(read);
    this.told = text;
  }

  /** The schedule on show. */
  get shown() {
    return this.draft?.schedule ?? this.schedule ?? this.converted;
  }

  // -- showing ------------------------------------------------------------------------------------------------

  show() {
    const { shown } = this;
    this.focus = Math.max(0, Math.min(this.focus, (shown?.plan.placed.length ?? 1) - 1));
    this.view.draw(shown, this.focus, { dragging: Boolean(this.draft), readable: Boolean(this.schedule) });
    this.showFields();
  }

  /** Show the fields, the message line and which buttons work. */
  showFields() {
    const locked = this.host.locked();
    const own = this.host.globalPrompt();
    const header = this.schedule?.document.global?.prompt ?? "";
    const title = own.trim() && header ? say("Takes the place of the text's global: line") : "";
    const editable = !locked && !this.host.globalLocked() && Boolean(this.schedule || own);
    const global = { value: own.trim() ? own : header, editable, title };
    this.view.inspector.show(this.shown, this.focus, global, Boolean(this.schedule) && !locked);
    const problem = this.schedule?.plan.problem ?? "";
    const message = this.draft?.change.announcement || locked || problem || this.summary();
    this.view.showMessage(message, !this.draft && Boolean(problem));
    this.view.undo.disabled = !this.history.past.length;
    this.view.redo.disabled = !this.history.future.length;
    for (const part of this.view.changing) part.disabled = Boolean(locked) || !this.schedule;
  }

  /** How many prompts and how long, in one line. */
  summary() {
    const plan = this.shown?.plan;
    if (!plan) return "";
    const prompts = plan.placed.length === 1 ? say("1 prompt") : say("{0} prompts", plan.placed.length);
    const whole = say("{0} in {1}", prompts, clock(plan.end_s ?? plan.length_s));
    const { prompts: later, pins } = plan.beyond;
    const left = later + pins ? say("left out after the end: prompts {0}, pins {1}", later, pins) : "";
    const long = [whole, left].filter(Boolean).join("; ");
    return this.view.cursor_s ? say("{0}, cursor at {1}", long, clock(this.view.cursor_s)) : long;
  }

  /** @param {import("./run.js").Run} run */
  showRun(run) {
    this.view.run = run;
    this.view.drawWindow();
  }

  /** Show and announce a problem. @param {string} sentence */
  showProblem(sentence) {
    this.showFields();
    this.view.showMessage(sentence, true);
    this.view.announce(sentence);
  }

  /** Set the cursor at the nearest start of a chunk, or freely. @param {number} seconds @param {boolean} free */
  setCursor(seconds, free = false) {
    const plan = this.shown?.plan;
    if (!plan) return;
    const snapped = startSeconds(nearestChunk(seconds, plan.fps), plan.fps);
    const wanted = free ? Math.round(seconds * plan.fps) / plan.fps : snapped;
    this.view.cursor_s = Math.max(0, Math.min(plan.length_s, wanted));
    this.view.drawWindow();
    this.showFields();
  }

  /** @param {number} index */
  setFocus(index) {
    this.finishTyping();
    this.focus = Math.max(0, Math.min(index, (this.shown?.plan.placed.length ?? 1) - 1));
    this.view.markFocus(this.focus);
    this.showFields();
    this.view.focusBlock(this.focus);
  }

  /** End typing in a field, so that its value goes to the segment that it was typed for. */
  finishTyping() {
    this.view.editor.close(true);
    const active = document.activeElement;
    if (active instanceof HTMLInputElement && this.element.contains(active)) active.blur();
  }

  // -- edits --------------------------------------------------------------------------------------------------

  /** The schedule, if it can be edited. */
  get writable() {
    return this.host.locked() ? null : this.schedule;
  }

  /**
   * Change the text, or show why it cannot be changed. False where there was nothing to do.
   * @param {Operation} operation
   * @param {boolean} toBlock  whether the segment in focus gets the keys
   */
  apply(operation, toBlock = true) {
    if (!this.writable) return true;
    const change = this.checkedChange(operation, this.writable);
    if (!change) return change !== null;
    this.focus = change.focus;
    this.write({ text: change.text, globalPrompt: this.host.globalPrompt() });
    this.view.announce(change.announcement);
    if (toBlock) this.view.focusBlock(this.focus);
    return true;
  }

  /**
   * A change whose text can be read; for any other, show why and return undefined.
   * @param {Operation} operation @param {PlacedSchedule} schedule
   */
  checkedChange(operation, schedule) {
    try {
      const change = operation(schedule);
      if (change) parseText(change.text);
      return change;
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      return this.showProblem(error.message);
    }
  }

  /** Write a state to the node, as a step of undo. @param {State} state */
  write(state) {
    this.history.step(state);
    this.writeToNode(state);
  }

  /** @param {State} state */
  writeToNode({ text, globalPrompt }) {
    if (this.host.globalPrompt() !== globalPrompt) this.host.setGlobalPrompt(globalPrompt);
    if (this.host.text() !== text) this.host.setText(text);
    this.refresh();
    this.host.edited();
  }

  undo() {
    if (!this.host.locked()) this.restore(this.history.undo(), say("Undone"));
  }

  redo() {
    if (!this.host.locked()) this.restore(this.history.redo(), say("Done again"));
  }

  /** @param {State | null} state @param {string} announcement */
  restore(state, announcement) {
    if (!state) return;
    this.writeToNode(state);
    this.view.announce(announcement);
    this.view.focusBlock(this.focus);
  }

  /**
   * Show the result of an operation without writing it.
   * @param {Operation} operation
   * @param {boolean} keepAxis  so that a dragged segment stays under the pointer
   */
  showDraft(operation, keepAxis = true) {
    const base = this.writable;
    const change = base && operation(base);
    const schedule = change && this.read(change.text);
    if (schedule && keepAxis) schedule.plan = { ...schedule.plan, length_s: base.plan.length_s };
    this.draft = change && schedule ? { change, schedule } : null;
    if (change) this.focus = change.focus;
    this.show();
  }

  /** Show a segment moved to a place. @param {number} index @param {number} seconds  where it is dragged to */
  dragTo(index, seconds) {
    this.focus = index;
    this.showDraft((schedule) => {
      // among the places that the segments have before the drag, not those that it shows
      const place = segmentAt(schedule.plan, chunkShownAt(seconds, schedule.plan.fps));
      return operations.move(schedule, index, place);
    });
  }

  /** Show the schedule without the draft. */
  dropDraft() {
    this.draft = null;
    this.show();
  }

  /** Write the draft, as at the end of a drag. */
  keepDraft() {
    const { draft } = this;
    this.draft = null;
    if (!draft || !this.apply(() => draft.change)) this.show();
  }

  /** Set the global prompt, in the text if it has one, else in the node's own widget. @param {string} prompt */
  setGlobal(prompt) {
    const inText = this.writable?.document.global && !this.host.globalPrompt().trim();
    if (inText) this.apply((schedule) => operations.setGlobal(schedule, prompt, this.focus), false);
    else if (!this.host.locked()) this.write({ text: this.host.text(), globalPrompt: prompt });
  }

  /** @param {number} pin  which one */
  removePin(pin) {
    this.apply((schedule) => operations.removePin(schedule, pin, this.focus));
  }

  // -- actions ------------------------------------------------------------------------------------------------

  /** Do an action of a button or key. @param {string} action @param {number} amount */
  act(action, amount = 1) {
    return ACTIONS[action](this, amount);
  }

  /** Move the cursor by some chunks. @param {number} chunks */
  moveCursor(chunks) {
    const plan = this.shown?.plan;
    if (plan) this.setCursor(startSeconds(Math.max(0, nearestChunk(this.view.cursor_s, plan.fps) + chunks), plan.fps));
  }
}
