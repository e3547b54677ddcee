// @ts-check
// The request for a plan: the values that a sampling node would run with now, read from the graph. Pure: no page.
import { say } from "../i18n/say.js";
import { inputSource, sourceOf, widgetOf } from "../lib/graph.js";
import {
  CONTROL, LOAD_CONTROL, MEMORY, PROFILE, PROMPT_SCHEDULE, PROMPT_SEGMENT, STREAM_TO_VIDEO, TINY_STORY,
} from "../lib/node_ids.js";
import { valueOf } from "../lib/values.js";

/** The key of a segment's start, by its unit. @type {Record<string, string>} */
const START_KEYS = { seconds: "start_s", frames: "frame", chunks: "chunk" };
const MOST_SEGMENTS = 1000;
const MOST_CONTROLS = 1000;
const CONTROL_VALUES = ["start", "end", "strength", "use"];
// nodes between a sampler and its loader, in case they form a circle
const MOST_STEPS = 100;
const USUAL_SHIFT = 5;
// widgets of the settings that a memory preset brings
const NESTED = "preset.";
// widgets of a memory node beside its preset
const SHARED = [
  "cache",
  "bank_keys",
  "archive",
  "archive_rule",
  "bank_layers",
  "archive_gb",
  "admission",
  "look_ahead",
];

/** @typedef {{body: Record<string, any>} | {problem: string}} PlanRequest  for /memflow/plan, or why there is none */

/** A value that is known only when the run starts. */
class UnknownValue extends Error {}

/** The plan request of a sampler. @param {ComfyNode} sampler @returns {PlanRequest} */
export function planRequest(sampler) {
  try {
    return { body: bodyOf(sampler) };
  } catch (error) {
    if (error instanceof UnknownValue) return { problem: error.message };
    throw error;
  }
}

/** @param {ComfyNode} sampler */
function bodyOf(sampler) {
  if (inputSource(sampler, "state")) {
    throw new UnknownValue(say("This run goes on from a state: the plan is told when the run starts."));
  }
  /** @type {Record<string, any>} */
  const body = { ...scheduleOf(sampler), memory: memoryOf(sampler), model: modelOf(sampler) };
  for (const name of ["length", "fps", "width", "height", "steps"]) body[name] = knownValue(sampler, name);
  if (isFp8(sampler)) body.weights = "fp8";
  Object.assign(body, profileOf(sampler), controlOf(sampler));
  body.streamed = sampler.comfyClass === STREAM_TO_VIDEO;
  return body;
}

/** @param {ComfyNode} sampler */
function scheduleOf(sampler) {
  const source = inputSource(sampler, "schedule");
  if (!source) throw new UnknownValue(say("Connect a schedule, and its plan stands here."));
  if (source.comfyClass !== PROMPT_SCHEDULE) return { schedule: segmentsOf(source) };
  const schedule = knownValue(source, "prompts", say("The schedule's text"));
  const story = widgetOf(source, "story") ? knownValue(source, "story") : 1;
  return { schedule, global_prompt: knownValue(source, "global_prompt"), ...(story > 1 ? { story } : {}) };
}

/** The chain of prompt segments that ends in a node, in the story's order. @param {ComfyNode} last */
function segmentsOf(last) {
  /** @type {ComfyNode[]} */
  const chain = [];
  for (let node = /** @type {ComfyNode | null} */ (last); node; node = inputSource(node, "schedule")) {
    if (node.comfyClass !== PROMPT_SEGMENT || chain.length === MOST_SEGMENTS) throw fromElsewhere(say("The schedule"));
    chain.unshift(node);
  }
  return chain.map((node, number) => {
    const key = START_KEYS[knownValue(node, "unit")];
    const change = knownValue(node, "switch");
    const segment = { [key]: knownValue(node, "start"), prompt: `segment ${number + 1}`, switch: change };
    if (change !== "blend") return segment;
    return { ...segment, blend: { s: knownValue(node, "blend"), path: knownValue(node, "blend_path") } };
  });
}

/** @param {ComfyNode} sampler */
function memoryOf(sampler) {
  const source = inputSource(sampler, "memory");
  if (!source) return null;
  if (source.comfyClass !== MEMORY) throw fromElsewhere(say("The memory"));
  /** @type {Record<string, any>} */
  const memory = { preset: knownValue(source, "preset") };
  for (const { name } of source.widgets ?? []) {
    if (name.startsWith(NESTED)) memory[name.slice(NESTED.length)] = knownValue(source, name);
    if (SHARED.includes(name)) memory[name] = knownValue(source, name);
  }
  return memory;
}

/** The controls that steer the story, as they are numbered there; empty without any. @param {ComfyNode} sampler */
function controlOf(sampler) {
  /** @type {Record<string, any>[]} */
  const control = [];
  for (let node = inputSource(sampler, "control"); node; node = inputSource(node, "control")) {
    if (node.comfyClass !== CONTROL || control.length === MOST_CONTROLS) throw fromElsewhere(say("The control"));
    const source = node;
    const values = Object.fromEntries(CONTROL_VALUES.map((name) => [name, knownValue(source, name)]));
    control.unshift(inputSource(source, "mask") ? { ...values, masked: true } : values);
  }
  if (!control.length) return {};
  return { control, control_weights: modelPath(sampler).some(({ comfyClass }) => comfyClass === LOAD_CONTROL) };
}

/** The model that the plan is for. @param {ComfyNode} sampler */
export function modelOf(sampler) {
  return loaderOf(sampler)?.comfyClass === TINY_STORY ? "tiny" : "1.3B";
}

/** Whether the loader, which may be ComfyUI's own, is set to weights in FP8. @param {ComfyNode} sampler */
export function isFp8(sampler) {
  const loader = loaderOf(sampler);
  const dtype = loader && valueOf(loader, "weight_dtype");
  return typeof dtype === "string" && dtype.startsWith("fp8");
}

/** What the model's loader, and a node that says its profile, are set to. @param {ComfyNode} sampler */
function profileOf(sampler) {
  const path = modelPath(sampler);
  const loader = loaderOf(sampler);
  const said = path.find(({ comfyClass }) => comfyClass === PROFILE);
  // of LoRAs that ComfyUI's own nodes load, one may teach a model to stream
  const lora_name = [loader, ...path].map((node) => nameIn(node, ["lora_name"])).find(Boolean);
  const model_name = nameIn(loader, ["model_name", "unet_name", "ckpt_name"]);
  const chosen = [said, loader].map((node) => nameIn(node, ["profile"])).find((name) => name && name !== "auto");
  /** @type {Record<string, any>} */
  const found = { model_name, lora_name, profile: chosen };
  if (said) found.chunk_frames = valueOf(said, "chunk_frames");
  if (said) found.first_steps = valueOf(said, "first_steps");
  const shift = valueOf(sampler, "shift");
  if (shift !== USUAL_SHIFT) found.shift = shift;
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value));
}

/**
 * The text of the first of some widgets that a node has; "" for none.
 * @param {ComfyNode | null | undefined} node @param {string[]} names
 */
function nameIn(node, names) {
  const value = node && names.map((name) => valueOf(node, name)).find((one) => typeof one === "string");
  return !value || value === "none" ? "" : value;
}

/** The node that loads the model, past LoRAs and the like. @param {ComfyNode} sampler */
export function loaderOf(sampler) {
  const last = modelPath(sampler).at(-1);
  return last && modelSlot(last) < 0 ? last : null;
}

/** The nodes that the model comes through, from a sampler back to its loader. @param {ComfyNode} sampler */
function modelPath(sampler) {
  /** @type {ComfyNode[]} */
  const path = [];
  let node = inputSource(sampler, "model");
  while (node && path.length < MOST_STEPS) {
    path.push(node);
    const slot = modelSlot(node);
    node = slot < 0 ? null : sourceOf(node, slot);
  }
  return path;
}

/** @param {ComfyNode} node */
function modelSlot(node) {
  return node.inputs?.findIndex((input) => input.type === "MODEL") ?? -1;
}

/** What a widget or an input is called on the page. @param {ComfyNode} node @param {string} name @returns {string} */
export function labelOf(node, name) {
  const input = node.inputs?.find((input) => input.name === name);
  return widgetOf(node, name)?.label ?? input?.label ?? input?.localized_name ?? name;
}

/** A value. Throws UnknownValue. @param {ComfyNode} node @param {string} name @param {string} [label] */
function knownValue(node, name, label = labelOf(node, name)) {
  const value = valueOf(node, name);
  if (value === undefined) throw fromElsewhere(label);
  return value;
}

/** @param {string} label */
function fromElsewhere(label) {
  return new UnknownValue(say("{0} comes from another node: the plan is told when the run starts.", label));
}
