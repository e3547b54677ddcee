// @ts-check
// The text form of schedules, read line by line so that an edit can leave every other line as it is.
// The grammar is that of memflow_core's schedule; tests compare the two.
import { TextError, UnitError } from "./errors.js";
import { leadingOption, misplacedOption, readHeader, readTimedLine, unquote } from "./line.js";
import { isLoose, isStructure } from "./loose.js";
import { OPTION_LIKE, SPACE, blendOf, checkPinName, isLaterSwitch, strip } from "./options.js";
import { parseTime } from "./time.js";

/** @typedef {import("./time.js").Time} Time */
/** @typedef {import("./line.js").Span} Span */
/** @typedef {import("./line.js").Option} Option */
/** @typedef {import("./line.js").Header} Header */
/** @typedef {import("./line.js").TimedLine} TimedLine */
/** @typedef {import("./options.js").Blend} Blend */
/**
 * @typedef {object} Segment
 * @property {Time} start
 * @property {string} prompt
 * @property {string} switch   one of SWITCHES
 * @property {Blend | null} blend
 * @property {string | null} seed  its digits, which are too many for a number
 * @property {string[]} asks   names of the pins that stand in memory in it
 * @property {string[]} loras  LoRAs that the model has in it, as written: `lora name 0.8`
 * @property {number[]} lines  numbers of its lines, in order; empty in a list `a | b`
 * @property {Written | null} written  null: text without a time
 */
/** @typedef {{time: Span, options: Option[], colon: number}} Written where the parts of a segment stand in its first line */
/** @typedef {{line: number, name: string, time: Time}} Pin name is "" for none */
/** @typedef {Header & {line: number}} HeaderLine */
/**
 * @typedef {object} Document
 * @property {string[]} lines
 * @property {Segment[]} segments
 * @property {number[]} lead   numbers of the lines before the first time
 * @property {{line: number, prompt: string} | null} global
 * @property {{line: number, time: Time} | null} length
 * @property {Pin[]} pins
 */

const INDENT = new RegExp(`^${SPACE}*`);

/** Whether a text is in another form, which only the server reads: JSON, or times in other shapes. @param {string} text */
export function isForeign(text) {
  // one prompt in double quotes that goes over several lines
  const bare = strip(text);
  if (isStructure(text) || (bare.startsWith('"') && bare.endsWith('"') && bare.includes("\n"))) return true;
  try {
    return isLoose(linesOf(text));
  } catch (error) {
    // a fault of the text form, which is told where it is read
    if (error instanceof TextError) return error instanceof UnitError;
    throw error;
  }
}

/** The lines of a text, without a byte order mark. @param {string} text */
export function linesOf(text) {
  return text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n").split("\n");
}

/**
 * The header lines of a text, and the number of its first line behind them: the first prompt, or the text's end.
 * Values are not read, so they may be wrong.
 * @param {string[]} lines
 */
export function headersOf(lines) {
  /** @type {HeaderLine[]} */
  const headers = [];
  for (const [number, raw] of lines.entries()) {
    const line = strip(raw);
    if (!line || line.startsWith("#")) continue;
    const header = readHeader(line);
    if (!header) return { headers, end: number };
    headers.push({ ...header, line: number });
  }
  return { headers, end: lines.length };
}

// -- whole texts ----------------------------------------------------------------------------------------------

/** @typedef {{lines: number[], texts: string[], time: Time, written: Written}} Entry a segment while its lines are read */

/** Reads a text line by line and gathers its segments and headers. */
class Reader {
  /** @type {Entry[]} */
  entries = [];
  /** @type {number[]} */
  lead = [];
  /** @type {string[]} */
  leadTexts = [];
  /** @type {Document["global"]} */
  global = null;
  /** @type {Document["length"]} */
  length = null;
  /** @type {Pin[]} */
  pins = [];
  /** @type {Set<string>} names of pins */
  names = new Set();

  /** Read the next line. Throws TextError. @param {string} raw @param {number} number */
  read(raw, number) {
    const line = strip(raw);
    if (!line || line.startsWith("#")) return;
    const timed = readTimedLine(line);
    const header = readHeader(line);
    const before = this.entries.at(-1);
    if (timed) {
      this.settleSwitch(timed.options);
      this.checkAsks(timed.options, strip(line.slice(timed.colon + 1)));
      this.entries.push(entryOf(timed, line, number, INDENT.exec(raw)?.[0].length ?? 0));
    } else if (OPTION_LIKE.test(line)) {
      throw new TextError(`"${line.slice(0, 40)}" starts with an option, but has no time: write it as 10s [cut]: prompt.`);
    } else if (header?.kind === "pin") {
      this.readPin(header, number);
    } else if (before) {
      before.lines.push(number);
      before.texts.push(line);
    } else if (header && !this.begun) {
      this.readValue(header, number);
    } else {
      this.lead.push(number);
      this.leadTexts.push(line);
    }
  }

  /** Whether a prompt has been read. */
  get begun() {
    return this.entries.length > 0 || this.lead.length > 0;
  }

  /** @param {string} name */
  hasPin(name) {
    return this.names.has(name);
  }

  /** Take [jump] and [fresh] as the switch where no pin has that name. @param {Option[]} options */
  settleSwitch(options) {
    for (const option of options.filter(({ kind, value }) => kind === "ask" && isLaterSwitch(value) && !this.hasPin(value))) {
      if (options.some(({ kind }) => kind === "switch")) throw new TextError(`[${option.value}] is a second switch: keep one.`);
      option.kind = "switch";
    }
  }

  /** @param {Option[]} options @param {string} text  behind the colon */
  checkAsks(options, text) {
    const unknown = options.find(({ kind, value }) => kind === "ask" && !this.hasPin(value));
    if (unknown) throw new TextError(`There is no pin named ${unknown.value}: set one with a line like pin hero: 3.5s.`);
    const behind = leadingOption(text);
    if (behind !== null && this.hasPin(behind)) throw misplacedOption(text);
  }

  /** @param {Header} header @param {number} line */
  readPin({ name, value }, line) {
    if (this.begun) throw new TextError("A pin stands before the first prompt, like every header: move it up.");
    if (name && this.hasPin(name)) throw new TextError(`Pin ${name} is set twice: every name stands for one moment.`);
    if (name) checkPinName(name);
    if (name) this.names.add(name);
    this.pins.push({ line, name, time: parseTime(value).time });
  }

  /** Read the value of a global or length header. @param {Header} header @param {number} line */
  readValue({ kind, value }, line) {
    if (kind === "global" ? this.global : this.length) throw new TextError(`${kind}: is written twice: keep one.`);
    if (kind === "global") {
      this.global = { line, prompt: unquote(value) };
      return;
    }
    const { time } = parseTime(value);
    if (time.unit === "percent" || time.value === 0) throw new TextError(`A length of ${value} is none: write 60s.`);
    this.length = { line, time };
  }

  /** @returns {Segment[]} */
  segments() {
    const timed = this.entries.map(segmentOf);
    const lead = this.leadTexts.join(" ");
    if (!lead) return timed;
    if (timed.length) return [leadSegment(unquote(lead), { value: 0, unit: "s" }, this.lead), ...timed];
    return untimed(lead, this.lead);
  }
}

/** @param {TimedLine} timed @param {string} line @param {number} number @param {number} indent @returns {Entry} */
function entryOf(timed, line, number, indent) {
  const shift = (/** @type {Option} */ option) => ({ ...option, start: option.start + indent, end: option.end + indent });
  const written = {
    time: { start: indent, end: indent + timed.timeEnd },
    options: timed.options.map(shift),
    colon: timed.colon + indent,
  };
  return { lines: [number], texts: [strip(line.slice(timed.colon + 1))], time: timed.time, written };
}

/** @param {Entry} entry @returns {Segment} */
function segmentOf({ lines, texts, time, written }) {
  const value = (/** @type {string} */ kind) => written.options.find((option) => option.kind === kind)?.value;
  const name = value("switch") ?? "recache";
  const blend = blendOf(name);
  return {
    start: time,
    prompt: unquote(texts.filter(Boolean).join(" ")),
    switch: blend ? "blend" : name,
    blend,
    seed: value("seed") ?? null,
    asks: written.options.filter((option) => option.kind === "ask").map((option) => option.value),
    loras: written.options.filter((option) => option.kind === "lora").map((option) => option.value),
    lines,
    written,
  };
}

/** A segment without a time. @param {string} prompt @param {Time} start @param {number[]} lines @returns {Segment} */
function leadSegment(prompt, start, lines) {
  return { start, prompt, switch: "recache", blend: null, seed: null, asks: [], loras: [], lines, written: null };
}

/** The parts of `a | b`; a bar within brackets parts nothing. @param {string} text */
function splitBars(text) {
  const parts = [""];
  let depth = 0;
  for (const one of text) {
    // a ")" that closes nothing is part of a smile
    depth = Math.max(0, depth + Number("([{".includes(one)) - Number(")]}".includes(one)));
    if (one === "|" && depth === 0) parts.push("");
    else parts[parts.length - 1] += one;
  }
  return parts;
}

/** One prompt, or several that share the story evenly. @param {string} text @param {number[]} lines */
function untimed(text, lines) {
  const bare = unquote(text);
  const parts = bare === text ? splitBars(text).map(strip) : [bare];
  if (parts.length === 1) return [leadSegment(parts[0], { value: 0, unit: "s" }, lines)];
  const empty = parts.indexOf("");
  if (empty >= 0) throw new TextError(`Prompt ${empty + 1} of ${parts.length} is empty: write it, or leave out a "|".`);
  return parts.map((part, place) => leadSegment(part, { value: (100 * place) / parts.length, unit: "percent" }, []));
}

/** The problem of a first prompt that starts later. */
export const STARTS_LATE = "The first prompt must start at 0: set it to 0s.";

/** @param {Segment[]} segments */
function checkOrder(segments) {
  if (!segments.length) throw new TextError("The schedule is empty: write at least one prompt.");
  const line = (/** @type {number} */ index) => segments[index].lines[0] ?? null;
  if (segments[0].start.value !== 0) throw new TextError(STARTS_LATE, line(0));
  if (!segments[0].written && segments[1]?.written && segments[1].start.value === 0) {
    throw new TextError("Words stand before the prompt at 0: write global: before them, or take them out.");
  }
  for (let later = 1; later < segments.length; later++) {
    const [before, after] = [segments[later - 1].start, segments[later].start];
    if (before.unit === after.unit && after.value <= before.value) {
      throw new TextError(`Prompt ${later + 1} is no later than the one before it: give it a later time.`, line(later));
    }
  }
}

/** @param {string[]} prompts */
function checkSurrogates(prompts) {
  const broken = prompts.find((prompt) => /\p{Surrogate}/u.test(prompt));
  if (broken !== undefined) throw new TextError(`"${broken.slice(0, 40)}" holds half a character: type it anew.`);
}

/**
 * Read the text form, line by line; the order of its times may be wrong. Throws TextError, a sentence with the line.
 * @param {string} text
 * @returns {Document}
 */
export function readText(text) {
  const lines = linesOf(text);
  const reader = new Reader();
  lines.forEach((line, number) => {
    try {
      reader.read(line, number);
    } catch (error) {
      throw error instanceof TextError ? new TextError(`Line ${number + 1}: ${error.message}`, number) : error;
    }
  });
  const segments = reader.segments();
  const { lead, global, length, pins } = reader;
  return { lines, segments, lead, global, length, pins };
}

/** Read a schedule that can be played. Throws TextError. @param {string} text @returns {Document} */
export function parseText(text) {
  const document = readText(text);
  checkOrder(document.segments);
  checkSurrogates([document.global?.prompt ?? "", ...document.segments.map((segment) => segment.prompt)]);
  return document;
}
