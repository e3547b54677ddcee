// @ts-check
// Operations on a schedule: move, split, retime, pin ... Every one takes a schedule and returns the change of its text,
// or null where there is nothing to do; none changes the schedule that it is given.
import { say } from "../i18n/say.js";
import * as edit from "../schedule/edit.js";
import { TextError } from "../schedule/errors.js";
import { chunkAtOrAfter, nearestChunk, startFrame, startSeconds } from "../schedule/grid.js";
import { blendOf, checkPinName, readSeed } from "../schedule/options.js";
import * as pins from "../schedule/pins.js";
import { durations, planOf, segmentAt } from "../schedule/plan.js";
import { parseText } from "../schedule/text.js";
import { parseTime, writeTime } from "../schedule/time.js";

/** @typedef {import("../schedule/plan.js").Plan} Plan */
/** @typedef {import("../schedule/plan.js").Setting} Setting */
/** @typedef {import("../schedule/text.js").Document} Document */
/** @typedef {{text: string, document: Document, plan: Plan, setting: Setting, globalPrompt: string}} PlacedSchedule */
/**
 * The announcement is for screen readers; frames: what the sampler's length becomes.
 * @typedef {{text: string, focus: number, announcement: string, frames?: number}} Change
 */

/**
 * Read a schedule and place it. Throws TextError.
 * @param {string} text @param {Setting} setting @param {string} globalPrompt @returns {PlacedSchedule}
 */
export function readSchedule(text, setting, globalPrompt = "") {
  const document = parseText(text);
  return { text, document, setting, globalPrompt, plan: planOf(document, setting, globalPrompt) };
}

const NEW_AFTER_S = 5;

function secondsText(/** @type {number} */ seconds) {
  return `${Number(seconds.toFixed(2))} s`;
}

/**
 * The same schedule with a time on every prompt, so that each has a line of its own.
 * @param {PlacedSchedule} schedule
 */
function timed(schedule) {
  const times = schedule.plan.placed.map(({ start_s }) => writeTime("", start_s, schedule.plan));
  return withText(schedule, edit.withTimes(schedule.text, times));
}

/** A schedule read anew from another text. @param {PlacedSchedule} schedule @param {string} text */
function withText({ setting, globalPrompt }, text) {
  return readSchedule(text, setting, globalPrompt);
}

/**
 * A moment as text, the way a segment writes its time.
 * @param {PlacedSchedule} schedule @param {number} index @param {number} seconds
 */
function timeText(schedule, index, seconds) {
  return writeTime(edit.writtenTime(schedule.document, index), seconds, schedule.plan);
}

/** @param {PlacedSchedule} schedule @param {number} chunk */
function secondsOf(schedule, chunk) {
  return startSeconds(chunk, schedule.plan);
}

/** The chunks between a segment's neighbours, at which it may start. @param {Plan} plan @param {number} index */
function startRange({ placed, chunks }, index) {
  const next = placed[index + 1]?.chunk ?? Infinity;
  return { low: placed[index - 1].chunk + 1, high: Math.min(next - 1, Math.max(chunks, placed[index].chunk) + 8) };
}

// -- times ----------------------------------------------------------------------------------------------------

/**
 * Start a segment at another moment, between its neighbours.
 * @param {PlacedSchedule} schedule @param {number} index @param {number} seconds
 * @param {boolean} free  true: exactly then; false: at the nearest start of a chunk
 * @returns {Change | null}
 */
export function retime(schedule, index, seconds, free = false) {
  if (index === 0) return null;
  const { fps } = schedule.plan;
  const { low, high } = startRange(schedule.plan, index);
  const chunk = Math.min(high, Math.max(low, nearestChunk(seconds, schedule.plan)));
  if (low > high || (!free && chunk === schedule.plan.placed[index].chunk)) return null;
  // after the chunk before, so that it takes effect at its own
  const frame = Math.round(seconds * fps);
  const lowest = Math.round(startSeconds(low - 1, schedule.plan) * fps) + 1;
  const highest = Math.round(startSeconds(high, schedule.plan) * fps);
  const asked = free ? Math.min(highest, Math.max(lowest, frame)) / fps : startSeconds(chunk, schedule.plan);
  const base = timed(schedule);
  const text = edit.setTime(base.text, index, timeText(base, index, asked));
  if (text === schedule.text) return null;
  const { start_s } = withText(schedule, text).plan.placed[index];
  return { text, focus: index, announcement: say("Prompt {0} starts at {1}", index + 1, secondsText(start_s)) };
}

/**
 * Start a segment some chunks later, or earlier if negative.
 * @param {PlacedSchedule} schedule @param {number} index
 */
export function retimeBy(schedule, index, /** @type {number} */ chunks) {
  return retime(schedule, index, secondsOf(schedule, Math.max(0, schedule.plan.placed[index].chunk + chunks)));
}

/** Start a segment some video frames later. @param {PlacedSchedule} schedule @param {number} index */
export function retimeByFrames(schedule, index, /** @type {number} */ frames) {
  return retime(schedule, index, schedule.plan.placed[index].asked_s + frames / schedule.plan.fps, true);
}

/**
 * Start a segment at a time as a user writes it. Throws TextError.
 * @param {PlacedSchedule} schedule @param {number} index
 */
export function setStart(schedule, index, /** @type {string} */ time) {
  parseTime(time);
  const base = timed(schedule);
  const text = edit.setTime(base.text, index, time);
  if (text === schedule.text) return null;
  const { start_s, problem } = withText(schedule, text).plan.placed[index];
  if (problem) throw new TextError(problem);
  return { text, focus: index, announcement: say("Prompt {0} starts at {1}", index + 1, secondsText(start_s)) };
}

// -- the order ------------------------------------------------------------------------------------------------

/** The starts of segments that follow one another, in chunks. @param {number[]} lasting  their durations */
function startsOf(lasting) {
  let sum = 0;
  return lasting.map((chunks) => (sum += chunks) - chunks);
}

/**
 * Move a segment to another place in the order. Each keeps its length, so those between move over.
 * @param {PlacedSchedule} schedule @param {number} from @param {number} to @returns {Change | null}
 */
export function move(schedule, from, to) {
  const { length } = schedule.document.segments;
  if (from === to || to < 0 || to >= length) return null;
  const base = timed(schedule);
  const order = base.document.segments.map((_, index) => index);
  order.splice(to, 0, ...order.splice(from, 1));
  const lasting = durations(base.plan);
  const starts = startsOf(order.map((index) => lasting[index]));
  let { text } = base;
  order.forEach((index, place) => {
    if (base.plan.placed[index].chunk === starts[place]) return;
    text = edit.setTime(text, index, timeText(base, index, secondsOf(base, starts[place])));
  });
  return { text: edit.reorder(text, order), focus: to, announcement: say("Moved to place {0} of {1}", to + 1, length) };
}

/**
 * Copy a segment behind itself, as long as it is; those after it start later.
 * @param {PlacedSchedule} schedule @param {number} index
 */
export function duplicate(schedule, index) {
  const base = timed(schedule);
  const segment = base.document.segments[index];
  const lasting = durations(base.plan);
  const starts = startsOf(lasting.toSpliced(index, 0, lasting[index]));
  const timeOf = (/** @type {number} */ old) => timeText(base, old, secondsOf(base, starts[old + 1]));
  let { text } = base;
  for (let later = index + 1; later < lasting.length; later++) text = edit.setTime(text, later, timeOf(later));
  text = edit.insert(text, index, timeOf(index), segment.prompt, edit.optionsOf(segment));
  return { text, focus: index + 1, announcement: say("Prompt {0} copied", index + 1) };
}

/** Remove a segment; the one before it lasts longer. @param {PlacedSchedule} schedule @param {number} index */
export function remove(schedule, index) {
  const count = schedule.document.segments.length;
  if (count === 1) return null;
  const base = timed(schedule);
  let text = edit.remove(base.text, index);
  // the first prompt starts at 0
  if (index === 0) text = edit.setTime(text, 0, timeText(base, 1, 0));
  return { text, focus: Math.max(0, index - 1), announcement: say("Prompt {0} deleted, {1} left", index + 1, count - 1) };
}

/**
 * Insert a prompt at a chunk where none starts.
 * @param {PlacedSchedule} schedule @param {number} chunk
 * @param {string | null} prompt  null: that of the segment there
 * @returns {Change | null}
 */
function insertAt(schedule, chunk, prompt) {
  const base = timed(schedule);
  const index = segmentAt(base.plan, chunk);
  const { segment, chunk: start } = base.plan.placed[index];
  if (chunk <= start) return null;
  const seed = segment.seed === null || prompt !== null ? [] : [`seed ${segment.seed}`];
  const time = timeText(base, index, secondsOf(base, chunk));
  const text = edit.insert(base.text, index, time, prompt ?? segment.prompt, seed);
  const start_s = secondsOf(base, chunk);
  return { text, focus: index + 1, announcement: say("New prompt {0} at {1}", index + 2, secondsText(start_s)) };
}

/**
 * Split a segment into two with the same prompt, at a moment within it or else in its middle.
 * @param {PlacedSchedule} schedule @param {number} index @param {number} seconds
 */
export function split(schedule, index, seconds) {
  const { placed } = schedule.plan;
  const first = placed[index].chunk;
  const last = first + durations(schedule.plan)[index];
  const wanted = nearestChunk(seconds, schedule.plan);
  return insertAt(schedule, wanted > first && wanted < last ? wanted : Math.floor((first + last) / 2), null);
}

/**
 * Append an empty prompt at the end of the story, which becomes longer by some seconds. In a story without an end some
 * seconds after the last one starts; where the length is not to be changed in the middle of the time that is left, or
 * null if none is.
 * @param {PlacedSchedule} schedule @returns {Change | null}
 */
export function append(schedule) {
  const { placed, end_s } = schedule.plan;
  const last = /** @type {import("../schedule/plan.js").PlacedSegment} */ (placed.at(-1));
  const wanted = nearestChunk(last.start_s + NEW_AFTER_S, schedule.plan);
  if (end_s === null) return insertAt(schedule, wanted, "");
  const end = nearestChunk(end_s, schedule.plan);
  if (schedule.setting.fixed) return insertAt(schedule, wanted < end ? wanted : Math.floor((last.chunk + end) / 2), "");
  const change = insertAt(schedule, end > last.chunk ? end : wanted, "");
  if (!change) return null;
  const added = withText(schedule, change.text);
  const { start_s } = added.plan.placed[change.focus];
  const longer = setEnd(added, start_s + NEW_AFTER_S, change.focus);
  return { ...change, text: longer?.text ?? change.text, frames: longer?.frames };
}

/**
 * Let the story end at another moment, at the start of a chunk. Throws TextError where its length comes from elsewhere.
 * @param {PlacedSchedule} schedule @param {number} seconds @param {number} focus @returns {Change | null}
 */
export function setEnd({ text, document, plan, setting }, seconds, focus) {
  if (plan.end_s === null) return null;
  if (setting.fixed && !document.length) {
    throw new TextError(say("The length comes from another node: change it there."));
  }
  const most = setting.fixed && setting.frames !== null ? chunkAtOrAfter(setting.frames, setting) : Infinity;
  const chunk = Math.min(most, Math.max(1, nearestChunk(seconds, plan)));
  const end_s = startSeconds(chunk, plan);
  if (Math.abs(end_s - plan.end_s) < 1e-6) return null;
  const written = document.length ? edit.setLength(text, writeTime(edit.writtenLength(document), end_s, plan)) : text;
  const frames = setting.frames === null || setting.fixed ? undefined : startFrame(chunk, plan);
  return { text: written, focus, frames, announcement: say("The story ends at {0}", secondsText(end_s)) };
}

/** Let the story end some chunks later, or earlier if negative. @param {PlacedSchedule} schedule @param {number} chunks @param {number} focus */
export function setEndBy(schedule, chunks, focus) {
  const { end_s } = schedule.plan;
  if (end_s === null) return null;
  return setEnd(schedule, secondsOf(schedule, nearestChunk(end_s, schedule.plan) + chunks), focus);
}

// -- one segment ----------------------------------------------------------------------------------------------

/**
 * Change one segment.
 * @param {PlacedSchedule} schedule @param {number} index @param {(text: string) => string} change
 * @param {string} announcement
 */
function onSegment(schedule, index, change, announcement) {
  const base = timed(schedule);
  const text = change(base.text);
  return text === base.text ? null : { text, focus: index, announcement };
}

/** Set a prompt. @param {PlacedSchedule} schedule @param {number} index @param {string} prompt */
export function setPrompt(schedule, index, prompt) {
  return onSegment(schedule, index, (text) => edit.setPrompt(text, index, prompt), say("Prompt {0} changed", index + 1));
}

/**
 * Set the switch of a segment. Throws TextError.
 * @param {PlacedSchedule} schedule @param {number} index @param {string} name  of the switch
 * @param {string} length  of a blend: `6` chunks or `3s`, "" for the default
 * @param {boolean} spherical
 */
export function setSwitch(schedule, index, name, length = "", spherical = false) {
  const blend = name === "blend" ? blendOf(`blend ${length} ${spherical ? "spherical" : "linear"}`) : null;
  const change = (/** @type {string} */ text) => edit.setSwitch(text, index, { switch: name, blend });
  return onSegment(schedule, index, change, say("Switch: {0}", name));
}

/**
 * Set or remove a seed. Throws TextError.
 * @param {PlacedSchedule} schedule @param {number} index @param {string} digits  "" for none
 */
export function setSeed(schedule, index, digits) {
  const seed = digits ? readSeed(digits) : null;
  const announcement = seed ? say("Seed {0}", seed) : say("No seed");
  return onSegment(schedule, index, (text) => edit.setSeed(text, index, seed), announcement);
}

/**
 * The text with another seed for a segment, for a story that ends sooner: what was placed as a share of the whole has
 * its time. Throws TextError for a pin that is placed so.
 * @param {PlacedSchedule} schedule @param {number} index @param {string} digits  of the seed
 */
export function branchText(schedule, index, digits) {
  const base = timed(schedule);
  let { text } = base;
  for (const [place, { segment, start_s }] of base.plan.placed.entries()) {
    if (segment.start.unit === "percent") text = edit.setTime(text, place, writeTime("", start_s, base.plan));
  }
  if (base.document.pins.some(({ time }) => time.unit === "percent")) {
    throw new TextError(say("A pin at a share of the story would move in a shorter one: write its time in seconds."));
  }
  return edit.setSeed(text, index, readSeed(digits));
}

/**
 * Set the pins that a segment asks for. Throws TextError.
 * @param {PlacedSchedule} schedule @param {number} index @param {string[]} names
 */
export function setAsks(schedule, index, names) {
  names.forEach(checkPinName);
  const announcement = say("Pins: {0}", names.join(", ") || say("none"));
  return onSegment(schedule, index, (text) => edit.setAsks(text, index, names), announcement);
}

// -- the whole schedule ----------------------------------------------------------------------------------------

/** Set the global prompt. @param {PlacedSchedule} schedule @param {string} prompt @param {number} focus */
export function setGlobal(schedule, prompt, focus) {
  return { text: edit.setGlobal(schedule.text, prompt), focus, announcement: say("Global prompt changed") };
}

/**
 * Pin a moment. Throws TextError.
 * @param {PlacedSchedule} schedule @param {number} seconds @param {string} name  "" for none @param {number} focus
 */
export function addPin(schedule, seconds, name, focus) {
  if (name) checkPinName(name);
  const time = writeTime("", seconds, schedule.plan);
  return { text: pins.addPin(schedule.text, time, name), focus, announcement: say("Pin at {0}", time) };
}

/** Remove a pin. @param {PlacedSchedule} schedule @param {number} pin @param {number} focus */
export function removePin(schedule, pin, focus) {
  return { text: pins.removePin(schedule.text, pin), focus, announcement: say("Pin deleted") };
}
