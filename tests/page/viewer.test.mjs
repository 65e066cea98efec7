// SPDX-License-Identifier: Apache-2.0
// The viewer's page in Chromium, over a daemon whose model says c0, c1, ... (t0 or fr0 in translation, d0 in description),
// one each 400 ms, eight a sentence.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { CLIP, Daemon, barriers, browser, events, folder, line, serve, shot, until, visit, wav, when, widths } from "./lib.mjs";

const STAGE = (lane) => `[...document.querySelectorAll('[data-lane=${lane}] .row')].map((r) => r.textContent).join(' ')`;
const LINES = "[...document.querySelectorAll('#lines li:not(.note) p')].map((p) => p.textContent).join(' ')";
const NOTES = "[...document.querySelectorAll('#lines li.note p')].map((p) => p.textContent)";
const state = (page) => page.evaluate("document.querySelector('#status').dataset.state");
const count = (n, prefix = "c", from = 0) => Array.from({ length: n }, (_, i) => `${prefix}${from + i}`);
const choose = (page, id, value) => page.locator(id).selectOption(value);
const dir = folder(), sound = wav(path.join(dir, "a.wav"), 40);

test("captions arrive word by word, stay where they are, and are announced in whole phrases", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption"]);
  const page = await visit(t, await browser(t), d.url);
  await when(page, `${STAGE("caption")}.includes('c1')`);
  await page.evaluate(() => {
    globalThis.seen = { jumps: [], told: [], changed: [] };
    const rows = document.querySelector("[data-lane=caption] .rows"), was = new WeakMap();
    const look = () => {
      for (const r of rows.children) {
        const text = r.textContent;
        // What was in a row stays at its beginning.
        if (was.has(r) && !text.startsWith(was.get(r))) globalThis.seen.jumps.push([was.get(r), text]);
        was.set(r, text);
      }
    };
    new MutationObserver(look).observe(rows, { childList: true, subtree: true, characterData: true });
    const log = document.querySelector("#log");
    new MutationObserver((all) => all.forEach((m) => {
      for (const n of m.addedNodes) if (m.target === log) globalThis.seen.told.push(n.textContent); else globalThis.seen.changed.push(n.textContent);
    })).observe(log, { childList: true, subtree: true, characterData: true });
  });
  assert.equal(await page.getAttribute("#log", "aria-live"), "off");
  await page.keyboard.press("Tab");
  for (let i = 0; i < 2; i++) await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.id"), "announce");
  await page.keyboard.press("Enter");
  assert.equal(await page.getAttribute("#log", "aria-live"), "polite");
  await when(page, `${STAGE("caption")}.includes('c26')`);
  await when(page, "document.querySelector('#log').textContent.includes('c23')");
  const { jumps, told, changed } = await page.evaluate("globalThis.seen");
  assert.deepEqual(jumps, []);
  assert.deepEqual(changed, []);
  const words = told.join(" ").split(" ");
  assert.deepEqual(words, count(words.length, "c", Number(words[0].slice(1))));
  for (const phrase of told) assert.ok(phrase.split(" ").length >= 8, phrase); // no word by itself
  // On the stage a sentence begins a row; a row stays within its width.
  const rows = await page.evaluate("[...document.querySelectorAll('[data-lane=caption] .row')].map((r) => [r.textContent, r.scrollWidth <= r.clientWidth])");
  assert.ok(rows.every(([, fits]) => fits));
  assert.ok(rows.some(([text]) => text.startsWith("c16 ")));
  const size = await page.evaluate("parseFloat(getComputedStyle(document.querySelector('[data-lane=caption] .row')).fontSize)");
  assert.ok(size >= 720 * 0.06, `${size}`); // to be read from across a room
  assert.equal(await page.evaluate("document.querySelector('#behind').textContent.endsWith('s behind')"), true);
  // Paused, nothing moves; then nothing is lost.
  await page.keyboard.press("k");
  const before = await page.evaluate(STAGE("caption"));
  await page.waitForTimeout(1500);
  assert.equal(await page.evaluate(STAGE("caption")), before);
  await page.keyboard.press("k");
  await when(page, `${STAGE("caption")}.includes('c32')`);
  await until(async () => (await state(page)) === "ended");
  assert.equal(await page.evaluate(LINES), count(100).join(" "));
});

test("no barriers, three widths, every control by keyboard", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption,translation,description", "--translate-to", "de"]);
  const page = await visit(t, await browser(t), d.url);
  await when(page, `${STAGE("caption")}.includes('c4')`);
  await choose(page, "#translation", "de");
  await choose(page, "#description", "text");
  await when(page, `${STAGE("translation")}.includes('t9') && ${STAGE("description")}.includes('d9')`);
  assert.equal(await page.evaluate("document.querySelector('[data-lane=translation] .row').lang"), "de");
  await barriers(page, "viewer");
  await page.locator("#download summary").click();
  await barriers(page, "viewer-download");
  await page.keyboard.press("Escape");
  await page.locator("#word-times").click();
  await barriers(page, "viewer-word-times");
  await page.locator("#word-times").click();
  await page.fill("#search", "c1");
  await page.waitForSelector("#lines mark");
  await barriers(page, "viewer-search");
  await page.fill("#search", "");
  await widths(page, "viewer");
  await page.locator("#open-settings").click();
  await barriers(page, "viewer-settings");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate("document.querySelector('#settings').open"), false);
  // The focus goes everywhere and is seen.
  await page.evaluate("document.activeElement.blur()");
  const seen = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    const [name, outline] = await page.evaluate(() => {
      const e = document.activeElement, s = getComputedStyle(e.closest(".search") ?? e);
      return [e === document.body ? "BODY" : e.id || e.className || e.tagName, s.outlineStyle];
    });
    if (name !== "BODY") assert.notEqual(outline, "none", name);
    seen.add(name);
  }
  for (const id of ["announce", "stream", "show-transcript", "open-settings", "pause", "captions", "translation", "description", "smaller", "larger", "full", "which", "word-times", "search", "scroll"])
    assert.ok(seen.has(id), id);
  // Single keys, and none of them where one types, or where they are off.
  const pressed = (id) => page.getAttribute(id, "aria-pressed");
  await page.evaluate("document.activeElement.blur()");
  await page.keyboard.press("c");
  assert.equal(await pressed("#captions"), "false");
  await page.keyboard.press("t");
  assert.equal(await page.isHidden("#transcript"), true);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate("document.activeElement.id"), "search");
  await page.keyboard.type("c");
  assert.equal(await pressed("#captions"), "false");
  await page.keyboard.press("Escape");
  await page.evaluate("document.activeElement.blur()");
  await page.keyboard.press(",");
  await page.locator("[name=keys]").uncheck();
  await page.keyboard.press("Escape");
  await page.keyboard.press("c");
  assert.equal(await pressed("#captions"), "false");
});

test("settings last; saving that is not allowed is no error", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption"]);
  const b = await browser(t), page = await visit(t, b, d.url);
  await page.locator("#open-settings").click();
  for (const [name, value] of Object.entries({ colour: "yellow", back: "blue", opacity: "100", face: "serif", spacing: "wide", edge: "outline", rows: "3", place: "top", come: "phrases", theme: "light" }))
    await page.locator(`[name=${name}]`).selectOption(value);
  await page.locator("[name=size]").fill("150");
  await page.locator("[name=announce]").check();
  const look = () => page.evaluate(() => ({ ...document.documentElement.dataset, style: document.documentElement.getAttribute("style"), size: document.querySelector("[name=size]").value, live: document.querySelector("#log").getAttribute("aria-live") }));
  const chosen = await look();
  assert.deepEqual([chosen.face, chosen.spacing, chosen.edge, chosen.place, chosen.theme, chosen.live, chosen.size], ["serif", "wide", "outline", "top", "light", "polite", "150"]);
  assert.match(chosen.style, /--cap-scale: 1\.5;.*--own-ink: rgb\(255 238 51\); --own-back: rgb\(20 50 190 \/ 1\)/);
  await page.reload();
  await when(page, "document.documentElement.dataset.face");
  assert.deepEqual(await look(), chosen);
  await page.locator("#open-settings").click();
  await page.locator("#reset").click();
  assert.equal((await look()).face, "hyperlegible");
  const private_ = await visit(t, b, "about:blank");
  await private_.addInitScript(() => Object.defineProperty(globalThis, "localStorage", { get() { throw new Error("not allowed"); } }));
  await private_.goto(d.url);
  await private_.locator("#larger").click();
  assert.equal(await private_.evaluate("document.documentElement.style.getPropertyValue('--cap-scale')"), "1.1");
});

test("a language of one's own: made for this viewer, with the history of the stream's own; refused where there is no room", async (t) => {
  const args = [`news=${sound}`, "--pace", "clock", "--lanes", "caption,translation", "--translate-to", "de", "--viewer-linger", "0"];
  const d = await Daemon.start(t, args);
  const b = await browser(t), page = await visit(t, b, d.url);
  await when(page, `${STAGE("caption")}.includes('c8')`);
  assert.deepEqual(await page.evaluate("[...document.querySelectorAll('#translation option')].map((o) => [o.value, o.textContent, o.lang])"),
    [["", "Off", ""], ["de", "Deutsch", "de"], ["fr", "Français", "fr"]]);
  await choose(page, "#translation", "de");
  await choose(page, "#which", "translation");
  await when(page, `${LINES}.startsWith('t0 t1 t2')`); // what was said before is there
  await choose(page, "#translation", "fr");
  await when(page, `${STAGE("translation")}.includes('fr') && !${LINES}.includes('t0')`);
  assert.deepEqual((await d.api("streams/news")).further, [{ lane: "translation", language: "fr", viewers: 1 }]);
  assert.equal(await page.evaluate("document.querySelector('[data-lane=translation] h2').textContent"), "Français");
  await choose(page, "#translation", "");
  await until(async () => (await d.api("streams/news")).further.length === 0);
  await when(page, "document.querySelector('#which-field').hidden");
  // There is no room for it: the stream's own goes on.
  const full = await Daemon.start(t, [...args, "--viewer-rows", "0"]);
  const other = await visit(t, b, full.url);
  await when(other, `${STAGE("caption")}.includes('c2')`);
  await choose(other, "#translation", "fr");
  await when(other, "!document.querySelector('#trouble').hidden && document.querySelector('#trouble').textContent.includes('no room')");
  await when(other, "document.querySelector('#translation').value === 'de'");
  await when(other, `${STAGE("translation")}.includes('t')`);
});

test("search, corrections and files", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption"]);
  const page = await visit(t, await browser(t), d.url);
  await when(page, `${LINES}.includes('c24')`);
  const [epoch, first] = await page.evaluate(async () => {
    const { LumivoxClient } = await import("./lumivox.js");
    return new Promise((done) => {
      const c = new LumivoxClient(new URL("./", location.href));
      c.subscribe("news", { from: "start" }, (e) => { if (e.type === "text") { c.close(); done([e.epoch, e.seq]); } });
    });
  });
  // The fake model's words are events of their own, one after the other.
  const answer = await d.api("streams/news/corrections", { method: "POST", body: { epoch, from_seq: first, to_seq: first + 1, text: "Good evening," } });
  assert.ok(answer.seq > first, JSON.stringify(answer));
  await when(page, "document.querySelector('#lines li p').textContent.startsWith('Good evening, c2')");
  assert.match(await page.textContent("#lines .was"), /^Corrected\. Before: c0 c1 c2/);
  await page.fill("#search", "EVENING");
  await when(page, "document.querySelectorAll('#lines li').length === 1");
  assert.equal(await page.textContent("#lines mark"), "evening");
  assert.equal(await page.textContent("#found"), "1 line");
  await page.locator("#lines .at").click();
  await when(page, "document.querySelectorAll('#lines li').length > 1 && document.querySelector('#lines .told')");
  await page.fill("#search", "nobody said that");
  await when(page, "document.querySelector('#found').textContent === 'not found'");
  await page.fill("#search", "");
  await until(async () => (await state(page)) === "ended");
  const files = {};
  for (const format of ["txt", "srt", "vtt", "words"]) {
    await page.locator("#download summary").click();
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator(`[data-format=${format}]`).click()]);
    files[format] = fs.readFileSync(await file.path(), "utf8");
    assert.equal(file.suggestedFilename(), `news.caption.en.${format === "words" ? "vtt" : format}`);
  }
  const want = ["Good", "evening,", ...count(98, "c", 2)];
  const cues = (text) => [...text.matchAll(/(\S+) --> (\S+)\n([\s\S]*?)\n\n/g)].map(([, a, b, s]) => [a, b, s]);
  assert.deepEqual(files.txt.trim().split("\n").flatMap((l) => l.slice(10).split(" ")), want);
  for (const format of ["srt", "vtt", "words"]) {
    const got = cues(files[format]);
    assert.deepEqual(got.flatMap(([, , s]) => s.replace(/<[^>]*>/g, "").split(/\s/)), want, format);
    got.forEach(([a, b], i) => assert.ok(a < b && (!i || got[i - 1][1] <= a), `${format} ${a}`));
  }
  // The fake model's word N is heard until 400 + 400 N ms, and begins 300 ms before.
  assert.ok(files.srt.startsWith("1\n00:00:00,1"), files.srt.slice(0, 40));
  assert.match(files.words, /<00:00:0\d\.\d{3}>c2 <00:00:0\d\.\d{3}>c3/);
});

test("a line that is cut, and a daemon that starts again: nothing is lost, nothing comes twice", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption"]);
  const way = await line(t, d.port), b = await browser(t), page = await visit(t, b, way.url);
  await when(page, `${LINES}.includes('c5')`);
  way.up = false;
  way.cut();
  await until(async () => (await state(page)) === "lost");
  assert.equal(await page.isVisible("#trouble"), true);
  await page.waitForTimeout(2500);
  way.up = true;
  await when(page, `${STAGE("caption")}.includes('c20')`);
  assert.equal(await page.isHidden("#trouble"), true);
  const shown = (await page.evaluate(LINES)).split(" ");
  assert.deepEqual(shown, count(shown.length));
  const rows = (await page.evaluate(STAGE("caption"))).split(" ");
  assert.deepEqual(rows, count(rows.length, "c", Number(rows[0].slice(1))));
  // The daemon goes, abruptly, and comes back elsewhere: the stream begins anew.
  await d.stop("SIGKILL");
  await until(async () => (await state(page)) === "lost");
  const had = (await page.evaluate(LINES)).split(" ");
  assert.deepEqual(had, count(had.length));
  const again = await Daemon.start(t, d.args);
  way.port = again.port;
  await when(page, `${NOTES}.includes('The stream began again.')`);
  await until(async () => (await state(page)) === "ended");
  assert.deepEqual((await page.evaluate(LINES)).split(" "), [...had, ...count(100)]);
  assert.deepEqual(await page.evaluate(NOTES), ["The stream began again."]);
  const all = await events(await visit(t, b, again.url), "news");
  assert.deepEqual(all.filter((e) => e.type === "text").flatMap((e) => e.words.map((w) => w.text)), count(100));
});

test("the programme: captions keep to its clock, forwards and back", async (t) => {
  const url = await serve(t, CLIP, "video/webm");
  const d = await Daemon.start(t, [`clip=${url}`, "--pace", "clock", "--lanes", "caption"]);
  const page = await visit(t, await browser(t), d.url);
  await when(page, "document.querySelector('#stage').dataset.picture === 'yes' && document.querySelector('#programme').currentTime > 6");
  await when(page, `${STAGE("caption")}.includes('c12')`);
  await shot(page, "viewer-picture");
  // Word N ends at 0.4 + 0.4 N s; none is there before the picture is.
  const ahead = await page.evaluate(`new Promise((done) => {
    const bad = [];
    let n = 0;
    const timer = setInterval(() => {
      const last = [...document.querySelectorAll('[data-lane=caption] .row')].map((r) => r.textContent).join(' ').split(' ').pop();
      const at = document.querySelector('#programme').currentTime;
      if (last && 0.1 + 0.4 * Number(last.slice(1)) > at + 0.3) bad.push([last, at]);
      if (++n === 30) { clearInterval(timer); done(bad); }
    }, 100);
  })`);
  assert.deepEqual(ahead, []);
  await barriers(page, "viewer-picture");
  await page.locator("#lines button.at").first().click();
  await when(page, "document.querySelector('#programme').currentTime < 3");
  await when(page, `/^c\\d( c\\d)*$/.test(${STAGE("caption")})`);
  await page.keyboard.press("k");
  await when(page, "document.querySelector('#programme').paused && document.querySelector('#pause').ariaLabel === 'Go on'");
  await page.locator("#open-settings").click();
  await page.locator("[name=late]").selectOption("none");
  await when(page, "document.querySelector('#stage').dataset.picture === 'no'");
});

test("an access token that is asked for", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption", "--token", "secret"]);
  const page = await visit(t, await browser(t), d.url);
  await when(page, "document.querySelector('#status').textContent.startsWith('Access token needed')");
  await page.locator("#open-settings").click();
  await page.fill("[name=token]", "secret");
  await page.keyboard.press("Tab");
  await when(page, `${LINES}.includes('c2')`);
  assert.deepEqual(await page.evaluate("Object.values(localStorage).filter((v) => v.includes('secret'))"), []);
});

test("HLS that the daemon offers: captions keep to its clock, also in a window that has moved on", async (t) => {
  const file = path.join(dir, "in.ts"), hls = path.join(dir, "hls");
  execFileSync("ffmpeg", ["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine=440:r=48000", "-t", "60",
    "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts", file]);
  const d = await Daemon.start(t, [`tv=${file}`, "--pace", "clock", "--lanes", "caption", "--hls", hls, "--hls-segment", "1", "--hls-window", "4", "--token", "t&t"]);
  const info = () => d.api("streams/tv", { token: "t&t" });
  assert.equal((await info()).hls, null); // not yet
  await until(async () => (await info()).heard_us > 14000000 && (await info()).hls === "hls/tv/master.m3u8");
  const page = await visit(t, await browser(t), `${d.url}#token=t%26t`);
  await when(page, "document.querySelector('#stage').dataset.picture === 'yes' && document.querySelector('#programme').currentTime > 1");
  // Where the picture is on the stream's timeline, by the playlist's own times of day, against the word that is shown.
  await when(page, `${STAGE("caption")} !== ''`);
  const shown = await page.evaluate(`new Promise((done) => {
    const got = [], timer = setInterval(() => {
      const last = [...document.querySelectorAll('[data-lane=caption] .row')].map((r) => r.textContent).join(' ').split(' ').pop();
      got.push([0.1 + 0.4 * Number(last.slice(1)), document.querySelector('#programme').currentTime]);
      if (got.length === 20) { clearInterval(timer); done(got); }
    }, 100);
  })`);
  // Word N begins at 0.1 + 0.4 N s: word and picture move together, some segments behind what the daemon has heard.
  const apart = shown.map(([word, picture]) => word - picture);
  assert.ok(Math.max(...apart) - Math.min(...apart) < 1.5, JSON.stringify(shown));
  assert.ok((await info()).heard_us / 1e6 - shown.at(-1)[0] > 2, JSON.stringify(shown));
  assert.ok(Math.min(...apart) > 3, JSON.stringify(apart)); // its time 0 is not the stream's
});
