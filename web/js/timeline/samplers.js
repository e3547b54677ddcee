// @ts-check
// Find the samplers that play a schedule node's story, through any links, reroutes and subgraphs.
import { innerTargets, inputSource, isIdle, isLinked, targetsOf, widgetOf } from "../lib/graph.js";
import { gridOf, resumes } from "../lib/length.js";
import { LOAD_AUDIO } from "../lib/node_ids.js";
import { valueOf } from "../lib/values.js";
import { USUAL_LATENTS } from "../schedule/grid.js";

const SCHEDULE_TYPE = "MEMFLOW_SCHEDULE";

/** Where a node's schedules go. @param {ComfyNode} node */
function scheduleTargets(node) {
  const slots = [...(node.outputs ?? []).entries()].filter(([, { type }]) => type === SCHEDULE_TYPE || type === "*");
  return slots.flatMap(([slot]) => targetsOf(node, slot));
}

/** Whether a node plays schedules, which other packs' nodes may do, too. @param {ComfyNode} node */
function playsSchedules(node) {
  const takesSchedule = node.inputs?.some((input) => input.type === SCHEDULE_TYPE);
  return Boolean(takesSchedule && widgetOf(node, "length") && widgetOf(node, "fps"));
}

/**
 * Every sampler that a node's schedule comes to, the nearest first.
 * @param {ComfyNode} node @returns {ComfyNode[]}
 */
export function samplersOf(node) {
  /** @type {Set<ComfyNode>} */
  const samplers = new Set();
  const seen = new Set();
  const queue = scheduleTargets(node);
  for (const next of queue) {
    if (seen.has(next.node)) continue;
    seen.add(next.node);
    if (next.node.subgraph) queue.push(...innerTargets(next.node.subgraph, next.slot));
    else if (!playsSchedules(next.node)) queue.push(...scheduleTargets(next.node));
    else if (!isIdle(next.node)) samplers.add(next.node);
  }
  return [...samplers];
}

/**
 * Length in video frames, frame rate and chunk of the story that a schedule node's sampler makes.
 * @param {ComfyNode} node @returns {import("../schedule/plan.js").Setting}
 */
export function settingOf(node) {
  const [sampler] = samplersOf(node);
  const grid = sampler ? gridOf(sampler) : { fps: 16, frames: null, latents: undefined, fixed: false };
  // the same until the server says otherwise, so that its answer changes nothing while one types
  return { ...grid, latents: grid.latents ?? USUAL_LATENTS };
}

/**
 * The file whose sound begins with a sampler's story; "" where none does, or only a run knows.
 * @param {ComfyNode | undefined} sampler @returns {string}
 */
export function soundFileOf(sampler) {
  if (!sampler) return "";
  // behind a state, the sound of this video alone begins where the state stands
  if (resumes(sampler) && valueOf(sampler, "audio_start") !== "the story") return "";
  const source = inputSource(sampler, "audio");
  const file = source?.comfyClass === LOAD_AUDIO ? valueOf(source, "audio") : "";
  return typeof file === "string" ? file : "";
}

/**
 * Set the length of the story in the nearest sampler, and in those that are as long.
 * @param {ComfyNode} node  with the schedule @param {number} frames
 */
export function setLength(node, frames) {
  const widgets = samplersOf(node).filter((sampler) => !resumes(sampler) && !isLinked(sampler, "length"));
  const lengths = widgets.flatMap((sampler) => widgetOf(sampler, "length") ?? []);
  const before = lengths[0]?.value;
  for (const widget of lengths.filter(({ value }) => value === before)) {
    widget.value = frames;
    widget.callback?.(frames);
  }
}
