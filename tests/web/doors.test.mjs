// node --test tests/web
// The rooms (folders) of web/js, and which of them may import which.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix, sep } from "node:path";
import { test } from "node:test";

const MAY_IMPORT = {
  extensions: ["timeline", "film", "memory", "plan", "takes", "schedule", "lib", "i18n", "ComfyUI"],
  timeline: ["schedule", "lib", "i18n"],
  film: ["lib", "i18n"],
  memory: ["schedule", "lib", "i18n"],
  plan: ["schedule", "lib", "i18n"],
  takes: ["schedule", "lib", "i18n"],
  schedule: [],
  lib: [],
  i18n: [],
};

const FOLDER = new URL("../../web/js/", import.meta.url);
const FILES = readdirSync(FOLDER, { recursive: true })
  .filter((name) => name.endsWith(".js"))
  .map((name) => name.replaceAll(sep, "/"));
const SOURCES = Object.fromEntries(FILES.map((name) => [name, readFileSync(new URL(name, FOLDER), "utf8")]));

// import a from "x", export { a } from "x"; import "x"; import("x"), in a comment's types, too
const IMPORT = /\b(?:import|export)\s+[\w$*{},\s]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g;

/** What is imported. @param {string} source @returns {string[]} */
function importsOf(source) {
  return [...source.matchAll(IMPORT)].map(([, from, alone]) => from ?? alone);
}

/** The room that an import leads to. @param {string} file @param {string} imported @param {string[]} files */
function roomOf(file, imported, files) {
  const path = posix.join(posix.dirname(file), imported);
  if (/^\.\.\/.*\/scripts\/(?:app|api)\.js$/.test(path)) return "ComfyUI";
  return imported.startsWith(".") && files.includes(path) ? path.split("/")[0] : null;
}

/** What is wrong in a folder of files: sentences. @param {Record<string, string>} sources by path */
function violations(sources) {
  const files = Object.keys(sources);
  return files.flatMap((file) => {
    const [room, ...rest] = file.split("/");
    const may = MAY_IMPORT[room];
    if (!may || rest.length !== 1) return [`${file} is in no room`];
    const found = importsOf(sources[file]).flatMap((imported) => {
      const to = roomOf(file, imported, files);
      if (to === null) return [`${file} imports ${imported}, which is no file of a room`];
      return to === room || may.includes(to) ? [] : [`${file} imports ${to}: ${imported}`];
    });
    const registers = sources[file].split("registerExtension(").length - 1;
    if (registers !== (room === "extensions" ? 1 : 0)) found.push(`${file} registers ${registers} extensions`);
    return found;
  });
}

test("every room imports only what it may", () => {
  assert.deepEqual(violations(SOURCES), []);
  for (const room of Object.keys(MAY_IMPORT)) assert.ok(FILES.some((file) => file.startsWith(`${room}/`)), room);
});

// ComfyUI imports every .js file of the pack, so one that is no extension must do nothing by that
test("a module that is no extension can be imported without a page", async () => {
  const before = Object.keys(globalThis);
  for (const file of FILES.filter((name) => !name.startsWith("extensions/"))) await import(new URL(file, FOLDER));
  assert.deepEqual(Object.keys(globalThis), before);
});

test("a forbidden import is found in every form", () => {
  const files = { "timeline/a.js": "", "schedule/text.js": "", "lib/dom.js": "" };
  const forms = [
    'import { a } from "../timeline/a.js";',
    'import * as a from "../timeline/a.js";',
    'import a, {\n  b,\n} from "../timeline/a.js";',
    'import "../timeline/a.js";',
    "export { a } from '../timeline/a.js';",
    'export * from "../timeline/a.js";',
    'const a = await import("../timeline/a.js");',
    '/** @typedef {import("../timeline/a.js").A} A */',
  ];
  for (const form of forms) {
    for (const room of ["memory", "plan", "schedule", "lib", "i18n"]) {
      const file = `${room}/bad.js`;
      assert.deepEqual(violations({ ...files, [file]: form }), [`${file} imports timeline: ../timeline/a.js`], form);
    }
    assert.deepEqual(violations({ ...files, "timeline/good.js": form }), [], form);
  }
  const below = { "schedule/bad.js": "lib/dom.js", "i18n/bad.js": "lib/dom.js", "lib/bad.js": "schedule/text.js" };
  for (const [file, other] of Object.entries(below)) {
    assert.equal(violations({ ...files, [file]: `import "../${other}";` }).length, 1, file);
  }
});

test("so are ComfyUI's modules, packages, missing files, and extensions outside extensions/", () => {
  const comfy = 'import { app } from "../../../../scripts/app.js";';
  assert.deepEqual(violations({ "extensions/good.js": `${comfy}\napp.registerExtension({});` }), []);
  assert.equal(violations({ "lib/bad.js": comfy }).length, 1);
  assert.equal(violations({ "lib/bad.js": 'import "lodash";' }).length, 1);
  assert.equal(violations({ "lib/bad.js": 'import "./none.js";' }).length, 1);
  assert.equal(violations({ "lib/bad.js": "app.registerExtension({});" }).length, 1);
  assert.equal(violations({ "extensions/bad.js": "" }).length, 1);
  assert.equal(violations({ "bad.js": "" }).length, 1);
  assert.equal(violations({ "other/bad.js": "" }).length, 1);
  assert.equal(violations({ "lib/deeper/bad.js": "" }).length, 1);
});

test("words in a text are no import", () => {
  const source = 'say("{0}, which comes from another node", "a.js"); export const a = "imported from"; importAll("b.js");';
  assert.deepEqual(importsOf(source), []);
});
