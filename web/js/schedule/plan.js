// @ts-check
// Place a schedule on the grid of chunks: where each segment starts and ends, and why it cannot be played there.
import { CHUNK_FRAMES, CHUNK_LATENTS, chunkAtOrAfter, frameOf, latentAt, startSeconds } from "./grid.js";

/** @typedef {import("./text.js").Document} Document */
/** @typedef {import("./text.js").Segment} Segment */
/** @typedef {{fps: number, frames: number | null}} Setting of the sampler; frames is null where there is none */
/**
 * @typedef {object} PlacedSegment
 * @property {Segment} segment
 * @property {number} chunk    the first one under this prompt
 * @property {number} asked_s  the time that the text asks for
 * @property {number} start_s  when the first chunk starts
 * @property {number} end_s    where the next prompt takes over, or the axis ends
 * @property {number} blend_s  how long it blends in
 * @property {string} problem  "" for none, else a sentence
 */
/**
 * @typedef {object} Plan
 * @property {number} fps
 * @property {number} chunks    on the axis
 * @property {number} length_s  of the axis
 * @property {number | null} end_s  where the story ends, if that is known
 * @property {PlacedSegment[]} placed
 * @property {{name: string, at_s: number}[]} pins
 * @property {string} problem   the first one of the story, "" for none
 * @property {{prompts: number, pins: number}} beyond  how many lie after the end, and are left out
 */

const AFTER_LAST_S = 5;

/** Chunks of the story: the sampler's length, else the text's own; null for neither. */
function storyChunks(/** @type {Document} */ { length }, /** @type {Setting} */ { fps, frames }) {
  if (frames !== null) return chunkAtOrAfter(frames);
  return length && chunkAtOrAfter(frameOf(length.time, fps, 0));
}

/** Chunks of the axis: the most of both lengths and the last start with some seconds behind it. */
function axisChunks(/** @type {Document} */ document, /** @type {Setting} */ { fps, frames }) {
  const timed = document.segments.filter(({ start }) => start.unit !== "percent");
  const starts = timed.map(({ start }) => frameOf(start, fps, 0));
  // shares of a story without a length
  const even = document.segments.length > timed.length ? document.segments.length * AFTER_LAST_S * fps : 0;
  const length = document.length ? frameOf(document.length.time, fps, 0) : 0;
  const last = Math.max(0, ...starts);
  const axis = frames === null && !length ? Math.max(last + AFTER_LAST_S * fps, even) : last + AFTER_LAST_S * fps;
  return chunkAtOrAfter(Math.max(axis, length, frames ?? 0));
}

/**
 * Why a segment cannot be played where it is: "" if it can.
 * @param {number[]} starts  in chunks @param {number} index @param {number} fps
 */
function placeProblem(starts, index, fps) {
  const at = `${startSeconds(starts[index], fps).toFixed(2)} s`;
  if (index > 0 && starts[index] < starts[index - 1]) return `Prompt ${index + 1} starts before prompt ${index}.`;
  if (index > 0 && starts[index] === starts[index - 1]) {
    const apart = (CHUNK_FRAMES / fps).toFixed(2);
    return `Prompts ${index} and ${index + 1} both start with the chunk at ${at}: set them ${apart} s apart.`;
  }
  return "";
}

/**
 * Why a segment cannot have the pins that it asks for: "" if it can.
 * @param {Segment} segment @param {number} index
 */
function askProblem({ asks }, index, /** @type {number} */ start, /** @type {{name: string, frame: number}[]} */ pins) {
  const late = pins.find(({ name, frame }) => asks.includes(name) && latentAt(frame) >= start * CHUNK_LATENTS);
  return late ? `Prompt ${index + 1} asks for [${late.name}], a moment that is not made by then.` : "";
}

/** How long a segment blends in. @param {Segment} segment @param {number} fps */
function blendSeconds({ blend }, fps) {
  if (!blend) return 0;
  const frames = blend.length.unit === "s" ? frameOf(blend.length, fps, 0) : blend.length.value * CHUNK_FRAMES;
  return (Math.max(1, Math.ceil(frames / CHUNK_FRAMES)) * CHUNK_FRAMES) / fps;
}

/**
 * The plan of a schedule.
 * @param {Document} document
 * @param {Setting} setting
 * @param {string} globalPrompt  of the node, which replaces that of the text
 * @returns {Plan}
 */
export function planOf(document, setting, globalPrompt = "") {
  const { fps } = setting;
  const end = storyChunks(document, setting);
  const chunks = axisChunks(document, setting);
  const frames = document.segments.map(({ start }) => frameOf(start, fps, end ?? chunks));
  const starts = frames.map(chunkAtOrAfter);
  const pins = document.pins.map(({ name, time }) => ({ name, frame: frameOf(time, fps, end ?? chunks) }));
  const global = Boolean(globalPrompt.trim() || document.global?.prompt);
  const placed = document.segments.map((segment, index) => {
    const empty = !segment.prompt.trim() && !global ? `Prompt ${index + 1} is empty: write it.` : "";
    const misplaced = placeProblem(starts, index, fps) || askProblem(segment, index, starts[index], pins);
    return {
      segment,
      chunk: starts[index],
      asked_s: segment.start.unit === "s" ? segment.start.value : frames[index] / fps,
      start_s: startSeconds(starts[index], fps),
      end_s: startSeconds(Math.max(starts[index], starts[index + 1] ?? chunks), fps),
      blend_s: index > 0 ? blendSeconds(segment, fps) : 0,
      problem: misplaced || empty,
    };
  });
  const problem = placed.find((one) => one.problem)?.problem ?? "";
  const beyond = {
    prompts: starts.filter((start) => end !== null && start >= end).length,
    pins: pins.filter(({ frame }) => end !== null && latentAt(frame) >= end * CHUNK_LATENTS).length,
  };
  const marks = pins.map(({ name, frame }) => ({ name, at_s: frame / fps }));
  const end_s = end === null ? null : startSeconds(end, fps);
  return { fps, chunks, length_s: startSeconds(chunks, fps), end_s, placed, pins: marks, problem, beyond };
}

/** Chunks that each segment lasts, at least 1. The last goes on to the end of the story. @param {Plan} plan */
export function durations({ placed, chunks, end_s, fps }) {
  const end = end_s === null ? chunks : chunkAtOrAfter(Math.round(end_s * fps));
  return placed.map(({ chunk }, index) => Math.max(1, (placed[index + 1]?.chunk ?? Math.max(end, chunk + 1)) - chunk));
}

/** Which segment is on at a chunk. @param {Plan} plan @param {number} chunk */
export function segmentAt({ placed }, chunk) {
  return Math.max(0, placed.findLastIndex((one) => one.chunk <= chunk));
}
