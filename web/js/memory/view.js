// @ts-check
// The memory of a run as rows of pictures, one row for each chunk.

import { say } from "../i18n/say.js";
import { describe, nameOf, percent, seconds } from "./log.js";

/** @typedef {import("./log.js").MemoryStory} MemoryStory */
/** @typedef {import("./log.js").Moment} Moment */

const KINDS = /** @type {const} */ (["sink", "bank", "window"]);

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
export function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export class MemoryView {
  /** @param {(moment: Moment, element: HTMLElement) => void} onPick a moment was clicked */
  constructor(onPick) {
    this.onPick = onPick;
    this.open = true;
    /** called when it becomes taller or lower */
    this.onResize = () => {};
    this.head = /** @type {HTMLButtonElement} */ (make("button", "mm-head"));
    this.head.type = "button";
    this.title = make("span", "mm-title", say("Memory"));
    this.line = make("span", "mm-line");
    this.head.append(this.title, this.line);
    this.head.addEventListener("click", () => this.setOpen(!this.open));
    this.rows = make("div", "mm-rows");
    this.rows.setAttribute("role", "list");
    this.rows.tabIndex = 0;
    this.rows.setAttribute("aria-label", say("What the memory bank held, chunk by chunk"));
    this.legend = legend();
    this.element = make("div", "mm-view");
    this.element.append(this.head, this.legend, this.rows);
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
    if (leftOut) this.rows.append(make("div", "mm-more", say("{0} earlier chunks are in the report", leftOut)));
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
    const row = make("div", "mm-row");
    row.setAttribute("role", "listitem");
    const when = make("div", "mm-when");
    when.append(make("span", "mm-time", `${told.start_s.toFixed(2)}–${seconds(told.end_s)}`));
    if (told.prompt !== before) when.append(make("span", "mm-prompt", told.prompt));
    when.title = told.prompt;
    const moments = make("div", "mm-moments");
    for (const moment of told.memory.bank) moments.append(this.moment(moment, false, story));
    for (const moment of told.memory.dropped) moments.append(this.moment(moment, true, story));
    if (!moments.childElementCount) moments.append(make("span", "mm-none", say("nothing in the bank")));
    row.append(when, moments, shareBar(told.memory.share));
    return row;
  }

  /** @param {Moment} moment @param {boolean} dropped @param {MemoryStory} story */
  moment(moment, dropped, story) {
    const button = /** @type {HTMLButtonElement} */ (make("button", "mm-moment"));
    button.type = "button";
    button.classList.toggle("mm-dropped", dropped);
    button.classList.toggle("mm-pinned", moment.pinned);
    button.title = describe(moment, dropped);
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-haspopup", "menu");
    const url = story.pictureOf(moment);
    const frame = make("span", "mm-frame");
    if (url) {
      const picture = /** @type {HTMLImageElement} */ (make("img", "mm-picture"));
      picture.src = url;
      picture.alt = "";
      picture.draggable = false;
      frame.append(picture);
    }
    if (moment.pinned) frame.append(make("span", "mm-badge mm-pin", moment.name ?? say("pin")));
    if (!dropped && moment.layers < 0.9995) frame.append(make("span", "mm-badge", percent(moment.layers)));
    const score = moment.score === null ? "" : moment.score.toPrecision(2);
    button.append(frame, make("span", "mm-at", nameOf(moment)), make("span", "mm-score", score));
    button.addEventListener("click", () => this.onPick(moment, button));
    return button;
  }
}

function legend() {
  const element = make("div", "mm-legend");
  element.append(make("span", "mm-legend-title", say("share of attention")));
  for (const kind of KINDS) element.append(make("span", `mm-key mm-${kind}`, say(kind)));
  return element;
}

/** @param {import("./log.js").Share | null} share */
function shareBar(share) {
  const bar = make("div", "mm-share");
  if (!share) return bar;
  const said = KINDS.map((kind) => `${say(kind)} ${percent(share[kind])}`).join(", ");
  bar.title = say("share of attention: {0}", said);
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", bar.title);
  for (const kind of KINDS) {
    const part = make("span", `mm-part mm-${kind}`);
    part.style.flexGrow = String(share[kind]);
    bar.append(part);
  }
  return bar;
}
