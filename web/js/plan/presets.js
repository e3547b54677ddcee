// @ts-check
// Apply a preset: set values of a sampling node and of the memory node and loader behind it. The widgets keep what was set, and
// the page, until it is loaded anew, what precision a loader had before.
import { say } from "../i18n/say.js";
import { inputSource, isConnected, isLinked, linkCount, requiredWidget, widgetOf } from "../lib/graph.js";
import { LOAD_MODEL, MEMORY } from "../lib/node_ids.js";
import { valueOf } from "../lib/values.js";
import { isFp8, labelOf, loaderOf, modelOf } from "./request.js";

/**
 * A preset as the server sends it: values of the sampler's widgets, of the memory's preset and of its cache.
 * @typedef {{name: string, reason: string, said: import("../i18n/say.js").Message, widgets: Record<string, any>,
 *            memory: string, cache?: string, fp8_model?: boolean}} Preset
 * What a preset did, as texts: values that it set, that were so already, and that it left alone.
 * @typedef {{set: string[], already: string[], left: string[]}} Outcome
 * @typedef {(type: string) => ComfyNode} CreateNode
 */

// size of a new memory node, at least: either renderer makes it high enough for its widgets, as another step of undo
const [WIDTH, HEIGHT, GAP] = [270, 200, 40];
const TITLE_HEIGHT = 30;
const [PRECISION, FP8] = ["weight_dtype", "fp8"];

/** @type {WeakMap<ComfyNode, {loader: ComfyNode, before: any}>} precisions that a preset of a sampler has changed */
const changed = new WeakMap();

/**
 * Set a preset's values.
 * @param {ComfyNode} sampler @param {Preset} preset @param {CreateNode} create
 * @returns {string} what was set, for the user
 */
export function applyPreset(sampler, preset, create) {
  /** @type {Outcome} */
  const outcome = { set: [], already: [], left: [] };
  for (const [name, value] of Object.entries(preset.widgets)) {
    const label = labelOf(sampler, name);
    const isSize = name === "width" || name === "height";
    if (isSize && modelOf(sampler) === "tiny") {
      outcome.left.push(say("{0}, since the tiny story model draws 64 x 64 pixels", label));
    } else setWidget(sampler, name, value, label, outcome);
  }
  setMemory(sampler, preset, create, outcome);
  if (preset.fp8_model) setModel(sampler, outcome);
  else unsetModel(sampler, outcome);
  return outcomeText(preset.name, outcome);
}

/** @param {ComfyNode} node @param {string} name @param {any} value @param {string} label @param {Outcome} outcome */
function setWidget(node, name, value, label, outcome) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  if (isLinked(node, name)) outcome.left.push(say("{0}, which comes from another node", label));
  else if (widget.value === value) outcome.already.push(`${label} ${value}`);
  else {
    outcome.set.push(`${label} ${widget.value} → ${value}`);
    widget.value = value;
    widget.callback?.(value);
  }
}

/** @param {ComfyNode} sampler @param {Preset} preset @param {CreateNode} create @param {Outcome} outcome */
function setMemory(sampler, preset, create, outcome) {
  const source = inputSource(sampler, "memory");
  const label = labelOf(sampler, "memory");
  if (!source) addMemory(sampler, preset, create, outcome);
  else if (source.comfyClass !== MEMORY) outcome.left.push(say("{0}, which comes from {1}", label, source.title));
  else {
    const others = linkCount(source, 0) - 1;
    const [, height] = source.size;
    setWidget(source, "preset", preset.memory, others > 0 ? say("{0} (also of other nodes)", label) : label, outcome);
    setCache(source, preset, outcome);
    // the combo has fitted the node to the settings of its new option
    source.setSize([source.size[0], Math.max(source.size[1], Math.min(height, HEIGHT))]);
  }
}

/** Set the precision of the memory's cache, which is mentioned only if it changes.
 * @param {ComfyNode} node @param {Preset} preset @param {Outcome} outcome */
function setCache(node, preset, outcome) {
  const cache = preset.cache ?? "model";
  if (valueOf(node, "cache") !== cache) setWidget(node, "cache", cache, labelOf(node, "cache"), outcome);
}

/** Load the model in FP8, where this pack's loader does. @param {ComfyNode} sampler @param {Outcome} outcome */
function setModel(sampler, outcome) {
  const loader = loaderOf(sampler);
  if (!loader || modelOf(sampler) === "tiny") return;
  const label = precisionLabel(loader);
  if (loader.comfyClass === LOAD_MODEL) {
    const before = widgetOf(loader, PRECISION)?.value;
    setWidget(loader, PRECISION, FP8, label, outcome);
    if (before !== FP8 && widgetOf(loader, PRECISION)?.value === FP8) changed.set(sampler, { loader, before });
  } else if (!isFp8(sampler)) outcome.left.push(say("{0}, where FP8 is to be chosen by hand", label));
}

/**
 * Load the model as before a preset of this sampler set FP8; where that was chosen by hand, or the page has forgotten, say
 * that it stays.
 * @param {ComfyNode} sampler @param {Outcome} outcome
 */
function unsetModel(sampler, outcome) {
  const loader = loaderOf(sampler);
  const ours = changed.get(sampler);
  changed.delete(sampler);
  if (!loader || modelOf(sampler) === "tiny" || !isFp8(sampler)) return;
  const label = precisionLabel(loader);
  const stays = ours?.loader !== loader || widgetOf(loader, PRECISION)?.value !== FP8;
  if (stays) outcome.left.push(say("{0}, which stays {1}", label, String(valueOf(loader, PRECISION))));
  else setWidget(loader, PRECISION, ours.before, label, outcome);
}

/** @param {ComfyNode} loader */
function precisionLabel(loader) {
  return `${loader.title}: ${labelOf(loader, PRECISION)}`;
}

/**
 * Connect a new memory node.
 * @param {ComfyNode} sampler @param {Preset} preset @param {CreateNode} create @param {Outcome} outcome
 */
function addMemory(sampler, preset, create, outcome) {
  const label = labelOf(sampler, "memory");
  const slot = sampler.inputs.findIndex((input) => input.name === "memory");
  if (slot < 0 || isConnected(sampler, slot)) {
    outcome.left.push(say("{0}, which comes from another node", label));
    return;
  }
  const node = create(MEMORY);
  node.pos = freePlace(sampler);
  sampler.graph?.add(node);
  requiredWidget(node, "preset").value = preset.memory;
  node.setSize([WIDTH, Math.max(HEIGHT, node.computeSize()[1])]);
  node.connect(0, sampler, slot);
  outcome.set.push(say("{0} none → {1}, in a new MemFlow Memory", label, preset.memory));
  setCache(node, preset, outcome);
}

/**
 * A free place to the left of a node, below all nodes that are there.
 * @param {ComfyNode} sampler @returns {[number, number]}
 */
function freePlace(sampler) {
  const x = sampler.pos[0] - WIDTH - GAP;
  let y = sampler.pos[1] + sampler.size[1] - HEIGHT;
  const nodes = sampler.graph?.nodes ?? [];
  const across = nodes.filter(({ pos, size }) => pos[0] < x + WIDTH && pos[0] + size[0] > x);
  across.sort((a, b) => a.pos[1] - b.pos[1]);
  for (const { pos, size } of across) {
    const apart = pos[1] - TITLE_HEIGHT >= y + HEIGHT || pos[1] + size[1] <= y - TITLE_HEIGHT;
    if (!apart) y = pos[1] + size[1] + GAP + TITLE_HEIGHT;
  }
  return [x, y];
}

/** @param {string} name  of the preset @param {Outcome} outcome */
function outcomeText(name, { set, already, left }) {
  const sentences = [set.length ? say("{0} set {1}.", name, set.join(", ")) : say("{0} changed nothing.", name)];
  if (already.length) sentences.push(say("Already so: {0}.", already.join(", ")));
  if (left.length) sentences.push(say("Left alone: {0}.", left.join(", ")));
  return sentences.join(" ");
}
