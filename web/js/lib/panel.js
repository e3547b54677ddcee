// @ts-check

/** Make a new node high enough for its widgets. Vue nodes see to that themselves. @param {any} node */
export function makeRoom(node) {
  if (/** @type {any} */ (window).LiteGraph?.vueNodesMode) return;
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
}
