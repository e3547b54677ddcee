// @ts-check
// What stands behind a sampling node, in the form that ComfyUI's API takes, for the server to look up what of its story
// is kept. Only values are read: the front end's own way also lets nodes upload pictures and draw random words.
import { isConnected, originOf, widgetOf } from "../lib/graph.js";
import { linkedValue } from "../lib/values.js";

/** @typedef {{class_type: string, inputs: Record<string, any>}} ApiNode */

const MOST_NODES = 2000;
const SEED_CONTROL = "control_after_generate";
// widgets in which the front end shows results, with no value of a node's
const SHOWN = /^(?:video-preview$|\$\$)/;

/**
 * The graph behind a sampling node, which is node "0" of it; null for one that is too large to be sent along.
 * @param {ComfyNode} sampler @returns {Record<string, ApiNode> | null}
 */
export function graphBehind(sampler) {
  /** @type {ComfyNode[]} */
  const nodes = [sampler];
  const idOf = (/** @type {ComfyNode} */ node) => {
    const known = nodes.indexOf(node);
    return String(known >= 0 ? known : nodes.push(node) - 1);
  };
  /** @type {Record<string, ApiNode>} */
  const graph = {};
  // grows while links are followed
  for (let place = 0; place < nodes.length; place++) {
    if (place === MOST_NODES) return null;
    graph[place] = { class_type: String(nodes[place].comfyClass), inputs: inputsOf(nodes[place], idOf) };
  }
  return graph;
}

/** @param {ComfyNode} node @param {(node: ComfyNode) => string} idOf */
function inputsOf(node, idOf) {
  /** @type {Record<string, any>} */
  const inputs = {};
  for (const { name, value, options } of node.widgets ?? []) {
    if (name && !SHOWN.test(name) && options?.serialize !== false) inputs[name] = literal(value);
  }
  for (const [slot, input] of (node.inputs ?? []).entries()) {
    if (!isConnected(node, slot)) continue;
    const origin = originOf(node, slot);
    const value = origin && !origin.node.isVirtualNode ? undefined : linkedValue(node, slot);
    if (value !== undefined) inputs[input.name] = literal(value);
    else if (origin) inputs[input.name] = [idOf(origin.node), origin.slot];
    else if (!input.widget) delete inputs[input.name];
  }
  return inputs;
}

/** A value as the API takes it, where lists stand for links. @param {any} value */
function literal(value) {
  return Array.isArray(value) ? { __value__: value } : value;
}

/**
 * Whether a sampling node's seed is the one that the next run has.
 * @param {ComfyNode} sampler @param {boolean} changesBefore  whether the page changes seeds before it queues
 */
export function seedStays(sampler, changesBefore) {
  const control = widgetOf(sampler, SEED_CONTROL)?.value;
  return !changesBefore || control === undefined || control === "fixed";
}
