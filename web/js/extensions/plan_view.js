// @ts-check
// Add the plan to MemFlow's sampling nodes: what a run will come to, before it is queued, and presets for its values.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { afterVueNodes, loadStyle, replaceShown } from "../lib/dom.js";
import { allNodes, findEventNode, rootOf } from "../lib/graph.js";
import { setKept } from "../lib/kept.js";
import { isSampler } from "../lib/node_ids.js";
import { asOneStep } from "../lib/one_step.js";
import { PlanPanel } from "../plan/panel.js";

/** @typedef {import("../plan/presets.js").Preset} Preset */

const WIDGET = "memflow_plan";
const BELOW = "memflow_memory";
const WAIT_MS = 200;

/** @type {Promise<Preset[]> | undefined} */
let presets;

/** @type {import("../plan/panel.js").Host} */
const host = {
  fetch: (path, options) => api.fetchApi(path, options),
  presets: () => (presets ??= fetchPresets()),
  seedsChangeFirst: () => app.extensionManager.setting.get("Comfy.WidgetControlMode") === "before",
  setKept,
  createNode: (type) => window.LiteGraph.createNode(type),
  asOneStep: (change) => asOneStep(app.canvas, change),
};

/** @returns {Promise<Preset[]>} */
async function fetchPresets() {
  const answer = await api.fetchApi("/memflow/presets");
  return (await answer.json()).presets;
}

/** @type {WeakMap<object, PlanPanel>} */
const panels = new WeakMap();

/** @param {ComfyNode} node */
function addPanel(node) {
  const panel = new PlanPanel(node, host);
  panels.set(node, panel);
  const widget = panel.addWidget(WIDGET, WIDGET, { getMaxHeight: () => panel.height });
  const { widgets = [] } = node;
  const below = widgets.findIndex((other) => other.name === BELOW);
  if (below >= 0) widgets.splice(below, 0, ...widgets.splice(widgets.indexOf(widget), 1));
  panel.growNode();
}

/** @type {number | undefined} */
let waiting;

/** Refresh every plan a moment after the last change. */
function refreshSoon() {
  clearTimeout(waiting);
  waiting = window.setTimeout(() => {
    for (const node of allNodes(rootOf(app.graph))) panels.get(node)?.refresh();
  }, WAIT_MS);
}

/** Ask again what is kept, of every story: one that has run, or another that it made room for. */
function refreshAllKept() {
  for (const node of allNodes(rootOf(app.graph))) panels.get(node)?.refreshKept(true);
}

/** Show the panels of all nodes where those of nodes before them are left. */
function replaceOldPanels() {
  for (const node of allNodes(rootOf(app.graph))) {
    const panel = panels.get(node);
    if (panel) replaceShown(node.id, panel.element);
  }
}

app.registerExtension({
  name: "MemFlow.PlanView",

  setup() {
    for (const name of ["panel.css", "plan.css"]) loadStyle(name);
    api.addEventListener("graphChanged", refreshSoon);
    // ComfyUI reports typing as a change of the graph only when it ends
    document.addEventListener("input", refreshSoon, true);
    api.addEventListener("memflow.plan", ({ detail }) => {
      const node = findEventNode(rootOf(app.graph), detail);
      if (node) panels.get(node)?.begin(detail);
    });
    for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(name, refreshAllKept);
    }
  },

  nodeCreated(node) {
    if (!isSampler(node)) return;
    addPanel(node);
    refreshSoon();
  },

  afterConfigureGraph() {
    refreshSoon();
    afterVueNodes(replaceOldPanels);
  },
});
