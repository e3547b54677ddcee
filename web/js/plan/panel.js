// @ts-check
// The plan panel of a sampling node: the server's plan for the values that are set, and presets.
import { say, sayMessage } from "../i18n/say.js";
import { postJson } from "../lib/http.js";
import { MARGIN, NodePanel } from "../lib/panel.js";
import { PlanBlock } from "./block.js";
import { applyPreset } from "./presets.js";
import { planRequest } from "./request.js";

/** @typedef {import("../i18n/say.js").Message} Message */
/** @typedef {import("./presets.js").Preset} Preset */
/**
 * @typedef {object} Host what the panel needs of the page
 * @property {(path: string, options?: RequestInit) => Promise<Response>} fetch  from the server
 * @property {() => Promise<Preset[]>} presets
 * @property {(type: string) => ComfyNode} createNode
 * @property {<Result>(change: () => Result) => Result} asOneStep  makes a change of the graph one step of undo
 */

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
    /** the request of the plan on show */
    this.key = "";
  }

  get height() {
    return 2 * MARGIN + (this.block.open ? OPEN_HEIGHT : LINE_HEIGHT);
  }

  /** Ask for a new plan if the values set have changed. */
  refresh() {
    const request = planRequest(this.node);
    const key = JSON.stringify(request);
    if (key === this.key) return;
    this.key = key;
    this.block.showNotice("");
    if ("problem" in request) this.block.show("", [request.problem]);
    else this.fetchPlan(key, request.body);
  }

  /** Show the server's plan, unless another one is asked for by then. @param {string} key @param {object} body */
  async fetchPlan(key, body) {
    const answer = await this.host.fetch("/memflow/plan", postJson(body)).catch(() => null);
    const plan = await answer?.json().catch(() => null);
    if (key !== this.key) return;
    if (plan?.said) this.show(plan.said);
    else if (plan?.error) this.block.show(say("cannot be run like this"), [plan.error], true);
    else this.block.show("", [say("The server does not answer: the plan is told when the run starts.")]);
  }

  /** @param {Message[]} messages  summary and lines */
  show(messages) {
    const [summary, ...lines] = messages.map(sayMessage);
    this.block.show(summary, lines);
  }

  /** Set a preset's values on the node. @param {Preset} preset */
  apply(preset) {
    const notice = this.host.asOneStep(() => applyPreset(this.node, preset, this.host.createNode));
    this.node.graph?.setDirtyCanvas(true, true);
    this.refresh();
    if (!this.block.open) this.block.setOpen(true);
    this.block.showNotice(notice);
  }

  /**
   * Show the plan of a run that has begun, for the very model it runs.
   * @param {{said: Message[]}} event memflow.plan
   */
  begin(event) {
    this.show(event.said);
  }
}
