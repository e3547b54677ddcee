// @ts-check
// A take on the page: its first frame or its film, what it is, and what can be done with it.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";

/**
 * @typedef {object} Take as the server lists it
 * @property {string} id
 * @property {number} segment  from 0
 * @property {string} seed
 * @property {string} prompt
 * @property {number} start_s
 * @property {number} end_s
 * @property {boolean} chosen
 * @property {boolean} playable
 * @property {number} bytes
 * @property {string[]} pictures  data URLs
 */
/** @typedef {{use: (take: Take) => void, play: (take: Take) => void, remove: (take: Take) => void}} CardHandlers */

const PICTURE = /^data:image\/jpeg;base64,[A-Za-z0-9+/=]+$/;
const TURN_MS = 600;

/** 1.25 GB, 340 MB. @param {number} bytes */
export function sizeText(bytes) {
  const mb = bytes / 2 ** 20;
  return mb >= 1000 ? `${(mb / 1024).toFixed(2)} GB` : `${mb < 10 ? mb.toFixed(1) : Math.round(mb)} MB`;
}

export class Card {
  /**
   * @param {Take} take @param {CardHandlers} handlers
   * @param {Card} [before]  of the same take, whose picture or film stays
   */
  constructor(take, handlers, before) {
    this.take = take;
    this.stage = before?.stage ?? el("div", { class: "mtk-stage" }, ...this.still());
    const seconds = (take.end_s - take.start_s).toFixed(2);
    const words = say("seed {0}, {1} s, {2}", take.seed, seconds, sizeText(take.bytes));
    const make = (/** @type {string} */ label, /** @type {(take: Take) => void} */ act, disabled = false) => {
      const button = el("button", { type: "button", class: "mtk-button", disabled: disabled && "" }, say(label));
      button.toggleAttribute("disabled", disabled);
      button.addEventListener("click", () => act(take));
      return button;
    };
    const buttons = [
      make(take.chosen ? "In the schedule" : "Use this take", handlers.use, take.chosen),
      make("Play", handlers.play, !take.playable),
      make("Delete", handlers.remove),
    ];
    const attributes = {
      class: take.chosen ? "mtk-card mtk-chosen" : "mtk-card",
      role: "listitem",
      "aria-label": words,
      "data-seed": take.seed,
    };
    const bar = el("div", { class: "mtk-bar" }, ...buttons);
    this.element = el("div", attributes, this.stage, el("div", { class: "mtk-words" }, words), bar);
  }

  /** Its first frame; under the pointer the others, one after the other. */
  still() {
    const pictures = this.take.pictures.filter((picture) => PICTURE.test(picture));
    if (!pictures.length) return [el("div", { class: "mtk-none" }, say("no picture"))];
    const image = el("img", { src: pictures[0], alt: say("First frame"), draggable: "false" });
    let [timer, shown] = [0, 0];
    image.addEventListener("pointerenter", () => {
      timer = window.setInterval(() => (image.src = pictures[(shown += 1) % pictures.length]), TURN_MS);
    });
    image.addEventListener("pointerleave", () => {
      clearInterval(timer);
      shown = 0;
      image.src = pictures[0];
    });
    return [image];
  }

  /** Play its film in the picture's place. @param {string} address @returns {HTMLVideoElement} */
  showFilm(address) {
    const attributes = { src: address, muted: "", loop: "", playsinline: "", controls: "", preload: "auto" };
    const video = el("video", attributes);
    // the attribute alone does not silence a video that is made by a script
    video.muted = true;
    this.stage.replaceChildren(video);
    return video;
  }
}
