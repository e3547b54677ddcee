// @ts-check
// Where things stand in ComfyUI's graph. The graph is given, so that nothing here needs the page.

import { allNodes } from "../timeline/samplers.js";

export const SAMPLERS = ["MemFlowSampler", "MemFlowStreamToVideo"];
const SCHEDULE = "MemFlowPromptSchedule";
export const SUBGRAPH_INPUT = -10;
const [MUTED, BYPASSED] = [2, 4];

/**
 * The node with an id as runs name it: "12", or "4:12" for node 12 inside the subgraph node 4.
 * @param {any} graph the root graph
 * @param {string | number} executionId
 */
export function findNode(graph, executionId) {
  const ids = String(executionId).split(":");
  for (const id of ids.slice(0, -1)) graph = nodeById(graph, id)?.subgraph;
  return nodeById(graph, /** @type {string} */ (ids.at(-1)));
}

/**
 * The node with an id as outputs are kept under: "12", or "<subgraph>:12" whatever node shows that subgraph.
 * @param {any} graph the root graph
 * @param {string} locator
 */
export function findLocated(graph, locator) {
  const ids = String(locator).split(":");
  const home = ids.length > 1 ? graph.subgraphs?.get(ids[0]) : graph;
  return nodeById(home, /** @type {string} */ (ids.at(-1)));
}

/** @param {any} graph @param {string} id */
function nodeById(graph, id) {
  return graph?.getNodeById(id) ?? graph?.getNodeById(Number(id)) ?? null;
}

/**
 * The widget that holds the text of the schedule which a sampler plays.
 * @param {any} sampler
 * @returns {{widget: any, node: any} | {problem: string}}
 */
export function scheduleOf(sampler) {
  const source = behind(sampler, "schedule");
  if (!source) return { problem: "No schedule is connected to this node." };
  if (source.comfyClass !== SCHEDULE) {
    return { problem: `Pins are written into the text of a MemFlow Prompt Schedule, but this story comes from ${source.title}.` };
  }
  const linked = source.inputs?.some((/** @type {any} */ input) => input.name === "prompts" && input.link != null);
  if (linked) return { problem: "The schedule's text comes over a link: write the pin where the text is written." };
  const widget = source.widgets?.find((/** @type {any} */ widget) => widget.name === "prompts");
  return widget ? { widget, node: source } : { problem: "The schedule shows no text to write the pin into." };
}

/** The node behind an input of some name. @param {any} node @param {string} name */
export function behind(node, name) {
  const slot = node.inputs?.findIndex((/** @type {any} */ input) => input.name === name) ?? -1;
  return slot < 0 ? null : sourceOf(node, slot);
}

/**
 * The node behind an input, looking through reroutes, bypassed nodes and subgraphs, inwards and outwards.
 * @param {any} node @param {number} slot
 */
export function sourceOf(node, slot) {
  for (let steps = 0; node && steps < 100; steps++) {
    const link = linkAt(node, slot);
    if (link && Number(link.origin_id) === SUBGRAPH_INPUT) {
      [node, slot] = [instanceOf(node.graph), link.origin_slot];
      continue;
    }
    const found = link?.resolve?.(node.graph);
    const source = found?.outputNode ?? node.getInputNode?.(slot) ?? null;
    if (!source || source.mode === MUTED) return null;
    if (source.mode === BYPASSED) [node, slot] = [source, sameType(source, link)];
    else if (source.subgraph) [node, slot] = inside(source, link.origin_slot);
    else if (source.type === "Reroute") [node, slot] = [source, 0];
    else return source;
  }
  return null;
}

/** The link that comes in at a slot. @param {any} node @param {number} slot */
export function linkAt(node, slot) {
  // a subgraph node's own getInputLink tells of what goes out of its inside
  if (!node.subgraph) return node.getInputLink?.(slot);
  const id = node.inputs?.[slot]?.link;
  return id == null ? null : node.graph?.getLink(id);
}

/** A node that shows a subgraph. @param {any} graph */
export function instanceOf(graph) {
  return allNodes(graph.rootGraph ?? graph).find((node) => node.subgraph === graph) ?? null;
}

/** The input that a bypassed node hands on. @param {any} node @param {any} link */
function sameType(node, link) {
  return node.inputs?.findIndex((/** @type {any} */ input) => input.type === link?.type) ?? -1;
}

/** The inner node and slot behind an output of a subgraph node. @param {any} node @param {number} slot */
function inside(node, slot) {
  const output = node.subgraph.outputNode;
  return [{ graph: node.subgraph, getInputLink: () => linkInto(node.subgraph, output, slot) }, 0];
}

/** @param {any} subgraph @param {any} output @param {number} slot */
function linkInto(subgraph, output, slot) {
  const id = output?.slots?.[slot]?.linkIds?.[0];
  return id === undefined ? null : subgraph.getLink(id);
}

/** The video that a node shows. @param {any} node @returns {HTMLVideoElement | null} */
export function videoOf(node) {
  for (const widget of node.widgets ?? []) {
    const video = widget.element?.querySelector?.("video");
    if (video) return video;
  }
  return document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"] video`);
}
