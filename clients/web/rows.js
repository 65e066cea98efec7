// SPDX-License-Identifier: Apache-2.0
import { joined } from "./lumivox.js";

const RTL = new Set(["ar", "dv", "fa", "he", "ps", "ur", "yi"]);

export const direction = (language) => (RTL.has(language?.split("-")[0]) ? "rtl" : "ltr");

/**
 * Captions that roll up. A word goes behind the one before it, or begins a row if it does not fit; where it stands in
 * its row it stays, so nothing that is read jumps. Rows are laid anew only when their width changes.
 */
export class Rows {
  #root; #rows = 2; #clear = 0; #least = 0; #timer = 0; #last = 0; #width = 0; #fresh = true;

  constructor(root) {
    this.#root = root;
    new ResizeObserver(() => this.relay()).observe(root);
  }

  /**
   * rows: how many; clear_ms: take them away after so long a silence (0: never); least: a sentence begins a row of its
   * own where the one before it fills so much of the last one.
   */
  configure({ rows, clear_ms, least = 0.4 }) {
    this.#rows = rows;
    this.#least = least;
    this.#clear = clear_ms;
    while (this.#root.childElementCount > rows) this.#root.firstChild.remove();
    this.#arm();
  }

  get empty() { return !this.#root.childElementCount; }

  clear() {
    clearTimeout(this.#timer);
    this.#root.replaceChildren();
    this.#fresh = true;
  }

  /** The next word begins a sentence. */
  phrase() {
    this.#fresh = true;
  }

  word(text, language) {
    const last = this.#root.lastElementChild;
    const begins = this.#fresh && last && last.firstChild.offsetWidth >= this.#root.clientWidth * this.#least;
    if (this.#fresh) for (const row of this.#root.children) row.classList.remove("new");
    this.#fresh = false;
    if (!last || begins || last.lang !== (language ?? "") || !this.#append(last, text)) this.#begin(text, language, begins);
    this.#last = performance.now();
    this.#arm();
  }

  /** A whole phrase takes the place of what is there. */
  block(lines, language) {
    this.clear();
    for (const line of lines) this.#begin(line, language, true);
    this.#last = performance.now();
    this.#arm();
  }

  relay() {
    const width = this.#root.clientWidth;
    if (!width || width === this.#width) return;
    this.#width = width;
    const old = [...this.#root.children];
    this.#root.replaceChildren();
    for (const { words, lang, begins, className } of old) {
      for (const [i, w] of words.entries()) {
        const last = this.#root.lastElementChild;
        if (!last || (i === 0 && begins) || last.lang !== lang || !this.#append(last, w)) this.#begin(w, lang, i === 0 && begins);
        this.#root.lastElementChild.classList.toggle("new", className.includes("new"));
      }
    }
  }

  #append(row, text) {
    const span = row.firstChild, before = span.textContent;
    span.textContent = joined([before, text]);
    if (span.offsetWidth > this.#root.clientWidth || span.scrollWidth > span.clientWidth + 1) {
      span.textContent = before;
      return false;
    }
    row.words.push(text);
    return true;
  }

  #begin(text, language, begins) {
    const row = document.createElement("p"), span = document.createElement("span");
    Object.assign(row, { className: "row new", lang: language ?? "", dir: direction(language), words: [text], begins });
    span.textContent = text;
    row.append(span);
    this.#root.append(row);
    if (span.scrollWidth > this.#root.clientWidth) row.classList.add("long");
    while (this.#root.childElementCount > this.#rows) this.#root.firstChild.remove();
  }

  #arm() {
    clearTimeout(this.#timer);
    if (this.#clear) this.#timer = setTimeout(() => this.clear(), this.#last + this.#clear - performance.now());
  }
}
