// @ts-check
// Find nodes, links and widgets in ComfyUI's graph. Graphs and nodes are passed in, so nothing here needs the page.

// node ids that a subgraph's links have for its own input and output
const [SUBGRAPH_INPUT, SUBGRAPH_OUTPUT] = [-10, -20];
// values of node.mode
const [MUTED, BYPASSED] = [2, 4];
// reroutes that a link is followed through, in case they form a circle
const MOST_STEPS = 100;

// -- nodes ----------------------------------------------------------------------------------------------------

/** The root graph of a graph, which may be a subgraph that is open. @param {any} graph */
export function rootOf(graph) {
  return graph.rootGraph ?? graph;
}

/** The nodes of a graph and of every subgraph in it. @param {any} graph @returns {any[]} */
export function allNodes(graph) {
  /** @type {any[]} */
  const nodes = graph?.nodes ?? [];
  return nodes.flatMap((node) => (node.subgraph ? [node, ...allNodes(node.subgraph)] : [node]));
}

/**
 * The node with an execution id: "12", or "4:12" for node 12 inside the subgraph node 4.
 * @param {any} root  the root graph
 * @param {string | number} executionId
 */
export function findNode(root, executionId) {
  const ids = String(executionId).split(":");
  const inner = /** @type {string} */ (ids.pop());
  return nodeById(ids.reduce((graph, id) => nodeById(graph, id)?.subgraph, root), inner);
}

/** The node that an event of a run names. @param {any} root  the root graph @param {any} detail  of the event */
export function findEventNode(root, detail) {
  return findNode(root, detail.display_node ?? detail.node);
}

/**
 * The node with a locator id, which outputs are kept under: "12", or "<subgraph>:12" in any node of that subgraph.
 * @param {any} root  the root graph
 * @param {string} locator
 */
export function findLocated(root, locator) {
  const ids = String(locator).split(":");
  const graph = ids.length > 1 ? root.subgraphs?.get(ids[0]) : root;
  return nodeById(graph, /** @type {string} */ (ids.at(-1)));
}

/** @param {any} graph @param {string} id */
function nodeById(graph, id) {
  return graph?.getNodeById(id) ?? graph?.getNodeById(Number(id)) ?? null;
}

/** A node that shows a subgraph. @param {any} graph  the subgraph */
export function instanceOf(graph) {
  return instancesOf(graph)[0] ?? null;
}

/** All nodes that show a subgraph. @param {any} graph */
function instancesOf(graph) {
  return allNodes(rootOf(graph)).filter((node) => node.subgraph === graph);
}

/** Whether a node is muted or bypassed. @param {any} node */
export function isIdle(node) {
  return [MUTED, BYPASSED].includes(node.mode);
}

// -- widgets --------------------------------------------------------------------------------------------------

/** A widget of a node by its name; undefined for none. @param {any} node @param {string | undefined} name */
export function widgetOf(node, name) {
  return node?.widgets?.find((/** @type {any} */ widget) => widget.name === name);
}

/** The input slot that a link feeds a widget through; -1 for none. @param {any} node @param {string} name */
export function linkedSlot(node, name) {
  return node.inputs?.findIndex((/** @type {any} */ input) => input.widget?.name === name && input.link != null) ?? -1;
}

/** Whether a link feeds a widget. @param {any} node @param {string} name */
export function isLinked(node, name) {
  return linkedSlot(node, name) >= 0;
}

// -- against the links' direction -----------------------------------------------------------------------------

/** The node that feeds an input, by the input's name. @param {any} node @param {string} name */
export function inputSource(node, name) {
  const slot = node.inputs?.findIndex((/** @type {any} */ input) => input.name === name) ?? -1;
  return slot < 0 ? null : sourceOf(node, slot);
}

/**
 * The node that feeds an input slot, looking through reroutes, bypassed nodes and subgraphs, inwards and outwards.
 * @param {any} node @param {number} slot
 */
export function sourceOf(node, slot) {
  for (let steps = 0; node && steps < MOST_STEPS; steps++) {
    const link = linkAt(node, slot);
    const outer = outerInput(node, link);
    if (outer) {
      ({ node, slot } = outer);
      continue;
    }
    const found = link?.resolve?.(node.graph);
    const source = found?.outputNode ?? node.getInputNode?.(slot) ?? null;
    if (!source || source.mode === MUTED) return null;
    if (source.mode === BYPASSED) [node, slot] = [source, sameType(source, link)];
    else if (source.subgraph) [node, slot] = [innerOutput(source, link.origin_slot), 0];
    else if (source.type === "Reroute") [node, slot] = [source, 0];
    else return source;
  }
  return null;
}

/** The link that comes in at a slot. @param {any} node @param {number} slot */
export function linkAt(node, slot) {
  // a subgraph node's own getInputLink finds links that go out of its inside
  if (!node.subgraph) return node.getInputLink?.(slot);
  const id = node.inputs?.[slot]?.link;
  return id == null ? null : node.graph?.getLink(id);
}

/**
 * The input of the subgraph node that a link inside the subgraph comes from; null for a link from a node.
 * @param {any} node  where the link ends @param {any} link
 */
export function outerInput(node, link) {
  if (Number(link?.origin_id) !== SUBGRAPH_INPUT) return null;
  return { node: instanceOf(node.graph), slot: link.origin_slot };
}

/** The input that a bypassed node hands on. @param {any} node @param {any} link */
function sameType(node, link) {
  return node.inputs?.findIndex((/** @type {any} */ input) => input.type === link?.type) ?? -1;
}

/** A stand-in for a node whose slot 0 is fed by what feeds an output inside a subgraph. @param {any} node @param {number} slot */
function innerOutput({ subgraph }, slot) {
  const id = subgraph.outputNode?.slots?.[slot]?.linkIds?.[0];
  return { graph: subgraph, getInputLink: () => (id === undefined ? null : subgraph.getLink(id)) };
}

// -- along the links ------------------------------------------------------------------------------------------

/** Where an output goes: nodes, each with its input slot. @param {any} node @param {any} output */
export function targetsOf(node, output) {
  return (output?.links ?? []).flatMap((/** @type {any} */ id) => linkTargets(node.graph, id));
}

/** Inside a subgraph, where what comes in at a slot goes. @param {any} node @param {number} slot */
export function innerTargets(node, slot) {
  const input = node.subgraph.inputs?.[slot];
  return (input?.linkIds ?? []).flatMap((/** @type {any} */ id) => linkTargets(node.subgraph, id));
}

/** Where a link ends, out of a subgraph in every node that shows it. @param {any} graph @param {any} linkId */
function linkTargets(graph, linkId) {
  const link = graph.getLink?.(linkId) ?? graph.links?.get?.(linkId);
  if (!link) return [];
  if (Number(link.target_id) !== SUBGRAPH_OUTPUT) {
    const node = graph.getNodeById(link.target_id);
    return node ? [{ node, slot: link.target_slot }] : [];
  }
  return instancesOf(graph).flatMap((node) => targetsOf(node, node.outputs[link.target_slot]));
}
