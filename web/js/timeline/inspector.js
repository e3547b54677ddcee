// @ts-check
// The row of fields for the segment in focus, and the global prompt.
import { el } from "./dom.js";
import { writtenTime } from "./edit.js";
import { BLEND_CHUNKS, SWITCHES, isPinName } from "./text.js";
import { shortSeconds } from "./time.js";

/** @typedef {import("./model.js").Story} Story */
/**
 * @typedef {object} Wishes what the fields ask for
 * @property {(time: string) => void} start
 * @property {(kind: import("./edit.js").SwitchKind) => void} switch
 * @property {(seed: string | null) => void} seed
 * @property {(names: string[]) => void} asks
 * @property {(prompt: string) => void} global
 * @property {(sentence: string) => void} complain
 */

const SWITCH_TIPS =
  "How the prompt takes over. recache: the last seconds are read anew under it. soft: only the text changes. " +
  "cut: a new shot, which remembers the bank alone. blend: the text moves over to it chunk by chunk.";
const MAX_SEED = (1n << 64n) - 1n;

/** @param {string} label @param {string} title @param {HTMLElement} input @param {string} kind */
function field(label, title, input, kind = "") {
  input.setAttribute("aria-label", label);
  return el("label", { class: `mft-field ${kind}`.trim(), title }, el("span", {}, label), input);
}

function input(/** @type {Record<string, string>} */ attributes = {}) {
  return /** @type {HTMLInputElement} */ (el("input", { type: "text", spellcheck: "false", ...attributes }));
}

function select(/** @type {string[]} */ values) {
  return /** @type {HTMLSelectElement} */ (el("select", {}, ...values.map((value) => el("option", { value }, value))));
}

export class Inspector {
  /** @param {Wishes} wishes */
  constructor(wishes) {
    this.wishes = wishes;
    this.start = input({ size: "6" });
    this.kind = select(SWITCHES);
    this.chunks = input({ type: "number", min: "1", max: "9999", step: "1" });
    this.curve = select(["linear", "spherical"]);
    this.seed = input({ size: "6", inputmode: "numeric", placeholder: "sampler's" });
    this.asks = input({ size: "6", placeholder: "none" });
    this.global = input({ placeholder: "put before every prompt" });
    this.blend = [
      field("chunks", "Over how many chunks the text moves to this prompt (a chunk is 12 video frames)", this.chunks),
      field("curve", "linear: straight through; spherical: along the arc between both texts", this.curve),
    ];
    this.number = el("span", { class: "mft-number" });
    this.element = el("div", { class: "mft-inspector", role: "group", "aria-label": "Prompt in focus" }, ...this.fields());
    this.globalRow = field("Global", "Put before every prompt: the setting and the looks that all share", this.global);
    this.globalRow.classList.add("mft-global");
    this.listen();
  }

  fields() {
    return [
      this.number,
      field("start", "When it starts: 10s, 0:10, 160 (a video frame) or 12c (a chunk)", this.start),
      field("switch", SWITCH_TIPS, this.kind),
      ...this.blend,
      field("seed", "For this segment's noise. Empty: the sampler's seed", this.seed),
      field("pins", "Names of the pins that this segment asks for, with commas between", this.asks),
    ];
  }

  listen() {
    const { wishes } = this;
    this.start.addEventListener("change", () => wishes.start(this.start.value.trim()));
    for (const part of [this.kind, this.chunks, this.curve]) part.addEventListener("change", () => this.switchWished());
    this.seed.addEventListener("change", () => this.seedWished());
    this.asks.addEventListener("change", () => this.asksWished());
    this.global.addEventListener("change", () => wishes.global(this.global.value.trim()));
  }

  switchWished() {
    const chunks = Math.min(9999, Math.max(1, Math.round(Number(this.chunks.value) || BLEND_CHUNKS)));
    this.wishes.switch({ switch: this.kind.value, blend: { chunks, spherical: this.curve.value === "spherical" } });
  }

  seedWished() {
    const digits = this.seed.value.trim();
    if (!digits) return this.wishes.seed(null);
    if (/^[0-9]{1,20}$/.test(digits) && BigInt(digits) <= MAX_SEED) return this.wishes.seed(String(BigInt(digits)));
    return this.wishes.complain(`"${digits.slice(0, 30)}" is no seed: write a whole number from 0 to ${MAX_SEED}.`);
  }

  asksWished() {
    const names = [...new Set(this.asks.value.split(/[\s,]+/).filter(Boolean))];
    const wrong = names.find((name) => !isPinName(name));
    if (wrong === undefined) return this.wishes.asks(names);
    return this.wishes.complain(
      `"${wrong.slice(0, 30)}" cannot be a pin's name: write a letter, then letters, digits, _ or -, but no option's name.`,
    );
  }

  /**
   * @param {Story | null} story @param {number} focus
   * @param {{value: string, editable: boolean, title: string}} global
   * @param {boolean} editable
   */
  show(story, focus, global, editable) {
    const segment = story?.document.segments[focus];
    for (const part of this.element.querySelectorAll("input, select")) {
      part.toggleAttribute("disabled", !segment || !editable);
    }
    this.global.value = global.value;
    this.global.disabled = !global.editable;
    if (global.title) this.globalRow.title = global.title;
    this.number.textContent = segment ? `${focus + 1}/${story?.document.segments.length}` : "";
    for (const part of this.blend) part.hidden = segment?.switch !== "blend";
    if (!story || !segment) return;
    const { asked_s } = story.plan.placed[focus];
    this.start.value = writtenTime(story.document, focus) || `${shortSeconds(asked_s, story.plan.fps)}s`;
    this.start.disabled ||= focus === 0;
    this.kind.value = segment.switch;
    this.chunks.value = String(segment.blend?.chunks ?? BLEND_CHUNKS);
    this.curve.value = segment.blend?.spherical ? "spherical" : "linear";
    this.seed.value = segment.seed ?? "";
    this.asks.value = segment.asks.join(", ");
  }
}
