// @ts-check
// The request for a plan: the values that a sampling node would run with now, read from the graph. Pure: no page.
import { say } from "../i18n/say.js";
import { inputSource, isConnected, linkAt, linkedSlot, outerInput, sourceOf, widgetOf } from "../lib/graph.js";
import { MEMORY, PROMPT_SCHEDULE, PROMPT_SEGMENT, STREAM_TO_VIDEO, TINY_STORY } from "../lib/node_ids.js";

/** The key of a segment's start, by its unit. @type {Record<string, string>} */
const START_KEYS = { seconds: "start_s", frames: "frame", chunks: "chunk" };
const MOST_SEGMENTS = 1000;
// nodes between a sampler and its loader, in case they form a circle
const MOST_STEPS = 100;
// widgets of the settings that a memory preset brings
const NESTED = "preset.";
// widgets of a memory node beside its preset
const SHARED = ["cache", "bank_keys", "archive", "archive_rule", "bank_layers"];

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

/** The model that the plan is for. @param {ComfyNode} sampler */
export function modelOf(sampler) {
  return loaderOf(sampler)?.comfyClass === TINY_STORY ? "tiny" : "1.3B";
}

/** Whether the loader, which may be ComfyUI's own, is set to weights in FP8. @param {ComfyNode} sampler */
function isFp8(sampler) {
  const dtype = widgetOf(loaderOf(sampler), "weight_dtype")?.value;
  return typeof dtype === "string" && dtype.startsWith("fp8");
}

/** The node that loads the model, past LoRAs and the like. @param {ComfyNode} sampler */
function loaderOf(sampler) {
  let node = inputSource(sampler, "model");
  for (let steps = 0; node && steps < MOST_STEPS; steps++) {
    const slot = node.inputs?.findIndex((input) => input.type === "MODEL") ?? -1;
    if (slot < 0) return node;
    node = sourceOf(node, slot);
  }
  return null;
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

/**
 * A widget's value, or the one that a primitive node or a subgraph's own widget gives it; undefined if only a run
 * computes it.
 * @param {ComfyNode} node @param {string} name
 */
function valueOf(node, name) {
  const slot = linkedSlot(node, name);
  return slot < 0 ? widgetOf(node, name)?.value : linkedValue(node, slot);
}

/** @param {ComfyNode} node @param {number} slot */
function linkedValue(node, slot) {
  const source = sourceOf(node, slot);
  if (source) return source.type?.startsWith("Primitive") ? source.widgets?.[0]?.value : undefined;
  // out of subgraphs, to the node that shows a widget for the value
  for (let outer = outerInput(node, linkAt(node, slot)); outer?.node; outer = outerInput(node, linkAt(node, slot))) {
    ({ node, slot } = outer);
    const input = node.inputs?.[slot];
    if (!isConnected(node, slot)) return widgetOf(node, input?.widget?.name ?? input?.name)?.value;
  }
  return undefined;
}
