// @ts-check
// The memory log of a run: what the bank held, chunk by chunk, from the server's events. Pure: no page, no ComfyUI.
import { say } from "../i18n/say.js";

/**
 * A frame that memory keeps. `frame` is its first video frame, `chunk` the chunk that it was made in.
 * @typedef {{time_s: number, frame: number, chunk: number, score: number | null, layers: number, pinned: boolean,
 *            name: string | null}} RememberedFrame
 * Shares of attention.
 * @typedef {{sink: number, bank: number, window: number}} Share
 * The bank chosen anew from the archive for a prompt: what came into it, and what scored best, best first.
 * @typedef {{rule: string, moments: number, recalled: RememberedFrame[], best: RememberedFrame[]}} ArchiveChoice
 * @typedef {{bank: RememberedFrame[], dropped: RememberedFrame[], recorded: RememberedFrame[],
 *            share: Share | null, archive?: ArchiveChoice}} ChunkMemory
 * The archive now: how many moments it holds, and those to show, oldest first, with the last prompt's scores.
 * @typedef {{moments: number, prompt: string, frames: {remembered: RememberedFrame, held: boolean}[]}} Shelf
 * @typedef {{chunk: number, start_s: number, end_s: number, prompt: string, memory: ChunkMemory}} LoggedChunk
 * The result of a run; thumbnails by the number of the chunk that they show the start of.
 * @typedef {{first_s: number, chunks: LoggedChunk[], thumbnails: Record<string, string>}} Summary
 * @typedef {LoggedChunk & {prompt_id: string, node: string, chunks: number | null, thumbnail: string | null}} ChunkEvent
 * @typedef {{prompt_id: string, memory: Summary, ended: "finished" | "stopped"}} DoneEvent
 */

// older rows would slow the page down; the report has them
export const MOST_ROWS = 200;

// a frame that fewer layers keep has their share shown
const ALL_LAYERS = 0.9995;

export class MemoryLog {
  constructor() {
    /** @type {string | null} the run that is logged */
    this.promptId = null;
    /** @type {LoggedChunk[]} */
    this.chunks = [];
    /** @type {Record<string, string>} as in a summary */
    this.thumbnails = {};
    /** @type {number | null} how many chunks the run will have, if that is known */
    this.expected = null;
    /** where the run's video starts in the story, in seconds */
    this.firstS = 0;
    /** whether the run broke off */
    this.stopped = false;
  }

  get isEmpty() {
    return this.chunks.length === 0;
  }

  /** Add a finished chunk. The first one of another run starts a new log. @param {ChunkEvent} event */
  addChunk(event) {
    if (event.prompt_id !== this.promptId) this.start(event.prompt_id);
    if (this.isEmpty) this.firstS = event.start_s;
    const { chunk, start_s, end_s, prompt, memory } = event;
    this.chunks = [...this.chunks.filter((logged) => logged.chunk < chunk), { chunk, start_s, end_s, prompt, memory }];
    if (event.thumbnail) this.thumbnails[chunk] = event.thumbnail;
    this.expected = event.chunks;
  }

  /** Start the log of another run. @param {string | null} promptId */
  start(promptId) {
    Object.assign(this, new MemoryLog(), { promptId });
  }

  /**
   * End the log with all chunks of the run; the thumbnails came with the chunks.
   * @param {string} promptId @param {Summary} summary @param {"finished" | "stopped"} how
   */
  end(promptId, summary, how) {
    if (promptId !== this.promptId) this.start(promptId);
    this.load({ ...summary, thumbnails: this.thumbnails });
    this.stopped = how === "stopped";
  }

  /** Take over the result of a run, which holds all that its events did. @param {Summary} summary */
  load(summary) {
    this.chunks = summary.chunks;
    this.thumbnails = summary.thumbnails;
    this.firstS = summary.first_s;
    this.expected = null;
  }

  /** The thumbnail of a remembered frame, as a URL. @param {RememberedFrame} remembered */
  thumbnailOf(remembered) {
    return this.thumbnails[remembered.chunk] ?? null;
  }

  /** The prompt that a remembered frame was made under; null where its chunk is not in the log.
   * @param {RememberedFrame} remembered */
  promptOf(remembered) {
    return this.chunks.find(({ chunk }) => chunk === remembered.chunk)?.prompt ?? null;
  }

  /** The archive as it stands; null in a run without one. @returns {Shelf | null} */
  shelf() {
    const last = this.chunks.findLastIndex(({ memory }) => memory.archive);
    const archive = this.chunks[last]?.memory.archive;
    if (!archive) return null;
    const recorded = this.chunks.slice(last).flatMap(({ memory }) => memory.recorded);
    const seen = new Map([...recorded, ...archive.best].map((remembered) => [remembered.frame, remembered]));
    // too new to be scored, and of all that were recorded before it the best alone
    const held = new Map((this.chunks.at(-1)?.memory.bank ?? []).map((remembered) => [remembered.frame, remembered]));
    for (const [frame, remembered] of held) {
      const score = remembered.score ?? seen.get(frame)?.score ?? null;
      if (frame >= 0) seen.set(frame, { ...remembered, score });
    }
    const frames = [...seen.values()].sort((a, b) => a.frame - b.frame);
    return {
      moments: archive.moments + recorded.length,
      prompt: this.chunks[last].prompt,
      frames: frames.map((remembered) => ({ remembered, held: held.has(remembered.frame) })),
    };
  }

  /** The newest chunks, oldest first, and how many before them are left out. */
  rows() {
    const leftOut = Math.max(0, this.chunks.length - MOST_ROWS);
    return { leftOut, chunks: this.chunks.slice(leftOut) };
  }

  /** The newest state in one line. */
  headline() {
    const last = this.chunks.at(-1);
    if (!last) return say("shows what the bank keeps while it runs");
    const held = last.memory.bank.length;
    let chunk = String(last.chunk + 1);
    if (this.expected !== null) chunk = say("{0} of {1}", chunk, this.expected);
    if (this.stopped) chunk = say("{0}, stopped", chunk);
    const text = held === 1 ? "{0} moment kept at {1} (chunk {2})" : "{0} moments kept at {1} (chunk {2})";
    return say(text, held, seconds(last.end_s), chunk);
  }
}

/** 12.5625 -> "12.56 s". @param {number} time */
export function seconds(time) {
  return `${time.toFixed(2)} s`;
}

/** 0.123 -> "12%". @param {number} share */
export function percentText(share) {
  return `${Math.round(100 * share)}%`;
}

/**
 * The time of a remembered frame; an image that was given to be remembered has none.
 * @param {RememberedFrame} remembered
 */
export function nameOf({ frame, time_s }) {
  return frame < 0 ? say("picture {0}", -1 - frame) : seconds(time_s);
}

/** The share of layers that keep a frame; "" for all of them. @param {RememberedFrame} remembered */
export function layerShare({ layers }) {
  return layers < ALL_LAYERS ? percentText(layers) : "";
}

/**
 * All that is known of a remembered frame, as a text.
 * @param {RememberedFrame} remembered @param {boolean} dropped
 * @param {{recalled?: boolean, prompt?: string | null}} [more]  whether it came from the archive; what it was made under
 */
export function describe(remembered, dropped, { recalled = false, prompt = null } = {}) {
  const { frame, pinned, name, score } = remembered;
  const parts = [frame < 0 ? nameOf(remembered) : say("{0} (video frame {1})", nameOf(remembered), frame)];
  if (dropped) parts.push(say("dropped"));
  if (pinned) parts.push(name ? say("pinned as {0}", name) : say("pinned"));
  if (score !== null) parts.push(say("score {0}", score.toPrecision(3)));
  const layers = dropped ? "" : layerShare(remembered);
  if (layers) parts.push(say("in {0} of the layers", layers));
  if (recalled) parts.push(say("back from the archive"));
  if (prompt) parts.push(say("made under “{0}”", prompt.length > 60 ? `${prompt.slice(0, 57)}...` : prompt));
  return parts.join(", ");
}
