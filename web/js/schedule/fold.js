// @ts-check
// Write one character for many, as memflow_core's schedule does before it looks for times: full-width digits and colons,
// curly quotes, odd spaces. Invisible characters go.

/** As much of a line as a time with its marks and label may take. */
export const HEAD = 200;

const INVISIBLE = /[\u00ad\u200b-\u200f\u2060\u2066-\u2069\ufe0e\ufe0f\ufeff\u202a-\u202e]/g;
/** @type {[string, string][]} */
const SAME = [
  [" ", "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"],
  ['"', "\u201c\u201d\u201e\u201f\u301d\u301e"],
  ["'", "\u2018\u2019\u201a\u201b"],
  [":", "\u2236\ufe55\ufe13\ua789"],
  [",", "\ufe50"],
  ["-", "\u2010\u2011\u2012\u2212\ufe63"],
  ["[", "\u3010\u3014\u3016"],
  ["]", "\u3011\u3015\u3017"],
  ["<", "\u300a\u3008"],
  [">", "\u300b\u3009"],
  ["~", "\u301c\u223c"],
];
const TABLE = new Map(SAME.flatMap(([plain, odds]) => [...odds].map((odd) => /** @type {const} */ ([odd, plain]))));

/** Fold the start of a text. @param {string} text @param {number} most  characters */
export function fold(text, most = HEAD) {
  const head = text.slice(0, most);
  if (/^[\x20-\x7e]*$/.test(head)) return head;
  const plain = (/** @type {string} */ one) =>
    one >= "\uff01" && one <= "\uff5e" ? String.fromCharCode(one.charCodeAt(0) - 0xfee0) : (TABLE.get(one) ?? one);
  return head.replace(INVISIBLE, "").replace(/[^\x00-\x7f]/g, plain);
}
