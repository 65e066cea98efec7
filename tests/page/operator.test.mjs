// SPDX-License-Identifier: Apache-2.0
// The operator's page: levels, the alarm, starting and stopping, the log, and a line corrected before it leaves.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { Daemon, barriers, browser, folder, shot, until, visit, wav, when, widths } from "./lib.mjs";

const dir = folder(), sound = wav(path.join(dir, "a.wav"), 60), silence = wav(path.join(dir, "b.wav"), 60, { silent: true });
const card = (id) => `[...document.querySelectorAll('.card')].find((c) => c.querySelector('.name').textContent === '${id}')`;

test("streams at a glance, dead air, the log; no barriers; three widths", async (t) => {
  const d = await Daemon.start(t, [`news=${sound}`, `desk=${silence}`, `bad=${path.join(dir, "none.wav")}`, "--pace", "clock", "--lanes", "caption", "--record", dir, "--record-hold", "30"]);
  const page = await visit(t, await browser(t), `${d.url}operator.html#stream=news`);
  await page.fill("#after", "2");
  await page.keyboard.press("Tab");
  await when(page, `Number(${card("news")}.querySelector('.level').ariaValueNow) > -30`);
  await when(page, `${card("news")}.querySelector('.state').textContent === 'Live' && ${card("bad")}.querySelector('.state').textContent === 'Failed'`);
  await when(page, `/^No sound for \\d+ s$/.test(${card("desk")}.querySelector('.dead').textContent)`);
  assert.equal(await page.textContent("#alarm"), "No sound: desk");
  assert.equal(await page.title(), "No sound: desk");
  assert.equal(await page.evaluate(`${card("news")}.querySelector('.dead').hidden`), true);
  await when(page, "document.querySelector('#log').textContent.includes('none.wav')");
  await when(page, "document.querySelectorAll('#lines li').length > 2");
  await barriers(page, "operator");
  await page.locator("#lines .edit:not(:disabled)").first().click();
  await barriers(page, "operator-edit");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate("document.activeElement.classList.contains('edit')"), true);
  await page.locator("#add").click();
  await barriers(page, "operator-new");
  await page.keyboard.press("Escape");
  await widths(page, "operator");
  await page.reload();
  await when(page, "document.querySelector('#after').value === '2'"); // it lasts
  // A silence that ends is no alarm any more.
  await d.api("streams/desk", { method: "DELETE" });
  await when(page, "document.title === 'Lumivox: operator' && document.querySelector('#alarm').textContent === ''");
});

test("a line corrected with the keyboard alone reaches the file that is late, and nothing else of it changes", async (t) => {
  const rec = path.join(dir, "rec");
  const d = await Daemon.start(t, [`news=${wav(path.join(dir, "c.wav"), 16)}`, "--pace", "clock", "--lanes", "caption", "--record", rec, "--record-formats", "jsonl", "--record-hold", "60"]);
  const page = await visit(t, await browser(t), `${d.url}operator.html#stream=news`);
  await when(page, "document.querySelector('#hold').textContent.includes('60 s late')");
  await when(page, "document.querySelectorAll('#lines li .edit:not(:disabled)').length > 1");
  assert.match(await page.textContent("#lines li .left"), /^[345]\d s$/);
  await page.locator("#lines .edit").first().focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.inputValue("#lines textarea"), "c0 c1 c2 c3 c4 c5 c6 c7");
  await page.keyboard.type("Good evening, Ghent.");
  await page.keyboard.press("Enter");
  await when(page, "document.querySelector('#lines .text').textContent === 'Good evening, Ghent.Corrected. Before: c0 c1 c2 c3 c4 c5 c6 c7'");
  assert.equal(await page.evaluate("document.activeElement.classList.contains('edit')"), true);
  await shot(page, "operator-corrected");
  // What is refused is said where one looks.
  await page.locator("#lines .edit:not(:disabled)").nth(1).click();
  await page.fill("#lines textarea", "x ".repeat(300));
  await page.keyboard.press("Enter");
  await when(page, "document.querySelector('#lines .wrong').textContent.includes('256 words')");
  await page.keyboard.press("Escape");
  await until(async () => (await d.api("streams/news")).end_reason);
  assert.equal(await d.stop(), 0); // what is held is written at the end
  const cues = fs.readdirSync(rec).flatMap((f) => fs.readFileSync(path.join(rec, f), "utf8").trim().split("\n").map((l) => JSON.parse(l)));
  assert.deepEqual(cues.flatMap((c) => c.text.split(/\s/)), ["Good", "evening,", "Ghent.", ...Array.from({ length: 32 }, (_, i) => `c${i + 8}`)]);
});

test("streams are started, stopped, started again, and their lanes switched; only with the operator's token", async (t) => {
  const d = await Daemon.start(t, [`first=${sound}`, "--pace", "clock", "--lanes", "caption", "--allow-schemes", "file,https", "--operator-token", "boss"]);
  const page = await visit(t, await browser(t), `${d.url}operator.html`);
  await when(page, "document.querySelector('#no-log').textContent.includes('token is needed')");
  await page.locator("#access").click();
  await page.fill("[name=token]", "boss");
  await page.keyboard.press("Tab");
  await page.locator("#token [value=save]").click();
  await page.locator("#add").click();
  await page.fill("[name=id]", "studio");
  await page.fill("[name=uri]", "rtsp://camera.example/1");
  await page.keyboard.press("Enter");
  await when(page, "document.querySelector('#make .wrong').textContent.includes('may not use')");
  await page.fill("[name=uri]", `file://${sound}`);
  await page.locator("[name=lane][value=translation]").check();
  await page.locator("[name=translate_to]").selectOption("fr");
  await page.keyboard.press("Tab");
  await page.locator("#make .main").click();
  await when(page, `${card("studio")}?.querySelector('.state').textContent === 'Live' && ${card("studio")}.classList.contains('chosen')`);
  const info = await d.api("streams/studio");
  assert.deepEqual([info.lanes, info.translate_to], [["caption", "translation"], "fr"]);
  await page.getByRole("group", { name: "Lanes of studio" }).getByRole("button", { name: "translation" }).click();
  await until(async () => (await d.api("streams/studio")).lanes.length === 1);
  await page.getByRole("button", { name: "Stop: studio" }).click();
  await page.locator("#stop [value=close]").click();
  assert.equal((await d.api("streams/studio")).end_reason, undefined);
  await page.getByRole("button", { name: "Stop: studio" }).click();
  await page.locator("#stop [value=stop]").click();
  const again = page.getByRole("button", { name: "Start again: studio" });
  await again.click();
  assert.equal(await page.inputValue("[name=id]"), "studio");
  await page.locator("#make .main").click();
  await when(page, `${card("studio")}.querySelector('.state').textContent === 'Live'`);
  // The daemon starts anew: the page goes on by itself.
  await d.stop();
  await when(page, "document.querySelector('#status').dataset.state === 'lost'");
  await Daemon.start(t, d.args, { port: d.port });
  await when(page, `document.querySelector('#status').dataset.state === 'live' && ${card("first")}?.querySelector('.state').textContent === 'Live'`);
});
