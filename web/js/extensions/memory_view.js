// @ts-check
// Add the memory view to MemFlow's sampling nodes, and pass events of their runs to it.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { afterVueNodes, loadStyle, replaceShown } from "../lib/dom.js";
import { allNodes, findEventNode, findLocated, rootOf } from "../lib/graph.js";
import { isSampler } from "../lib/node_ids.js";
import { MemoryPanel } from "../memory/panel.js";

const WIDGET = "memflow_memory";

/** @type {import("../memory/panel.js").Host} */
const host = {
  fetch: (path, options) => api.fetchApi(path, options),
  toast: (severity, summary, detail) => app.extensionManager.toast.add({ severity, summary, detail, life: 5000 }),
  askText: (title, message) => app.extensionManager.dialog.prompt({ title, message, defaultValue: "" }),
};

/** @type {WeakMap<object, MemoryPanel>} */
const panels = new WeakMap();

/** @param {ComfyNode} node */
function addPanel(node) {
  const panel = new MemoryPanel(node, host);
  panels.set(node, panel);
  panel.addWidget(WIDGET, WIDGET);
  panel.growNode();
}

/** The panel of the node that an event of a run names. @param {{node: ComfyId, display_node?: ComfyId}} detail */
function panelOf(detail) {
  const node = findEventNode(rootOf(app.graph), detail);
  return node ? panels.get(node) : undefined;
}

/** Show the panels of all nodes where those of nodes before them are left. */
function replaceOldPanels() {
  for (const node of allNodes(rootOf(app.graph))) {
    const panel = panels.get(node);
    if (panel) replaceShown(node.id, panel.element);
  }
}

app.registerExtension({
  name: "MemFlow.MemoryView",

  setup() {
    for (const name of ["panel.css", "memory.css"]) loadStyle(name);
    api.addEventListener("memflow.chunk", ({ detail }) => panelOf(detail)?.addChunk(detail));
    api.addEventListener("memflow.done", ({ detail }) => panelOf(detail)?.endRun(detail));
    api.addEventListener("memflow.live", ({ detail }) => panelOf(detail)?.setLive(detail));
    api.addEventListener("executed", ({ detail }) => {
      const summary = detail.output?.memflow?.[0];
      if (summary) panelOf(detail)?.showResult(summary);
    });
  },

  nodeCreated(node) {
    if (isSampler(node)) addPanel(node);
  },

  afterConfigureGraph: () => afterVueNodes(replaceOldPanels),

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
