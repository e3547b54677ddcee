// @ts-check
// What the page knows of a node beyond the node's own life: undo, another tab and a loaded graph make all nodes anew.

const MOST = 200;
// of a graph that has none of its own yet
const NO_ID = /^[0-]*$/;

/**
 * Where a node stands, the same for a node that is made anew in its place; null in a graph without an id.
 * @param {ComfyGraph} root  the root graph @param {ComfyNode} node
 */
export function placeOf(root, node) {
  const { id } = root;
  if (!id || NO_ID.test(String(id))) return null;
  const inner = node.graph && node.graph !== root ? `${node.graph.id}:` : "";
  return `${id}/${inner}${node.id}`;
}

/**
 * Values by the place of a node.
 * @template Value
 */
export class Lasting {
  constructor() {
    /** @type {Map<string, Value>} the oldest first */
    this.values = new Map();
  }

  /** @param {string | null} place */
  get(place) {
    return place === null ? undefined : this.values.get(place);
  }

  /** @param {string | null} place @param {Value} value */
  set(place, value) {
    if (place === null) return;
    this.values.delete(place);
    this.values.set(place, value);
    if (this.values.size > MOST) this.values.delete(/** @type {string} */ (this.values.keys().next().value));
  }

  /**
   * Nodes have moved: what was known of each is known of its new place, and of the old one, where undo brings it back.
   * @param {import("./moved.js").Move[]} moves
   */
  follow(moves) {
    for (const { from, to } of moves) {
      const value = this.get(from);
      if (value !== undefined) this.set(to, value);
    }
  }
}
