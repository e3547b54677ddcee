// @ts-check
// Ids of this pack's node classes, as ComfyUI and saved workflows know them.

export const STREAM_TO_VIDEO = "MemFlowStreamToVideo";
export const SAMPLERS = ["MemFlowSampler", STREAM_TO_VIDEO];
export const PROMPT_SCHEDULE = "MemFlowPromptSchedule";
export const PROMPT_SEGMENT = "MemFlowPromptSegment";
export const MEMORY = "MemFlowMemory";
export const TINY_STORY = "MemFlowTinyStory";
