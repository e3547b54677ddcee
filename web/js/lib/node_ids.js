// @ts-check
// Ids of this pack's node classes, as ComfyUI and saved workflows know them.

export const SAMPLER = "MemFlowSampler";
export const STREAM_TO_VIDEO = "MemFlowStreamToVideo";
export const PROMPT_SCHEDULE = "MemFlowPromptSchedule";
export const PROMPT_SEGMENT = "MemFlowPromptSegment";
export const LOAD_MODEL = "MemFlowLoadModel";
export const MEMORY = "MemFlowMemory";
export const TINY_STORY = "MemFlowTinyStory";
export const PROFILE = "MemFlowProfile";
export const LOAD_CONTROL = "MemFlowLoadControl";
export const CONTROL = "MemFlowControl";
// of ComfyUI
export const LOAD_AUDIO = "LoadAudio";

/** Whether a node is one of this pack's samplers. @param {ComfyNode} node */
export function isSampler({ comfyClass }) {
  return comfyClass === SAMPLER || comfyClass === STREAM_TO_VIDEO;
}
