// @ts-check
// What this pack's own elements say, in the language of the page. Pure: no page, no ComfyUI.
// The English text is the key, and is what is said where a language has no word for it.
import { CHINESE } from "./zh.js";

/** @type {Record<string, Record<string, string>>} by the names that the front end has for languages */
const LANGUAGES = { zh: CHINESE };

/** @type {Record<string, string>} */
let chosen = {};

/** Speak a language from now on, English where there is no other. @param {string} language  such as zh */
export function speak(language) {
  chosen = LANGUAGES[language] ?? {};
  return language in LANGUAGES;
}

/**
 * A text in the language that was chosen.
 * @param {string} english
 * @param {...(string | number)} values  for {0}, {1} ...
 */
export function say(english, ...values) {
  return (chosen[english] ?? english).replace(/\{(\d)\}/g, (_, place) => String(values[Number(place)]));
}

/** @typedef {[string, ...(string | number | Said)[]]} Said  a text and what is filled in, as the server has it */

/** A sentence of the server. @param {Said} said @returns {string} */
export function sayAgain([english, ...values]) {
  return say(english, ...values.map((value) => (Array.isArray(value) ? sayAgain(value) : value)));
}
