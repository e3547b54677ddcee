// @ts-check
// Draw a schedule on the track: ruler, segments, pins and the run, placed in percent of the track.
import { say, sayError } from "../i18n/say.js";
import { el, percent } from "../lib/dom.js";
import { chunkFrames, startSeconds } from "../schedule/grid.js";
import { writeLength } from "../schedule/options.js";
import { making, thumbnails } from "./run.js";

/** @typedef {import("../schedule/plan.js").Plan} Plan */
/** @typedef {import("../schedule/plan.js").PlacedSegment} PlacedSegment */
/** @typedef {import("./run.js").Run} Run */
/** @typedef {{left_s: number, right_s: number, pixelsPerSecond: number}} Window the part of the axis in sight */

const TICK_STEPS_S = [0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const TICK_PX = 56;
const GRID_PX = 5; // a finer grid would be a grey surface
const THUMBNAIL_PX = 34;

/** 4.5 -> "4.5 s", 75 -> "1:15". @param {number} seconds */
export function clock(seconds) {
  if (seconds < 60) return `${Number(seconds.toFixed(2))} s`;
  const rest = Number((seconds % 60).toFixed(2));
  return `${Math.floor(seconds / 60)}:${rest < 10 ? "0" : ""}${rest}`;
}

/**
 * Place an element on the axis.
 * @param {HTMLElement} element @param {number} start_s @param {number} end_s @param {number} length_s
 */
function placeSpan(element, start_s, end_s, length_s) {
  element.style.left = percent(start_s, length_s);
  element.style.width = percent(Math.max(0, end_s - start_s), length_s);
  return element;
}

/** The ruler's ticks in sight. @param {Plan} plan @param {Window} window */
export function ticks({ length_s }, { left_s, right_s, pixelsPerSecond }) {
  const step = TICK_STEPS_S.find((one) => one * pixelsPerSecond >= TICK_PX) ?? 7200;
  const found = [];
  for (let tick = Math.max(0, Math.floor(left_s / step)); tick * step <= Math.min(right_s, length_s); tick++) {
    const mark = el("span", { class: "mft-tick" }, clock(tick * step));
    mark.style.left = percent(tick * step, length_s);
    found.push(mark);
  }
  return found;
}

/**
 * Show the grid of chunks as a background of the track.
 * @param {HTMLElement} track @param {Plan} plan @param {Window} window
 */
export function showGrid(track, plan, { pixelsPerSecond }) {
  const { length_s, fps } = plan;
  const chunk = chunkFrames(plan) / fps / length_s;
  const first = startSeconds(1, plan) / length_s;
  const visible = chunk * length_s * pixelsPerSecond >= GRID_PX;
  track.style.setProperty("--mft-chunk", visible ? `${(100 * chunk).toFixed(5)}%` : "0");
  // a background's position in percent is a share of the room that its picture leaves
  track.style.setProperty("--mft-first", `${((100 * first) / (1 - Math.min(chunk, 0.99))).toFixed(5)}%`);
}

/** The options of a segment as badges. @param {PlacedSegment} placed @returns {string[]} */
export function badges({ segment }) {
  const { blend, seed, asks, loras } = segment;
  const change = blend ? `blend ${writeLength(blend)}${blend.spherical ? " spherical" : ""}` : segment.switch;
  const changes = segment.switch === "recache" ? [] : [change];
  return [...changes, ...(seed === null ? [] : [`seed ${seed}`]), ...asks.map((name) => `\u25c6 ${name}`), ...loras];
}

/** The description of a segment for screen readers. @param {Plan} plan @param {number} index */
function ariaLabel({ placed }, index) {
  const { start_s, end_s, segment, problem } = placed[index];
  const where = say("Prompt {0} of {1}, {2} to {3}", index + 1, placed.length, clock(start_s), clock(end_s));
  return [where, ...badges(placed[index]), segment.prompt || say("empty"), sayError(problem)].filter(Boolean).join(", ");
}

/** The tooltip of a segment. @param {Plan} plan @param {number} index */
function tooltip({ placed }, index) {
  const { asked_s, start_s, end_s, problem, segment } = placed[index];
  const late = start_s - asked_s > 0.005;
  const from = late ? say("{0} (asked for at {1})", clock(start_s), clock(asked_s)) : clock(start_s);
  return [segment.prompt, say("{0} to {1}", from, clock(end_s)), sayError(problem)].filter(Boolean).join("\n");
}

/** The block of a segment. @param {Plan} plan @param {number} index @param {boolean} focused */
export function block(plan, index, focused) {
  const placed = plan.placed[index];
  const over = plan.end_s !== null && placed.start_s >= plan.end_s - 1e-6;
  const label = el("div", { class: "mft-label" }, placed.segment.prompt || say("(empty)"));
  const head = el("div", { class: "mft-badges" }, ...badges(placed).map((text) => el("span", {}, text)));
  const element = el(
    "div",
    {
      class: ["mft-block", placed.problem && "mft-problem", over && "mft-over"].filter(Boolean).join(" "),
      role: "option",
      tabindex: focused ? 0 : -1,
      title: tooltip(plan, index),
      "data-index": index,
      "aria-selected": focused ? "true" : "false",
      "aria-label": ariaLabel(plan, index),
    },
    el("div", { class: "mft-words" }, head, label),
  );
  // ComfyUI's own undo does not take keys from an element whose type is that of a text area
  Object.assign(element, { type: "textarea" });
  if (placed.blend_s) element.prepend(ramp(placed));
  return placeSpan(element, placed.start_s, placed.end_s, plan.length_s);
}

/** The stretch over which a prompt blends in. @param {PlacedSegment} placed */
function ramp({ blend_s, start_s, end_s }) {
  const element = el("div", { class: "mft-ramp" });
  return placeSpan(element, 0, Math.min(blend_s, end_s - start_s), Math.max(end_s - start_s, 1e-6));
}

/** The edges between segments, to drag, and where the text asks for them, if that is earlier. */
export function edges(/** @type {Plan} */ { placed, length_s }) {
  return placed.slice(1).flatMap(({ start_s, asked_s }, before) => {
    const edge = el("div", { class: "mft-edge", "data-index": before + 1 });
    edge.style.left = percent(start_s, length_s);
    if (start_s - asked_s < 0.005) return [edge];
    return [placeSpan(el("div", { class: "mft-asked" }), asked_s, start_s, length_s), edge];
  });
}

/** The markers of pins. @param {Plan} plan */
export function pins({ pins: found, length_s }) {
  return found.map(({ name, at_s }, index) => {
    const label = name ? say("Pin {0} at {1}", name, clock(at_s)) : say("Pin without a name at {0}", clock(at_s));
    const marker = el("div", {
      class: "mft-pin",
      role: "button",
      tabindex: 0,
      title: `${label}\n${say("Delete takes it away")}`,
      "aria-label": label,
      "data-pin": index,
    });
    marker.append(name);
    marker.style.left = percent(Math.min(at_s, length_s), length_s);
    return marker;
  });
}

/** Marks of lines that cannot be read, where they stand. @param {import("./partial.js").BadMark[]} bad @param {Plan} plan */
export function badMarks(bad, { length_s }) {
  return bad.map(({ line, at_s, message: sentence }) => {
    const message = sayError(sentence);
    const label = say("Line {0} cannot be read", line + 1);
    const mark = el("div", { class: "mft-bad-line", role: "img", title: message, "aria-label": `${label}: ${message}` });
    mark.append(el("span", {}, say("line {0}", line + 1)));
    mark.style.left = percent(at_s, length_s);
    // the last ones open to the left
    mark.classList.toggle("mft-at-end", at_s > 0.85 * length_s);
    return mark;
  });
}

/**
 * The controls of the story; one without a known end goes on, faintly, until the next or the end.
 * @param {import("../lib/controls.js").Placed[]} controls @param {Plan} plan
 */
export function controlMarks(controls, { length_s, end_s }) {
  const last_s = end_s ?? length_s;
  const there = controls.filter(({ start_s }) => start_s < last_s);
  return there.map(({ number, use, strength, start_s, end_s: stop_s }) => {
    const where = stop_s === null
      ? say("Control {0}: {1}, from {2} to where its pictures end", number, use, clock(start_s))
      : say("Control {0}: {1}, {2} to {3}", number, use, clock(start_s), clock(stop_s));
    const strong = strength === 1 ? "" : say("strength {0}", strength);
    const title = [where, strong].filter(Boolean).join(", ");
    const kind = ["mft-control", stop_s === null && "mft-open", !strength && "mft-off"].filter(Boolean).join(" ");
    const label = [number, use, strength === 1 ? "" : strength].join(" ").trim();
    const mark = el("div", { class: kind, role: "listitem", title, "aria-label": title }, label);
    return placeSpan(mark, start_s, Math.min(stop_s ?? last_s, last_s), length_s);
  });
}

/**
 * The marks of a run: finished chunks, thumbnails, and the chunk being made.
 * @param {Run} run @param {Plan} plan @param {Window} window
 * @param {Map<string, HTMLElement>} images  thumbnails that were made before, which are not decoded anew; new ones are added
 */
export function runMarks(run, plan, { left_s, right_s, pixelsPerSecond }, images) {
  const { length_s } = plan;
  const seen = (/** @type {{start_s: number}} */ one) => one.start_s < right_s && one.start_s > left_s - 60;
  const done = stretches(run).map(([start, end]) => placeSpan(el("div", { class: "mft-done" }), start, end, length_s));
  const pictures = thumbnails(run, pixelsPerSecond, THUMBNAIL_PX).filter(seen);
  const shown = pictures.map(({ start_s, width_s, thumbnail }) => {
    const key = `${start_s} ${thumbnail}`;
    const about = { class: "mft-thumbnail", src: thumbnail, alt: "", title: clock(start_s), draggable: "false" };
    const image = images.get(key) ?? el("img", about);
    images.set(key, image);
    return placeSpan(image, start_s, start_s + width_s, length_s);
  });
  const next = making(run, chunkFrames(plan) / plan.fps);
  const now = next ? [placeSpan(el("div", { class: "mft-making" }), next.start_s, next.end_s, length_s)] : [];
  return [...done, ...shown, ...now, ...livePrompts(run, length_s)];
}

/** What was asked for while the story ran, each until the next. @param {Run} run @param {number} length_s */
function livePrompts({ live }, length_s) {
  return live.map(({ prompt, start_s }, index) => {
    const title = `${clock(start_s)}: ${prompt}`;
    const mark = el("div", { class: "mft-live-prompt", title }, prompt);
    return placeSpan(mark, start_s, live[index + 1]?.start_s ?? length_s, length_s);
  });
}

/**
 * The stretch that an earlier run has made, and the one that the next run renders; nothing where all of it is.
 * @param {import("../lib/kept.js").Kept | null} kept @param {Plan} plan
 */
export function keptMarks(kept, { length_s, end_s }) {
  if (!kept?.chunk) return [];
  const { until_s } = kept;
  const end = kept.of_s ?? end_s ?? length_s;
  const span = (/** @type {string} */ kind, /** @type {string} */ title, /** @type {number} */ from, /** @type {number} */ to) =>
    placeSpan(el("div", { class: kind, title }), Math.min(from, length_s), Math.min(to, length_s), length_s);
  return [
    span("mft-kept-part", say("Kept from an earlier run until {0}", clock(until_s)), 0, until_s),
    span("mft-new-part", say("The next run renders from {0} on", clock(until_s)), until_s, end),
  ];
}

/** The stretches of finished chunks that touch. @param {Run} run @returns {[number, number][]} */
function stretches({ done }) {
  /** @type {[number, number][]} */
  const found = [];
  for (const { start_s, end_s } of done.toSorted((a, b) => a.start_s - b.start_s)) {
    const last = found.at(-1);
    if (last && start_s - last[1] < 1e-3) last[1] = end_s;
    else found.push([start_s, end_s]);
  }
  return found;
}
