// SPDX-License-Identifier: Apache-2.0
const RTL = new Set(["ar", "fa", "he", "ur", "yi"]);
const KEPT = 200; // whole sentences on the page

/**
 * One lane on the page. Whole sentences go into the log, which a screen reader may follow; the sentence that is still
 * growing stands beside it and is hidden from screen readers, or they would read it again with every word.
 */
export class Lane {
  words = 0;
  paused = false;
  #root; #log; #partial; #scroll; #growing = []; #segment = null; #waiting = [];

  constructor(root) {
    this.#root = root;
    this.#log = root.querySelector(".log");
    this.#partial = root.querySelector(".partial");
    this.#scroll = root.querySelector(".scroll");
  }

  get used() { return this.words > 0; }

  show(yes) { this.#root.hidden = !yes; }

  announce(yes) { this.#log.setAttribute("aria-live", yes ? "polite" : "off"); }

  language(tag) {
    if (!tag || this.#root.lang === tag) return;
    this.#root.lang = tag;
    this.#root.dir = RTL.has(tag.split("-")[0]) ? "rtl" : "ltr";
    const heading = this.#root.querySelector("h2");
    if (heading) {
      heading.lang = "en";
      if (this.#root.id === "lane-translation") heading.textContent = `Translation (${languageName(tag)})`;
    }
  }

  clear() {
    this.#log.replaceChildren();
    this.#partial.textContent = "";
    this.#growing = [];
    this.#waiting = [];
    this.#segment = null;
    this.words = 0;
  }

  /** A text event. Returns the whole sentence when the event ends one. */
  add(event) {
    let whole = null;
    if (this.#segment !== null && event.segment !== this.#segment) this.#commit();
    this.#segment = event.segment;
    for (const w of event.words) this.#growing.push(w.text);
    this.words += event.words.length;
    if (event.segment_end) whole = this.#commit();
    this.#draw();
    return whole;
  }

  note(text) {
    this.#commit();
    this.#append(text, "gap");
    this.#draw();
  }

  finish() {
    this.#commit();
    this.#draw();
  }

  pause(yes) {
    this.paused = yes;
    if (!yes) this.#draw();
  }

  #commit() {
    const text = this.#growing.join(" ");
    this.#growing = [];
    this.#segment = null;
    if (text) this.#append(text);
    return text;
  }

  #append(text, kind = "") {
    this.#waiting.push([text, kind]);
    if (this.#waiting.length > KEPT) this.#waiting.shift();
  }

  #draw() {
    if (this.paused) return;
    for (const [text, kind] of this.#waiting.splice(0)) {
      const p = document.createElement("p");
      p.textContent = text;
      p.className = kind;
      this.#log.append(p);
    }
    while (this.#log.childElementCount > KEPT) this.#log.firstChild.remove();
    this.#partial.textContent = this.#growing.join(" ");
    this.#partial.hidden = !this.#growing.length;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }
}

export function languageName(tag) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(tag);
  } catch {
    return tag;
  }
}
