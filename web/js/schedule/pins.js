// @ts-check
// Add and remove pins in a schedule's text: header lines `pin: 12.75s` or `pin hero: 12.75s`.
import { setAsks } from "./edit.js";
import { headersOf, linesOf, readText } from "./text.js";

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

/** Remove a pin, which no segment asks for any more. @param {string} text @param {number} index  which pin */
export function removePin(text, index) {
  const { segments, pins } = readText(text);
  const { line, name } = pins[index];
  const without = segments.reduce((left, { asks }, segment) => {
    return asks.includes(name) ? setAsks(left, segment, asks.filter((ask) => ask !== name)) : left;
  }, text);
  return readText(without).lines.toSpliced(line, 1).join("\n");
}
