// @ts-check
// Words of a prompt that are not read as they are written: times within a line, negatives, expressions in backticks.
import { fold } from "./fold.js";
import { SPACE } from "./options.js";
import { TO_SIGNS, TO_WORDS, UNITS, oneOf } from "./vocabulary.js";

export const UNIT = "(?:[A-Za-z]{1,12}|[\\u0400-\\u04ff]{1,12}|%|[\\u3040-\\u30ff\\u4e00-\\u9fff\\uac00-\\ud7af])";
export const NUMBER = "(?:[0-9]{1,13}(?:[.,][0-9]{1,9})?|\\.[0-9]{1,9})";
const SIGNS = `[-=<>\\u2013\\u2014\\u2015~]{1,4}|\\.{2,3}|[\\u2026\\u2192\\u21d2\\u279c]|${oneOf(TO_SIGNS)}`;
export const JOIN = `[ \\t]{0,3}(?:${SIGNS}|${oneOf(TO_WORDS)})\\u7b2c?[ \\t]{0,3}[0-9]`;
export const KNOWN = `${oneOf(UNITS)}(?![a-z\\u0400-\\u04ff])`;

const FLAG = new RegExp(`(?:^|[|]|${SPACE})--(?:neg|negative|no)(?![\\w-])`, "i");
const MATHS = /[0-9+*/()=<>^%_]|^\s*-?[tx]\s*$/;
const INLINE_KEY = new RegExp(`[0-9](?:${UNIT}|[ \\t]${KNOWN})?[ \\t]{0,2}[:=](?!\\p{Nd})`, "giu");
const QUOTED_KEY = /["'\u201c\u201d][0-9]{1,13}:?["'\u201c\u201d][ \t]{0,3}[:=\uff1a]/g;
const INLINE_BRACKET = new RegExp(`[([<][ \\t]?${NUMBER}(?::[0-9]|[ \\t]?${UNIT}|${JOIN})`, "gi");

const WITHIN =
  /[|.;,(\[\u3002\uff0c\uff1b\uff08 \t][ \t]?[*_]{0,3}(?:negative[ _-]?(?:prompts?)?|avoid|do not include)[*_]{0,3}[ \t]{0,3}[:\uff1a]/i;
/** What stands before or around the prompts of a list, or closes it as a tag: not words of a prompt. */
const MARKED = /^[\p{So}\p{Sm}]|^[=>/|\u2026\u2022\u00b7\u3002\u3001\u30fb\u27a1\u25b6\u2192\u279c\u00bb\u2013\u2014*_\u00ab\u300c\u2018-]|[[<]\/[0-9]/u;
const TIMELY = new RegExp(
  `\\p{Nd}[ \\t-]{0,3}${KNOWN}|(?<!\\p{L})${oneOf(UNITS)}\\.?[ \\t]?\\p{Nd}|\\p{Nd}:\\p{Nd}{2}|\\u79d2|PT\\p{Nd}|\\p{Nd}[ \\t]?[-\\u2013\\u2014~][ \\t]?\\p{Nd}`,
  "iu",
);
const DECADES = /(?<!\p{Nd})(?:\p{Nd}{0,3}[2-9]0|00)s(?!\p{L})/gu;
const OWN_TIME = /^[([{<*_~`/|,;:=>\u2013\u2014\u2192 \t-]*\p{Nd}/u;
const NUMERAL = /^[-+(]*[0-9]+(?:\.[0-9]*)?[)]*$/;
const GROUPS = /\p{Nd}+(?:[.,:]\p{Nd}+)*|[\u4e00-\u5341]\u79d2/gu;
const INNOCENT = /(?:^|[ \t])[0-9]{1,3}[.)][ \t]|:[0-9](?:\.[0-9]+)?[)\]>]/gm;

/** Whether words begin as no prompt does without double quotes: with a mark, or with what may be a second time. @param {string} words */
export function beginsOdd(words) {
  return MARKED.test(words) || NUMERAL.test(words) || (OWN_TIME.test(words) && TIMELY.test(words.slice(0, 60))) || /^[[{<]?\p{Nd}+[\]}>:](?!\p{Nd})/u.test(words);
}

/** Whether words hold what may be a time, wherever it stands. @param {string} words */
export function isTimely(words) {
  return TIMELY.test(fold(words, words.length).replace(DECADES, ""));
}

/** How many numbers stand in a text that may be times. @param {string} text */
export function countNumbers(text) {
  return count(GROUPS, isTimely(text) ? text : text.replace(INNOCENT, " "));
}

/** How often a global pattern is found. @param {RegExp} pattern @param {string} text */
function count(pattern, text) {
  return [...text.matchAll(pattern)].length;
}

/** Whether words hold what is left out of a prompt, or stand in curly quotes. @param {string} words */
export function hasLeftovers(words) {
  const ticked = words.split("`");
  const maths = ticked.length > 1 && (ticked.length % 2 === 0 || ticked.some((part, at) => at % 2 && MATHS.test(part)));
  const curly = /^[\u201c-\u201e]/.test(words) && (/[\u201c-\u201e]$/.test(words) || !/[\u201c-\u201e]/.test(words.slice(1)));
  const quoted = words.startsWith("'") && /',?$/.test(words);
  return WITHIN.test(words) || maths || curly || quoted || FLAG.test(words);
}

/** How many times stand within words: those in front of a colon, and all. @param {string} words */
export function inlineTimes(words) {
  const folded = fold(words, words.length);
  const keys = count(INLINE_KEY, folded);
  return { keys, all: keys + count(INLINE_BRACKET, folded) + count(QUOTED_KEY, words) };
}

/** Whether words are read as they are written, without double quotes. @param {string} words */
export function arePlain(words) {
  return !hasLeftovers(words) && !inlineTimes(words).all && !beginsOdd(words) && !TIMELY.test(words);
}
