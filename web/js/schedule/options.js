// @ts-check
// The options in brackets behind a time: [cut], [blend 6 spherical], [seed 7], [hero], [lora name 0.8].
import { TextError } from "./errors.js";
import { parseTime } from "./time.js";

/** @typedef {import("./time.js").Time} Time */
/** @typedef {{length: Time, spherical: boolean}} Blend length is in chunks or in seconds */
/** @typedef {{kind: "switch" | "seed" | "ask" | "lora", value: string}} OptionValue ask: the name of a pin; lora: all of it */

const FIRST_SWITCHES = ["recache", "soft", "cut", "blend"];
/** came later than pins' names and prompts that begin with them: a pin that has such a name keeps it */
const LATER_SWITCHES = ["jump", "fresh"];
export const SWITCHES = [...FIRST_SWITCHES, ...LATER_SWITCHES];
const FOREIGN = ["continuous", "smooth", "bridge", "hardcut", "hard cut", ...SWITCHES];
export const BLEND_CHUNKS = 4;
export const MAX_SEED = (1n << 64n) - 1n;
const MOST_STRENGTH = 20;
const PATHS = ["linear", "spherical"];

// what Python's str.strip removes, which is not quite what JavaScript's trim does
export const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const IS_SPACE = new RegExp(`^${SPACE}$`);
const GAPS = new RegExp(`${SPACE}+`);

const BLEND_LIKE = `blend(?:[ \\t]+(?:[-+]?[0-9.][\\p{L}\\p{N}_.]*|${PATHS.join("|")})){0,2}`;
const LORA_LIKE = "lora[ \\t]+[^\\[\\]]{1,300}[ \\t][-+]?[0-9.]{1,9}[ \\t]*(?=\\])";
// other programs' words, with which no prompt begins either
const MARK_LIKE = "(?:[Cc][Oo][Nn][Tt][Ii][Nn][Uu][Oo][Uu][Ss]|[Bb][Rr][Ii][Dd][Gg][Ee]|(?:[Hh][Aa][Rr][Dd] ?)?[Cc][Uu][Tt])[ \\t]*(?=\\])";
/** Matches what is read as an option wherever it stands, so that no prompt can start with it. */
// Every repetition is followed by something it cannot match itself, so that matching takes linear time.
export const OPTION_LIKE = new RegExp(
  `^[ \\t]*\\[[ \\t]*(?:seed[ \\t:=]*(?:[0-9]+[ \\t]*)?|${LORA_LIKE}|${MARK_LIKE}|(?:${FIRST_SWITCHES.join("|")}|${BLEND_LIKE})[ \\t]*)(?:\\]|:|$)`,
  "u",
);
const SEED = /^seed[ \t:=]+([0-9]{1,20})$/;
// Letters beyond ASCII are all characters but these, as in memflow_core's schedule: \p{L} would follow the version of
// Unicode, which is not Python's.
const NO_LETTER =
  "\\u0080-\\u00a9\\u00ab-\\u00b1\\u00b4\\u00b6-\\u00b8\\u00bb\\u00bf\\u00d7\\u00f7\\u1680\\u180e\\u2000-\\u206f\\u2190-" +
  "\\u21ff\\u3000-\\u3004\\u3008-\\u3020\\u3030\\u303d-\\u303f\\ud800-\\uf8ff\\ufe00-\\ufe6f\\ufeff\\uff00-\\uff0f" +
  "\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65\\uffe0-\\uffff\\u{e0000}-\\u{10ffff}";
const NAME = new RegExp(
  `^(?:[A-Za-z_]|[^\\x00-\\x7f${NO_LETTER}])(?:[A-Za-z0-9_-]|[^\\x00-\\x7f${NO_LETTER}]){0,39}$`,
  "u",
);

/** Python's str.rstrip. A pattern would look at inner spaces again and again. @param {string} text */
export function stripEnd(text) {
  let end = text.length;
  while (end > 0 && IS_SPACE.test(text[end - 1])) end--;
  return text.slice(0, end);
}

/** Python's str.strip. @param {string} text */
export function strip(text) {
  let start = 0;
  while (start < text.length && IS_SPACE.test(text[start])) start++;
  return stripEnd(text.slice(start));
}

/** Whether a pin can have this name. @param {string} name */
export function isPinName(name) {
  return NAME.test(name) && !FIRST_SWITCHES.includes(name) && name !== "seed";
}

/** Throws TextError unless a pin can have this name. @param {string} name */
export function checkPinName(name) {
  if (isPinName(name)) return;
  throw new TextError(
    `"${name.slice(0, 40)}" cannot be a pin's name: write a letter, then letters, digits, _ or -, but no option's name.`,
  );
}

/** Whether a name is a switch that a pin may be called by, too. @param {string} name */
export function isLaterSwitch(name) {
  return LATER_SWITCHES.includes(name);
}

/** Whether an option is a word of another program for a switch, or ours in another case. @param {string} option */
export function isForeignWord(option) {
  return !SWITCHES.includes(option) && FOREIGN.includes(option.toLowerCase().split(GAPS).join(" "));
}

/** A LoRA's name, without its strength. @param {string} option  `lora name 0.8` */
export function loraName(option) {
  return strip(strip(option.slice(4)).replace(/(?<=[ \t])[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)$/, "")).replaceAll("\\", "/");
}

/** Throws TextError unless a LoRA is named, with a strength or without. @param {string} option  `lora name 0.8` */
function checkLora(option) {
  const [name, rest] = [loraName(option), strip(option.slice(4))];
  const strength = Number(rest.slice(name.length));
  // what Python's str.isprintable refuses
  const unprintable = /(?! )[\p{C}\p{Z}]/u.test(name);
  // a number alone is a strength without a name
  if ((name === rest && /^[-+]?[0-9.]+$/.test(name)) || unprintable || name.length > 300 || Math.abs(strength) > MOST_STRENGTH) {
    throw new TextError(`[${option.slice(0, 40)}] must name a LoRA's file and may add a strength: [lora name 0.8].`);
  }
}

/** A seed's digits without zeros in front. Throws TextError. @param {string} digits */
export function readSeed(digits) {
  if (/^[0-9]{1,20}$/.test(digits) && BigInt(digits) <= MAX_SEED) return String(BigInt(digits));
  throw new TextError(`"${digits.slice(0, 30)}" is no seed: write a whole number from 0 to ${MAX_SEED}.`);
}

/** The value of an option. Throws TextError. @param {string} bracketed  with its brackets @returns {OptionValue} */
export function readOption(bracketed) {
  const text = strip(strip(bracketed).slice(1, -1));
  const seed = SEED.exec(text);
  if (seed) return { kind: "seed", value: readSeed(seed[1]) };
  if (/^lora[ \t]/.test(text)) {
    checkLora(text);
    return { kind: "lora", value: text };
  }
  if (FIRST_SWITCHES.includes(text) || blendOf(text)) return { kind: "switch", value: text };
  if (!isForeignWord(text)) checkPinName(text);
  return { kind: "ask", value: text };
}

/**
 * The value of a blend option; null for every other option. Throws TextError.
 * @param {string} option @returns {Blend | null}
 */
export function blendOf(option) {
  const [first, ...words] = strip(option).split(GAPS);
  if (first !== "blend") return null;
  const spherical = words.at(-1) === "spherical";
  if (PATHS.includes(words.at(-1) ?? "")) words.pop();
  if (!words.length) return { length: { value: BLEND_CHUNKS, unit: "chunks" }, spherical };
  const { time } = parseTime(/^[0-9]+$/.test(words[0]) ? `${words[0]}c` : words[0]);
  if (words.length > 1 || time.value <= 0 || !["chunks", "s"].includes(time.unit)) {
    throw new TextError(`[${option.slice(0, 30)}] must say chunks or seconds: write [blend 6], [blend 3s spherical].`);
  }
  return { length: time, spherical };
}

/** The length of a blend as written: `6` chunks or `3s`. @param {Blend} blend */
export function writeLength({ length }) {
  return length.unit === "s" ? `${length.value}s` : String(length.value);
}

/**
 * The option of a switch as written; "" for recache, which needs none.
 * @param {string} name @param {Blend | null} blend
 */
export function writeSwitch(name, blend) {
  if (name === "recache") return "";
  if (name !== "blend" || !blend) return name;
  const length = writeLength(blend);
  const written = length === String(BLEND_CHUNKS) && !blend.spherical ? "" : ` ${length}`;
  return `blend${written}${blend.spherical ? " spherical" : ""}`;
}
