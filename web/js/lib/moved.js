// @ts-check
// Nodes that a conversion to a subgraph, or one back, makes anew in another place: where each of them stood before. Graphs
// and nodes are passed in, so nothing here needs the page.
import { allNodes } from "./graph.js";
import { placeOf } from "./lasting.js";

/** @typedef {{from: string, to: string}} Move  places of one node, as `placeOf` has them */

/**
 * What a node is known by, wherever it stands: its kind, and its values as well, which a conversion may change.
 * @typedef {{kind: string, all: string}} Looks
 */

/** @param {ComfyNode} node @returns {Looks} */
function looksOf({ comfyClass, title, widgets = [] }) {
  const kind = JSON.stringify([comfyClass, title]);
  const values = widgets.filter(({ serialize }) => serialize !== false).map(({ name, value }) => [name, value]);
  return { kind, all: JSON.stringify([kind, values]) };
}

export class Places {
  constructor() {
    /** @type {ComfyId | undefined} the graph that was looked at */
    this.graph = undefined;
    /** @type {Map<string, Looks>} its nodes, by place */
    this.nodes = new Map();
  }

  /**
   * Look at the graph, and tell which nodes stand in another place than before: one is gone, and one that looks the same, or
   * is the only one of its kind that could be it, is new. Nothing is told of another graph than the last.
   * @param {ComfyGraph} root @param {(node: ComfyNode) => boolean} counts  which nodes are looked at
   * @returns {Move[]}
   */
  look(root, counts) {
    const before = this.graph === root.id ? this.nodes : new Map();
    this.graph = root.id;
    this.nodes = new Map();
    for (const node of allNodes(root).filter(counts)) {
      const place = placeOf(root, node);
      if (place) this.nodes.set(place, looksOf(node));
    }
    const gone = without(before, this.nodes);
    const fresh = without(this.nodes, before);
    return [...pairs(gone, fresh, "all"), ...pairs(gone, fresh, "kind")];
  }
}

/** What only the first of two has. @param {Map<string, Looks>} one @param {Map<string, Looks>} other */
function without(one, other) {
  return new Map([...one].filter(([place]) => !other.has(place)));
}

/**
 * Take the pairs out of two maps that look the same, and as no third does: of two such, which is which is not known.
 * @param {Map<string, Looks>} gone @param {Map<string, Looks>} fresh @param {"all" | "kind"} by
 */
function pairs(gone, fresh, by) {
  /** @type {Move[]} */
  const found = [];
  for (const [from, looks] of [...gone]) {
    const [left, come] = [gone, fresh].map((nodes) => [...nodes].filter(([, one]) => one[by] === looks[by]));
    if (left.length !== 1 || come.length !== 1) continue;
    const [[to]] = come;
    found.push({ from, to });
    gone.delete(from);
    fresh.delete(to);
  }
  return found;
}
