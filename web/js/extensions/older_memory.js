// @ts-check
// A MemFlow Memory of a file from before it had bank_keys and archive: both stay as they were then, not on auto, which is
// for nodes that are put down now.
import { app } from "../../../../scripts/app.js";
import { callAfter } from "../lib/hooks.js";

/** @type {Record<string, string>} */
const BEFORE = { bank_keys: "made", archive: "off" };

app.registerExtension({
  name: "MemFlow.OlderMemory",

  nodeCreated(node) {
    if (node.comfyClass !== "MemFlowMemory") return;
    callAfter(node, "onConfigure", ({ widgets_values: saved }) => {
      if (!Array.isArray(saved)) return;
      // values are saved in the order of the widgets; the front end fills in inputs that a file lacks before this is called
      const kept = (node.widgets ?? []).filter((widget) => widget.serialize !== false);
      for (const widget of kept.slice(saved.length)) {
        if (widget.name in BEFORE) widget.value = BEFORE[widget.name];
      }
    });
  },
});
