// @ts-check
// Values that a node will run with: of its widgets, or of what feeds them, as far as the page can know. Pure: no page.
import { isConnected, linkAt, linkedSlot, outerInput, sourceOf, widgetOf } from "./graph.js";

/**
 * A widget's value, or the one that a primitive node or a subgraph's own widget gives it; undefined if only a run
 * computes it.
 * @param {ComfyNode} node @param {string} name
 */
export function valueOf(node, name) {
  const slot = linkedSlot(node, name);
  return slot < 0 ? widgetOf(node, name)?.value : linkedValue(node, slot);
}

/**
 * The value that a primitive node or a subgraph's own widget gives an input; undefined if another node does.
 * @param {ComfyNode} node @param {number} slot
 */
export function linkedValue(node, slot) {
  const source = sourceOf(node, slot);
  if (source) return source.type?.startsWith("Primitive") ? source.widgets?.[0]?.value : undefined;
  // out of subgraphs, to the node that shows a widget for the value
  for (let outer = outerInput(node, linkAt(node, slot)); outer?.node; outer = outerInput(node, linkAt(node, slot))) {
    ({ node, slot } = outer);
    const input = node.inputs?.[slot];
    if (!isConnected(node, slot)) return widgetOf(node, input?.widget?.name ?? input?.name)?.value;
  }
  return undefined;
}
