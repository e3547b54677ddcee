// @ts-check
// Read schedules of any form: the text form here, every other form through the server.
import { say, sayMessage } from "../i18n/say.js";
import { TextError } from "../schedule/errors.js";
import { isForeign, parseText } from "../schedule/text.js";
import { readSchedule } from "./operations.js";

/** @typedef {import("./operations.js").PlacedSchedule} PlacedSchedule */
/** @typedef {import("./host.js").Host} Host */
/** @typedef {import("../i18n/say.js").Message} Message */
/**
 * @typedef {object} ReadResult
 * @property {PlacedSchedule | null} schedule
 * @property {string} problem   why there is none
 * @property {Message[]} notes  what the server left out
 */

const WAIT_MS = 300;

/**
 * Read the text form; null for anything else.
 * @param {string} text @param {Host} host
 * @param {number} [frames]  the sampler's length, if it is to be another than it is @returns {PlacedSchedule | null}
 */
export function readTextForm(text, host, frames) {
  if (isForeign(text)) return null;
  try {
    const setting = host.setting();
    return readSchedule(text, frames === undefined ? setting : { ...setting, frames }, host.globalPrompt());
  } catch (error) {
    if (error instanceof TextError) return null;
    throw error;
  }
}

/** Read a schedule in any form. @param {string} text @param {Host} host @returns {Promise<ReadResult>} */
export async function readAnyForm(text, host) {
  const own = readTextForm(text, host);
  if (own) return { schedule: own, problem: "", notes: [] };
  const answer = await host.convert(text);
  const schedule = answer.text === undefined ? null : readTextForm(answer.text, host);
  return { schedule, problem: answer.error ?? problemOf(text), notes: answer.said ?? [] };
}

/** What was understood of a text, in words: `3 prompts; 2 lines left out (1, 9)`. @param {ReadResult} result */
export function understood({ schedule, notes }) {
  const count = schedule?.plan.placed.length ?? 0;
  const prompts = count === 1 ? say("1 prompt") : say("{0} prompts", count);
  return [prompts, ...notes.map(sayMessage)].join("; ");
}

/** What is wrong with a text in the text form. @param {string} text */
function problemOf(text) {
  try {
    parseText(text);
  } catch (error) {
    if (error instanceof TextError) return error.message;
    throw error;
  }
  return "This schedule cannot be read.";
}

/** Reads the node's text through the server, once it is no longer being typed. */
export class DelayedReader {
  /** @param {Host} host @param {(result: ReadResult) => void} onResult */
  constructor(host, onResult) {
    this.host = host;
    this.onResult = onResult;
    this.turn = 0;
  }

  /** @param {string} text */
  read(text) {
    const turn = ++this.turn;
    const isCurrent = () => turn === this.turn && this.host.text() === text;
    setTimeout(async () => {
      if (!isCurrent()) return;
      const result = await readAnyForm(text, this.host);
      if (isCurrent()) this.onResult(result);
    }, WAIT_MS);
  }
}
