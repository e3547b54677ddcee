// @ts-check
// Copy and paste schedules.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { readAnyForm, understood } from "./convert.js";
import { setGlobal } from "./operations.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

/** Copy a text to the clipboard. @param {string} text */
async function copyText(text) {
  // only a page that is served securely has a clipboard; selected text can be copied on any page
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copySelected(text);
}

/** @param {string} text */
function copySelected(text) {
  const box = el("textarea");
  box.value = text;
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}

/** The schedule's text, with the node's global prompt in it. @param {Timeline} timeline */
function exportedText({ shown, host }) {
  const global = host.globalPrompt().trim();
  return shown && global ? setGlobal(shown, global, 0).text : (shown?.text ?? host.text());
}

/** Copy the schedule. @param {Timeline} timeline */
export async function copySchedule(timeline) {
  await copyText(exportedText(timeline));
  timeline.view.showMessage(say("Copied as text."), false);
  timeline.view.announce(say("Copied as text."));
}

/** Replace the schedule by one in any form. @param {Timeline} timeline @param {string} text */
export async function pasteSchedule(timeline, text) {
  if (timeline.host.locked() || !text.trim()) return;
  const result = await readAnyForm(text, timeline.host);
  const { schedule, problem } = result;
  const refused = schedule ? timeline.host.storyLocked() : problem;
  if (!schedule || refused) return timeline.showProblem(refused);
  timeline.focus = 0;
  // what is written holds one story, whichever of several it was
  timeline.write({ ...timeline.state(), text: schedule.text, story: 1 });
  timeline.view.announce(say("Schedule pasted"));
  timeline.tell(understood(result));
  timeline.view.focusBlock(0);
}

/** Listen to copy and paste outside of fields. @param {Timeline} timeline */
export function listenToClipboard(timeline) {
  const on = (/** @type {"copy" | "paste"} */ name, /** @type {(data: DataTransfer) => void} */ act) =>
    timeline.element.addEventListener(name, (event) => {
      // the canvas copies and pastes nodes
      event.stopPropagation();
      if (!event.clipboardData || /** @type {HTMLElement} */ (event.target).matches("input, textarea")) return;
      event.preventDefault();
      act(event.clipboardData);
    });
  on("copy", (data) => data.setData("text/plain", exportedText(timeline)));
  on("paste", (data) => pasteSchedule(timeline, data.getData("text/plain")));
}
