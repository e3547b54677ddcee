// @ts-check
// Add the timeline to every MemFlow Prompt Schedule, and show the runs of connected samplers on it.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { afterVueNodes, loadStyle, replaceShown } from "../lib/dom.js";
import { allNodes, findNode, isLinked, requiredWidget, rootOf, widgetOf } from "../lib/graph.js";
import { callAfter } from "../lib/hooks.js";
import { postJson } from "../lib/http.js";
import { PROMPT_SCHEDULE } from "../lib/node_ids.js";
import { samplersOf, settingOf } from "../timeline/samplers.js";
import { NO_RUN, chunkDone, ended, started } from "../timeline/run.js";
import { isStructure } from "../schedule/loose.js";
import { Timeline } from "../timeline/timeline.js";
import { say } from "../i18n/say.js";

const WIDGET = "timeline";
const HEIGHT_PX = 262;
const FIRST_SIZE = [560, 490];

/** @typedef {import("../timeline/run.js").Run} Run */

/** Convert a schedule in any form to the text form. @param {string} text @param {number} story  of a JSONL, from 1 */
async function convert(text, story) {
  const answer = await api.fetchApi("/memflow/schedule", postJson(story === 1 ? { text } : { text, story }));
  return answer.json();
}

/** What a timeline needs of its node. @param {ComfyNode} node @returns {import("../timeline/timeline.js").Host} */
function hostOf(node) {
  const set = (/** @type {string} */ name, /** @type {string} */ value) => {
    requiredWidget(node, name).value = value;
    node.graph?.setDirtyCanvas(true, false);
  };
  return {
    text: () => String(requiredWidget(node, "prompts").value ?? ""),
    setText: (text) => set("prompts", text),
    globalPrompt: () => String(requiredWidget(node, "global_prompt").value ?? ""),
    setGlobalPrompt: (prompt) => set("global_prompt", prompt),
    setting: () => settingOf(node),
    locked: () => (isLinked(node, "prompts") ? say("The text comes from another node: edit it there.") : ""),
    globalLocked: () => isLinked(node, "global_prompt"),
    convert: (text) => convert(text, Number(widgetOf(node, "story")?.value ?? 1)),
    tell: (detail) => {
      const summary = say("Prompt Schedule");
      app.extensionManager.toast.add({ severity: "info", summary, detail, life: 5000 });
    },
    wheel: (event) => app.canvas.processMouseWheel(event),
    edited: () => {
      // one step of ComfyUI's own undo, too
      app.canvas.emitBeforeChange();
      app.canvas.emitAfterChange();
    },
  };
}

/**
 * Keep the braces of JSON when a prompt is queued: ComfyUI reads braces as choices, as in {red|blue}.
 * @param {ComfyWidget} widget
 */
function keepBraces(widget) {
  const { serializeValue } = widget;
  widget.serializeValue = (/** @type {any[]} */ ...values) =>
    isStructure(String(widget.value)) ? widget.value : serializeValue?.apply(widget, values) ?? widget.value;
}

/** @param {ComfyNode} node */
function addTimeline(node) {
  const timeline = new Timeline(hostOf(node));
  // behind the other widgets and not serialised, so that workflow files keep their order of values
  const height = () => HEIGHT_PX;
  const options = { serialize: false, getMinHeight: height, getMaxHeight: height };
  const widget = node.addDOMWidget(WIDGET, "memflow_timeline", timeline.element, options);
  Object.assign(widget, { serialize: false, timeline });
  for (const name of ["prompts", "global_prompt"]) {
    callAfter(requiredWidget(node, name), "callback", () => timeline.refresh());
  }
  const story = widgetOf(node, "story");
  if (story) callAfter(story, "callback", () => timeline.refresh());
  callAfter(node, "onConfigure", () => timeline.reset());
  callAfter(node, "onConnectionsChange", () => queueMicrotask(() => timeline.refresh()));
  keepBraces(requiredWidget(node, "prompts"));
  node.setSize([Math.max(node.size[0], FIRST_SIZE[0]), Math.max(node.size[1], FIRST_SIZE[1])]);
}

/** Every timeline in the open workflow. */
function timelines() {
  const nodes = allNodes(rootOf(app.graph)).filter((node) => node.comfyClass === PROMPT_SCHEDULE);
  return nodes.map((node) => {
    const { timeline } = /** @type {ComfyWidget & {timeline: Timeline}} */ (requiredWidget(node, WIDGET));
    return { node, timeline };
  });
}

/**
 * Change what is shown of the run of a sampler.
 * @param {string} id  its execution id @param {(run: Run) => Run} change
 */
function onRun(id, change) {
  const sampler = findNode(rootOf(app.graph), id);
  if (!sampler) return;
  for (const { node, timeline } of timelines()) {
    if (samplersOf(node).includes(sampler)) timeline.showRun(change(timeline.view.run));
  }
}

/** Show on every timeline that its run has ended. */
function endAll() {
  for (const { timeline } of timelines()) timeline.showRun(ended(timeline.view.run));
}

/** Listen to the events of runs. */
function listen() {
  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ then) =>
    api.addEventListener(name, (event) => then(event.detail));
  on("memflow.chunk", (detail) => onRun(detail.node, (run) => chunkDone(run, detail)));
  on("memflow.done", (detail) => onRun(detail.node, ended));
  on("executing", (id) => (id === null ? endAll() : onRun(id, started)));
  for (const name of ["execution_error", "execution_interrupted", "execution_success"]) on(name, endAll);
  on("graphCleared", () => timelines().forEach(({ timeline }) => timeline.showRun(NO_RUN)));
  // a sampler's length or frame rate may have changed
  on("graphChanged", () => timelines().forEach(({ timeline }) => timeline.refreshSetting()));
}

app.registerExtension({
  name: "MemFlow.PromptTimeline",
  setup() {
    for (const name of ["timeline.css", "timeline_track.css"]) loadStyle(name);
    listen();
  },
  nodeCreated(node) {
    if (node.comfyClass === PROMPT_SCHEDULE) addTimeline(node);
  },
  afterConfigureGraph() {
    timelines().forEach(({ timeline }) => timeline.refresh());
    afterVueNodes(() => timelines().forEach(({ node, timeline }) => replaceShown(node.id, timeline.element)));
  },
});
