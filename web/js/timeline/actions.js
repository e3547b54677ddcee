// @ts-check
// The actions of the timeline's buttons and keys, by name.
import { say } from "../i18n/say.js";
import { copySchedule, pasteSchedule } from "./clipboard.js";
import * as operations from "./operations.js";
import { clock } from "./strip.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

const ZOOM_STEP = 1.5;
const LAST_ONE = "A story needs at least one prompt.";
const NO_ROOM = "There is no room for it: make the story longer, or set the prompts further apart.";

/** @type {Record<string, (timeline: Timeline, amount: number) => unknown>} */
export const ACTIONS = {
  focusBy: (timeline, amount) => timeline.setFocus(timeline.focus + amount),
  focusEnd: (timeline, amount) => timeline.setFocus(amount < 0 ? 0 : Infinity),
  moveCursor: (timeline, amount) => timeline.moveCursor(amount),
  edit: (timeline) => editPrompt(timeline, timeline.focus),
  add: addPrompt,
  split: (timeline) => {
    const done = timeline.apply((schedule) => operations.split(schedule, timeline.focus, timeline.view.cursor_s));
    if (!done) timeline.showProblem(say(NO_ROOM));
  },
  duplicate: (timeline) => timeline.apply((schedule) => operations.duplicate(schedule, timeline.focus)),
  remove: (timeline) => {
    const done = timeline.apply((schedule) => operations.remove(schedule, timeline.focus));
    if (!done) timeline.showProblem(say(LAST_ONE));
  },
  move: (timeline, amount) =>
    timeline.apply((schedule) => operations.move(schedule, timeline.focus, timeline.focus + amount)),
  retime: (timeline, amount) => timeline.apply((schedule) => operations.retimeBy(schedule, timeline.focus, amount)),
  retimeFrames: (timeline, amount) =>
    timeline.apply((schedule) => operations.retimeByFrames(schedule, timeline.focus, amount)),
  pin: pinAtCursor,
  undo: (timeline) => timeline.undo(),
  redo: (timeline) => timeline.redo(),
  zoom: ({ view }, amount) => view.zoomTo(view.zoom * ZOOM_STEP ** amount, view.cursor_s),
  fit: ({ view }) => view.zoomTo(1, 0),
  zoomToPrompt: ({ view, shown, focus }) => {
    const placed = shown?.plan.placed[focus];
    if (placed) view.zoomToSpan(placed.start_s, placed.end_s);
  },
  end: (timeline, amount) =>
    timeline.apply((schedule) => operations.setEndBy(schedule, amount, timeline.focus), false),
  takes: (timeline) => timeline.host.openTakes(timeline.focus),
  copy: copySchedule,
  convert: (timeline) => pasteSchedule(timeline, timeline.host.text()),
};

/** Open the editor for a segment's prompt. @param {Timeline} timeline @param {number} index */
export function editPrompt(timeline, index) {
  if (!timeline.writable) return;
  timeline.setFocus(index);
  const { prompt } = timeline.writable.document.segments[index];
  askText(timeline, say("Prompt {0}", index + 1), prompt, (text) =>
    timeline.apply((schedule) => operations.setPrompt(schedule, index, text), false),
  );
}

/** Open the editor for a new prompt, which is kept unless it stays empty. @param {Timeline} timeline */
function addPrompt(timeline) {
  timeline.showDraft(operations.append, false);
  const { draft } = timeline;
  if (!draft) return timeline.showProblem(say(NO_ROOM));
  timeline.view.focusBlock(timeline.focus);
  askText(timeline, say("Prompt {0}", timeline.focus + 1), "", (text) => {
    const change = text ? operations.setPrompt(draft.schedule, draft.change.focus, text) : null;
    if (change) timeline.apply(() => ({ ...change, frames: draft.change.frames }), false);
  });
}

/** Ask for a name, and pin the moment at the cursor. @param {Timeline} timeline */
function pinAtCursor(timeline) {
  const at_s = timeline.view.cursor_s;
  if (!timeline.writable) return;
  askText(timeline, say("Name for the pin at {0}, or nothing", clock(at_s)), "", (name) =>
    timeline.apply((schedule) => operations.addPin(schedule, at_s, name, timeline.focus), false),
  );
}

/**
 * Open the editor.
 * @param {Timeline} timeline @param {string} label @param {string} text @param {(text: string) => void} onText
 */
function askText(timeline, label, text, onText) {
  timeline.view.editor.open(label, text, (written, byKey) => {
    timeline.dropDraft();
    if (written !== null) onText(written);
    if (byKey) timeline.view.focusBlock(timeline.focus);
  });
}
