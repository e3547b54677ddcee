// @ts-check
// Ask the server for the story that runs, or has run, in the graph on show: the page may be younger than the run, or
// another one than that which queued it. Dispatches `memflow.run` for one under way, as GET /memflow/runs has it, with
// `memflow.live` for its state, and `memflow.result`, with a node's output, for one that has ended.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { allNodes, findEventNode, rootOf } from "../lib/graph.js";
import { isSampler } from "../lib/node_ids.js";

const AGAIN_MS = 1500;
// runs before this one, of other graphs, that are looked through
const MOST_RUNS = 5;

/** @typedef {{prompt_id: string, node: ComfyId, workflow: string}} RunOf a run, by the sampler that makes it */

/** @type {Map<string, number>} when a chunk of a run last came to this page, by `keyOf` */
const heard = new Map();
/** @type {Set<string>} runs that have ended, by `keyOf` */
const over = new Set();
/** @type {number | undefined} */
let waiting;
/** @type {Map<string, RunOf>} runs that this page only looks at, by `keyOf` */
let watched = new Map();

/** @param {string} path @returns {Promise<any>} null where the server does not answer as it should */
async function ask(path) {
  const answer = await api.fetchApi(path).catch(() => null);
  return answer?.ok ? answer.json().catch(() => null) : null;
}

/** @param {string} name @param {object} detail */
function dispatch(name, detail) {
  api.dispatchEvent(new CustomEvent(name, { detail }));
}

/** A prompt may have several samplers, each with a run of its own. @param {{prompt_id: string, node: ComfyId}} run */
function keyOf({ prompt_id, node }) {
  return `${prompt_id} ${node}`;
}

/** Show the runs of the graph on show; go on as long as there are any that send this page nothing. */
async function look() {
  clearTimeout(waiting);
  const graph = rootOf(app.graph);
  if (!allNodes(graph).some(isSampler)) return;
  const { runs = [] } = (await ask("/memflow/runs")) ?? {};
  if (graph !== rootOf(app.graph)) return;
  // an answer may be older than what this page has heard since it asked
  const open = runs.filter((/** @type {any} */ run) => run.workflow && !over.has(keyOf(run)));
  const ours = open.filter((/** @type {any} */ run) => findEventNode(graph, run));
  const before = watched;
  watched = new Map();
  for (const run of ours) {
    const { prompt_id, node, workflow, state } = run;
    const key = keyOf(run);
    const silent = performance.now() - (heard.get(key) ?? -Infinity) > AGAIN_MS;
    if (!before.has(key) || silent) {
      dispatch("memflow.run", run);
      dispatch("memflow.live", { ...state, prompt_id, node, workflow });
    }
    watched.set(key, { prompt_id, node, workflow });
  }
  const under = new Set(open.map(keyOf));
  for (const [key, run] of before) if (!under.has(key)) await showEnd(run);
  if (watched.size) waiting = window.setTimeout(look, AGAIN_MS);
}

/** Show that a run has ended that this page looked at, and its result. @param {RunOf} run */
async function showEnd(run) {
  dispatch("memflow.live", { ...run, ended: true, prompts: [], switches: [] });
  await showResult(run);
}

/** Show what a run has made, once its prompt has ended: other nodes may come after the sampler. @param {RunOf} run */
async function showResult(run) {
  const { prompt_id, workflow } = run;
  // in this order: a prompt leaves the queue as it enters the history
  const queue = await ask("/queue");
  const history = await ask(`/history/${encodeURIComponent(prompt_id)}`);
  if (history?.[prompt_id]) showOutputs(history[prompt_id], workflow);
  else if (queue?.queue_running?.some((/** @type {any[]} */ [, id]) => id === prompt_id)) {
    window.setTimeout(showResult, AGAIN_MS, run);
  }
}

/** @param {any} entry  of the history @param {string} workflow  the id of its graph */
function showOutputs(entry, workflow) {
  for (const [node, output] of Object.entries(entry?.outputs ?? {})) {
    if (/** @type {any} */ (output).memflow) dispatch("memflow.result", { node, workflow, output });
  }
}

/** Show the newest finished run of the graph that a page has opened. */
async function showLast() {
  const { id } = rootOf(app.graph);
  if (!allNodes(rootOf(app.graph)).some(isSampler)) return;
  const history = (await ask(`/history?max_items=${MOST_RUNS}`)) ?? {};
  const entries = /** @type {any[]} */ (Object.values(history)).reverse();
  const last = entries.find((entry) => entry.prompt?.[3]?.extra_pnginfo?.workflow?.id === id);
  if (id === rootOf(app.graph).id) showOutputs(last, String(id));
}

let opened = false;

app.registerExtension({
  name: "MemFlow.Runs",

  setup() {
    api.addEventListener("memflow.chunk", ({ detail }) => heard.set(keyOf(detail), performance.now()));
    api.addEventListener("memflow.live", ({ detail }) => {
      if (detail.ended) over.add(keyOf(detail));
    });
  },

  afterConfigureGraph() {
    // a graph that is loaded is complete, and on show, a moment later
    clearTimeout(waiting);
    waiting = window.setTimeout(look, 0);
    if (!opened) showLast();
    opened = true;
  },
});
