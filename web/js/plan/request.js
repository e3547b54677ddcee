// @ts-check
// What a sampling node would be asked for if it were queued now, read from the graph. Nothing here needs the page.

import { inputSource, linkAt, linkedSlot, outerInput, sourceOf, widgetOf } from "../lib/graph.js";
import { MEMORY, PROMPT_SCHEDULE, PROMPT_SEGMENT, STREAM_TO_VIDEO, TINY_STORY } from "../lib/node_ids.js";
import { say } from "../i18n/say.js";

const UNITS = /** @type {Record<string, string>} */ ({ seconds: "start_s", frames: "frame", chunks: "chunk" });
const MOST_SEGMENTS = 1000;
const NESTED = "preset.";

/** @typedef {{body: Record<string, any>} | {problem: string}} Reading */

/** What cannot be known before the run. */
class Unknown extends Error {}

/** @param {ComfyNode} sampler @returns {Reading} a body for /memflow/plan, or why there is none */
export function readRun(sampler) {
  try {
    return { body: bodyOf(sampler) };
  } catch (error) {
    if (error instanceof Unknown) return { problem: error.message };
    throw error;
  }
}

/** @param {ComfyNode} sampler */
function bodyOf(sampler) {
  if (inputSource(sampler, "state")) throw new Unknown(say("This run goes on from a state: the plan is told when the run starts."));
  /** @type {Record<string, any>} */
  const body = { ...scheduleOf(sampler), memory: memoryOf(sampler), model: modelOf(sampler) };
  for (const name of ["length", "fps", "width", "height", "steps"]) body[name] = known(sampler, name);
  if (inFp8(sampler)) body.weights = "fp8";
  body.streamed = sampler.comfyClass === STREAM_TO_VIDEO;
  return body;
}

/** @param {ComfyNode} sampler */
function scheduleOf(sampler) {
  const source = inputSource(sampler, "schedule");
  if (!source) throw new Unknown(say("Connect a schedule, and its plan stands here."));
  if (source.comfyClass === PROMPT_SCHEDULE) {
    return { schedule: known(source, "prompts", say("The schedule's text")), global_prompt: known(source, "global_prompt") };
  }
  return { schedule: segmentsOf(source) };
}

/** The chain of prompt segments that ends in a node, in the story's order. @param {ComfyNode} last */
function segmentsOf(last) {
  const chain = [];
  for (let node = /** @type {ComfyNode | null} */ (last); node; node = inputSource(node, "schedule")) {
    if (node.comfyClass !== PROMPT_SEGMENT || chain.length === MOST_SEGMENTS) {
      throw elsewhere(say("The schedule"));
    }
    chain.unshift(node);
  }
  return chain.map((node, number) => {
    const at = UNITS[known(node, "unit")];
    const change = known(node, "switch");
    const segment = { [at]: known(node, "start"), prompt: `segment ${number + 1}`, switch: change };
    if (change !== "blend") return segment;
    return { ...segment, blend: { s: known(node, "blend"), path: known(node, "blend_path") } };
  });
}

/** @param {ComfyNode} sampler */
function memoryOf(sampler) {
  const source = inputSource(sampler, "memory");
  if (!source) return null;
  if (source.comfyClass !== MEMORY) throw elsewhere(say("The memory"));
  /** @type {Record<string, any>} */
  const said = { preset: known(source, "preset") };
  for (const { name } of source.widgets ?? []) {
    if (name.startsWith(NESTED)) said[name.slice(NESTED.length)] = known(source, name);
    if (name === "cache") said.cache = known(source, name);
  }
  return said;
}

/** Whose sizes the plan is for. @param {ComfyNode} sampler */
export function modelOf(sampler) {
  return loaderOf(sampler)?.comfyClass === TINY_STORY ? "tiny" : "1.3B";
}

/** Whether the loader is set to weights in FP8, as ComfyUI's own may be too. @param {ComfyNode} sampler */
function inFp8(sampler) {
  const dtype = widgetOf(loaderOf(sampler), "weight_dtype")?.value;
  return typeof dtype === "string" && dtype.startsWith("fp8");
}

/** Where the model comes from, past LoRAs and the like. @param {ComfyNode} sampler */
function loaderOf(sampler) {
  let [node, steps] = [inputSource(sampler, "model"), 0];
  while (node && steps++ < 100) {
    const slot = node.inputs?.findIndex((input) => input.type === "MODEL") ?? -1;
    if (slot < 0) return node;
    node = sourceOf(node, slot);
  }
  return null;
}

/** @param {ComfyNode} node @param {string} name @param {string} [called] */
function known(node, name, called = labelOf(node, name)) {
  const value = valueOf(node, name);
  if (value === undefined) throw elsewhere(called);
  return value;
}

/** @param {string} called */
function elsewhere(called) {
  return new Unknown(say("{0} comes from another node: the plan is told when the run starts.", called));
}

/** What a widget or an input is called on the page. @param {ComfyNode} node @param {string} name @returns {string} */
export function labelOf(node, name) {
  const input = node.inputs?.find((input) => input.name === name);
  return widgetOf(node, name)?.label ?? input?.label ?? input?.localized_name ?? name;
}

/** A widget's value, or what a primitive node or a subgraph's own widget gives it; undefined where only a run knows.
 * @param {ComfyNode} node @param {string} name */
export function valueOf(node, name) {
  const slot = linkedSlot(node, name);
  return slot < 0 ? widgetOf(node, name)?.value : linkedValue(node, slot);
}

/** @param {ComfyNode} node @param {number} slot */
function linkedValue(node, slot) {
  const source = sourceOf(node, slot);
  if (source) return source.type?.startsWith("Primitive") ? source.widgets?.[0]?.value : undefined;
  // out of subgraphs, to the one that shows a widget for it
  for (let outer = outerInput(node, linkAt(node, slot)); outer?.node; outer = outerInput(node, linkAt(node, slot))) {
    ({ node, slot } = outer);
    const input = node.inputs?.[slot];
    if (input?.link == null) return widgetOf(node, input?.widget?.name ?? input?.name)?.value;
  }
  return undefined;
}
