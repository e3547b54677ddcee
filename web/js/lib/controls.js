// @ts-check
// Where controls stand on the stories of sampling nodes, passed from the plan to whatever shows it.

/**
 * A control on a story's clock; its end is null where only reading its pictures tells.
 * @typedef {{number: number, use: string, strength: number, start_s: number, end_s: number | null}} Placed
 */

/** @type {WeakMap<object, Placed[]>} */
const known = new WeakMap();
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {ComfyNode} sampler @param {Placed[]} controls  none where they are not known */
export function setControls(sampler, controls) {
  known.set(sampler, controls);
  for (const listener of listeners) listener();
}

/** The controls of a sampling node's story, in its order. @param {ComfyNode | undefined} sampler */
export function controlsOf(sampler) {
  return (sampler && known.get(sampler)) ?? [];
}

/** Call a function whenever controls are told anew. @param {() => void} listener */
export function onControls(listener) {
  listeners.add(listener);
}
