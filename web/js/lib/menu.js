// @ts-check
// A menu beside an element, for keyboard and pointer.
import { el } from "./dom.js";

/** @typedef {{label: string, hint?: string, act: () => void}} Item */

/** Closes the menu that is open: one opens late if a server is asked for its items, and may be asked for twice. */
let closeOpen = () => {};

/**
 * Open a menu at an element, which gets the focus back.
 * @param {HTMLElement} anchor
 * @param {Item[]} items
 * @param {string} [title]  a line above them
 */
export function openMenu(anchor, items, title = "") {
  const buttons = items.map(({ label, hint }) =>
    el("button", { type: "button", role: "menuitem" }, label, ...(hint ? [el("small", {}, hint)] : [])),
  );
  const head = title ? [el("div", { class: "memflow-menu-title" }, title)] : [];
  const menu = el("div", { class: "memflow-menu", role: "menu", "aria-label": title || null }, ...head, ...buttons);

  /** @param {Event} event */
  const closeOutside = (event) => {
    if (!menu.contains(/** @type {Node} */ (event.target))) close();
  };
  const close = () => {
    closeOpen = () => {};
    document.removeEventListener("pointerdown", closeOutside, true);
    menu.remove();
    anchor.focus();
  };
  items.forEach(({ act }, number) =>
    buttons[number].addEventListener("click", () => {
      close();
      act();
    }),
  );
  menu.addEventListener("keydown", (event) => onKey(event, buttons, close));

  closeOpen();
  closeOpen = close;
  document.body.append(menu);
  place(menu, anchor.getBoundingClientRect());
  document.addEventListener("pointerdown", closeOutside, true);
  buttons[0]?.focus();
}

/** @param {KeyboardEvent} event @param {HTMLButtonElement[]} buttons @param {() => void} close */
function onKey(event, buttons, close) {
  event.stopPropagation();
  const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const closes = event.key === "Escape" || event.key === "Tab";
  if (step) buttons[(at + step + buttons.length) % buttons.length].focus();
  if (closes) close();
  if (step || closes) event.preventDefault();
}

/** Below the anchor, or above it where there is no room. @param {HTMLElement} menu @param {DOMRect} anchor */
function place(menu, anchor) {
  const { width, height } = menu.getBoundingClientRect();
  const below = anchor.bottom + 4;
  const top = below + height > window.innerHeight ? Math.max(4, anchor.top - height - 4) : below;
  menu.style.left = `${Math.max(4, Math.min(anchor.left, window.innerWidth - width - 4))}px`;
  menu.style.top = `${top}px`;
}
