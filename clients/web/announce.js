// SPDX-License-Identifier: Apache-2.0
import { Phrases } from "./cues.js";
import { direction } from "./rows.js";

const KEPT = 12, WAIT_MS = 1500;

/** Whole phrases for a screen reader: never a word that still gets others behind it, and nothing twice. */
export class Announcer {
  #log; #phrases = new Phrases(); #timer = 0; #language = null;

  constructor(log) {
    this.#log = log;
  }

  on(yes) {
    this.#log.setAttribute("aria-live", yes ? "polite" : "off");
  }

  word(w, language) {
    this.#language = language;
    this.#say(this.#phrases.word(w));
    this.#later();
  }

  /** A sentence ended: it is said soon, unless the next one, or more of it, is there before. */
  rest() {
    this.#phrases.rest();
    this.#later(WAIT_MS / 3);
  }

  clear() {
    this.#phrases.flush();
    clearTimeout(this.#timer);
    this.#log.replaceChildren();
  }

  say(text, language) {
    const p = document.createElement("p");
    p.textContent = text;
    if (language) p.lang = language;
    p.dir = direction(language);
    this.#log.append(p);
    while (this.#log.childElementCount > KEPT) this.#log.firstChild.remove();
  }

  #later(ms = WAIT_MS) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#say(this.#phrases.flush()), ms);
  }

  #say(phrase) {
    if (phrase) this.say(phrase.lines.join(" "), this.#language);
  }
}
