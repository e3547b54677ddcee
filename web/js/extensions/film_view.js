// @ts-check
// Add the film to MemFlow's video node: it plays while it is made, and stands in the place of ComfyUI's own preview.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { FilmPanel } from "../film/panel.js";
import { afterVueNodes, loadStyle, replaceShown } from "../lib/dom.js";
import { allNodes, findEventNode, findLocated, rootOf } from "../lib/graph.js";
import { Lasting, placeOf } from "../lib/lasting.js";
import { STREAM_TO_VIDEO } from "../lib/node_ids.js";

/** @typedef {import("../film/film.js").File} File */

const WIDGET = "memflow_film";
const BELOW = ["memflow_plan", "memflow_memory"];

/** @type {Lasting<import("../film/film.js").Film>} */
const films = new Lasting();
/** @type {WeakMap<object, FilmPanel>} */
const panels = new WeakMap();

/** @type {import("../film/film.js").Host} */
const host = {
  url: (file) => api.apiURL(`/view?${query(file)}`),
  async load(file, from, to) {
    const options = { headers: { Range: `bytes=${from}-${to - 1}` }, cache: /** @type {const} */ ("no-store") };
    const answer = await api.fetchApi(`/view?${query(file)}`, options);
    if (!answer.ok) throw new Error(`the film is not there: ${answer.status}`);
    const bytes = await answer.arrayBuffer();
    return answer.status === 206 ? bytes : bytes.slice(from, to);
  },
};

/** @param {File} file */
function query({ filename, subfolder, type }) {
  return new URLSearchParams({ filename, subfolder, type });
}

/** @param {ComfyNode} node */
function addPanel(node) {
  const panel = new FilmPanel(node, host, (time_s) => {
    api.dispatchEvent(new CustomEvent("memflow.time", { detail: { sampler: node, time_s } }));
  });
  panels.set(node, panel);
  // the film is shown here, and not once more by ComfyUI, which would also send its player with the prompt
  node.hideOutputImages = true;
  node.onDrawBackground = () => {};
  const widget = panel.addWidget(WIDGET, WIDGET);
  const { widgets = [] } = node;
  const below = widgets.findIndex(({ name }) => BELOW.includes(name));
  if (below >= 0) widgets.splice(below, 0, ...widgets.splice(widgets.indexOf(widget), 1));
  panel.growNode();
}

/**
 * The film of the node that an event of a run names, which outlives the node from now on.
 * @param {{node: ComfyId, display_node?: ComfyId, workflow?: string | null}} detail
 */
function filmOf(detail) {
  const node = findEventNode(rootOf(app.graph), detail);
  return node ? kept(node) : undefined;
}

/** @param {ComfyNode} node */
function kept(node) {
  const film = panels.get(node)?.film;
  if (film) films.set(placeOf(rootOf(app.graph), node), film);
  return film;
}

/** Show films where nodes were made anew, and panels where those of nodes before them are left. */
function showKept() {
  for (const node of allNodes(rootOf(app.graph))) {
    const panel = panels.get(node);
    const film = panel && films.get(placeOf(rootOf(app.graph), node));
    if (film && panel.film !== film) panel.show(film);
  }
  afterVueNodes(() => {
    for (const node of allNodes(rootOf(app.graph))) {
      const panel = panels.get(node);
      if (panel) replaceShown(node.id, panel.element);
    }
  });
}

/** Show the file in a node's result. @param {import("../film/film.js").Film | undefined} film @param {any} output */
function showOutput(film, output) {
  const [file] = output?.images ?? [];
  const summary = output?.memflow?.[0];
  if (film && file?.filename && summary) film.showResult(file, summary.first_s);
}

app.registerExtension({
  name: "MemFlow.FilmView",

  setup() {
    for (const name of ["panel.css", "film.css"]) loadStyle(name);
    const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ then) =>
      api.addEventListener(name, (event) => then(event.detail));
    on("memflow.live", (detail) => {
      const film = detail.ended ? undefined : filmOf(detail);
      if (film && film.promptId !== detail.prompt_id) film.begin(detail.prompt_id);
    });
    on("memflow.chunk", (detail) => filmOf(detail)?.addChunk(detail));
    on("memflow.done", (detail) => filmOf(detail)?.endRun(detail));
    for (const name of ["executed", "memflow.result"]) on(name, (detail) => showOutput(filmOf(detail), detail.output));
    on("memflow.run", (detail) => filmOf(detail)?.join(detail));
    on("memflow.moved", (moves) => {
      films.follow(moves);
      showKept();
    });
    on("memflow.seek", ({ sampler, time_s }) => panels.get(sampler)?.film.seek(time_s));
  },

  nodeCreated(node) {
    if (node.comfyClass === STREAM_TO_VIDEO) addPanel(node);
  },

  afterConfigureGraph: showKept,

  /**
   * Show results that the front end kept, as when a workflow is opened again.
   * @param {Record<string, any>} outputs
   */
  onNodeOutputsUpdated(outputs) {
    for (const [locator, output] of Object.entries(outputs)) {
      const node = findLocated(rootOf(app.graph), locator);
      const film = node && panels.get(node)?.film;
      if (film && !film.promptId && !film.shown) showOutput(film, output);
    }
  },
});
