// @ts-check
// The plan of a run in a few lines, under one line that says the most of it.

import { el } from "../lib/dom.js";
import { openMenu } from "../lib/menu.js";
import { say, sayAgain } from "../i18n/say.js";

/** @typedef {import("./presets.js").Preset} Preset */

export class PlanBlock {
  /** @type {(preset: Preset) => void} called when one is chosen */
  onPreset = () => {};

  /** @param {() => Promise<Preset[]>} presets */
  constructor(presets) {
    /** called when it becomes taller or lower */
    this.onResize = () => {};
    this.open = true;
    this.line = el("span", { class: "mp-line" });
    this.head = el("button", { type: "button", class: "mp-head" }, el("span", { class: "mp-title" }, say("Plan")), this.line);
    this.head.addEventListener("click", () => this.setOpen(!this.open));
    const choose = { type: "button", title: say("Set size, steps and memory together"), "aria-haspopup": "menu" };
    this.choose = el("button", { class: "mp-presets", ...choose }, say("Presets"));
    this.choose.addEventListener("click", async () => this.offer(await presets()));
    this.lines = el("div", { class: "mp-lines" });
    this.told = el("div", { class: "mp-told", role: "status" });
    this.body = el("div", { class: "mp-body" }, this.told, this.lines);
    this.element = el("div", { class: "memflow-plan" }, el("div", { class: "mp-bar" }, this.head, this.choose), this.body);
    this.tell("");
    this.setOpen(true);
  }

  /** @param {boolean} open */
  setOpen(open) {
    this.open = open;
    this.head.setAttribute("aria-expanded", String(open));
    this.element.classList.toggle("mp-open", open);
    this.body.hidden = !open;
    this.onResize();
  }

  /** @param {string} summary @param {string[]} lines @param {boolean} [problem] */
  show(summary, lines, problem = false) {
    this.line.textContent = summary;
    this.lines.replaceChildren(...lines.map((line) => el("div", { class: "mp-row" }, line)));
    this.element.classList.toggle("mp-problem", problem);
  }

  /** What a preset has set; nothing to take it away. @param {string} words */
  tell(words) {
    this.told.textContent = words;
    this.told.hidden = !words;
    this.body.scrollTop = 0;
  }

  /** @param {Preset[]} presets */
  offer(presets) {
    const items = presets.map((preset) => ({
      label: preset.name,
      hint: `${say(preset.reason)}\n${sayAgain(preset.said)}`,
      act: () => this.onPreset(preset),
    }));
    openMenu(this.choose, items);
  }
}
