// @ts-check
// Open the takes of a prompt from the timeline, choose one of them, and queue short branches with other seeds.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { say } from "../i18n/say.js";
import { loadStyle } from "../lib/dom.js";
import { executionIdOf, rootOf } from "../lib/graph.js";
import { postJson } from "../lib/http.js";
import { graphBehind } from "../plan/graph.js";
import { planRequest } from "../plan/request.js";
import { framesBehind } from "../schedule/grid.js";
import { farthestPosition } from "../schedule/plan.js";
import { branchPrompt, newSeeds } from "../takes/branch.js";
import { TakesPanel } from "../takes/panel.js";
import { branchText, setSeed } from "../timeline/operations.js";
import { samplersOf } from "../timeline/samplers.js";

/** @typedef {import("../timeline/timeline.js").Timeline} Timeline */

const MOST_ABSOLUTE_FRAMES = 1024; // latent frames, up to which positions are absolute
const JUMP_FRAMES = 8; // latent frames by which positions move on at a jump

/** @type {TakesPanel | null} */
let panel = null;

/** The sampler that plays a schedule. Throws, with a sentence, where there is none. @param {ComfyNode} node */
function samplerOf(node) {
  const [sampler] = samplersOf(node);
  if (!sampler) throw new Error(say("Connect the schedule to a sampler, and its takes stand here."));
  return sampler;
}

/** Ask the server about a story's takes. @param {ComfyNode} node  its schedule @param {object} more  than the story */
async function ask(node, more = {}) {
  const sampler = samplerOf(node);
  const request = planRequest(sampler);
  if ("problem" in request) throw new Error(request.problem);
  const body = { ...request.body, graph: graphBehind(sampler) ?? {}, node: "0", ...more };
  const answer = await api.fetchApi("/memflow/takes", postJson(body)).catch(() => null);
  const content = await answer?.json().catch(() => null);
  if (!content || content.error) throw new Error(content?.error ?? say("The server does not answer."));
  return content;
}

/** @param {{filename: string, subfolder: string, type: string}} film */
function addressOf({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/**
 * Queue short runs from the start of a prompt, each with a seed of its own. Throws, with a sentence.
 * @param {ComfyNode} node @param {Timeline} timeline @param {number} index @param {string[]} seeds @param {number} seconds
 */
async function queueBranches(node, timeline, index, seeds, seconds) {
  const [sampler, schedule] = [samplerOf(node), timeline.writable];
  const placed = schedule?.plan.placed[index];
  if (!schedule || !placed) throw new Error(say("The text cannot be changed here."));
  const { plan } = schedule;
  const { fps, end_s, chunks } = plan;
  const all = Math.round((end_s ?? 0) * fps);
  const relative = end_s === null || farthestPosition(plan, chunks, JUMP_FRAMES) > MOST_ABSOLUTE_FRAMES;
  if (relative) throw new Error(say("Positions of so long a story are relative, and those of a short branch would not be."));
  const length = Math.min(all, framesBehind(placed.chunk, seconds, plan));
  const { output, workflow } = await app.graphToPrompt();
  const root = rootOf(app.graph);
  const places = { schedule: executionIdOf(root, node), sampler: executionIdOf(root, sampler) };
  if (!output[places.schedule] || !output[places.sampler]) throw new Error(say("The story's nodes are switched off."));
  for (const seed of seeds) {
    const text = branchText(schedule, index, seed);
    await api.queuePrompt(0, { output: branchPrompt(output, places, text, length), workflow });
  }
  return say("Queued {0} runs of {1} s: their takes come here.", seeds.length, (length / fps - placed.start_s).toFixed(2));
}

/** What a panel needs of a schedule node's prompt. @param {ComfyNode} node @param {Timeline} timeline @param {number} index @returns {import("../takes/panel.js").Host} */
function hostOf(node, timeline, index) {
  return {
    ask: (more) => ask(node, more),
    address: addressOf,
    segment() {
      const placed = timeline.shown?.plan.placed[index];
      return placed ? { prompt: placed.segment.prompt, seconds: `${placed.start_s.toFixed(2)} s` } : null;
    },
    setSeed(seed) {
      if (!timeline.writable) return say("The text cannot be changed here.");
      timeline.apply((schedule) => setSeed(schedule, index, seed), false);
      return "";
    },
    tryOut: (count, seconds, known) => queueBranches(node, timeline, index, newSeeds(count, known), seconds),
  };
}

app.registerExtension({
  name: "MemFlow.Takes",

  setup() {
    loadStyle("takes.css");
    document.addEventListener("memflow-takes", (event) => {
      const { node, timeline, index } = /** @type {CustomEvent} */ (event).detail;
      panel?.close();
      panel = new TakesPanel(index, hostOf(node, timeline, index), (known) => newSeeds(1, known)[0]);
      panel.open();
    });
    for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(name, () => panel?.element.isConnected && panel.refresh());
    }
  },
});
