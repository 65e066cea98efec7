// SPDX-License-Identifier: Apache-2.0
import { Phrases } from "./cues.js";
import { Rows } from "./rows.js";

const MANY = 16, AHEAD_US = 150000;

/** One lane on the stage: rows that roll up word by word, or whole phrases. */
class Voice {
  #section; #rows; #phrases = new Phrases(); #blocks = false; #timer = 0; #language = null;

  constructor(section) {
    this.#section = section;
    this.#rows = new Rows(section.querySelector(".rows"));
  }

  get shown() { return !this.#section.hidden; }

  configure({ shown, label, blocks, ...rows }) {
    const heading = this.#section.querySelector("h2");
    if (heading.textContent !== label) heading.textContent = label;
    if (this.#blocks !== blocks) this.clear();
    this.#blocks = blocks;
    this.#section.hidden = !shown;
    this.#rows.configure(rows);
  }

  word(w, language) {
    this.#language = language;
    if (!this.#blocks) return this.#rows.word(w.text, language);
    this.#show(this.#phrases.word(w));
    this.#later(3000);
  }

  rest() {
    this.#rows.phrase();
    this.#phrases.rest();
    if (this.#blocks) this.#later(500);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#phrases.flush();
    this.#rows.clear();
  }

  #later(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#show(this.#phrases.flush()), ms);
  }

  #show(phrase) {
    if (phrase) this.#rows.block(phrase.lines, this.#language);
  }
}

/**
 * What is said, where the viewer looks: each word when its time comes on the programme's clock, or at once without one.
 * onWord(lane, word, language) and onLine(lane, line) are called as it is shown.
 */
export class Stage {
  paused = false;
  #root; #voices; #queue = []; #now_us; #on;

  constructor(root, { now_us, onWord, onLine }) {
    this.#root = root;
    this.#now_us = now_us;
    this.#on = { onWord, onLine };
    this.#voices = Object.fromEntries([...root.querySelectorAll("[data-lane]")].map((s) => [s.dataset.lane, new Voice(s)]));
    setInterval(() => this.drain(), 100);
  }

  /** shown: of each lane, its label where it is shown; clear_ms: so long after the last word nothing stands over a picture. */
  configure({ shown, picture, rows, blocks, clear_ms }) {
    this.#root.dataset.picture = picture ? "yes" : "no";
    this.#root.dataset.voices = ["caption", "translation"].filter((l) => l in shown).length;
    for (const [lane, voice] of Object.entries(this.#voices)) {
      const small = lane === "description";
      voice.configure({
        shown: lane in shown, label: shown[lane] ?? "", blocks: blocks && picture,
        rows: small ? 2 : picture ? rows : MANY, clear_ms: picture || small ? clear_ms : 0, least: picture ? 0.4 : 0,
      });
    }
  }

  clear() {
    this.#queue = [];
    for (const voice of Object.values(this.#voices)) voice.clear();
  }

  word(lane, w, language) {
    this.#queue.push({ at_us: w.start_us, lane, w, language });
  }

  /** A line is whole. */
  rest(lane, line) {
    this.#queue.push({ at_us: line.words.at(-1)?.end_us ?? 0, lane, line });
  }

  /** The clock jumped: begins again, with what was said shortly before. */
  jump(transcripts) {
    this.clear();
    const from_us = (this.#now_us() ?? 0) - 4000000;
    for (const [lane, t] of Object.entries(transcripts)) {
      for (const line of t.run()) {
        for (const w of line.words) if (w.start_us >= from_us) this.word(lane, w, line.language);
        if (line.done && line.words.at(-1).start_us >= from_us) this.rest(lane, line);
      }
    }
    this.#queue.sort((a, b) => a.at_us - b.at_us);
    this.drain();
  }

  drain() {
    if (this.paused) return;
    const now_us = this.#now_us();
    const due = ({ at_us }) => now_us === null || at_us <= now_us + AHEAD_US;
    while (this.#queue.length && due(this.#queue[0])) {
      const { lane, w, line, language } = this.#queue.shift();
      const voice = this.#voices[lane];
      if (w) {
        voice.word(w, language);
        this.#on.onWord(lane, w, language);
      } else {
        voice.rest();
        this.#on.onLine(lane, line);
      }
    }
  }
}
