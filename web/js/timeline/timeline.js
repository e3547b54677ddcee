// @ts-check
// The timeline of one node: what the user asks for, done to the text, which stays the only truth.
import { say } from "../i18n/say.js";
import { ACTIONS, NO_ROOM } from "./actions.js";
import { copyText, listenToClipboard } from "./clipboard.js";
import { listen } from "./gestures.js";
import { History } from "./history.js";
import { listenToKeys, listenToWheel } from "./input.js";
import * as model from "./operations.js";
import { segmentAt } from "../schedule/plan.js";
import { Elsewhere, readAny, readOwn } from "./convert.js";
import { clock } from "./strip.js";
import { parseText } from "../schedule/text.js";
import { TextError } from "../schedule/errors.js";
import { chunkShownAt, nearestChunk, startSeconds } from "../schedule/grid.js";
import { View } from "./view.js";

/** @typedef {import("./operations.js").Story} Story */
/** @typedef {import("./operations.js").Change} Change */
/** @typedef {import("./history.js").State} State */
/**
 * @typedef {object} Host what the timeline asks of its node
 * @property {() => string} text
 * @property {(text: string) => void} setText
 * @property {() => string} globalPrompt
 * @property {(prompt: string) => void} setGlobalPrompt
 * @property {() => import("../schedule/plan.js").Setting} setting
 * @property {() => string} locked  why the text cannot be edited here, "" if it can
 * @property {() => boolean} globalLocked
 * @property {(text: string) => Promise<{text?: string, error?: string}>} convert  asks the server
 * @property {(event: WheelEvent) => void} wheel  what the timeline leaves to the canvas
 * @property {() => void} edited  an edit is finished
 */

const FOREIGN = "This schedule is in another form than the timeline edits.";

export class Timeline {
  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    /** @type {Story | null} of the text; null while it cannot be read */
    this.story = null;
    /** @type {Story | null} what the server made of another form */
    this.preview = null;
    /** @type {{change: Change, story: Story} | null} what a drag would do, or a prompt that is being added */
    this.draft = null;
    this.focus = 0;
    this.elsewhere = new Elsewhere(host, (found) => this.showFound(found));
    this.history = new History(this.state());
    this.view = new View((action, amount) => this.act(action, amount), this.wishes());
    this.listen();
    this.refresh();
  }

  get element() {
    return this.view.element;
  }

  /** @returns {import("./inspector.js").Wishes} */
  wishes() {
    return {
      start: (time) => this.apply((story) => model.setStart(story, this.focus, time), false),
      switch: (...kind) => this.apply((story) => model.setSwitch(story, this.focus, ...kind), false),
      seed: (digits) => this.apply((story) => model.setSeed(story, this.focus, digits), false),
      asks: (names) => this.apply((story) => model.setAsks(story, this.focus, names), false),
      global: (prompt) => this.setGlobal(prompt),
    };
  }

  listen() {
    const { view } = this;
    view.track.addEventListener("pointerdown", () => this.settle());
    listen(view.track, {
      cursor: (x, free) => this.setCursor(view.secondsAt(x), free),
      focus: (index) => this.setFocus(index),
      retime: (index, x, free) => this.draw((story) => model.retime(story, index, view.secondsAt(x), free)),
      carry: (index, x) => this.carry(index, view.secondsAt(x)),
      drop: () => this.drop(),
      cancel: () => this.refresh(),
      edit: (index) => this.edit(index),
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

  /** Show what the node says now. */
  refresh() {
    const state = this.state();
    this.history.typed(state, performance.now());
    this.preview = null;
    this.draft = null;
    this.setting = JSON.stringify(this.host.setting());
    this.story = this.read(state.text);
    if (this.story) this.view.notify("");
    else this.elsewhere.ask(state.text);
    this.show();
  }

  /** Another node's values were put in: there is nothing to undo. */
  reset() {
    this.history = new History(this.state());
    this.refresh();
  }

  /** Show the story anew if the sampler's length or frame rate is another one. */
  refreshSetting() {
    if (this.setting !== JSON.stringify(this.host.setting())) this.refresh();
  }

  /** @param {string} text @returns {Story | null} */
  read(text) {
    return readOwn(text, this.host);
  }

  /** What the server made of a text that is not the timeline's. @param {import("./convert.js").Found} found */
  showFound({ story, problem }) {
    this.preview = story;
    if (story) this.view.notify(say(FOREIGN), "foreign", !this.host.locked());
    else this.view.notify(problem);
    this.show();
  }

  get shown() {
    return this.draft?.story ?? this.story ?? this.preview;
  }

  // -- showing ------------------------------------------------------------------------------------------------

  show() {
    const { shown } = this;
    this.focus = Math.max(0, Math.min(this.focus, (shown?.plan.placed.length ?? 1) - 1));
    this.view.draw(shown, this.focus, { dragging: Boolean(this.draft), readable: Boolean(this.story) });
    this.showFields();
  }

  showFields() {
    const locked = this.host.locked();
    const own = this.host.globalPrompt();
    const header = this.story?.document.global?.prompt ?? "";
    const title = own.trim() && header ? say("Takes the place of the text's global: line") : "";
    const editable = !locked && !this.host.globalLocked() && Boolean(this.story || own);
    const global = { value: own.trim() ? own : header, editable, title };
    this.view.inspector.show(this.shown, this.focus, global, Boolean(this.story) && !locked);
    const problem = this.story?.plan.problem ?? "";
    this.view.say(this.draft?.change.said || locked || problem || this.summary(), !this.draft && Boolean(problem));
    this.view.undo.disabled = !this.history.past.length;
    this.view.redo.disabled = !this.history.future.length;
    for (const part of this.view.changing) part.disabled = Boolean(locked) || !this.story;
  }

  summary() {
    const plan = this.shown?.plan;
    if (!plan) return "";
    const prompts = plan.placed.length === 1 ? say("1 prompt") : say("{0} prompts", plan.placed.length);
    const long = say("{0} in {1}", prompts, clock(plan.end_s ?? plan.length_s));
    return this.view.cursor_s ? say("{0}, cursor at {1}", long, clock(this.view.cursor_s)) : long;
  }

  /** @param {import("./run.js").Run} run */
  showRun(run) {
    this.view.run = run;
    this.view.drawWindow();
  }

  /** @param {string} sentence */
  complain(sentence) {
    this.showFields();
    this.view.say(sentence, true);
    this.view.live.textContent = sentence;
  }

  /** @param {number} seconds @param {boolean} free */
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
    this.settle();
    this.focus = Math.max(0, Math.min(index, (this.shown?.plan.placed.length ?? 1) - 1));
    this.view.markFocus(this.focus);
    this.showFields();
    this.view.focusBlock(this.focus);
  }

  /** Take what is written in a field for the segment that it was written for. */
  settle() {
    this.view.editor.close(true);
    const active = document.activeElement;
    if (active instanceof HTMLInputElement && this.element.contains(active)) active.blur();
  }

  // -- edits --------------------------------------------------------------------------------------------------

  get writable() {
    return this.host.locked() ? null : this.story;
  }

  /**
   * Change the text, unless there is a reason not to, which is said. False where there was nothing to do.
   * @param {(story: Story) => Change | null} operation
   * @param {boolean} toBlock  whether the keys go to the segment in focus
   */
  apply(operation, toBlock = true) {
    if (!this.writable) return true;
    const change = this.checked(operation, this.writable);
    if (!change) return change !== null;
    this.focus = change.focus;
    this.write({ text: change.text, globalPrompt: this.host.globalPrompt() });
    this.view.live.textContent = change.said;
    if (toBlock) this.view.focusBlock(this.focus);
    return true;
  }

  /**
   * A change whose text can be read; undefined, once the reason is said, for any other.
   * @param {(story: Story) => Change | null} operation @param {Story} story
   */
  checked(operation, story) {
    try {
      const change = operation(story);
      if (change) parseText(change.text);
      return change;
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      return this.complain(error.message);
    }
  }

  /** @param {State} state */
  write(state) {
    this.history.step(state);
    this.put(state);
  }

  /** @param {State} state */
  put({ text, globalPrompt }) {
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

  /** @param {State | null} state @param {string} said */
  restore(state, said) {
    if (!state) return;
    this.put(state);
    this.view.live.textContent = said;
    this.view.focusBlock(this.focus);
  }

  /**
   * Show what an operation would do.
   * @param {(story: Story) => Change | null} operation
   * @param {boolean} steady  keep the axis, so that what is dragged stays under the pointer
   */
  draw(operation, steady = true) {
    const base = this.writable;
    const change = base && operation(base);
    const story = change && this.read(change.text);
    if (story && steady) story.plan = { ...story.plan, length_s: base.plan.length_s };
    this.draft = change && story ? { change, story } : null;
    if (change) this.focus = change.focus;
    this.show();
  }

  /** @param {number} index @param {number} seconds  where the segment is dragged to */
  carry(index, seconds) {
    this.focus = index;
    // among the places that the segments have before the drag, not those that it shows
    this.draw((story) => model.move(story, index, segmentAt(story.plan, chunkShownAt(seconds, story.plan.fps))));
  }

  /** Keep what a drag showed. */
  drop() {
    const { draft } = this;
    this.draft = null;
    if (!draft || !this.apply(() => draft.change)) this.show();
  }

  /** @param {string} prompt */
  setGlobal(prompt) {
    const inText = this.writable?.document.global && !this.host.globalPrompt().trim();
    if (inText) this.apply((story) => model.setGlobal(story, prompt, this.focus), false);
    else if (!this.host.locked()) this.write({ text: this.host.text(), globalPrompt: prompt });
  }

  /** Write in a segment. @param {number} index */
  edit(index) {
    if (!this.writable) return;
    this.setFocus(index);
    const { prompt } = this.writable.document.segments[index];
    this.ask(say("Prompt {0}", index + 1), prompt, (text) => this.apply((story) => model.setPrompt(story, index, text), false));
  }

  /** A new prompt, which is there once it is written. */
  add() {
    this.draw(model.append, false);
    const { draft } = this;
    if (!draft) return this.complain(say(NO_ROOM));
    this.view.focusBlock(this.focus);
    this.ask(say("Prompt {0}", this.focus + 1), "", (text) => {
      if (text) this.apply(() => model.setPrompt(draft.story, draft.change.focus, text), false);
    });
  }

  /** @param {number} pin  which one */
  removePin(pin) {
    this.apply((story) => model.removePin(story, pin, this.focus));
  }

  /** Ask for a name, and keep the moment at the cursor. */
  pin() {
    const at_s = this.view.cursor_s;
    if (!this.writable) return;
    this.ask(say("Name for the pin at {0}, or nothing", clock(at_s)), "", (name) =>
      this.apply((story) => model.addPin(story, at_s, name, this.focus), false),
    );
  }

  /** @param {string} label @param {string} text @param {(text: string) => void} kept */
  ask(label, text, kept) {
    this.view.editor.open(label, text, (written, byKey) => {
      this.draft = null;
      this.show();
      if (written !== null) kept(written);
      if (byKey) this.view.focusBlock(this.focus);
    });
  }

  // -- actions ------------------------------------------------------------------------------------------------

  /** @param {string} action @param {number} amount */
  act(action, amount = 1) {
    return ACTIONS[action](this, amount);
  }

  /** @param {number} chunks */
  moveCursor(chunks) {
    const plan = this.shown?.plan;
    if (plan) this.setCursor(startSeconds(Math.max(0, nearestChunk(this.view.cursor_s, plan.fps) + chunks), plan.fps));
  }

  // -- in and out ---------------------------------------------------------------------------------------------

  /** The text, with the node's global prompt in it. */
  exported() {
    const { shown } = this;
    const own = this.host.globalPrompt().trim();
    return shown && own ? model.setGlobal(shown, own, 0).text : (shown?.text ?? this.host.text());
  }

  async copy() {
    await copyText(this.exported());
    this.view.say(say("Copied as text."), false);
    this.view.live.textContent = say("Copied as text.");
  }

  /** A whole schedule, in any form, in the place of the text. @param {string} text */
  async replace(text) {
    if (this.host.locked() || !text.trim()) return;
    const { story, problem } = await readAny(text, this.host);
    if (!story) return this.complain(problem);
    this.focus = 0;
    this.write({ text: story.text, globalPrompt: this.host.globalPrompt() });
    this.view.live.textContent = say("Schedule pasted");
    this.view.focusBlock(0);
  }
}
