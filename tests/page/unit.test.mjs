// SPDX-License-Identifier: Apache-2.0
// The pages' modules that need no browser.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";

const web = (name) => import(path.join(process.env.LVX_ROOT, "clients", "web", name));
const { Phrases, clock, columns, cuesOf, toSrt, toTxt, toVtt } = await web("cues.js");
const { begins, hangs } = await web("phrases.js");
const { Transcript, textOf } = await web("transcript.js");
const { DEFAULTS, sane } = await web("settings.js");
const { LumivoxClient } = await web("lumivox.js");

/** Text events of sentences, a word every 300 ms. */
function said(...sentences) {
  let seq = 0, us = 0;
  return sentences.flatMap((text, segment) => text.split(" ").map((word, i, all) => {
    us += 300000;
    return { seq: ++seq, segment, language: "en", segment_end: i === all.length - 1, words: [{ text: word, start_us: us, end_us: us + 250000 }] };
  }));
}

function transcript(...sentences) {
  const t = new Transcript();
  t.begin(1);
  for (const e of said(...sentences)) t.add(e);
  return t;
}

test("a transcript has a line a sentence, and nothing twice", () => {
  const t = new Transcript(), all = said("Good evening.", "Here is the news.");
  t.begin(1);
  const ended = all.flatMap((e) => t.add(e).ended);
  assert.deepEqual(ended.map(textOf), ["Good evening.", "Here is the news."]);
  for (const e of all) assert.equal(t.add(e).fresh, false);
  assert.deepEqual(t.lines.map(textOf), ["Good evening.", "Here is the news."]);
  assert.deepEqual([t.lines[1].first, t.lines[1].last], [3, 6]);
  // Without a sign that the sentence ended: a pause, or another segment.
  t.add({ ...all[0], seq: 7, segment: 2, segment_end: false });
  t.add({ ...all[0], seq: 8, segment: 2, segment_end: false, words: [{ text: "Later", start_us: 9000000, end_us: 9200000 }] });
  assert.deepEqual(t.add({ ...all[0], seq: 9, segment: 3, segment_end: false }).ended.map(textOf), ["Later"]);
  assert.equal(t.lines.length, 5);
  t.add({ ...all[0], seq: 10, segment: 3, segment_end: true, words: [] });
  assert.equal(t.open, null);
});

test("another run of the stream begins its own lines", () => {
  const t = transcript("One two.");
  assert.equal(t.begin(1), false);
  assert.equal(t.begin(2), true);
  for (const e of said("Three four.")) assert.equal(t.add(e).fresh, true);
  assert.deepEqual(t.lines.map(textOf), ["One two.", "Three four."]);
  assert.deepEqual(t.run().map(textOf), ["Three four."]);
});

test("corrections take the place of words, whole lines or parts, again and again", () => {
  const t = transcript("Good evening gents.", "Here it is.");
  const correct = (from_seq, to_seq, text, epoch = 1) => t.correct({
    epoch, from_seq, to_seq, words: text.split(" ").filter(Boolean).map((w, i) => ({ text: w, start_us: 300000 * (i + 1), end_us: 300000 * (i + 1) + 1 })) });
  assert.deepEqual(correct(1, 3, "Good evening, Ghent.").map(textOf), ["Good evening, Ghent."]);
  assert.equal(t.lines[0].was, "Good evening gents.");
  assert.deepEqual(correct(5, 5, "this").map(textOf), ["Here this is."]);
  assert.deepEqual(correct(1, 3, "").map(textOf), [""]);
  assert.deepEqual(t.run().map(textOf), ["Here this is."]);
  assert.deepEqual(correct(1, 3, "Back again.").map(textOf), ["Back again."]);
  assert.deepEqual(correct(1, 6, "All of it.").map(textOf), ["All of it.", ""]);
  assert.deepEqual(correct(1, 3, "no", 2), []);
});

test("search: case and marks are alike; places are those of the text", () => {
  const t = transcript("Straße nach Gént, GENT und gent.", "Nothing.");
  const [{ line, at }, ...rest] = t.search(" gent ");
  assert.equal(rest.length, 0);
  assert.deepEqual(at.map(([a, b]) => textOf(line).slice(a, b)), ["Gént", "GENT", "gent"]);
  assert.deepEqual(t.search(""), []);
});

/** As tests/daemon/test_cues.c speaks its table. */
function spoken(text) {
  let us = 0;
  const lines = [{ words: [] }];
  for (const word of text.split(" ")) {
    const took_us = Buffer.byteLength(word) * 60000 + 40000;
    lines.at(-1).words.push({ text: word, start_us: us, end_us: us + took_us });
    us += took_us + 20000;
    if (!word.endsWith(".")) continue;
    us += 300000;
    lines.push({ words: [] });
  }
  return lines.filter((l) => l.words.length);
}

test("lines and cues end where the daemon's do: one table for both", () => {
  const table = JSON.parse(fs.readFileSync(path.join(process.env.LVX_ROOT, "tests", "daemon", "cues.json")));
  assert.ok(table.length > 10);
  for (const { line, text, cues } of table) assert.deepEqual(cuesOf(spoken(text), { line }).map((c) => c.lines.join("\n")), cues, text);
  // Also what the table does not say: the lists of words are the same.
  const source = fs.readFileSync(path.join(process.env.LVX_ROOT, "daemon", "phrases.c"), "utf8");
  for (const [name, list] of Object.entries({ begins, hangs })) {
    const [, words] = source.match(new RegExp(`${name}\\[\\] = \\{([^}]*)\\}`));
    assert.deepEqual(list, new Set([...words.matchAll(/"([^"]*)"/g)].map(([, w]) => w)), name);
  }
});

test("phrases have at most two lines of 42 columns and lose no word", () => {
  const words = Array.from({ length: 300 }, (_, i) => ({ text: "x".repeat(1 + (i * 7) % 12), start_us: i * 250000, end_us: i * 250000 + 200000 }));
  const p = new Phrases(), out = words.map((w) => p.word(w)).filter(Boolean);
  out.push(p.flush());
  assert.deepEqual(out.flatMap((c) => c.words.map((w) => w.text)), words.map((w) => w.text));
  for (const c of out) {
    assert.ok(c.lines.length <= 2 && c.lines.every((l) => columns(l) <= 42), c.lines);
    assert.equal(c.lines.join(" "), c.words.map((w) => w.text).join(" "));
    assert.ok(c.end_us - c.start_us <= 7000000);
  }
  assert.equal(columns("漢字 ab"), 7);
});

test("subtitles: time to read, gaps, numbers; word times within the cue", () => {
  const { lines } = transcript("Hello and welcome to <this> & that.", "This is a short programme with live captions, and it goes on for a good while longer.");
  const cues = cuesOf(lines);
  cues.slice(1).forEach((c, i) => assert.ok(c.start_us - cues[i].end_us >= 83334));
  const srt = toSrt(lines);
  assert.match(srt, /^1\n00:00:00,300 --> 00:00:0\d,\d{3}\nHello/);
  assert.match(toVtt(lines), /^WEBVTT\n\n00:00:00\.300 --> .*\nHello and welcome to &lt;this&gt; &amp; that\.\n\n/);
  const vtt = toVtt(lines, { words: true });
  const plain = (s) => s.replace(/<[\d:.]+>/g, "");
  assert.equal(plain(vtt), toVtt(lines));
  let stamps = 0;
  for (const block of vtt.split("\n\n").slice(1, -1)) {
    const times = block.match(/\d\d:\d\d:\d\d\.\d{3}/g), [start, end, ...inner] = times;
    stamps += inner.length;
    inner.forEach((x, i) => assert.ok(x > (i ? inner[i - 1] : start) && x < end, block));
  }
  assert.ok(stamps > 10);
  assert.equal(toTxt(lines).split("\n")[0], "00:00:00  Hello and welcome to <this> & that.");
  assert.equal(clock(3723456789), "01:02:03.456");
  assert.equal(toSrt([{ words: [{ text: "a\nb", start_us: 0, end_us: 1 }] }]).split("\n")[2], "a?b");
});

test("settings: what was saved by others is not believed", () => {
  assert.deepEqual(sane({ size: "big", keys: false, unknown: 1, theme: "light" }), { keys: false, theme: "light" });
  for (const nothing of [null, undefined, 3, "x", []]) assert.deepEqual(sane(nothing), {});
  assert.equal(typeof DEFAULTS.size, "number");
});

test("the client resumes after the last event, also with a language of its own; errors go to their subscription", async () => {
  const sockets = [];
  class Socket {
    readyState = 0; sent = [];
    constructor(url) { this.url = url; sockets.push(this); }
    send(text) { this.sent.push(JSON.parse(text)); }
    close() { this.readyState = 3; this.onclose?.(); }
    open() { this.readyState = 1; this.onopen(); }
    say(m) { this.onmessage({ data: JSON.stringify(m) }); }
  }
  const client = new LumivoxClient("http://h:1/", { WebSocket: Socket, token: "a b" }), got = [];
  const watch = client.subscribe("s", { lanes: ["caption"], from: "start" }, (e) => got.push(e.type));
  const [first] = sockets;
  assert.equal(first.url, "ws://h:1/api/ws?token=a+b");
  first.open();
  assert.deepEqual(first.sent, [{ type: "subscribe", ref: 1, stream: "s", from: "start", activity: false, lanes: ["caption"] }]);
  first.say({ type: "text", stream: "s", epoch: 5, seq: 9 });
  watch.change({ lanes: ["caption", "translation"], translateTo: "fr" });
  assert.deepEqual(first.sent[1], { type: "subscribe", ref: 2, stream: "s", from: { epoch: 5, seq: 9 }, activity: false, lanes: ["caption", "translation"], translate_to: "fr" });
  first.say({ type: "error", ref: 2, code: "over_limit", message: "no" });
  first.say({ type: "error", ref: 77, code: "invalid", message: "of others" });
  assert.deepEqual(got, ["text", "error"]);
  first.close();
  await new Promise((r) => setTimeout(r, 700));
  sockets[1].open();
  assert.deepEqual([sockets[1].sent[0].from, sockets[1].sent[0].translate_to], [{ epoch: 5, seq: 9 }, "fr"]);
  client.close();
});
