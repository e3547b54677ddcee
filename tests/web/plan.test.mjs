// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { applyPreset } from "../../web/js/plan/presets.js";
import { planRequest } from "../../web/js/plan/request.js";

/** A graph of nodes; inputs: {name: [node, slot]} or null for nothing connected. */
function graph() {
  const made = { nodes: [], getNodeById: (id) => made.nodes.find((node) => node.id === id), add: (node) => put(node) };
  made.rootGraph = made;
  made.getLink = (link) => {
    const [id, slot] = link.split(":").map(Number);
    return made.getNodeById(id).entering(slot);
  };
  const put = (node) => made.nodes.push(Object.assign(node, { id: made.nodes.length + 1, graph: made }));
  return made;
}

function node(home, comfyClass, widgets = {}, inputs = {}, more = {}) {
  const made = {
    comfyClass, type: comfyClass, title: comfyClass, mode: 0, pos: [0, 0], size: [100, 100], outputs: [{ links: [1] }],
    widgets: Object.entries(widgets).map(([name, value]) => ({ name, value })),
    inputs: Object.entries(inputs).map(([name, source]) => ({
      name, link: source && 1, source, type: more.types?.[name] ?? "*", ...(name in widgets ? { widget: { name } } : {}),
    })),
    getInputLink(slot) {
      // as in the front end, where it tells of what goes out of the inside
      if (this.subgraph) throw new TypeError("no such slot");
      return this.entering(slot);
    },
    entering(slot) {
      const { source, type } = this.inputs[slot];
      if (!source) return null;
      const [origin, origin_slot] = source;
      return { origin_id: origin === home ? -10 : origin.id, origin_slot, type, resolve: () => ({ outputNode: origin === home ? undefined : origin }) };
    },
    computeSize: () => [100, 60],
    setSize(size) {
      this.size = size;
    },
    connect(slot, to, at) {
      Object.assign(to.inputs[at], { link: `${to.id}:${at}`, source: [this, slot] });
    },
  };
  home.add(made);
  for (const [slot, input] of made.inputs.entries()) input.link = input.source && `${made.id}:${slot}`;
  return made;
}

const NUMBERS = { length: 81, fps: 16, width: 832, height: 480, steps: "1000, 500" };

function sampler(home, inputs = {}, widgets = {}) {
  return node(home, "MemFlowSampler", { ...NUMBERS, ...widgets }, { model: null, schedule: null, memory: null, state: null, ...inputs });
}

const schedule = (home, text = "0s: a") => node(home, "MemFlowPromptSchedule", { prompts: text, global_prompt: "red" });

test("a run is read from its nodes", () => {
  const home = graph();
  const memory = node(home, "MemFlowMemory", { preset: "Custom", "preset.bank_size": 5 });
  const tiny = node(home, "MemFlowTinyStory");
  const lora = node(home, "LoraLoaderModelOnly", {}, { model: [tiny, 0] }, { types: { model: "MODEL" } });
  const reroute = node(home, "Reroute", {}, { "": [schedule(home), 0] });
  const request = planRequest(sampler(home, { model: [lora, 0], schedule: [reroute, 0], memory: [memory, 0] }));
  assert.deepEqual(request.body, {
    schedule: "0s: a", global_prompt: "red", memory: { preset: "Custom", bank_size: 5 }, model: "tiny", ...NUMBERS, streamed: false,
  });
  const plain = planRequest(sampler(home, { schedule: [schedule(home), 0] })).body;
  assert.equal(plain.memory, null);
  assert.equal(plain.model, "1.3B");
});

test("a chain of segments is a schedule", () => {
  const home = graph();
  const at = (start, before, more = {}) =>
    node(home, "MemFlowPromptSegment", { start, unit: "seconds", switch: "recache", blend: 3, blend_path: "linear", ...more }, { schedule: before });
  const second = at(4, [at(0, null), 0], { switch: "blend" });
  const off = at(6, [second, 0]);
  off.mode = 4;
  off.inputs[0].type = "*";
  const last = at(9, [off, 0], { unit: "chunks" });
  assert.deepEqual(planRequest(sampler(home, { schedule: [last, 0] })).body.schedule, [
    { start_s: 0, prompt: "segment 1", switch: "recache" },
    { start_s: 4, prompt: "segment 2", switch: "blend", blend: { s: 3, path: "linear" } },
    { chunk: 9, prompt: "segment 3", switch: "recache" },
  ]);
});

test("a value that only a run computes is a problem", () => {
  const home = graph();
  const other = node(home, "SomethingElse");
  assert.match(planRequest(sampler(home)).problem, /^Connect a schedule/);
  assert.match(planRequest(sampler(home, { schedule: [other, 0] })).problem, /^The schedule comes from another node/);
  const text = node(home, "MemFlowPromptSchedule", { prompts: "", global_prompt: "" }, { prompts: [other, 0] });
  assert.match(planRequest(sampler(home, { schedule: [text, 0] })).problem, /^The schedule's text comes from another node/);
  const state = sampler(home, { schedule: [schedule(home), 0], state: [other, 0] });
  assert.match(planRequest(state).problem, /goes on from a state/);
  assert.match(planRequest(sampler(home, { schedule: [schedule(home), 0], memory: [other, 0] })).problem, /^The memory comes/);
  assert.match(planRequest(sampler(home, { schedule: [schedule(home), 0], length: [other, 0] })).problem, /^length comes from/);
  const primitive = node(home, "PrimitiveInt", { value: 153 });
  assert.equal(planRequest(sampler(home, { schedule: [schedule(home), 0], length: [primitive, 0] })).body.length, 153);
});

test("out of a subgraph", () => {
  const [root, inner] = [graph(), graph()];
  inner.rootGraph = root;
  const outer = node(root, "Subgraph", { length: 57 }, { schedule: [schedule(root, "0s: out"), 0], length: null });
  outer.subgraph = inner;
  const body = planRequest(sampler(inner, { schedule: [inner, 0], length: [inner, 1] })).body;
  assert.equal(body.schedule, "0s: out");
  assert.equal(body.length, 57);
});

test("a preset sets what it can, and lists the rest", () => {
  const home = graph();
  const preset = { name: "Draft", widgets: { width: 480, height: 272, steps: "1000, 500", quality: "medium" }, memory: "Story" };
  const linked = sampler(home, { width: [node(home, "SomethingElse"), 0] });
  const memory = () => node(graph(), "MemFlowMemory", { preset: "Window only" });
  assert.equal(
    applyPreset(linked, preset, memory),
    "Draft set height 480 → 272, memory none → Story, in a new MemFlow Memory. Already so: steps 1000, 500. " +
      "Left alone: width, which comes from another node.",
  );
  assert.equal(linked.widgets.find(({ name }) => name === "width").value, 832);
  assert.match(applyPreset(linked, preset, memory), /^Draft changed nothing. Already so: height 272, steps 1000, 500, memory Story./);
  const tiny = sampler(home, { model: [node(home, "MemFlowTinyStory"), 0] });
  assert.match(applyPreset(tiny, preset, memory), /Left alone: width, since the tiny story model draws 64 x 64 pixels, height/);
});

test("the precision of what is remembered goes along, and is read", () => {
  const home = graph();
  const preset = { name: "8 GB", widgets: { steps: "1000, 500" }, memory: "Story", cache: "fp8" };
  const made = node(home, "MemFlowMemory", { preset: "Story", cache: "model" });
  const stream = sampler(home, { schedule: [schedule(home), 0], memory: [made, 0] });
  assert.equal(applyPreset(stream, preset, () => null), "8 GB set cache model → fp8. Already so: steps 1000, 500, memory Story.");
  assert.deepEqual(planRequest(stream).body.memory, { preset: "Story", cache: "fp8" });
  assert.match(applyPreset(stream, { ...preset, cache: "model" }, () => null), /^8 GB set cache fp8 → model/);
  const loader = (weight_dtype) => ({ model: [node(home, "MemFlowLoadModel", { weight_dtype }), 0] });
  const weights = (dtype) => planRequest(sampler(home, { schedule: [schedule(home), 0], ...loader(dtype) })).body.weights;
  assert.deepEqual(["fp8", "fp8_e4m3fn", "bf16"].map(weights), ["fp8", "fp8", undefined]);
  const alone = sampler(home);
  const create = () => node(graph(), "MemFlowMemory", { preset: "Window only", cache: "model" });
  assert.match(applyPreset(alone, preset, create), /memory none → Story, in a new MemFlow Memory, cache model → fp8/);
});
