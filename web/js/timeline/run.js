// @ts-check
// The state of a run as the strip shows it. Pure: events in, a new state out.

/** @typedef {{index: number, start_s: number, end_s: number, thumbnail: string | null}} Done a finished chunk */
/** @typedef {{prompt: string, start_s: number}} LivePrompt one that was asked for while the story ran */
/** @typedef {{prompt: string | null, done: Done[], running: boolean, live: LivePrompt[]}} Run */

/** @type {Run} */
export const NO_RUN = { prompt: null, done: [], running: false, live: [] };

const MOST_PICTURES = 600; // of a long run every 2nd, 4th ... is kept
const THUMBNAIL = /^data:image\/jpeg;base64,[A-Za-z0-9+/=]+$/;

/** The power of two at or above a number. @param {number} number */
function roundUp(number) {
  return 2 ** Math.max(0, Math.ceil(Math.log2(number)));
}

/** Remove thumbnails where there are too many. @param {Done[]} done @returns {Done[]} */
function withFewPictures(done) {
  const every = roundUp(done.length / MOST_PICTURES);
  return done.map((one) => (one.index % every ? { ...one, thumbnail: null } : one));
}

/** @param {unknown} value @returns {value is number} */
function isSeconds(value) {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

/** A sampler has begun. @returns {Run} */
export function started() {
  return { ...NO_RUN, running: true };
}

/**
 * A chunk is finished. Chunks of another run are dropped.
 * @param {Run} run
 * @param {any} detail  of the event "memflow.chunk"
 * @returns {Run}
 */
export function chunkDone(run, { prompt_id, chunk, chunks, start_s, end_s, thumbnail }) {
  if (!isSeconds(start_s) || !isSeconds(end_s) || !Number.isInteger(chunk) || end_s <= start_s) return run;
  const fresh = run.prompt === null || run.prompt === prompt_id ? run.done : [];
  const picture = typeof thumbnail === "string" && THUMBNAIL.test(thumbnail) ? thumbnail : null;
  const done = fresh.filter((one) => one.index !== chunk);
  done.push({ index: chunk, start_s, end_s, thumbnail: picture });
  // a story with an open end has no number of chunks
  const live = run.prompt === null || run.prompt === prompt_id ? run.live : [];
  const running = !Number.isInteger(chunks) || chunk + 1 < chunks;
  return { prompt: prompt_id, done: withFewPictures(done), running, live };
}

/**
 * A run by its summary, as its node's result has it.
 * @param {{chunks: any[], thumbnails: Record<string, string>}} summary
 * @param {string | null} prompt  id of a run under way @param {boolean} running
 */
export function ofSummary({ chunks, thumbnails: pictures }, prompt, running) {
  /** @type {Run} */
  let run = { ...NO_RUN, prompt };
  for (const { chunk, start_s, end_s } of chunks) {
    run = chunkDone(run, { prompt_id: prompt, chunk, chunks: null, start_s, end_s, thumbnail: pictures[chunk] });
  }
  return { ...run, prompt, running };
}

// the axis of a story without an end grows by so much at once
const AXIS_STEP_S = 10;

/** How long the axis must be for a run, in seconds. @param {Run} run */
export function axisOf({ done }) {
  const end_s = Math.max(0, ...done.map((one) => one.end_s));
  return Math.ceil(end_s / AXIS_STEP_S) * AXIS_STEP_S;
}

/**
 * What was asked for while a run went on, and from when on it is played.
 * @param {Run} run @param {{status: string, prompt: string, start_s: number | null}[]} prompts  of memflow.live
 * @returns {Run}
 */
export function directed(run, prompts) {
  const live = prompts.flatMap(({ status, prompt, start_s }) => {
    return status === "refused" || start_s === null ? [] : [{ prompt, start_s }];
  });
  return { ...run, live: live.toSorted((one, other) => one.start_s - other.start_s) };
}

/** A run has ended. @param {Run} run @returns {Run} */
export function ended(run) {
  return { ...run, running: false };
}

/** The chunk that is being made, in seconds; null for none. @param {Run} run @param {number} chunk_s */
export function making(run, chunk_s) {
  if (!run.running) return null;
  const start_s = Math.max(0, ...run.done.map((one) => one.end_s));
  return { start_s, end_s: start_s + chunk_s };
}

/**
 * The thumbnails that there is room for: every nth, each as wide as n chunks.
 * @param {Run} run
 * @param {number} pixelsPerSecond
 * @param {number} width_px  of one thumbnail, at least
 */
export function thumbnails({ done }, pixelsPerSecond, width_px) {
  const pictures = done.filter((one) => one.thumbnail);
  if (!pictures.length) return [];
  const chunk_s = Math.max(...pictures.map((one) => one.end_s - one.start_s));
  const every = roundUp(width_px / (chunk_s * pixelsPerSecond));
  return pictures
    .filter((one) => one.index % every === 0)
    .map(({ start_s, thumbnail }) => ({ start_s, thumbnail, width_s: chunk_s * every }));
}
