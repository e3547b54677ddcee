// node --test tests/web
// Chunks of 1, 3 and 8 latent frames on the timeline, and the switches [jump] and [fresh].
import assert from "node:assert/strict";
import { test } from "node:test";

import { chunkAtOrAfter, chunkFrames, nearestChunk, startFrame, startSeconds } from "../../web/js/schedule/grid.js";
import { setPrompt, setSeed } from "../../web/js/schedule/edit.js";
import { farthestPosition, planOf } from "../../web/js/schedule/plan.js";
import { parseText } from "../../web/js/schedule/text.js";
import { writeTime } from "../../web/js/schedule/time.js";
import { readSchedule, retimeBy, setSwitch } from "../../web/js/timeline/operations.js";

// as memflow_core's ChunkGrid has them: latent frames, first video frames of chunks 0 to 3
const STARTS = [
  [1, [0, 1, 5, 9]],
  [3, [0, 9, 21, 33]],
  [8, [0, 29, 61, 93]],
];

for (const [latents, starts] of STARTS) {
  test(`chunks of ${latents} start where the core's do`, () => {
    const grid = { fps: 16, latents };
    assert.deepEqual([0, 1, 2, 3].map((chunk) => startFrame(chunk, grid)), starts);
    assert.equal(chunkFrames(grid), 4 * latents);
    for (const [chunk, frame] of starts.entries()) {
      assert.equal(chunkAtOrAfter(frame, grid), chunk);
      assert.equal(chunkAtOrAfter(frame + 1, grid), chunk + 1);
      assert.equal(nearestChunk(startSeconds(chunk, grid) + 1e-3, grid), chunk);
    }
  });

  test(`a schedule is placed and edited on chunks of ${latents}`, () => {
    const setting = { fps: 16, frames: 10 * 4 * latents - 3, latents };
    const schedule = readSchedule("0s: a\n3s [cut]: b", setting);
    const chunk = chunkAtOrAfter(48, setting);
    assert.equal(schedule.plan.latents, latents);
    assert.equal(schedule.plan.placed[1].chunk, chunk);
    assert.equal(schedule.plan.chunks >= 10, true);
    const later = readSchedule(retimeBy(schedule, 1, 1).text, setting);
    assert.equal(later.plan.placed[1].chunk, chunk + 1);
  });
}

test("a plan without a chunk size is one of 3", () => {
  const plan = planOf(parseText("0s: a\n3s: b"), { fps: 16, frames: 81 });
  assert.deepEqual([plan.latents, plan.placed[1].chunk, plan.chunks], [3, 5, 11]);
});

test("times in chunks and latent frames are written on the grid that there is", () => {
  const grid = { fps: 16, latents: 8 };
  assert.equal(writeTime("2c", startSeconds(3, grid), grid), "3c");
  assert.equal(writeTime("8l", startSeconds(3, grid), grid), "24l");
});

test("[jump] is a switch, unless a pin has that name", () => {
  const [, second] = parseText("0s: a\n4s [jump]: b").segments;
  assert.deepEqual([second.switch, second.asks], ["jump", []]);
  const [, asking] = parseText("pin jump: 1s\n0s: a\n4s [jump]: b").segments;
  assert.deepEqual([asking.switch, asking.asks], ["recache", ["jump"]]);
  assert.equal(parseText("0s: [jump] a robot").segments[0].prompt, "[jump] a robot");
  assert.throws(() => parseText("0s: a\n4s [cut] [jump]: b"), /second switch/);
});

test("[fresh] is a switch, and pins from before it cannot be asked for", () => {
  const [, second] = parseText("0s: a\n4s [fresh]: b").segments;
  assert.deepEqual([second.switch, second.asks], ["fresh", []]);
  const [, asking] = parseText("pin fresh: 1s\n0s: a\n4s [fresh]: b").segments;
  assert.deepEqual([asking.switch, asking.asks], ["recache", ["fresh"]]);
  assert.throws(() => parseText("0s: a\n4s [jump] [fresh]: b"), /second switch/);
  const setting = { fps: 16, frames: 160 };
  const problem = (text) => planOf(parseText(text), setting).problem;
  assert.match(problem("pin hero: 1s\n0s: a\n3s [fresh]: b\n6s [hero]: c"), /from before the \[fresh\] prompt/);
  assert.equal(problem("pin hero: 4s\n0s: a\n3s [fresh]: b\n6s [hero]: c"), "");
});

test("absolute positions count anew at a fresh prompt, and move on at a jump", () => {
  const plan = (text) => planOf(parseText(text), { fps: 16, frames: 16 * 200 });
  assert.equal(farthestPosition(plan("0s: a\n100s [jump]: b"), 267, 8), 267 * 3 + 8);
  assert.equal(farthestPosition(plan("0s: a\n90s [jump]: b\n120s [fresh]: c"), 267, 8), 161 * 3 + 8);
});

test("LoRAs of a segment are its options, and stay where it is edited", () => {
  const text = "0s: a\n4s [lora my ink 0.8] [cut]: b";
  assert.deepEqual(parseText(text).segments[1].loras, ["lora my ink 0.8"]);
  const edited = setSeed(setPrompt(text, 1, "c"), 1, "7");
  assert.deepEqual(parseText(edited).segments[1].loras, ["lora my ink 0.8"]);
  assert.throws(() => parseText("0s: a\n4s [lora 0.8]: b"), /must name a LoRA/);
});

test("a switch is set to jump and back", () => {
  const setting = { fps: 16, frames: 81 };
  const jumped = setSwitch(readSchedule("0s: a\n3s: b", setting), 1, "jump", "", false);
  assert.match(jumped.text, /\[jump\]/);
  assert.equal(setSwitch(readSchedule(jumped.text, setting), 1, "recache", "", false).text, "0s: a\n3s: b");
});
