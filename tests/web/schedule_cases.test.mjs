// node --test tests/web
// The tables of tests/cases: what the page reads by itself is what the core reads; the rest it leaves to the server.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { quote, readTimedLine } from "../../web/js/schedule/line.js";
import { isStructure } from "../../web/js/schedule/loose.js";
import { isPinName, strip } from "../../web/js/schedule/options.js";
import { remove, setPrompt, withTimes } from "../../web/js/schedule/edit.js";
import { isForeign, parseText } from "../../web/js/schedule/text.js";
import { TextError } from "../../web/js/schedule/errors.js";

const HERE = new URL("../cases/", import.meta.url);
const table = (name) => JSON.parse(readFileSync(new URL(name, HERE), "utf8"));
const CASES = readdirSync(new URL("schedules/", HERE)).flatMap((file) =>
  table(`schedules/${file}`).map((one) => ({ kind: file.replace(".json", ""), ...one })),
);
const SUFFIXES = { s: "s", frames: "", chunks: "c", latent: "l", percent: "%" };
const written = ({ value, unit }) => `${value}${SUFFIXES[unit]}`;

/** What the page makes of a text by itself; null where it asks the server. */
function own(text) {
  if (isForeign(text)) return null;
  try {
    const { segments, length, global } = parseText(text);
    return { segments: segments.map(({ start, prompt }) => [written(start), prompt]), length, global };
  } catch (error) {
    assert.ok(error instanceof TextError, error.stack);
    return null;
  }
}

// which story is played is the node's to know
for (const { kind, name, text, segments, length, global, notes } of CASES.filter(({ story }) => !story)) {
  test(`${kind}: ${name}`, () => {
    const read = own(text);
    if (!read) return;
    assert.ok(segments, "the core refuses it");
    assert.deepEqual(read.segments, segments);
    assert.equal(read.length ? written(read.length.time) : undefined, length);
    assert.equal(read.global?.prompt, global);
    assert.equal(notes, undefined);
  });
}

test("plain prompts and the text form stay the page's own", () => {
  const texts = [
    "a robot walks", "at 10:30 the clock strikes", "16:9 wide shot", "80s neon city", "3 robots: one red", "Scene 1: dawn",
    "1. a robot\n2. a cat", "(robot:1.2), (cat:0.8)", "a robot (3s)", "the `neon` sign", "a | b | c", "it says \u201chello\u201d",
    "0s: a robot\n  meets 3 cats\n4s: b", "0s: a\n80s neon city\n4s: b", "0s: \u4e00\u4e2a\u673a\u5668\u4eba\uff0c\u8d70\u8def\n4s: \u6d77\u6ee9\uff1a\u6ca1\u6709\u4eba",
    "global: red\nlength: 9s\npin hero: 1s\n0s: a\n4s [cut] [hero]: b", "0s: a (robot:1.2), 16:9\n4s: b", "0s: a\n# 2s: b\n4s: c",
  ];
  assert.deepEqual(texts.filter((text) => !own(text)), []);
});

test("braces of JSON and Python stay, and those of choices do not", () => {
  const structures = CASES.filter(({ kind, text }) => ["literals", "json"].includes(kind) && /^[[{]/.test(text));
  assert.ok(structures.length > 15);
  assert.deepEqual(structures.filter(({ text }) => !isStructure(text)), []);
  for (const text of ['```json\n{"0": "a"}\n```', 'Here:\n{"0": "a"}', "prompts = {\n0: 'a'}", '"0": "a {b}",\n"4": "c"', '"prompts": ["{a}"]']) {
    assert.ok(isStructure(text), text);
  }
  for (const text of ["{red|blue} robot", "0s: a {red|blue} robot\n4s: b", "0-3s: {a|b}\n3-6s: c", "[wide] a {red|blue} robot"]) {
    assert.ok(!isStructure(text), text);
  }
});

test("a prompt that would not be read as it is stands in quotes", () => {
  for (const prompt of ["a --neg b", "a (b:`t*2`)", "\u201ca\u201d", "a, 4s: b", "a [4s] b", "[cut] a", " a", "a\nb"]) {
    assert.equal(quote(prompt), JSON.stringify(prompt));
  }
  for (const prompt of ["a: b", "a (robot:1.2)", "the `neon` sign", "16:9 wide", "it says \u201chello\u201d now"]) {
    assert.equal(quote(prompt), prompt);
  }
});

test("names of pins are those of the core", () => {
  const { good, bad } = table("pin_names.json");
  assert.deepEqual(good.filter((name) => !isPinName(name)), []);
  assert.deepEqual(bad.filter(isPinName), []);
});

// -- time in proportion ------------------------------------------------------------------------------------------------

/** The shortest of several runs, in ms of the processor; a clock measures itself below a certain time. */
function time(act) {
  const once = () => {
    const began = process.cpuUsage();
    act();
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 1000;
  };
  return Math.max(3, Math.min(...Array.from({ length: 5 }, once)));
}

const { texts: TEXTS, lines: LINES } = table("hostile_texts.json");
const GROWING = [
  ...TEXTS.map(([name, start, repeat, end]) => [name, (size) => start + repeat.repeat(size / repeat.length) + end, 12_000]),
  ...LINES.map(([name, line]) => [name, (count) => Array(count).fill(line).join("\n"), 2_000]),
];
const READERS = {
  "is read": own,
  "is looked at for braces": isStructure,
  "is stripped": strip,
  "is read as a line": (text) => {
    try {
      readTimedLine(strip(text));
    } catch (error) {
      assert.ok(error instanceof TextError, error.stack);
    }
  },
};

for (const [name, make, short] of GROWING) {
  test(`time in proportion: ${name}`, () => {
    for (const [what, read] of Object.entries(READERS)) {
      const [little, much] = [make(short), make(16 * short)];
      const ratio = time(() => read(much)) / time(() => read(little));
      // 16 in proportion, 256 in quadratic time
      assert.ok(ratio < 80, `${what}: ${ratio}`);
    }
  });
}

test("time in proportion: edits of a prompt of many lines", () => {
  const lines = (count) => `0s: a\n${"b\n".repeat(count)}4s: c`;
  for (const edit of [(text) => setPrompt(text, 0, "d"), (text) => remove(text, 0), (text) => withTimes(text.slice(4), ["0s"])]) {
    const [little, much] = [lines(2_000), lines(32_000)];
    assert.ok(time(() => edit(much)) / time(() => edit(little)) < 80);
  }
});
