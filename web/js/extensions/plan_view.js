// @ts-check
// The plan on MemFlow's sampling nodes: what a run will come to, before it is queued; and presets for its values.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { loadStyle } from "../lib/dom.js";
import { allNodes, findEventNode, rootOf } from "../lib/graph.js";
import { SAMPLERS } from "../lib/node_ids.js";
import { makeRoom } from "../lib/panel.js";
import { PlanBlock } from "../plan/block.js";
import { applyPreset } from "../plan/presets.js";
import { readRun } from "../plan/request.js";
import { say, sayAgain } from "../i18n/say.js";

/** @typedef {import("../i18n/say.js").Said} Said */

const WIDGET = "memflow_plan";
const BELOW = "memflow_memory";
const WAIT_MS = 200;
// not as high as its words are: the node would change its size, and ComfyUI's undo would have that as a step
const [LINE_HEIGHT, OPEN_HEIGHT, MARGIN] = [24, 156, 4];

/** @type {Promise<import("../plan/presets.js").Preset[]> | null} */
let presets = null;

function loadPresets() {
  presets ??= api.fetchApi("/memflow/presets").then(async (answer) => (await answer.json()).presets);
  return presets;
}

/** What one node shows. */
class Panel {
  /** @param {any} node */
  constructor(node) {
    this.node = node;
    this.key = "";
    this.block = new PlanBlock(loadPresets, (preset) => this.apply(preset));
    this.block.onResize = () => this.fit();
    // the canvas must not zoom or drag under the widget
    this.block.element.addEventListener("wheel", (event) => event.stopPropagation());
  }

  get height() {
    return 2 * MARGIN + (this.block.open ? OPEN_HEIGHT : LINE_HEIGHT);
  }

  /** It was opened or closed: make the node tall enough, and lower again by what is no longer needed. */
  fit() {
    const change = OPEN_HEIGHT - LINE_HEIGHT;
    const [width, height] = this.node.size;
    const wanted = height + (this.block.open ? change : -change);
    this.node.setSize([width, Math.max(this.node.computeSize()[1], wanted)]);
    this.node.setDirtyCanvas?.(true, true);
  }

  /** Tell anew what has changed. */
  refresh() {
    const reading = readRun(this.node);
    const key = JSON.stringify(reading);
    if (key === this.key) return;
    this.key = key;
    this.block.tell("");
    if ("problem" in reading) this.block.show("", [reading.problem]);
    else this.ask(key, reading.body);
  }

  /** @param {string} key @param {object} body */
  async ask(key, body) {
    const headers = { "Content-Type": "application/json" };
    const request = { method: "POST", headers, body: JSON.stringify(body) };
    const answer = await api.fetchApi("/memflow/plan", request).catch(() => null);
    const said = await answer?.json().catch(() => null);
    if (key !== this.key) return;
    if (said?.said) this.show(said.said);
    else if (said?.error) this.block.show(say("cannot be run like this"), [said.error], true);
    else this.block.show("", [say("The server does not answer: the plan is told when the run starts.")]);
  }

  /** @param {Said[]} said  summary and lines */
  show(said) {
    const [summary, ...lines] = said.map(sayAgain);
    this.block.show(summary, lines);
  }

  /** @param {import("../plan/presets.js").Preset} preset */
  apply(preset) {
    // one step of ComfyUI's own undo
    app.canvas.emitBeforeChange();
    const words = applyPreset(this.node, preset, (type) => /** @type {any} */ (window).LiteGraph.createNode(type));
    app.canvas.emitAfterChange();
    this.node.graph?.setDirtyCanvas(true, true);
    this.refresh();
    if (!this.block.open) this.block.setOpen(true);
    this.block.tell(words);
  }

  /** A run has begun, and the very model is known. @param {{said: Said[]}} event memflow.plan */
  begin(event) {
    this.show(event.said);
  }
}

/** @type {WeakMap<object, Panel>} */
const panels = new WeakMap();

/** @param {any} node */
function addPanel(node) {
  const panel = new Panel(node);
  panels.set(node, panel);
  const height = () => panel.height;
  const options = { serialize: false, hideOnZoom: false, margin: MARGIN, getMinHeight: height, getMaxHeight: height, getValue: () => "" };
  const widget = node.addDOMWidget(WIDGET, "memflow_plan", panel.block.element, options);
  widget.serialize = false;
  const below = node.widgets.findIndex((/** @type {any} */ other) => other.name === BELOW);
  if (below >= 0) node.widgets.splice(below, 0, ...node.widgets.splice(node.widgets.indexOf(widget), 1));
  makeRoom(node);
}

/** @type {number | undefined} */
let waiting;

/** A moment after the last change. */
function refreshSoon() {
  clearTimeout(waiting);
  waiting = window.setTimeout(() => {
    for (const node of allNodes(rootOf(app.graph))) panels.get(node)?.refresh();
  }, WAIT_MS);
}

app.registerExtension({
  name: "MemFlow.PlanView",

  setup() {
    for (const name of ["panel.css", "plan.css"]) loadStyle(name);
    api.addEventListener("graphChanged", refreshSoon);
    // typing changes the graph for ComfyUI only when it ends
    document.addEventListener("input", refreshSoon, true);
    api.addEventListener("memflow.plan", ({ detail }) => {
      const node = findEventNode(rootOf(app.graph), detail);
      if (node) panels.get(node)?.begin(detail);
    });
  },

  /** @param {any} node */
  nodeCreated(node) {
    if (!SAMPLERS.includes(node.comfyClass)) return;
    addPanel(node);
    refreshSoon();
  },

  afterConfigureGraph: refreshSoon,
});
