// @ts-check
// Schedules of any form: the text form is read here, every other one by the server.
import { readStory } from "./operations.js";
import { isForeign, parseText } from "../schedule/text.js";
import { TextError } from "../schedule/errors.js";

/** @typedef {import("./operations.js").Story} Story */
/** @typedef {import("./timeline.js").Host} Host */
/** @typedef {{story: Story | null, problem: string}} Found a story, or why there is none */

const ASK_AFTER_MS = 300;

/** A story in the text form; null for anything else. @param {string} text @param {Host} host @returns {Story | null} */
export function readOwn(text, host) {
  if (isForeign(text)) return null;
  try {
    return readStory(text, host.setting(), host.globalPrompt());
  } catch (error) {
    if (error instanceof TextError) return null;
    throw error;
  }
}

/** A story in any form. @param {string} text @param {Host} host @returns {Promise<Found>} */
export async function readAny(text, host) {
  const own = readOwn(text, host);
  if (own) return { story: own, problem: "" };
  const answer = await host.convert(text);
  const story = answer.text === undefined ? null : readOwn(answer.text, host);
  return { story, problem: answer.error ?? problemOf(text) };
}

/** What is wrong with a text, as far as this page can tell. @param {string} text */
function problemOf(text) {
  try {
    parseText(text);
  } catch (error) {
    if (error instanceof TextError) return error.message;
    throw error;
  }
  return "This schedule cannot be read.";
}

/** Asks the server about the node's text, once it is no longer being typed. */
export class Elsewhere {
  /** @param {Host} host @param {(found: Found) => void} then */
  constructor(host, then) {
    this.host = host;
    this.then = then;
    this.turn = 0;
  }

  /** @param {string} text */
  ask(text) {
    const turn = ++this.turn;
    const current = () => turn === this.turn && this.host.text() === text;
    setTimeout(async () => {
      if (!current()) return;
      const found = await readAny(text, this.host);
      if (current()) this.then(found);
    }, ASK_AFTER_MS);
  }
}
