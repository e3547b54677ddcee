// @ts-check
// What a user does to a story, as changes of its text. Every operation takes a Story and returns a Change, or null
// where there is nothing to do; it never changes what it was given.
import { say } from "../i18n/say.js";
import * as edit from "../schedule/edit.js";
import { blendOf, checkPinName, readSeed } from "../schedule/options.js";
import * as pins from "../schedule/pins.js";
import { durations, planOf, segmentAt } from "../schedule/plan.js";
import { parseText } from "../schedule/text.js";
import { TextError } from "../schedule/errors.js";
import { nearestChunk, startSeconds } from "../schedule/grid.js";
import { parseTime, writeTime } from "../schedule/time.js";

/** @typedef {import("../schedule/plan.js").Plan} Plan */
/** @typedef {import("../schedule/plan.js").Setting} Setting */
/** @typedef {import("../schedule/text.js").Document} Document */
/** @typedef {{text: string, document: Document, plan: Plan, setting: Setting, globalPrompt: string}} Story */
/** @typedef {{text: string, focus: number, said: string}} Change said is for screen readers */

/** @param {string} text @param {Setting} setting @param {string} globalPrompt @returns {Story} */
export function readStory(text, setting, globalPrompt = "") {
  const document = parseText(text);
  return { text, document, setting, globalPrompt, plan: planOf(document, setting, globalPrompt) };
}

const NEW_AFTER_S = 5;

function inSeconds(/** @type {number} */ seconds) {
  return `${Number(seconds.toFixed(2))} s`;
}

/** The same story with a time on every prompt, so that each has a line of its own. @param {Story} story */
function timed(story) {
  const times = story.plan.placed.map(({ start_s }) => writeTime("", start_s, story.plan.fps));
  return again(story, edit.withTimes(story.text, times));
}

/** The story with another text. @param {Story} story @param {string} text */
function again({ setting, globalPrompt }, text) {
  return readStory(text, setting, globalPrompt);
}

/** How a moment is written in a segment's own way. @param {Story} story @param {number} index @param {number} seconds */
function said(story, index, seconds) {
  return writeTime(edit.writtenTime(story.document, index), seconds, story.plan.fps);
}

/** @param {Story} story @param {number} chunk */
function secondsOf(story, chunk) {
  return startSeconds(chunk, story.plan.fps);
}

/** The chunks that a segment may start at: between its neighbours. @param {Plan} plan @param {number} index */
function room({ placed, chunks }, index) {
  const next = placed[index + 1]?.chunk ?? Infinity;
  return { low: placed[index - 1].chunk + 1, high: Math.min(next - 1, Math.max(chunks, placed[index].chunk) + 8) };
}

// -- times ----------------------------------------------------------------------------------------------------

/**
 * Let a segment start at another moment, between its neighbours.
 * @param {Story} story @param {number} index @param {number} seconds
 * @param {boolean} free  true: exactly then; false: at the nearest start of a chunk
 * @returns {Change | null}
 */
export function retime(story, index, seconds, free = false) {
  if (index === 0) return null;
  const { fps } = story.plan;
  const { low, high } = room(story.plan, index);
  const chunk = Math.min(high, Math.max(low, nearestChunk(seconds, fps)));
  if (low > high || (!free && chunk === story.plan.placed[index].chunk)) return null;
  // after the chunk before, so that it takes effect at its own
  const frame = Math.round(seconds * fps);
  const lowest = Math.round(startSeconds(low - 1, fps) * fps) + 1;
  const highest = Math.round(startSeconds(high, fps) * fps);
  const asked = free ? Math.min(highest, Math.max(lowest, frame)) / fps : startSeconds(chunk, fps);
  const base = timed(story);
  const text = edit.setTime(base.text, index, said(base, index, asked));
  if (text === story.text) return null;
  const { start_s } = again(story, text).plan.placed[index];
  return { text, focus: index, said: say("Prompt {0} starts at {1}", index + 1, inSeconds(start_s)) };
}

/** Start a number of chunks later, or earlier where it is negative. @param {Story} story @param {number} index */
export function retimeBy(story, index, /** @type {number} */ chunks) {
  return retime(story, index, secondsOf(story, Math.max(0, story.plan.placed[index].chunk + chunks)));
}

/** Start a number of video frames later. @param {Story} story @param {number} index */
export function retimeByFrames(story, index, /** @type {number} */ frames) {
  return retime(story, index, story.plan.placed[index].asked_s + frames / story.plan.fps, true);
}

/** Let a segment start at a time as a user writes it. Throws TextError. @param {Story} story @param {number} index */
export function setStart(story, index, /** @type {string} */ time) {
  parseTime(time);
  const base = timed(story);
  const text = edit.setTime(base.text, index, time);
  if (text === story.text) return null;
  const { start_s, problem } = again(story, text).plan.placed[index];
  if (problem) throw new TextError(problem);
  return { text, focus: index, said: say("Prompt {0} starts at {1}", index + 1, inSeconds(start_s)) };
}

// -- the order ------------------------------------------------------------------------------------------------

/** Where each starts, in chunks, when they last so long one after the other. @param {number[]} lasting */
function startsOf(lasting) {
  let sum = 0;
  return lasting.map((chunks) => (sum += chunks) - chunks);
}

/**
 * Bring a segment to another place in the story. Each keeps its length, so those between move over.
 * @param {Story} story @param {number} from @param {number} to @returns {Change | null}
 */
export function move(story, from, to) {
  const { length } = story.document.segments;
  if (from === to || to < 0 || to >= length) return null;
  const base = timed(story);
  const order = base.document.segments.map((_, index) => index);
  order.splice(to, 0, ...order.splice(from, 1));
  const lasting = durations(base.plan);
  const starts = startsOf(order.map((index) => lasting[index]));
  let { text } = base;
  order.forEach((index, place) => {
    if (base.plan.placed[index].chunk === starts[place]) return;
    text = edit.setTime(text, index, said(base, index, secondsOf(base, starts[place])));
  });
  return { text: edit.reorder(text, order), focus: to, said: say("Moved to place {0} of {1}", to + 1, length) };
}

/** A copy of a segment behind it, as long as it is; those after it come later. @param {Story} story @param {number} index */
export function duplicate(story, index) {
  const base = timed(story);
  const segment = base.document.segments[index];
  const lasting = durations(base.plan);
  const starts = startsOf(lasting.toSpliced(index, 0, lasting[index]));
  const timeOf = (/** @type {number} */ old) => said(base, old, secondsOf(base, starts[old + 1]));
  let { text } = base;
  for (let later = index + 1; later < lasting.length; later++) text = edit.setTime(text, later, timeOf(later));
  text = edit.insert(text, index, timeOf(index), segment.prompt, edit.optionsOf(segment));
  return { text, focus: index + 1, said: say("Prompt {0} copied", index + 1) };
}

/** Without a segment; the one before it goes on in its place. @param {Story} story @param {number} index */
export function remove(story, index) {
  const count = story.document.segments.length;
  if (count === 1) return null;
  const base = timed(story);
  let text = edit.remove(base.text, index);
  // a story begins with a prompt
  if (index === 0) text = edit.setTime(text, 0, said(base, 1, 0));
  return { text, focus: Math.max(0, index - 1), said: say("Prompt {0} deleted, {1} left", index + 1, count - 1) };
}

/**
 * A new prompt from a chunk on, where none starts there yet.
 * @param {Story} story @param {number} chunk @param {string | null} prompt  null: that of the segment it is cut from
 * @returns {Change | null}
 */
function cutIn(story, chunk, prompt) {
  const base = timed(story);
  const index = segmentAt(base.plan, chunk);
  const { segment, chunk: start } = base.plan.placed[index];
  if (chunk <= start) return null;
  const seed = segment.seed === null || prompt !== null ? [] : [`seed ${segment.seed}`];
  const time = said(base, index, secondsOf(base, chunk));
  const text = edit.insert(base.text, index, time, prompt ?? segment.prompt, seed);
  return { text, focus: index + 1, said: say("New prompt {0} at {1}", index + 2, inSeconds(secondsOf(base, chunk))) };
}

/**
 * Two segments with one prompt out of one: at a moment within it, or else in its middle.
 * @param {Story} story @param {number} index @param {number} seconds
 */
export function split(story, index, seconds) {
  const { placed, fps } = story.plan;
  const first = placed[index].chunk;
  const last = first + durations(story.plan)[index];
  const wanted = nearestChunk(seconds, fps);
  return cutIn(story, wanted > first && wanted < last ? wanted : Math.floor((first + last) / 2), null);
}

/**
 * An empty prompt behind the last: after some seconds, or in the middle of what is left; null if nothing is.
 * @param {Story} story
 */
export function append(story) {
  const { placed, fps, end_s } = story.plan;
  const last = /** @type {import("../schedule/plan.js").PlacedSegment} */ (placed.at(-1));
  const wanted = nearestChunk(last.start_s + NEW_AFTER_S, fps);
  const over = end_s !== null && startSeconds(wanted, fps) >= end_s - 1e-6;
  return cutIn(story, over ? Math.floor((last.chunk + nearestChunk(end_s, fps)) / 2) : wanted, "");
}

// -- one segment ----------------------------------------------------------------------------------------------

/** @param {Story} story @param {number} index @param {(text: string) => string} change @param {string} said */
function onSegment(story, index, change, said) {
  const base = timed(story);
  const text = change(base.text);
  return text === base.text ? null : { text, focus: index, said };
}

/** @param {Story} story @param {number} index @param {string} prompt */
export function setPrompt(story, index, prompt) {
  return onSegment(story, index, (text) => edit.setPrompt(text, index, prompt), say("Prompt {0} changed", index + 1));
}

/**
 * @param {Story} story @param {number} index @param {string} name  of the switch
 * @param {string} length  of a blend: `6` chunks or `3s`, "" for the usual. Throws TextError
 * @param {boolean} spherical
 */
export function setSwitch(story, index, name, length = "", spherical = false) {
  const blend = name === "blend" ? blendOf(`blend ${length} ${spherical ? "spherical" : "linear"}`) : null;
  return onSegment(story, index, (text) => edit.setSwitch(text, index, { switch: name, blend }), say("Switch: {0}", name));
}

/** @param {Story} story @param {number} index @param {string} digits  "" for none. Throws TextError */
export function setSeed(story, index, digits) {
  const seed = digits ? readSeed(digits) : null;
  return onSegment(story, index, (text) => edit.setSeed(text, index, seed), seed ? say("Seed {0}", seed) : say("No seed"));
}

/** @param {Story} story @param {number} index @param {string[]} names  of pins. Throws TextError */
export function setAsks(story, index, names) {
  names.forEach(checkPinName);
  return onSegment(story, index, (text) => edit.setAsks(text, index, names), say("Pins: {0}", names.join(", ") || say("none")));
}

// -- the whole story ------------------------------------------------------------------------------------------

/** @param {Story} story @param {string} prompt @param {number} focus */
export function setGlobal(story, prompt, focus) {
  return { text: edit.setGlobal(story.text, prompt), focus, said: say("Global prompt changed") };
}

/**
 * Keep the moment at a time. Throws TextError.
 * @param {Story} story @param {number} seconds @param {string} name  "" for none @param {number} focus
 */
export function addPin(story, seconds, name, focus) {
  if (name) checkPinName(name);
  const time = writeTime("", seconds, story.plan.fps);
  return { text: pins.addPin(story.text, time, name), focus, said: say("Pin at {0}", time) };
}

/** @param {Story} story @param {number} pin @param {number} focus */
export function removePin(story, pin, focus) {
  return { text: pins.removePin(story.text, pin), focus, said: say("Pin deleted") };
}
