// @ts-check
// Make elements, load stylesheets, write CSS lengths.

// more than Vue nodes take, on a busy machine too
const VUE_FRAMES = 30;

/**
 * Make an element with its attributes and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number | boolean | null | undefined>} attributes  null, undefined and false: left out
 * @param {(Node | string)[]} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * Make elements the children of another. Those that are children already are not taken out, which would lay them out anew.
 * @param {Element} parent @param {Element[]} children
 */
export function showChildren(parent, children) {
  const stay = new Set(children);
  for (const child of [...parent.childNodes]) if (!stay.has(/** @type {Element} */ (child))) child.remove();
  children.forEach((child, index) => {
    const there = parent.children[index];
    if (there !== child) parent.insertBefore(child, there ?? null);
  });
}

/** A share of a whole as CSS percent. @param {number} part @param {number} whole */
export function percent(part, whole) {
  return `${((100 * part) / whole).toFixed(4)}%`;
}

/** Load a stylesheet of web/css into the page, once. @param {string} name  such as timeline.css */
export function loadStyle(name) {
  const { href } = new URL(`../../css/${name}`, import.meta.url);
  if ([...document.head.querySelectorAll("link")].some((link) => link.href === href)) return;
  document.head.append(el("link", { rel: "stylesheet", href }));
}

/**
 * Show an element in the place of the one that a node of the same id had before. Vue nodes take the widgets of a node
 * that is made anew, as ComfyUI's undo makes all, for those of the old one, and leave its elements on the page.
 * @param {string | number} nodeId @param {HTMLElement} element  of a class of its own
 */
export function replaceShown(nodeId, element) {
  if (element.isConnected) return;
  const place = `[data-node-id="${CSS.escape(String(nodeId))}"] .${element.classList[0]}`;
  document.querySelector(place)?.replaceWith(element);
}

/** Call a function once Vue nodes are on the page, which follow the graph over a few frames. @param {() => void} then */
export function afterVueNodes(then) {
  if (!window.LiteGraph?.vueNodesMode) return;
  let frames = VUE_FRAMES;
  const next = () => {
    then();
    if (--frames > 0) requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}
