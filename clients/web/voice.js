// SPDX-License-Identifier: Apache-2.0
const OLD_MS = 12000, GAP_MS = 4000;

/**
 * Speaks descriptions with a voice of the browser: one after the other, when nobody speaks or no later than 4 s, and
 * none that is older than 12 s. duck(yes) is called around each, for the programme to be softer.
 */
export class Voice {
  #queue = []; #busy = false; #speech = false; #timer = 0; #duck; #settings;

  constructor(settings, duck) {
    this.#settings = settings;
    this.#duck = duck;
  }

  static get there() { return "speechSynthesis" in globalThis; }

  /** An activity event: does someone speak? */
  activity(speech) {
    this.#speech = speech;
    if (!speech) this.#next();
  }

  say(text, language) {
    this.#queue.push({ text, language, at: Date.now() });
    this.#next();
  }

  stop() {
    this.#queue = [];
    clearTimeout(this.#timer);
    if (Voice.there) speechSynthesis.cancel();
  }

  #next() {
    clearTimeout(this.#timer);
    const now = Date.now();
    this.#queue = this.#queue.filter((q) => now - q.at < OLD_MS);
    const first = this.#queue[0];
    if (!first || this.#busy || !Voice.there) return;
    if (this.#speech && now - first.at < GAP_MS) {
      this.#timer = setTimeout(() => this.#next(), 200);
      return;
    }
    this.#queue.shift();
    const { voice, rate } = this.#settings();
    const u = new SpeechSynthesisUtterance(first.text);
    u.lang = first.language ?? "en";
    u.rate = rate / 100;
    u.voice = speechSynthesis.getVoices().find((v) => v.voiceURI === voice) ?? null;
    this.#busy = true;
    this.#duck(true);
    u.onend = u.onerror = () => {
      this.#busy = false;
      this.#duck(false);
      this.#next();
    };
    speechSynthesis.speak(u);
  }
}

/** Fills a select with the browser's voices, also those that come later. */
export function listVoices(select, chosen) {
  if (!Voice.there) return;
  const fill = () => {
    const voices = speechSynthesis.getVoices();
    select.replaceChildren(select.options[0], ...voices.map((v) => new Option(`${v.name} (${v.lang})`, v.voiceURI)));
    select.value = voices.some((v) => v.voiceURI === chosen()) ? chosen() : "";
  };
  fill();
  speechSynthesis.addEventListener?.("voiceschanged", fill);
}
