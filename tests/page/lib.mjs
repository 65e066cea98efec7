// SPDX-License-Identifier: Apache-2.0
// What the tests of the pages share: a daemon, a browser, a line that can be cut.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

export const { LVX_ROOT: ROOT, LVX_BUILD: BUILD, LVX_FAKE: FAKE } = process.env;
export const LUMIVOXD = path.join(BUILD, "daemon", "lumivoxd");
export const CLIP = path.join(ROOT, "clients", "demo", "clip.webm");
export const PATIENCE = 60000; // only a hang takes so long, on however busy a machine
const SHOTS = path.join(BUILD, "screenshots");
const AXE = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];

const ends = new WeakMap();
/** At the end of test t, what came last goes first: a page before its daemon. (t.after() begins with what came first.) */
function atEnd(t, fn) {
  if (!ends.has(t)) {
    ends.set(t, []);
    t.after(async () => {
      const errors = [];
      for (const f of ends.get(t).reverse()) await Promise.resolve().then(f).catch((e) => errors.push(e));
      if (errors.length) throw errors[0];
    });
  }
  ends.get(t).push(fn);
}

/** A folder that is there as long as the process. */
export function folder() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "lvx-page-"));
  process.on("exit", () => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A tone that is loud enough to be no dead air. */
export function wav(file, seconds, { silent = false } = {}) {
  const n = 16000 * seconds, b = Buffer.alloc(44 + 2 * n);
  b.write("RIFF"); b.writeUInt32LE(36 + 2 * n, 4); b.write("WAVEfmt ", 8); b.writeUInt32LE(16, 16);
  b.writeUInt16LE(1, 20); b.writeUInt16LE(1, 22); b.writeUInt32LE(16000, 24); b.writeUInt32LE(32000, 28);
  b.writeUInt16LE(2, 32); b.writeUInt16LE(16, 34); b.write("data", 36); b.writeUInt32LE(2 * n, 40);
  if (!silent) for (let i = 0; i < n; i++) b.writeInt16LE(Math.round(6000 * Math.sin(i / 6)), 44 + 2 * i);
  fs.writeFileSync(file, b);
  return file;
}

export class Daemon {
  /** t: the test, at whose end it is stopped. port 0: any. */
  static async start(t, args, { exe = FAKE, port = 0, env = {} } = {}) {
    const d = new Daemon();
    const { LVX_TOKEN: _, ...clean } = process.env;
    d.args = args;
    d.log = "";
    d.process = spawn(exe, ["--port", String(port), ...(exe === FAKE ? ["--model", "/tmp"] : ["--model", process.env.LVX_MODEL ?? path.join(ROOT, "model/weights/m3-nano")]), ...args],
      { cwd: ROOT, env: { ...clean, ...env }, stdio: ["ignore", "ignore", "pipe"] });
    d.process.stderr.setEncoding("utf8").on("data", (s) => { d.log += s; });
    d.over = new Promise((done) => d.process.on("exit", done));
    atEnd(t, () => d.stop());
    d.port = Number(await until(() => {
      assert.equal(d.process.exitCode, null, d.log);
      return /READY https?:\/\/\S+?:(\d+)\//.exec(d.log)?.[1];
    }));
    d.url = `http://127.0.0.1:${d.port}/`;
    return d;
  }

  async stop(signal = "SIGTERM") {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    const code = await this.over;
    assert.doesNotMatch(this.log, /Sanitizer|runtime error/);
    return code;
  }

  async api(what, { method = "GET", body, token } = {}) {
    const r = await fetch(`${this.url}api/${what}`, { method, body: body && JSON.stringify(body), headers: token ? { Authorization: `Bearer ${token}` } : {} });
    return r.status === 204 ? null : r.json();
  }
}

export async function until(fn, ms = PATIENCE) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await fn();
    if (value) return value;
    if (Date.now() > end) assert.fail(`never true: ${fn}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

/** A way to the daemon that can be cut, and whose end can move. */
export async function line(t, port) {
  const open = new Set();
  const l = { port, up: true, cut: () => open.forEach((s) => s.destroy()) };
  const server = net.createServer((s) => {
    if (!l.up) return s.destroy();
    const far = net.connect(l.port, "127.0.0.1");
    for (const [a, b] of [[s, far], [far, s]]) {
      open.add(a);
      a.on("error", () => {}).on("close", () => { open.delete(a); b.destroy(); }).pipe(b);
    }
  });
  await new Promise((r) => server.listen(0, "127.0.0.1", r));
  atEnd(t, () => { l.cut(); server.close(); });
  l.url = `http://127.0.0.1:${server.address().port}/`;
  return l;
}

/** A web server for one file, with ranges. */
export async function serve(t, file, type) {
  const server = http.createServer((q, r) => {
    const size = fs.statSync(file).size, m = /bytes=(\d+)-(\d*)/.exec(q.headers.range ?? "");
    const from = m ? Number(m[1]) : 0, to = m?.[2] ? Number(m[2]) : size - 1;
    r.writeHead(m ? 206 : 200, { "content-type": type, "accept-ranges": "bytes", "content-length": to - from + 1, ...(m && { "content-range": `bytes ${from}-${to}/${size}` }) });
    fs.createReadStream(file, { start: from, end: to }).on("error", () => r.destroy()).pipe(r);
  });
  await new Promise((r) => server.listen(0, "127.0.0.1", r));
  atEnd(t, () => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}/${path.basename(file)}`;
}

export async function browser(t, ...flags) {
  const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: [...FLAGS, ...flags] });
  atEnd(t, () => b.close());
  return b;
}

/** A page; errors of its scripts fail the test. What is refused while a daemon is away is none. */
export async function visit(t, b, url, { width = 1280, height = 720, ...more } = {}) {
  const context = await b.newContext({ viewport: { width, height }, ...more });
  const page = await context.newPage(), wrong = [];
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (e) => wrong.push(e.stack));
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && !/WebSocket|ERR_CONNECTION|ERR_SOCKET_NOT_CONNECTED|ERR_EMPTY|status of (40[01349]|503)/.test(m.text()) && wrong.push(m.text()));
  atEnd(t, async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(url);
  return page;
}

/** axe-core finds nothing, in both appearances. It is put in past the page's Content-Security-Policy. */
export async function barriers(page, name) {
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.evaluate(AXE);
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
    assert.deepEqual(violations.map((v) => [v.id, v.nodes.map((n) => n.html)]), [], `${name}, ${colorScheme}`);
    assert.ok(passes.length > 10);
    await shot(page, `${name}-${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "dark" });
}

export async function shot(page, name) {
  fs.mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
}

/** Three widths: nothing sticks out at the side. */
export async function widths(page, name) {
  for (const [width, height] of [[320, 640], [820, 1180], [1440, 900]]) {
    await page.setViewportSize({ width, height });
    await page.waitForTimeout(300);
    await shot(page, `${name}-${width}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${name} at ${width}`);
    const small = await page.evaluate(() => [...document.querySelectorAll("button, select, input, summary")].filter((e) => e.checkVisibility() && !e.closest(".skips"))
      .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()]).filter(([, r]) => r.width < 24 || r.height < 24).map(([h]) => h));
    assert.deepEqual(small.filter((h) => !h.includes("checkbox")), [], `${name} at ${width}`);
  }
  await page.setViewportSize({ width: 1280, height: 720 });
}

/** All events of a stream until it ends, as the module of the page gets them, in a page of its own. */
export async function events(page, stream, options = {}) {
  return page.evaluate(async ([s, o]) => {
    const { LumivoxClient } = await import("./lumivox.js");
    return new Promise((done) => {
      const got = [], client = new LumivoxClient(new URL("./", location.href));
      client.subscribe(s, { from: "start", ...o }, (e) => {
        got.push(e);
        if (e.type === "end") { client.close(); done(got); }
      });
    });
  }, [stream, options]);
}

/** Until an expression is true in the page. (Playwright's own way needs eval, which the page's policy forbids.) */
export async function when(page, expression) {
  const end = Date.now() + PATIENCE;
  while (!(await page.evaluate(expression).catch(() => false))) {
    if (Date.now() > end) assert.fail(`never true: ${expression}; the stage says: ${await page.evaluate("document.querySelector('main')?.innerText.slice(0, 400)")}`);
    await page.waitForTimeout(50);
  }
}
