// @ts-check
// The error of a schedule's text.

/** What is wrong with a schedule's text, as one sentence. */
export class TextError extends Error {}

/** A time whose unit is unknown here; the server knows more. */
export class UnitError extends TextError {}
