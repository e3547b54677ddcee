// @ts-check
// The plan of a run in a few lines, under one line that says the most of it.

import { openMenu } from "../lib/menu.js";
import { make } from "../memory/view.js";
import { say, sayAgain } from "../i18n/say.js";

/** @typedef {import("./presets.js").Preset} Preset */

export class PlanBlock {
  /** @param {() => Promise<Preset[]>} presets @param {(preset: Preset) => void} onPreset */
  constructor(presets, onPreset) {
    /** called when it becomes taller or lower */
    this.onResize = () => {};
    this.open = true;
    this.head = /** @type {HTMLButtonElement} */ (make("button", "mp-head"));
    this.head.type = "button";
    this.line = make("span", "mp-line");
    this.head.append(make("span", "mp-title", say("Plan")), this.line);
    this.head.addEventListener("click", () => this.setOpen(!this.open));
    this.choose = /** @type {HTMLButtonElement} */ (make("button", "mp-presets", say("Presets")));
    this.choose.type = "button";
    this.choose.title = say("Set size, steps and memory together");
    this.choose.setAttribute("aria-haspopup", "menu");
    this.choose.addEventListener("click", async () => this.offer(await presets(), onPreset));
    this.lines = make("div", "mp-lines");
    this.told = make("div", "mp-told");
    this.told.setAttribute("role", "status");
    this.body = make("div", "mp-body");
    this.body.append(this.told, this.lines);
    const bar = make("div", "mp-bar");
    bar.append(this.head, this.choose);
    this.element = make("div", "memflow-plan");
    this.element.append(bar, this.body);
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
    this.lines.replaceChildren(...lines.map((line) => make("div", "mp-row", line)));
    this.element.classList.toggle("mp-problem", problem);
  }

  /** What a preset has set; nothing to take it away. @param {string} words */
  tell(words) {
    this.told.textContent = words;
    this.told.hidden = !words;
    this.body.scrollTop = 0;
  }

  /** @param {Preset[]} presets @param {(preset: Preset) => void} onPreset */
  offer(presets, onPreset) {
    const items = presets.map((preset) => ({
      label: preset.name,
      hint: `${say(preset.reason)}\n${sayAgain(preset.said)}`,
      act: () => onPreset(preset),
    }));
    openMenu(this.choose, items);
  }
}
