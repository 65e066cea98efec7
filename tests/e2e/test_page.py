#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page in a browser: captions appear, a reader of the screen gets whole sentences, settings stay, it resumes."""
import asyncio
import os
import subprocess
import tempfile
import unittest

import lvx

try:
    import browser
    HAVE = bool(browser.find())
except ImportError:
    HAVE = False

SHOWN = """(() => { const text = (q) => [...document.querySelectorAll(q)].map((p) => p.textContent).join(" ");
  return text("#lane-caption .log p:not(.gap)") + " " + text("#lane-caption .partial"); })()"""
CONTRAST = """(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  const back = parse(getComputedStyle(document.body).backgroundColor), bl = light(back);
  return [...document.querySelectorAll("h1, h2, .status, .details, .log p, .partial, .streams p")]
    .filter((e) => e.offsetParent && e.textContent.trim()).map((e) => {
      const s = getComputedStyle(e), o = Number(s.opacity), fg = parse(s.color);
      const l = light(fg.slice(0, 3).map((v, i) => v * o + back[i] * (1 - o)));
      return [e.className || e.tagName, (Math.max(l, bl) + .05) / (Math.min(l, bl) + .05)]; }); })()"""


@unittest.skipUnless(HAVE, "chromium or python3-websockets is missing")
class Page(unittest.TestCase):
    def test_page(self):
        asyncio.run(self.all())

    async def all(self):
        with lvx.Daemon("--pace", "clock", "clip=" + lvx.CLIP) as d:
            async with browser.Browser() as b:
                page = await b.page(d.url + "/", 1280, 720)
                await self.live(page)
                await self.structure(page)
                await self.settings(page)
                await self.widths(page)
                events = await lvx.watch(d, "clip")
                await self.whole_text(page, events)
                await self.resume(page, d, b)
                wrong = [e for e in b.log if e[0] in ("error", "exception", "warning") and "WebSocket" not in e[1]
                         and "ERR_CONNECTION_REFUSED" not in e[1]]
                self.assertEqual(wrong, [])

    def test_microphone(self):
        """The browser's microphone (here a file that Chromium plays into it) becomes a stream with captions."""
        with tempfile.TemporaryDirectory() as folder:
            wav = os.path.join(folder, "mic.wav")
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", lvx.CLIP, "-vn", "-ac", "1", "-ar", "48000", wav],
                           check=True)
            asyncio.run(self.microphone(wav))

    async def microphone(self, wav):
        flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                 f"--use-file-for-fake-audio-capture={wav}%noloop")
        with lvx.Daemon() as d:
            async with browser.Browser(*flags) as b:
                page = await b.page(d.url + "/")
                await page.until("document.querySelector('#mic') && !document.querySelector('#mic').hidden")
                await page.until("document.querySelector('#status').textContent === 'connected'")
                await page.js("document.querySelector('#mic').click()")
                await page.until("document.querySelector('#mic').getAttribute('aria-pressed') === 'true'")
                if lvx.RANDOM_MODEL:
                    await asyncio.sleep(5)
                else:
                    await page.until(f"{SHOWN}.trim().split(/\\s+/).length > 12", 90)
                await page.screenshot(os.path.join(lvx.SHOTS, "microphone.png"))
                stream = d.get("/api/streams")["streams"][0]
                self.assertEqual((stream["kind"], stream["state"]), ("push", "live"))
                self.assertGreater(stream["heard_us"], 2000000)
                print(f"\n  {(await page.js(SHOWN)).strip()}\n  {await page.js('document.querySelector(`#details`).textContent')}")
                await page.js("document.querySelector('#mic').click()")
                events = await lvx.watch(d, stream["id"])
                self.assertEqual(events[-1]["reason"], "ended")
                self.assertEqual([e for e in b.log if e[0] in ("error", "exception")], [])

    async def live(self, page):
        await page.until("document.querySelector('#status').dataset.state === 'live'")
        if not lvx.RANDOM_MODEL:
            await page.until(f"{SHOWN}.trim().split(/\\s+/).length > 12", 90)
            await page.until("document.querySelector('#details').textContent.includes('behind the speaker')")
        await page.screenshot(os.path.join(lvx.SHOTS, "live.png"))

    async def structure(self, page):
        self.assertEqual(await page.js("document.documentElement.lang"), "en")
        self.assertEqual(await page.js("document.querySelector('#lane-caption .log').getAttribute('role')"), "log")
        self.assertEqual(await page.js("document.querySelector('#lane-caption .partial').getAttribute('aria-hidden')"), "true")
        self.assertEqual(await page.js("document.querySelector('#streams [aria-current=true]').textContent.slice(0, 4)"), "clip")
        small = await page.js("""[...document.querySelectorAll('button')].filter((b) => b.offsetParent)
            .map((b) => b.getBoundingClientRect()).filter((r) => r.width < 24 || r.height < 24).length""")
        self.assertEqual(small, 0)
        # Every control can be reached with the keyboard and shows where the focus is.
        seen = set()
        for _ in range(14):
            for kind in ("keyDown", "keyUp"):
                await page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            name, outline = await page.js("""(() => { const e = document.activeElement;
                return [e.id || e.className || e.tagName, getComputedStyle(e).outlineStyle]; })()""")
            if name != "BODY":
                self.assertNotEqual(outline, "none", name)
            seen.add(name)
        self.assertLessEqual({"pause", "open-settings", "scroll"}, seen)

    async def settings(self, page):
        await page.js("document.querySelector('#open-settings').click()")
        await page.screenshot(os.path.join(lvx.SHOTS, "settings.png"))
        for scheme in ("light", "yellow", "cream", "dark"):
            await page.js(f"""(() => {{ const f = document.querySelector('[name=scheme]'); f.value = '{scheme}';
                f.dispatchEvent(new Event('input', {{bubbles: true}})); }})()""")
            for name, ratio in await page.js(CONTRAST):
                self.assertGreaterEqual(ratio, 4.5, (scheme, name))
        await page.js("""(() => { const f = document.querySelector('[name=size]'); f.value = 150;
            f.dispatchEvent(new Event('input', {bubbles: true}));
            const l = document.querySelector('[name=live]'); l.click(); })()""")
        self.assertEqual(await page.js("document.querySelector('#lane-caption .log').getAttribute('aria-live')"), "polite")
        await page.call("Page.reload")
        await page.until("document.querySelector('#status')?.dataset.state")
        self.assertEqual(await page.js("getComputedStyle(document.documentElement).getPropertyValue('--scale').trim()"), "1.5")
        await page.js("document.querySelector('#reset').click()")
        self.assertEqual(await page.js("document.documentElement.dataset.scheme"), "dark")

    async def widths(self, page):
        for width, height in ((320, 640), (1920, 1080), (640, 320)):
            await page.resize(width, height)
            await page.until(f"window.innerWidth === {width}")
            await asyncio.sleep(0.5)
            await page.screenshot(os.path.join(lvx.SHOTS, f"width-{width}.png"))
            await page.until(f"document.documentElement.scrollWidth <= {width}")
        await page.resize(1280, 720)
        size = await page.js("parseFloat(getComputedStyle(document.querySelector('#lane-caption .partial')).fontSize)")
        self.assertGreaterEqual(size, 720 * 0.06)  # the last line: 6 % of the screen's height and more

    async def whole_text(self, page, events):
        """At the end the log holds every sentence, whole."""
        want = " ".join(lvx.text(events).split())
        await page.until("document.querySelector('#status').dataset.state === 'ended'", 90)
        for _ in range(600):  # the last words come after the source has ended
            shown = " ".join((await page.js(SHOWN)).split())
            if shown == want:
                break
            await asyncio.sleep(0.1)
        self.assertEqual(shown, want)
        self.assertEqual(await page.js("document.querySelector('#lane-caption .partial').textContent"), "")
        await page.screenshot(os.path.join(lvx.SHOTS, "ended.png"))

    async def resume(self, page, d, b):
        """The daemon goes away and comes back on the same port."""
        d.__exit__()
        await page.until("document.querySelector('#status').dataset.state === 'lost'")
        again = lvx.Daemon("--pace", "clock", "clip=" + lvx.CLIP)
        again.port, again.args[again.args.index("--port") + 1] = d.port, str(d.port)
        again.url = d.url
        again.__enter__()
        try:
            await page.until("document.querySelector('#status').dataset.state === 'live'", 90)
        finally:
            d.out, d.process = again.out, again.process


if __name__ == "__main__":
    lvx.main()
