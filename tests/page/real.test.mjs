// SPDX-License-Identifier: Apache-2.0
// The viewer's page with the model that ships: the bundled clip, and a microphone (a file that Chromium plays into it).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import test from "node:test";
import { CLIP, Daemon, LUMIVOXD, browser, events, folder, serve, shot, visit, when } from "./lib.mjs";

const LINES = "[...document.querySelectorAll('#lines li:not(.note) p')].map((p) => p.textContent).join(' ')";
const skip = process.env.LVX_E2E_RANDOM ? "random weights say nothing" : false;
const said = (all) => all.filter((e) => e.type === "text" && e.lane === "caption").flatMap((e) => e.words.map((w) => w.text)).join(" ");

test("the clip: captions over the picture, and every word in the transcript", { skip }, async (t) => {
  const d = await Daemon.start(t, [`clip=${await serve(t, CLIP, "video/webm")}`, "--pace", "clock", "--lanes", "caption"], { exe: LUMIVOXD });
  const b = await browser(t), page = await visit(t, b, d.url);
  await when(page, "document.querySelector('#stage').dataset.picture === 'yes' && document.querySelectorAll('#lines li').length > 4");
  await shot(page, "real");
  await when(page, "document.querySelector('#status').dataset.state === 'ended'");
  const all = await events(await visit(t, b, d.url), "clip");
  await when(page, `document.querySelector('#lines li:last-child') && ${LINES} === ${JSON.stringify(said(all))}`);
  assert.ok(said(all).split(" ").length > 40);
});

test("the microphone becomes a stream", { skip }, async (t) => {
  const dir = folder(), wav = path.join(dir, "mic.wav");
  execFileSync("ffmpeg", ["-nostdin", "-v", "error", "-i", CLIP, "-vn", "-ac", "1", "-ar", "48000", wav]);
  const d = await Daemon.start(t, [], { exe: LUMIVOXD });
  const b = await browser(t, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", `--use-file-for-fake-audio-capture=${wav}%noloop`);
  const page = await visit(t, b, d.url);
  await when(page, "!document.querySelector('#empty').hidden && document.querySelector('#status').textContent === 'Connected'");
  await shot(page, "empty");
  await page.locator("#mic").click();
  await when(page, "document.querySelector('#mic').ariaPressed === 'true'");
  await when(page, `${LINES}.split(' ').length > 12`);
  const [stream] = (await d.api("streams")).streams;
  assert.deepEqual([stream.kind, stream.state], ["push", "live"]);
  await page.locator("#mic").click();
  await when(page, "document.querySelector('#mic').ariaPressed === 'false'");
  const all = await events(page, stream.id);
  assert.equal(all.at(-1).reason, "ended");
});
