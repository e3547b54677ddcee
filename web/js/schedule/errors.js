// @ts-check

/** What is wrong with a schedule's text, as one sentence. */
export class TextError extends Error {}
