// @ts-check
// Find the samplers that play a schedule node's story, through any links, reroutes and subgraphs.
import { innerTargets, isConnected, isIdle, targetsOf, widgetOf } from "../lib/graph.js";

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
 * Length in video frames and frame rate of the story that a schedule node's sampler makes. Behind a state, a sampler's
 * length counts the frames to add, so the story's length is unknown.
 * @param {ComfyNode} node @returns {import("../schedule/plan.js").Setting}
 */
export function settingOf(node) {
  const [sampler] = samplersOf(node);
  const number = (/** @type {string} */ name) => Number(widgetOf(sampler, name)?.value);
  const resumes = sampler?.inputs.some((input, slot) => input.name === "state" && isConnected(sampler, slot));
  const [frames, fps] = [resumes ? 0 : number("length"), number("fps")];
  return { fps: fps >= 1 && fps <= 1000 ? fps : 16, frames: frames >= 1 && frames <= 1e7 ? frames : null };
}
