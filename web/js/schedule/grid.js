// @ts-check
// The grid of chunks: which chunk, latent frame and video frame a time falls on. The rules are memflow_core's.

/** @typedef {import("./time.js").Time} Time */

export const CHUNK_LATENTS = 3;
export const CHUNK_FRAMES = 12; // video frames of every chunk but the first
const FIRST_SHORTER = 3; // the first chunk has so many video frames less

/** First video frame of a chunk. @param {number} chunk */
export function startFrame(chunk) {
  return chunk > 0 ? chunk * CHUNK_FRAMES - FIRST_SHORTER : 0;
}

/** @param {number} chunk @param {number} fps */
export function startSeconds(chunk, fps) {
  return startFrame(chunk) / fps;
}

/** The first chunk that starts at or after a video frame. @param {number} frame */
export function chunkAtOrAfter(frame) {
  return frame > 0 ? Math.ceil((frame + FIRST_SHORTER) / CHUNK_FRAMES) : 0;
}

/** The latent frame that holds a video frame. @param {number} frame */
export function latentAt(frame) {
  return Math.floor((frame + FIRST_SHORTER) / 4);
}

/** The chunk that shows at a moment. @param {number} seconds @param {number} fps */
export function chunkShownAt(seconds, fps) {
  return Math.max(0, Math.floor((seconds * fps + FIRST_SHORTER + 1e-6) / CHUNK_FRAMES));
}

/** The chunk that starts nearest to a moment. @param {number} seconds @param {number} fps */
export function nearestChunk(seconds, fps) {
  const chunk = chunkShownAt(seconds, fps);
  return seconds - startSeconds(chunk, fps) < startSeconds(chunk + 1, fps) - seconds ? chunk : chunk + 1;
}

/**
 * A time in video frames; percent is taken of `chunks`.
 * @param {Time} time @param {number} fps @param {number} chunks
 */
export function frameOf(time, fps, chunks) {
  if (time.unit === "s") return Math.floor(time.value * fps + 0.5);
  if (time.unit === "frames") return time.value;
  if (time.unit === "chunks") return startFrame(time.value);
  const share = Math.round(time.value * chunks * CHUNK_LATENTS * 1e4) / 1e6;
  const latent = time.unit === "percent" ? share : time.value;
  return Math.max(0, 4 * latent - 3);
}
