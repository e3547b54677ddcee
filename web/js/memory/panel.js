// @ts-check
// The memory panel of a sampling node: the view of its bank, the box for live changes, and pins set by a click.
import { say, sayError } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { isLinked, widgetOf } from "../lib/graph.js";
import { postJson } from "../lib/http.js";
import { gridOf } from "../lib/length.js";
import { openMenu } from "../lib/menu.js";
import { MARGIN, NodePanel } from "../lib/panel.js";
import { TextError } from "../schedule/errors.js";
import { isPinName } from "../schedule/options.js";
import { askForPin, pinMoment, promptsThatMayAsk } from "../schedule/pins.js";
import { exactSeconds } from "../schedule/time.js";
import { LiveBox } from "./live_box.js";
import { clock, describe, MemoryLog, seconds } from "./log.js";
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
 * @property {<Result>(change: () => Result) => Result} asOneStep  makes a change of the graph one step of undo
 */

const NAME_RULE = "one word of letters, digits, - and _ that starts with a letter (at most 40)";

// of what is known of a moment, over its menu
const TITLE_LINES = 3;
// heights in pixels
const NOW_HEIGHT = 112;
const HISTORY_HEIGHT = 200;
const LIVE_HEIGHT = 88;
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
    this.live = new LiveBox((body) => this.send(body), () => this.keepPlayed());
    this.element.append(this.live.element, this.view.element);
    this.view.onResize = () => this.fit();
    this.render();
  }

  get height() {
    return 2 * MARGIN + LIVE_HEIGHT + GAP + NOW_HEIGHT + (this.view.open ? HISTORY_HEIGHT : 0);
  }

  render() {
    this.view.render(this.log);
    this.live.offerPlayed(Boolean(this.log.played));
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
    const asked = { promptId: event.prompt_id, nodeId: event.node };
    this.running = asked;
    const answer = await this.host.fetch(this.path);
    const state = answer.ok ? (await answer.json()).state : null;
    // what an event has told meanwhile is newer: the run may have ended
    if (state && this.running === asked) this.live.update(state);
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

  /**
   * Show a run that began before the page was there, or that another page has queued.
   * @param {{prompt_id: string, node: string, chunks: number | null, memory: import("./log.js").Summary}} run
   */
  join(run) {
    this.log.join(run);
    this.running = { promptId: run.prompt_id, nodeId: run.node };
    this.render();
  }

  /** Go on from the panel of a node that was in this one's place. @param {MemoryPanel} before */
  adopt(before) {
    this.log = before.log;
    this.running = before.running;
    this.render();
    this.live.update(before.live.state);
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
    return error ? sayError(error) : say("ComfyUI answered {0}.", answer.status);
  }

  /** Put what was played into the schedule's text. */
  keepPlayed() {
    const written = this.writeText(() => this.log.played, say("Not changed"), true);
    if (!written) return;
    this.host.toast("success", say("What was played is in {0}", written), say("With the same seed it plays again as it was."));
    this.log.played = "";
    this.render();
  }

  // -- pins -----------------------------------------------------------------------------------------------------

  /** Open the menu of a remembered frame. @param {RememberedFrame} remembered @param {HTMLElement} element */
  openFrameMenu(remembered, element) {
    if (remembered.frame < 0) return; // an image that was given is pinned already, and has no time in the story
    /** @type {import("../lib/menu.js").Item[]} */
    const items = [
      { label: say("Pin it"), hint: say("always remembered, from the next run on"), act: () => this.pin(remembered) },
      {
        label: say("Pin it with a name…"),
        hint: say("remembered under the prompts that ask for it"),
        act: () => this.pinWithName(remembered, element),
      },
    ];
    const at_s = remembered.time_s - this.log.firstS;
    const video = videoOf(this.node);
    if (video && at_s >= 0) items.push({ label: say("Show this moment"), act: () => seek(video, at_s) });
    const chosenFor = this.log.chosenFor(remembered, Infinity);
    openMenu(element, items, describe(remembered, { chosenFor }).split("\n").slice(0, TITLE_LINES).join(" · "));
  }

  /** Ask for a name and pin a frame under it. @param {RememberedFrame} remembered @param {HTMLElement} element */
  async pinWithName(remembered, element) {
    const title = say("Pin {0}", seconds(remembered.time_s));
    const name = (await this.host.askText(title, say("Name: {0}", say(NAME_RULE))))?.trim();
    if (!name) return;
    if (!isPinName(name)) {
      this.host.toast("warn", say("Not pinned"), say("A pin's name is {0}.", say(NAME_RULE)));
      return;
    }
    if (this.pin(remembered, name)) this.offerToAsk(remembered, name, element);
  }

  /**
   * Write a pin into the schedule's text; false where there is none to write into.
   * @param {RememberedFrame} remembered @param {string} [name]
   */
  pin({ time_s }, name) {
    const written = this.writeText((text) => pinMoment(text, exactSeconds(time_s), name), say("Not pinned"));
    if (!written) return false;
    const summary = name ? say("Pinned {0} as {1}", seconds(time_s), name) : say("Pinned {0}", seconds(time_s));
    const how = name
      ? say("In {0}. A prompt has to ask for it: write [{1}] behind its time, or choose it among its pins.", written, name)
      : say("In {0}; it holds from the next run.", written);
    this.host.toast("success", summary, how);
    return true;
  }

  /**
   * Offer prompts that may ask for a named pin, since it does nothing until one does.
   * @param {RememberedFrame} remembered @param {string} name @param {HTMLElement} element
   */
  offerToAsk({ time_s }, name, element) {
    const schedule = scheduleTextOf(this.node);
    const text = "problem" in schedule ? "" : String(schedule.widget.value);
    const items = promptsThatMayAsk(text, time_s, gridOf(this.node)).map(({ index, start_s, prompt }) => ({
      label: say("Prompt {0}, from {1}", index + 1, clock(start_s)),
      hint: prompt,
      act: () => this.askFor(index, name),
    }));
    if (!items.length) return;
    const none = { label: say("None yet"), hint: say("the pin waits until a prompt asks for it"), act: () => {} };
    const anchor = element.isConnected ? element : this.view.head;
    openMenu(anchor, [...items, none], say("Which prompt is to remember {0}?", name));
  }

  /** Let a prompt of the schedule ask for a pin. @param {number} index @param {string} name */
  askFor(index, name) {
    const ask = (/** @type {string} */ text) => askForPin(text, index, name, gridOf(this.node));
    const written = this.writeText(ask, say("Not changed"));
    if (written) this.host.toast("success", say("Prompt {0} asks for {1}", index + 1, name), say("In {0}; it holds from the next run.", written));
  }

  /**
   * Change the schedule's text; returns the title of its node, or "" where there is none, and says why.
   * @param {(text: string) => string} change @param {string} failed  summary of the toast
   * @param {boolean} [whole]  whether all of it is replaced by one schedule
   */
  writeText(change, failed, whole = false) {
    const schedule = scheduleTextOf(this.node, whole);
    if ("problem" in schedule) {
      this.host.toast("warn", failed, schedule.problem);
      return "";
    }
    const { widget, node } = schedule;
    // before the step: a text that cannot be changed makes none
    const text = this.changed(change, String(widget.value), failed);
    if (text === null) return "";
    this.host.asOneStep(() => {
      setWidget(widget, text);
      const story = whole ? widgetOf(node, "story") : undefined;
      if (story && story.value !== 1 && !isLinked(node, "story")) setWidget(story, 1);
    });
    node.setDirtyCanvas?.(true, true);
    return node.title;
  }

  /**
   * A text as a change makes it; null where it cannot be made, which is told.
   * @param {(text: string) => string} change @param {string} text @param {string} failed  summary of the toast
   */
  changed(change, text, failed) {
    try {
      return change(text);
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      this.host.toast("warn", failed, sayError(error.message));
      return null;
    }
  }
}

/** @param {ComfyWidget} widget @param {any} value */
function setWidget(widget, value) {
  widget.value = value;
  widget.callback?.(value);
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
