// @ts-check
// Show the finished video on its node: remove the live preview, which hides the video, and redraw the node at once at
// the height that the video gives it, which ComfyUI leaves to the next mouse move.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { findEventNode, rootOf } from "../lib/graph.js";
import { callAfter } from "../lib/hooks.js";
import { STREAM_TO_VIDEO } from "../lib/node_ids.js";

const PREVIEW_WIDGET = "$$canvas-image-preview";

/** Remove the live preview of a node. @param {ComfyNode} node */
function removePreview(node) {
  const { graph, widgets = [] } = node;
  const key = graph?.isRootGraph === false ? `${graph.id}:${node.id}` : String(node.id);
  if (!app.nodePreviewImages?.[key]) return;
  delete app.nodePreviewImages[key];
  node.imgs = undefined;
  const index = widgets.findIndex((widget) => widget.name === PREVIEW_WIDGET);
  if (index >= 0) widgets.splice(index, 1)[0].onRemove?.();
  node.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "MemFlow.FinishedVideo",

  setup() {
    api.addEventListener("executed", ({ detail }) => {
      const node = findEventNode(rootOf(app.graph), detail);
      if (node?.comfyClass === STREAM_TO_VIDEO) removePreview(node);
    });
  },

  nodeCreated(node) {
    if (node.comfyClass === STREAM_TO_VIDEO) callAfter(node, "onResize", () => node.setDirtyCanvas(true, true));
  },
});
