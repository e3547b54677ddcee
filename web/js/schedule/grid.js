// @ts-check
// The grid of chunks: which chunk, latent frame and video frame a time falls on. The rules are memflow_core's.

/** @typedef {import("./time.js").Time} Time */
/** @typedef {{fps: number, latents?: number}} Grid latents: latent frames of a chunk, 3 where nothing says otherwise */

export const USUAL_LATENTS = 3;
const FRAMES_A_LATENT = 4;
const FIRST_SHORTER = 3; // the first chunk has so many video frames less

/** Latent frames of a chunk. @param {Grid} grid */
export function latentsOf({ latents }) {
  return latents ?? USUAL_LATENTS;
}

/** Video frames of every chunk but the first. @param {Grid} grid */
export function chunkFrames(grid) {
  return FRAMES_A_LATENT * latentsOf(grid);
}

/** First video frame of a chunk. @param {number} chunk @param {Grid} grid */
export function startFrame(chunk, grid) {
  return chunk > 0 ? chunk * chunkFrames(grid) - FIRST_SHORTER : 0;
}

/** @param {number} chunk @param {Grid} grid */
export function startSeconds(chunk, grid) {
  return startFrame(chunk, grid) / grid.fps;
}

/** Video frames up to some seconds behind a chunk's start, in whole chunks. @param {number} chunk @param {number} seconds @param {Grid} grid */
export function framesBehind(chunk, seconds, grid) {
  return startFrame(chunk + Math.max(1, Math.ceil((seconds * grid.fps - 1e-6) / chunkFrames(grid))), grid);
}

/** The first chunk that starts at or after a video frame. @param {number} frame @param {Grid} grid */
export function chunkAtOrAfter(frame, grid) {
  return frame > 0 ? Math.ceil((frame + FIRST_SHORTER) / chunkFrames(grid)) : 0;
}

/** The latent frame that holds a video frame. @param {number} frame */
export function latentAt(frame) {
  return Math.floor((frame + FIRST_SHORTER) / FRAMES_A_LATENT);
}

/** The chunk that shows at a moment. @param {number} seconds @param {Grid} grid */
export function chunkShownAt(seconds, grid) {
  return Math.max(0, Math.floor((seconds * grid.fps + FIRST_SHORTER + 1e-6) / chunkFrames(grid)));
}

/** The chunk that starts nearest to a moment. @param {number} seconds @param {Grid} grid */
export function nearestChunk(seconds, grid) {
  const chunk = chunkShownAt(seconds, grid);
  return seconds - startSeconds(chunk, grid) < startSeconds(chunk + 1, grid) - seconds ? chunk : chunk + 1;
}

/**
 * A time in video frames; percent is taken of `chunks`.
 * @param {Time} time @param {Grid} grid @param {number} chunks
 */
export function frameOf(time, grid, chunks) {
  if (time.unit === "s") return Math.floor(time.value * grid.fps + 0.5);
  if (time.unit === "frames") return time.value;
  if (time.unit === "chunks") return startFrame(time.value, grid);
  const share = Math.round(time.value * chunks * latentsOf(grid) * 1e4) / 1e6;
  const latent = time.unit === "percent" ? share : time.value;
  return Math.max(0, FRAMES_A_LATENT * latent - FIRST_SHORTER);
}
