// @ts-check
// The memory view on MemFlow's sampling nodes: what the bank keeps, and the box that directs a story while it plays.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { findEventNode, findLocated, rootOf } from "../lib/graph.js";
import { LiveBox } from "../memory/live_box.js";
import { el, loadStyle } from "../lib/dom.js";
import { openMenu } from "../lib/menu.js";
import { SAMPLERS } from "../lib/node_ids.js";
import { addPin, isName, NAME_RULE } from "../memory/pins.js";
import { makeRoom } from "../lib/panel.js";
import { MemoryStory, scheduleTime, seconds } from "../memory/log.js";
import { scheduleTextOf } from "../memory/schedule_text.js";
import { MemoryView } from "../memory/view.js";
import { say } from "../i18n/say.js";

const WIDGET = "memflow_memory";
const LINE_HEIGHT = 24;
const VIEW_HEIGHT = 240;
const LIVE_HEIGHT = 128;
const GAP = 6;
const MARGIN = 4;

/** What one node shows. */
class Panel {
  /** @param {any} node */
  constructor(node) {
    this.node = node;
    this.story = new MemoryStory();
    /** @type {{promptId: string, nodeId: string} | null} the story that can be directed */
    this.running = null;
    this.view = new MemoryView((moment, element) => this.offer(moment, element));
    this.live = new LiveBox((body) => this.send(body));
    this.element = el("div", { class: "memflow-memory" });
    this.element.append(this.view.element, this.live.element);
    this.view.onResize = this.live.onResize = () => this.fit();
    // the canvas must not zoom or drag under the widget
    this.element.addEventListener("wheel", (event) => event.stopPropagation());
    this.render();
  }

  get height() {
    const view = this.view.expanded ? VIEW_HEIGHT : LINE_HEIGHT;
    return 2 * MARGIN + view + (this.live.element.hidden ? 0 : LIVE_HEIGHT + GAP);
  }

  /** Make the node tall enough, and lower again by what is no longer needed. */
  fit() {
    const before = this.fitted ?? 2 * MARGIN + LINE_HEIGHT;
    this.fitted = this.height;
    const [width, height] = this.node.size;
    const least = this.node.computeSize()[1];
    this.node.setSize([width, Math.max(least, height + this.fitted - before)]);
    this.node.setDirtyCanvas?.(true, true);
  }

  render() {
    this.view.render(this.story);
  }

  /** @param {any} event memflow.chunk */
  addChunk(event) {
    this.story.addChunk(event);
    this.render();
    if (this.running?.promptId !== event.prompt_id) this.catchUp(event);
  }

  /** The page was not there when the story began: ask how it stands. @param {any} event */
  async catchUp(event) {
    this.running = { promptId: event.prompt_id, nodeId: event.node };
    const answer = await api.fetchApi(this.path);
    if (answer.ok) this.live.update((await answer.json()).state);
  }

  /** @param {any} event memflow.live */
  setLive(event) {
    const began = this.running?.promptId !== event.prompt_id;
    this.running = event.ended ? null : { promptId: event.prompt_id, nodeId: event.node };
    if (began && !event.ended) {
      this.story.start(event.prompt_id);
      this.render();
    }
    this.live.update(event);
  }

  /** @param {any} event memflow.done, which also tells of chunks that the page missed */
  endRun(event) {
    this.story.end(event.prompt_id, event.memory, event.ended);
    this.render();
  }

  /** The run is over, or its result came from the cache. @param {any} summary */
  take(summary) {
    this.story.take(summary);
    this.render();
  }

  get path() {
    const { promptId = "", nodeId = "" } = this.running ?? {};
    return `/memflow/live/${encodeURIComponent(promptId)}/${encodeURIComponent(nodeId)}`;
  }

  /** @param {object} body @returns {Promise<string | null>} */
  async send(body) {
    const headers = { "Content-Type": "application/json" };
    const answer = await api.fetchApi(this.path, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.ok) return null;
    const said = await answer.json().catch(() => ({}));
    return said.error ?? `ComfyUI answered ${answer.status}.`;
  }

  /** @param {import("../memory/log.js").Moment} moment @param {HTMLElement} element */
  offer(moment, element) {
    if (moment.frame < 0) return; // a picture is pinned already, and stands nowhere in the story
    const items = [
      { label: say("Pin it"), act: () => this.pin(moment) },
      { label: say("Pin it with a name…"), act: () => this.pinWithName(moment) },
    ];
    const at = moment.time_s - this.story.firstS;
    const video = videoOf(this.node);
    if (video && at >= 0) items.push({ label: say("Show this moment"), act: () => show(video, at) });
    openMenu(element, items);
  }

  /** @param {import("../memory/log.js").Moment} moment */
  async pinWithName(moment) {
    const title = say("Pin {0}", seconds(moment.time_s));
    const asked = { title, message: say("Name: {0}", say(NAME_RULE)), defaultValue: "" };
    const name = (await app.extensionManager.dialog.prompt(asked))?.trim();
    if (!name) return;
    if (isName(name)) this.pin(moment, name);
    else toast("warn", say("Not pinned"), say("A pin's name is {0}.", say(NAME_RULE)));
  }

  /** Write a pin into the schedule's text. @param {import("../memory/log.js").Moment} moment @param {string} [name] */
  pin(moment, name) {
    const schedule = scheduleTextOf(this.node);
    const written = "problem" in schedule ? schedule : addPin(schedule.widget.value, scheduleTime(moment.time_s), name);
    if ("problem" in written || "problem" in schedule) {
      toast("warn", say("Not pinned"), "problem" in written ? written.problem : "");
      return;
    }
    schedule.widget.value = written.text;
    schedule.widget.callback?.(written.text);
    schedule.node.setDirtyCanvas?.(true, true);
    const at = seconds(moment.time_s);
    const done = name ? say("Pinned {0} as {1}", at, name) : say("Pinned {0}", at);
    toast("success", done, say("In {0}; it holds from the next run.", schedule.node.title));
  }
}

/** The video that a node shows. @param {any} node @returns {HTMLVideoElement | null} */
function videoOf(node) {
  for (const widget of node.widgets ?? []) {
    const video = widget.element?.querySelector?.("video");
    if (video) return video;
  }
  return document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"] video`);
}

/** @param {HTMLVideoElement} video @param {number} time */
function show(video, time) {
  video.pause();
  video.currentTime = time;
  video.scrollIntoView?.({ block: "nearest" });
}

/** @param {"success" | "warn"} severity @param {string} summary @param {string} detail */
function toast(severity, summary, detail) {
  app.extensionManager.toast.add({ severity, summary, detail, life: 5000 });
}

/** @type {WeakMap<object, Panel>} */
const panels = new WeakMap();

/** @param {any} node */
function addPanel(node) {
  const panel = new Panel(node);
  panels.set(node, panel);
  const options = { serialize: false, hideOnZoom: false, margin: MARGIN, getMinHeight: () => panel.height, getValue: () => "" };
  const widget = node.addDOMWidget(WIDGET, "memflow_memory", panel.element, options);
  widget.serialize = false;
  makeRoom(node);
}

/** The panel of a node that a run names. @param {any} detail */
function panelOf(detail) {
  const node = findEventNode(rootOf(app.graph), detail);
  return node ? panels.get(node) : undefined;
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
      if (summary) panelOf(detail)?.take(summary);
    });
  },

  /** @param {any} node */
  nodeCreated(node) {
    if (SAMPLERS.includes(node.comfyClass)) addPanel(node);
  },

  /** Results that the front end kept, as when its user comes back to a workflow. @param {Record<string, any>} outputs */
  onNodeOutputsUpdated(outputs) {
    for (const [locator, output] of Object.entries(outputs)) {
      const summary = output?.memflow?.[0];
      const node = summary && findLocated(rootOf(app.graph), locator);
      const panel = node && panels.get(node);
      if (panel?.story.isEmpty) panel.take(summary);
    }
  },
});
