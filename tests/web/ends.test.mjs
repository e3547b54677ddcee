// node --test tests/web
// The story's end, prompts that are added there, and texts with faulty lines.
import assert from "node:assert/strict";
import { test } from "node:test";

import { readPart } from "../../web/js/schedule/partial.js";
import { pasteSchedule } from "../../web/js/timeline/clipboard.js";
import { History } from "../../web/js/timeline/history.js";
import { append, readSchedule, setEnd, setEndBy } from "../../web/js/timeline/operations.js";
import { partOf } from "../../web/js/timeline/partial.js";
import { Timeline } from "../../web/js/timeline/timeline.js";

const TEXT = "0s: a robot\n5s: a beach";
const read = (text, frames, more = {}) => readSchedule(text, { fps: 16, frames, latents: 3, ...more });
/** The end after a change, as a reader has it. */
const endOf = ({ text, frames }, before) => read(text, frames ?? before).plan.end_s;

test("the end moves to the nearest start of a chunk, in the sampler and in the text's own length", () => {
  for (const [text, frames, seconds, expected] of [
    [TEXT, 153, 20, { frames: 321, text: TEXT }],
    [TEXT, 153, 3, { frames: 45, text: TEXT }],
    [TEXT, 153, -5, { frames: 9, text: TEXT }],
    [`length: 8s\n${TEXT}`, 153, 20, { frames: 321, text: `length: 20.06s\n${TEXT}` }],
    [`length: 0:08\n${TEXT}`, 153, 20, { frames: 321, text: `length: 0:20.06\n${TEXT}` }],
    [`length: 12c\n${TEXT}`, 153, 20, { frames: 321, text: `length: 27c\n${TEXT}` }],
    [`length: 8s\n${TEXT}`, null, 20, { frames: undefined, text: `length: 20.06s\n${TEXT}` }],
  ]) {
    const change = setEnd(read(text, frames), seconds, 0);
    assert.deepEqual({ frames: change.frames, text: change.text }, expected);
    assert.ok(Math.abs(endOf(change, frames) - Math.max(0.5625, seconds)) < 0.4, text);
  }
  assert.equal(setEnd(read(TEXT, 153), 9.5, 0), null);
  // without an end there is none to move
  assert.equal(setEnd(read(TEXT, null), 20, 0), null);
  assert.equal(endOf(setEndBy(read(TEXT, 153), 2, 0)), 177 / 16);
});

test("a length that another node gives is not written over", () => {
  assert.throws(() => setEnd(read(TEXT, 153, { fixed: true }), 20, 0), /comes from another node/);
  const change = setEnd(read(`length: 8s\n${TEXT}`, 153, { fixed: true }), 20, 0);
  assert.deepEqual([change.frames, change.text], [undefined, `length: 9.56s\n${TEXT}`]);
});

test("a prompt that is added at the end makes the story longer", () => {
  const added = append(read(TEXT, 153));
  assert.deepEqual([added.text, added.focus], [`${TEXT}\n9.56s: ""`, 2]);
  assert.equal(endOf(added), 9.5625 + 5.25);
  const own = append(read(`length: 8s\n${TEXT}`, 153));
  assert.match(own.text, /^length: 13.31s\n0s: a robot\n5s: a beach\n8.06s: ""$/);
  // after prompts that lie behind the end, after the last of them
  assert.equal(append(read(`${TEXT}\n20s: the sea`, 153)).text.split("\n").at(-1), '25.31s: ""');
  // without an end, or where it is not to be moved, as before
  assert.deepEqual([append(read(TEXT, null)).text, append(read(TEXT, null)).frames], [`${TEXT}\n10.31s: ""`, undefined]);
  assert.equal(append(read(TEXT, 153, { fixed: true })).text, `${TEXT}\n7.31s: ""`);
});

test("undo brings a length back that a step has changed, and no other", () => {
  const state = (text, length) => ({ text, globalPrompt: "", ...(length ? { length } : {}) });
  const history = new History(state("a"));
  history.step(state("a", 321), 153);
  history.step(state("b"), 321);
  // set by hand, which is no step of the strip
  history.typed(state("b"), 0);
  assert.deepEqual(history.undo(), state("a", 321));
  assert.deepEqual(history.undo(), state("a", 153));
  assert.equal(history.undo(), null);
  assert.deepEqual(history.redo(), state("a", 321));
  assert.deepEqual(history.redo(), state("b"));
});

const part = (text) => {
  const read = readPart(text);
  return read && [read.document.segments.map(({ prompt }) => prompt), read.bad.map(({ line }) => line)];
};

test("what can be read of a text with faulty lines is read", () => {
  for (const [text, prompts, bad] of [
    ["0s: a\n4s [cut: b\n8s: c", ["a", "c"], [1]],
    ["0s: a\n4s [cut] b\n8s: c", ["a", "c"], [1]],
    ["0s: a\n4s [nobody]: b\n8s: c\n6s: d", ["a", "c"], [1, 3]],
    ["pin: x\n0s: a\n8s: c", ["a", "c"], [0]],
    ["length: never\nglobal: g\n0s: a", ["a"], [0]],
    ["0s [cut] [soft]: a\n4s: b", ["…", "b"], [0]],
    ["2s: a\n4s: b", ["…", "b"], [0]],
    ["0s: a\n4s: b\n4s: c\n5s: d", ["a", "b", "d"], [2]],
  ]) assert.deepEqual(part(text), [prompts, bad], text);
  for (const text of ["", "# only a comment", "a | | b"]) assert.equal(part(text), null, text);
  assert.deepEqual(part(TEXT), [["a robot", "a beach"], []]);
  // more faults than people make are not looked for one by one
  assert.equal(part("0s: a\n".repeat(99)), null);
});

test("a faulty line stands at its time, or before what follows it", () => {
  const host = { setting: () => ({ fps: 16, frames: 213, latents: 3 }), globalPrompt: () => "" };
  const places = (text) => partOf(text, host).bad.map(({ at_s }) => Number(at_s.toFixed(2)));
  assert.deepEqual(places("0s: a\n4s [cut: b\n8s: c"), [4]);
  assert.deepEqual(places("0s: a\n80f [cut] b\n8s: c"), [5]);
  assert.deepEqual(places("0s: a\n0:06 [cut] [lora]: b\n8s: c"), [6]);
  assert.deepEqual(places("pin: x\n0s: a\n8s: c"), [0]);
  assert.deepEqual(places("0s: a\n900s [cut: b"), [13.31]);
  assert.equal(partOf('["a", "b"', host), null);
});

test("the end is dragged on the axis that is shown, which a run may have made longer", () => {
  for (const [axis_s, share, expected] of [[0, 0.5, 5.0625], [0, 1, 10.3125], [40.5, 0.5, 20.0625], [40.5, 0.25, 10.3125]]) {
    const schedule = read(TEXT, 153);
    const timeline = { view: { shareAt: () => share }, schedule, axis_s, focus: 0 };
    timeline.showDraft = (operation) => (timeline.change = operation(schedule));
    Timeline.prototype.dragEnd.call(timeline, 7);
    assert.equal(endOf(timeline.change), expected, `${axis_s} ${share}`);
  }
});

/** A timeline without its page, on a node of these values. */
function timelineOf(values, more = {}) {
  const host = {
    text: () => values.text, globalPrompt: () => values.globalPrompt, story: () => values.story, locked: () => "", storyLocked: () => "",
    setText: (text) => (values.text = text), setStory: (story) => (values.story = story), edited: () => {}, tell: () => {},
    setting: () => ({ fps: 16, frames: 153, latents: 3 }), convert: async () => ({ text: "0s: the second" }), ...more,
  };
  const view = { announce: () => {}, focusBlock: () => {}, showMessage: (message) => (values.message = message) };
  const refresh = () => {};
  const timeline = Object.assign(Object.create(Timeline.prototype), { host, view, refresh, showFields: refresh, focus: 0, axis_s: 0 });
  timeline.history = new History(timeline.state());
  return timeline;
}

test("what is pasted or converted is one story, and undo brings the several back", async () => {
  const before = { text: '{"prompts": ["a"]}\n{"prompts": ["b"]}', globalPrompt: "", story: 2 };
  for (const [pasted, expected] of [["0s: a robot", "0s: a robot"], [before.text, "0s: the second"]]) {
    const values = { ...before };
    const timeline = timelineOf(values);
    await pasteSchedule(timeline, pasted);
    assert.deepEqual(values, { text: expected, globalPrompt: "", story: 1 });
    timeline.undo();
    assert.deepEqual(values, before);
    timeline.redo();
    assert.deepEqual(values, { text: expected, globalPrompt: "", story: 1 });
  }
  const values = { ...before };
  await pasteSchedule(timelineOf(values, { storyLocked: () => "It is linked." }), "0s: a robot");
  assert.deepEqual(values, { ...before, message: "It is linked." });
});
