// @ts-check
// The memory panel of one sampling node: its view of the bank, its box for live prompts, and pins from a click.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { postJson } from "../lib/http.js";
import { openMenu } from "../lib/menu.js";
import { MARGIN, NodePanel } from "../lib/panel.js";
import { isPinName } from "../schedule/options.js";
import { pinMoment } from "../schedule/pins.js";
import { exactSeconds } from "../schedule/time.js";
import { LiveBox } from "./live_box.js";
import { MemoryStory, seconds } from "./log.js";
import { scheduleTextOf } from "./schedule_text.js";
import { MemoryView } from "./view.js";

/** @typedef {import("./log.js").ChunkEvent} ChunkEvent */
/** @typedef {import("./log.js").DoneEvent} DoneEvent */
/** @typedef {import("./log.js").Moment} Moment */
/** @typedef {import("./live_box.js").LiveState & {prompt_id: string, node: string}} LiveEvent */
/**
 * @typedef {object} Host what the panel needs of the page
 * @property {(path: string, options?: RequestInit) => Promise<Response>} fetch  asks the server
 * @property {(severity: "success" | "warn", summary: string, detail: string) => void} toast
 * @property {(title: string, message: string) => Promise<string | null | undefined>} askText  asks the user
 */

const NAME_RULE = "one word of letters, digits, - and _ that starts with a letter (at most 40)";
const LINE_HEIGHT = 24;
const VIEW_HEIGHT = 240;
const LIVE_HEIGHT = 128;
const GAP = 6;

export class MemoryPanel extends NodePanel {
  /** @param {ComfyNode} node @param {Host} host */
  constructor(node, host) {
    super(node, el("div", { class: "memflow-memory" }));
    this.host = host;
    this.story = new MemoryStory();
    /** @type {{promptId: string, nodeId: string} | null} the run that can be directed */
    this.running = null;
    this.view = new MemoryView((moment, element) => this.offer(moment, element));
    this.live = new LiveBox((body) => this.send(body));
    this.element.append(this.view.element, this.live.element);
    this.view.onResize = this.live.onResize = () => this.fit();
    this.render();
  }

  get height() {
    const view = this.view.expanded ? VIEW_HEIGHT : LINE_HEIGHT;
    return 2 * MARGIN + view + (this.live.element.hidden ? 0 : LIVE_HEIGHT + GAP);
  }

  render() {
    this.view.render(this.story);
  }

  // -- events of a run ------------------------------------------------------------------------------------------

  /** A chunk is finished. @param {ChunkEvent} event memflow.chunk */
  addChunk(event) {
    this.story.addChunk(event);
    this.render();
    if (this.running?.promptId !== event.prompt_id) this.catchUp(event);
  }

  /** Ask for the state of a run that began before the page was there. @param {ChunkEvent} event memflow.chunk */
  async catchUp(event) {
    this.running = { promptId: event.prompt_id, nodeId: event.node };
    const answer = await this.host.fetch(this.path);
    if (answer.ok) this.live.update((await answer.json()).state);
  }

  /** A run can be directed, its state has changed, or it has ended. @param {LiveEvent} event memflow.live */
  setLive(event) {
    const began = this.running?.promptId !== event.prompt_id;
    this.running = event.ended ? null : { promptId: event.prompt_id, nodeId: event.node };
    if (began && !event.ended) {
      this.story.start(event.prompt_id);
      this.render();
    }
    this.live.update(event);
  }

  /** A run has ended; the event holds chunks that the page may have missed. @param {DoneEvent} event memflow.done */
  endRun(event) {
    this.story.end(event.prompt_id, event.memory, event.ended);
    this.render();
  }

  /** Show a run's result, which may come from ComfyUI's cache. @param {import("./log.js").Summary} summary */
  take(summary) {
    this.story.take(summary);
    this.render();
  }

  // -- live changes ---------------------------------------------------------------------------------------------

  get path() {
    const { promptId = "", nodeId = "" } = this.running ?? {};
    return `/memflow/live/${encodeURIComponent(promptId)}/${encodeURIComponent(nodeId)}`;
  }

  /** Post a live change; the result is what is wrong with it, or null. @param {object} body @returns {Promise<string | null>} */
  async send(body) {
    const answer = await this.host.fetch(this.path, postJson(body));
    if (answer.ok) return null;
    const { error } = await answer.json().catch(() => ({}));
    return error ?? `ComfyUI answered ${answer.status}.`;
  }

  // -- pins -----------------------------------------------------------------------------------------------------

  /** Open the menu of a remembered moment. @param {Moment} moment @param {HTMLElement} element */
  offer(moment, element) {
    if (moment.frame < 0) return; // a picture is pinned already, and stands nowhere in the story
    const items = [
      { label: say("Pin it"), act: () => this.pin(moment) },
      { label: say("Pin it with a name…"), act: () => this.pinWithName(moment) },
    ];
    const at = moment.time_s - this.story.firstS;
    const video = videoOf(this.node);
    if (video && at >= 0) items.push({ label: say("Show this moment"), act: () => seek(video, at) });
    openMenu(element, items);
  }

  /** @param {Moment} moment */
  async pinWithName(moment) {
    const asked = await this.host.askText(say("Pin {0}", seconds(moment.time_s)), say("Name: {0}", say(NAME_RULE)));
    const name = asked?.trim();
    if (!name) return;
    if (isPinName(name)) this.pin(moment, name);
    else this.host.toast("warn", say("Not pinned"), say("A pin's name is {0}.", say(NAME_RULE)));
  }

  /** Write a pin into the schedule's text. @param {Moment} moment @param {string} [name] */
  pin(moment, name) {
    const schedule = scheduleTextOf(this.node);
    if ("problem" in schedule) return this.host.toast("warn", say("Not pinned"), schedule.problem);
    const { widget, node } = schedule;
    widget.value = pinMoment(widget.value, exactSeconds(moment.time_s), name);
    widget.callback?.(widget.value);
    node.setDirtyCanvas?.(true, true);
    const at = seconds(moment.time_s);
    const done = name ? say("Pinned {0} as {1}", at, name) : say("Pinned {0}", at);
    this.host.toast("success", done, say("In {0}; it holds from the next run.", node.title));
  }
}

/** The video that a node shows. @param {ComfyNode} node @returns {HTMLVideoElement | null} */
function videoOf(node) {
  for (const widget of node.widgets ?? []) {
    const video = widget.element?.querySelector?.("video");
    if (video) return video;
  }
  return document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"] video`);
}

/** Show a moment of a video. @param {HTMLVideoElement} video @param {number} time */
function seek(video, time) {
  video.pause();
  video.currentTime = time;
  video.scrollIntoView?.({ block: "nearest" });
}
