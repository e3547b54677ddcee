// @ts-check
// The text box over the strip, for one prompt or name.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";

export class Editor {
  constructor() {
    this.box = el("textarea", { class: "mft-editor", hidden: "", rows: "3" });
    this.box.title = say("Enter keeps the text, Escape leaves it as it was, Shift+Enter starts a new line");
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    this.box.addEventListener("blur", () => this.close(true));
    /** @type {((text: string | null, byKey: boolean) => void) | null} */
    this.done = null;
  }

  /**
   * Open the box.
   * @param {string} label @param {string} text
   * @param {(text: string | null, byKey: boolean) => void} done  called with the new text, or null to leave it as it
   *   was; and whether a key closed the box
   */
  open(label, text, done) {
    this.close(true);
    this.done = done;
    this.box.value = text;
    this.box.setAttribute("aria-label", label);
    this.box.placeholder = label;
    this.box.hidden = false;
    this.box.focus({ preventScroll: true });
    this.box.select();
  }

  /** Close the box. @param {boolean} keep  whether the text is kept @param {boolean} byKey */
  close(keep, byKey = false) {
    const { done } = this;
    if (!done) return;
    this.done = null;
    this.box.hidden = true;
    done(keep ? this.box.value.trim() : null, byKey);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    event.stopPropagation();
    const enter = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (!enter && event.key !== "Escape") return;
    event.preventDefault();
    this.close(enter, true);
  }
}
