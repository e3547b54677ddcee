// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { sourceOf } from "../../web/js/lib/graph.js";
import { Lasting } from "../../web/js/lib/lasting.js";
import { Places } from "../../web/js/lib/moved.js";

const ID = "1111-22";
const node = (id, graph, values = {}) => ({
  id, graph, comfyClass: "MemFlowSampler", title: "Sampler",
  widgets: Object.entries({ seed: 1, ...values }).map(([name, value]) => ({ name, value })),
});
const graphOf = (id, ...nodes) => {
  const graph = { id, nodes: [] };
  graph.nodes.push(...nodes.map(([number, values]) => node(number, graph, values)));
  return graph;
};
const all = () => true;

/** The root graph with nodes of it in a subgraph. */
function converted(outside, inside) {
  const root = graphOf(ID, ...outside);
  const subgraph = graphOf("inner", ...inside);
  root.nodes.push({ id: 90, graph: root, comfyClass: "inner", widgets: [], subgraph });
  return root;
}

test("a node that a subgraph takes in and lets out again is followed", () => {
  const places = new Places();
  assert.deepEqual(places.look(graphOf(ID, [5], [6, { seed: 2 }]), all), []);
  assert.deepEqual(places.look(converted([[6, { seed: 2 }]], [[5]]), all), [{ from: `${ID}/5`, to: `${ID}/inner:5` }]);
  assert.deepEqual(places.look(graphOf(ID, [12], [6, { seed: 2 }]), all), [{ from: `${ID}/inner:5`, to: `${ID}/12` }]);
  // values may be those that the subgraph's own widgets had
  assert.deepEqual(places.look(converted([[6, { seed: 2 }]], [[5, { seed: 3 }]]), all), [{ from: `${ID}/12`, to: `${ID}/inner:5` }]);
  const kept = new Lasting();
  kept.set(`${ID}/5`, "a film");
  kept.follow([{ from: `${ID}/5`, to: `${ID}/inner:5` }, { from: `${ID}/7`, to: `${ID}/8` }]);
  assert.deepEqual([`${ID}/5`, `${ID}/inner:5`, `${ID}/8`].map((place) => kept.get(place)), ["a film", "a film", undefined]);
});

test("another graph, and of two that could be it any, are not taken for one that is gone", () => {
  const places = new Places();
  places.look(graphOf(ID, [5]), all);
  assert.deepEqual(places.look(graphOf("3333", [7]), all), []);
  // of other values, one that could be either
  places.look(graphOf(ID, [5], [6, { seed: 2 }]), all);
  assert.deepEqual(places.look(graphOf(ID, [7, { seed: 3 }]), all), []);
  places.look(graphOf(ID, [5], [6]), all);
  assert.deepEqual(places.look(graphOf(ID, [7], [8]), all), []);
  // a copy beside it is none that has moved
  places.look(graphOf(ID, [5]), all);
  assert.deepEqual(places.look(graphOf(ID, [5], [6]), all), []);
});

test("an input of a subgraph node that has no link has no source, and is not asked for one", () => {
  const subgraph = { id: "inner" };
  const outer = { id: 90, subgraph, inputs: [{}], graph: { links: new Map(), nodes: [] }, getInputNode: () => assert.fail() };
  assert.equal(sourceOf(outer, 0), null);
});
