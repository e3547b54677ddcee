// @ts-check
// Make a change of the graph one step of ComfyUI's own undo.

/**
 * @template Result
 * @param {{emitBeforeChange(): void, emitAfterChange(): void}} canvas @param {() => Result} change @returns {Result}
 */
export function asOneStep(canvas, change) {
  canvas.emitBeforeChange();
  try {
    return change();
  } finally {
    // ComfyUI counts both: one without the other, and it would keep no steps any more
    canvas.emitAfterChange();
  }
}
