// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { findLocated, findNode } from "../../web/js/lib/graph.js";
import { gridOf } from "../../web/js/lib/length.js";
import { statusOf } from "../../web/js/memory/live_box.js";
import { scheduleTextOf } from "../../web/js/memory/schedule_text.js";
import { describe, MemoryLog, MOST_ROWS, shareWords } from "../../web/js/memory/log.js";
import { askForPin, pinMoment, promptsThatMayAsk } from "../../web/js/schedule/pins.js";

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
  assert.equal(log.headline(), "1 moment remembered · at 0:06");
  log.addChunk(chunkEvent(0, { prompt_id: "two", chunks: null }));
  assert.deepEqual(log.chunks.map(({ chunk }) => chunk), [0]);
  assert.equal(log.headline(), "1 moment remembered · at 0:01");
});

test("a result shows as the run did", () => {
  const log = new MemoryLog();
  log.addChunk(chunkEvent(0));
  const summary = { first_s: 2, chunks: [chunkEvent(1)], thumbnails: { 0: "url 0", 1: "url 1" } };
  log.load(summary);
  assert.equal(log.firstS, 2);
  assert.equal(log.thumbnailOf(moment(0)), "url 0");
});

test("pictures from before the run are shown", () => {
  const log = new MemoryLog();
  log.addChunk(chunkEvent(7, { thumbnails: { "-2": "url of mine", 3: "url 3" } }));
  assert.equal(log.thumbnailOf(moment(-1, { frame: -2, chunk: -1 })), "url of mine");
  assert.equal(log.thumbnailOf(moment(-1, { frame: -3, chunk: -1 })), null);
  assert.deepEqual([log.thumbnailOf(moment(3)), log.thumbnailOf(moment(7))], ["url 3", "url 7"]);
});

test("what was played under direction is kept until another run", () => {
  const log = new MemoryLog();
  log.addChunk(chunkEvent(0));
  log.load({ first_s: 0, chunks: [chunkEvent(0)], thumbnails: {}, played: "0s: a cat" });
  assert.equal(log.played, "0s: a cat");
  log.addChunk(chunkEvent(0, { prompt_id: "two" }));
  assert.equal(log.played, "");
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

test("a remembered frame in words", () => {
  const lines = (remembered, about) => describe(remembered, about).split("\n");
  assert.deepEqual(lines(moment(4)), ["remembered from 0:03", "the choice of all layers", "3.00 s, video frame 48"]);
  const odd = moment(84, { score: -0.123456, layers: 0.5, pinned: true });
  assert.deepEqual(lines(odd, { chosenFor: "the robot", madeUnder: "a robot", recalled: true }), [
    "remembered from 1:03", "chosen for “the robot”", "the choice of 50% of the layers", "pinned", "back from the archive",
    "made under “a robot”", "63.00 s, video frame 1008", "score -0.123",
  ]);
  assert.ok(lines({ ...odd, name: "hero" }).includes("pinned as hero"));
  assert.deepEqual(lines(odd, { dropped: true, chosenFor: "the robot" }).slice(0, 2), ["no longer remembered: 1:03", "pinned"]);
  assert.deepEqual(lines(moment(0, { frame: -2, pinned: true })), ["a picture that you gave: always remembered"]);
  assert.ok(lines(moment(4), { madeUnder: "a".repeat(99) })[2].endsWith("...”"));
});

test("what a frame was last chosen for", () => {
  const log = new MemoryLog();
  const chunk = (index, prompt, score) => log.addChunk(chunkEvent(index, { prompt, memory: memory([moment(0, { score })]) }));
  chunk(0, "a robot", null);
  assert.equal(log.chosenFor(moment(0), 0), null);
  chunk(1, "a cat", 2);
  chunk(2, "a dog", null);
  assert.equal(log.chosenFor(moment(0), 2), "a cat");
  assert.equal(log.chosenFor(moment(0), 0), null);
  assert.equal(log.headline(), "1 moment remembered · at 0:03 · chosen for “a cat”");
});

test("a share beside an even one", () => {
  for (const [share, even, words] of [
    [0.09, 0.03, "9%, 3× an even share"], [0.25, 0.02, "25%, 13× an even share"], [0.04, 0.04, "4%, an even share"],
    [0.01, 0.05, "1%, even would be 5%"], [0.03, undefined, "3%"], [0, 0, "0%"],
  ]) assert.equal(shareWords(share, even), words);
});

const SETTING = { fps: 16, frames: 213, latents: 3 };

test("prompts that may ask for a moment are those that start after it", () => {
  const text = "0s: a robot\n5s: a beach\n9s [cut]: the robot";
  const indexes = (time_s) => promptsThatMayAsk(text, time_s, SETTING).map(({ index }) => index);
  assert.deepEqual([indexes(0), indexes(2), indexes(6), indexes(12)], [[1, 2], [1, 2], [2], []]);
  assert.deepEqual(promptsThatMayAsk("4x: what", 1, SETTING), []);
  const pinned = pinMoment(text, "2s", "hero");
  assert.equal(askForPin(pinned, 2, "hero", SETTING), pinned.replace("[cut]", "[cut] [hero]"));
  assert.equal(askForPin(askForPin(pinned, 2, "hero", SETTING), 2, "hero", SETTING), pinned.replace("[cut]", "[cut] [hero]"));
  // a list of prompts without times has them written
  const listed = pinMoment("a robot | the robot", "2s", "hero");
  assert.match(askForPin(listed, 1, "hero", SETTING), /^pin hero: 2s\n0s: a robot\n[0-9.]+s \[hero\]: the robot$/);
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
    assert.equal(scheduleTextOf(sampler(json), true).widget.value, value);
    assert.match(scheduleTextOf(sampler(json)).problem, /JSON/);
  }
});

test("behind a state, or over a link, where shares of the story start is not known", () => {
  const widgets = [{ name: "length", value: 213 }, { name: "fps", value: 24 }];
  const input = (name, link = 3) => ({ name, link, widget: { name } });
  const source = (value) => ({ graph: {}, getInputNode: () => ({ type: "PrimitiveInt", widgets: [{ name: "value", value }] }) });
  const known = gridOf({ widgets, inputs: [{ name: "state", link: null }] });
  assert.deepEqual([known.frames, known.fps, known.unknown], [213, 24, false]);
  const resumed = gridOf({ widgets, inputs: [{ name: "state", link: 3 }] });
  assert.deepEqual([resumed.frames, resumed.fps, resumed.unknown], [null, 24, true]);
  const computed = gridOf({ widgets, inputs: [input("length")], getInputNode: () => ({ type: "Other" }), graph: {} });
  assert.deepEqual([computed.frames, computed.fixed, computed.unknown], [null, true, true]);
  const given = gridOf({ widgets, inputs: [input("length")], ...source(81) });
  assert.deepEqual([given.frames, given.fixed, given.unknown], [81, true, false]);
  const endless = gridOf({ widgets: [{ name: "length", value: 0 }, widgets[1]], inputs: [] });
  assert.deepEqual([endless.frames, endless.unknown], [null, false]);

  for (const text of ["a robot | a beach | the robot", "0s: a robot\n50%: the robot"]) {
    assert.ok(promptsThatMayAsk(text, 0, known).length, text);
    for (const grid of [resumed, computed]) {
      assert.deepEqual(promptsThatMayAsk(text, 0, grid), [], text);
      assert.throws(() => askForPin(`pin hero: 1s\n${text}`, 1, "hero", grid), /only the run knows the length/);
    }
  }
  // times of their own are those of the whole story
  const timed = "0s: a robot\n9s: the robot";
  assert.deepEqual(promptsThatMayAsk(timed, 2, resumed).map(({ index }) => index), [1]);
  assert.match(askForPin(`pin hero: 2s\n${timed}`, 1, "hero", resumed), /9s \[hero\]: the robot/);
  assert.deepEqual(promptsThatMayAsk("only a robot", 0, resumed), []);
});
