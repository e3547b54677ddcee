// @ts-check
// The base of panels: a DOM widget on a node that becomes taller and lower.

export const MARGIN = 4;

export class NodePanel {
  /** @param {ComfyNode} node @param {HTMLElement} element */
  constructor(node, element) {
    this.node = node;
    this.element = element;
    // the canvas must not zoom or drag under the widget
    element.addEventListener("wheel", (event) => event.stopPropagation());
    /** height that the node has room for */
    this.fitted = 0;
  }

  /** Height of the widget in pixels, with its margins. @returns {number} */
  get height() {
    throw new Error("a subclass defines its height");
  }

  /**
   * Add the panel to its node as a widget that is not saved.
   * @param {string} name  of the widget @param {string} type @param {object} options  more of addDOMWidget's
   */
  addWidget(name, type, options = {}) {
    this.fitted = this.height;
    const own = { serialize: false, hideOnZoom: false, margin: MARGIN, getValue: () => "" };
    const all = { ...own, getMinHeight: () => this.height, ...options };
    const widget = this.node.addDOMWidget(name, type, this.element, all);
    widget.serialize = false;
    return widget;
  }

  /** Fit the node to a new height of the panel: taller, or lower again by what is no longer needed. */
  fit() {
    const change = this.height - this.fitted;
    this.fitted = this.height;
    const [width, height] = this.node.size;
    this.node.setSize([width, Math.max(this.node.computeSize()[1], height + change)]);
    this.node.setDirtyCanvas?.(true, true);
  }

  /** Make a new node tall enough for its widgets. Vue nodes do that themselves. */
  growNode() {
    if (window.LiteGraph?.vueNodesMode) return;
    const [width, height] = this.node.size;
    this.node.setSize([width, Math.max(height, this.node.computeSize()[1])]);
  }
}
