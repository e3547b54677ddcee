// @ts-check
// How long and on which grid a sampler plays its schedule, as far as the page can know. Pure: no page.
import { chunkOf } from "./chunks.js";
import { isConnected, isLinked } from "./graph.js";
import { valueOf } from "./values.js";

/** Whether a sampler goes on from a state, so that its length counts the frames to add. @param {ComfyNode} sampler */
export function resumes(sampler) {
  return sampler.inputs.some((input, slot) => input.name === "state" && isConnected(sampler, slot));
}

/**
 * Length in video frames of the story that a sampler makes, null for none; frame rate and chunk; whether the length comes
 * over a link, and whether there is one that only a run knows: of a link, or of a story that goes on from a state.
 * @param {ComfyNode} sampler
 */
export function gridOf(sampler) {
  const fps = Number(valueOf(sampler, "fps"));
  const length = resumes(sampler) ? undefined : valueOf(sampler, "length");
  const frames = Number(length);
  return {
    fps: fps >= 1 && fps <= 1000 ? fps : 16,
    frames: frames >= 1 && frames <= 1e7 ? frames : null,
    latents: chunkOf(sampler),
    fixed: isLinked(sampler, "length"),
    unknown: length === undefined,
  };
}
