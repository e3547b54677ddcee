// @ts-check
// Read what can be read of a schedule's text, and say which lines cannot.
import { TextError } from "./errors.js";
import { readTimedLine } from "./line.js";
import { strip } from "./options.js";
import { linesOf, parseText, STARTS_LATE } from "./text.js";
import { clockEnd } from "./time.js";

/** @typedef {import("./time.js").Time} Time */
/** @typedef {{line: number, time: Time | null, message: string}} BadLine from 0; the time that it begins with, if any */

const MOST_BAD = 50;
// in the place of a first prompt that cannot be read
const PLACEHOLDER = "0s: …";

/** What is wrong with a text; null for nothing. @param {string[]} lines @returns {TextError | null} */
function problemOf(lines) {
  try {
    parseText(lines.join("\n"));
    return null;
  } catch (error) {
    if (error instanceof TextError) return error;
    throw error;
  }
}

/** The time that a line begins with, whatever is wrong behind it. @param {string} line @returns {Time | null} */
function timeOf(line) {
  const bare = strip(line);
  // a clock time has colons of its own
  const end = clockEnd(bare);
  const start = end ? bare.slice(0, end) : strip(bare.split(/[[:]/)[0]);
  try {
    return readTimedLine(`${strip(start)}: …`)?.time ?? null;
  } catch (error) {
    if (error instanceof TextError) return null;
    throw error;
  }
}

/**
 * Read a text without the lines that have something wrong.
 * @param {string} text
 * @returns {{document: import("./text.js").Document, bad: BadLine[]} | null} null where the fault is not one of lines
 */
export function readPart(text) {
  const lines = linesOf(text);
  /** @type {BadLine[]} */
  const bad = [];
  for (let problem = problemOf(lines); problem; problem = problemOf(lines)) {
    const { line, message } = problem;
    if (line === null || bad.length === MOST_BAD) return null;
    const [first] = bad;
    if (message === STARTS_LATE && first && first.line < line && lines[first.line] !== PLACEHOLDER) {
      // the first prompt is the one that cannot be read
      lines[first.line] = PLACEHOLDER;
      continue;
    }
    if (["#", PLACEHOLDER].includes(lines[line])) return null;
    bad.push({ line, time: timeOf(lines[line]), message });
    lines[line] = message === STARTS_LATE ? PLACEHOLDER : "#";
    bad.sort((one, other) => one.line - other.line);
  }
  return { document: parseText(lines.join("\n")), bad };
}
