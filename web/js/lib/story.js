// @ts-check
// Which story of its text a schedule node plays: its widget `story`, for texts that hold several. Pure: no page.
import { isLinked, widgetOf } from "./graph.js";
import { valueOf } from "./values.js";

export const STORY_LINKED = "The number of the story comes over a link and is not 1, but a text of one schedule has no other: set story to 1 there.";

/** The number that the node's own widget says, from 1. @param {ComfyNode} node */
export function storyOf(node) {
  return Number(widgetOf(node, "story")?.value ?? 1);
}

/** The number that the node runs with, which may come over a link; NaN where only a run computes it. @param {ComfyNode} node */
export function playedStoryOf(node) {
  return widgetOf(node, "story") ? Number(valueOf(node, "story")) : 1;
}

/** Whether a text of one schedule would be refused, by a number that comes over a link. @param {ComfyNode} node */
export function isOtherStoryLinked(node) {
  return isLinked(node, "story") && playedStoryOf(node) !== 1;
}
