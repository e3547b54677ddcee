// @ts-check
// The memory log of a run: what the bank held, chunk by chunk, from the server's events. Pure: no page, no ComfyUI.
import { say } from "../i18n/say.js";

/**
 * A frame that memory keeps. `frame` is its first video frame, `chunk` the chunk that it was made in.
 * @typedef {{time_s: number, frame: number, chunk: number, score: number | null, layers: number, pinned: boolean,
 *            name: string | null}} RememberedFrame
 * Shares of attention; `even` in a chunk's memory: what they would be if every frame that is read got the same.
 * @typedef {{sink: number, bank: number, window: number}} Share
 * The bank chosen anew from the archive for a prompt: what came into it, and what scored best, best first.
 * @typedef {{rule: string, moments: number, recalled: RememberedFrame[], best: RememberedFrame[]}} ArchiveChoice
 * @typedef {{bank: RememberedFrame[], dropped: RememberedFrame[], recorded: RememberedFrame[],
 *            share: Share | null, even?: Share, archive?: ArchiveChoice}} ChunkMemory
 * The archive now: how many moments it holds, and those to show, oldest first, with the last prompt's scores.
 * @typedef {{moments: number, prompt: string, frames: {remembered: RememberedFrame, held: boolean}[]}} Shelf
 * @typedef {{chunk: number, start_s: number, end_s: number, prompt: string, memory: ChunkMemory}} LoggedChunk
 * The result of a run; thumbnails by the number of the chunk that they show the start of, or below zero of a picture that
 * was given; played: what was played, as a
 * schedule's text, where it was directed.
 * @typedef {{first_s: number, chunks: LoggedChunk[], thumbnails: Record<string, string>, played?: string}} Summary
 * @typedef {LoggedChunk & {prompt_id: string, node: string, chunks: number | null, thumbnail: string | null,
 *            thumbnails?: Record<string, string>}} ChunkEvent
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
    /** what was played, as a schedule's text, where the run was directed; "" where it was not */
    this.played = "";
    /** @type {{of: LoggedChunk[], byChunk: Map<number, string>}} the prompts of the chunks */
    this.prompts = { of: this.chunks, byChunk: new Map() };
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
    Object.assign(this.thumbnails, event.thumbnails);
    if (event.thumbnail) this.thumbnails[chunk] = event.thumbnail;
    this.expected = event.chunks;
  }

  /**
   * Take over all of a run that is under way.
   * @param {{prompt_id: string, chunks: number | null, memory: Summary}} run
   */
  join({ prompt_id, chunks, memory }) {
    if (prompt_id !== this.promptId) this.start(prompt_id);
    this.load({ ...memory, thumbnails: { ...this.thumbnails, ...memory.thumbnails } });
    this.expected = chunks;
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
    this.played = summary.played ?? "";
  }

  /** The thumbnail of a remembered frame, as a URL. @param {RememberedFrame} remembered */
  thumbnailOf(remembered) {
    return this.thumbnails[remembered.frame < 0 ? remembered.frame : remembered.chunk] ?? null;
  }

  /** The prompt that a remembered frame was made under; null where its chunk is not in the log.
   * @param {RememberedFrame} remembered */
  promptOf(remembered) {
    // a long story asks for many
    if (this.prompts.of !== this.chunks) {
      this.prompts = { of: this.chunks, byChunk: new Map(this.chunks.map(({ chunk, prompt }) => [chunk, prompt])) };
    }
    return this.prompts.byChunk.get(remembered.chunk) ?? null;
  }

  /**
   * The prompt that a frame was last chosen for, up to a chunk; null where it has only been kept since there was room.
   * @param {RememberedFrame} remembered @param {number} chunk
   */
  chosenFor({ frame }, chunk) {
    const scored = this.chunks.findLast((logged) => {
      return logged.chunk <= chunk && logged.memory.bank.some((held) => held.frame === frame && held.score !== null);
    });
    return scored?.prompt ?? null;
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
    if (!last) return say("shows what is remembered while it runs");
    const { bank } = last.memory;
    const held = bank.length === 1 ? say("1 moment remembered") : say("{0} moments remembered", bank.length);
    const at = this.stopped ? say("stopped at {0}", clock(last.end_s)) : say("at {0}", clock(last.end_s));
    const prompt = bank.map((remembered) => this.chosenFor(remembered, last.chunk)).findLast((found) => found !== null);
    return [held, at, ...(prompt ? [say("chosen for “{0}”", short(prompt))] : [])].join(" · ");
  }
}

/** 12.5625 -> "12.56 s". @param {number} time */
export function seconds(time) {
  return `${time.toFixed(2)} s`;
}

/** 75.5 -> "1:15", as a player shows it. @param {number} time_s */
export function clock(time_s) {
  const whole = Math.floor(time_s + 1e-6);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** 0.123 -> "12%". @param {number} share */
export function percentText(share) {
  return `${Math.round(100 * share)}%`;
}

/** A prompt that is cut off where it is long. @param {string} prompt */
function short(prompt) {
  return prompt.length > 60 ? `${prompt.slice(0, 57)}...` : prompt;
}

/**
 * The time of a remembered frame; an image that was given to be remembered has none.
 * @param {RememberedFrame} remembered
 */
export function nameOf({ frame, time_s }) {
  return frame < 0 ? say("picture {0}", -1 - frame) : clock(time_s);
}

/** The share of layers that keep a frame; "" for all of them. @param {RememberedFrame} remembered */
export function layerShare({ layers }) {
  return layers < ALL_LAYERS ? percentText(layers) : "";
}

/**
 * All that is known of a remembered frame, one thing a line.
 * @param {RememberedFrame} remembered
 * @param {object} about  whether it has left the bank; whether it came from the archive; the prompts that it was made under
 *   and last chosen for
 * @param {boolean} [about.dropped] @param {boolean} [about.recalled] @param {string | null} [about.madeUnder]
 * @param {string | null} [about.chosenFor]
 */
export function describe(remembered, { dropped = false, recalled = false, madeUnder = null, chosenFor = null } = {}) {
  const { frame, time_s, pinned, name, score } = remembered;
  const parts = [
    frame < 0
      ? say("a picture that you gave: always remembered")
      : say(dropped ? "no longer remembered: {0}" : "remembered from {0}", clock(time_s)),
    ...(chosenFor && !dropped ? [say("chosen for “{0}”", short(chosenFor))] : []),
    ...(dropped || frame < 0 ? [] : [layerWords(remembered)]),
    ...(pinned && frame >= 0 ? [name ? say("pinned as {0}", name) : say("pinned")] : []),
    ...(recalled ? [say("back from the archive")] : []),
    ...(madeUnder ? [say("made under “{0}”", short(madeUnder))] : []),
    ...(frame < 0 ? [] : [say("{0}, video frame {1}", seconds(time_s), frame)]),
    ...(score === null ? [] : [say("score {0}", score.toPrecision(3))]),
  ];
  return parts.join("\n");
}

/** How many of the layers have chosen a frame, in words. @param {RememberedFrame} remembered */
function layerWords(remembered) {
  const share = layerShare(remembered);
  return share ? say("the choice of {0} of the layers", share) : say("the choice of all layers");
}

/**
 * A share of attention beside an even one, in words: "9%, 3× an even share"; the share alone where none is known.
 * @param {number} share @param {number | undefined} even  what it would be if every frame got the same
 */
export function shareWords(share, even) {
  const text = percentText(share);
  if (!even) return text;
  const times = share / even;
  if (times >= 0.85 && times < 1.15) return say("{0}, an even share", text);
  if (times < 0.85) return say("{0}, even would be {1}", text, percentText(even));
  return say("{0}, {1}× an even share", text, times < 9.5 ? Number(times.toFixed(1)) : Math.round(times));
}
