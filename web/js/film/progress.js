// @ts-check
// How far a run is, in words: seconds made, and the time that is left. Pure: events in, sentences out.
import { say } from "../i18n/say.js";

// chunks behind the first one, which often waits for the model, before a time is said
const SURE_AFTER = 2;

/** 75 -> "1:15", 5 -> "5 s". @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${String(whole % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h`;
}

/**
 * The end of a story, in seconds; null where it is open.
 * @param {{chunk: number, chunks: number | null, start_s: number, end_s: number}} event memflow.chunk, not the first one
 */
export function endOf({ chunk, chunks, start_s, end_s }) {
  return chunks === null ? null : end_s + (chunks - chunk - 1) * (end_s - start_s);
}

export class Progress {
  constructor() {
    /** when the first chunk came, and which it was @type {{at_ms: number, chunk: number} | null} */
    this.first = null;
  }

  /**
   * A line on a chunk that has come.
   * @param {import("./film.js").ChunkEvent} event @param {number} now_ms @param {number} first_s  where the film starts
   */
  line(event, now_ms, first_s) {
    // chunks of an earlier run come all at once
    if (event.kept) return "";
    this.first ??= { at_ms: now_ms, chunk: event.chunk };
    const made = (event.end_s - first_s).toFixed(1);
    // the first chunk of a story is shorter than all others
    const end = event.chunk > 0 ? endOf(event) : null;
    const so_far = end === null ? say("{0} s made", made) : say("{0} of {1} s made", made, (end - first_s).toFixed(1));
    const left = this.left(event, now_ms);
    return left === null ? so_far : say("{0}, about {1} left", so_far, duration(left));
  }

  /** Seconds to the end; null where nobody can know. @param {import("./film.js").ChunkEvent} event @param {number} now_ms */
  left({ chunk, chunks }, now_ms) {
    const { first } = this;
    if (!first || chunks === null || chunk - first.chunk < SURE_AFTER || chunk + 1 >= chunks) return null;
    return ((now_ms - first.at_ms) / 1000 / (chunk - first.chunk)) * (chunks - chunk - 1);
  }
}
