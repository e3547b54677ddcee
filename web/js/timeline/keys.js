// @ts-check
// The actions of keys while a segment has the focus.

/** @typedef {[action: string, amount?: number]} Act */

const DIRECTIONS = { ArrowLeft: -1, ArrowRight: 1 };
/** @type {Record<string, Act>} */
const PLAIN = {
  Home: ["focusEnd", -1],
  End: ["focusEnd", 1],
  Enter: ["edit"],
  F2: ["edit"],
  Delete: ["remove"],
  Backspace: ["remove"],
  Insert: ["add"],
  a: ["add"],
  s: ["split"],
  d: ["duplicate"],
  p: ["pin"],
  "+": ["zoom", 1],
  "=": ["zoom", 1],
  "-": ["zoom", -1],
  0: ["fit"],
  z: ["zoomToPrompt"],
};

/**
 * The action of a key; null for none.
 * @param {{key: string, shiftKey: boolean, altKey: boolean, ctrlKey: boolean, metaKey: boolean}} event
 * @returns {Act | null}
 */
export function actionOf({ key, shiftKey, altKey, ctrlKey, metaKey }) {
  const command = ctrlKey || metaKey;
  const direction = DIRECTIONS[/** @type {keyof typeof DIRECTIONS} */ (key)];
  if (direction) {
    if (command) return ["moveCursor", direction];
    if (altKey && shiftKey) return ["retimeFrames", direction];
    if (altKey) return ["move", direction];
    return [shiftKey ? "retime" : "focusBy", direction];
  }
  const letter = key.toLowerCase();
  if (command && !altKey) {
    if (letter === "z") return [shiftKey ? "redo" : "undo"];
    if (letter === "y" && !shiftKey) return ["redo"];
    if (letter === "d" && !shiftKey) return ["duplicate"];
  }
  if (command || altKey) return null;
  // "+" needs shift on some keyboards
  if (shiftKey && key !== "+") return null;
  return PLAIN[key] ?? PLAIN[letter] ?? null;
}

/**
 * The action of a key while the story's end has the focus; null for none.
 * @param {{key: string, ctrlKey: boolean, metaKey: boolean, altKey: boolean}} event @returns {Act | null}
 */
export function endActionOf({ key, ctrlKey, metaKey, altKey }) {
  const direction = DIRECTIONS[/** @type {keyof typeof DIRECTIONS} */ (key)];
  return direction && !ctrlKey && !metaKey && !altKey ? ["end", direction] : null;
}
