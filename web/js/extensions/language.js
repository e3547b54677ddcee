// @ts-check
// The language of the page, for what this pack shows.
import { app } from "../../../../scripts/app.js";
import { speak } from "../i18n/say.js";
import { MEMORY } from "../lib/node_ids.js";

app.registerExtension({
  name: "MemFlow.Language",

  /** Before any node is made, and again when its user chooses another language. @param {any} _type @param {any} nodeData */
  beforeRegisterNodeDef(_type, nodeData) {
    if (!nodeData.name.startsWith("MemFlow")) return;
    const spoken = speak(app.extensionManager.setting.get("Comfy.Locale"));
    if (spoken && nodeData.name === MEMORY) lookUpTooltips(nodeData.input.required.preset[1].options);
  },
});

/**
 * Let the front end look up the tooltips of what a choice brings, as it does for all other inputs: with one of their own
 * from the schema it would show that, in English. In a language that this pack has no words in, that is all there is.
 * @param {{inputs: {required?: Record<string, any>, optional?: Record<string, any>}}[]} choices
 */
function lookUpTooltips(choices) {
  for (const { inputs } of choices) {
    for (const [, options] of Object.values({ ...inputs.required, ...inputs.optional })) delete options?.tooltip;
  }
}
