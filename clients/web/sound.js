// SPDX-License-Identifier: Apache-2.0
const RATE = 48000, AHEAD_S = 0.4, MOST_S = 3;

/**
 * Plays the described sound of a stream: "sound" events of lumivox.js, Opus that the browser decodes, each packet at its
 * time after the one before. Browsers keep quiet until someone touches the page; what comes before that, or while it is
 * paused, is not played. changed() is called when it begins, stops or fails.
 */
export class Sound {
  #context = null; #gain; #decoder = null; #sources = new Set(); #changed; #volume = 1;
  #zero_s = null; #next_s = 0; // where the stream's time 0 lies on the context's clock; where what is planned ends
  #paused = false; #failed = false;

  constructor(changed) {
    this.#changed = changed;
    for (const touch of ["pointerdown", "keydown"]) document.addEventListener(touch, () => !this.#paused && this.#context?.resume());
  }

  /** Can this browser? Also only where the page came over TLS or from this machine. */
  static get there() { return "AudioDecoder" in globalThis && "AudioContext" in globalThis; }

  get failed() { return this.#failed; }

  /** Has it begun? */
  get on() { return this.#zero_s !== null; }

  /** What is heard now, on the stream's timeline; null: nothing. */
  get now_us() {
    const c = this.#context;
    return this.on && c.state === "running" && c.currentTime < this.#next_s ? (c.currentTime - this.#zero_s) * 1e6 : null;
  }

  set volume(volume) {
    this.#volume = volume;
    if (this.#context) this.#gain.gain.value = volume;
  }

  set paused(yes) {
    if (this.#paused === yes) return;
    this.#paused = yes;
    if (!this.#context) return;
    if (yes) this.#forget();
    else this.#context.resume();
  }

  /** A packet: { begins, at_us, data }. */
  packet({ begins, at_us, data }) {
    if (this.#failed) return;
    this.#context ??= this.#open();
    if (this.#paused || this.#context.state !== "running") return;
    if (begins || !this.#decoder) this.#begin();
    try {
      this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: at_us, data }));
    } catch (e) {
      this.#fail(e);
    }
  }

  stop() {
    this.#forget();
    this.#context?.close();
    this.#context = null;
  }

  #open() {
    const context = new AudioContext({ sampleRate: RATE, latencyHint: "playback" });
    this.#gain = new GainNode(context, { gain: this.#volume });
    this.#gain.connect(context.destination);
    context.resume();
    return context;
  }

  #begin() {
    if (this.#decoder?.state === "configured") this.#decoder.close();
    const decoder = this.#decoder = new AudioDecoder({ output: (d) => this.#play(d, decoder), error: (e) => this.#decoder === decoder && this.#fail(e) });
    decoder.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: 2 });
  }

  #play(data, decoder) {
    const c = this.#context, at_s = Math.round(data.timestamp * RATE / 1e6) / RATE;
    if (decoder === this.#decoder && c?.state === "running") {
      const buffer = c.createBuffer(data.numberOfChannels, data.numberOfFrames, data.sampleRate);
      for (let i = 0; i < data.numberOfChannels; i++) data.copyTo(buffer.getChannelData(i), { planeIndex: i, format: "f32-planar" });
      const ahead = this.on ? this.#zero_s + at_s - c.currentTime : -1;
      // The first, one that came too late, or after a jump: begins anew, with some patience for those that follow.
      if (ahead < 0 || ahead > MOST_S) {
        this.#hush();
        const first = !this.on;
        this.#zero_s = Math.round((c.currentTime + AHEAD_S - at_s) * RATE) / RATE;
        if (first) queueMicrotask(this.#changed);
      }
      const source = new AudioBufferSourceNode(c, { buffer });
      source.connect(this.#gain);
      source.onended = () => this.#sources.delete(source);
      source.start(this.#zero_s + at_s);
      this.#next_s = this.#zero_s + at_s + buffer.duration;
      this.#sources.add(source);
    }
    data.close();
  }

  #hush() {
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
  }

  #forget() {
    const was = this.on;
    this.#hush();
    if (this.#decoder?.state === "configured") this.#decoder.close();
    this.#decoder = null;
    this.#zero_s = null;
    if (was) queueMicrotask(this.#changed);
  }

  #fail() {
    this.#failed = true;
    this.stop();
    queueMicrotask(this.#changed);
  }
}
