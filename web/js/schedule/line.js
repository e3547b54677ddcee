// @ts-check
// One line of the text form: `10s [cut] [seed 7]: prompt`, or a header such as `pin hero: 3.5s`.
import { TextError } from "./errors.js";
import { OPTION_LIKE, loraName, readOption, strip, stripEnd } from "./options.js";
import { clockEnd, findCount, parseTime } from "./time.js";
import { arePlain } from "./words.js";

/** @typedef {import("./time.js").Time} Time */
/** @typedef {{start: number, end: number}} Span a stretch of one line */
/** @typedef {Span & import("./options.js").OptionValue} Option */
/** @typedef {{time: Time, timeEnd: number, options: Option[], colon: number}} TimedLine the parts of a line with a time */
/** @typedef {{kind: "global" | "length" | "pin", name: string, value: string}} Header name is that of a pin, "" for none */

const DIGIT = /^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]/u;
const OPTION = /[ \t]*\[([^[\]]*)\]/y;
const HEADER = /^(global|length)[ \t]*:(.*)$/;
const PIN = /^pin(?:[ \t]+([^\s:]+))?[ \t]*:(.*)$/;

/** The string, if a text is one JSON string (a comma behind it is ignored); else the text. @param {string} text */
export function unquote(text) {
  const quoted = text.endsWith(",") ? stripEnd(text.slice(0, -1)) : text;
  if (quoted.length < 2 || !quoted.startsWith('"') || !quoted.endsWith('"')) return text;
  try {
    return JSON.parse(quoted);
  } catch {
    return text;
  }
}

/** A prompt as it is written behind a colon. @param {string} prompt */
export function quote(prompt) {
  const whole = prompt.replace(/\p{Surrogate}/gu, "\ufffd");
  const plain = whole && whole === strip(whole) && !/^["[]/.test(whole) && !/[\n\r]/.test(whole) && arePlain(whole);
  return plain ? whole : JSON.stringify(whole);
}

/** The text in brackets, without them, at the start of a text; null for none. @param {string} text */
export function leadingOption(text) {
  OPTION.lastIndex = 0;
  const found = OPTION.exec(text);
  return found && strip(found[1]);
}

/** The bracketed stretches from a place on, and where they end. @param {string} line @param {number} at */
function optionSpans(line, at) {
  /** @type {Span[]} */
  const spans = [];
  for (;;) {
    OPTION.lastIndex = at;
    if (!OPTION.test(line)) break;
    spans.push({ start: at, end: OPTION.lastIndex });
    at = OPTION.lastIndex;
  }
  while (line[at] === " " || line[at] === "\t") at++;
  return { end: at, spans };
}

/**
 * The parts of a line with a time; null for a line without. Places are counted from the line's first character.
 * Throws TextError.
 * @param {string} line  without spaces at its ends
 * @returns {TimedLine | null}
 */
export function readTimedLine(line) {
  if (!/^[0-9+.-]/.test(line)) return null;
  const clock = clockEnd(line);
  if (clock) {
    const { end, spans } = optionSpans(line, clock);
    // '16:90 wide' is a prompt: a clock time is read only in front of a colon
    if (line[end] === ":") return checkedLine(line, parseTime(line.slice(0, clock)).time, clock, spans, end);
  }
  const count = findCount(line);
  if (!count) return null;
  const { end, spans } = optionSpans(line, count.end);
  if (line[end] === ":") {
    // '16:9 wide shot' is a prompt
    if (!count.word && !spans.length && DIGIT.test(line.slice(end + 1))) return null;
    return checkedLine(line, count.time(), count.end, spans, end);
  }
  if (OPTION_LIKE.test(line.slice(count.end))) throw missingColon(line);
  return null;
}

/** @param {string} line @param {Time} time @param {number} timeEnd @param {Span[]} spans @param {number} colon */
function checkedLine(line, time, timeEnd, spans, colon) {
  const text = strip(line.slice(colon + 1));
  if (OPTION_LIKE.test(text)) throw misplacedOption(text);
  const options = spans.map((span) => ({ ...span, ...readOption(line.slice(span.start, span.end)) }));
  const kinds = options.map(({ kind, value }) => (kind === "ask" ? value : kind === "lora" ? `lora ${loraName(value)}` : kind));
  if (new Set(kinds).size < kinds.length) {
    throw new TextError(`"${line.slice(0, colon)}" has two options of one kind: keep one.`);
  }
  return { time, timeEnd, options, colon };
}

function missingColon(/** @type {string} */ line) {
  return new TextError(`"${line.slice(0, 40)}" has an option, but no colon after it: write it as 10s [cut]: prompt.`);
}

/** The error of an option behind the colon. @param {string} text  behind the colon */
export function misplacedOption(text) {
  const start = text.slice(0, 30);
  return new TextError(`"${start}" starts with an option after the colon: write it before the colon, as in 10s [cut]: a.`);
}

/**
 * The parts of a header line: `global: ...`, `length: 60s`, `pin: 3s` or `pin hero: 3s`; null for every other line.
 * Its value is not read, so it may be wrong.
 * @param {string} line  without spaces at its ends
 * @returns {Header | null}
 */
export function readHeader(line) {
  const pin = PIN.exec(line);
  if (pin) return { kind: "pin", name: pin[1] ?? "", value: strip(pin[2]) };
  const header = HEADER.exec(line);
  return header && { kind: header[1] === "global" ? "global" : "length", name: "", value: strip(header[2]) };
}
