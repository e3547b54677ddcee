// @ts-check
// Times of the text form: 10s, 0:10, 160f, 12c. The rules are memflow_core's.
import { TextError, UnitError } from "./errors.js";
import { chunkAtOrAfter, latentsOf, startFrame } from "./grid.js";
import { UNIT_WORDS } from "./vocabulary.js";

/** @typedef {import("./vocabulary.js").Unit} Unit */
/** @typedef {{value: number, unit: Unit}} Time a point of the story, or a length */
/** @typedef {{time: Time, end: number, clock: boolean, word: string}} FoundTime a time at the start of a text */

const MAX_TIME = 1e12;

const CLOCK = /^([0-9]+):(?:([0-9]{1,2}):)?([0-9]{1,2}(?:\.[0-9]*)?)/;
const COUNT = /^([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)([ \t]*)([A-Za-z%]*)/;

/** @type {Map<string, [Unit, number]>} */
const UNITS = new Map(UNIT_WORDS.flatMap(([unit, scale, words]) => words.split(" ").map((word) => [word, [unit, scale]])));

/** @param {number} value @param {Unit} unit @returns {Time} */
function checkedTime(value, unit) {
  const high = unit === "percent" ? 100 : MAX_TIME;
  if (!(value >= 0 && value <= high)) throw new TextError(`A time of ${value} is not from 0 to ${high}.`);
  if (!Number.isInteger(value) && (unit === "chunks" || unit === "latent")) {
    throw new TextError(`${value} ${unit} is no whole number: write seconds for anything in between.`);
  }
  return { value, unit };
}

/** How much of the start of a text looks like a clock time. @param {string} text */
export function clockEnd(text) {
  return CLOCK.exec(text)?.[0].length ?? 0;
}

/** A clock time at the start of a text: 0:10, 1:02.5, 1:00:00. @param {string} text @returns {FoundTime | null} */
function findClock(text) {
  const found = CLOCK.exec(text);
  if (!found) return null;
  const [source, first, middle, seconds] = found;
  if (Number(seconds) >= 60 || Number(middle ?? 0) >= 60) {
    throw new TextError(`${source} is no time: seconds and minutes after a colon must be below 60.`);
  }
  const minutes = middle ? Number(first) * 60 + Number(middle) : Number(first);
  return { time: checkedTime(minutes * 60 + Number(seconds), "s"), end: source.length, clock: true, word: "" };
}

/**
 * A number with or without a unit at the start of a text. Its time is read only when it is asked for, because the
 * number may prove to be part of a prompt.
 * @param {string} text
 * @returns {{end: number, word: string, time: () => Time} | null}
 */
export function findCount(text) {
  const found = COUNT.exec(text);
  if (!found) return null;
  const [source, number, space, word] = found;
  const known = UNITS.get(word.toLowerCase());
  // '3 robots: ...' is a prompt, '3x: ...' a slip
  if (space && word && !known) return null;
  const time = () => {
    if (!word) return checkedTime(Number(number), "frames");
    if (!known) throw new UnitError(`${source} looks like a time, but its unit ${word} is unknown.`);
    return checkedTime(Number(number) * known[1], known[0]);
  };
  return { end: source.length, word, time };
}

/** A whole text that is one time. @param {string} text @returns {FoundTime} */
export function parseTime(text) {
  const clock = findClock(text);
  if (clock?.end === text.length) return clock;
  const count = clock ? null : findCount(text);
  if (count?.end !== text.length) throw new TextError(`${JSON.stringify(text)} is no time: write 10s or 0:10.`);
  return { time: count.time(), end: count.end, clock: false, word: count.word };
}

// -- writing --------------------------------------------------------------------------------------------------

/** Seconds with as few decimals as still mean the same video frame. @param {number} seconds @param {number} fps */
export function shortSeconds(seconds, fps) {
  const frame = Math.floor(seconds * fps + 0.5);
  for (let decimals = 0; decimals < 4; decimals++) {
    const short = Number(seconds.toFixed(decimals));
    if (Math.floor(short * fps + 0.5) === frame && Math.abs(short - seconds) < 0.006) return short;
  }
  return Number(seconds.toFixed(4));
}

/** Seconds to the millisecond, as the text form writes them: 12.75 -> "12.75s". @param {number} seconds */
export function exactSeconds(seconds) {
  return `${Number(seconds.toFixed(3))}s`;
}

function clockText(/** @type {number} */ seconds, /** @type {boolean} */ hours) {
  const whole = Math.floor(seconds / 60);
  const rest = Number((seconds - whole * 60).toFixed(4));
  const [tens, ...decimals] = String(rest).split(".");
  const tail = [tens.padStart(2, "0"), ...decimals].join(".");
  if (!hours) return `${whole}:${tail}`;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}:${tail}`;
}

/**
 * A moment in the way that another time was written: `0:10`, `160f`, `12c` ... In seconds where that way has no number
 * for it, as for a moment between two chunks.
 * @param {string} like  the other time as written, or ""
 * @param {number} seconds
 * @param {import("./grid.js").Grid} grid
 */
export function writeTime(like, seconds, grid) {
  const { fps } = grid;
  const short = shortSeconds(seconds, fps);
  if (!like) return `${short}s`;
  const { time, clock, word } = parseTime(like);
  if (clock) return clockText(short, like.split(":").length > 2);
  const gap = /\s/.test(like) ? " " : "";
  const frame = Math.floor(seconds * fps + 0.5);
  const chunk = chunkAtOrAfter(frame, grid);
  if (time.unit === "frames") return `${frame}${gap}${word}`;
  if (time.unit === "chunks" && startFrame(chunk, grid) === frame) return `${chunk}${gap}${word}`;
  if (time.unit === "latent" && startFrame(chunk, grid) === frame) return `${chunk * latentsOf(grid)}${gap}${word}`;
  const keeps = time.unit === "s" && !word.toLowerCase().startsWith("m");
  return keeps ? `${short}${gap}${word}` : `${short}s`;
}
