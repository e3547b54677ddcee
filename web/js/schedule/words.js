// @ts-check
// Words of a prompt that are not read as they are written: times within a line, negatives, expressions in backticks.
import { fold } from "./fold.js";

export const UNIT = "(?:[A-Za-z]{1,12}|[\\u0400-\\u04ff]{1,12}|%|[\\u3040-\\u30ff\\u4e00-\\u9fff\\uac00-\\ud7af])";
export const NUMBER = "(?:[0-9]{1,13}(?:[.,][0-9]{1,9})?|\\.[0-9]{1,9})";
export const DASHES = "[-=<>\\u2013\\u2014\\u2015~]{1,4}|\\.{2,3}|[\\u2026\\u2192\\u21d2\\u279c\\u81f3\\u5230]";
export const JOIN = `[ \\t]{0,3}(?:${DASHES}|to|until|till|through|and|bis|\\u00e0|a)\\u7b2c?[ \\t]{0,3}[0-9]`;
export const KNOWN =
  "(?:ms|msec|milliseconds|s|secs?|seconds?|sek|sekunden?|seg|segundos?|secondes?|second[io]|[\\u0400-\\u04ff]{1,8}|mins?|minutes?|h|hrs?|hours?|f|fr|frames?|c|chunks?|l|latents?|percent|%)(?![a-z])";

const FLAG = /(?:^|[\s|])--(?:neg|negative|no)(?![\w-])/i;
const MATHS = /[0-9+*/()=<>^%_]|^\s*-?[tx]\s*$/;
const INLINE_KEY = new RegExp(`[0-9](?:${UNIT}|[ \\t]${KNOWN})?[ \\t]{0,2}[:=](?!\\p{Nd})`, "giu");
const QUOTED_KEY = /["'\u201c\u201d][0-9]{1,13}:?["'\u201c\u201d][ \t]{0,3}[:=\uff1a]/g;
const INLINE_BRACKET = new RegExp(`[([<][ \\t]?${NUMBER}(?::[0-9]|[ \\t]?${UNIT}|${JOIN})`, "gi");

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
  return maths || curly || quoted || FLAG.test(words);
}

/** How many times stand within words: those in front of a colon, and all. @param {string} words */
export function inlineTimes(words) {
  const folded = fold(words, words.length);
  const keys = count(INLINE_KEY, folded);
  return { keys, all: keys + count(INLINE_BRACKET, folded) + count(QUOTED_KEY, words) };
}

/** Whether words are read as they are written, without double quotes. @param {string} words */
export function arePlain(words) {
  return !hasLeftovers(words) && !inlineTimes(words).all;
}
