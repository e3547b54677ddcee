// @ts-check
// A small menu beside an element: arrows, Enter and Escape work, and so does a click elsewhere.

/**
 * @param {HTMLElement} anchor gets the focus back
 * @param {{label: string, hint?: string, act: () => void}[]} items
 */
export function openMenu(anchor, items) {
  const menu = document.createElement("div");
  menu.className = "memflow-menu";
  menu.setAttribute("role", "menu");
  const buttons = items.map(({ label, hint, act }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    if (hint) button.append(Object.assign(document.createElement("small"), { textContent: hint }));
    button.setAttribute("role", "menuitem");
    button.addEventListener("click", () => {
      close();
      act();
    });
    return button;
  });
  menu.append(...buttons);

  /** @param {Event} event */
  const outside = (event) => {
    if (!menu.contains(/** @type {Node} */ (event.target))) close();
  };
  const close = () => {
    document.removeEventListener("pointerdown", outside, true);
    menu.remove();
    anchor.focus();
  };
  menu.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) buttons[(at + step + buttons.length) % buttons.length].focus();
    if (event.key === "Escape" || event.key === "Tab") close();
    if (step || event.key === "Escape" || event.key === "Tab") event.preventDefault();
  });

  document.body.append(menu);
  place(menu, anchor.getBoundingClientRect());
  document.addEventListener("pointerdown", outside, true);
  buttons[0]?.focus();
}

/** Below the anchor, or above it where there is no room. @param {HTMLElement} menu @param {DOMRect} anchor */
function place(menu, anchor) {
  const { width, height } = menu.getBoundingClientRect();
  const below = anchor.bottom + 4;
  const top = below + height > window.innerHeight ? Math.max(4, anchor.top - height - 4) : below;
  menu.style.left = `${Math.max(4, Math.min(anchor.left, window.innerWidth - width - 4))}px`;
  menu.style.top = `${top}px`;
}
