// node --test tests/web
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { statusOf } from "../../web/js/memory/live_box.js";
import { MemoryLog, describe } from "../../web/js/memory/log.js";
import { CHINESE } from "../../web/js/i18n/zh.js";
import { say, sayMessage, setLanguage } from "../../web/js/i18n/say.js";

const FOLDER = new URL("../../web/js/", import.meta.url);
const PAGE = readdirSync(FOLDER, { recursive: true })
  .filter((name) => name.endsWith(".js") && !name.endsWith("zh.js"))
  // a text over several lines is one text
  .map((name) => readFileSync(new URL(name, FOLDER), "utf8").replace(/"\s*\+\s*"/g, ""));
// messages of the server that the page shows
const SERVER = ["memflow_core/", "nodes/"].flatMap((folder) => {
  const home = new URL(`../../${folder}`, import.meta.url);
  const files = readdirSync(home, { recursive: true }).filter((name) => name.endsWith(".py"));
  const sources = files.map((name) => readFileSync(new URL(name, home), "utf8"));
  return sources.filter((source) => /messages import .*\bmessage\b|notes import .*\bnote\b|def note\(/.test(source));
});
const SOURCES = [...PAGE, ...SERVER];
const places = (text) => [...text.matchAll(/\{\d\}/g)].map(([place]) => place).sort();

test("all texts are translated", () => {
  const found = (sources, pattern) => sources.flatMap((source) => [...source.matchAll(pattern)].map(([, text]) => text));
  const page = found(PAGE, /\bsay\(\s*"([^"]+)"/g);
  const server = found(SERVER, /\b(?:message|note)\(\s*"([^"]+)"/g);
  const reasons = found(SERVER, /\bPreset\(\s*"([^"]+)"/g);
  assert.ok(page.length > 40 && server.length > 15 && reasons.length > 4);
  const texts = [...page, ...server, ...reasons];
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
    assert.equal(new MemoryLog().headline(), "运行时显示记忆库里保留的瞬间");
    assert.equal(describe(moment, false), "3.00 s（第 45 个视频帧）, 已固定为 hero, 得分 0.500");
    assert.deepEqual(statusOf({ finishing: true, prompts: [] }), ["这一块完成后结束。", false]);
    assert.equal(say("no such text"), "no such text");
    assert.equal(sayMessage(["{0} s, {1}, about {2} of VRAM", "1.50", ["{0} passes", 5], "2 GB"]), "1.50 秒，运行 5 次，显存约 2 GB");
  } finally {
    assert.equal(setLanguage("fr"), false);
  }
  assert.equal(say("Finish now"), "Finish now");
  assert.equal(describe(moment, false), "3.00 s (video frame 45), pinned as hero, score 0.500");
});
