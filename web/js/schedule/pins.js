// @ts-check
// Add and remove pins in a schedule's text: header lines `pin: 12.75s` or `pin hero: 12.75s`.
import { setAsks, withTimes } from "./edit.js";
import { TextError } from "./errors.js";
import { latentAt, latentsOf } from "./grid.js";
import { planOf } from "./plan.js";
import { headersOf, linesOf, parseText, readText } from "./text.js";
import { writeTime } from "./time.js";

/** @typedef {import("./text.js").HeaderLine} HeaderLine */

/** @param {string} time @param {string} name */
function pinLine(time, name) {
  return `${name ? `pin ${name}` : "pin"}: ${time}`;
}

/**
 * Add a pin below the other headers, or at the top.
 * @param {string} text @param {string} time @param {string} name
 */
export function addPin(text, time, name) {
  const lines = linesOf(text);
  const last = headersOf(lines).headers.at(-1)?.line ?? -1;
  return lines.toSpliced(last + 1, 0, pinLine(time, name)).join("\n");
}

/**
 * Pin a moment: a name that is taken moves to the new time, a time that is pinned stays as it is.
 * A new pin goes below the other headers, or else below the comments that open the text. The text may have errors.
 * @param {string} text
 * @param {string} time  as it is to be written
 * @param {string} name  "" for none
 */
export function pinMoment(text, time, name = "") {
  if (!text.trim()) return `${pinLine(time, name)}\n`;
  const lines = linesOf(text);
  const { headers, end } = headersOf(lines);
  const same = (/** @type {HeaderLine} */ pin) => (name ? pin.name === name : pin.value === time);
  const old = headers.find((header) => header.kind === "pin" && same(header));
  if (old) return name ? lines.with(old.line, pinLine(time, name)).join("\n") : text;
  const last = headers.at(-1)?.line;
  return lines.toSpliced(last === undefined ? end : last + 1, 0, pinLine(time, name)).join("\n");
}

/**
 * Whether prompts start at shares of a story of which only a run knows the length, as behind a state: where they start is
 * not known.
 * @param {import("./text.js").Document} document @param {import("./plan.js").Setting} setting
 */
function startsUnknown({ segments }, { unknown }) {
  return Boolean(unknown) && segments.some(({ start }) => start.unit === "percent" && start.value > 0);
}

/**
 * The prompts that can ask for a moment, which is made by the time they start; none where the text cannot be read, or
 * where they start is not known.
 * @param {string} text @param {number} time_s  of the moment @param {import("./plan.js").Setting} setting
 */
export function promptsThatMayAsk(text, time_s, setting) {
  try {
    const document = parseText(text);
    if (startsUnknown(document, setting)) return [];
    const { placed } = planOf(document, setting);
    const made = latentAt(Math.round(time_s * setting.fps));
    return placed.flatMap(({ segment, start_s, chunk }, index) =>
      chunk * latentsOf(setting) > made ? [{ index, start_s, prompt: segment.prompt }] : [],
    );
  } catch (error) {
    if (error instanceof TextError) return [];
    throw error;
  }
}

/**
 * Let a prompt ask for a pin by its name. Throws TextError for a text that cannot be read or has no such prompt,
 * and where only a run knows where its prompts start.
 * @param {string} text @param {number} index  of the prompt @param {string} name
 * @param {import("./plan.js").Setting} setting
 */
export function askForPin(text, index, name, setting) {
  const document = parseText(text);
  if (startsUnknown(document, setting)) {
    throw new TextError("Prompts start at shares of a story of which only the run knows the length: write their times.");
  }
  const plan = planOf(document, setting);
  const timed = withTimes(text, plan.placed.map(({ start_s }) => writeTime("", start_s, plan)));
  const segment = readText(timed).segments[index];
  if (!segment) throw new TextError(`There is no prompt ${index + 1} in the schedule any more.`);
  const { asks } = segment;
  return asks.includes(name) ? timed : setAsks(timed, index, [...asks, name]);
}

/** Remove a pin, which no segment asks for any more. @param {string} text @param {number} index  which pin */
export function removePin(text, index) {
  const { segments, pins } = readText(text);
  const { line, name } = pins[index];
  const without = segments.reduce((left, { asks }, segment) => {
    return asks.includes(name) ? setAsks(left, segment, asks.filter((ask) => ask !== name)) : left;
  }, text);
  return readText(without).lines.toSpliced(line, 1).join("\n");
}
