// @ts-check
// Add the timeline to every MemFlow Prompt Schedule, and show the runs of connected samplers on it.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { onChunkChange } from "../lib/chunks.js";
import { afterVueNodes, loadStyle, replaceShown } from "../lib/dom.js";
import { allNodes, findEventNode, isLinked, requiredWidget, rootOf, widgetOf } from "../lib/graph.js";
import { Lasting, placeOf } from "../lib/lasting.js";
import { callAfter } from "../lib/hooks.js";
import { postJson } from "../lib/http.js";
import { controlsOf, onControls } from "../lib/controls.js";
import { keptOf, onKept } from "../lib/kept.js";
import { PROMPT_SCHEDULE } from "../lib/node_ids.js";
import { STORY_LINKED, isOtherStoryLinked, playedStoryOf, storyOf } from "../lib/story.js";
import { samplersOf, setLength, settingOf, soundFileOf } from "../timeline/samplers.js";
import { chunkDone, directed, ended, ofSummary, started } from "../timeline/run.js";
import { isStructure } from "../schedule/loose.js";
import { readSound } from "../timeline/wave.js";
import { Timeline } from "../timeline/timeline.js";
import { say } from "../i18n/say.js";
import { valueOf } from "../lib/values.js";

const WIDGET = "timeline";
const HEIGHT_PX = 262;
const FIRST_SIZE = [560, 490];

/** @typedef {import("../timeline/run.js").Run} Run */

/** Convert a schedule in any form to the text form. @param {string} text @param {number} story  of a JSONL, from 1 */
async function convert(text, story) {
  const answer = await api.fetchApi("/memflow/schedule", postJson(story === 1 ? { text } : { text, story }));
  return answer.json();
}

/** What a timeline needs of its node. @param {ComfyNode} node @returns {import("../timeline/host.js").Host} */
function hostOf(node) {
  const set = (/** @type {string} */ name, /** @type {string | number} */ value) => {
    requiredWidget(node, name).value = value;
    node.graph?.setDirtyCanvas(true, false);
  };
  return {
    // of a text over a link, the one that is linked: the node's own is not played
    text: () => String(valueOf(node, "prompts") ?? ""),
    unknown: () => (valueOf(node, "prompts") === undefined ? say("The text comes from another node, when the story runs.") : ""),
    setText: (text) => set("prompts", text),
    globalPrompt: () => String(requiredWidget(node, "global_prompt").value ?? ""),
    setGlobalPrompt: (prompt) => set("global_prompt", prompt),
    setting: () => settingOf(node),
    setLength: (frames) => setLength(node, frames),
    locked: () => (isLinked(node, "prompts") ? say("The text comes from another node: edit it there.") : ""),
    globalLocked: () => isLinked(node, "global_prompt"),
    story: () => storyOf(node),
    setStory: (story) => set("story", story),
    storyLocked: () => (isOtherStoryLinked(node) ? say(STORY_LINKED) : ""),
    convert: (text) => convert(text, playedStoryOf(node) || 1),
    tell: (detail) => {
      const summary = say("Prompt Schedule");
      app.extensionManager.toast.add({ severity: "info", summary, detail, life: 5000 });
    },
    look: (time_s) => {
      for (const sampler of samplersOf(node)) {
        api.dispatchEvent(new CustomEvent("memflow.seek", { detail: { sampler, time_s } }));
      }
    },
    wheel: (event) => app.canvas.processMouseWheel(event),
    openTakes: (index) => openTakes(node, index),
    edited: () => {
      // one step of ComfyUI's own undo, too
      app.canvas.emitBeforeChange();
      app.canvas.emitAfterChange();
    },
  };
}

/** Let the takes of a segment be shown. @param {ComfyNode} node @param {number} index */
function openTakes(node, index) {
  const { timeline } = /** @type {ComfyWidget & {timeline: Timeline}} */ (requiredWidget(node, WIDGET));
  document.dispatchEvent(new CustomEvent("memflow-takes", { detail: { node, timeline, index } }));
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

/** @type {Lasting<Run>} what is shown of runs, by the place of the schedule */
const runs = new Lasting();

/**
 * Change what is shown of the run of a sampler.
 * @param {{node: ComfyId, display_node?: ComfyId, workflow?: string | null}} detail  of an event that names the sampler
 * @param {(run: Run) => Run} change
 */
function onRun(detail, change) {
  const sampler = findEventNode(rootOf(app.graph), detail);
  if (!sampler) return;
  for (const { node, timeline } of timelines()) {
    if (!samplersOf(node).includes(sampler)) continue;
    timeline.showRun(change(timeline.view.run));
    runs.set(placeOf(rootOf(app.graph), node), timeline.view.run);
  }
}

/** Show on every timeline that its run has ended. */
function endAll() {
  for (const { timeline } of timelines()) timeline.showRun(ended(timeline.view.run));
}

/** Show runs again on nodes that were made anew. */
function showRunsAgain() {
  for (const { node, timeline } of timelines()) {
    const run = runs.get(placeOf(rootOf(app.graph), node));
    if (run) timeline.showRun(run);
  }
}

/** Show what is kept of a sampler's story, where a timeline has no nearer one. @param {ComfyNode} sampler */
function showKept(sampler) {
  for (const { node, timeline } of timelines()) {
    if (samplersOf(node)[0] === sampler) timeline.showKept(keptOf(sampler));
  }
}

/** Show on every timeline the controls of its nearest sampler's story. */
function showControls() {
  for (const { node, timeline } of timelines()) timeline.view.showControls(controlsOf(samplersOf(node)[0]));
}

/** @type {WeakMap<Timeline, string>} the file whose sound each timeline shows, or waits for */
const sounding = new WeakMap();
/** @type {Map<string, Promise<import("../timeline/wave.js").Sound | null>>} sounds by file; files do not change their sound */
const sounds = new Map();

/** @param {string} file */
async function fetchSound(file) {
  const answer = await api.fetchApi("/memflow/sound", postJson({ file }));
  return readSound(file, await answer.json());
}

/** The sound of a file, null where there is none to show. @param {string} file */
async function soundOf(file) {
  const asked = sounds.get(file) ?? fetchSound(file);
  sounds.set(file, asked);
  const sound = await asked.catch(() => null);
  if (!sound) sounds.delete(file);
  return sound;
}

/** Show on every timeline the sound of its nearest sampler's video. */
function showSounds() {
  for (const { node, timeline } of timelines()) {
    const file = soundFileOf(samplersOf(node)[0]);
    if ((sounding.get(timeline) ?? "") === file) continue;
    sounding.set(timeline, file);
    timeline.view.showSound(null);
    if (!file) continue;
    soundOf(file).then((sound) => {
      if (sounding.get(timeline) === file) timeline.view.showSound(sound);
    });
  }
}

/** Listen to the events of runs. */
function listen() {
  onKept(showKept);
  onControls(showControls);
  const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ then) =>
    api.addEventListener(name, (event) => then(event.detail));
  on("memflow.chunk", (detail) => onRun(detail, (run) => chunkDone(run, detail)));
  on("memflow.live", (detail) => onRun(detail, (run) => (detail.ended ? run : directed(run, detail.prompts))));
  on("memflow.done", (detail) => onRun(detail, ended));
  on("memflow.run", (detail) => onRun(detail, () => ofSummary(detail.memory, detail.prompt_id, true)));
  on("memflow.result", (detail) => onRun(detail, () => ofSummary(detail.output.memflow[0], null, false)));
  on("memflow.moved", (moves) => {
    runs.follow(moves);
    showRunsAgain();
  });
  on("memflow.time", ({ sampler, time_s }) => {
    for (const { node, timeline } of timelines()) {
      if (samplersOf(node).includes(sampler)) timeline.view.showPlayhead(time_s);
    }
  });
  on("executing", (id) => (id === null ? endAll() : onRun({ node: id }, started)));
  for (const name of ["execution_error", "execution_interrupted", "execution_success"]) on(name, endAll);
  const refresh = () => timelines().forEach(({ timeline }) => timeline.refreshSetting());
  // a sampler's length or frame rate may have changed, or what the server says of its model's chunks
  on("graphChanged", refresh);
  on("graphChanged", showControls);
  on("graphChanged", showSounds);
  onChunkChange(refresh);
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
    showRunsAgain();
    showSounds();
    afterVueNodes(() => timelines().forEach(({ node, timeline }) => replaceShown(node.id, timeline.element)));
  },
});
