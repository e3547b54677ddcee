// @ts-check
// Looks of the memory view, from ComfyUI's own colours.

const ID = "memflow-memory-style";

const CSS_TEXT = `
.memflow-memory, .memflow-plan, .memflow-menu {
  --mm-ink: var(--input-text, #ddd); --mm-faint: var(--descrip-text, #999); --mm-line: var(--border-color, #4e4e4e);
  --mm-field: var(--comfy-input-bg, #222); --mm-paper: var(--comfy-menu-bg, #353535); --mm-bad: var(--error-text, #ff4444);
  --mm-sink: #4f86e8; --mm-bank: #dd9a22; --mm-window: #8b91a3;
  color: var(--mm-ink); font: 12px/1.35 system-ui, sans-serif;
}
.memflow-memory { display: flex; flex-direction: column; gap: 6px; box-sizing: border-box; min-width: 0; height: 100%;
  overflow: hidden; }
.memflow-memory [hidden] { display: none !important; }
.memflow-memory button, .memflow-memory select, .memflow-memory textarea { font: inherit; color: inherit; margin: 0; }
.memflow-memory :focus-visible, .memflow-plan :focus-visible, .memflow-menu :focus-visible { outline: 2px solid var(--mm-sink); outline-offset: 1px; }
.mm-view { display: flex; flex-direction: column; gap: 4px; min-height: 0; flex: 1 1 auto; }
.mm-head { display: flex; gap: 8px; align-items: baseline; padding: 2px 4px; border: 0; background: none; text-align: left;
  cursor: pointer; flex: none; min-width: 0; }
.mm-head:disabled { cursor: default; }
.mm-title { font-weight: 600; }
.mm-title::before { content: "▸ "; }
.mm-head:disabled .mm-title::before { content: ""; }
.mm-head[aria-expanded="true"] .mm-title::before { content: "▾ "; }
.mm-line { color: var(--mm-faint); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.mm-legend { display: flex; gap: 10px; justify-content: flex-end; color: var(--mm-faint); font-size: 11px; flex: none;
  padding: 0 4px; }
.mm-key::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 4px; border-radius: 2px;
  background: var(--mm-kind); }
.mm-sink { --mm-kind: var(--mm-sink); } .mm-bank { --mm-kind: var(--mm-bank); } .mm-window { --mm-kind: var(--mm-window); }
.mm-rows { overflow: auto; min-height: 0; max-height: 340px; flex: 1 1 auto; display: flex; flex-direction: column; gap: 3px; }
.mm-row { display: grid; grid-template-columns: 84px 1fr 64px; gap: 8px; align-items: start; padding: 5px; border-radius: 6px;
  background: var(--mm-field); flex: none; }
.mm-when { display: flex; flex-direction: column; min-width: 0; }
.mm-time { font-variant-numeric: tabular-nums; white-space: nowrap; }
.mm-prompt { color: var(--mm-faint); font-size: 11px; overflow: hidden; display: -webkit-box; -webkit-box-orient: vertical;
  -webkit-line-clamp: 3; overflow-wrap: anywhere; }
.mm-moments { display: flex; flex-wrap: wrap; gap: 4px; min-width: 0; }
.mm-none, .mm-more { color: var(--mm-faint); }
.mm-moment { display: flex; flex-direction: column; align-items: stretch; width: 58px; padding: 0; border: 0; background: none;
  cursor: pointer; font-size: 10px; text-align: center; font-variant-numeric: tabular-nums; }
.mm-frame { position: relative; height: 40px; border: 2px solid transparent; border-radius: 4px; overflow: hidden;
  background: var(--mm-paper); display: block; }
.mm-moment:hover .mm-frame { border-color: var(--mm-line); }
.mm-picture { width: 100%; height: 100%; object-fit: cover; display: block; }
.mm-pinned .mm-frame, .mm-pinned:hover .mm-frame { border-color: var(--mm-bank); }
.mm-badge { position: absolute; right: 0; top: 0; padding: 0 3px; font-size: 9px; background: var(--mm-field); opacity: 0.9; }
.mm-pin { right: auto; left: 0; background: var(--mm-bank); color: #000; opacity: 1; }
.mm-dropped .mm-picture { opacity: 0.45; filter: grayscale(0.6); }
.mm-dropped .mm-frame::after { content: ""; position: absolute; inset: 0;
  background: linear-gradient(to top right, transparent calc(50% - 1.5px), var(--mm-bad) calc(50% - 1.5px),
    var(--mm-bad) calc(50% + 1.5px), transparent calc(50% + 1.5px)); }
.mm-dropped .mm-at { text-decoration: line-through; color: var(--mm-faint); }
.mm-score { color: var(--mm-faint); }
.mm-share { display: flex; height: 12px; border-radius: 3px; overflow: hidden; margin-top: 3px; }
.mm-part { flex: 0 1 0; min-width: 0; background: var(--mm-kind); }
.mm-live { display: flex; flex-direction: column; gap: 4px; flex: none; margin: 0; padding: 6px; border-radius: 6px;
  border: 1px solid var(--mm-line); }
.mm-next { resize: none; width: 100%; box-sizing: border-box; background: var(--mm-field); border: 1px solid var(--mm-line);
  border-radius: 4px; padding: 4px 6px; }
.mm-tools { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.mm-gap { flex: 1; }
.mm-tools button, .mm-tools select { background: var(--mm-field); border: 1px solid var(--mm-line); border-radius: 4px;
  padding: 3px 8px; cursor: pointer; }
.mm-tools button:disabled, .mm-tools select:disabled, .mm-next:disabled { opacity: 0.5; cursor: default; }
.mm-said { color: var(--mm-faint); min-height: 1.35em; max-height: 4em; overflow: auto; overflow-wrap: anywhere; }
.mm-said.mm-problem { color: var(--mm-bad); }
.memflow-menu { position: fixed; z-index: 10000; display: flex; flex-direction: column; padding: 4px; border-radius: 6px;
  background: var(--mm-paper); border: 1px solid var(--mm-line); box-shadow: 0 4px 16px rgb(0 0 0 / 0.4); }
.memflow-menu button { font: inherit; color: inherit; text-align: left; padding: 5px 10px; border: 0; border-radius: 4px;
  background: none; cursor: pointer; }
.memflow-menu small { display: block; max-width: 420px; white-space: pre-line; color: var(--mm-faint); font-size: 11px; }
.memflow-plan { display: flex; flex-direction: column; gap: 2px; box-sizing: border-box; min-width: 0; height: 100%;
  max-height: 156px; overflow: hidden; }
.memflow-plan.mp-open { min-height: 156px; }
.memflow-plan [hidden] { display: none !important; }
.memflow-plan button { font: inherit; color: inherit; margin: 0; cursor: pointer; }
.mp-bar { display: flex; flex: none; gap: 6px; align-items: baseline; }
.mp-head { display: flex; flex: 1 1 auto; gap: 8px; align-items: baseline; min-width: 0; padding: 2px 4px; border: 0; background: none;
  text-align: left; }
.mp-title { flex: none; font-weight: 600; white-space: nowrap; }
.mp-title::before { content: "▸ "; }
.mp-head[aria-expanded="true"] .mp-title::before { content: "▾ "; }
.mp-line { color: var(--mm-faint); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.mp-presets { flex: none; padding: 1px 8px; border: 1px solid var(--mm-line); border-radius: 4px; background: var(--mm-field); }
.mp-body { flex: 1 1 auto; min-height: 0; overflow: auto; padding: 4px 8px; border-radius: 6px; background: var(--mm-field);
  overflow-wrap: anywhere; user-select: text; }
.mp-body div + div { margin-top: 2px; }
.mp-told { margin-bottom: 4px; padding-bottom: 4px; border-bottom: 1px solid var(--mm-line); }
.mp-problem .mp-line, .mp-problem .mp-lines { color: var(--mm-bad); }
.memflow-menu button:hover, .memflow-menu button:focus { background: var(--mm-field); }
`;

/** Put the style into the page, once. */
export function ensureStyle() {
  if (document.getElementById(ID)) return;
  const style = document.createElement("style");
  style.id = ID;
  style.textContent = CSS_TEXT;
  document.head.append(style);
}
