// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { outline, readSound } from "../../web/js/timeline/wave.js";

test("a sound is read as the server answers with it, and nothing else is one", () => {
  const answer = { step_s: 0.02, seconds: 0.05, peaks: [0, 255, 3] };
  assert.deepEqual(readSound("a.wav", answer), { file: "a.wav", ...answer });
  for (const other of [null, {}, { error: "no" }, { ...answer, peaks: [] }, { ...answer, peaks: ["x"] }, { ...answer, step_s: 0 }]) {
    assert.equal(readSound("a.wav", other), null);
  }
});

test("an outline is as wide as there are peaks, mirrored, and as high as its loudest", () => {
  assert.equal(outline([0, 10, 5]), "M0 1L0.5 0.980L1.5 0.000L2.5 0.500L3 1L2.5 1.500L1.5 2.000L0.5 1.020Z");
  // silence is a line
  assert.equal(outline([0]), "M0 1L0.5 0.980L1 1L0.5 1.020Z");
});
