// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { executionIdOf } from "../../web/js/lib/graph.js";
import { framesBehind } from "../../web/js/schedule/grid.js";
import { branchPrompt, newSeeds } from "../../web/js/takes/branch.js";
import { sizeText } from "../../web/js/takes/card.js";
import { branchText, readSchedule } from "../../web/js/timeline/operations.js";
import { keptMarks } from "../../web/js/timeline/strip.js";

const PROMPT = {
  1: { class_type: "Loader", inputs: { name: "a" } },
  2: { class_type: "MemFlowPromptSchedule", inputs: { clip: ["1", 1], prompts: "0s: a" } },
  "4:3": { class_type: "MemFlowStreamToVideo", inputs: { model: ["1", 0], schedule: ["2", 0], length: 81, save_output: true, loop: ["4:3", 0] } },
  5: { class_type: "SaveVideo", inputs: { video: ["4:3", 0] } },
  6: { class_type: "KSampler", inputs: { model: ["1", 0] } },
};

test("a branch is the sampler and what is behind it, under another text and length", () => {
  const before = structuredClone(PROMPT);
  const branch = branchPrompt(PROMPT, { schedule: "2", sampler: "4:3" }, "0s [seed 5]: a", 33);
  assert.deepEqual(Object.keys(branch).sort(), ["1", "2", "4:3"]);
  assert.equal(branch[2].inputs.prompts, "0s [seed 5]: a");
  assert.deepEqual(branch["4:3"].inputs, { ...PROMPT["4:3"].inputs, length: 33, save_output: false, filename_prefix: "memflow_take" });
  assert.deepEqual(PROMPT, before);
});

test("seeds are new ones", () => {
  const drawn = [0.5, 0.5, 0.25, 0.75];
  assert.deepEqual(newSeeds(2, [String(2 ** 30)], () => drawn.shift()), [String(2 ** 31), String(3 * 2 ** 30)]);
  assert.equal(new Set(newSeeds(16, [])).size, 16);
  assert.ok(newSeeds(16, []).every((seed) => /^\d+$/.test(seed)));
});

test("a branch lasts whole chunks behind its start", () => {
  // chunks start at video frames 0, 9, 21, 33 ...
  assert.deepEqual([[0, 0.1], [0, 0.75], [0, 0.76], [2, 1.5], [2, 1.6]].map(([chunk, s]) => framesBehind(chunk, s, { fps: 16 })), [9, 9, 21, 45, 57]);
  // 0, 1, 5, 9 ... where a chunk is one latent frame
  assert.deepEqual([[0, 0.1], [0, 0.3], [2, 0.75]].map(([chunk, s]) => framesBehind(chunk, s, { fps: 16, latents: 1 })), [1, 5, 17]);
});

test("a branch's text has times where it had shares of the story, and the seed", () => {
  const branch = (text, index) => branchText(readSchedule(text, { fps: 16, frames: 153 }), index, "7");
  assert.equal(branch("0s: a\n4s: b\n8s [seed 3]: c", 2), "0s: a\n4s: b\n8s [seed 7]: c");
  assert.match(branch("0%: a\n50% [cut]: b", 1), /^0s?: a\n5\.\d+s \[cut\] \[seed 7\]: b$/);
  assert.match(branch("a | b", 1), /\[seed 7\]: b$/);
  assert.throws(() => branch("pin: 50%\n0s: a", 0), /pin at a share/);
  // and it is placed as before
  for (const text of ["0%: a\n33%: b\n80%: c", "a | b | c | d", "0s: a\n3.3s: b\n61: c"]) {
    const setting = { fps: 16, frames: 153 };
    const chunks = (one) => readSchedule(one, setting).plan.placed.map(({ chunk }) => chunk);
    assert.deepEqual(chunks(branchText(readSchedule(text, setting), 1, "7")), chunks(text));
  }
});

test("a node has its execution id, in subgraphs too", () => {
  const [inner, leaf] = [{ nodes: [] }, { id: 7 }];
  inner.nodes.push({ id: 5 }, leaf);
  const root = { nodes: [{ id: 1 }, { id: 4, subgraph: inner }] };
  assert.equal(executionIdOf(root, leaf), "4:7");
  assert.equal(executionIdOf(root, root.nodes[0]), "1");
  assert.equal(executionIdOf(root, { id: 1 }), "");
});

test("sizes are written for people", () => {
  assert.deepEqual([1e6, 3e7, 5e8, 4e9].map(sizeText), ["1.0 MB", "29 MB", "477 MB", "3.73 GB"]);
});

test("nothing is coloured where nothing is kept", () => {
  assert.deepEqual(keptMarks(null, { length_s: 5, end_s: 5 }), []);
  assert.deepEqual(keptMarks({ chunk: 0, until_s: 0, renders_s: 5, of_s: 5 }, { length_s: 5, end_s: 5 }), []);
});
