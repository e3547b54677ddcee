// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { headEnd } from "../../web/js/film/growing.js";
import { duration, endOf, Progress } from "../../web/js/film/progress.js";
import { findEventNode } from "../../web/js/lib/graph.js";
import { Lasting, placeOf } from "../../web/js/lib/lasting.js";
import { longer, planOf } from "../../web/js/schedule/plan.js";
import { parseText } from "../../web/js/schedule/text.js";
import { axisOf, chunkDone, directed, NO_RUN, ofSummary } from "../../web/js/timeline/run.js";

const chunk = (index, more = {}) => ({
  prompt_id: "one", chunk: index, chunks: 10, start_s: index ? index * 0.75 - 0.1875 : 0, end_s: (index + 1) * 0.75 - 0.1875,
  thumbnail: null, ...more,
});

test("the line says how much is made and, once it is known, how long the rest takes", () => {
  const progress = new Progress();
  assert.equal(progress.line(chunk(0), 1000, 0), "0.6 s made");
  assert.equal(progress.line(chunk(1), 3000, 0), "1.3 of 7.3 s made");
  assert.equal(progress.line(chunk(2), 5000, 0), "2.1 of 7.3 s made, about 14 s left");
  // after the last there is nothing left, and in a story without an end nobody can know
  assert.equal(progress.line(chunk(9), 19000, 0), "7.3 of 7.3 s made");
  assert.equal(progress.line(chunk(5, { chunks: null }), 9000, 0), "4.3 s made");
  assert.equal(new Progress().line(chunk(3, { kept: true }), 0, 0), "");
  assert.deepEqual([0.2, 59, 75, 4000].map(duration), ["1 s", "59 s", "1:15 min", "1:06 h"]);
  assert.equal(endOf(chunk(4)), 10 * 0.75 - 0.1875);
});

test("what is said before the first fragment is found in mp4 and webm", () => {
  const box = (size, name) => [0, 0, 0, size, ...new TextEncoder().encode(name)];
  const mp4 = new Uint8Array([...box(8, "ftyp"), ...box(8, "moov"), ...box(8, "moof"), ...box(8, "mdat")]);
  assert.equal(headEnd(mp4, 'video/mp4; codecs="avc1.640033"'), 16);
  const webm = new Uint8Array([0x1a, 0x45, 0xdf, 0xa3, 1, 2, 3, 0x1f, 0x43, 0xb6, 0x75, 9]);
  assert.equal(headEnd(webm, 'video/webm; codecs="vp09.00.51.08"'), 7);
  assert.equal(headEnd(mp4.slice(0, 16), "video/mp4"), -1);
});

test("what a node has shown is found again by its place, in its own graph alone", () => {
  const graph = { id: "067c9af5-2047", nodes: [] };
  const node = { id: 7, graph };
  const kept = new Lasting();
  kept.set(placeOf(graph, node), "a film");
  assert.equal(kept.get(placeOf(graph, { id: 7, graph })), "a film");
  assert.equal(kept.get(placeOf(graph, { id: 8, graph })), undefined);
  assert.equal(kept.get(placeOf(graph, { id: 7, graph: { id: "inner" } })), undefined);
  assert.equal(kept.get(placeOf({ ...graph, id: "other" }, node)), undefined);
  // graphs that have no id yet are not taken for one another
  for (const id of ["", "00000000-0000-0000-0000-000000000000"]) assert.equal(placeOf({ ...graph, id }, node), null);
  for (let index = 0; index < 500; index++) kept.set(`g/${index}`, index);
  assert.ok(kept.values.size <= 200 && kept.get("g/499") === 499);
});

test("an event of another graph's run names no node here", () => {
  const graph = { id: "a", nodes: [], getNodeById: (id) => (String(id) === "7" ? "node" : null) };
  assert.equal(findEventNode(graph, { node: "7", workflow: "a" }), "node");
  assert.equal(findEventNode(graph, { node: "7", workflow: "b" }), null);
  assert.equal(findEventNode(graph, { node: "7", workflow: null }), "node");
});

test("a run is the same from its events and from its summary", () => {
  const picture = "data:image/jpeg;base64,AAAA";
  const events = [0, 1, 2].map((index) => chunk(index, { chunks: null, thumbnail: picture }));
  const seen = events.reduce(chunkDone, NO_RUN);
  const thumbnails = { 0: picture, 1: picture, 2: picture };
  assert.deepEqual(ofSummary({ chunks: events, thumbnails }, "one", true), seen);
  assert.equal(ofSummary({ chunks: events, thumbnails }, null, false).running, false);
});

test("prompts that were asked for live stand where they start, and those that were refused nowhere", () => {
  const run = directed(NO_RUN, [
    { status: "taken", prompt: "late", start_s: 9 },
    { status: "refused", prompt: "no", start_s: null },
    { status: "waiting", prompt: "soon", start_s: null },
    { status: "taken", prompt: "early", start_s: 3 },
  ]);
  assert.deepEqual(run.live.map(({ prompt }) => prompt), ["early", "late"]);
  // they stay while chunks come, until another run begins
  assert.equal(chunkDone({ ...run, prompt: "one" }, chunk(1)).live.length, 2);
  assert.equal(chunkDone({ ...run, prompt: "one" }, chunk(0, { prompt_id: "two" })).live.length, 0);
});

test("the axis of a story without an end grows with it", () => {
  const plan = planOf(parseText("0s: a robot"), { fps: 16, frames: null });
  assert.equal(plan.end_s, null);
  let run = NO_RUN;
  for (let index = 0; index < 40; index++) run = chunkDone(run, chunk(index, { chunks: null }));
  assert.ok(axisOf(run) >= 40 * 0.75 - 0.1875 && axisOf(NO_RUN) === 0);
  const grown = longer(plan, axisOf(run));
  assert.equal(grown.length_s, axisOf(run));
  assert.equal(grown.placed.at(-1).end_s, axisOf(run));
  assert.equal(longer(plan, 1), plan);
});

test("a story ends where text and sampler both let it", () => {
  const ends = (text, frames) => planOf(parseText(text), { fps: 16, frames }).end_s;
  assert.equal(ends("length: 20s\n0s: a", 1929), 20.0625);
  assert.equal(ends("length: 20s\n0s: a", 81), 5.0625);
  assert.equal(ends("length: 20s\n0s: a", null), 20.0625);
  assert.equal(ends("0s: a", null), null);
});
