// @ts-check
// The error of a schedule's text.

/** What is wrong with a schedule's text, as one sentence. */
export class TextError extends Error {}
