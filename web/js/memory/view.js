// @ts-check
// The memory of a run as rows of pictures, one row for each chunk.

import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { describe, nameOf, percent, seconds } from "./log.js";

/** @typedef {import("./log.js").MemoryStory} MemoryStory */
/** @typedef {import("./log.js").Moment} Moment */

const KINDS = /** @type {const} */ (["sink", "bank", "window"]);

export class MemoryView {
  /** @param {(moment: Moment, element: HTMLElement) => void} onPick a moment was clicked */
  constructor(onPick) {
    this.onPick = onPick;
    this.open = true;
    /** called when it becomes taller or lower */
    this.onResize = () => {};
    this.line = el("span", { class: "mm-line" });
    this.head = el("button", { type: "button", class: "mm-head" }, el("span", { class: "mm-title" }, say("Memory")), this.line);
    this.head.addEventListener("click", () => this.setOpen(!this.open));
    const held = say("What the memory bank held, chunk by chunk");
    this.rows = el("div", { class: "mm-rows", role: "list", tabindex: 0, "aria-label": held });
    this.legend = legend();
    this.element = el("div", { class: "mm-view" }, this.head, this.legend, this.rows);
    this.hasRows = false;
    /** @type {import("./log.js").ToldChunk[]} chunks that have a row */
    this.shown = [];
    this.follow();
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
    this.onResize();
  }

  /** Keep the newest row in sight, unless the user looks at something older. */
  follow() {
    this.following = true;
    this.rows.addEventListener("scroll", () => {
      this.following = this.rows.scrollHeight - this.rows.scrollTop - this.rows.clientHeight < 20;
    });
    // a widget that is not in the page has no height to scroll by
    new ResizeObserver(() => this.scroll(this.rows.scrollTop)).observe(this.rows);
  }

  /** @param {number} top where the user was */
  scroll(top) {
    this.rows.scrollTop = this.following ? this.rows.scrollHeight : top;
  }

  /** @param {MemoryStory} story */
  render(story) {
    const { leftOut, chunks } = story.rows();
    const top = this.rows.scrollTop;
    this.line.textContent = story.headline();
    const grown = !leftOut && this.shown.every((told, number) => told === chunks[number]);
    if (!grown) this.rows.replaceChildren();
    if (leftOut) this.rows.append(el("div", { class: "mm-more" }, say("{0} earlier chunks are in the report", leftOut)));
    for (let number = grown ? this.shown.length : 0; number < chunks.length; number++) {
      this.rows.append(this.row(chunks[number], chunks[number - 1]?.prompt, story));
    }
    this.shown = chunks;
    const had = this.hasRows;
    this.hasRows = chunks.length > 0;
    if (had !== this.hasRows) this.update();
    this.scroll(top);
  }

  /**
   * @param {import("./log.js").ToldChunk} told
   * @param {string | undefined} before the prompt of the row above
   * @param {MemoryStory} story
   */
  row(told, before, story) {
    const time = el("span", { class: "mm-time" }, `${told.start_s.toFixed(2)}–${seconds(told.end_s)}`);
    const when = el("div", { class: "mm-when", title: told.prompt }, time);
    if (told.prompt !== before) when.append(el("span", { class: "mm-prompt" }, told.prompt));
    const moments = el("div", { class: "mm-moments" });
    for (const moment of told.memory.bank) moments.append(this.moment(moment, false, story));
    for (const moment of told.memory.dropped) moments.append(this.moment(moment, true, story));
    if (!moments.childElementCount) moments.append(el("span", { class: "mm-none" }, say("nothing in the bank")));
    return el("div", { class: "mm-row", role: "listitem" }, when, moments, shareBar(told.memory.share));
  }

  /** @param {Moment} moment @param {boolean} dropped @param {MemoryStory} story */
  moment(moment, dropped, story) {
    const title = describe(moment, dropped);
    const names = ["mm-moment", dropped && "mm-dropped", moment.pinned && "mm-pinned"].filter(Boolean).join(" ");
    const button = el("button", { type: "button", class: names, title, "aria-label": title, "aria-haspopup": "menu" });
    const url = story.pictureOf(moment);
    const frame = el("span", { class: "mm-frame" });
    if (url) frame.append(el("img", { class: "mm-picture", src: url, alt: "", draggable: "false" }));
    if (moment.pinned) frame.append(el("span", { class: "mm-badge mm-pin" }, moment.name ?? say("pin")));
    if (!dropped && moment.layers < 0.9995) frame.append(el("span", { class: "mm-badge" }, percent(moment.layers)));
    const score = moment.score === null ? "" : moment.score.toPrecision(2);
    button.append(frame, el("span", { class: "mm-at" }, nameOf(moment)), el("span", { class: "mm-score" }, score));
    button.addEventListener("click", () => this.onPick(moment, button));
    return button;
  }
}

function legend() {
  const title = el("span", { class: "mm-legend-title" }, say("share of attention"));
  return el("div", { class: "mm-legend" }, title, ...KINDS.map((kind) => el("span", { class: `mm-key mm-${kind}` }, say(kind))));
}

/** @param {import("./log.js").Share | null} share */
function shareBar(share) {
  if (!share) return el("div", { class: "mm-share" });
  const shares = KINDS.map((kind) => `${say(kind)} ${percent(share[kind])}`).join(", ");
  const title = say("share of attention: {0}", shares);
  const bar = el("div", { class: "mm-share", role: "img", title, "aria-label": title });
  for (const kind of KINDS) {
    const part = el("span", { class: `mm-part mm-${kind}` });
    part.style.flexGrow = String(share[kind]);
    bar.append(part);
  }
  return bar;
}
