// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { findLocated, findNode } from "../../web/js/lib/graph.js";
import { statusOf } from "../../web/js/memory/live_box.js";
import { scheduleTextOf } from "../../web/js/memory/schedule_text.js";
import { describe, MemoryLog, MOST_ROWS } from "../../web/js/memory/log.js";

const memory = (bank = [], dropped = []) => ({ bank, dropped, recorded: [], share: null });
const moment = (chunk, more = {}) => ({
  time_s: chunk * 0.75, frame: chunk * 12, chunk, score: null, layers: 1, pinned: false, name: null, ...more,
});
const chunkEvent = (chunk, more = {}) => ({
  prompt_id: "one", chunk, chunks: 13, start_s: chunk, end_s: chunk + 1, prompt: "a robot", thumbnail: `url ${chunk}`,
  memory: memory([moment(0)]), ...more,
});

test("chunks gather into a log, and another run starts a new one", () => {
  const log = new MemoryLog();
  assert.match(log.headline(), /while it runs/);
  for (const chunk of [3, 4, 5]) log.addChunk(chunkEvent(chunk));
  assert.deepEqual(log.rows().chunks.map(({ chunk }) => chunk), [3, 4, 5]);
  assert.equal(log.firstS, 3);
  assert.equal(log.thumbnailOf(moment(4)), "url 4");
  assert.equal(log.thumbnailOf(moment(9)), null);
  assert.equal(log.headline(), "1 moment kept at 6.00 s (chunk 6 of 13)");
  log.addChunk(chunkEvent(0, { prompt_id: "two", chunks: null }));
  assert.deepEqual(log.chunks.map(({ chunk }) => chunk), [0]);
  assert.equal(log.headline(), "1 moment kept at 1.00 s (chunk 1)");
});

test("a result shows as the run did", () => {
  const log = new MemoryLog();
  log.addChunk(chunkEvent(0));
  const summary = { first_s: 2, chunks: [chunkEvent(1)], thumbnails: { 0: "url 0", 1: "url 1" } };
  log.load(summary);
  assert.equal(log.firstS, 2);
  assert.equal(log.thumbnailOf(moment(0)), "url 0");
});

test("a run that broke off keeps its pictures and says so", () => {
  const log = new MemoryLog();
  log.addChunk(chunkEvent(1));
  log.end("one", { first_s: 0, chunks: [chunkEvent(0), chunkEvent(1)], thumbnails: {} }, "stopped");
  assert.deepEqual(log.chunks.map(({ chunk }) => chunk), [0, 1]);
  assert.equal(log.thumbnailOf(moment(1)), "url 1");
  assert.match(log.headline(), /stopped/);
});

test("only the newest rows of an hour are shown", () => {
  const log = new MemoryLog();
  for (let chunk = 0; chunk < MOST_ROWS + 7; chunk++) log.addChunk(chunkEvent(chunk));
  assert.equal(log.rows().leftOut, 7);
  assert.equal(log.rows().chunks.length, MOST_ROWS);
});

test("a remembered frame as a text", () => {
  assert.equal(describe(moment(4), false), "3.00 s (video frame 48)");
  const odd = moment(4, { score: -0.123456, layers: 0.5, pinned: true });
  assert.equal(describe(odd, false), "3.00 s (video frame 48), pinned, score -0.123, in 50% of the layers");
  assert.match(describe({ ...odd, name: "hero" }, false), /pinned as hero/);
  assert.equal(describe(odd, true), "3.00 s (video frame 48), dropped, pinned, score -0.123");
});

test("a remembered frame from the archive says where it comes from and what it was made under", () => {
  const text = describe(moment(4), false, { recalled: true, prompt: "the robot in the meadow" });
  assert.equal(text, "3.00 s (video frame 48), back from the archive, made under “the robot in the meadow”");
  assert.ok(describe(moment(4), false, { prompt: "a".repeat(99) }).endsWith("...”"));
});

test("the shelf holds every moment of the archive, those in the bank marked", () => {
  const log = new MemoryLog();
  log.addChunk(chunkEvent(0, { memory: { ...memory(), recorded: [moment(0)] }, prompt: "a robot" }));
  assert.equal(log.shelf(), null);
  const archive = { rule: "words", moments: 3, recalled: [moment(0)], best: [moment(0, { score: 2 }), moment(3, { score: -1 })] };
  log.addChunk(chunkEvent(9, { memory: { ...memory([moment(0)]), recorded: [moment(9)], archive }, prompt: "the robot" }));
  log.addChunk(chunkEvent(12, { memory: { ...memory([moment(0), moment(9)]), recorded: [moment(12)] }, prompt: "the robot" }));
  const shelf = log.shelf();
  assert.equal(shelf.moments, 5);
  assert.equal(shelf.prompt, "the robot");
  assert.deepEqual(shelf.frames.map(({ remembered, held }) => [remembered.chunk, remembered.score, held]), [
    [0, 2, true], [3, -1, false], [9, null, true], [12, null, false],
  ]);
  assert.equal(log.promptOf(moment(0)), "a robot");
  assert.equal(log.promptOf(moment(3)), null);
});

test("the status line of a state", () => {
  const state = { paused: false, holding: false, finishing: false, ended: false, takes_prompts: true, prompts: [] };
  const request = { number: 1, prompt: "a cat", status: "waiting", message: "", start_s: null };
  assert.deepEqual(statusOf(state), ["", false]);
  assert.deepEqual(statusOf({ ...state, prompts: [request] }), ["“a cat” waits for the next chunk.", false]);
  const accepted = { ...request, status: "accepted", start_s: 1.3125 };
  assert.deepEqual(statusOf({ ...state, holding: true, prompts: [accepted] }), ["Paused. “a cat” starts at 1.31 s.", false]);
  const refused = { ...request, status: "refused", message: "no such word." };
  assert.deepEqual(statusOf({ ...state, prompts: [refused] }), ["“a cat” was not taken: no such word.", true]);
  assert.equal(statusOf({ ...state, finishing: true, prompts: [refused] })[0], "Ends after this chunk.");
});

const graphOf = (...nodes) => ({ getNodeById: (id) => nodes.find((node) => node.id === id) });

test("nodes are found by the ids of runs and of outputs", () => {
  const inner = { id: 12 };
  const subgraph = graphOf(inner);
  const outer = { id: 4, subgraph };
  const root = { ...graphOf(outer, { id: 7 }), subgraphs: new Map([["abc", subgraph]]) };
  assert.equal(findNode(root, "7").id, 7);
  assert.equal(findNode(root, "4:12"), inner);
  assert.equal(findNode(root, "5:12"), null);
  assert.equal(findLocated(root, "abc:12"), inner);
  assert.equal(findLocated(root, "xyz:12"), null);
  assert.equal(findLocated(root, "4"), outer);
});

const sampler = (source) => ({
  graph: {},
  inputs: [{ name: "model" }, { name: "schedule" }],
  getInputNode: (slot) => (slot === 1 ? source : null),
});

test("the schedule's text is found behind a sampler, or why there is none", () => {
  const widget = { name: "prompts", value: "0s: a robot" };
  const schedule = { comfyClass: "MemFlowPromptSchedule", title: "Story", widgets: [widget], inputs: [] };
  assert.equal(scheduleTextOf(sampler(schedule)).widget, widget);
  const reroute = { type: "Reroute", getInputNode: () => schedule };
  assert.equal(scheduleTextOf(sampler(reroute)).widget, widget);
  assert.match(scheduleTextOf(sampler(null)).problem, /No schedule/);
  assert.match(scheduleTextOf(sampler({ comfyClass: "MemFlowPromptSegment", title: "Scene 3" })).problem, /Scene 3/);
  const linked = { ...schedule, inputs: [{ name: "prompts", widget: { name: "prompts" }, link: 5 }] };
  assert.match(scheduleTextOf(sampler(linked)).problem, /over a link/);
  for (const value of ['{"prompts": ["a"]}', ' ["a", "b"]', '"0": "a", "48": "b"']) {
    const json = { ...schedule, widgets: [{ name: "prompts", value }] };
    assert.match(scheduleTextOf(sampler(json)).problem, /JSON/);
  }
});
