// @ts-check
// Presets: values for a sampling node and for the memory node behind it. The widgets alone remember what was set.

import { inputSource, isLinked, requiredWidget, widgetOf } from "../lib/graph.js";
import { MEMORY } from "../lib/node_ids.js";
import { say } from "../i18n/say.js";
import { labelOf, modelOf } from "./request.js";

/**
 * @typedef {{name: string, reason: string, said: import("../i18n/say.js").Said, widgets: Record<string, any>, memory: string, cache?: string}} Preset
 * @typedef {{set: string[], already: string[], left: string[]}} Told
 */

// high enough for both renderers, which otherwise make it so: another step of undo
const [WIDTH, HEIGHT, GAP] = [270, 110, 40];
const TITLE_HEIGHT = 30;

/**
 * Set a preset's values. @param {ComfyNode} sampler @param {Preset} preset
 * @param {(type: string) => ComfyNode} create makes a node
 * @returns {string} what was set, in words
 */
export function applyPreset(sampler, preset, create) {
  /** @type {Told} */
  const told = { set: [], already: [], left: [] };
  for (const [name, value] of Object.entries(preset.widgets)) {
    const size = name === "width" || name === "height";
    if (size && modelOf(sampler) === "tiny") told.left.push(say("{0}, since the tiny story model draws 64 x 64 pixels", labelOf(sampler, name)));
    else put(sampler, name, value, labelOf(sampler, name), told);
  }
  putMemory(sampler, preset, create, told);
  return sentence(preset.name, told);
}

/** @param {ComfyNode} node @param {string} name @param {any} value @param {string} called @param {Told} told */
function put(node, name, value, called, told) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  if (isLinked(node, name)) told.left.push(say("{0}, which comes from another node", called));
  else if (widget.value === value) told.already.push(`${called} ${value}`);
  else {
    told.set.push(`${called} ${widget.value} → ${value}`);
    widget.value = value;
    widget.callback?.(value);
  }
}

/** @param {ComfyNode} sampler @param {Preset} preset @param {(type: string) => ComfyNode} create @param {Told} told */
function putMemory(sampler, preset, create, told) {
  const [source, called] = [inputSource(sampler, "memory"), labelOf(sampler, "memory")];
  if (!source) addMemory(sampler, preset, create, told);
  else if (source.comfyClass !== MEMORY) told.left.push(say("{0}, which comes from {1}", called, source.title));
  else {
    const others = (source.outputs[0].links?.length ?? 1) - 1;
    const [, height] = source.size;
    put(source, "preset", preset.memory, others > 0 ? say("{0} (also of other nodes)", called) : called, told);
    putCache(source, preset, told);
    // the combo has fitted the node to the settings of its new option
    source.setSize([source.size[0], Math.max(source.size[1], Math.min(height, HEIGHT))]);
  }
}

/** The precision of what is remembered; told only where it changes. @param {ComfyNode} node @param {Preset} preset @param {Told} told */
function putCache(node, preset, told) {
  const cache = preset.cache ?? "model";
  if (widgetOf(node, "cache")?.value !== cache) put(node, "cache", cache, labelOf(node, "cache"), told);
}

/** @param {ComfyNode} sampler @param {Preset} preset @param {(type: string) => ComfyNode} create @param {Told} told */
function addMemory(sampler, preset, create, told) {
  const slot = sampler.inputs.findIndex((input) => input.name === "memory");
  if (slot < 0 || sampler.inputs[slot].link != null) {
    told.left.push(say("{0}, which comes from another node", labelOf(sampler, "memory")));
    return;
  }
  const node = create(MEMORY);
  node.pos = freePlace(sampler);
  sampler.graph?.add(node);
  requiredWidget(node, "preset").value = preset.memory;
  node.setSize([WIDTH, HEIGHT]);
  node.connect(0, sampler, slot);
  told.set.push(say("{0} none → {1}, in a new MemFlow Memory", labelOf(sampler, "memory"), preset.memory));
  putCache(node, preset, told);
}

/** To the left of a node, below whatever stands there. @param {ComfyNode} sampler @returns {[number, number]} */
function freePlace(sampler) {
  const x = sampler.pos[0] - WIDTH - GAP;
  let y = sampler.pos[1] + sampler.size[1] - HEIGHT;
  const across = (sampler.graph?.nodes ?? []).filter(({ pos, size }) => pos[0] < x + WIDTH && pos[0] + size[0] > x);
  across.sort((a, b) => a.pos[1] - b.pos[1]);
  for (const { pos, size } of across) {
    const apart = pos[1] - TITLE_HEIGHT >= y + HEIGHT || pos[1] + size[1] <= y - TITLE_HEIGHT;
    if (!apart) y = pos[1] + size[1] + GAP + TITLE_HEIGHT;
  }
  return [x, y];
}

/** @param {string} name @param {Told} told */
function sentence(name, { set, already, left }) {
  const words = [set.length ? say("{0} set {1}.", name, set.join(", ")) : say("{0} changed nothing.", name)];
  if (already.length) words.push(say("Already so: {0}.", already.join(", ")));
  if (left.length) words.push(say("Left alone: {0}.", left.join(", ")));
  return words.join(" ");
}
