// @ts-check
// Make elements, load stylesheets, write CSS lengths.

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
