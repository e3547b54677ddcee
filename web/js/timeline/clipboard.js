// @ts-check
// Schedules to and from the clipboard.
import { el } from "../lib/dom.js";

/** @typedef {import("./timeline.js").Timeline} Timeline */

/** @param {string} text */
export async function copyText(text) {
  // only a page that is served securely has a clipboard; selected text can be copied on any
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

/** Copy and paste on the strip, but for its fields. @param {Timeline} timeline */
export function listenToClipboard(timeline) {
  const on = (/** @type {"copy" | "paste"} */ name, /** @type {(data: DataTransfer) => void} */ then) =>
    timeline.element.addEventListener(name, (event) => {
      // the canvas copies and pastes nodes
      event.stopPropagation();
      if (!event.clipboardData || /** @type {HTMLElement} */ (event.target).matches("input, textarea")) return;
      event.preventDefault();
      then(event.clipboardData);
    });
  on("copy", (data) => data.setData("text/plain", timeline.exported()));
  on("paste", (data) => timeline.replace(data.getData("text/plain")));
}
