// @ts-check
// Play a file that grows by loading it again, where a page forbids media from blobs, as ComfyUI's --disable-api-nodes does.

export class ReloadedFile {
  /** @param {HTMLVideoElement} video @param {string} url  of the file @param {number} loop_s  played again at its end */
  constructor(video, url, loop_s) {
    this.video = video;
    this.url = url;
    this.loop_s = loop_s;
    this.bytes = 0;
    this.loaded = 0;
    this.closed = false;
    this.onEnded = () => this.playOn();
    video.addEventListener("ended", this.onEnded);
  }

  /** The file is so long by now. @param {number} bytes */
  async grow(bytes) {
    this.bytes = bytes;
    if (!this.loaded) this.load(0);
  }

  /** At the end of what was loaded: go on with what has come since, or play the last seconds again. */
  playOn() {
    if (this.closed) return;
    const { video } = this;
    if (this.bytes > this.loaded) return this.load(video.currentTime);
    video.currentTime = Math.max(0, video.currentTime - this.loop_s);
    video.play().catch(() => {});
  }

  /** @param {number} at_s  where to go on */
  load(at_s) {
    const { video } = this;
    this.loaded = this.bytes;
    // another address, or the browser would take what it has
    video.src = `${this.url}&bytes=${this.bytes}`;
    video.addEventListener("loadedmetadata", () => !this.closed && (video.currentTime = at_s), { once: true });
    video.play().catch(() => {});
  }

  close() {
    this.closed = true;
    this.video.removeEventListener("ended", this.onEnded);
  }
}
