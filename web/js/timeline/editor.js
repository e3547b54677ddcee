// @ts-check
// A box over the strip in which one text is written.
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
   * @param {string} label @param {string} text
   * @param {(text: string | null, byKey: boolean) => void} done  gets the new text, or null if it was given up; and
   *   whether a key ended it
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

  /** @param {boolean} keep @param {boolean} byKey */
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
