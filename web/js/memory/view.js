// @ts-check
// The memory of a run on the page: what is remembered now, and behind it one row of remembered frames for each chunk.
import { say } from "../i18n/say.js";
import { el, showChildren } from "../lib/dom.js";
import { clock, describe, layerShare, nameOf, percentText, shareWords } from "./log.js";

/** @typedef {import("./log.js").LoggedChunk} LoggedChunk */
/** @typedef {import("./log.js").MemoryLog} MemoryLog */
/** @typedef {import("./log.js").RememberedFrame} RememberedFrame */

const KINDS = /** @type {const} */ (["sink", "bank", "window"]);
const SHARE_NAMES = { sink: "beginning", bank: "remembered", window: "last seconds" };
const SHARE_HELP = {
  sink: "The sink: the first moments of the shot, which are always read. They hold style and place.",
  bank:
    "The bank: the moments above, from before the last seconds. There are few of them, so that a few percent of " +
    "attention are several times an even share, and enough to bring a look back.",
  window: "The window: the last seconds, which are always read. They hold motion.",
};
const EVEN_HELP = "An even share, where every picture that is read gets the same, would be {0}.";
// so near to the last row, in pixels, the view follows new rows
const FOLLOW_PX = 20;

export class MemoryView {
  /** @param {(remembered: RememberedFrame, element: HTMLElement) => void} onPick  a frame was clicked */
  constructor(onPick) {
    this.onPick = onPick;
    this.open = false;
    /** called when it becomes taller or lower */
    this.onResize = () => {};
    this.line = el("span", { class: "mm-line" });
    const title = el("span", { class: "mm-title" }, say("Memory"));
    this.head = el("button", { type: "button", class: "mm-head", title: say("Show every chunk") }, title, this.line);
    const now = say("What is remembered now");
    this.now = el("div", { class: "mm-now mm-moments", role: "list", "aria-label": now });
    this.share = el("div", { class: "mm-shares" });
    this.head.addEventListener("click", () => this.setOpen(!this.open));
    const label = say("What the memory bank held, chunk by chunk");
    this.rows = el("div", { class: "mm-rows", role: "list", tabindex: 0, "aria-label": label });
    this.legend = legend();
    this.shelfLine = el("div", { class: "mm-shelf-line" });
    this.shelfFrames = el("div", { class: "mm-shelf-moments", role: "list", tabindex: 0, "aria-label": say("Archive") });
    this.shelf = el("div", { class: "mm-shelf" }, this.shelfLine, this.shelfFrames);
    /** @type {MemoryLog | null} what is on show */
    this.log = null;
    /** @type {Map<string, HTMLElement>} moments on the shelf, by all that is seen of them */
    this.shelved = new Map();
    const strip = el("div", { class: "mm-strip" }, this.now, this.share);
    this.element = el("div", { class: "mm-view" }, this.head, strip, this.shelf, this.legend, this.rows);
    /** @type {Map<LoggedChunk, {element: HTMLElement, before: string | undefined}>} rows, and the prompt above each */
    this.shown = new Map();
    /** whether the newest row is kept in sight */
    this.following = true;
    this.listen();
    this.setOpen(false);
  }

  /** Show every chunk, or what is remembered now alone. @param {boolean} open */
  setOpen(open) {
    this.open = open;
    this.head.setAttribute("aria-expanded", String(open));
    this.rows.hidden = this.legend.hidden = !open;
    this.renderShelf();
    // by the user alone, and never by a run: the height is saved with the workflow
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

  /** Show a log; what is on show already stays. @param {MemoryLog} log */
  render(log) {
    this.log = log;
    this.line.textContent = log.headline();
    this.renderRows(log);
    this.renderNow(log.chunks.at(-1), log);
    this.renderShelf();
  }

  /** Show a row for each of the newest chunks. @param {MemoryLog} log */
  renderRows(log) {
    const { leftOut, chunks } = log.rows();
    // asked of rows that are out of sight, it would lay out the page for nothing
    const top = this.open ? this.rows.scrollTop : 0;
    const rows = chunks.map((chunk, index) => {
      const before = chunks[index - 1]?.prompt;
      const row = this.shown.get(chunk);
      return row && row.before === before ? row : { element: this.row(chunk, before, log), before };
    });
    this.shown = new Map(chunks.map((chunk, index) => [chunk, rows[index]]));
    const more = leftOut ? [el("div", { class: "mm-more" }, say("{0} earlier chunks are in the report", leftOut))] : [];
    showChildren(this.rows, [...more, ...rows.map(({ element }) => element)]);
    if (this.open) this.scroll(top);
  }

  /** Show what the bank holds at the end of a chunk, and what attention reads. @param {LoggedChunk | undefined} chunk @param {MemoryLog} log */
  renderNow(chunk, log) {
    const bank = chunk?.memory.bank ?? [];
    const marks = { at: chunk?.chunk };
    const items = bank.map((remembered) => el("div", { role: "listitem" }, this.frame(remembered, log, marks)));
    const none = chunk ? say("nothing in the bank yet") : say("Past moments that the coming prompt asks for stay here.");
    this.now.replaceChildren(...(items.length ? items : [el("span", { class: "mm-none" }, none)]));
    const { share, even } = chunk?.memory ?? {};
    this.share.replaceChildren(...(share ? shareLine(share, even) : []));
  }

  /** Show the archive, if the run has one and all is shown: every moment, those in the bank marked. */
  renderShelf() {
    const { log } = this;
    const shelf = this.open ? log?.shelf() : null;
    this.shelf.hidden = !shelf;
    if (!log || !shelf) return;
    const held = shelf.frames.filter((frame) => frame.held).length;
    this.shelfLine.textContent = say("Archive: {0} moments, {1} of them in the bank", shelf.moments, held);
    this.shelfLine.title = say("Scores are for “{0}”", shelf.prompt);
    const left = this.shelfFrames.scrollLeft;
    const shelved = new Map(shelf.frames.map((moment) => {
      const { remembered, held } = moment;
      const key = JSON.stringify([moment, log.promptOf(remembered), log.thumbnailOf(remembered)]);
      const there = this.shelved.get(key);
      return [key, there ?? el("div", { role: "listitem" }, this.frame(remembered, log, { shelved: !held }))];
    }));
    this.shelved = shelved;
    showChildren(this.shelfFrames, [...shelved.values()]);
    this.shelfFrames.scrollLeft = left;
  }

  /**
   * The row of a chunk.
   * @param {LoggedChunk} chunk
   * @param {string | undefined} before  the prompt of the row above
   * @param {MemoryLog} log
   */
  row({ chunk, start_s, end_s, prompt, memory }, before, log) {
    const exact = `${start_s.toFixed(2)}–${end_s.toFixed(2)} s`;
    const time = el("span", { class: "mm-time", title: exact }, `${clock(start_s)}–${clock(end_s)}`);
    const when = el("div", { class: "mm-when", title: prompt }, time);
    if (prompt !== before) when.append(el("span", { class: "mm-prompt" }, prompt));
    const frames = el("div", { class: "mm-moments" });
    const recalled = new Set(memory.archive?.recalled.map(({ frame }) => frame));
    for (const remembered of memory.bank) {
      frames.append(this.frame(remembered, log, { at: chunk, recalled: recalled.has(remembered.frame) }));
    }
    for (const remembered of memory.dropped) frames.append(this.frame(remembered, log, { dropped: true }));
    if (!frames.childElementCount) frames.append(el("span", { class: "mm-none" }, say("nothing in the bank")));
    return el("div", { class: "mm-row", role: "listitem" }, when, frames, shareBar(memory));
  }

  /**
   * The button of a remembered frame.
   * @param {RememberedFrame} remembered @param {MemoryLog} log
   * @param {{at?: number, dropped?: boolean, recalled?: boolean, shelved?: boolean}} [marks]  the chunk whose bank holds
   *   it; it has left the bank; it came from the archive; it stands there alone
   */
  frame(remembered, log, { at, dropped = false, recalled = false, shelved = false } = {}) {
    const { frame, time_s, pinned, name, score } = remembered;
    const chosenFor = at === undefined ? null : log.chosenFor(remembered, at);
    const about = { dropped, recalled, madeUnder: log.promptOf(remembered), chosenFor };
    const facts = describe(remembered, about);
    const title = frame < 0 ? facts : `${facts}\n${say("Click: pin it, or see it in the film")}`;
    const marks = [dropped && "mm-dropped", pinned && "mm-pinned", recalled && "mm-recalled", shelved && "mm-shelved"];
    const names = ["mm-moment", ...marks].filter(Boolean).join(" ");
    const url = log.thumbnailOf(remembered);
    const layers = dropped || shelved ? "" : layerShare(remembered);
    const button = el(
      "button",
      { type: "button", class: names, title, "aria-label": facts, "aria-haspopup": "menu", "data-time": time_s },
      el(
        "span",
        { class: "mm-frame" },
        ...(url ? [el("img", { class: "mm-picture", src: url, alt: "", draggable: "false" })] : []),
        ...(pinned ? [el("span", { class: "mm-badge mm-pin" }, name ?? say("pin"))] : []),
        ...(layers ? [el("span", { class: "mm-badge" }, layers)] : []),
        ...(recalled && !pinned ? [el("span", { class: "mm-badge mm-back" }, say("back"))] : []),
        ...(frame < 0 ? [] : [el("span", { class: "mm-more-sign", "aria-hidden": "true" }, "⋯")]),
      ),
      el("span", { class: "mm-at" }, nameOf(remembered)),
      el("span", { class: "mm-score" }, score === null ? "" : score.toPrecision(2)),
    );
    button.addEventListener("click", () => this.onPick(remembered, button));
    return button;
  }
}

/**
 * The kinds of memory whose shares are shown: without a sink there is no beginning. Where even shares are not known: all.
 * @param {import("./log.js").Share} share @param {import("./log.js").Share} [even]
 */
function kindsIn(share, even) {
  const noSink = !share.sink && even && !even.sink;
  return KINDS.filter((kind) => kind !== "sink" || !noSink);
}

/** What hovering over a kind's share says. @param {"sink" | "bank" | "window"} kind @param {number | undefined} even */
function helpOf(kind, even) {
  return [say(SHARE_HELP[kind]), ...(even ? [say(EVEN_HELP, percentText(even))] : [])].join("\n");
}

/**
 * Shares of attention as a bar, and in words below it.
 * @param {import("./log.js").Share} share @param {import("./log.js").Share} [even]  if every frame got the same
 */
function shareLine(share, even) {
  const bar = el("div", { class: "mm-share-line" });
  const words = el("div", { class: "mm-share-words" });
  for (const kind of kindsIn(share, even)) {
    // of the others it says nothing that people ask for
    const amount = kind === "bank" ? shareWords(share.bank, even?.bank) : percentText(share[kind]);
    const said = `${say(SHARE_NAMES[kind])} ${amount}`;
    const title = `${said}\n${helpOf(kind, even?.[kind])}`;
    const part = el("span", { class: `mm-part mm-${kind}`, title });
    part.style.flexGrow = String(share[kind]);
    bar.append(part);
    words.append(el("span", { class: `mm-key mm-${kind}`, title }, said));
  }
  return [bar, words];
}

/** Which colour stands for which kind of memory, and what that is. */
function legend() {
  const title = el("span", { class: "mm-legend-title" }, say("share of attention"));
  const keys = KINDS.map((kind) => {
    return el("span", { class: `mm-key mm-${kind}`, title: say(SHARE_HELP[kind]) }, say(SHARE_NAMES[kind]));
  });
  return el("div", { class: "mm-legend" }, title, ...keys);
}

/**
 * A bar of the shares of attention, empty where they were not measured.
 * @param {import("./log.js").ChunkMemory} memory
 */
function shareBar({ share, even }) {
  if (!share) return el("div", { class: "mm-share" });
  const wordsOf = (/** @type {"sink" | "bank" | "window"} */ kind) => shareWords(share[kind], even?.[kind]);
  const kinds = kindsIn(share, even);
  const shares = kinds.map((kind) => `${say(SHARE_NAMES[kind])} ${wordsOf(kind)}`).join("\n");
  const title = `${say("share of attention")}\n${shares}`;
  const bar = el("div", { class: "mm-share", role: "img", title, "aria-label": title });
  for (const kind of kinds) {
    const part = el("span", { class: `mm-part mm-${kind}` });
    part.style.flexGrow = String(share[kind]);
    bar.append(part);
  }
  return bar;
}
