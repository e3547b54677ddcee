// @ts-check
// A schedule on the grid of chunks: what the strip shows.
import { CHUNK_FRAMES, chunkAtOrAfter, frameOf, startFrame, startSeconds } from "./time.js";

/** @typedef {import("./text.js").Document} Document */
/** @typedef {import("./text.js").Segment} Segment */
/** @typedef {{fps: number, frames: number | null}} Setting of the sampler; frames is null where there is none */
/**
 * @typedef {object} Placed
 * @property {Segment} segment
 * @property {number} chunk    the first one under this prompt
 * @property {number} asked_s  the time that the text asks for
 * @property {number} start_s  when the first chunk starts
 * @property {number} end_s    where the next prompt takes over, or the axis ends
 * @property {string} problem  "" for none, else a sentence
 */
/**
 * @typedef {object} Plan
 * @property {number} fps
 * @property {number} chunks    on the axis
 * @property {number} length_s  of the axis
 * @property {number | null} end_s  where the story ends, if that is known
 * @property {Placed[]} placed
 * @property {{name: string, at_s: number}[]} pins
 * @property {boolean} global   whether a prompt is put before every other
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
  // shares of a story whose length nobody says
  const even = document.segments.length > timed.length ? document.segments.length * AFTER_LAST_S * fps : 0;
  const said = document.length ? frameOf(document.length.time, fps, 0) : 0;
  const last = Math.max(0, ...starts);
  const axis = frames === null && !said ? Math.max(last + AFTER_LAST_S * fps, even) : last + AFTER_LAST_S * fps;
  return chunkAtOrAfter(Math.max(axis, said, frames ?? 0));
}

/** @param {number[]} starts @param {number} index @param {number | null} end @param {number} fps */
function problemOf(starts, index, end, fps) {
  const at = `${startSeconds(starts[index], fps).toFixed(2)} s`;
  if (index > 0 && starts[index] < starts[index - 1]) return `Prompt ${index + 1} starts before prompt ${index}.`;
  if (index > 0 && starts[index] === starts[index - 1]) {
    const apart = (CHUNK_FRAMES / fps).toFixed(2);
    return `Prompts ${index} and ${index + 1} both start with the chunk at ${at}: set them ${apart} s apart.`;
  }
  if (end !== null && starts[index] >= end) {
    return `Prompt ${index + 1} starts at ${at}, but the story ends at ${startSeconds(end, fps).toFixed(2)} s.`;
  }
  return "";
}

/**
 * @param {Document} document
 * @param {Setting} setting
 * @param {string} globalPrompt  of the node, which counts before that of the text
 * @returns {Plan}
 */
export function planOf(document, setting, globalPrompt = "") {
  const { fps } = setting;
  const end = storyChunks(document, setting);
  const chunks = axisChunks(document, setting);
  const frames = document.segments.map(({ start }) => frameOf(start, fps, end ?? chunks));
  const starts = frames.map(chunkAtOrAfter);
  const global = Boolean(globalPrompt.trim() || document.global?.prompt);
  const placed = document.segments.map((segment, index) => {
    const empty = !segment.prompt.trim() && !global ? `Prompt ${index + 1} is empty: write it.` : "";
    return {
      segment,
      chunk: starts[index],
      asked_s: segment.start.unit === "s" ? segment.start.value : frames[index] / fps,
      start_s: startSeconds(starts[index], fps),
      end_s: startSeconds(Math.max(starts[index], starts[index + 1] ?? chunks), fps),
      problem: problemOf(starts, index, end, fps) || empty,
    };
  });
  const pins = document.pins.map(({ name, time }) => ({ name, at_s: frameOf(time, fps, end ?? chunks) / fps }));
  const end_s = end === null ? null : startSeconds(end, fps);
  return { fps, chunks, length_s: startFrame(chunks) / fps, end_s, placed, pins, global };
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
