// @ts-check
// Draw the wave of a story's sound below its prompts.
import { say } from "../i18n/say.js";
import { el, percent } from "../lib/dom.js";
import { clock } from "./strip.js";

/** @typedef {{file: string, step_s: number, seconds: number, peaks: number[]}} Sound peaks: how loud, from 0 to 255 */

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 0.02; // of the height, so that silence is a line

/** A sound as the server answers with it; null for any other answer. @param {string} file @param {any} answer @returns {Sound | null} */
export function readSound(file, answer) {
  const { step_s, seconds, peaks } = answer ?? {};
  const usable = [step_s, seconds].every((one) => Number.isFinite(one) && one > 0) && Array.isArray(peaks) && peaks.length;
  return usable && peaks.every((peak) => Number.isFinite(peak)) ? { file, step_s, seconds, peaks } : null;
}

/** The outline of a wave, one step to the right a peak, around a line at 1. @param {number[]} peaks */
export function outline(peaks) {
  // a quiet recording is seen as well as a loud one
  const loudest = Math.max(...peaks, 1);
  const heights = peaks.map((peak) => Math.max(LEAST, peak / loudest).toFixed(3));
  const above = heights.map((height, place) => `L${place + 0.5} ${(1 - Number(height)).toFixed(3)}`);
  const below = heights.map((height, place) => `L${place + 0.5} ${(1 + Number(height)).toFixed(3)}`).reverse();
  return `M0 1${above.join("")}L${peaks.length} 1${below.join("")}Z`;
}

export class Wave {
  element = el("div", { class: "mft-wave", role: "img", hidden: "" });
  /** @type {Sound | null} */
  sound = null;
  /** @type {SVGSVGElement | null} */
  picture = null;

  /** @param {Sound | null} sound  null for none */
  set(sound) {
    this.sound = sound;
    this.picture = sound && drawn(sound.peaks);
    this.element.replaceChildren(...(this.picture ? [this.picture] : []));
    if (!sound) return;
    const title = say("Sound: {0}, {1}", sound.file, clock(sound.seconds));
    this.element.title = title;
    this.element.setAttribute("aria-label", title);
  }

  /** Put the wave on the axis: it is cut where the story ends. @param {import("../schedule/plan.js").Plan | null} plan */
  place(plan) {
    const { sound, picture, element } = this;
    element.hidden = !plan || !sound;
    if (!plan || !sound || !picture) return;
    const end_s = Math.min(plan.end_s ?? plan.length_s, plan.length_s, sound.seconds);
    element.style.width = percent(end_s, plan.length_s);
    picture.style.width = percent(sound.peaks.length * sound.step_s, end_s);
  }
}

/** @param {number[]} peaks */
function drawn(peaks) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${peaks.length} 2`);
  picture.setAttribute("preserveAspectRatio", "none");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", outline(peaks));
  picture.append(path);
  return picture;
}
