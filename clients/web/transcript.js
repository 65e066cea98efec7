// SPDX-License-Identifier: Apache-2.0
// What was said so far in one lane, by lines: a line is a sentence or an utterance. No DOM: runs in Node as well.
import { joined } from "./lumivox.js";

const WORDS_KEPT = 200000, LINE_WORDS = 60, REST_US = 2000000;

/**
 * A line: { id, epoch, segment, language, first, last, words, done, was, note }. first and last: the sequence numbers of
 * its events; words: as corrected, was: the text before the first correction; note: text that nobody said, and no words.
 */
export class Transcript {
  lines = [];
  epoch = null;
  #last = 0; #id = 0; #words = 0;

  clear() {
    this.epoch = null;
    this.restart();
  }

  /** Nothing was said yet in this run: what comes may be history. */
  restart() {
    this.lines = [];
    this.#last = this.#words = 0;
  }

  /** The line that still grows. */
  get open() {
    const line = this.lines.at(-1);
    return line && !line.done ? line : null;
  }

  /** The stream began anew: numbers and times start again. */
  begin(epoch) {
    const again = this.epoch !== null && this.epoch !== epoch;
    if (this.epoch !== epoch) this.#last = 0;
    if (again) this.finish();
    this.epoch = epoch;
    return again;
  }

  /**
   * A text event. Gives { fresh, line, words, ended }: the words that are new; ended: lines that are whole now. An event
   * that was here before (history that was asked for again) is not fresh.
   */
  add(e) {
    if (e.seq <= this.#last) return { fresh: false, words: [], ended: [] };
    this.#last = e.seq;
    const ended = [];
    const end = () => { const line = this.finish(); if (line) ended.push(line); };
    const last = this.open?.words.at(-1);
    if (this.open && (this.open.segment !== e.segment || this.open.words.length >= LINE_WORDS ||
      (e.words.length && last && e.words[0].start_us - last.end_us > REST_US))) end();
    const words = e.words.map((w) => ({ ...w, seq: e.seq }));
    if (!this.open && words.length) {
      this.lines.push({ id: ++this.#id, epoch: this.epoch, segment: e.segment, language: e.language, first: e.seq, last: e.seq, words: [], done: false, was: null, note: "" });
    }
    const line = this.open;
    if (line) {
      line.words.push(...words);
      line.last = e.seq;
      this.#words += words.length;
    }
    if (e.segment_end) end();
    this.#forget();
    return { fresh: true, line, words, ended };
  }

  /** Nothing more belongs to the last line. Gives it, if it was open. */
  finish() {
    const line = this.open;
    if (line) line.done = true;
    return line;
  }

  note(text) {
    this.finish();
    const line = { id: ++this.#id, epoch: this.epoch, segment: -1, language: null, first: 0, last: 0, words: [], done: true, was: null, note: text };
    this.lines.push(line);
    return line;
  }

  /** A correction event. Gives the lines that it changed; one whose words are all gone stays, with none. */
  correct(e) {
    const changed = this.lines.filter((l) => !l.note && l.epoch === e.epoch && l.first <= e.to_seq && l.last >= e.from_seq);
    let words = e.words.map((w) => ({ ...w, seq: e.from_seq }));
    for (const line of changed) {
      line.was ??= joined(line.words);
      line.words = [...line.words.filter((w) => w.seq < e.from_seq), ...words, ...line.words.filter((w) => w.seq > e.to_seq)];
      words = [];
    }
    return changed;
  }

  /** Lines that hold the text, each with the places where: { line, at: [[from, to]] }. Letters' case and marks are alike. */
  search(query) {
    const want = fold(query.trim()).text;
    if (!want) return [];
    const found = [];
    for (const line of this.lines) {
      const { text, from } = fold(textOf(line)), at = [];
      for (let i = text.indexOf(want); i >= 0; i = text.indexOf(want, i + want.length)) at.push([from[i], from[i + want.length]]);
      if (at.length) found.push({ line, at });
    }
    return found;
  }

  /** The lines of the run that is going on, for files of subtitles: times of an earlier one would stand before theirs. */
  run() {
    return this.lines.filter((l) => l.words.length && l.epoch === this.epoch);
  }

  #forget() {
    while (this.#words > WORDS_KEPT && this.lines.length > 1) this.#words -= this.lines.shift().words.length;
  }
}

export const textOf = (line) => line.note || joined(line.words);

/** Lower case without marks; from[i]: where its i-th unit began in the text. */
function fold(text) {
  let out = "";
  const from = [];
  let at = 0;
  for (const c of text) {
    const f = c.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
    for (let i = 0; i < f.length; i++) from.push(at);
    out += f;
    at += c.length;
  }
  from.push(at);
  return { text: out, from };
}
