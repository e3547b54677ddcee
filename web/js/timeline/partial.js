// @ts-check
// What a timeline shows of a text with faulty lines: the rest of it, and where those lines stand.
import { frameOf } from "../schedule/grid.js";
import { readPart } from "../schedule/partial.js";
import { planOf } from "../schedule/plan.js";
import { isForeign } from "../schedule/text.js";

/** @typedef {{line: number, at_s: number, message: string}} BadMark a line that cannot be read, and where it stands */
/** @typedef {{schedule: import("./operations.js").PlacedSchedule, bad: BadMark[]}} Part */

/**
 * Read what can be read of a text that has faults; null where that is nothing.
 * @param {string} text @param {import("./host.js").Host} host @returns {Part | null}
 */
export function partOf(text, host) {
  const read = isForeign(text) ? null : readPart(text);
  if (!read) return null;
  const [setting, globalPrompt] = [host.setting(), host.globalPrompt()];
  const { document } = read;
  const plan = planOf(document, setting, globalPrompt);
  const bad = read.bad.map(({ line, time, message }) => {
    const next = plan.placed.find(({ segment }) => segment.lines[0] > line);
    const at_s = time ? frameOf(time, setting, plan.chunks) / setting.fps : (next?.start_s ?? plan.end_s ?? plan.length_s);
    return { line, at_s: Math.min(at_s, plan.length_s), message };
  });
  return { schedule: { text, document, setting, globalPrompt, plan }, bad };
}
