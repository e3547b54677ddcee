// @ts-check
// Undo and redo of the schedule's text and the global prompt.

const TYPING_MS = 1500;
const MOST = 200;

/** @typedef {{text: string, globalPrompt: string}} State */

export class History {
  /** @param {State} state */
  constructor(state) {
    /** @type {State[]} */
    this.past = [];
    /** @type {State[]} */
    this.future = [];
    this.present = state;
    this.typedAt = -Infinity;
  }

  /** Add a step. @param {State} state */
  step(state) {
    if (same(state, this.present)) return;
    this.past = [...this.past, this.present].slice(-MOST);
    this.present = state;
    this.future = [];
    this.typedAt = -Infinity;
  }

  /**
   * Add a change made elsewhere. Typing without a pause is one step.
   * @param {State} state @param {number} now_ms
   */
  typed(state, now_ms) {
    if (same(state, this.present)) return;
    if (now_ms - this.typedAt < TYPING_MS) {
      this.present = state;
      this.future = [];
    } else this.step(state);
    this.typedAt = now_ms;
  }

  /** The state before, or null. */
  undo() {
    const before = this.past.pop();
    if (!before) return null;
    this.future.push(this.present);
    return this.show(before);
  }

  /** The state that was undone, or null. */
  redo() {
    const after = this.future.pop();
    if (!after) return null;
    this.past.push(this.present);
    return this.show(after);
  }

  /** @param {State} state */
  show(state) {
    this.present = state;
    this.typedAt = -Infinity;
    return state;
  }
}

function same(/** @type {State} */ one, /** @type {State} */ other) {
  return one.text === other.text && one.globalPrompt === other.globalPrompt;
}
