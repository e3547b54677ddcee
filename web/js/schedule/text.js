// @ts-check
// The text form of schedules, read line by line so that an edit can leave every other line as it is.
// The grammar is that of memflow_core's schedule; tests hold the two together.
import { OPTION_LIKE, SPACE, blendOf, checkPinName, readOption, strip } from "./options.js";
import { TextError } from "./errors.js";
import { clockEnd, findCount, parseTime } from "./time.js";

/** @typedef {import("./time.js").Time} Time */
/** @typedef {import("./options.js").Blend} Blend */
/** @typedef {import("./options.js").Said} Said */
/** @typedef {{start: number, end: number}} Span a stretch of one line */
/** @typedef {Span & Said} Option */
/**
 * @typedef {object} Segment
 * @property {Time} start
 * @property {string} prompt
 * @property {string} switch   recache, soft, cut or blend
 * @property {Blend | null} blend
 * @property {string | null} seed  its digits, which are too many for a number
 * @property {string[]} asks   names of the pins that stand in memory in it
 * @property {number[]} lines  where it stands, in order; empty in a list `a | b`
 * @property {Written | null} written  null: text without a time
 */
/** @typedef {{time: Span, options: Option[], colon: number}} Written the parts of a line with a time */
/** @typedef {{line: number, name: string, time: Time}} Pin name is "" for none */
/** @typedef {{kind: "global" | "length" | "pin", name: string, value: string}} Header name is that of a pin, "" for none */
/** @typedef {Header & {line: number}} HeaderLine */
/** @typedef {{time: Time, timeEnd: number, options: Option[], colon: number}} TimedLine the parts of a line with a time */
/**
 * @typedef {object} Document
 * @property {string[]} lines
 * @property {Segment[]} segments
 * @property {number[]} lead   lines before the first time
 * @property {{line: number, prompt: string} | null} global
 * @property {{line: number, time: Time} | null} length
 * @property {Pin[]} pins
 */

const INDENT = new RegExp(`^${SPACE}*`);
const DIGIT = /^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]/u;

const OPTION = /[ \t]*\[([^[\]]*)\]/y;
const HEADER = /^(global|length)[ \t]*:(.*)$/;
const PIN = /^pin(?:[ \t]+([^\s:]+))?[ \t]*:(.*)$/;

const FOREIGN_JSON = /^(?:\{\s*["}]|\[\s*[[{"\]]|"prompts"\s*:\s*\[)/;
const STRING = '"(?:[^"\\\\]|\\\\.)*"';
const FOREIGN_FRAMES = new RegExp(
  '^(?:\\{?\\s*"[-+.]?[0-9][^"]*"\\s*[:=]|\\{?\\s*[0-9]+\\s*=\\s*"|\\{\\s*[0-9]+\\s*:\\s*"' +
    `|[0-9]+\\s*:\\s*${STRING}\\s*,\\s*"?[0-9]+"?\\s*[:=]\\s*")`,
  "s",
);

/** Whether a text is in one of the forms that the server reads and this module does not. @param {string} text */
export function isForeign(text) {
  const bare = strip(text.replace(/^\ufeff/, ""));
  return FOREIGN_JSON.test(bare) || FOREIGN_FRAMES.test(bare);
}

/** The string, if a text is one JSON string (a comma behind it is forgiven); else the text. @param {string} text */
function unquote(text) {
  const quoted = text.endsWith(",") ? text.slice(0, -1).replace(new RegExp(`${SPACE}+$`), "") : text;
  if (quoted.length < 2 || !quoted.startsWith('"') || !quoted.endsWith('"')) return text;
  try {
    return JSON.parse(quoted);
  } catch {
    return text;
  }
}

/** A prompt as it stands behind a colon. @param {string} prompt */
export function quote(prompt) {
  const whole = prompt.replace(/\p{Surrogate}/gu, "\ufffd");
  const plain = whole && whole === strip(whole) && !/^["[]/.test(whole) && !/[\n\r]/.test(whole);
  return plain ? whole : JSON.stringify(whole);
}

// -- one line -------------------------------------------------------------------------------------------------

/** @param {string} line @param {number} at @returns {{end: number, options: Span[]}} */
function bracketed(line, at) {
  const options = [];
  for (;;) {
    OPTION.lastIndex = at;
    const found = OPTION.exec(line);
    if (!found) break;
    options.push({ start: at, end: OPTION.lastIndex });
    at = OPTION.lastIndex;
  }
  while (line[at] === " " || line[at] === "\t") at++;
  return { end: at, options };
}

/**
 * The parts of a line with a time; null for a line without. Places are counted from the line's first character.
 * @param {string} line  without spaces at its ends
 * @returns {TimedLine | null}
 */
function entry(line) {
  if (!/^[0-9+.-]/.test(line)) return null;
  const clock = clockEnd(line);
  if (clock) {
    const { end, options } = bracketed(line, clock);
    // '16:90 wide' is a prompt: a clock time is read only in front of a colon
    if (line[end] === ":") return checked(line, parseTime(line.slice(0, clock)).time, clock, options, end);
  }
  const count = findCount(line);
  if (!count) return null;
  const { end, options } = bracketed(line, count.end);
  if (line[end] === ":") {
    // '16:9 wide shot' is a prompt
    if (!count.word && !options.length && DIGIT.test(line.slice(end + 1))) return null;
    return checked(line, count.time(), count.end, options, end);
  }
  if (OPTION_LIKE.test(line.slice(count.end))) throw noColon(line);
  return null;
}

function noColon(/** @type {string} */ line) {
  return new TextError(`"${line.slice(0, 40)}" has an option, but no colon after it: write it as 10s [cut]: prompt.`);
}

/** @param {string} line @param {Time} time @param {number} timeEnd @param {Span[]} spans @param {number} colon */
function checked(line, time, timeEnd, spans, colon) {
  const text = strip(line.slice(colon + 1));
  if (OPTION_LIKE.test(text)) throw misplaced(text);
  const options = spans.map((span) => ({ ...span, ...readOption(line.slice(span.start, span.end)) }));
  const kinds = options.map(({ kind, value }) => (kind === "ask" ? value : kind));
  if (new Set(kinds).size < kinds.length) {
    throw new TextError(`"${line.slice(0, colon)}" has two options of one kind: keep one.`);
  }
  return { time, timeEnd, options, colon };
}

function misplaced(/** @type {string} */ text) {
  const said = text.slice(0, 30);
  return new TextError(`"${said}" starts with an option after the colon: write it before the colon, as in 10s [cut]: a.`);
}

/**
 * The parts of a header line: `global: ...`, `length: 60s`, `pin: 3s` or `pin hero: 3s`; null for every other line.
 * @param {string} line  without spaces at its ends
 * @returns {Header | null}
 */
function readHeader(line) {
  const pin = PIN.exec(line);
  if (pin) return { kind: "pin", name: pin[1] ?? "", value: strip(pin[2]) };
  const header = HEADER.exec(line);
  return header && { kind: header[1] === "global" ? "global" : "length", name: "", value: strip(header[2]) };
}

// -- whole texts ----------------------------------------------------------------------------------------------

/** @typedef {{lines: number[], texts: string[], time: Time, written: Written}} Entry */

/** The lines of a text, without a byte order mark. @param {string} text */
export function linesOf(text) {
  return text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n").split("\n");
}

/**
 * The header lines of a text, and the number of its first line behind them: the first prompt, or the text's end.
 * Values are not read, so that they may be wrong.
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

/** What the lines read so far have said. */
class Reader {
  constructor() {
    /** @type {Entry[]} */
    this.entries = [];
    /** @type {number[]} */
    this.lead = [];
    /** @type {string[]} */
    this.leadTexts = [];
    /** @type {Document["global"]} */
    this.global = null;
    /** @type {Document["length"]} */
    this.length = null;
    /** @type {Pin[]} */
    this.pins = [];
  }

  /** @param {string} raw @param {number} number */
  read(raw, number) {
    const line = strip(raw);
    if (!line || line.startsWith("#")) return;
    const found = entry(line);
    const header = readHeader(line);
    const before = this.entries.at(-1);
    if (found) {
      this.checkAsks(found.options, strip(line.slice(found.colon + 1)));
      this.entries.push(entryAt(found, line, number, INDENT.exec(raw)?.[0].length ?? 0));
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
    return this.pins.some((pin) => pin.name === name);
  }

  /** @param {Option[]} options @param {string} text  behind the colon */
  checkAsks(options, text) {
    const unknown = options.find(({ kind, value }) => kind === "ask" && !this.hasPin(value));
    if (unknown) throw new TextError(`There is no pin named ${unknown.value}: set one with a line like pin hero: 3.5s.`);
    OPTION.lastIndex = 0;
    const behind = OPTION.exec(text);
    if (behind && this.hasPin(strip(behind[1]))) throw misplaced(text);
  }

  /** @param {Header} header @param {number} line */
  readPin({ name, value }, line) {
    if (this.begun) throw new TextError("A pin stands before the first prompt, like every header: move it up.");
    if (name && this.hasPin(name)) throw new TextError(`Pin ${name} is set twice: every name stands for one moment.`);
    if (name) checkPinName(name);
    this.pins.push({ line, name, time: parseTime(value).time });
  }

  /** @param {Header} header @param {number} line */
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

/** @param {TimedLine} found @param {string} line @param {number} number @param {number} indent @returns {Entry} */
function entryAt(found, line, number, indent) {
  const shift = (/** @type {Option} */ one) => ({ ...one, start: one.start + indent, end: one.end + indent });
  const written = {
    time: { start: indent, end: indent + found.timeEnd },
    options: found.options.map(shift),
    colon: found.colon + indent,
  };
  return { lines: [number], texts: [strip(line.slice(found.colon + 1))], time: found.time, written };
}

/** @param {Entry} entry @returns {Segment} */
function segmentOf({ lines, texts, time, written }) {
  const value = (/** @type {string} */ kind) => written.options.find((one) => one.kind === kind)?.value;
  const said = value("switch") ?? "recache";
  const blend = blendOf(said);
  return {
    start: time,
    prompt: unquote(texts.filter(Boolean).join(" ")),
    switch: blend ? "blend" : said,
    blend,
    seed: value("seed") ?? null,
    asks: written.options.filter((one) => one.kind === "ask").map((one) => one.value),
    lines,
    written,
  };
}

/** @param {string} prompt @param {Time} start @param {number[]} lines @returns {Segment} */
function leadSegment(prompt, start, lines) {
  return { start, prompt, switch: "recache", blend: null, seed: null, asks: [], lines, written: null };
}

/** One prompt, or several that share the story evenly. @param {string} text @param {number[]} lines */
function untimed(text, lines) {
  const bare = unquote(text);
  const parts = bare === text ? text.split("|").map(strip) : [bare];
  if (parts.length === 1) return [leadSegment(parts[0], { value: 0, unit: "s" }, lines)];
  const empty = parts.indexOf("");
  if (empty >= 0) throw new TextError(`Prompt ${empty + 1} of ${parts.length} is empty: write it, or leave out a "|".`);
  return parts.map((part, place) => leadSegment(part, { value: (100 * place) / parts.length, unit: "percent" }, []));
}

/** @param {Segment[]} segments */
function checkOrder(segments) {
  if (!segments.length) throw new TextError("The schedule is empty: write at least one prompt.");
  if (segments[0].start.value !== 0) throw new TextError("The first prompt must start at 0: set it to 0s.");
  for (let later = 1; later < segments.length; later++) {
    const [before, after] = [segments[later - 1].start, segments[later].start];
    if (before.unit === after.unit && after.value <= before.value) {
      throw new TextError(`Prompt ${later + 1} is no later than the one before it: give it a later time.`);
    }
  }
}

/** @param {string[]} prompts */
function checkWhole(prompts) {
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
      throw error instanceof TextError ? new TextError(`Line ${number + 1}: ${error.message}`) : error;
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
  checkWhole([document.global?.prompt ?? "", ...document.segments.map((segment) => segment.prompt)]);
  return document;
}
