// @ts-check
// The takes of one prompt: what earlier runs have made of it, side by side, and short branches with other seeds.
import { say, sayError } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { Card, sizeText } from "./card.js";

/** @typedef {import("./card.js").Take} Take */
/**
 * @typedef {object} Host what the panel needs of the story's nodes and of the server
 * @property {(more?: object) => Promise<any>} ask  the takes' route; rejects with a sentence
 * @property {(film: {filename: string, subfolder: string, type: string}) => string} address  of a film
 * @property {() => {prompt: string, seconds: string} | null} segment  in words; null where it is gone
 * @property {(seed: string) => string} setSeed  of the segment; returns why it cannot be set, "" if it is
 * @property {(seeds: number, seconds: number, known: string[]) => Promise<string>} tryOut  queues branches; returns what was done, or rejects with a sentence
 */

const [SEEDS, SECONDS] = [3, 4];
const MOST_SEEDS = 16;

/** @param {string} label @param {() => unknown} act @param {string} [title] */
function action(label, act, title) {
  const button = el("button", { type: "button", class: "mtk-button", title: title && say(title) }, say(label));
  button.addEventListener("click", act);
  return button;
}

/** @param {number} value @param {number} low @param {number} high @param {string} step @param {string} label */
function number(value, low, high, step, label) {
  return el("input", { type: "number", value, min: low, max: high, step, "aria-label": say(label) });
}

export class TakesPanel {
  /** @param {number} index  of the segment, from 0 @param {Host} host @param {(random: string[]) => string} newSeed  one that none of these is */
  constructor(index, host, newSeed) {
    this.index = index;
    this.host = host;
    this.newSeed = newSeed;
    /** @type {Take[]} */
    this.takes = [];
    /** @type {Card[]} */
    this.cards = [];
    this.seeds = number(SEEDS, 1, MOST_SEEDS, "1", "How many seeds");
    this.seconds = number(SECONDS, 0.75, 600, "any", "Seconds of each");
    this.title = el("div", { class: "mtk-title" });
    this.list = el("div", { class: "mtk-list", role: "list" });
    this.status = el("div", { class: "mtk-status", role: "status", "aria-live": "polite" });
    this.element = el(
      "section",
      { class: "memflow-takes", role: "dialog", "aria-label": say("Takes"), tabindex: "-1" },
      el("div", { class: "mtk-head" }, this.title, this.closeButton()),
      el("div", { class: "mtk-actions" }, ...this.actions()),
      this.list,
      this.status,
    );
    // keys in here are not the canvas's
    this.element.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") this.close();
    });
    for (const name of ["wheel", "pointerdown", "paste", "copy"]) {
      this.element.addEventListener(name, (event) => event.stopPropagation());
    }
  }

  closeButton() {
    const button = el("button", { type: "button", class: "mtk-button", "aria-label": say("Close") }, "\u00d7");
    button.addEventListener("click", () => this.close());
    return button;
  }

  actions() {
    return [
      action("Another take", () => this.another(), "Give this prompt a new seed; the next run renders it, and what follows"),
      el(
        "span",
        { class: "mtk-try" },
        action("Try seeds", () => this.tryOut(), "Queue short runs that go on from the start of this prompt"),
        this.seeds,
        el("span", {}, "\u00d7"),
        this.seconds,
        el("span", {}, "s"),
      ),
      action("Play all", () => this.playAll(), "Play the takes side by side"),
      action("Delete other takes", () => this.removeOthers(), "Delete all takes of the story that the schedule does not play"),
    ];
  }

  // -- showing --------------------------------------------------------------------------------------------------

  open() {
    document.body.append(this.element);
    this.element.focus({ preventScroll: true });
    return this.refresh();
  }

  close() {
    this.element.remove();
  }

  /** Ask for the takes, as after a run. */
  async refresh() {
    const said = this.status.textContent;
    await this.act(async () => {
      this.show((await this.host.ask()).takes);
      // what was said meanwhile, as of runs that were queued, is to be read
      return this.status.textContent === said ? "" : null;
    });
  }

  /** @param {Take[]} takes  of all segments */
  show(takes) {
    const segment = this.host.segment();
    this.title.textContent = segment
      ? say("Takes of prompt {0}: {1} ({2})", this.index + 1, segment.prompt, segment.seconds)
      : say("This prompt is gone.");
    this.takes = takes.filter((take) => take.segment === this.index);
    const handlers = {
      use: (/** @type {Take} */ take) => this.use(take),
      play: (/** @type {Take} */ take) => this.play([take]),
      remove: (/** @type {Take} */ take) => this.remove(take),
    };
    const before = this.cards;
    this.cards = this.takes.map((take) => new Card(take, handlers, before.find((card) => card.take.id === take.id)));
    const none = el("div", { class: "mtk-none" }, say("No run has kept a take of this prompt yet."));
    this.list.replaceChildren(...(this.cards.length ? this.cards.map((card) => card.element) : [none]));
  }

  /** Show a sentence. @param {string} sentence @param {boolean} [bad] */
  tell(sentence, bad = false) {
    this.status.textContent = sentence;
    this.status.classList.toggle("mtk-bad", bad);
  }

  /**
   * Do something that the server may refuse, and show what came of it.
   * @param {() => Promise<string | null>} work  gives the sentence; null leaves the one that is shown
   */
  async act(work) {
    try {
      const sentence = await work();
      if (sentence !== null) this.tell(sentence);
    } catch (error) {
      this.tell(sayError(error instanceof Error ? error.message : String(error)), true);
    }
  }

  // -- what is done with takes -----------------------------------------------------------------------------------

  /** Give the segment a seed, and list again. @param {string} seed @param {string} done  what to say of it */
  async choose(seed, done) {
    await this.act(async () => {
      const problem = this.host.setSeed(seed);
      if (problem) throw new Error(problem);
      this.show((await this.host.ask()).takes);
      return done;
    });
  }

  another() {
    const seed = this.newSeed(this.takes.map((take) => take.seed));
    return this.choose(seed, say("The prompt has seed {0} now: press Run to make that take.", seed));
  }

  /** @param {Take} take */
  use(take) {
    return this.choose(take.seed, say("The schedule plays this take now: press Run to go on from it."));
  }

  async tryOut() {
    await this.act(() =>
      this.host.tryOut(
        Math.min(MOST_SEEDS, Math.max(1, Math.round(Number(this.seeds.value) || SEEDS))),
        Math.max(0.75, Number(this.seconds.value) || SECONDS),
        this.takes.map((take) => take.seed),
      ),
    );
  }

  playAll() {
    return this.play(this.takes.filter((take) => take.playable));
  }

  /** Play takes at once, from their start. @param {Take[]} takes */
  async play(takes) {
    await this.act(async () => {
      const films = await Promise.all(takes.map((take) => this.host.ask({ action: "film", take: take.id })));
      const videos = films.map((film, number) =>
        this.cards.find(({ take }) => take.id === takes[number].id)?.showFilm(this.host.address(film)),
      );
      await Promise.all(videos.map((video) => video && ready(video)));
      for (const video of videos) video?.play().catch(() => {});
      return takes.length ? "" : say("None of these takes can be played.");
    });
  }

  /** @param {Take} take */
  async remove(take) {
    await this.act(async () => this.removed(await this.host.ask({ action: "delete", take: take.id })));
  }

  async removeOthers() {
    await this.act(async () => this.removed(await this.host.ask({ action: "delete" })));
  }

  /** @param {{takes: Take[], freed: number}} answer */
  removed({ takes, freed }) {
    this.show(takes);
    return say("Deleted: {0}.", sizeText(freed));
  }
}

/** Wait until a film can be played, or turns out not to be one. @param {HTMLVideoElement} video */
function ready(video) {
  return new Promise((resolve) => {
    for (const name of ["canplay", "error"]) video.addEventListener(name, resolve, { once: true });
  });
}
