// @ts-check
// Text to the clipboard.
import { el } from "./dom.js";

/** @param {string} text */
export async function copyText(text) {
  // only a page that is served securely has a clipboard; selected text can be copied on any
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copySelected(text);
}

/** @param {string} text */
function copySelected(text) {
  const box = /** @type {HTMLTextAreaElement} */ (el("textarea", {}));
  box.value = text;
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}
