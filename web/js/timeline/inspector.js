// @ts-check
// The row of fields for the segment in focus, and the global prompt.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { writtenTime } from "../schedule/edit.js";
import { SWITCHES, writeLength } from "../schedule/options.js";
import { shortSeconds } from "../schedule/time.js";

/** @typedef {import("./operations.js").PlacedSchedule} PlacedSchedule */
/**
 * @typedef {object} FieldHandlers called with what is typed in the fields
 * @property {(time: string) => void} start
 * @property {(name: string, length: string, spherical: boolean) => void} switch
 * @property {(digits: string) => void} seed
 * @property {(names: string[]) => void} asks
 * @property {(prompt: string) => void} global
 */

const SWITCH_TIP =
  "How the prompt takes over. recache: the last seconds are read anew under it. soft: only the text changes. " +
  "cut: a new shot, which remembers the bank alone. blend: the text moves over to it chunk by chunk. " +
  "jump: a new shot for models of several shots (LongLive 2): time jumps, nothing is forgotten. " +
  "fresh: a new story, which remembers nothing.";
const OVER_TIP = "How long the text takes to this prompt: 6 (chunks) or 3s. Empty: 4 chunks";

const PINS_TIP =
  "Names of the pins that this prompt remembers, with commas between. A moment is pinned with a name by the pin button " +
  "above, or by a click on its picture in the memory of the sampler.";

/** A field with its label. @param {string} label @param {string} title @param {HTMLElement} input */
function field(label, title, input) {
  const name = say(label);
  input.setAttribute("aria-label", name);
  return el("label", { class: "mft-field", title: say(title) }, el("span", {}, name), input);
}

function input(/** @type {Record<string, string>} */ attributes = {}) {
  return el("input", { type: "text", spellcheck: "false", ...attributes });
}

function select(/** @type {string[]} */ values) {
  return el("select", {}, ...values.map((value) => el("option", { value }, value)));
}

// so that each list of names has an id of its own
let inspectors = 0;

export class Inspector {
  /** @param {FieldHandlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.start = input({ size: "6" });
    this.switch = select(SWITCHES);
    this.length = input({ size: "3", placeholder: "4" });
    this.curve = select(["linear", "spherical"]);
    this.seed = input({ size: "6", inputmode: "numeric", placeholder: say("sampler's") });
    this.names = el("datalist", { id: `mft-pins-${++inspectors}` });
    this.asks = input({ size: "6", placeholder: say("none"), list: this.names.id });
    this.global = input({ placeholder: say("put before every prompt") });
    this.blend = [
      field("over", OVER_TIP, this.length),
      field("curve", "linear: straight through; spherical: along the arc between both texts", this.curve),
    ];
    this.number = el("span", { class: "mft-number" });
    const attributes = { class: "mft-inspector", role: "group", "aria-label": say("Prompt in focus") };
    this.element = el("div", attributes, ...this.fields());
    this.globalRow = field("Global", "Put before every prompt: the setting and the looks that all share", this.global);
    this.globalRow.classList.add("mft-global");
    this.listen();
  }

  fields() {
    return [
      this.number,
      field("start", "When it starts: 10s, 0:10, 160 (a video frame) or 12c (a chunk)", this.start),
      field("switch", SWITCH_TIP, this.switch),
      ...this.blend,
      field("seed", "For this segment's noise. Empty: the sampler's seed", this.seed),
      field("pins", PINS_TIP, this.asks),
      this.names,
    ];
  }

  listen() {
    const { handlers } = this;
    this.start.addEventListener("change", () => handlers.start(this.start.value.trim()));
    for (const part of [this.switch, this.length, this.curve]) {
      part.addEventListener("change", () =>
        handlers.switch(this.switch.value, this.length.value.trim(), this.curve.value === "spherical"),
      );
    }
    this.seed.addEventListener("change", () => handlers.seed(this.seed.value.trim()));
    this.asks.addEventListener("change", () =>
      handlers.asks([...new Set(this.asks.value.split(/[\s,]+/).filter(Boolean))]),
    );
    this.global.addEventListener("change", () => handlers.global(this.global.value.trim()));
  }

  /**
   * Show the segment in focus and the global prompt.
   * @param {PlacedSchedule | null} schedule @param {number} focus
   * @param {{value: string, editable: boolean, title: string}} global
   * @param {boolean} editable
   */
  show(schedule, focus, global, editable) {
    const segment = schedule?.document.segments[focus];
    for (const part of this.element.querySelectorAll("input, select")) {
      part.toggleAttribute("disabled", !segment || !editable);
    }
    this.global.value = global.value;
    this.global.disabled = !global.editable;
    if (global.title) this.globalRow.title = global.title;
    this.number.textContent = segment ? `${focus + 1}/${schedule?.document.segments.length}` : "";
    for (const part of this.blend) part.hidden = segment?.switch !== "blend";
    if (!schedule || !segment) return;
    const { asked_s } = schedule.plan.placed[focus];
    this.start.value = writtenTime(schedule.document, focus) || `${shortSeconds(asked_s, schedule.plan.fps)}s`;
    this.start.disabled ||= focus === 0;
    this.switch.value = segment.switch;
    this.length.value = segment.blend ? writeLength(segment.blend) : "";
    this.curve.value = segment.blend?.spherical ? "spherical" : "linear";
    this.seed.value = segment.seed ?? "";
    this.asks.value = segment.asks.join(", ");
    this.offerNames(schedule.document.pins, segment.asks);
  }
  /** Offer the names that a segment may ask for, too. @param {{name: string}[]} pins @param {string[]} asks */
  offerNames(pins, asks) {
    const names = pins.map(({ name }) => name).filter((name) => name && !asks.includes(name));
    this.names.replaceChildren(...names.map((name) => el("option", { value: [...asks, name].join(", ") })));
    const named = pins.some(({ name }) => name);
    this.asks.placeholder = say(named ? "choose" : "none");
  }
}
