// @ts-check
// Put the notes of this pack's workflow files into the language of the page. Pure: no page, no ComfyUI.
import { NOTES, TITLES } from "./zh_notes.js";

const KINDS = ["MarkdownNote", "Note"];

/** @typedef {{type?: string, title?: string, widgets_values?: unknown}} SavedNode  a node, as a workflow file has it */
/** @typedef {{nodes?: SavedNode[], definitions?: {subgraphs?: SavedGraph[]}}} SavedGraph */

/** @param {Record<string, string>} table */
const turned = (table) => Object.fromEntries(Object.entries(table).map(([key, value]) => [value, key]));

/** [texts, titles] to put in the place of others, by language; English is what the files have. */
const INTO = { zh: [NOTES, TITLES], en: [turned(NOTES), turned(TITLES)] };

/**
 * Change notes whose text is a workflow file's own, letter by letter; one that its user has changed stays, and so does
 * all else.
 * @param {SavedGraph} graph  as it is about to be opened: changed in place
 * @param {string} language  as the front end calls it; one without notes of its own has the English
 */
export function translateNotes(graph, language) {
  const [texts, titles] = language === "zh" ? INTO.zh : INTO.en;
  for (const node of graph?.nodes ?? []) {
    const values = node?.widgets_values;
    if (!KINDS.includes(node?.type ?? "") || !Array.isArray(values) || !Object.hasOwn(texts, values[0])) continue;
    values[0] = texts[values[0]];
    if (node.title !== undefined && Object.hasOwn(titles, node.title)) node.title = titles[node.title];
  }
  for (const subgraph of graph?.definitions?.subgraphs ?? []) translateNotes(subgraph, language);
}
