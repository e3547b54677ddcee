// node --test tests/web
// What the memory panel writes into a schedule, and its steps of undo.
import assert from "node:assert/strict";
import { test } from "node:test";

import { asOneStep } from "../../web/js/lib/one_step.js";
import { MemoryPanel } from "../../web/js/memory/panel.js";

const canvas = () => {
  const steps = [];
  return { steps, emitBeforeChange: () => steps.push("before"), emitAfterChange: () => steps.push("after") };
};

test("a change that fails ends its step of undo, too", () => {
  const { steps, ...page } = canvas();
  assert.equal(asOneStep(page, () => 7), 7);
  assert.throws(() => asOneStep(page, () => { throw new Error("no"); }), /no/);
  assert.deepEqual(steps, ["before", "after", "before", "after"]);
});

/** A memory panel without its elements, over a schedule with widgets. */
function panelOver(text, widgets = {}, inputs = []) {
  const values = Object.entries({ prompts: text, ...widgets }).map(([name, value]) => ({ name, value }));
  const schedule = { comfyClass: "MemFlowPromptSchedule", title: "Story", widgets: values, inputs };
  const { steps, ...page } = canvas();
  const told = [];
  const panel = Object.assign(Object.create(MemoryPanel.prototype), {
    node: {
      graph: {}, inputs: [{ name: "schedule" }], getInputNode: () => schedule,
      widgets: [{ name: "length", value: 213 }, { name: "fps", value: 16 }],
    },
    host: { toast: (...said) => told.push(said), asOneStep: (change) => asOneStep(page, change) },
    log: { played: "0s: a cat" },
    render: () => {},
  });
  return { panel, schedule, steps, told, value: (name) => values.find((widget) => widget.name === name).value };
}

test("a prompt asks for a pin in one step, or it is told why it cannot", () => {
  const good = panelOver("pin hero: 2s\n0s: a robot\n5s: the robot");
  good.panel.askFor(1, "hero");
  assert.equal(good.value("prompts"), "pin hero: 2s\n0s: a robot\n5s [hero]: the robot");
  assert.deepEqual([good.steps, good.told.length, good.told[0][0]], [["before", "after"], 1, "success"]);
  // changed by hand while the menu was open
  for (const [text, why] of [["0s: a robot\n5s [nobody]: x", /nobody/], ["0s: a robot", /no prompt 2/]]) {
    const { panel, steps, told, value } = panelOver(text);
    panel.askFor(1, "hero");
    assert.equal(value("prompts"), text);
    assert.deepEqual(steps, []);
    assert.deepEqual([told.length, ...told[0].slice(0, 2)], [1, "warn", "Not changed"]);
    assert.match(told[0][2], why);
  }
});

test("what was played is one schedule, and the first story of its text", () => {
  const stories = '{"prompts": ["a"]}\n{"prompts": ["b"]}';
  const { panel, steps, told, value } = panelOver(stories, { story: 2 });
  panel.keepPlayed();
  assert.deepEqual([value("prompts"), value("story"), told[0][0]], ["0s: a cat", 1, "success"]);
  assert.deepEqual(steps, ["before", "after"]);
  // an older node has no such widget
  const old = panelOver(stories);
  old.panel.keepPlayed();
  assert.equal(old.value("prompts"), "0s: a cat");
});

test("which story is played is not chosen where a link chooses it", () => {
  const over = (source) => {
    const inputs = [{ name: "story", widget: { name: "story" }, link: 5 }];
    const made = panelOver("a | b", { story: 3 }, inputs);
    Object.assign(made.schedule, { graph: {}, getInputNode: () => source });
    made.panel.keepPlayed();
    return [made.value("prompts"), made.value("story"), made.told[0]];
  };
  for (const source of [{ type: "Other" }, { type: "PrimitiveInt", widgets: [{ name: "value", value: 2 }] }]) {
    const [text, story, [severity, summary, why]] = over(source);
    assert.deepEqual([text, story, severity, summary], ["a | b", 3, "warn", "Not changed"]);
    assert.match(why, /set story to 1 there/);
  }
  assert.deepEqual(over({ type: "PrimitiveInt", widgets: [{ name: "value", value: 1 }] }).slice(0, 2), ["0s: a cat", 3]);
});
