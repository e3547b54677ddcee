// @ts-check
// Puts a timeline on every MemFlow Prompt Schedule, and shows on it what a connected sampler makes.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { loadStyle } from "../lib/dom.js";
import { allNodes, findNode, isLinked, rootOf, widgetOf } from "../lib/graph.js";
import { postJson } from "../lib/http.js";
import { PROMPT_SCHEDULE } from "../lib/node_ids.js";
import { samplersOf, settingOf } from "../timeline/samplers.js";
import { NO_RUN, chunkDone, ended, started } from "../timeline/run.js";
import { isForeign } from "../schedule/text.js";
import { Timeline } from "../timeline/timeline.js";
import { say } from "../i18n/say.js";

const WIDGET = "timeline";
const HEIGHT_PX = 262;
const FIRST_SIZE = [560, 490];

/** @typedef {import("../timeline/run.js").Run} Run */

/** @param {string} text */
async function convert(text) {
  const answer = await api.fetchApi("/memflow/schedule", postJson({ text }));
  return answer.json();
}

/** @param {any} node @returns {import("../timeline/timeline.js").Host} */
function hostOf(node) {
  const put = (/** @type {string} */ name, /** @type {string} */ value) => {
    widgetOf(node, name).value = value;
    node.graph?.setDirtyCanvas(true, false);
  };
  return {
    text: () => String(widgetOf(node, "prompts").value ?? ""),
    setText: (text) => put("prompts", text),
    globalPrompt: () => String(widgetOf(node, "global_prompt").value ?? ""),
    setGlobalPrompt: (prompt) => put("global_prompt", prompt),
    setting: () => settingOf(node),
    locked: () => (isLinked(node, "prompts") ? say("The text comes from another node: edit it there.") : ""),
    globalLocked: () => isLinked(node, "global_prompt"),
    convert,
    wheel: (event) => app.canvas.processMouseWheel(event),
    edited: () => {
      // one step of ComfyUI's own undo, too
      app.canvas.emitBeforeChange();
      app.canvas.emitAfterChange();
    },
  };
}

/** Call a function after the one that a widget or node calls on its own. @param {any} owner @param {string} name */
function after(owner, name, /** @type {() => void} */ then) {
  const before = owner[name];
  owner[name] = function (/** @type {any[]} */ ...values) {
    const result = before?.apply(this, values);
    then();
    return result;
  };
}

/**
 * ComfyUI takes braces for choices, as in {red|blue}, before it queues a prompt; in JSON they are something else.
 * @param {any} widget
 */
function keepBraces(widget) {
  const { serializeValue } = widget;
  widget.serializeValue = (/** @type {any[]} */ ...values) =>
    isForeign(String(widget.value)) ? widget.value : serializeValue?.apply(widget, values) ?? widget.value;
}

/** @param {any} node */
function addTimeline(node) {
  const timeline = new Timeline(hostOf(node));
  // behind the other widgets and not serialised, so that workflow files keep their order of values
  const widget = node.addDOMWidget(WIDGET, "memflow_timeline", timeline.element, {
    serialize: false,
    getMinHeight: () => HEIGHT_PX,
    getMaxHeight: () => HEIGHT_PX,
  });
  widget.serialize = false;
  widget.timeline = timeline;
  for (const name of ["prompts", "global_prompt"]) after(widgetOf(node, name), "callback", () => timeline.refresh());
  after(node, "onConfigure", () => timeline.reset());
  after(node, "onConnectionsChange", () => queueMicrotask(() => timeline.refresh()));
  keepBraces(widgetOf(node, "prompts"));
  node.setSize([Math.max(node.size[0], FIRST_SIZE[0]), Math.max(node.size[1], FIRST_SIZE[1])]);
}

/** Every timeline in the open workflow. @returns {{node: any, timeline: Timeline}[]} */
function timelines() {
  const nodes = allNodes(rootOf(app.graph)).filter((node) => node.comfyClass === PROMPT_SCHEDULE);
  return nodes.map((node) => ({ node, timeline: widgetOf(node, WIDGET).timeline }));
}

/** Change what is shown of the run of a sampler. @param {string} id  its execution id @param {(run: Run) => Run} change */
function onRun(id, change) {
  const sampler = findNode(rootOf(app.graph), id);
  if (!sampler) return;
  for (const { node, timeline } of timelines()) {
    if (samplersOf(node).includes(sampler)) timeline.showRun(change(timeline.view.run));
  }
}

function endAll() {
  for (const { timeline } of timelines()) timeline.showRun(ended(timeline.view.run));
}

function listen() {
  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ then) =>
    api.addEventListener(name, (/** @type {any} */ event) => then(event.detail));
  on("memflow.chunk", (detail) => onRun(detail.node, (run) => chunkDone(run, detail)));
  on("memflow.done", (detail) => onRun(detail.node, ended));
  on("executing", (id) => (id === null ? endAll() : onRun(id, started)));
  for (const name of ["execution_error", "execution_interrupted", "execution_success"]) on(name, endAll);
  on("graphCleared", () => timelines().forEach(({ timeline }) => timeline.showRun(NO_RUN)));
  // a sampler's length or frame rate may be another one
  on("graphChanged", () => timelines().forEach(({ timeline }) => timeline.refreshSetting()));
}

app.registerExtension({
  name: "MemFlow.PromptTimeline",
  setup() {
    for (const name of ["timeline.css", "timeline_track.css"]) loadStyle(name);
    listen();
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass === PROMPT_SCHEDULE) addTimeline(node);
  },
  afterConfigureGraph() {
    timelines().forEach(({ timeline }) => timeline.refresh());
  },
});
