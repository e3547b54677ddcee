// @ts-check
// Find nodes, links and widgets in ComfyUI's graph. Graphs and nodes are passed in, so nothing here needs the page.

/** @typedef {{node: ComfyNode, slot: number}} Target  an end of a link */

// node ids that a subgraph's links have for its own input and output
const [SUBGRAPH_INPUT, SUBGRAPH_OUTPUT] = [-10, -20];
// values of node.mode
const [MUTED, BYPASSED] = [2, 4];
// reroutes that a link is followed through, in case they form a circle
const MOST_STEPS = 100;

// -- nodes ----------------------------------------------------------------------------------------------------

/** The root graph of a graph, which may be a subgraph that is open. @param {ComfyGraph} graph */
export function rootOf(graph) {
  return graph.rootGraph ?? graph;
}

/** The nodes of a graph and of every subgraph in it. @param {ComfyGraph} graph @returns {ComfyNode[]} */
export function allNodes(graph) {
  return graph.nodes.flatMap((node) => (node.subgraph ? [node, ...allNodes(node.subgraph)] : [node]));
}

/**
 * The node with an execution id: "12", or "4:12" for node 12 inside the subgraph node 4.
 * @param {ComfyGraph} root  the root graph
 * @param {ComfyId} executionId
 */
export function findNode(root, executionId) {
  const ids = String(executionId).split(":");
  const inner = /** @type {string} */ (ids.pop());
  /** @type {ComfyGraph | undefined} */
  let graph = root;
  for (const id of ids) graph = nodeById(graph, id)?.subgraph;
  return nodeById(graph, inner);
}

/**
 * The execution id of a node, by which `findNode` finds it; "" for one that is not in the graph. Of a subgraph that
 * several nodes show, the first.
 * @param {ComfyGraph} graph  the root graph @param {ComfyNode} node @returns {string}
 */
export function executionIdOf(graph, node) {
  for (const one of graph.nodes) {
    if (one === node) return String(one.id);
    const inner = one.subgraph && executionIdOf(one.subgraph, node);
    if (inner) return `${one.id}:${inner}`;
  }
  return "";
}

/**
 * The node that an event of a run names; null where the run is that of another graph.
 * @param {ComfyGraph} root  the root graph
 * @param {{node: ComfyId, display_node?: ComfyId, workflow?: string | null}} detail  of the event
 */
export function findEventNode(root, detail) {
  if (detail.workflow && root.id && detail.workflow !== root.id) return null;
  return findNode(root, detail.display_node ?? detail.node);
}

/**
 * The node with a locator id, which outputs are kept under: "12", or "<subgraph>:12" in any node of that subgraph.
 * @param {ComfyGraph} root  the root graph
 * @param {string} locator
 */
export function findLocated(root, locator) {
  const ids = locator.split(":");
  const graph = ids.length > 1 ? root.subgraphs?.get(ids[0]) : root;
  return nodeById(graph, /** @type {string} */ (ids.at(-1)));
}

/** @param {ComfyGraph | undefined} graph @param {string} id */
function nodeById(graph, id) {
  return graph?.getNodeById(id) ?? graph?.getNodeById(Number(id)) ?? null;
}

/** All nodes that show a subgraph. @param {ComfyGraph} graph  the subgraph */
function instancesOf(graph) {
  return allNodes(rootOf(graph)).filter((node) => node.subgraph === graph);
}

/** Whether a node is muted or bypassed. @param {ComfyNode} node */
export function isIdle(node) {
  return [MUTED, BYPASSED].includes(node.mode);
}

// -- widgets --------------------------------------------------------------------------------------------------

/** A widget of a node by its name. @param {ComfyNode | null | undefined} node @param {string | undefined} name */
export function widgetOf(node, name) {
  return node?.widgets?.find((widget) => widget.name === name);
}

/** A widget that a node must have. @param {ComfyNode} node @param {string} name */
export function requiredWidget(node, name) {
  const widget = widgetOf(node, name);
  if (!widget) throw new Error(`${node.type} has no widget ${name}`);
  return widget;
}

/** The input slot that a link feeds a widget through; -1 for none. @param {ComfyNode} node @param {string} name */
export function linkedSlot(node, name) {
  return node.inputs?.findIndex((input, slot) => input.widget?.name === name && isConnected(node, slot)) ?? -1;
}

/** Whether a link feeds a widget. @param {ComfyNode} node @param {string} name */
export function isLinked(node, name) {
  return linkedSlot(node, name) >= 0;
}

// -- links ----------------------------------------------------------------------------------------------------
// Links are asked of nodes and graphs: newer front ends warn where a slot's own `link` or `links` is read.

/** Whether a link comes in at an input slot. @param {ComfyLinkEnd} node @param {number} slot */
export function isConnected(node, slot) {
  return node.isInputConnected?.(slot) ?? node.inputs?.[slot]?.link != null;
}

/** All links of a graph; null where it does not tell. @param {ComfyGraph} graph */
function allLinks(graph) {
  return graph.links?.values ? [...graph.links.values()] : null;
}

/** @param {ComfyId} one @param {ComfyId | undefined} other */
function isSame(one, other) {
  return String(one) === String(other);
}

/** The links that go out at an output slot. @param {ComfyNode} node @param {number} slot @returns {ComfyLink[]} */
function linksFrom(node, slot) {
  const { graph, outputs } = node;
  if (!graph || slot < 0) return [];
  const links = allLinks(graph);
  if (links) return links.filter((link) => isSame(link.origin_id, node.id) && link.origin_slot === slot);
  return (outputs[slot]?.links ?? []).map((id) => graph.getLink(id)).filter((link) => link != null);
}

/** How many links go out at an output slot. @param {ComfyNode} node @param {number} slot */
export function linkCount(node, slot) {
  const { graph, outputs } = node;
  return graph && allLinks(graph) ? linksFrom(node, slot).length : (outputs[slot]?.links?.length ?? 0);
}

/** The link that comes in at a slot. @param {ComfyLinkEnd} node @param {number} slot */
export function linkAt(node, slot) {
  // a subgraph node's own getInputLink finds links that go out of its inside
  if (!node.subgraph) return node.getInputLink?.(slot);
  const { graph, id, inputs } = node;
  if (!graph) return null;
  const links = allLinks(graph);
  if (links) return links.find((link) => isSame(link.target_id, id) && link.target_slot === slot) ?? null;
  const link = inputs?.[slot]?.link;
  return link == null ? null : graph.getLink(link);
}

// -- against the links' direction -----------------------------------------------------------------------------

/** The node that feeds an input, by the input's name. @param {ComfyNode} node @param {string} name */
export function inputSource(node, name) {
  const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
  return slot < 0 ? null : sourceOf(node, slot);
}

/**
 * The node that feeds an input slot, looking through reroutes, bypassed nodes and subgraphs, inwards and outwards.
 * @param {ComfyLinkEnd} node @param {number} slot
 */
export function sourceOf(node, slot) {
  return originOf(node, slot)?.node ?? null;
}

/**
 * The node that feeds an input slot, as `sourceOf` finds it, and which of its outputs does.
 * @param {ComfyLinkEnd} node @param {number} slot @returns {Target | null}
 */
export function originOf(node, slot) {
  /** @type {{node: ComfyLinkEnd | null, slot: number}} */
  let end = { node, slot };
  for (let steps = 0; end.node && steps < MOST_STEPS; steps++) {
    const link = linkAt(end.node, end.slot);
    const outer = outerInput(end.node, link);
    if (outer) {
      end = outer;
      continue;
    }
    // an input of a subgraph node that shows a widget and has no link: newer front ends fall over it
    if (!link && "subgraph" in end.node && end.node.subgraph) return null;
    const source = link?.resolve?.(end.node.graph)?.outputNode ?? end.node.getInputNode?.(end.slot);
    if (!source || source.mode === MUTED) return null;
    if (source.mode === BYPASSED) end = { node: source, slot: sameType(source, link) };
    else if (source.subgraph) end = { node: innerOutput(source.subgraph, link?.origin_slot), slot: 0 };
    else if (source.type === "Reroute") end = { node: source, slot: 0 };
    else return { node: source, slot: Number(link?.origin_slot ?? 0) };
  }
  return null;
}

/**
 * The input of the subgraph node that a link inside the subgraph comes from; null for a link from a node.
 * @param {ComfyLinkEnd} node  where the link ends
 * @param {ComfyLink | null | undefined} link
 */
export function outerInput(node, link) {
  if (!link || !node.graph || Number(link.origin_id) !== SUBGRAPH_INPUT) return null;
  return { node: instancesOf(node.graph)[0] ?? null, slot: link.origin_slot };
}

/** The input that a bypassed node hands on. @param {ComfyNode} node @param {ComfyLink | null | undefined} link */
function sameType(node, link) {
  return node.inputs?.findIndex((input) => input.type === link?.type) ?? -1;
}

/**
 * A stand-in for a node whose slot 0 is fed by what feeds an output inside a subgraph.
 * @param {ComfySubgraph} subgraph @param {number | undefined} slot
 */
function innerOutput(subgraph, slot = -1) {
  const id = subgraph.outputNode?.slots[slot]?.linkIds[0];
  return { graph: subgraph, getInputLink: () => (id === undefined ? null : subgraph.getLink(id)) };
}

// -- along the links ------------------------------------------------------------------------------------------

/** Where an output goes. @param {ComfyNode} node @param {number} slot @returns {Target[]} */
export function targetsOf(node, slot) {
  const { graph } = node;
  return graph ? linksFrom(node, slot).flatMap((link) => endsOf(graph, link)) : [];
}

/**
 * Where what comes in at an input of a subgraph goes inside it.
 * @param {ComfySubgraph} subgraph @param {number} slot
 */
export function innerTargets(subgraph, slot) {
  const links = (subgraph.inputs?.[slot]?.linkIds ?? []).map((id) => subgraph.getLink(id));
  return links.flatMap((link) => (link ? endsOf(subgraph, link) : []));
}

/**
 * Where a link ends; a link out of a subgraph ends behind every node that shows it.
 * @param {ComfyGraph} graph @param {ComfyLink} link @returns {Target[]}
 */
function endsOf(graph, link) {
  if (Number(link.target_id) !== SUBGRAPH_OUTPUT) {
    const node = graph.getNodeById(link.target_id);
    return node ? [{ node, slot: link.target_slot }] : [];
  }
  return instancesOf(graph).flatMap((node) => targetsOf(node, link.target_slot));
}
