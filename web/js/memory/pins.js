// @ts-check
// Pins in the text of a schedule: header lines `pin: 12.75s` or `pin hero: 12.75s`. Pure: no page, no ComfyUI.

const PIN = /^\s*pin(?:[ \t]+([^:]*?))?[ \t]*:[ \t]*(.*?)\s*$/;
const HEADER = /^\s*(?:#.*|(?:global|length|pin(?:[ \t][^:]*)?)[ \t]*:.*)?$/;

export const NAME_RULE = "one word of letters, digits, - and _ that starts with a letter (at most 40)";
const NAME = /^\p{L}[\p{L}\p{N}_-]{0,39}$/u;
// in a schedule's brackets these are options
const RESERVED = ["recache", "soft", "cut", "blend", "seed"];

/** Whether a pin can have this name. @param {string} name */
export function isName(name) {
  return NAME.test(name) && !RESERVED.includes(name);
}

/**
 * The text with another pin in it.
 * A name that is taken moves to the new time; a time that is pinned already stays as it is.
 * @param {string} text a schedule
 * @param {string} time as a schedule writes it, such as 12.75s
 * @param {string} [name]
 * @returns {{text: string} | {problem: string}}
 */
export function addPin(text, time, name = "") {
  if (/^\s*[[{"]/.test(text)) {
    return { problem: "This schedule is pasted JSON, which has no pins: write it as lines of 'time: prompt'." };
  }
  const line = name ? `pin ${name}: ${time}` : `pin: ${time}`;
  if (!text.trim()) return { text: `${line}\n` };
  const lines = text.split("\n");
  const headers = headerCount(lines);
  for (let number = 0; number < headers; number++) {
    const found = PIN.exec(lines[number]);
    if (!found) continue;
    const [, pinName = "", pinTime] = found;
    if (name ? pinName === name : pinTime === time) {
      if (name) lines[number] = line;
      return { text: lines.join("\n") };
    }
  }
  lines.splice(placeFor(lines, headers), 0, line);
  return { text: lines.join("\n") };
}

/** How many lines stand before the first prompt. @param {string[]} lines */
function headerCount(lines) {
  const first = lines.findIndex((line) => !HEADER.test(line));
  return first < 0 ? lines.length : first;
}

/** Behind the last header; comments and empty lines before the first prompt stay with it. */
function placeFor(/** @type {string[]} */ lines, /** @type {number} */ headers) {
  let place = headers;
  while (place > 0 && /^\s*(?:#.*)?$/.test(lines[place - 1])) place--;
  // with no header at all: above the first prompt, below the comments that open the text
  return place === 0 ? headers : place;
}
