// @ts-check
// Translate the texts of this pack's own elements into the language of the page. Pure: no page, no ComfyUI.
// The English text is the key, and is shown where a language has no translation of it.
import { formsOf, translated } from "./errors.js";
import { CHINESE } from "./zh.js";
import { CHINESE_ERRORS } from "./zh_errors.js";

/** @type {Record<string, Record<string, string>>} translations, by the names that the front end has for languages */
const LANGUAGES = { zh: CHINESE };

/** @type {Record<string, Record<string, string>>} */
const ERRORS = { zh: CHINESE_ERRORS };

/** @type {Record<string, string>} of the language in use */
let translations = {};
/** @type {ReturnType<typeof formsOf> | null} of its errors, as soon as one is told */
let errors = null;
let inUse = "en";

/** Use a language from now on, English where there are no translations. @param {string} language  such as zh */
export function setLanguage(language) {
  translations = LANGUAGES[language] ?? {};
  if (language !== inUse) errors = null;
  inUse = language;
  return language in LANGUAGES;
}

/**
 * Translate a text and fill in its values.
 * @param {string} english
 * @param {...(string | number)} values  for {0}, {1} ...
 */
export function say(english, ...values) {
  return (translations[english] ?? english).replace(/\{(\d)\}/g, (_, place) => String(values[Number(place)]));
}

/** @typedef {[string, ...(string | number | Message)[]]} Message  a text and its values, as the server sends them */

/** Translate a message of the server. @param {Message} message @returns {string} */
export function sayMessage([english, ...values]) {
  return say(english, ...values.map((value) => (Array.isArray(value) ? sayMessage(value) : value)));
}

/** Translate a sentence of the server or of the schedule's parser that says what is wrong. @param {string} sentence */
export function sayError(sentence) {
  errors ??= formsOf(ERRORS[inUse] ?? {});
  return translated(errors, sentence);
}
