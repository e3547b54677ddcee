// @ts-check
// Which sampler plays a schedule node's story, through any links, reroutes and subgraphs.

const SUBGRAPH_OUTPUT = -20;
const SCHEDULE = "MEMFLOW_SCHEDULE";
const IDLE = [2, 4]; // muted, bypassed

/** @param {any} node @param {string} name */
function widget(node, name) {
  return node.widgets?.find((/** @type {any} */ one) => one.name === name);
}

/** The nodes of a graph and of every subgraph in it. @param {any} graph @returns {any[]} */
export function allNodes(graph) {
  /** @type {any[]} */
  const nodes = graph?.nodes ?? [];
  return nodes.flatMap((node) => (node.subgraph ? [node, ...allNodes(node.subgraph)] : [node]));
}

/** Where a link ends: nodes, each with the slot that it comes in at. @param {any} graph @param {any} linkId */
function ends(graph, linkId) {
  const link = graph.getLink?.(linkId) ?? graph.links?.get?.(linkId);
  if (!link) return [];
  if (Number(link.target_id) !== SUBGRAPH_OUTPUT) {
    const node = graph.getNodeById(link.target_id);
    return node ? [{ node, slot: link.target_slot }] : [];
  }
  const root = graph.rootGraph ?? graph;
  const instances = allNodes(root).filter((node) => node.subgraph === graph);
  return instances.flatMap((node) => linked(node, node.outputs[link.target_slot]));
}

/** Where an output goes. @param {any} node @param {any} output */
function linked(node, output) {
  return (output?.links ?? []).flatMap((/** @type {any} */ id) => ends(node.graph, id));
}

/** Inside a subgraph, where what comes in at a slot goes. @param {any} node @param {number} slot */
function inside(node, slot) {
  const input = node.subgraph.inputs?.[slot];
  return (input?.linkIds ?? []).flatMap((/** @type {any} */ id) => ends(node.subgraph, id));
}

/** Where a node's schedules go. @param {any} node */
function onwards(node) {
  const schedules = (node.outputs ?? []).filter((/** @type {any} */ { type }) => type === SCHEDULE || type === "*");
  return schedules.flatMap((/** @type {any} */ output) => linked(node, output));
}

/** @param {any} node */
function isSampler(node) {
  const taken = node.inputs?.some((/** @type {any} */ input) => input.type === SCHEDULE);
  return Boolean(taken && widget(node, "length") && widget(node, "fps"));
}

/** Every sampler that a node's schedule comes to, the nearest first. @param {any} node @returns {any[]} */
export function samplersOf(node) {
  const samplers = new Set();
  const seen = new Set();
  /** @type {{node: any, slot: number}[]} */
  const queue = node.graph ? onwards(node) : [];
  for (const next of queue) {
    if (seen.has(next.node)) continue;
    seen.add(next.node);
    if (next.node.subgraph) queue.push(...inside(next.node, next.slot));
    else if (!isSampler(next.node)) queue.push(...onwards(next.node));
    else if (!IDLE.includes(next.node.mode)) samplers.add(next.node);
  }
  return [...samplers];
}

/**
 * Video frames and frames a second of a story. Behind a state, a sampler's length counts the frames to add, and
 * nobody here knows to how many.
 * @param {any} node @returns {import("../schedule/plan.js").Setting}
 */
export function settingOf(node) {
  const [sampler] = samplersOf(node);
  const number = (/** @type {string} */ name) => Number(sampler && widget(sampler, name)?.value);
  const goesOn = sampler?.inputs.some((/** @type {any} */ input) => input.name === "state" && input.link != null);
  const [frames, fps] = [goesOn ? 0 : number("length"), number("fps")];
  return { fps: fps >= 1 && fps <= 1000 ? fps : 16, frames: frames >= 1 && frames <= 1e7 ? frames : null };
}

/** The node of an execution id: "12", or "4:12" for node 12 in the subgraph of node 4. @param {any} root @param {unknown} id */
export function nodeOf(root, id) {
  const ids = String(id).split(":");
  const graph = ids.slice(0, -1).reduce((inner, one) => inner?.getNodeById(Number(one))?.subgraph, root);
  return graph?.getNodeById(Number(ids.at(-1))) ?? null;
}
