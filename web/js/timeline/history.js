// @ts-check
// Undo and redo of the schedule's text, which of its stories is played, and the global prompt.

const TYPING_MS = 1500;
const MOST = 200;

/**
 * length: the sampler's, in video frames, where a step has changed it.
 * @typedef {{text: string, globalPrompt: string, story: number, length?: number}} State
 */

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

  /**
   * Add a step.
   * @param {State} state @param {number | null} [length]  of the sampler before it, which a step that changes it brings back
   */
  step(state, length = null) {
    if (same(state, this.present)) return;
    if (state.length !== undefined && length !== null) this.present = { ...this.present, length };
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

/** Whether a state says nothing new. @param {State} state @param {State} before */
function same(state, before) {
  const longer = state.length !== undefined && state.length !== before.length;
  const values = /** @type {const} */ (["text", "globalPrompt", "story"]);
  return values.every((name) => state[name] === before[name]) && !longer;
}
