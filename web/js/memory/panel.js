// @ts-check
// The memory panel of a sampling node: the view of its bank, the box for live changes, and pins set by a click.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { postJson } from "../lib/http.js";
import { openMenu } from "../lib/menu.js";
import { MARGIN, NodePanel } from "../lib/panel.js";
import { isPinName } from "../schedule/options.js";
import { pinMoment } from "../schedule/pins.js";
import { exactSeconds } from "../schedule/time.js";
import { LiveBox } from "./live_box.js";
import { MemoryLog, seconds } from "./log.js";
import { scheduleTextOf } from "./schedule_text.js";
import { MemoryView } from "./view.js";

/** @typedef {import("./log.js").ChunkEvent} ChunkEvent */
/** @typedef {import("./log.js").DoneEvent} DoneEvent */
/** @typedef {import("./log.js").RememberedFrame} RememberedFrame */
/** @typedef {import("./live_box.js").LiveState & {prompt_id: string, node: string}} LiveEvent */
/**
 * @typedef {object} Host what the panel needs of the page
 * @property {(path: string, options?: RequestInit) => Promise<Response>} fetch  from the server
 * @property {(severity: "success" | "warn", summary: string, detail: string) => void} toast
 * @property {(title: string, message: string) => Promise<string | null | undefined>} askText  of the user
 */

const NAME_RULE = "one word of letters, digits, - and _ that starts with a letter (at most 40)";

// heights in pixels
const LINE_HEIGHT = 24;
const VIEW_HEIGHT = 240;
const LIVE_HEIGHT = 128;
const GAP = 6;

export class MemoryPanel extends NodePanel {
  /** @param {ComfyNode} node @param {Host} host */
  constructor(node, host) {
    super(node, el("div", { class: "memflow-memory" }));
    this.host = host;
    this.log = new MemoryLog();
    /** @type {{promptId: string, nodeId: string} | null} the run that can be directed */
    this.running = null;
    this.view = new MemoryView((remembered, element) => this.openFrameMenu(remembered, element));
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
    this.view.render(this.log);
  }

  // -- events of a run ------------------------------------------------------------------------------------------

  /** A chunk is finished. @param {ChunkEvent} event memflow.chunk */
  addChunk(event) {
    this.log.addChunk(event);
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
      this.log.start(event.prompt_id);
      this.render();
    }
    this.live.update(event);
  }

  /** A run has ended; the event holds chunks that the page may have missed. @param {DoneEvent} event memflow.done */
  endRun(event) {
    this.log.end(event.prompt_id, event.memory, event.ended);
    this.render();
  }

  /** Show a run's result, which may come from ComfyUI's cache. @param {import("./log.js").Summary} summary */
  showResult(summary) {
    this.log.load(summary);
    this.render();
  }

  // -- live changes ---------------------------------------------------------------------------------------------

  /** The path of the run's live state. */
  get path() {
    const { promptId = "", nodeId = "" } = this.running ?? {};
    return `/memflow/live/${encodeURIComponent(promptId)}/${encodeURIComponent(nodeId)}`;
  }

  /** Post a live change; resolves to an error, or null. @param {object} body @returns {Promise<string | null>} */
  async send(body) {
    const answer = await this.host.fetch(this.path, postJson(body));
    if (answer.ok) return null;
    const { error } = await answer.json().catch(() => ({}));
    return error ?? `ComfyUI answered ${answer.status}.`;
  }

  // -- pins -----------------------------------------------------------------------------------------------------

  /** Open the menu of a remembered frame. @param {RememberedFrame} remembered @param {HTMLElement} element */
  openFrameMenu(remembered, element) {
    if (remembered.frame < 0) return; // an image that was given is pinned already, and has no time in the story
    const items = [
      { label: say("Pin it"), act: () => this.pin(remembered) },
      { label: say("Pin it with a name…"), act: () => this.pinWithName(remembered) },
    ];
    const at_s = remembered.time_s - this.log.firstS;
    const video = videoOf(this.node);
    if (video && at_s >= 0) items.push({ label: say("Show this moment"), act: () => seek(video, at_s) });
    openMenu(element, items);
  }

  /** Ask for a name and pin a frame under it. @param {RememberedFrame} remembered */
  async pinWithName(remembered) {
    const title = say("Pin {0}", seconds(remembered.time_s));
    const name = (await this.host.askText(title, say("Name: {0}", say(NAME_RULE))))?.trim();
    if (!name) return;
    if (isPinName(name)) this.pin(remembered, name);
    else this.host.toast("warn", say("Not pinned"), say("A pin's name is {0}.", say(NAME_RULE)));
  }

  /** Write a pin into the schedule's text. @param {RememberedFrame} remembered @param {string} [name] */
  pin({ time_s }, name) {
    const schedule = scheduleTextOf(this.node);
    if ("problem" in schedule) return this.host.toast("warn", say("Not pinned"), schedule.problem);
    const { widget, node } = schedule;
    widget.value = pinMoment(widget.value, exactSeconds(time_s), name);
    widget.callback?.(widget.value);
    node.setDirtyCanvas?.(true, true);
    const summary = name ? say("Pinned {0} as {1}", seconds(time_s), name) : say("Pinned {0}", seconds(time_s));
    this.host.toast("success", summary, say("In {0}; it holds from the next run.", node.title));
  }
}

/** The video that a node shows. @param {ComfyNode} node @returns {HTMLVideoElement | null} */
function videoOf(node) {
  for (const { element } of node.widgets ?? []) {
    const video = element?.querySelector?.("video");
    if (video) return video;
  }
  return document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"] video`);
}

/** Show a moment of a video. @param {HTMLVideoElement} video @param {number} time_s */
function seek(video, time_s) {
  video.pause();
  video.currentTime = time_s;
  video.scrollIntoView?.({ block: "nearest" });
}
