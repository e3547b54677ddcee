// @ts-check
// Show either the live preview of a run or its finished video on the node. ComfyUI keeps both and takes the preview for
// the video, which then cannot be loaded: so a run's first preview removes the video before, and the video the preview.
// Redraw the node at once at the height that the video gives it, which ComfyUI leaves to the next mouse move.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { findEventNode, findNode, rootOf } from "../lib/graph.js";
import { callAfter } from "../lib/hooks.js";
import { STREAM_TO_VIDEO } from "../lib/node_ids.js";

const [PREVIEW_WIDGET, VIDEO_WIDGET] = ["$$canvas-image-preview", "video-preview"];

/** The key of a node in the front end's stores of outputs and previews. @param {ComfyNode} node */
function keyOf({ graph, id }) {
  return graph?.isRootGraph === false ? `${graph.id}:${id}` : String(id);
}

/** The front end's store of outputs and previews; newer ones show what it holds, and not app's copy of it. */
function outputStore() {
  return app.extensionManager._p?._s?.get("nodeOutput");
}

/** @param {ComfyNode} node @param {string} name  of the widget */
function removeWidget(node, name) {
  const { widgets = [] } = node;
  const index = widgets.findIndex((widget) => widget.name === name);
  if (index >= 0) widgets.splice(index, 1)[0].onRemove?.();
}

/** Remove the live preview from a node; its output is then shown as if it were new. @param {ComfyNode} node */
function removePreview(node) {
  const key = keyOf(node);
  if (!app.nodePreviewImages?.[key]) return;
  outputStore()?.revokePreviewsByLocatorId?.(key);
  delete app.nodePreviewImages[key];
  node.imgs = undefined;
  node.images = undefined;
  removeWidget(node, PREVIEW_WIDGET);
  node.setDirtyCanvas(true, true);
}

/** Remove the video of the run before from a node that has a preview. @param {ComfyNode} node */
function removeVideo(node) {
  const [key, store] = [keyOf(node), outputStore()];
  if (!app.nodeOutputs?.[key] && !node.videoContainer) return;
  delete store?.nodeOutputs?.[key];
  delete app.nodeOutputs?.[key];
  removeWidget(node, VIDEO_WIDGET);
  node.videoContainer = undefined;
  node.previewMediaType = undefined;
  node.images = undefined;
  node.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "MemFlow.FinishedVideo",

  setup() {
    api.addEventListener("executed", ({ detail }) => {
      const node = findEventNode(rootOf(app.graph), detail);
      if (node?.comfyClass === STREAM_TO_VIDEO) removePreview(node);
    });
    api.addEventListener("b_preview_with_metadata", ({ detail }) => {
      const node = findNode(rootOf(app.graph), detail.displayNodeId);
      if (node?.comfyClass === STREAM_TO_VIDEO) removeVideo(node);
    });
  },

  nodeCreated(node) {
    if (node.comfyClass === STREAM_TO_VIDEO) callAfter(node, "onResize", () => node.setDirtyCanvas(true, true));
  },
});
