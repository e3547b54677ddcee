// @ts-check
// The plan panel of a sampling node: the server's plan for the values that are set, and presets.
import { say, sayError, sayMessage } from "../i18n/say.js";
import { setChunk } from "../lib/chunks.js";
import { setControls } from "../lib/controls.js";
import { isLinked, widgetOf } from "../lib/graph.js";
import { postJson } from "../lib/http.js";
import { MARGIN, NodePanel } from "../lib/panel.js";
import { valueOf } from "../lib/values.js";
import { PlanBlock } from "./block.js";
import { graphBehind, seedStays } from "./graph.js";
import { applyPreset } from "./presets.js";
import { labelOf, modelOf, planRequest } from "./request.js";

/** @typedef {import("../i18n/say.js").Message} Message */
/** @typedef {import("./presets.js").Preset} Preset */
/**
 * @typedef {object} Host what the panel needs of the page
 * @property {(path: string, options?: RequestInit) => Promise<Response>} fetch  from the server
 * @property {() => Promise<Preset[]>} presets
 * @property {(type: string) => ComfyNode} createNode
 * @property {() => boolean} seedsChangeFirst  whether seeds change before a run is queued, and not after it
 * @property {(node: ComfyNode, kept: import("../lib/kept.js").Kept | null) => void} setKept  what an earlier run has made
 * @property {<Result>(change: () => Result) => Result} asOneStep  makes a change of the graph one step of undo
 */

// pixels of a picture that the tiny story model draws
const TINY_SIDE = 64;
// not as high as the text is: the node would change its size, and ComfyUI's undo would have that as a step
const [LINE_HEIGHT, OPEN_HEIGHT] = [24, 156];

export class PlanPanel extends NodePanel {
  /** @param {ComfyNode} node @param {Host} host */
  constructor(node, host) {
    const block = new PlanBlock(host.presets);
    super(node, block.element);
    this.host = host;
    this.block = block;
    block.onPreset = (preset) => this.apply(preset);
    block.onResize = () => this.fit();
    /** the request of the plan on show, and the graph behind it */
    this.key = "";
    this.graphKey = "";
    /** whether the tiny model is to draw a size that it does not know */
    this.wrongSize = false;
    /** @type {import("../lib/kept.js").Kept | null} what is known to be kept */
    this.kept = null;
  }

  get height() {
    return 2 * MARGIN + (this.block.open ? OPEN_HEIGHT : LINE_HEIGHT);
  }

  /** Ask for a new plan if the values set have changed, or what is kept where only the graph behind them has. */
  refresh() {
    // where there is no plan, too
    this.offerSize();
    const request = planRequest(this.node);
    const graph = "body" in request ? this.graph() : {};
    const [key, graphKey] = [JSON.stringify(request), JSON.stringify(graph)];
    const same = key === this.key;
    if (same && graphKey === this.graphKey) return;
    [this.key, this.graphKey] = [key, graphKey];
    if (same) return this.refreshKept();
    this.block.showNotice("");
    if ("body" in request) return this.fetchPlan({ ...request.body, ...graph });
    this.block.show("", [request.problem]);
    this.keep(null);
    setControls(this.node, []);
  }

  /** Offer the size that the tiny model draws, where another is set; a side that is linked is not set here. */
  offerSize() {
    const sides = modelOf(this.node) === "tiny" ? ["width", "height"].filter((name) => isWrong(this.node, name)) : [];
    this.wrongSize = sides.length > 0;
    this.block.showOffer(this.offerText(sides), () => {
      this.host.asOneStep(() => {
        for (const side of freeOf(this.node, sides)) {
          side.value = TINY_SIDE;
          side.callback?.(TINY_SIDE);
        }
      });
      this.node.graph?.setDirtyCanvas(true, true);
      this.refresh();
    });
  }

  /** What the button says that sets wrong sides; "" where none can be set. @param {string[]} sides */
  offerText(sides) {
    const [free] = freeOf(this.node, sides);
    if (!free) return "";
    const linked = ["width", "height"].some((name) => isLinked(this.node, name));
    return linked ? say("Set {0} to {1}", labelOf(this.node, free.name), TINY_SIDE) : say("Set {0} x {1}", TINY_SIDE, TINY_SIDE);
  }

  /** The graph behind the node, which tells what is kept; empty where it does not. */
  graph() {
    const graph = seedStays(this.node, this.host.seedsChangeFirst()) && graphBehind(this.node);
    return graph ? { graph, node: "0" } : {};
  }

  /** Show the server's plan, unless another one is asked for by then. @param {object} body */
  async fetchPlan(body) {
    const keys = this.key + this.graphKey;
    const plan = await this.ask(body);
    if (keys !== this.key + this.graphKey) return;
    this.keep(plan?.kept ?? null);
    setChunk(this.node, plan?.chunk_frames);
    // while a text cannot be read, what is known of them stays in sight
    if (plan?.controls) setControls(this.node, plan.controls);
    else if (!("control" in body)) setControls(this.node, []);
    if (plan?.said) this.show(plan.said);
    else if (plan?.error) this.block.show(say("cannot be run like this"), [sayError(plan.error)], true);
    else this.block.show("", [say("The server does not answer: the plan is told when the run starts.")]);
  }

  /**
   * Ask what is kept now. The plan on show, which may be that of the very run, stays unless that has changed.
   * @param {boolean} [ran]  whether a run has ended: the plan on show is its own
   */
  async refreshKept(ran = false) {
    const request = planRequest(this.node);
    const keys = this.key + this.graphKey;
    if (!("body" in request) || keys !== JSON.stringify(request) + JSON.stringify(this.graph())) return;
    const plan = await this.ask({ ...request.body, ...this.graph() });
    if (keys !== this.key + this.graphKey) return;
    const changed = this.keep(plan?.kept ?? null);
    if (changed && !ran && plan?.said) this.show(plan.said);
  }

  /** Hand on what is kept; returns whether that has changed. @param {import("../lib/kept.js").Kept | null} kept */
  keep(kept) {
    const changed = JSON.stringify(kept) !== JSON.stringify(this.kept);
    this.kept = kept;
    this.host.setKept(this.node, kept);
    return changed;
  }

  /** The server's answer; null for none. @param {object} body @returns {Promise<any>} */
  async ask(body) {
    const answer = await this.host.fetch("/memflow/plan", postJson(body)).catch(() => null);
    return answer?.json().catch(() => null);
  }

  /** How much of the story the next run renders, in a few words; "" where that is all of it, or not known. */
  renders() {
    const { kept } = this;
    if (!kept?.chunk || kept.renders_s === null || kept.of_s === null) return "";
    const [renders, whole] = [kept.renders_s, kept.of_s].map((time_s) => `${Number(time_s.toFixed(2))} s`);
    return say("renders {0} of {1}", renders, whole);
  }

  /** @param {Message[]} messages  summary and lines */
  show(messages) {
    const [summary, ...lines] = messages.map(sayMessage);
    if (this.wrongSize) {
      // more to the point than what noise takes
      this.block.show(say("this model draws {0} x {1} alone", TINY_SIDE, TINY_SIDE), lines);
      return;
    }
    this.block.show([this.renders(), summary].filter(Boolean).join(" · "), lines);
  }

  /** Set a preset's values on the node. @param {Preset} preset */
  apply(preset) {
    const notice = this.host.asOneStep(() => {
      // the node's new height belongs to the same step
      if (!this.block.open) this.block.setOpen(true);
      return applyPreset(this.node, preset, this.host.createNode);
    });
    this.node.graph?.setDirtyCanvas(true, true);
    this.refresh();
    this.block.showNotice(notice);
  }

  /**
   * Show the plan of a run that has begun, for the very model it runs.
   * @param {{said: Message[], chunk_frames?: number, controls?: import("../lib/controls.js").Placed[]}} event memflow.plan
   */
  begin(event) {
    setChunk(this.node, event.chunk_frames);
    setControls(this.node, event.controls ?? []);
    this.show(event.said);
  }
}

/** Whether a side is known to run with another value than the tiny model draws. @param {ComfyNode} node @param {string} name */
function isWrong(node, name) {
  const value = valueOf(node, name);
  return value !== undefined && value !== TINY_SIDE;
}

/** The widgets of sides that no link feeds. @param {ComfyNode} node @param {string[]} names */
function freeOf(node, names) {
  return names.flatMap((name) => (isLinked(node, name) ? [] : (widgetOf(node, name) ?? [])));
}
