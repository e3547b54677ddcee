// @ts-check
// Fold the inputs that few need, in LiteGraph too, where a node's menu has Show Advanced: Nodes 2.0 does so by itself, with
// a button of its own. An input that a link feeds is shown.
import { app } from "../../../../scripts/app.js";
import { isLinked } from "../lib/graph.js";
import { callAfter } from "../lib/hooks.js";

const ROW_PX = 20;
// takes the gap before the next widget back
const NONE = [0, -4];

/** Let a folded widget take no room, which LiteGraph leaves for it. @param {ComfyNode} node @param {ComfyWidget} widget */
function takeNoRoom(node, widget) {
  const open = () => Boolean(!widget.advanced || node.showAdvanced || window.LiteGraph.vueNodesMode);
  const { computeLayoutSize, computeSize } = widget;
  if (computeLayoutSize) {
    widget.computeLayoutSize = (...values) =>
      open() ? computeLayoutSize.apply(widget, values) : { minHeight: NONE[1], maxHeight: NONE[1], minWidth: 0 };
  } else {
    widget.computeSize = (...values) =>
      open() ? (computeSize?.apply(widget, values) ?? [Number(values[0] ?? 0), ROW_PX]) : NONE;
  }
}

app.registerExtension({
  name: "MemFlow.Folded",

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("MemFlow")) return;
    const folded = (node.widgets ?? []).filter(({ options }) => options?.advanced);
    const fold = () => {
      for (const widget of folded) widget.advanced = !isLinked(node, widget.name);
    };
    for (const widget of folded) takeNoRoom(node, widget);
    for (const name of ["onConfigure", "onConnectionsChange"]) callAfter(node, name, fold);
    fold();
  },
});
