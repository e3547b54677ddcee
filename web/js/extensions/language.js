// @ts-check
// Set the language of this pack's texts to the language of the page.
import { app } from "../../../../scripts/app.js";
import { setLanguage } from "../i18n/say.js";
import { MEMORY } from "../lib/node_ids.js";

/**
 * Let the front end translate the tooltips of a choice's own inputs, as it does for all other inputs: a tooltip of the
 * schema would be shown in English. In a language without translations the schema's are all there are, so they stay.
 * @param {{inputs: {required?: Record<string, any>, optional?: Record<string, any>}}[]} choices
 */
function removeTooltips(choices) {
  for (const { inputs } of choices) {
    for (const [, options] of Object.values({ ...inputs.required, ...inputs.optional })) delete options?.tooltip;
  }
}

app.registerExtension({
  name: "MemFlow.Language",

  // before any node is made, and again when the user chooses another language
  beforeRegisterNodeDef(_type, nodeDef) {
    if (!nodeDef.name.startsWith("MemFlow")) return;
    const translated = setLanguage(app.extensionManager.setting.get("Comfy.Locale"));
    if (translated && nodeDef.name === MEMORY) removeTooltips(nodeDef.input.required.preset[1].options);
  },
});
