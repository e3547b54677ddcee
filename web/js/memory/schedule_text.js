// @ts-check
// Find the text of the schedule that a sampler plays, to write pins into it.
import { inputSource, isLinked, widgetOf } from "../lib/graph.js";
import { say } from "../i18n/say.js";
import { STORY_LINKED, isOtherStoryLinked } from "../lib/story.js";
import { PROMPT_SCHEDULE } from "../lib/node_ids.js";
import { isForeign } from "../schedule/text.js";

/**
 * The widget that holds the text of a sampler's schedule, or why there is none.
 * @param {ComfyNode} sampler
 * @param {boolean} [whole]  whether all of it is to be replaced by one schedule, so that it may be in any form
 * @returns {{widget: ComfyWidget, node: ComfyNode} | {problem: string}}
 */
export function scheduleTextOf(sampler, whole = false) {
  const node = inputSource(sampler, "schedule");
  if (!node) return { problem: say("No schedule is connected to this node.") };
  if (node.comfyClass !== PROMPT_SCHEDULE) {
    return { problem: say("Only the text of a Prompt Schedule can be written into, but this story comes from {0}.", node.title) };
  }
  if (isLinked(node, "prompts")) {
    return { problem: say("The schedule's text comes over a link: change it where it is written.") };
  }
  const widget = widgetOf(node, "prompts");
  if (!widget) return { problem: say("The schedule shows no text to write into.") };
  if (!whole && isForeign(widget.value)) {
    const foreign = "This schedule is JSON, or has times in another shape: press Convert to text on its timeline first.";
    return { problem: say(foreign) };
  }
  if (whole && isOtherStoryLinked(node)) return { problem: say(STORY_LINKED) };
  return { widget, node };
}
