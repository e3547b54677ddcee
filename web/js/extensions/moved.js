// @ts-check
// Tell when nodes have moved to another place of the graph: into a subgraph, or out of one. Dispatches `memflow.moved`, a
// list of places before and now, for whatever holds what a node has shown.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { rootOf } from "../lib/graph.js";
import { Places } from "../lib/moved.js";
import { isSampler, PROMPT_SCHEDULE } from "../lib/node_ids.js";

const places = new Places();

function look() {
  const moves = places.look(rootOf(app.graph), (node) => isSampler(node) || node.comfyClass === PROMPT_SCHEDULE);
  if (moves.length) api.dispatchEvent(new CustomEvent("memflow.moved", { detail: moves }));
}

app.registerExtension({
  name: "MemFlow.Moved",
  setup: () => api.addEventListener("graphChanged", look),
  afterConfigureGraph: look,
});
