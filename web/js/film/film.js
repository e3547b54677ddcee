// @ts-check
// The film of a run on the page: it plays while it grows, then from its start, or as far as it came.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { GrowingFile, playsGrowing } from "./growing.js";
import { Progress } from "./progress.js";
import { ReloadedFile } from "./reloaded.js";

/**
 * A file as ComfyUI's /view takes it; of one that grows, how much of it is there, and its media type.
 * @typedef {{filename: string, subfolder: string, type: string}} File
 * @typedef {File & {bytes: number, media: string | null}} GrowingFilm
 * @typedef {{prompt_id: string, chunk: number, chunks: number | null, start_s: number, end_s: number, kept?: boolean,
 *            thumbnail: string | null, film?: GrowingFilm | null}} ChunkEvent
 * @typedef {{prompt_id: string, ended: "finished" | "stopped", film?: GrowingFilm | null}} DoneEvent
 */
/**
 * @typedef {object} Host what a film needs of the page
 * @property {(file: File) => string} url  of a file
 * @property {(file: File, from: number, to: number) => Promise<ArrayBuffer>} load  bytes of a file; `to` is left out
 */

// of a growing film the last seconds play again and again
const LOOP_S = 3;
// so near to its end, in seconds, a growing film counts as played through
const END_S = 0.12;
// a seek so soon after a click or a key is the user's
const TOUCH_MS = 1000;
// whether the page lets media come from blobs, as far as is known
let blobsPlay = true;
// pictures this small keep their pixels when they are drawn large
const SMALL_PX = 160;

export class Film {
  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    /** @type {string | null} the run on show */
    this.promptId = null;
    /** where the film starts in the story, in seconds */
    this.firstS = 0;
    /** @type {File | null} the file on show, of a run that has ended */
    this.shown = null;
    /** when the user last did something to the player */
    this.touched = -Infinity;
    /** whether no chunk of the run has come yet */
    this.fresh = true;
    /** whether the newest seconds are played as they come */
    this.following = true;
    /** @type {GrowingFile | ReloadedFile | null} */
    this.growing = null;
    this.progress = new Progress();
    /** @type {(time_s: number) => void} called with the moment of the story that is on show */
    this.onTime = () => {};
    this.video = el("video", { class: "mf-video", playsinline: "", controls: "" });
    this.video.muted = true;
    this.picture = el("img", { class: "mf-picture", alt: "", draggable: "false" });
    this.empty = el("div", { class: "mf-empty" }, say("The film plays here while it is made."));
    this.newest = el("button", { type: "button", class: "mf-newest" }, say("Newest"));
    this.newest.title = say("Play the newest seconds as they are made");
    this.stage = el("div", { class: "mf-stage" }, this.video, this.picture, this.empty, this.newest);
    this.line = el("div", { class: "mf-line", role: "status" });
    this.element = el("div", { class: "mf-film" }, this.stage, this.line);
    this.listen();
    this.showOnly(this.empty);
  }

  listen() {
    const { video } = this;
    video.addEventListener("timeupdate", () => this.playOn());
    video.addEventListener("waiting", () => this.playOn());
    video.addEventListener("loadedmetadata", () => {
      video.classList.toggle("mf-pixels", Math.max(video.videoWidth, video.videoHeight) <= SMALL_PX);
    });
    // a user who looks at an earlier moment is left there
    video.addEventListener("pointerdown", () => (this.touched = performance.now()));
    video.addEventListener("keydown", () => (this.touched = performance.now()));
    for (const name of ["seeking", "pause"]) {
      video.addEventListener(name, () => {
        if (this.growing && performance.now() - this.touched < TOUCH_MS) this.follow(false);
      });
    }
    this.newest.addEventListener("click", () => this.follow(true));
  }

  /** @param {HTMLElement} shown */
  showOnly(shown) {
    for (const part of [this.video, this.picture, this.empty]) part.hidden = part !== shown;
    this.newest.hidden = !this.growing || this.following;
  }

  /** @param {string} text @param {boolean} [problem] */
  say(text, problem = false) {
    this.line.textContent = this.line.title = text;
    this.line.classList.toggle("mf-problem", problem);
  }

  // -- a run ------------------------------------------------------------------------------------------------------

  /** A run begins: what is on show is of an earlier one. @param {string} promptId */
  begin(promptId) {
    this.letGo();
    this.promptId = promptId;
    this.progress = new Progress();
    this.following = this.fresh = true;
    this.video.removeAttribute("src");
    this.video.load();
    this.empty.textContent = say("The first pictures are being made …");
    this.showOnly(this.empty);
    this.say("");
  }

  /** Stop feeding a growing film, if there is one. */
  letGo() {
    this.growing?.close();
    this.growing = null;
  }

  /** A chunk is finished. @param {ChunkEvent} event memflow.chunk */
  addChunk(event) {
    if (event.prompt_id !== this.promptId) this.begin(event.prompt_id);
    if (this.fresh) this.firstS = event.start_s;
    this.fresh = false;
    this.say(this.progress.line(event, performance.now(), this.firstS));
    if (event.film && playsGrowing(event.film.media)) this.grow(event.film);
    else if (event.thumbnail) this.showPicture(event.thumbnail);
  }

  /** @param {GrowingFilm} film */
  grow(film) {
    if (!this.growing) {
      this.video.loop = false;
      this.growing = blobsPlay ? this.fed(film) : new ReloadedFile(this.video, this.host.url(film), LOOP_S);
      this.showOnly(this.video);
    }
    const { growing } = this;
    growing.grow(film.bytes).then(() => {
      if (this.growing === growing && this.following && this.video.paused) this.play();
    });
  }

  /** @param {GrowingFilm} film */
  fed(film) {
    const load = (/** @type {number} */ from, /** @type {number} */ to) => this.host.load(film, from, to);
    const growing = new GrowingFile(this.video, /** @type {string} */ (film.media), load, () => this.lose(growing));
    // a page may forbid media from blobs, which is known when one is tried
    this.video.addEventListener("error", () => this.withoutBlobs(growing, film), { once: true });
    return growing;
  }

  /** @param {GrowingFile} growing @param {GrowingFilm} film */
  withoutBlobs(growing, film) {
    if (this.growing !== growing || growing.fed) return;
    blobsPlay = false;
    this.letGo();
    this.grow(film);
  }

  /** The file cannot be played as it grows: pictures of the chunks to come are shown. @param {GrowingFile} growing */
  lose(growing) {
    if (this.growing !== growing) return;
    this.letGo();
    this.empty.textContent = say("The film is shown when it is finished.");
    this.showOnly(this.empty);
  }

  /**
   * A run that began before the page was there.
   * @param {{prompt_id: string, film?: GrowingFilm | null, memory: {first_s: number}}} run memflow.run
   */
  join(run) {
    if (run.prompt_id === this.promptId) return;
    this.begin(run.prompt_id);
    this.firstS = run.memory.first_s;
    this.fresh = false;
    if (run.film && playsGrowing(run.film.media)) this.grow(run.film);
  }

  /** @param {string} url */
  showPicture(url) {
    this.picture.src = url;
    this.showOnly(this.picture);
  }

  /** The run has ended; what one that was stopped has made stays on show. @param {DoneEvent} event memflow.done */
  endRun(event) {
    if (event.prompt_id !== this.promptId || event.ended !== "stopped") return;
    if (!event.film) {
      this.letGo();
      this.empty.textContent = say("Stopped before the first pictures were made.");
      this.showOnly(this.empty);
      return;
    }
    this.showFile(event.film);
    const { video } = this;
    const tell = () => {
      const made = Number.isFinite(video.duration) ? ` (${video.duration.toFixed(1)} s)` : "";
      this.say(say("Stopped: what was made is kept, in {0}", /** @type {File} */ (event.film).filename) + made);
    };
    tell();
    video.addEventListener("loadedmetadata", tell, { once: true });
  }

  /** Show a finished film. @param {File} file @param {number} firstS  where it starts in the story */
  showResult(file, firstS) {
    this.firstS = firstS;
    this.showFile(file);
    this.say(file.filename);
  }

  /** @param {File} file */
  showFile(file) {
    this.letGo();
    this.shown = file;
    this.video.loop = true;
    this.video.src = this.host.url(file);
    this.showOnly(this.video);
    this.play();
  }

  // -- playing ----------------------------------------------------------------------------------------------------

  play() {
    // browsers refuse to play what is not on the page, or with sound before a click
    this.video.play().catch(() => {});
  }

  /** The end of what can be played, in seconds. */
  get end() {
    const { buffered, duration } = this.video;
    if (!(this.growing instanceof GrowingFile) && Number.isFinite(duration)) return duration;
    return buffered.length ? buffered.end(buffered.length - 1) : 0;
  }

  /** Play a growing film's last seconds again where its end is reached. */
  playOn() {
    const { video } = this;
    this.onTime(this.firstS + video.currentTime);
    if (!(this.growing instanceof GrowingFile) || !this.following || !this.end) return;
    if (video.currentTime < this.end - END_S && video.currentTime >= this.start) return;
    video.currentTime = Math.max(this.start, this.end - LOOP_S);
    if (video.paused) this.play();
  }

  /** The start of what can be played, in seconds. */
  get start() {
    return this.video.buffered.length ? this.video.buffered.start(0) : 0;
  }

  /** @param {boolean} on */
  follow(on) {
    this.following = on;
    this.newest.hidden = !this.growing || on;
    if (on && this.growing) {
      this.video.currentTime = Math.max(this.start, this.end - LOOP_S);
      this.play();
    }
  }

  /** Show a moment of the story, if the film has it. @param {number} time_s */
  seek(time_s) {
    const at_s = time_s - this.firstS;
    if (this.video.hidden || at_s < 0 || at_s > this.end + END_S) return;
    if (this.growing) this.follow(false);
    this.video.pause();
    this.video.currentTime = at_s;
  }
}
