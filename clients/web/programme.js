// SPDX-License-Identifier: Apache-2.0
const LIST = /\.m3u8($|\?)/;
const HLS_TYPE = "application/vnd.apple.mpegurl";
const AGAIN_MS = 3000; // after an error that hls.js could not mend
const LATE_US = 1500000; // so much later than it is heard, its captions are there in time

/**
 * The programme in a <video>, where the browser can play it: the daemon's HLS (info.hls), or the source's own address.
 * now_us is where it is on the stream's timeline, which captions then follow; null: not known, or no picture.
 */
export class Programme {
  #video; #changed; #src = null; #zero_us = 0; #hls = null; #Hls; #late = true; #timer = 0; #described = false;

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

  /** late: the picture waits for its captions. base: where the daemon is; token: what it asks for. */
  show(info, { base, late, token }) {
    const hls = info.hls && new URL(info.hls, base);
    if (hls && token) hls.searchParams.set("token", token);
    const src = hls ? hls.href : /^https?:/.test(info.uri ?? "") ? info.uri : null;
    if (!src) return this.hide();
    if (src === this.#src || this.#timer) return;
    if (this.#Hls === null && (info.hls || LIST.test(src))) return this.hide();
    this.hide();
    this.#src = src;
    this.#late = late;
    if (info.hls || LIST.test(src)) this.#playHls(src, info);
    else this.#playFile(src, info);
  }

  hide() {
    if (!this.shown) return;
    this.#src = null;
    this.#hls?.destroy();
    this.#hls = null;
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#changed("hide");
  }

  /** Has it a sound track that describes the picture, which describe(true) plays? (hls.js; browsers by themselves do not say.) */
  get describes() { return this.#tracks(true).length > 0; }

  describe(yes) {
    this.#described = yes;
    const at = this.#hls?.audioTracks.indexOf(this.#tracks(yes)[0]) ?? -1;
    if (at >= 0 && this.#hls.audioTrack !== at) this.#hls.audioTrack = at;
  }

  #tracks(describing) {
    return (this.#hls?.audioTracks ?? []).filter((t) => (t.attrs?.CHARACTERISTICS ?? "").includes("describes-video") === describing);
  }

  seek(us) {
    if (this.#hls) return this.move(us - (this.now_us ?? us));
    this.#video.currentTime = Math.max(0, (us + this.#zero_us) / 1e6);
  }

  /** Forwards or back by so much, as far as it goes. */
  move(by_us) {
    const v = this.#video, to = v.currentTime + by_us / 1e6, n = v.seekable.length;
    if (n) v.currentTime = Math.min(Math.max(to, v.seekable.start(0)), v.seekable.end(n - 1));
  }

  #playFile(src, info) {
    this.#zero_us = 0;
    this.#video.src = src;
    if (info.state !== "ended") this.seek((info.heard_us ?? 0) - (this.#late ? LATE_US : 0));
    this.#play();
  }

  async #playHls(src, info) {
    this.#zero_us = null;
    if (this.#video.canPlayType(HLS_TYPE)) {
      const start = await firstDate(src);
      if (this.#src !== src) return;
      if (start && info.start_wall_us) this.#zero_us = info.start_wall_us - start * 1000;
      this.#video.src = src;
      return this.#play();
    }
    // Whoever wants HLS in other browsers lays hls.js (its hls.mjs) beside this file; it is not part of Lumivox.
    this.#Hls ??= await import("./hls.mjs").then((m) => m.default, () => null);
    if (this.#src !== src) return;
    if (!this.#Hls?.isSupported()) {
      this.#Hls = null;
      return this.hide();
    }
    const { Events } = this.#Hls, hls = this.#hls = new this.#Hls();
    this.#zero_us = info.start_wall_us ?? null;
    hls.subtitleDisplay = false; // captions are the page's own
    hls.on(Events.AUDIO_TRACKS_UPDATED, () => { this.describe(this.#described); this.#changed("tracks"); });
    hls.on(Events.ERROR, (_, e) => e.fatal && this.#rest());
    hls.loadSource(src);
    hls.attachMedia(this.#video);
    this.#play();
  }

  /** Not shown for a while: the stream is asked for again, and then there is a new chance. */
  #rest() {
    this.hide();
    this.#timer = setTimeout(() => { this.#timer = 0; }, AGAIN_MS);
  }

  #play() {
    this.#changed("show");
    this.#video.play().catch(() => {}); // muted, so it may; where it may not, there is the button
  }
}

/**
 * The time of day, in ms, at which the programme of a master playlist begins: where a browser plays HLS by itself, its
 * time 0 is the first segment that was there when it came. Null: none is given.
 */
async function firstDate(master) {
  try {
    const text = async (url) => (await fetch(url)).text();
    const media = (await text(master)).split("\n").find((l) => l && !l.startsWith("#"));
    const date = /^#EXT-X-PROGRAM-DATE-TIME:(.*)$/m.exec(await text(new URL(media, master)))?.[1];
    return date ? Date.parse(date) : null;
  } catch {
    return null;
  }
}
