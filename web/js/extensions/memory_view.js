// @ts-check
// Add the memory view to MemFlow's sampling nodes, and pass events of their runs to it.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { afterVueNodes, loadStyle, replaceShown } from "../lib/dom.js";
import { allNodes, findEventNode, findLocated, findNode, rootOf, widgetOf } from "../lib/graph.js";
import { Lasting, placeOf } from "../lib/lasting.js";
import { isSampler } from "../lib/node_ids.js";
import { asOneStep } from "../lib/one_step.js";
import { MemoryPanel } from "../memory/panel.js";

const WIDGET = "memflow_memory";
const PROGRESS_TEXT = "$$node-text-preview";

/** @type {import("../memory/panel.js").Host} */
const host = {
  fetch: (path, options) => api.fetchApi(path, options),
  toast: (severity, summary, detail) => app.extensionManager.toast.add({ severity, summary, detail, life: 5000 }),
  askText: (title, message) => app.extensionManager.dialog.prompt({ title, message, defaultValue: "" }),
  asOneStep: (change) => asOneStep(app.canvas, change),
};

/** @type {WeakMap<object, MemoryPanel>} */
const panels = new WeakMap();
/** @type {WeakMap<object, number>} heights of nodes before their run */
const heights = new WeakMap();
/** @type {Lasting<MemoryPanel>} panels that have shown a run */
const shown = new Lasting();

/** @param {ComfyNode} node */
function addPanel(node) {
  const panel = new MemoryPanel(node, host);
  panels.set(node, panel);
  panel.addWidget(WIDGET, WIDGET, { getMaxHeight: () => panel.height });
  panel.growNode();
}

/**
 * The panel of the node that an event of a run names; what it shows outlives the node from now on.
 * @param {{node: ComfyId, display_node?: ComfyId, workflow?: string | null}} detail
 */
function panelOf(detail) {
  const node = findEventNode(rootOf(app.graph), detail);
  const panel = node ? panels.get(node) : undefined;
  if (node && panel) shown.set(placeOf(rootOf(app.graph), node), panel);
  return panel;
}

/** Let panels of nodes that were made anew go on from those before them. */
function adoptShown() {
  for (const node of allNodes(rootOf(app.graph))) {
    const [panel, before] = [panels.get(node), shown.get(placeOf(rootOf(app.graph), node))];
    if (!panel || !before || panel === before) continue;
    panel.adopt(before);
    shown.set(placeOf(rootOf(app.graph), node), panel);
  }
}

/** Show the panels of all nodes where those of nodes before them are left. */
function replaceOldPanels() {
  for (const node of allNodes(rootOf(app.graph))) {
    const panel = panels.get(node);
    if (panel) replaceShown(node.id, panel.element);
  }
}

/**
 * Remove the line of text that ComfyUI puts on a running node, and that would stay: plan and film say the same, and a node
 * does not change its height by running.
 * @param {ComfyNode} node
 */
function removeProgressText(node) {
  const widget = widgetOf(node, PROGRESS_TEXT);
  if (!widget) return;
  const [width, height] = node.size;
  node.removeWidget(widget);
  // Vue nodes are at least as high as what they draw, which LiteGraph does not know
  const least = window.LiteGraph.vueNodesMode ? 0 : node.computeSize()[1];
  node.setSize([width, Math.max(least, heights.get(node) ?? height)]);
}

app.registerExtension({
  name: "MemFlow.MemoryView",

  setup() {
    for (const name of ["panel.css", "memory.css"]) loadStyle(name);
    api.addEventListener("executing", ({ detail }) => {
      const node = detail === null ? null : findNode(rootOf(app.graph), detail);
      if (node && isSampler(node)) heights.set(node, node.size[1]);
    });
    api.addEventListener("progress_text", ({ detail }) => {
      const node = findNode(rootOf(app.graph), detail.nodeId);
      // once ComfyUI has put it there
      if (node && isSampler(node)) queueMicrotask(() => removeProgressText(node));
    });
    api.addEventListener("memflow.chunk", ({ detail }) => panelOf(detail)?.addChunk(detail));
    api.addEventListener("memflow.done", ({ detail }) => panelOf(detail)?.endRun(detail));
    api.addEventListener("memflow.live", ({ detail }) => panelOf(detail)?.setLive(detail));
    api.addEventListener("memflow.moved", ({ detail }) => {
      shown.follow(detail);
      adoptShown();
      afterVueNodes(replaceOldPanels);
    });
    api.addEventListener("memflow.run", ({ detail }) => panelOf(detail)?.join(detail));
    for (const name of /** @type {const} */ (["executed", "memflow.result"])) {
      api.addEventListener(name, ({ detail }) => {
        const summary = detail.output?.memflow?.[0];
        if (summary) panelOf(detail)?.showResult(summary);
      });
    }
  },

  nodeCreated(node) {
    if (isSampler(node)) addPanel(node);
  },

  afterConfigureGraph() {
    adoptShown();
    afterVueNodes(replaceOldPanels);
  },

  /**
   * Show results that the front end kept, as when a workflow is opened again.
   * @param {Record<string, any>} outputs
   */
  onNodeOutputsUpdated(outputs) {
    for (const [locator, output] of Object.entries(outputs)) {
      const summary = output?.memflow?.[0];
      const node = summary && findLocated(rootOf(app.graph), locator);
      const panel = node && panels.get(node);
      if (panel?.log.isEmpty) panel.showResult(summary);
    }
  },
});
