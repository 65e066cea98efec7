// SPDX-License-Identifier: Apache-2.0
const HLS_TYPE = "application/vnd.apple.mpegurl";
const LATE_US = 1500000; // so much later than it is heard, its captions are there in time

/**
 * The programme in a <video>, where the browser can play it: the daemon's HLS (info.hls), or the source's own address.
 * now_us is where it is on the stream's timeline, which captions then follow; null: not known, or no picture.
 */
export class Programme {
  #video; #changed; #src = null; #zero_us = 0; #hls = null; #late = true; #timer = 0;

  constructor(video, changed) {
    this.#video = video;
    this.#changed = changed;
    video.addEventListener("error", () => video.hasAttribute("src") && this.hide());
    for (const e of ["play", "pause", "durationchange", "volumechange", "seeked", "loadeddata"]) video.addEventListener(e, () => changed(e));
  }

  get shown() { return this.#src !== null; }

  get now_us() {
    const v = this.#video;
    if (!this.shown || !v.readyState || this.#zero_us === null) return null;
    const date = this.#hls?.playingDate;
    if (this.#hls) return date ? date.getTime() * 1000 - this.#zero_us : null;
    return Math.round(v.currentTime * 1e6) - this.#zero_us;
  }

  /** Can one go back and forth in it? */
  get duration() { return this.shown && Number.isFinite(this.#video.duration) ? this.#video.duration : null; }

  /** late: the picture waits for its captions. base: where the daemon is. */
  show(info, { base, late }) {
    const src = info.hls ? new URL(info.hls, base).href : /^https?:/.test(info.uri ?? "") ? info.uri : null;
    if (!src) return this.hide();
    if (src === this.#src) return;
    this.hide();
    this.#src = src;
    this.#late = late;
    if (info.hls || /\.m3u8($|\?)/.test(src)) this.#playHls(src, info);
    else this.#playFile(src, info);
  }

  hide() {
    if (!this.shown) return;
    this.#src = null;
    this.#hls?.destroy();
    this.#hls = null;
    clearInterval(this.#timer);
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#changed("hide");
  }

  seek(us) {
    this.#video.currentTime = Math.max(0, (us + this.#zero_us) / 1e6);
  }

  #playFile(src, info) {
    this.#zero_us = 0;
    this.#video.src = src;
    if (info.state !== "ended") this.seek((info.heard_us ?? 0) - (this.#late ? LATE_US : 0));
    this.#play();
  }

  async #playHls(src, info) {
    this.#zero_us = info.start_wall_us ?? null;
    if (this.#video.canPlayType(HLS_TYPE)) {
      this.#video.src = src;
      this.#align(src, info);
      return this.#play();
    }
    // Whoever wants HLS in other browsers lays hls.js (its hls.mjs) beside this file; it is not part of Lumivox.
    try {
      const { default: Hls } = await import("./hls.mjs");
      if (this.#src !== src) return;
      this.#hls = new Hls();
      this.#hls.loadSource(src);
      this.#hls.attachMedia(this.#video);
      this.#play();
    } catch {
      this.hide();
    }
  }

  /** Where a browser plays HLS by itself: its time is the media's; getStartDate() says the time of day of 0. */
  #align(src, info) {
    const v = this.#video;
    this.#zero_us = null;
    v.addEventListener("loadedmetadata", () => {
      const start = v.getStartDate?.().getTime();
      if (this.#src === src && start && info.start_wall_us) this.#zero_us = info.start_wall_us - start * 1000;
    }, { once: true });
  }

  #play() {
    this.#changed("show");
    this.#video.play().catch(() => {}); // muted, so it may; where it may not, there is the button
  }
}
