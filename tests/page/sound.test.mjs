// SPDX-License-Identifier: Apache-2.0
// The described sound of a stream in Chromium: Opus over the WebSocket, decoded and played. The programme is a tone of
// 7 kHz, which no measure takes for speech, and the daemon's voice one of 3 kHz. Then the described track of HLS, by hls.js.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import test from "node:test";
import { Daemon, ROOT, browser, folder, serve, shot, until, visit, when } from "./lib.mjs";

const dir = folder(), SECONDS = 150; // far more than is waited for: a busy machine is late

function voice() {
  const file = path.join(dir, "voice.py");
  fs.writeFileSync(file, `import math, struct, sys, wave
sys.stdin.read()
w = wave.open(sys.stdout.buffer, "wb")
w.setnchannels(1), w.setsampwidth(2), w.setframerate(24000)
w.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i * math.tau / 8))) for i in range(36000)))
`);
  return `/usr/bin/python3 ${file}`;
}

/** Each is told as soon as it is over: end, start and end in ms, lane, text. Two words in five seconds leave room for the voice. */
function script() {
  const file = path.join(dir, "script");
  const seconds = Array.from({ length: SECONDS - 5 }, (_, i) => i).filter((i) => i % 5 < 2);
  const words = seconds.map((i) => `${600 + 1000 * i} ${300 + 1000 * i} ${600 + 1000 * i} caption w${i}\n`);
  const lines = Array.from({ length: SECONDS / 5 - 1 }, (_, i) => `${2600 + 5000 * i} ${2000 + 5000 * i} ${2600 + 5000 * i} description A man walks by house ${i + 1}.\n`);
  fs.writeFileSync(file, [...words, ...lines].sort((a, b) => parseInt(a) - parseInt(b)).join(""));
  return file;
}

function programme(name, ...codec) {
  const file = path.join(dir, name);
  if (fs.existsSync(file)) return file;
  execFileSync("ffmpeg", ["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", `testsrc2=s=160x90:r=10:d=${SECONDS}`,
    "-f", "lavfi", "-i", `sine=7000:d=${SECONDS}:r=48000`, "-pix_fmt", "yuv420p", "-g", "10", ...codec, "-ac", "2", file]);
  return file;
}

const webm = () => programme("in.webm", "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus");

// What goes to the loudspeakers also goes through an analyser: the loudest it was at each tone, in dB.
const LISTEN = () => {
  const connect = AudioNode.prototype.connect;
  globalThis.heard = { 3000: -200, 7000: -200, contexts: 0, time: 0 };
  AudioNode.prototype.connect = function (to, ...more) {
    if (to instanceof AudioDestinationNode) {
      const a = new AnalyserNode(this.context, { fftSize: 2048, smoothingTimeConstant: 0 }), spectrum = new Float32Array(1024);
      connect.call(this, a);
      globalThis.heard.contexts++;
      setInterval(() => {
        a.getFloatFrequencyData(spectrum);
        const at = (hz) => Math.max(...[-1, 0, 1].map((k) => spectrum[Math.round(hz / (this.context.sampleRate / 2048)) + k]));
        for (const hz of [3000, 7000]) globalThis.heard[hz] = Math.max(globalThis.heard[hz], at(hz));
        globalThis.heard.time = this.context.currentTime;
      }, 50);
    }
    return connect.call(this, to, ...more);
  };
};

async function start(t, source, ...args) {
  return Daemon.start(t, [`tv=${source}`, "--pace", "clock", "--lanes", "caption,description", "--describe", "--describe-voice", voice(), "--describe-delay", "4000", ...args],
    { env: { LVX_FAKE_SCRIPT: script() } });
}

test("sound alone: nothing before the page is touched, then the programme with its descriptions", async (t) => {
  const d = await start(t, webm());
  const page = await visit(t, await browser(t), "about:blank");
  await page.addInitScript(LISTEN);
  await page.goto(d.url);
  assert.equal((await d.api("streams/tv")).described, true);
  await when(page, "!document.querySelector('#description-field').hidden");
  await page.locator("#description").selectOption("voice");
  await when(page, "globalThis.heard.contexts === 1");
  await page.mouse.click(5, 5);
  await when(page, "globalThis.heard[7000] > -60 && globalThis.heard[3000] > -60");
  assert.ok(await page.evaluate("globalThis.heard.time > 0"));
  // It can be made silent, and is gone when it is not wanted any more.
  await when(page, "!document.querySelector('#player').hidden");
  await shot(page, "viewer-sound");
  await page.keyboard.press("m");
  await when(page, "document.querySelector('#mute').ariaPressed === 'true'");
  await page.waitForTimeout(500);
  await page.evaluate("Object.assign(globalThis.heard, { 3000: -200, 7000: -200 })");
  const at = await page.evaluate("globalThis.heard.time");
  await when(page, `globalThis.heard.time > ${at} + 1`);
  assert.ok(await page.evaluate("globalThis.heard[7000] < -100"));
  await page.locator("#description").selectOption("off");
  await when(page, "document.querySelector('#player').hidden");
});

test("with the picture: it goes where the sound is, and its own sound gives way", async (t) => {
  const url = await serve(t, webm(), "video/webm");
  const d = await start(t, url);
  const page = await visit(t, await browser(t), "about:blank");
  await page.addInitScript(LISTEN);
  await page.goto(d.url);
  await when(page, "document.querySelector('#stage').dataset.picture === 'yes' && document.querySelector('#programme').currentTime > 0.5");
  await page.locator("#description").selectOption("voice");
  await page.mouse.click(5, 5);
  await when(page, "globalThis.heard[7000] > -60");
  await when(page, "document.querySelector('#programme').volume === 0");
  // The sound is 4 s late by --describe-delay; so, then, is the picture.
  const late = async () => (await d.api("streams/tv")).heard_us / 1e6 - await page.evaluate("document.querySelector('#programme').currentTime");
  await until(async () => (await late()) > 3.5);
  await page.locator("#description").selectOption("off");
  await when(page, "document.querySelector('#programme').volume > 0.5");
});

test("a browser that cannot decode it, and a stream that has none, keep the browser's own voice", async (t) => {
  const said = () => {
    globalThis.said = [];
    delete globalThis.AudioDecoder;
    speechSynthesis.speak = (u) => { globalThis.said.push(u.text); setTimeout(() => u.onend(), 10); };
  };
  const d = await start(t, webm());
  const page = await visit(t, await browser(t), "about:blank");
  await page.addInitScript(said);
  await page.goto(d.url);
  await when(page, "!document.querySelector('#description-field').hidden");
  await page.locator("#description").selectOption("voice");
  await when(page, "globalThis.said.some((s) => s.startsWith('A man walks by'))");
  const plain = await Daemon.start(t, [`tv=${webm()}`, "--pace", "clock", "--lanes", "caption,description"], { env: { LVX_FAKE_SCRIPT: script() } });
  assert.equal((await plain.api("streams/tv")).described, false);
  const other = await visit(t, await browser(t), "about:blank");
  await other.addInitScript(said);
  await other.goto(plain.url);
  await when(other, "!document.querySelector('#description-field').hidden");
  await other.locator("#description").selectOption("voice");
  await when(other, "globalThis.said.some((s) => s.startsWith('A man walks by'))");
});

test("HLS in a browser that needs hls.js: the picture, captions by its clock, and the track that describes", async (t) => {
  const web = path.join(dir, "web"), hls = createRequire(import.meta.url).resolve("hls.js/dist/hls.mjs");
  fs.cpSync(path.join(ROOT, "clients", "web"), web, { recursive: true });
  const source = programme("in.ts", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac");
  const args = ["--hls", path.join(dir, "hls"), "--hls-segment", "1", "--web-root", web];
  const needs = () => {
    HTMLMediaElement.prototype.canPlayType = () => "";
  };
  const d = await start(t, source, ...args), b = await browser(t);
  await until(async () => (await d.api("streams/tv")).hls);
  // Without it there is no picture, and all else.
  const bare = await visit(t, b, "about:blank");
  await bare.addInitScript(needs);
  await bare.goto(d.url);
  await when(bare, "/w\\d/.test(document.querySelector('[data-lane=caption] .rows').textContent)");
  assert.equal(await bare.evaluate("document.querySelector('#stage').dataset.picture"), "no");
  await bare.close();
  fs.copyFileSync(hls, path.join(web, "hls.mjs"));
  const page = await visit(t, b, "about:blank");
  await page.addInitScript(needs);
  await page.addInitScript(LISTEN);
  await page.goto(d.url);
  await when(page, "document.querySelector('#stage').dataset.picture === 'yes' && document.querySelector('#programme').videoWidth === 160");
  const at = await page.evaluate("document.querySelector('#programme').currentTime");
  await when(page, `document.querySelector('#programme').currentTime > ${at} + 1`);
  assert.match(await page.evaluate("document.querySelector('#programme').src"), /^blob:/);
  await when(page, "/w\\d/.test(document.querySelector('[data-lane=caption] .rows').textContent)");
  const apart = await page.evaluate(`new Promise((done) => {
    const got = [];
    let before = null;
    const timer = setInterval(() => {
      const last = document.querySelector('[data-lane=caption] .rows').textContent.match(/w\\d+/g)?.pop();
      if (last && before && last !== before) got.push(0.3 + Number(last.slice(1)) - document.querySelector('#programme').currentTime);
      before = last ?? before;
      if (got.length === 4) { clearInterval(timer); done(got); }
    }, 100);
  })`);
  assert.ok(Math.max(...apart) - Math.min(...apart) < 3, JSON.stringify(apart)); // each word at its time
  // The description's track is played by the player, with no sound beside it.
  await page.mouse.click(5, 5);
  await page.locator("#description").selectOption("voice");
  await when(page, "!document.querySelector('#programme').muted");
  await page.evaluate(() => {
    const context = new AudioContext(), a = new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0 }), spectrum = new Float32Array(1024);
    context.createMediaStreamSource(document.querySelector("#programme").captureStream()).connect(a);
    globalThis.played = { 3000: -200, 7000: -200 };
    setInterval(() => {
      a.getFloatFrequencyData(spectrum);
      for (const hz of [3000, 7000]) globalThis.played[hz] = Math.max(globalThis.played[hz], spectrum[Math.round(hz / (context.sampleRate / 2048))]);
    }, 50);
  });
  await when(page, "globalThis.played[7000] > -60 && globalThis.played[3000] > -60");
  assert.equal(await page.evaluate("globalThis.heard.contexts"), 0);
});
