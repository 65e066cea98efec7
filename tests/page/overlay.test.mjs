// SPDX-License-Identifier: Apache-2.0
// The overlay, as OBS loads it: nothing but rows on nothing.
import assert from "node:assert/strict";
import path from "node:path";
import test from "node:test";
import { Daemon, barriers, browser, folder, line, shot, visit, wav, when } from "./lib.mjs";

const ROWS = "[...document.querySelectorAll('.row')].map((r) => r.textContent)";
const dir = folder(), sound = wav(path.join(dir, "a.wav"), 40);

test("rows roll up on a transparent ground, and go after silence", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption"]);
  const way = await line(t, d.port), b = await browser(t);
  const page = await visit(t, b, `${way.url}overlay.html?stream=news&lane=caption&rows=2&clear=3&size=120&width=12`, { width: 1920, height: 1080 });
  await when(page, `${ROWS}.length === 2`);
  assert.deepEqual(await page.evaluate("[document.documentElement, document.body].map((e) => getComputedStyle(e).backgroundColor)"), ["rgba(0, 0, 0, 0)", "rgba(0, 0, 0, 0)"]);
  const words = (await page.evaluate(ROWS)).join(" ").split(" ").map((w) => Number(w.slice(1)));
  assert.deepEqual(words, words.map((_, i) => words[0] + i));
  const box = await page.evaluate("(({ left, right, bottom, height }) => ({ left, right, bottom, height }))(document.querySelector('.rows').getBoundingClientRect())");
  assert.ok(box.left > 90 && box.right < 1830 && box.bottom < 1080 && box.bottom > 980, JSON.stringify(box));
  await shot(page, "overlay");
  // A lost line shows nothing on air but what is there, and goes on by itself.
  way.up = false;
  way.cut();
  await when(page, `${ROWS}.length === 0`);
  assert.equal(await page.evaluate("document.body.innerText.trim()"), "Captions"); // the heading that nobody sees
  way.up = true;
  await when(page, `${ROWS}.length === 2`);
});

test("another language, at the top, phrase by phrase; a sample to place it; no barriers", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, "--pace", "clock", "--lanes", "caption"]);
  const b = await browser(t), page = await visit(t, b, `${d.url}overlay.html?stream=news&lang=fr&place=top&come=phrases&face=serif&colour=yellow&back=black&opacity=100`);
  await when(page, `${ROWS}.join(' ').startsWith('fr')`);
  assert.ok((await page.evaluate(ROWS)).join(" ").split(" ").length > 3); // a phrase, not a word
  assert.equal(await page.evaluate("document.querySelector('.row').lang"), "fr");
  assert.ok(await page.evaluate("document.querySelector('.row').getBoundingClientRect().top") < 200);
  assert.deepEqual(await page.evaluate("(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.querySelector('.row span')))"), ["rgb(255, 238, 51)", "rgb(0, 0, 0)"]);
  const sample = await visit(t, b, `${d.url}overlay.html?sample`);
  await when(sample, `${ROWS}[0] === 'Good evening, and welcome.'`);
  await barriers(sample, "overlay-sample");
});
