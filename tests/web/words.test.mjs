// node --test tests/web
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { report } from "../../web/js/memory/live_box.js";
import { MemoryStory, describe } from "../../web/js/memory/story.js";
import { CHINESE } from "../../web/js/words/chinese.js";
import { say, speak } from "../../web/js/words/words.js";

const FOLDER = new URL("../../web/js/", import.meta.url);
const SOURCES = readdirSync(FOLDER, { recursive: true })
  .filter((name) => name.endsWith(".js") && !name.endsWith("chinese.js"))
  // a text over several lines is one text
  .map((name) => readFileSync(new URL(name, FOLDER), "utf8").replace(/"\s*\+\s*"/g, ""));
const places = (text) => [...text.matchAll(/\{\d\}/g)].map(([place]) => place).sort();

test("all that is said is translated", () => {
  const said = SOURCES.flatMap((source) => [...source.matchAll(/\bsay\(\s*"([^"]+)"/g)].map(([, text]) => text));
  assert.ok(said.length > 40);
  assert.deepEqual(said.filter((text) => !(text in CHINESE)), []);
});

test("nothing is translated that nobody says", () => {
  const said = (text) => SOURCES.some((source) => source.includes(JSON.stringify(text)) || source.includes(` ${text}: `));
  assert.deepEqual(Object.keys(CHINESE).filter((text) => !said(text)), []);
});

test("a translation fills in what the English does", () => {
  for (const [english, chinese] of Object.entries(CHINESE)) {
    assert.deepEqual(places(chinese), places(english), english);
    assert.ok(/[\u4e00-\u9fff]/.test(chinese) || ["sink", "{0} / {1}"].includes(chinese), english);
  }
});

test("a language is spoken until another is chosen, and English where it is unknown", () => {
  const moment = { time_s: 3, frame: 45, chunk: 4, score: 0.5, layers: 1, pinned: true, name: "hero" };
  try {
    assert.equal(speak("zh"), true);
    assert.equal(say("Pinned {0} as {1}", "3 s", "{0}"), "已将 3 s 固定为 {0}");
    assert.equal(new MemoryStory().headline(), "运行时显示记忆库里保留的瞬间");
    assert.equal(describe(moment, false), "3.00 s（第 45 个视频帧）, 已固定为 hero, 得分 0.500");
    assert.deepEqual(report({ finishing: true, prompts: [] }), ["这一块完成后结束。", false]);
    assert.equal(say("no such text"), "no such text");
  } finally {
    assert.equal(speak("fr"), false);
  }
  assert.equal(say("Finish now"), "Finish now");
  assert.equal(describe(moment, false), "3.00 s (video frame 45), pinned as hero, score 0.500");
});
