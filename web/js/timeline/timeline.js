// @ts-check
// The timeline of one schedule node: reads the node's text, shows it, and writes every edit back into it.
import { say, sayError } from "../i18n/say.js";
import { TextError } from "../schedule/errors.js";
import { chunkShownAt, nearestChunk, startSeconds } from "../schedule/grid.js";
import { longer, segmentAt } from "../schedule/plan.js";
import { parseText } from "../schedule/text.js";
import { ACTIONS, editPrompt } from "./actions.js";
import { listenToClipboard } from "./clipboard.js";
import { DelayedReader, readTextForm, understood } from "./convert.js";
import { listenToPointer } from "./gestures.js";
import { History } from "./history.js";
import { listenToKeys, listenToWheel } from "./input.js";
import * as operations from "./operations.js";
import { partOf } from "./partial.js";
import { axisOf } from "./run.js";
import { clock } from "./strip.js";
import { View } from "./view.js";

/** @typedef {import("./operations.js").PlacedSchedule} PlacedSchedule */
/** @typedef {import("./operations.js").Change} Change */
/** @typedef {import("./history.js").State} State */
/** @typedef {(schedule: PlacedSchedule) => Change | null} Operation */
/** @typedef {{change: Change, schedule: PlacedSchedule}} Draft a change that is shown and not written */
/** @typedef {import("./host.js").Host} Host */

const FOREIGN = "This schedule is in another form than the timeline edits.";

export class Timeline {
  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    /** @type {PlacedSchedule | null} of the text; null while it cannot be read */
    this.schedule = null;
    /** @type {PlacedSchedule | null} of a text in another form, converted by the server */
    this.converted = null;
    /** @type {PlacedSchedule | null} the last that could be read */
    this.before = null;
    /** @type {import("./partial.js").Part | null} of a text with faulty lines, the rest of it */
    this.part = null;
    /** @type {Draft | null} of a drag, or of a prompt that is being added */
    this.draft = null;
    this.focus = 0;
    /** how long the axis must be for the run on show, in seconds */
    this.axis_s = 0;
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
      end: (x) => this.dragEnd(x),
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
    return { text: this.host.text(), globalPrompt: this.host.globalPrompt(), story: this.host.story() };
  }

  /** Read the node's text and show it. */
  refresh() {
    const state = this.state();
    this.history.typed(state, performance.now());
    this.draft = null;
    this.setting = JSON.stringify(this.host.setting());
    const unknown = this.host.unknown();
    this.before = unknown ? null : this.schedule ?? this.converted ?? this.before;
    this.converted = null;
    this.schedule = unknown ? null : this.read(state.text);
    this.part = unknown || this.schedule ? null : partOf(state.text, this.host);
    if (unknown || this.schedule) this.view.showNotice(unknown);
    else this.delayedReader.read(state.text);
    this.show();
  }

  /** Start anew with other values of the node: there is nothing to undo. */
  reset() {
    this.history = new History(this.state());
    this.told = this.host.text(); // a workflow that opens is no news
    this.schedule = this.converted = this.before = this.part = null;
    this.refresh();
  }

  /** Show the schedule anew if the sampler's length or frame rate has changed, or a text that is linked. */
  refreshSetting() {
    const same = this.setting === JSON.stringify(this.host.setting()) && this.history.present.text === this.host.text();
    if (!same) this.refresh();
  }

  /** @param {string} text @param {number} [frames]  the sampler's length, if it is to be another @returns {PlacedSchedule | null} */
  read(text, frames) {
    return readTextForm(text, this.host, frames);
  }

  /** Show a text in another form as the server converts it. @param {import("./convert.js").ReadResult} result */
  showConverted(result) {
    this.converted = result.schedule;
    if (result.schedule) {
      const read = understood(result);
      this.view.showNotice(`${say(FOREIGN)} ${say("It reads as {0}.", read)}`, "foreign", !this.host.locked());
      this.tell(read);
    } else this.view.showNotice(sayError(result.problem));
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
    // while a text cannot be read, what it said before stays in sight
    const schedule = this.draft?.schedule ?? this.schedule ?? this.converted ?? this.part?.schedule ?? this.before;
    return schedule && { ...schedule, plan: longer(schedule.plan, this.axis_s) };
  }

  // -- showing ------------------------------------------------------------------------------------------------

  show() {
    const { shown } = this;
    this.focus = Math.max(0, Math.min(this.focus, (shown?.plan.placed.length ?? 1) - 1));
    const readable = Boolean(this.schedule || this.part);
    this.view.draw(shown, this.focus, { dragging: Boolean(this.draft), readable, bad: this.part?.bad ?? [] });
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
    const problem = sayError(this.schedule?.plan.problem ?? "");
    const message = this.draft?.change.announcement || locked || problem || this.summary();
    this.view.showMessage(message, !this.draft && Boolean(problem));
    this.view.undo.disabled = !this.history.past.length;
    this.view.redo.disabled = !this.history.future.length;
    for (const part of this.view.changing) part.disabled = Boolean(locked) || !this.schedule;
    this.view.showHandle(!locked && this.schedule ? this.shown?.plan ?? null : null);
  }

  /** How many prompts and how long, in one line. */
  summary() {
    const plan = this.shown?.plan;
    if (!plan) return "";
    const prompts = plan.placed.length === 1 ? say("1 prompt") : say("{0} prompts", plan.placed.length);
    const whole = say("{0} in {1}", prompts, clock(plan.end_s ?? plan.length_s));
    const { prompts: later, pins } = plan.beyond;
    const left = later + pins ? say("left out after the end: prompts {0}, pins {1}", later, pins) : "";
    const long = [whole, left, this.renders()].filter(Boolean).join("; ");
    return this.view.cursor_s ? say("{0}, cursor at {1}", long, clock(this.view.cursor_s)) : long;
  }

  /** How much of the story the next run renders, in a few words; "" where that is all of it, or not known. */
  renders() {
    const { kept } = this.view;
    if (!kept?.chunk) return "";
    if (kept.renders_s === null || kept.of_s === null) return say("kept until {0}", clock(kept.until_s));
    return say("renders {0} of {1}", clock(kept.renders_s), clock(kept.of_s));
  }

  /** Show what is kept of the story. @param {import("../lib/kept.js").Kept | null} kept  null where it is not known */
  showKept(kept) {
    if (JSON.stringify(kept) === JSON.stringify(this.view.kept)) return;
    this.view.kept = kept;
    this.view.drawWindow();
    // a problem that is on show stays
    if (!this.view.message.classList.contains("mft-bad")) this.showFields();
  }

  /** @param {import("./run.js").Run} run */
  showRun(run) {
    this.view.run = run;
    // a story without an end goes on past what the text plans
    const axis_s = axisOf(run);
    const grown = axis_s !== this.axis_s && Math.max(axis_s, this.axis_s) > (this.view.plan?.length_s ?? Infinity);
    this.axis_s = axis_s;
    if (grown) this.show();
    else this.view.drawWindow();
  }

  /** Show and announce a problem. @param {string} sentence */
  showProblem(sentence) {
    const told = sayError(sentence);
    this.showFields();
    this.view.showMessage(told, true);
    this.view.announce(told);
  }

  /** Set the cursor at the nearest start of a chunk, or freely. @param {number} seconds @param {boolean} free */
  setCursor(seconds, free = false) {
    const plan = this.shown?.plan;
    if (!plan) return;
    const snapped = startSeconds(nearestChunk(seconds, plan), plan);
    const wanted = free ? Math.round(seconds * plan.fps) / plan.fps : snapped;
    this.view.cursor_s = Math.max(0, Math.min(plan.length_s, wanted));
    this.host.look(this.view.cursor_s);
    this.view.drawWindow();
    this.showFields();
  }

  /** @param {number} index */
  setFocus(index) {
    this.finishTyping();
    this.focus = Math.max(0, Math.min(index, (this.shown?.plan.placed.length ?? 1) - 1));
    this.view.markFocus(this.focus);
    const placed = this.shown?.plan.placed[this.focus];
    if (placed) this.host.look(placed.start_s);
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
    this.write({ ...this.state(), text: change.text, length: change.frames });
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
    this.history.step(state, this.host.setting().frames);
    this.writeToNode(state);
  }

  /** @param {State} state */
  writeToNode({ text, globalPrompt, story, length }) {
    if (length !== undefined && this.host.setting().frames !== length) this.host.setLength(length);
    if (this.host.globalPrompt() !== globalPrompt) this.host.setGlobalPrompt(globalPrompt);
    if (this.host.text() !== text) this.host.setText(text);
    if (this.host.story() !== story) this.host.setStory(story);
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
    const change = base && this.checkedChange(operation, base);
    const schedule = change && this.read(change.text, change.frames);
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
      const place = segmentAt(schedule.plan, chunkShownAt(seconds, schedule.plan));
      return operations.move(schedule, index, place);
    });
  }

  /** Show the story ending at another place. @param {number} clientX  where its end is dragged to */
  dragEnd(clientX) {
    // on the axis before the drag, which the draft makes longer or shorter
    const seconds = this.view.shareAt(clientX) * Math.max(this.schedule?.plan.length_s ?? 0, this.axis_s);
    this.showDraft((schedule) => operations.setEnd(schedule, seconds, this.focus), false);
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
    else if (!this.host.locked()) this.write({ ...this.state(), globalPrompt: prompt });
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
    if (plan) this.setCursor(startSeconds(Math.max(0, nearestChunk(this.view.cursor_s, plan) + chunks), plan));
  }
}
