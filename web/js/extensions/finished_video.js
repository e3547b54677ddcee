// The live preview of a node hides the video that it makes: take the preview away when the video is there, and draw
// the node as high as the video has made it, which ComfyUI leaves to the next mouse move.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { findEventNode, rootOf } from "../lib/graph.js";
import { STREAM_TO_VIDEO } from "../lib/node_ids.js";

const PREVIEW_WIDGET = "$$canvas-image-preview";

function dropPreview(node) {
  const key = node.graph.isRootGraph === false ? `${node.graph.id}:${node.id}` : String(node.id);
  if (!app.nodePreviewImages?.[key]) return;
  delete app.nodePreviewImages[key];
  node.imgs = undefined;
  const place = node.widgets?.findIndex((widget) => widget.name === PREVIEW_WIDGET) ?? -1;
  if (place >= 0) node.widgets.splice(place, 1)[0].onRemove?.();
  node.setDirtyCanvas(true, true);
}

function drawWhenResized(node) {
  const before = node.onResize;
  node.onResize = function (...size) {
    before?.apply(this, size);
    this.setDirtyCanvas(true, true);
  };
}

app.registerExtension({
  name: "MemFlow.FinishedVideo",
  nodeCreated(node) {
    if (node.comfyClass === STREAM_TO_VIDEO) drawWhenResized(node);
  },
  setup() {
    api.addEventListener("executed", ({ detail }) => {
      const node = findEventNode(rootOf(app.graph), detail);
      if (node?.comfyClass === STREAM_TO_VIDEO) dropPreview(node);
    });
  },
});
