// SPDX-License-Identifier: Apache-2.0
// Words to phrases and subtitles, by the rules of daemon/cues.c: two lines of 42 columns, 5/6 s to 7 s, 20 characters a
// second, broken where a sentence ends or the speaker rests, else at the end of a phrase. tests/daemon/cues.json holds
// both to the same breaks. No DOM: runs in Node as well.
import { beginsLine, joined } from "./lumivox.js";
import { phraseBreak } from "./phrases.js";

const LINE = 42, MIN_US = 833334, MAX_US = 7000000, GAP_US = 83334, REST_US = 1000000, READ_US = 50000;
// Chinese, Japanese, Korean and full-width characters are two columns wide.
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]/u;

export function columns(text) {
  let n = 0;
  for (const c of text) n += WIDE.test(c) ? 2 : /\p{M}/u.test(c) ? 0 : 1;
  return n;
}

const wide = (words, from, to) => columns(joined(words.slice(from, to)));
const breaks = (words, i) => phraseBreak(words[i - 1].text, words[i].text);

/**
 * Where the second line begins: words.length for one line, -1 if they do not fit. Of the splits that fit the one that is
 * even and at the end of a phrase.
 */
function split(words, line) {
  if (words.length <= 1 || wide(words, 0, words.length) <= line) return words.length;
  let best = -1, least = Infinity;
  for (let i = 1; i < words.length; i++) {
    const a = wide(words, 0, i), b = wide(words, i, words.length);
    if ((a > line && i > 1) || (b > line && words.length - i > 1) || !beginsLine(words[i].text)) continue;
    const cost = Math.abs(a - b) - breaks(words, i);
    if (cost <= least) [best, least] = [i, cost];
  }
  return best;
}

/**
 * All but the last of words fit: after how many of them the phrase ends. The last few of a phrase that goes on belong to
 * the next one, if both can stand so.
 */
function endOfPhrase(words, line) {
  const n = words.length - 1, next = words[n];
  let best = n, least = -breaks(words, n);
  for (let k = n - 1; k > 0; k--) {
    const carried = wide(words, k, n);
    if (carried > line / 2 || next.end_us - words[k].start_us > MAX_US || words[k].start_us - words[0].start_us < MIN_US + GAP_US) break;
    const cost = Math.floor(carried / 2) - breaks(words, k);
    if (beginsLine(words[k].text) && carried + 1 + columns(next.text) <= line && cost < least) [best, least] = [k, cost];
  }
  return best;
}

/** Gathers words; word() and flush() give each phrase that is whole: { words, lines, start_us, end_us }. */
export class Phrases {
  #words = []; #rest = false; #line;

  constructor({ line = LINE } = {}) {
    this.#line = line;
  }

  get words() { return this.#words; }

  /** The phrase that this word does not belong to any more, or null. */
  word(w) {
    const words = this.#words, last = words.at(-1);
    let whole = null;
    if (last) {
      const start = Math.max(w.start_us, last.start_us);
      w = { ...w, start_us: start, end_us: Math.max(w.end_us, start) }; // times never run backwards
      const next = [...words, w];
      const fits = split(next, this.#line) >= 0 && w.end_us - words[0].start_us <= MAX_US;
      const rest = this.#rest || w.start_us - last.end_us >= REST_US;
      const flash = w.start_us - words[0].start_us < MIN_US + GAP_US; // it would stand too short to be read
      if (rest && !flash) whole = this.flush();
      else if (!fits) whole = this.flush(endOfPhrase(next, this.#line));
    }
    this.#words.push(w);
    this.#rest = false;
    return whole;
  }

  /** A sentence ended after the last word. */
  rest() {
    this.#rest = this.#words.length > 0;
  }

  /** The first n of the words that were gathered, or all. */
  flush(n = this.#words.length) {
    const words = this.#words.splice(0, n);
    if (!words.length) return null;
    this.#rest = false;
    const second = split(words, this.#line);
    const lines = second > 0 && second < words.length ? [words.slice(0, second), words.slice(second)] : [words];
    return { words, lines: lines.map(joined), start_us: words[0].start_us, end_us: words.at(-1).end_us };
  }
}

/** Subtitles of whole lines of words: phrases, each with an end that leaves time to read it. */
export function cuesOf(lines, options) {
  const phrases = new Phrases(options), cues = [];
  const take = (p) => p && cues.push(p);
  for (const line of lines) {
    for (const w of line.words) take(phrases.word(w));
    phrases.rest();
  }
  take(phrases.flush());
  return cues.map((cue, i) => {
    const read = Math.min(MAX_US, Math.max(MIN_US, columns(cue.lines.join(" ")) * READ_US));
    let end = Math.min(Math.max(cue.end_us, cue.start_us + read), cue.start_us + MAX_US);
    if (i + 1 < cues.length) end = Math.min(end, cues[i + 1].start_us - GAP_US);
    return { ...cue, end_us: Math.max(end, cue.start_us + 1000) };
  });
}

/** 01:02:03.456 */
export function clock(us, point = ".") {
  const ms = Math.max(0, Math.floor(us / 1000));
  const two = (n) => String(n).padStart(2, "0");
  return `${two(Math.floor(ms / 3600000))}:${two(Math.floor(ms / 60000) % 60)}:${two(Math.floor(ms / 1000) % 60)}${point}${String(ms % 1000).padStart(3, "0")}`;
}

const plain = (text) => text.replace(/[\0-\x1f\x7f]/g, "?"); // a control character would end the line, or the cue
const escaped = (text) => plain(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

export function toSrt(lines) {
  return cuesOf(lines).map((c, i) =>
    `${i + 1}\n${clock(c.start_us, ",")} --> ${clock(c.end_us, ",")}\n${c.lines.map(plain).join("\n")}\n\n`).join("");
}

/** words: with the time of each word after the first, as WebVTT's own timestamps. */
export function toVtt(lines, { words = false } = {}) {
  return `WEBVTT\n\n${cuesOf(lines).map((c) =>
    `${clock(c.start_us)} --> ${clock(c.end_us)}\n${words ? timed(c) : c.lines.map(escaped).join("\n")}\n\n`).join("")}`;
}

function timed(cue) {
  let text = "", at = Math.floor(cue.start_us / 1000), i = 0;
  for (const [n, line] of cue.lines.entries()) {
    let done = "";
    if (n) text += "\n";
    while (i < cue.words.length && done !== line) {
      const w = cue.words[i++], ms = Math.floor(w.start_us / 1000);
      const grown = done ? joined([done, w]) : w.text;
      const stamp = ms > at && ms < Math.floor(cue.end_us / 1000) ? `<${clock(w.start_us)}>` : "";
      if (stamp) at = ms;
      text += grown.slice(done.length, grown.length - w.text.length) + stamp + escaped(w.text);
      done = grown;
    }
  }
  return text;
}

/** One line of text a sentence, with the time at which it begins. */
export function toTxt(lines) {
  return lines.map((l) => `${clock(l.words[0].start_us).slice(0, 8)}  ${plain(joined(l.words))}\n`).join("");
}
