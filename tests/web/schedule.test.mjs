// node --test tests/web
import assert from "node:assert/strict";
import { test } from "node:test";

import { isPinName } from "../../web/js/schedule/options.js";
import { addPin, pinMoment } from "../../web/js/schedule/pins.js";
import { exactSeconds } from "../../web/js/schedule/time.js";

test("a pinned moment goes below the headers and above the first prompt", () => {
  assert.equal(pinMoment("0s: a robot\n4s: a cat", "12.75s"), "pin: 12.75s\n0s: a robot\n4s: a cat");
  assert.equal(pinMoment("a | b", "3s"), "pin: 3s\na | b");
  assert.equal(pinMoment("", "3s"), "pin: 3s\n");
  const text = "# my story\nglobal: a cartoon.\nlength: 20s\n\n# it starts\n0s: a robot";
  assert.equal(
    pinMoment(text, "3s", "hero"),
    "# my story\nglobal: a cartoon.\nlength: 20s\npin hero: 3s\n\n# it starts\n0s: a robot",
  );
  assert.equal(pinMoment("# only a title\n0s: a robot", "3s"), "# only a title\npin: 3s\n0s: a robot");
});

test("a moment is pinned once, and a name moves", () => {
  const once = pinMoment("0s: a robot", "3s");
  assert.equal(pinMoment(once, "3s"), once);
  const named = pinMoment(once, "4s", "hero");
  assert.equal(named, "pin: 3s\npin hero: 4s\n0s: a robot");
  assert.equal(pinMoment(named, "5s", "hero"), "pin: 3s\npin hero: 5s\n0s: a robot");
  assert.equal(pinMoment(named, "5s", "other"), "pin: 3s\npin hero: 4s\npin other: 5s\n0s: a robot");
});

test("a prompt that looks like a pin is left alone", () => {
  const text = "0s: a sewing kit\npin: 3s";
  assert.equal(pinMoment(text, "3s"), "pin: 3s\n0s: a sewing kit\npin: 3s");
});

test("a moment is pinned in a text with errors, too", () => {
  assert.equal(pinMoment("pin: soon\nlength: never\n5x: a robot", "3s"), "pin: soon\nlength: never\npin: 3s\n5x: a robot");
});

test("the timeline's pin goes to the top where there is no header", () => {
  assert.equal(addPin("# a title\n0s: a robot", "3s", ""), "pin: 3s\n# a title\n0s: a robot");
  assert.equal(addPin("# a title\nlength: 9s\n0s: a robot", "3s", "hero"), "# a title\nlength: 9s\npin hero: 3s\n0s: a robot");
});

test("names of pins", () => {
  for (const name of ["hero", "Ä", "猫", "cutter", "red-robot_2", "_x"]) assert.ok(isPinName(name), name);
  for (const name of ["", "2nd", "a b", "a:b", "a]", "x".repeat(41), "a\nb", "cut", "seed"]) assert.ok(!isPinName(name), name);
});

test("times as a schedule writes them", () => {
  assert.equal(exactSeconds(12.75), "12.75s");
  assert.equal(exactSeconds(0), "0s");
  assert.equal(exactSeconds(0.5625), "0.563s");
});
