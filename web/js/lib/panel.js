// @ts-check
// A DOM widget on a node that becomes taller and lower: the base of the memory view's and the plan's panels.

export const MARGIN = 4;

export class NodePanel {
  /** @param {ComfyNode} node @param {HTMLElement} element */
  constructor(node, element) {
    this.node = node;
    this.element = element;
    // the canvas must not zoom or drag under the widget
    element.addEventListener("wheel", (event) => event.stopPropagation());
    /** height that the node was made for */
    this.fitted = 0;
  }

  /** Height of the widget in pixels, with its margins. @returns {number} */
  get height() {
    throw new Error("a panel says how high it is");
  }

  /**
   * Add the panel to its node as a widget that is not saved.
   * @param {string} name  of the widget @param {string} type @param {object} options  more of addDOMWidget's
   */
  addWidget(name, type, options = {}) {
    this.fitted = this.height;
    const own = { serialize: false, hideOnZoom: false, margin: MARGIN, getMinHeight: () => this.height, getValue: () => "" };
    const widget = this.node.addDOMWidget(name, type, this.element, { ...own, ...options });
    widget.serialize = false;
    return widget;
  }

  /** Make the node tall enough for a new height of the panel, and lower again by what is no longer needed. */
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
