// @ts-check
// The memory of a run on the page: one row of remembered frames for each chunk.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { describe, layerShare, nameOf, percentText, seconds } from "./log.js";

/** @typedef {import("./log.js").LoggedChunk} LoggedChunk */
/** @typedef {import("./log.js").MemoryLog} MemoryLog */
/** @typedef {import("./log.js").RememberedFrame} RememberedFrame */

const KINDS = /** @type {const} */ (["sink", "bank", "window"]);
// so near to the last row, in pixels, the view follows new rows
const FOLLOW_PX = 20;

export class MemoryView {
  /** @param {(remembered: RememberedFrame, element: HTMLElement) => void} onPick  a frame was clicked */
  constructor(onPick) {
    this.onPick = onPick;
    this.open = true;
    /** called when it becomes taller or lower */
    this.onResize = () => {};
    this.line = el("span", { class: "mm-line" });
    const title = el("span", { class: "mm-title" }, say("Memory"));
    this.head = el("button", { type: "button", class: "mm-head" }, title, this.line);
    this.head.addEventListener("click", () => this.setOpen(!this.open));
    const label = say("What the memory bank held, chunk by chunk");
    this.rows = el("div", { class: "mm-rows", role: "list", tabindex: 0, "aria-label": label });
    this.legend = legend();
    this.shelfLine = el("div", { class: "mm-shelf-line" });
    this.shelfFrames = el("div", { class: "mm-shelf-moments", role: "list", tabindex: 0, "aria-label": say("Archive") });
    this.shelf = el("div", { class: "mm-shelf" }, this.shelfLine, this.shelfFrames);
    this.hasShelf = false;
    this.element = el("div", { class: "mm-view" }, this.head, this.shelf, this.legend, this.rows);
    this.hasRows = false;
    /** @type {LoggedChunk[]} chunks that have a row */
    this.shown = [];
    /** whether the newest row is kept in sight */
    this.following = true;
    this.listen();
    this.setOpen(true);
  }

  /** Whether rows are on show. */
  get expanded() {
    return this.open && this.hasRows;
  }

  /** @param {boolean} open */
  setOpen(open) {
    this.open = open;
    this.update();
  }

  update() {
    this.head.disabled = !this.hasRows;
    this.head.setAttribute("aria-expanded", String(this.expanded));
    this.rows.hidden = this.legend.hidden = !this.expanded;
    this.shelf.hidden = !this.expanded || !this.hasShelf;
    this.onResize();
  }

  /** Follow the newest row, unless the user scrolls to an older one. */
  listen() {
    this.rows.addEventListener("scroll", () => {
      this.following = this.rows.scrollHeight - this.rows.scrollTop - this.rows.clientHeight < FOLLOW_PX;
    });
    // a widget that is not in the page has no height to scroll by
    new ResizeObserver(() => this.scroll(this.rows.scrollTop)).observe(this.rows);
  }

  /** @param {number} top  where the user was */
  scroll(top) {
    this.rows.scrollTop = this.following ? this.rows.scrollHeight : top;
  }

  /** Show a log; rows that are there already stay. @param {MemoryLog} log */
  render(log) {
    const { leftOut, chunks } = log.rows();
    const top = this.rows.scrollTop;
    this.line.textContent = log.headline();
    const grown = !leftOut && this.shown.every((chunk, index) => chunk === chunks[index]);
    if (!grown) this.rows.replaceChildren();
    if (leftOut) this.rows.append(el("div", { class: "mm-more" }, say("{0} earlier chunks are in the report", leftOut)));
    for (let index = grown ? this.shown.length : 0; index < chunks.length; index++) {
      this.rows.append(this.row(chunks[index], chunks[index - 1]?.prompt, log));
    }
    this.shown = chunks;
    const had = [this.hasRows, this.hasShelf];
    this.hasRows = chunks.length > 0;
    this.hasShelf = this.renderShelf(log);
    if (had[0] !== this.hasRows || had[1] !== this.hasShelf) this.update();
    this.scroll(top);
  }

  /** Show the archive, if the run has one: every moment, those in the bank marked. @param {MemoryLog} log */
  renderShelf(log) {
    const shelf = log.shelf();
    if (!shelf) return false;
    const held = shelf.frames.filter((frame) => frame.held).length;
    this.shelfLine.textContent = say("Archive: {0} moments, {1} of them in the bank", shelf.moments, held);
    this.shelfLine.title = say("Scores are for “{0}”", shelf.prompt);
    const left = this.shelfFrames.scrollLeft;
    const buttons = shelf.frames.map((frame) => {
      const button = this.frame(frame.remembered, false, log, { shelved: !frame.held });
      return el("div", { role: "listitem" }, button);
    });
    this.shelfFrames.replaceChildren(...buttons);
    this.shelfFrames.scrollLeft = left;
    return true;
  }

  /**
   * The row of a chunk.
   * @param {LoggedChunk} chunk
   * @param {string | undefined} before  the prompt of the row above
   * @param {MemoryLog} log
   */
  row({ start_s, end_s, prompt, memory }, before, log) {
    const time = el("span", { class: "mm-time" }, `${start_s.toFixed(2)}–${seconds(end_s)}`);
    const when = el("div", { class: "mm-when", title: prompt }, time);
    if (prompt !== before) when.append(el("span", { class: "mm-prompt" }, prompt));
    const frames = el("div", { class: "mm-moments" });
    const recalled = new Set(memory.archive?.recalled.map(({ frame }) => frame));
    for (const remembered of memory.bank) {
      frames.append(this.frame(remembered, false, log, { recalled: recalled.has(remembered.frame) }));
    }
    for (const remembered of memory.dropped) frames.append(this.frame(remembered, true, log));
    if (!frames.childElementCount) frames.append(el("span", { class: "mm-none" }, say("nothing in the bank")));
    return el("div", { class: "mm-row", role: "listitem" }, when, frames, shareBar(memory.share));
  }

  /**
   * The button of a remembered frame.
   * @param {RememberedFrame} remembered @param {boolean} dropped @param {MemoryLog} log
   * @param {{recalled?: boolean, shelved?: boolean}} [marks]  it came from the archive; it stands there alone
   */
  frame(remembered, dropped, log, { recalled = false, shelved = false } = {}) {
    const { pinned, name, score } = remembered;
    const title = describe(remembered, dropped, { recalled, prompt: log.promptOf(remembered) });
    const marks = [dropped && "mm-dropped", pinned && "mm-pinned", recalled && "mm-recalled", shelved && "mm-shelved"];
    const names = ["mm-moment", ...marks].filter(Boolean).join(" ");
    const url = log.thumbnailOf(remembered);
    const layers = dropped || shelved ? "" : layerShare(remembered);
    const button = el(
      "button",
      { type: "button", class: names, title, "aria-label": title, "aria-haspopup": "menu" },
      el(
        "span",
        { class: "mm-frame" },
        ...(url ? [el("img", { class: "mm-picture", src: url, alt: "", draggable: "false" })] : []),
        ...(pinned ? [el("span", { class: "mm-badge mm-pin" }, name ?? say("pin"))] : []),
        ...(layers ? [el("span", { class: "mm-badge" }, layers)] : []),
        ...(recalled && !pinned ? [el("span", { class: "mm-badge mm-back" }, say("back"))] : []),
      ),
      el("span", { class: "mm-at" }, nameOf(remembered)),
      el("span", { class: "mm-score" }, score === null ? "" : score.toPrecision(2)),
    );
    button.addEventListener("click", () => this.onPick(remembered, button));
    return button;
  }
}

/** Which colour stands for which kind of memory. */
function legend() {
  const title = el("span", { class: "mm-legend-title" }, say("share of attention"));
  const keys = KINDS.map((kind) => el("span", { class: `mm-key mm-${kind}` }, say(kind)));
  return el("div", { class: "mm-legend" }, title, ...keys);
}

/**
 * A bar of the shares of attention, empty where they were not measured.
 * @param {import("./log.js").Share | null} share
 */
function shareBar(share) {
  if (!share) return el("div", { class: "mm-share" });
  const shares = KINDS.map((kind) => `${say(kind)} ${percentText(share[kind])}`).join(", ");
  const title = say("share of attention: {0}", shares);
  const bar = el("div", { class: "mm-share", role: "img", title, "aria-label": title });
  for (const kind of KINDS) {
    const part = el("span", { class: `mm-part mm-${kind}` });
    part.style.flexGrow = String(share[kind]);
    bar.append(part);
  }
  return bar;
}
