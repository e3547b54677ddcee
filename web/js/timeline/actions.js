// @ts-check
// What buttons and keys do, by name.
import { say } from "../i18n/say.js";
import * as model from "./operations.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

const ZOOM_STEP = 1.5;
const LAST_ONE = "A story needs at least one prompt.";
export const NO_ROOM = "There is no room for it: make the story longer, or set the prompts further apart.";

/** @type {Record<string, (timeline: Timeline, amount: number) => unknown>} */
export const ACTIONS = {
  focusBy: (timeline, amount) => timeline.setFocus(timeline.focus + amount),
  focusEnd: (timeline, amount) => timeline.setFocus(amount < 0 ? 0 : Infinity),
  moveCursor: (timeline, amount) => timeline.moveCursor(amount),
  edit: (timeline) => timeline.edit(timeline.focus),
  add: (timeline) => timeline.add(),
  split: (timeline) =>
    timeline.apply((story) => model.split(story, timeline.focus, timeline.view.cursor_s)) || timeline.complain(say(NO_ROOM)),
  duplicate: (timeline) => timeline.apply((story) => model.duplicate(story, timeline.focus)),
  remove: (timeline) => timeline.apply((story) => model.remove(story, timeline.focus)) || timeline.complain(say(LAST_ONE)),
  move: (timeline, amount) => timeline.apply((story) => model.move(story, timeline.focus, timeline.focus + amount)),
  retime: (timeline, amount) => timeline.apply((story) => model.retimeBy(story, timeline.focus, amount)),
  retimeFrames: (timeline, amount) => timeline.apply((story) => model.retimeByFrames(story, timeline.focus, amount)),
  pin: (timeline) => timeline.pin(),
  undo: (timeline) => timeline.undo(),
  redo: (timeline) => timeline.redo(),
  zoom: ({ view }, amount) => view.zoomTo(view.zoom * ZOOM_STEP ** amount, view.cursor_s),
  fit: ({ view }) => view.zoomTo(1, 0),
  copy: (timeline) => timeline.copy(),
  convert: (timeline) => timeline.replace(timeline.host.text()),
};
