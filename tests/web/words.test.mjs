// node --test tests/web
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { statusOf } from "../../web/js/memory/live_box.js";
import { MemoryLog, describe } from "../../web/js/memory/log.js";
import { CHINESE } from "../../web/js/i18n/zh.js";
import { translateNotes } from "../../web/js/i18n/notes.js";
import { say, sayError, sayMessage, setLanguage } from "../../web/js/i18n/say.js";
import { NOTES } from "../../web/js/i18n/zh_notes.js";

const FOLDER = new URL("../../web/js/", import.meta.url);
const PAGE = readdirSync(FOLDER, { recursive: true })
  .filter((name) => name.endsWith(".js") && !name.includes("zh"))
  // a text over several lines is one text
  .map((name) => readFileSync(new URL(name, FOLDER), "utf8").replace(/"\s*\+\s*"/g, ""));
// messages of the server that the page shows
const SERVER = ["memflow_core/", "nodes/"].flatMap((folder) => {
  const home = new URL(`../../${folder}`, import.meta.url);
  const files = readdirSync(home, { recursive: true }).filter((name) => name.endsWith(".py"));
  // a text over several lines is one text
  const sources = files.map((name) => readFileSync(new URL(name, home), "utf8").replace(/(?<=[^"f(])"\n\s*"(?=[^"])/g, ""));
  const tells = /messages import .*\bmessage\b|notes import .*\bnote\b|def note\(|import Profile\n/;
  return sources.filter((source) => tells.test(source));
});
const SOURCES = [...PAGE, ...SERVER];
const places = (text) => [...text.matchAll(/\{\d\}/g)].map(([place]) => place).sort();

test("all texts are translated", () => {
  const found = (sources, pattern) => sources.flatMap((source) => [...source.matchAll(pattern)].map(([, text]) => text));
  const page = found(PAGE, /\bsay\(\s*"([^"]+)"/g);
  const server = found(SERVER, /\b(?:message|note)\(\s*"([^"]+)"/g);
  const reasons = found(SERVER, /\bPreset\(\s*"([^"]+)"/g);
  const notes = found(SERVER, /(?:\bnote=|_SHORT = )"([^"]+)"/g);
  assert.ok(page.length > 40 && server.length > 15 && reasons.length > 4 && notes.length > 2);
  const texts = [...page, ...server, ...reasons, ...notes];
  assert.deepEqual(texts.filter((text) => !(text in CHINESE)), []);
});

test("no translation is left over", () => {
  const isUsed = (text) => SOURCES.some((source) => source.includes(JSON.stringify(text)) || source.includes(` ${text}: `));
  assert.deepEqual(Object.keys(CHINESE).filter((text) => !isUsed(text)), []);
});

test("a translation fills in what the English does", () => {
  for (const [english, chinese] of Object.entries(CHINESE)) {
    assert.deepEqual(places(chinese), places(english), english);
    assert.ok(/[\u4e00-\u9fff]/.test(chinese) || ["sink", "{0} / {1}"].includes(chinese), english);
  }
});

test("a language is used until another is set, and English where it is unknown", () => {
  const moment = { time_s: 3, frame: 45, chunk: 4, score: 0.5, layers: 1, pinned: true, name: "hero" };
  try {
    assert.equal(setLanguage("zh"), true);
    assert.equal(say("Pinned {0} as {1}", "3 s", "{0}"), "已将 3 s 固定为 {0}");
    assert.equal(new MemoryLog().headline(), "运行时显示记住的瞬间");
    assert.equal(describe(moment), "记住的瞬间：0:03\n所有层都选了它\n已固定为 hero\n3.00 s，第 45 个视频帧\n得分 0.500");
    assert.deepEqual(statusOf({ finishing: true, prompts: [] }), ["这一块完成后结束。", false]);
    assert.equal(say("no such text"), "no such text");
    assert.equal(sayMessage(["{0} s, {1}", "1.50", ["about {0} of VRAM ({1})", "2 GB", "bfloat16"]]), "1.50 秒，显存约 2 GB（bfloat16）");
  } finally {
    assert.equal(setLanguage("fr"), false);
  }
  assert.equal(say("Finish now"), "Finish now");
  assert.match(describe(moment), /^remembered from 0:03\n/);
});

// [a sentence of the server or of the page's parser, in Chinese]
const SENTENCES = [
  ["the schedule is empty: write at least one prompt.", "调度是空的：请至少写一条提示词。"],
  // a line, and what is wrong in it
  ["line 2: 'x' in the column of seeds is no whole number.", "第 2 行：种子列中的 'x' 不是整数。"],
  ["line 3: this row has no prompt: write one, or take the row out.", "第 3 行：此行没有提示词：请写一条，或去掉此行。"],
  ["Line 4: \"3x\" is no seed: write a whole number from 0 to 9.", "第 4 行：“3x”不是种子：请写 0 到 9 的整数。"],
  // values that are translated too, in an order of their own
  ["the pin at 50 s lies after the end of the story at 9.56 s: pin an earlier moment, or make the story longer.",
    "50 秒处的固定点位于故事在 9.56 秒的结尾之后：请固定更早的瞬间，或加长故事。"],
  ["memory bank_frames is -1, but must be a whole number from 0 to 64.", "memory bank_frames 为 -1，但必须是 0 到 64 的整数。"],
  // what a user has written stays, whatever it says
  ["line 1: 'the schedule is empty: line 2' is a number, no prompt: write words, or put it in double quotes.",
    "第 1 行：'the schedule is empty: line 2' 是数字，不是提示词：请写文字，或把它放进双引号。"],
  ["CUDA out of memory.", "CUDA out of memory."],
  ["", ""],
];

test("errors are told in the language, with their values", () => {
  try {
    setLanguage("zh");
    for (const [english, chinese] of SENTENCES) assert.equal(sayError(english), chinese);
  } finally {
    setLanguage("en");
  }
  for (const [english] of SENTENCES) assert.equal(sayError(english), english);
});

test("notes of the workflow files are put into the language, and nothing else is", () => {
  const [[english, chinese]] = Object.entries(NOTES);
  const note = (text, title = "Read me") => ({ type: "MarkdownNote", title, widgets_values: [text], size: [1, 2] });
  const graph = (...nodes) => ({ nodes, definitions: { subgraphs: [{ nodes: structuredClone(nodes) }] } });
  const translated = (asked, language) => {
    translateNotes(asked, language);
    assert.deepEqual(asked.definitions.subgraphs[0].nodes, asked.nodes);
    return asked.nodes;
  };
  assert.deepEqual(translated(graph(note(english)), "zh"), [note(chinese, "说明")]);
  assert.deepEqual(translated(graph(note(english, "mine")), "zh"), [note(chinese, "mine")]);
  for (const language of ["en", "fr"]) assert.deepEqual(translated(graph(note(chinese, "说明")), language), [note(english)]);
  const others = [note(`${english} `), note("Read me"), { type: "CLIPTextEncode", widgets_values: [english] }, { type: "Note" }, {}];
  assert.deepEqual(translated(graph(...others), "zh"), others);
  for (const broken of [{}, { nodes: [null] }, null]) translateNotes(broken, "zh");
});
