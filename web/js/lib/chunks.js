// @ts-check
// Latent frames of a chunk, by sampling node: what the server said of its model. Nothing is saved with the workflow.

/** @type {WeakMap<object, number>} */
const CHUNKS = new WeakMap();
/** @type {(() => void)[]} */
const LISTENERS = [];

/** Note a chunk, and tell whoever listens if it is another one. @param {object} sampler @param {unknown} latents */
export function setChunk(sampler, latents) {
  if (!Number.isInteger(latents) || CHUNKS.get(sampler) === latents) return;
  CHUNKS.set(sampler, /** @type {number} */ (latents));
  for (const tell of LISTENERS) tell();
}

/** Latent frames of a chunk; undefined where nothing is known yet. @param {object | undefined} sampler */
export function chunkOf(sampler) {
  return sampler && CHUNKS.get(sampler);
}

/** Call a function whenever a chunk becomes another one. @param {() => void} tell */
export function onChunkChange(tell) {
  LISTENERS.push(tell);
}
