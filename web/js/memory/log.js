// @ts-check
// What a run's memory did, gathered from the server's events. Pure: no page, no ComfyUI.
import { say } from "../i18n/say.js";

/**
 * A remembered moment. `frame` is its first video frame, `chunk` the chunk that it was made in.
 * @typedef {{time_s: number, frame: number, chunk: number, score: number | null, layers: number, pinned: boolean,
 *            name: string | null}} Moment
 * @typedef {{sink: number, bank: number, window: number}} Share
 * @typedef {{bank: Moment[], dropped: Moment[], recorded: Moment[], share: Share | null}} ChunkMemory
 * @typedef {{chunk: number, start_s: number, end_s: number, prompt: string, memory: ChunkMemory}} ToldChunk
 * @typedef {{first_s: number, chunks: ToldChunk[], thumbnails: Record<string, string>}} Summary
 * @typedef {ToldChunk & {prompt_id: string, node: string, chunks: number | null, thumbnail: string | null}} ChunkEvent
 * @typedef {{prompt_id: string, memory: Summary, ended: "finished" | "stopped"}} DoneEvent
 */

// older rows cost the page more than they tell
export const MOST_ROWS = 200;

export class MemoryStory {
  constructor() {
    /** @type {string | null} the run that this is the story of */
    this.promptId = null;
    /** @type {ToldChunk[]} */
    this.chunks = [];
    /** @type {Record<string, string>} pictures by the number of the chunk that they show the start of */
    this.thumbnails = {};
    /** @type {number | null} chunks there will be */
    this.expected = null;
    /** where the run's video starts in the story, in seconds */
    this.firstS = 0;
    /** whether the run broke off */
    this.stopped = false;
  }

  get isEmpty() {
    return this.chunks.length === 0;
  }

  /** @param {ChunkEvent} event */
  addChunk(event) {
    if (event.prompt_id !== this.promptId) this.start(event.prompt_id);
    if (this.isEmpty) this.firstS = event.start_s;
    const { chunk, start_s, end_s, prompt, memory } = event;
    this.chunks = [...this.chunks.filter((told) => told.chunk < chunk), { chunk, start_s, end_s, prompt, memory }];
    if (event.thumbnail) this.thumbnails[chunk] = event.thumbnail;
    this.expected = event.chunks;
  }

  /** Forget the last run. @param {string | null} promptId */
  start(promptId) {
    Object.assign(this, new MemoryStory(), { promptId });
  }

  /**
   * A run has ended: all its chunks, without their pictures.
   * @param {string} promptId @param {Summary} summary @param {"finished" | "stopped"} how
   */
  end(promptId, summary, how) {
    if (promptId !== this.promptId) this.start(promptId);
    this.take({ ...summary, thumbnails: this.thumbnails });
    this.stopped = how === "stopped";
  }

  /** A run as its result tells it, which knows all that the events said. @param {Summary} summary */
  take(summary) {
    this.chunks = summary.chunks;
    this.thumbnails = summary.thumbnails;
    this.firstS = summary.first_s;
    this.expected = null;
  }

  /** The picture of a moment, if there is one. @param {Moment} moment */
  pictureOf(moment) {
    return this.thumbnails[moment.chunk] ?? null;
  }

  /** The newest chunks, oldest first, and how many before them are left out. */
  rows() {
    const leftOut = Math.max(0, this.chunks.length - MOST_ROWS);
    return { leftOut, chunks: this.chunks.slice(leftOut) };
  }

  /** One line. */
  headline() {
    const last = this.chunks.at(-1);
    if (!last) return say("shows what the bank keeps while it runs");
    const held = last.memory.bank.length;
    let chunk = String(last.chunk + 1);
    if (this.expected !== null) chunk = say("{0} of {1}", chunk, this.expected);
    if (this.stopped) chunk = say("{0}, stopped", chunk);
    const kept = held === 1 ? "{0} moment kept at {1} (chunk {2})" : "{0} moments kept at {1} (chunk {2})";
    return say(kept, held, seconds(last.end_s), chunk);
  }
}

/** 12.5625 -> "12.56 s". @param {number} time */
export function seconds(time) {
  return `${time.toFixed(2)} s`;
}

/** 0.123 -> "12%". @param {number} share */
export function percent(share) {
  return `${Math.round(100 * share)}%`;
}

/** A moment's time; a picture that was given to be remembered has none. @param {Moment} moment */
export function nameOf(moment) {
  return moment.frame < 0 ? say("picture {0}", -1 - moment.frame) : seconds(moment.time_s);
}

/** All that is known of a moment, in words. @param {Moment} moment @param {boolean} dropped */
export function describe(moment, dropped) {
  const words = [moment.frame < 0 ? nameOf(moment) : say("{0} (video frame {1})", nameOf(moment), moment.frame)];
  if (dropped) words.push(say("dropped"));
  if (moment.pinned) words.push(moment.name ? say("pinned as {0}", moment.name) : say("pinned"));
  if (moment.score !== null) words.push(say("score {0}", moment.score.toPrecision(3)));
  if (!dropped && moment.layers < 0.9995) words.push(say("in {0} of the layers", percent(moment.layers)));
  return words.join(", ");
}
