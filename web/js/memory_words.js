/**
 * Tooltips of the inputs that a preset brings, in the language of the page.
 *
 * The front end looks up the words of an input by the page's language, unless the widget has a tooltip of its own; and
 * those that a combo's choice brings have the schema's, in English. Without it they are looked up like all others.
 */

import { app } from "../../scripts/app.js";

const NODE = "MemFlowMemory";

app.registerExtension({
    name: "MemFlow.MemoryWords",
    beforeRegisterNodeDef(nodeType, nodeData) {
        if (nodeData.name !== NODE) return;
        for (const { inputs } of nodeData.input.required.preset[1].options) {
            for (const [, options] of Object.values({ ...inputs.required, ...inputs.optional })) delete options?.tooltip;
        }
    },
});
