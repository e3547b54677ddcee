// @ts-check
// Place a schedule on the grid of chunks: where each segment starts and ends, and why it cannot be played there.
import { chunkAtOrAfter, chunkFrames, frameOf, latentAt, latentsOf, startSeconds } from "./grid.js";

/** @typedef {import("./text.js").Document} Document */
/** @typedef {import("./text.js").Segment} Segment */
/**
 * @typedef {import("./grid.js").Grid} Grid
 * @typedef {Grid & {frames: number | null, fixed?: boolean, unknown?: boolean}} Setting of the sampler; frames is null where
 *   there is none; fixed: they come over a link; unknown: only a run knows them
 */
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
 * @property {number} latents   latent frames of a chunk
 * @property {number} chunks    on the axis
 * @property {number} length_s  of the axis
 * @property {number | null} end_s  where the story ends, if that is known
 * @property {PlacedSegment[]} placed
 * @property {{name: string, at_s: number}[]} pins
 * @property {string} problem   the first one of the story, "" for none
 * @property {{prompts: number, pins: number}} beyond  how many lie after the end, and are left out
 */

const AFTER_LAST_S = 5;

/** Chunks of the story: as many as the sampler's length asks for, unless the text ends before; null where both leave it open. */
function storyChunks(/** @type {Document} */ { length }, /** @type {Setting} */ setting) {
  const limits = [];
  if (setting.frames !== null) limits.push(chunkAtOrAfter(setting.frames, setting));
  if (length) limits.push(chunkAtOrAfter(frameOf(length.time, setting, 0), setting));
  return limits.length ? Math.min(...limits) : null;
}

/** Chunks of the axis: the most of both lengths and the last start with some seconds behind it. */
function axisChunks(/** @type {Document} */ document, /** @type {Setting} */ setting) {
  const { fps, frames } = setting;
  const timed = document.segments.filter(({ start }) => start.unit !== "percent");
  const starts = timed.map(({ start }) => frameOf(start, setting, 0));
  // shares of a story without a length
  const even = document.segments.length > timed.length ? document.segments.length * AFTER_LAST_S * fps : 0;
  const length = document.length ? frameOf(document.length.time, setting, 0) : 0;
  const last = Math.max(0, ...starts);
  const axis = frames === null && !length ? Math.max(last + AFTER_LAST_S * fps, even) : last + AFTER_LAST_S * fps;
  return chunkAtOrAfter(Math.max(axis, length, frames ?? 0), setting);
}

/**
 * Why a segment cannot be played where it is: "" if it can.
 * @param {number[]} starts  in chunks @param {number} index @param {Grid} grid
 */
function placeProblem(starts, index, grid) {
  const at = `${startSeconds(starts[index], grid).toFixed(2)} s`;
  if (index > 0 && starts[index] < starts[index - 1]) return `Prompt ${index + 1} starts before prompt ${index}.`;
  if (index > 0 && starts[index] === starts[index - 1]) {
    const apart = (chunkFrames(grid) / grid.fps).toFixed(2);
    return `Prompts ${index} and ${index + 1} both start with the chunk at ${at}: set them ${apart} s apart.`;
  }
  return "";
}

/**
 * Why a segment cannot have the pins that it asks for: "" if it can.
 * @param {Segment} segment @param {number} index @param {number} latent  the first one under this prompt
 * @param {number} began  the first one of its story
 */
function askProblem({ asks }, index, latent, /** @type {{name: string, frame: number}[]} */ pins, began) {
  const forgotten = pins.find(({ name, frame }) => asks.includes(name) && latentAt(frame) < began);
  if (forgotten) return `Prompt ${index + 1} asks for [${forgotten.name}], a moment from before the [fresh] prompt.`;
  const late = pins.find(({ name, frame }) => asks.includes(name) && latentAt(frame) >= latent);
  return late ? `Prompt ${index + 1} asks for [${late.name}], a moment that is not made by then.` : "";
}

/** The chunk at which a segment's story begins. @param {Document} document @param {number[]} starts @param {number} index */
function storyStart({ segments }, starts, index) {
  const fresh = segments.findLastIndex((segment, place) => place > 0 && place <= index && segment.switch === "fresh");
  return fresh > 0 ? starts[fresh] : 0;
}

/**
 * How many latent frames absolute positions have to reach: jumps move them on, a fresh prompt begins anew.
 * @param {Plan} plan @param {number} chunks @param {number} jumpFrames
 */
export function farthestPosition({ placed, latents }, chunks, jumpFrames) {
  let [most, began, jumps] = [0, 0, 0];
  for (const { chunk, segment } of placed.slice(1)) {
    if (segment.switch === "jump") jumps++;
    if (segment.switch !== "fresh" || chunk >= chunks) continue;
    most = Math.max(most, (chunk - began) * latents + jumps * jumpFrames);
    [began, jumps] = [chunk, 0];
  }
  return Math.max(most, (chunks - began) * latents + jumps * jumpFrames);
}

/** How long a segment blends in. @param {Segment} segment @param {Grid} grid */
function blendSeconds({ blend }, grid) {
  if (!blend) return 0;
  const chunk = chunkFrames(grid);
  const frames = blend.length.unit === "s" ? frameOf(blend.length, grid, 0) : blend.length.value * chunk;
  return (Math.max(1, Math.ceil(frames / chunk)) * chunk) / grid.fps;
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
  const latents = latentsOf(setting);
  const end = storyChunks(document, setting);
  const chunks = axisChunks(document, setting);
  const frames = document.segments.map(({ start }) => frameOf(start, setting, end ?? chunks));
  const starts = frames.map((frame) => chunkAtOrAfter(frame, setting));
  const pins = document.pins.map(({ name, time }) => ({ name, frame: frameOf(time, setting, end ?? chunks) }));
  const global = Boolean(globalPrompt.trim() || document.global?.prompt);
  const placed = document.segments.map((segment, index) => {
    const empty = !segment.prompt.trim() && !global ? `Prompt ${index + 1} is empty: write it.` : "";
    const misplaced = placeProblem(starts, index, setting) || askProblem(segment, index, starts[index] * latents, pins, storyStart(document, starts, index) * latents);
    return {
      segment,
      chunk: starts[index],
      asked_s: segment.start.unit === "s" ? segment.start.value : frames[index] / fps,
      start_s: startSeconds(starts[index], setting),
      end_s: startSeconds(Math.max(starts[index], starts[index + 1] ?? chunks), setting),
      blend_s: index > 0 ? blendSeconds(segment, setting) : 0,
      problem: misplaced || empty,
    };
  });
  const problem = placed.find((one) => one.problem)?.problem ?? "";
  const beyond = {
    prompts: starts.filter((start) => end !== null && start >= end).length,
    pins: pins.filter(({ frame }) => end !== null && latentAt(frame) >= end * latents).length,
  };
  const marks = pins.map(({ name, frame }) => ({ name, at_s: frame / fps }));
  const end_s = end === null ? null : startSeconds(end, setting);
  return { fps, latents, chunks, length_s: startSeconds(chunks, setting), end_s, placed, pins: marks, problem, beyond };
}

/** Chunks that each segment lasts, at least 1. The last goes on to the end of the story. @param {Plan} plan */
export function durations(plan) {
  const { placed, chunks, end_s, fps } = plan;
  const end = end_s === null ? chunks : chunkAtOrAfter(Math.round(end_s * fps), plan);
  return placed.map(({ chunk }, index) => Math.max(1, (placed[index + 1]?.chunk ?? Math.max(end, chunk + 1)) - chunk));
}

/** Which segment is on at a chunk. @param {Plan} plan @param {number} chunk */
export function segmentAt({ placed }, chunk) {
  return Math.max(0, placed.findLastIndex((one) => one.chunk <= chunk));
}

/**
 * A plan with a longer axis, as a story needs that goes on past what was planned.
 * @param {Plan} plan @param {number} length_s @returns {Plan}
 */
export function longer(plan, length_s) {
  if (length_s <= plan.length_s) return plan;
  const last = plan.placed.length - 1;
  const placed = plan.placed.map((one, index) => (index === last ? { ...one, end_s: length_s } : one));
  return { ...plan, length_s, placed };
}
