// @ts-check
// The error of a schedule's text.

/** What is wrong with a schedule's text, as one sentence. */
export class TextError extends Error {
  /** @param {string} sentence @param {number | null} line  that it is about, from 0, as far as it is about one */
  constructor(sentence, line = null) {
    super(sentence);
    this.line = line;
  }
}

/** A time whose unit is unknown here; the server knows more. */
export class UnitError extends TextError {}
