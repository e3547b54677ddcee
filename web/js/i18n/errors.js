// @ts-check
// Translate the sentences of errors, which come whole, with their values in them. Pure: no page, no ComfyUI.

/**
 * @typedef {object} Form  of a sentence, or of a value in one
 * @property {string[]} parts    what stands between the values
 * @property {string} other      its translation
 * @property {number} fixed      characters of the parts
 * @property {boolean} isWhole   whether it is a sentence, or what stands before one
 */
/** @typedef {{text: string, fixed: number}} Found  a translation, and how many characters of the English it has read */

/**
 * Forms of sentences: those that begin with a text of their own first, since of two readings of one sentence the line
 * that it is about stands outside.
 * @param {Record<string, string>} table by the English @returns {Form[]}
 */
export function formsOf(table) {
  const forms = Object.entries(table).map(([english, other]) => {
    const parts = english.split(/\{\d\}/);
    return { parts, other, fixed: parts.join("").length, isWhole: /[.?]$|: \{\d\}$/.test(english) };
  });
  const begins = (/** @type {Form} */ form) => Number(form.parts[0] !== "");
  return forms.sort((one, other) => begins(other) - begins(one));
}

/**
 * The values of a sentence, as short as can be from the left; null where it has another form.
 * @param {Form} form @param {string} sentence
 */
function valuesOf({ parts, isWhole }, sentence) {
  if (!isWhole && sentence.endsWith(".")) return null;
  const [first, ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return sentence === first ? [] : null;
  const end = sentence.length - last.length;
  let from = first.length;
  if (!sentence.startsWith(first) || !sentence.endsWith(last) || end < from) return null;
  const values = [];
  for (const part of rest) {
    const at = sentence.indexOf(part, from);
    if (at < 0 || at + part.length > end) return null;
    values.push(sentence.slice(from, at));
    from = at + part.length;
  }
  return [...values, sentence.slice(from, end)];
}

const CHINESE = /[\u4e00-\u9fff]/;

/** A text with its values, without spaces between Chinese words. @param {string} text @param {Found[]} values */
function filled(text, values) {
  return text.replace(/( ?)\{(\d)\}( ?)/g, (_, before, place, behind) => {
    const value = values[Number(place)].text;
    return (CHINESE.test(value.slice(0, 1)) ? "" : before) + value + (CHINESE.test(value.slice(-1)) ? "" : behind);
  });
}

/**
 * Translate a sentence by the form that reads most of it, and values that have a form of their own; the rest stays.
 * @param {Form[]} forms @param {string} sentence
 */
export function translated(forms, sentence) {
  /** @type {Map<string, Found>} */
  const known = new Map();
  const read = (/** @type {string} */ text) => {
    const before = known.get(text);
    if (before) return before;
    let best = { text, fixed: 0 };
    // a form that is nothing but its value would never end
    known.set(text, best);
    for (const form of forms) {
      const values = valuesOf(form, text)?.map(readValue);
      const fixed = values?.reduce((sum, value) => sum + value.fixed, form.fixed) ?? 0;
      if (!values || fixed <= best.fixed) continue;
      best = { text: filled(form.other, values), fixed };
    }
    known.set(text, best);
    return best;
  };
  // a sentence in brackets has no full stop
  const readValue = (/** @type {string} */ text) => {
    const part = read(text);
    if (text.endsWith(".")) return part;
    const whole = read(`${text}.`);
    return whole.fixed > part.fixed + 1 ? { text: whole.text.replace(/[.。]$/, ""), fixed: whole.fixed - 1 } : part;
  };
  return read(sentence).text;
}
