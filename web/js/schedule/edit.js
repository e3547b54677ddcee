// @ts-check
// Edits of a schedule's text that rewrite the lines they must, and no others. Each takes a text and returns a new one.
import { quote } from "./line.js";
import { writeSwitch } from "./options.js";
import { readText } from "./text.js";

/** @typedef {import("./text.js").Document} Document */
/** @typedef {import("./text.js").Segment} Segment */
/** @typedef {import("./text.js").Written} Written */
/** @typedef {{switch: string, blend: import("./options.js").Blend | null}} SwitchKind */

/** Replace a stretch of a text. @param {string} text @param {number} start @param {number} end @param {string} put */
function splice(text, start, end, put) {
  return text.slice(0, start) + put + text.slice(end);
}

/**
 * The first line of a segment.
 * @param {Document} document @param {number} index @returns {{line: number, written: Written}}
 */
function firstLine(document, index) {
  const segment = document.segments[index];
  return { line: segment.lines[0], written: /** @type {Written} */ (segment.written) };
}

/**
 * Write a time on every prompt, which every other edit here needs.
 * @param {string} text
 * @param {string[]} times  of the prompts of a list `a | b`, as they will be written
 */
export function withTimes(text, times) {
  const document = readText(text);
  if (!document.lead.length) return document.lines.join("\n");
  const untimed = document.segments.filter((segment) => !segment.written);
  const entries = untimed.map((segment, at) => `${untimed.length > 1 ? times[at] : "0s"}: ${quote(segment.prompt)}`);
  const [first, ...rest] = document.lead;
  const dropped = new Set(rest);
  const lines = document.lines.filter((_, number) => !dropped.has(number));
  lines.splice(first, 1, ...entries);
  return lines.join("\n");
}

/**
 * Set the time of a segment.
 * @param {string} text @param {number} index @param {string} time  as it is to be written
 */
export function setTime(text, index, time) {
  const document = readText(text);
  const { line, written } = firstLine(document, index);
  document.lines[line] = splice(document.lines[line], written.time.start, written.time.end, time);
  return document.lines.join("\n");
}

/** The time of a segment as it is written; "" where it has none. @param {Document} document @param {number} index */
export function writtenTime(document, index) {
  const { lines, written } = document.segments[index];
  return written ? document.lines[lines[0]].slice(written.time.start, written.time.end) : "";
}

/** Set the prompt of a segment. @param {string} text @param {number} index @param {string} prompt */
export function setPrompt(text, index, prompt) {
  const document = readText(text);
  if (document.segments[index].prompt === prompt) return text;
  const { line, written } = firstLine(document, index);
  const [, ...more] = document.segments[index].lines;
  document.lines[line] = `${document.lines[line].slice(0, written.colon + 1)} ${quote(prompt)}`;
  const dropped = new Set(more);
  return document.lines.filter((_, number) => !dropped.has(number)).join("\n");
}

/** Options as written. @param {string[]} options */
function bracketed(options) {
  return options.map((option) => ` [${option}]`).join("");
}

/**
 * Replace a segment's options of one kind.
 * @param {string} text @param {number} index @param {"switch" | "seed" | "ask"} kind @param {string[]} values
 */
function setOptions(text, index, kind, values) {
  const document = readText(text);
  const { line, written } = firstLine(document, index);
  const old = written.options.filter((option) => option.kind === kind);
  const at = old[0]?.start ?? written.options.at(-1)?.end ?? written.time.end;
  let raw = document.lines[line];
  // a digit right behind the colon would be read with the time, once no option stands between them
  if (/[0-9]/.test(raw[written.colon + 1])) raw = splice(raw, written.colon + 1, written.colon + 1, " ");
  for (const option of old.toReversed()) raw = splice(raw, option.start, option.end, "");
  document.lines[line] = splice(raw, at, at, bracketed(values));
  return document.lines.join("\n");
}

/** @param {string} text @param {number} index @param {SwitchKind} kind */
export function setSwitch(text, index, { switch: name, blend }) {
  const option = writeSwitch(name, blend);
  return setOptions(text, index, "switch", option ? [option] : []);
}

/** @param {string} text @param {number} index @param {string | null} seed  its digits */
export function setSeed(text, index, seed) {
  return setOptions(text, index, "seed", seed === null ? [] : [`seed ${seed}`]);
}

/** @param {string} text @param {number} index @param {string[]} names */
export function setAsks(text, index, names) {
  return setOptions(text, index, "ask", names);
}

/**
 * Insert a segment behind another one.
 * @param {string} text @param {number} after @param {string} time @param {string} prompt @param {string[]} options
 */
export function insert(text, after, time, prompt, options = []) {
  const document = readText(text);
  const last = /** @type {number} */ (document.segments[after].lines.at(-1));
  const indent = /^[ \t]*/.exec(document.lines[firstLine(document, after).line])?.[0] ?? "";
  // without an option the same prompt again only holds the one before it
  const repeats = [after, after + 1].some((index) => document.segments[index]?.prompt === prompt);
  const put = repeats && !options.length ? ["recache"] : options;
  document.lines.splice(last + 1, 0, `${indent}${time}${bracketed(put)}: ${quote(prompt)}`);
  return document.lines.join("\n");
}

/** A segment's options, as `insert` takes them. @param {Segment} segment */
export function optionsOf({ written }) {
  return (written?.options ?? []).map((option) => (option.kind === "seed" ? `seed ${option.value}` : option.value));
}

/** Remove a segment; comments stay. @param {string} text @param {number} index */
export function remove(text, index) {
  const document = readText(text);
  const dropped = new Set(document.segments[index].lines);
  return document.lines.filter((_, number) => !dropped.has(number)).join("\n");
}

/**
 * The first line of what moves with a segment: the comments right above it, too. Those above the first segment may be
 * about the whole story, so they stay.
 * @param {Document} document @param {number} index
 */
function blockStart({ lines, segments }, index) {
  let first = segments[index].lines[0];
  const above = index > 0 ? /** @type {number} */ (segments[index - 1].lines.at(-1)) : first;
  while (first - 1 > above && lines[first - 1].trim().startsWith("#")) first--;
  return first;
}

/**
 * Put segments in another order, each with the time that it has in the text.
 * @param {string} text
 * @param {number[]} order  order[place] is the segment that comes to that place
 */
export function reorder(text, order) {
  const document = readText(text);
  const blocks = document.segments.map((segment, index) => ({
    start: blockStart(document, index),
    end: /** @type {number} */ (segment.lines.at(-1)) + 1,
  }));
  const lines = document.lines.slice(0, blocks[0].start);
  blocks.forEach((block, place) => {
    const moved = blocks[order[place]];
    lines.push(...document.lines.slice(moved.start, moved.end));
    lines.push(...document.lines.slice(block.end, blocks[place + 1]?.start));
  });
  return lines.join("\n");
}

/** Set or remove the global prompt. @param {string} text @param {string} prompt  "" for none */
export function setGlobal(text, prompt) {
  const { lines, global } = readText(text);
  if (!global) return prompt ? [`global: ${quote(prompt)}`, ...lines].join("\n") : text;
  const before = lines[global.line].slice(0, lines[global.line].indexOf(":") + 1);
  lines.splice(global.line, 1, ...(prompt ? [`${before} ${quote(prompt)}`] : []));
  return lines.join("\n");
}

/** Set the length of a text that says one. @param {string} text @param {string} length  as it is to be written */
export function setLength(text, length) {
  const document = readText(text);
  if (!document.length) return text;
  const { line } = document.length;
  document.lines[line] = `${document.lines[line].slice(0, document.lines[line].indexOf(":") + 1)} ${length}`;
  return document.lines.join("\n");
}

/** The length of a text as it is written; "" where it says none. @param {Document} document */
export function writtenLength({ lines, length }) {
  return length ? lines[length.line].slice(lines[length.line].indexOf(":") + 1).trim() : "";
}
