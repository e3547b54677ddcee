// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { graphBehind, seedStays } from "../../web/js/plan/graph.js";
import { PlanPanel } from "../../web/js/plan/panel.js";
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

const control = (home, values, before = null) =>
  node(home, "MemFlowControl", { strength: 1, start: "0s", end: "", use: "steer", ...values }, { pictures: null, control: before });

test("controls are read in their order, and whether control weights stand behind the model", () => {
  const home = graph();
  const second = control(home, { start: "10s", strength: 0.5, use: "show" }, [control(home, { end: "10s" }), 0]);
  const loader = node(home, "UNETLoader", { unet_name: "memflow.safetensors" });
  const inputs = { model: [loader, 0], schedule: [schedule(home), 0] };
  const { body } = planRequest(sampler(home, { ...inputs, control: [second, 0] }));
  assert.deepEqual(body.control, [
    { start: "0s", end: "10s", strength: 1, use: "steer" },
    { start: "10s", end: "", strength: 0.5, use: "show" },
  ]);
  assert.equal(body.control_weights, false);
  const weights = node(home, "MemFlowLoadControl", { control_name: "vace" }, { model: [loader, 0] }, { types: { model: "MODEL" } });
  const steered = planRequest(sampler(home, { ...inputs, model: [weights, 0], control: [second, 0] })).body;
  assert.deepEqual([steered.control_weights, steered.model_name], [true, "memflow.safetensors"]);
  const free = planRequest(sampler(home, { ...inputs, model: [weights, 0], control: null })).body;
  assert.ok(!("control" in free) && !("control_weights" in free));
});

test("a control with a mask says so, and one whose mask is not connected does not", () => {
  const home = graph();
  const read = (mask) => {
    const inputs = { mask, pictures: null, control: null };
    const one = node(home, "MemFlowControl", { strength: 1, start: "0s", end: "", use: "remake" }, inputs);
    return planRequest(sampler(home, { schedule: [schedule(home), 0], control: [one, 0] })).body.control;
  };
  const values = { start: "0s", end: "", strength: 1, use: "remake" };
  assert.deepEqual(read([node(home, "LoadImageMask"), 0]), [{ ...values, masked: true }]);
  assert.deepEqual(read(null), [values]);
});

test("controls of which the page does not know a value wait for the run", () => {
  const home = graph();
  const other = node(home, "Other");
  const linked = node(home, "MemFlowControl", { strength: 1, start: "0s", end: "", use: "steer" }, { strength: [other, 0], control: null });
  for (const source of [other, linked, control(home, {}, [other, 0])]) {
    const { problem } = planRequest(sampler(home, { schedule: [schedule(home), 0], control: [source, 0] }));
    assert.match(problem, /comes from another node: the plan is told when the run starts/);
  }
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
  const made = node(home, "MemFlowMemory", { preset: "Story", cache: "model", archive_gb: 8 });
  const stream = sampler(home, { schedule: [schedule(home), 0], memory: [made, 0] });
  assert.equal(applyPreset(stream, preset, () => null), "8 GB set cache model → fp8. Already so: steps 1000, 500, memory Story.");
  assert.deepEqual(planRequest(stream).body.memory, { preset: "Story", cache: "fp8", archive_gb: 8 });
  assert.match(applyPreset(stream, { ...preset, cache: "model" }, () => null), /^8 GB set cache fp8 → model/);
  const loader = (weight_dtype) => ({ model: [node(home, "MemFlowLoadModel", { weight_dtype }), 0] });
  const weights = (dtype) => planRequest(sampler(home, { schedule: [schedule(home), 0], ...loader(dtype) })).body.weights;
  assert.deepEqual(["fp8", "fp8_e4m3fn", "bf16"].map(weights), ["fp8", "fp8", undefined]);
  const alone = sampler(home);
  const create = () => node(graph(), "MemFlowMemory", { preset: "Window only", cache: "model" });
  assert.match(applyPreset(alone, preset, create), /memory none → Story, in a new MemFlow Memory, cache model → fp8/);
});

test("the preset of small cards loads the model in FP8 too, where this pack's loader does", () => {
  const preset = { name: "8 GB", widgets: {}, memory: "Story", cache: "fp8", fp8_model: true };
  const create = () => node(graph(), "MemFlowMemory", { preset: "Story", cache: "model" });
  const home = graph();
  const loader = node(home, "MemFlowLoadModel", { model_name: "base.pt", weight_dtype: "default" });
  const ours = applyPreset(sampler(home, { model: [loader, 0] }), preset, create);
  assert.match(ours, /weight_dtype default → fp8/);
  assert.equal(loader.widgets.find(({ name }) => name === "weight_dtype").value, "fp8");
  const other = node(home, "UNETLoader", { unet_name: "wan.safetensors", weight_dtype: "default" });
  assert.match(applyPreset(sampler(home, { model: [other, 0] }), preset, create), /Left alone: .*weight_dtype, where FP8/);
  other.widgets.find(({ name }) => name === "weight_dtype").value = "fp8_e4m3fn";
  assert.doesNotMatch(applyPreset(sampler(home, { model: [other, 0] }), preset, create), /weight_dtype/);
});

test("the graph behind a sampler is read without letting nodes act", () => {
  const home = graph();
  const base = node(home, "UNETLoader", { unet_name: "wan.safetensors" });
  base.widgets.push({ name: "upload", value: "x", options: { serialize: false } });
  base.widgets.push({ name: "video-preview", value: "" }, { name: "$$canvas-image-preview", value: "" });
  base.widgets[0].serializeValue = () => assert.fail("that may upload something");
  const lora = node(home, "LoraLoaderModelOnly", { strength_model: 1, list: [1, 2] }, { model: [base, 0] });
  const off = node(home, "LoraLoaderModelOnly", { strength_model: 5 }, { model: [lora, 0] }, { types: { model: "MODEL" } });
  off.mode = 4;
  const reroute = node(home, "Reroute", {}, { "": [off, 0] }, { types: { "": "MODEL" } });
  const primitive = node(home, "PrimitiveNode", { value: 64 }, {}, {});
  primitive.isVirtualNode = true;
  const muted = node(home, "MemFlowMemory", { preset: "Story" });
  muted.mode = 2;
  const text = schedule(home);
  const stream = sampler(home, { model: [reroute, 0], schedule: [text, 3], memory: [muted, 0], width: [primitive, 0] });
  assert.deepEqual(graphBehind(stream), {
    0: { class_type: "MemFlowSampler", inputs: { ...NUMBERS, width: 64, model: ["1", 0], schedule: ["2", 3] } },
    1: { class_type: "LoraLoaderModelOnly", inputs: { strength_model: 1, list: { __value__: [1, 2] }, model: ["3", 0] } },
    2: { class_type: "MemFlowPromptSchedule", inputs: { prompts: "0s: a", global_prompt: "red" } },
    3: { class_type: "UNETLoader", inputs: { unet_name: "wan.safetensors" } },
  });
});

test("a seed that changes before a run is not known", () => {
  const with_ = (control) => sampler(graph(), {}, control ? { control_after_generate: control } : {});
  assert.deepEqual(["fixed", "randomize", "increment", ""].map((control) => seedStays(with_(control), true)), [true, false, false, true]);
  assert.ok(["fixed", "randomize"].every((control) => seedStays(with_(control), false)));
});

test("a circle of nodes comes to an end", () => {
  const home = graph();
  const one = node(home, "One", {}, { model: null });
  const two = node(home, "Two", {}, { model: [one, 0] });
  two.connect(0, one, 0);
  assert.equal(Object.keys(graphBehind(sampler(home, { model: [two, 0] }))).length, 3);
});

test("the request names the model's files, its profile, and what a profile node changes", () => {
  const home = graph();
  const ask = (model) => planRequest(sampler(home, { schedule: [schedule(home), 0], model: [model, 0] })).body;
  const picked = ({ model_name, lora_name, profile, chunk_frames, first_steps }) =>
    JSON.parse(JSON.stringify({ model_name, lora_name, profile, chunk_frames, first_steps }));
  const loader = node(home, "MemFlowLoadModel", { model_name: "a.pt", lora_name: "none", profile: "auto" });
  assert.deepEqual(picked(ask(loader)), { model_name: "a.pt" });
  const chosen = node(home, "MemFlowLoadModel", { model_name: "a.pt", lora_name: "b.pt", profile: "Self-Forcing" });
  assert.deepEqual(picked(ask(chosen)), { model_name: "a.pt", lora_name: "b.pt", profile: "Self-Forcing" });
  const stock = node(home, "UNETLoader", { unet_name: "c.safetensors" });
  assert.deepEqual(picked(ask(stock)), { model_name: "c.safetensors" });
  const types = { types: { model: "MODEL" } };
  const changes = { profile: "LongLive 2", chunk_frames: 4, first_steps: "" };
  const said = node(home, "MemFlowProfile", changes, { model: [chosen, 0] }, types);
  assert.deepEqual(picked(ask(said)), {
    model_name: "a.pt", lora_name: "b.pt", profile: "LongLive 2", chunk_frames: 4,
  });
  // ComfyUI's own LoRA loader
  const lora = node(home, "LoraLoaderModelOnly", { lora_name: "d.pt" }, { model: [stock, 0] }, types);
  assert.deepEqual(picked(ask(lora)), { model_name: "c.safetensors", lora_name: "d.pt" });
});

/** What a plan offers of a tiny model's size, and the sides after it was pressed. */
function offered(widgets, links = {}, loader = "MemFlowTinyStory") {
  const home = graph();
  const inputs = Object.entries(links).map(([name, value]) =>
    [name, [value === null ? node(home, "Other") : node(home, "PrimitiveInt", { value }), 0]]);
  const made = sampler(home, { model: [node(home, loader), 0], ...Object.fromEntries(inputs) }, widgets);
  home.setDirtyCanvas = () => {};
  const offer = {};
  const panel = Object.assign(Object.create(PlanPanel.prototype), {
    node: made, host: { asOneStep: (change) => change() }, refresh: () => {},
    block: { showOffer: (label, act) => Object.assign(offer, { label, act }) },
  });
  panel.offerSize();
  offer.act();
  return [offer.label, panel.wrongSize, ...["width", "height"].map((name) => made.widgets.find((one) => one.name === name).value)];
}

test("the tiny model's size is offered for what runs, and set where no link sets it", () => {
  const small = { width: 64, height: 64 };
  assert.deepEqual(offered({}), ["Set 64 x 64", true, 64, 64]);
  assert.deepEqual(offered(small), ["", false, 64, 64]);
  assert.deepEqual(offered({}, {}, "MemFlowLoadModel"), ["", false, 832, 480]);
  // what a link brings counts, and the widget below it does not
  assert.deepEqual(offered({ height: 64 }, { width: 64 }), ["", false, 832, 64]);
  assert.deepEqual(offered({}, { width: 64 }), ["Set height to 64", true, 832, 64]);
  assert.deepEqual(offered(small, { width: 832 }), ["", true, 64, 64]);
  assert.deepEqual(offered({}, { width: 832, height: 480 }), ["", true, 832, 480]);
  // of a node of which only a run knows the value nothing is said
  assert.deepEqual(offered({ height: 64 }, { width: null }), ["", false, 832, 64]);
  assert.deepEqual(offered({}, { width: null }), ["Set height to 64", true, 832, 64]);
});

test("a precision that comes over a link is that of the plan", () => {
  const home = graph();
  const linked = (value) => ({ weight_dtype: [node(home, "PrimitiveString", { value }), 0] });
  const weights = (own, value) => {
    const loader = node(home, "MemFlowLoadModel", { weight_dtype: own }, linked(value));
    return planRequest(sampler(home, { schedule: [schedule(home), 0], model: [loader, 0] })).body.weights;
  };
  assert.deepEqual([weights("default", "fp8"), weights("fp8", "default")], ["fp8", undefined]);
  const memory = node(home, "MemFlowMemory", { preset: "Story", cache: "fp8" }, { cache: [node(home, "PrimitiveString", { value: "model" }), 0] });
  const preset = { name: "8 GB", widgets: {}, memory: "Story", cache: "fp8" };
  assert.match(applyPreset(sampler(home, { memory: [memory, 0] }), preset, () => null), /Left alone: cache, which comes from another node/);
});

test("the offer of a size goes once it is set, behind a state, too", () => {
  const home = graph();
  const inputs = { model: [node(home, "MemFlowTinyStory"), 0], state: [node(home, "MemFlowLoadState"), 0] };
  const made = sampler(home, inputs);
  home.setDirtyCanvas = () => {};
  const offer = {};
  const panel = Object.assign(Object.create(PlanPanel.prototype), {
    node: made, key: "", graphKey: "", kept: null, host: { asOneStep: (change) => change(), setKept: () => {} },
    block: { showOffer: (label, act) => Object.assign(offer, { label, act }), show: () => {}, showNotice: () => {} },
  });
  panel.refresh();
  assert.equal(offer.label, "Set 64 x 64");
  offer.act();
  assert.equal(offer.label, "");
});

test("another preset takes FP8 back where a preset has set it, and else says that it stays", () => {
  const create = () => node(graph(), "MemFlowMemory", { preset: "Story", cache: "model" });
  const small = { name: "8 GB", widgets: {}, memory: "Story", cache: "fp8", fp8_model: true };
  const large = { name: "Draft", widgets: {}, memory: "Story" };
  const made = (comfyClass, dtype, inputs = {}) => {
    const home = graph();
    const loader = node(home, comfyClass, { weight_dtype: dtype }, inputs);
    const one = () => sampler(home, { model: [loader, 0] });
    return { home, loader, one, stream: one(), dtype: () => loader.widgets[0].value };
  };
  const ours = made("MemFlowLoadModel", "bf16");
  for (let time = 0; time < 2; time++) {
    applyPreset(ours.stream, small, create);
    applyPreset(ours.stream, small, create);
    assert.equal(ours.dtype(), "fp8");
    assert.match(applyPreset(ours.stream, large, create), /set .*MemFlowLoadModel: weight_dtype fp8 → bf16/);
    assert.equal(ours.dtype(), "bf16");
    assert.doesNotMatch(applyPreset(ours.stream, large, create), /weight_dtype/);
  }
  // chosen by hand, in either loader, before a preset or after it, or for another sampler
  for (const [comfyClass, dtype] of [["MemFlowLoadModel", "fp8"], ["UNETLoader", "fp8_e4m3fn"]]) {
    const { stream, dtype: now } = made(comfyClass, dtype);
    applyPreset(stream, small, create);
    assert.ok(applyPreset(stream, large, create).includes(`Left alone: ${comfyClass}: weight_dtype, which stays ${dtype}.`));
    assert.equal(now(), dtype);
  }
  const byHand = made("MemFlowLoadModel", "default");
  applyPreset(byHand.stream, small, create);
  byHand.loader.widgets[0].value = "bf16";
  assert.doesNotMatch(applyPreset(byHand.stream, large, create), /weight_dtype/);
  byHand.loader.widgets[0].value = "fp8";
  assert.match(applyPreset(byHand.stream, large, create), /which stays fp8/);
  const shared = made("MemFlowLoadModel", "default");
  applyPreset(shared.stream, small, create);
  assert.match(applyPreset(shared.one(), large, create), /which stays fp8/);
  assert.equal(shared.dtype(), "fp8");
  assert.match(applyPreset(shared.stream, large, create), /fp8 → default/);
});
