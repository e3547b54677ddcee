// @ts-check
// Feed a video element with a file of fragments while the file grows (Media Source Extensions).

/** @typedef {(from: number, to: number) => Promise<ArrayBuffer>} Load  reads bytes of the file; `to` is left out */

// a film that is longer already is shown from its newest chunk on
const MOST_BYTES = 64 * 2 ** 20;
const HEAD_BYTES = 2 ** 16;
// what stays to be played again where the browser has no room for more
const KEPT_S = 60;
const FIRST_FRAGMENT = { mp4: [0x6d, 0x6f, 0x6f, 0x66], webm: [0x1f, 0x43, 0xb6, 0x75] };

/** Whether this browser plays fragments of a media type. @param {string | null | undefined} media */
export function playsGrowing(media) {
  return Boolean(media && globalThis.MediaSource?.isTypeSupported(media));
}

/**
 * Where the first fragment begins, behind what says how all are to be read; -1 where there is none.
 * @param {Uint8Array} bytes  the first ones of the file @param {string} media
 */
export function headEnd(bytes, media) {
  const mark = media.startsWith("video/webm") ? FIRST_FRAGMENT.webm : FIRST_FRAGMENT.mp4;
  const at = bytes.findIndex((_, start) => mark.every((byte, index) => bytes[start + index] === byte));
  // the size of a box of mp4 stands before its name
  return at < 0 || mark === FIRST_FRAGMENT.webm ? at : at - 4;
}

export class GrowingFile {
  /**
   * @param {HTMLVideoElement} video @param {string} media  its type, one that `playsGrowing`
   * @param {Load} load @param {(error: unknown) => void} onFailure  called once; it then takes no more
   */
  constructor(video, media, load, onFailure) {
    this.video = video;
    this.media = media;
    this.load = load;
    this.onFailure = onFailure;
    /** bytes of the file that were fed or left out */
    this.fed = 0;
    this.failed = false;
    this.source = new MediaSource();
    /** @type {Promise<unknown>} the last work asked for */
    this.work = new Promise((done) => this.source.addEventListener("sourceopen", done, { once: true }));
    this.url = URL.createObjectURL(this.source);
    video.src = this.url;
    this.then(() => {
      this.buffer = this.source.addSourceBuffer(media);
    });
  }

  /** Work once all that was asked before is done. @param {() => unknown} next */
  then(next) {
    this.work = this.work.then(async () => {
      if (!this.failed) await next();
    });
    this.work = this.work.catch((error) => this.fail(error));
    return this.work;
  }

  /** @param {unknown} error */
  fail(error) {
    if (this.failed) return;
    this.failed = true;
    this.onFailure(error);
  }

  /** Feed the file up to a length. @param {number} bytes */
  grow(bytes) {
    return this.then(async () => {
      if (bytes <= this.fed) return;
      if (!this.fed && bytes > MOST_BYTES) await this.feedHead(bytes);
      else await this.feed(await this.load(this.fed, bytes));
      this.fed = bytes;
    });
  }

  /** Feed what says how fragments are to be read, and none of them. @param {number} bytes */
  async feedHead(bytes) {
    const first = await this.load(0, Math.min(bytes, HEAD_BYTES));
    const end = headEnd(new Uint8Array(first), this.media);
    if (end < 0) throw new Error("no fragment in the first bytes");
    await this.feed(first.slice(0, end));
  }

  /** @param {ArrayBuffer} data */
  async feed(data) {
    try {
      await this.append(data);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "QuotaExceededError")) throw error;
      await this.forget();
      await this.append(data);
    }
  }

  /** @param {ArrayBuffer} data */
  async append(data) {
    const buffer = /** @type {SourceBuffer} */ (this.buffer);
    const done = updated(buffer);
    buffer.appendBuffer(data);
    await done;
  }

  /** Make room: the beginning goes. */
  async forget() {
    const buffer = /** @type {SourceBuffer} */ (this.buffer);
    const until = this.video.currentTime - KEPT_S;
    if (until <= 0) return;
    const done = updated(buffer);
    buffer.remove(0, until);
    await done;
  }

  /** Let go of the file; the video element shows nothing of it any more. */
  close() {
    this.failed = true;
    URL.revokeObjectURL(this.url);
  }
}

/** Resolves when a buffer has taken in what it was given. @param {SourceBuffer} buffer @returns {Promise<void>} */
function updated(buffer) {
  return new Promise((done, fail) => {
    buffer.addEventListener("updateend", () => done(), { once: true });
    buffer.addEventListener("error", () => fail(new Error("the browser cannot decode the film")), { once: true });
  });
}
