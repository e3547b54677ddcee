// @ts-check
// Find the text of the schedule that a sampler plays, to write pins into it.
import { inputSource, isLinked, widgetOf } from "../lib/graph.js";
import { PROMPT_SCHEDULE } from "../lib/node_ids.js";
import { isForeign } from "../schedule/text.js";

/**
 * The widget that holds the text of a sampler's schedule, or why there is none.
 * @param {ComfyNode} sampler
 * @returns {{widget: ComfyWidget, node: ComfyNode} | {problem: string}}
 */
export function scheduleTextOf(sampler) {
  const node = inputSource(sampler, "schedule");
  if (!node) return { problem: "No schedule is connected to this node." };
  if (node.comfyClass !== PROMPT_SCHEDULE) {
    const problem = `Pins are written into the text of a MemFlow Prompt Schedule, but this story comes from ${node.title}.`;
    return { problem };
  }
  if (isLinked(node, "prompts")) {
    return { problem: "The schedule's text comes over a link: write the pin where the text is written." };
  }
  const widget = widgetOf(node, "prompts");
  if (!widget) return { problem: "The schedule shows no text to write the pin into." };
  if (isForeign(widget.value)) {
    return { problem: "This schedule is JSON, or has times in another shape: press Convert to text on its timeline, then pin." };
  }
  return { widget, node };
}
