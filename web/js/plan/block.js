// @ts-check
// The plan of a run on the page: a summary line, lines below it, and the button for presets.
import { say, sayMessage } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { openMenu } from "../lib/menu.js";

/** @typedef {import("./presets.js").Preset} Preset */

export class PlanBlock {
  /** @param {() => Promise<Preset[]>} presets */
  constructor(presets) {
    /** called when it becomes taller or lower */
    this.onResize = () => {};
    /** @type {(preset: Preset) => void} called when a preset is chosen */
    this.onPreset = () => {};
    this.open = false;
    this.summary = el("span", { class: "mp-line" });
    const title = el("span", { class: "mp-title" }, say("Plan"));
    this.head = el("button", { type: "button", class: "mp-head" }, title, this.summary);
    this.head.addEventListener("click", () => this.setOpen(!this.open));
    const tip = say("Set size, steps and memory together");
    const attributes = { type: "button", class: "mp-presets", title: tip, "aria-haspopup": "menu" };
    this.presetsButton = el("button", attributes, say("Presets"));
    this.offer = el("button", { type: "button", class: "mp-offer", hidden: "" });
    /** @type {() => void} */
    this.onOffer = () => {};
    this.offer.addEventListener("click", () => this.onOffer());
    this.presetsButton.addEventListener("click", async () => this.openPresets(await presets()));
    this.lines = el("div", { class: "mp-lines" });
    this.notice = el("div", { class: "mp-told", role: "status" });
    this.body = el("div", { class: "mp-body" }, this.notice, this.lines);
    const bar = el("div", { class: "mp-bar" }, this.head, this.offer, this.presetsButton);
    this.element = el("div", { class: "memflow-plan" }, bar, this.body);
    this.showNotice("");
    this.setOpen(false);
  }

  /** @param {boolean} open */
  setOpen(open) {
    this.open = open;
    this.head.setAttribute("aria-expanded", String(open));
    this.element.classList.toggle("mp-open", open);
    this.body.hidden = !open;
    this.onResize();
  }

  /** @param {string} summary @param {string[]} lines @param {boolean} [problem]  whether they are errors */
  show(summary, lines, problem = false) {
    // closed, the summary is all that is seen: a problem says what it is
    this.summary.textContent = problem ? [summary, ...lines].join(": ") : summary || (lines[0] ?? "");
    this.head.title = lines.join("\n");
    this.lines.replaceChildren(...lines.map((line) => el("div", { class: "mp-row" }, line)));
    this.element.classList.toggle("mp-problem", problem);
  }

  /** Offer a change of the settings, by a button. @param {string} label  "" for none @param {() => void} act */
  showOffer(label, act) {
    this.offer.textContent = label;
    this.offer.hidden = !label;
    this.onOffer = act;
  }

  /** Show what a preset has set. @param {string} text  "" to remove it */
  showNotice(text) {
    this.notice.textContent = text;
    this.notice.hidden = !text;
    this.body.scrollTop = 0;
  }

  /** @param {Preset[]} presets */
  openPresets(presets) {
    const items = presets.map((preset) => ({
      label: preset.name,
      hint: `${say(preset.reason)}\n${sayMessage(preset.said)}`,
      act: () => this.onPreset(preset),
    }));
    openMenu(this.presetsButton, items);
  }
}
