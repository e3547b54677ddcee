// @ts-check
// What is known to be kept of the stories of sampling nodes, passed from the plan to whatever shows it.

/** @typedef {{chunk: number, until_s: number, renders_s: number | null, of_s: number | null}} Kept  up to where an earlier run has made the same */

/** @type {WeakMap<object, Kept>} */
const known = new WeakMap();
/** @type {Set<(sampler: ComfyNode) => void>} */
const listeners = new Set();

/** @param {ComfyNode} sampler @param {Kept | null} kept  null where it is not known */
export function setKept(sampler, kept) {
  if (kept) known.set(sampler, kept);
  else known.delete(sampler);
  for (const listener of listeners) listener(sampler);
}

/** What is kept of a sampling node's story; null where that is not known. @param {ComfyNode | undefined} sampler */
export function keptOf(sampler) {
  return (sampler && known.get(sampler)) ?? null;
}

/** Call a function with a sampling node whenever what is known of it changes. @param {(sampler: ComfyNode) => void} listener */
export function onKept(listener) {
  listeners.add(listener);
}
