# SPDX-License-Identifier: Apache-2.0
"""HLS over the daemon's own port, live, in players that are not ours: hls.js in Chromium, GStreamer's uridecodebin3.

The daemon runs over a model that says c0, c1, ... (t0, t1, ... as translation), one every 400 ms: word N is spoken from
100 + 400 N ms to 400 + 400 N ms of the stream.
argv: EXE [NAME...]; LVX_BUILD: where the player's package is installed.
"""
import asyncio
import contextlib
import functools
import glob
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "daemon"), os.path.join(HERE, "..", "e2e")]
import browser
import harness
from harness import PATIENCE, Daemon, folder
from media import Popen, free_port, programme, wait

NODE = os.path.join(os.environ.get("LVX_BUILD", "."), "outputs-node")


def install():
    """The pinned hls.js, or why it cannot be had."""
    if not shutil.which("npm"):
        return "npm is not installed"
    os.makedirs(NODE, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(os.path.join(HERE, name), NODE)
    if not os.path.exists(NODE + "/node_modules/hls.js/dist/hls.js"):
        r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=NODE, timeout=120, capture_output=True,
                           text=True, check=False)
        if r.returncode != 0:
            return "npm ci failed: " + " ".join(r.stderr.split())[:300]
    return None


@contextlib.contextmanager
def site():
    """Another web site, with the player's page: its origin."""
    with folder() as root:
        shutil.copy(HERE + "/player.html", root)
        shutil.copy(NODE + "/node_modules/hls.js/dist/hls.js", root)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def live(exe, source, tmp, *args):
    return Daemon(exe, "--translate-to", "de", "--hls", tmp + "/hls", "--hls-segment", "2", *args, f"x={source}",
                  lanes="caption,translation")


def address(d):
    return f"http://127.0.0.1:{d.port}/hls/x/master.m3u8"


def published(d, n, query=""):
    """Waits for n segments; the folder of the stream's files, as players see it."""
    def look():
        status, _, text = d.http("GET", "/hls/x/master.m3u8" + query, raw=True)
        if status != 200:
            return None
        look.main = re.search(rb"^[^#].*$", text, re.M)[0].decode()
        return d.http("GET", "/hls/x/" + look.main, raw=True)[2].count(b"#EXTINF") >= n
    wait(look, d.stderr)
    return "/hls/x/" + look.main.rsplit("/", 1)[0]


def test_http(exe):
    """MIME types, caching, CORS, tokens; and nothing else of the disk"""
    with folder() as tmp, open(tmp + "/secret.vtt", "w", encoding="utf8") as f:
        f.write("WEBVTT\n")
        f.flush()
        source = programme(tmp + "/in.ts", 40)
        with live(exe, source, tmp, "--allow-origin", "https://site.example") as d:
            assert d.http("GET", "/hls/x/master.m3u8")[0] in (200, 404)
            base = published(d, 2)
            for path, kind, cache in (("/hls/x/master.m3u8", "application/vnd.apple.mpegurl", "no-store"),
                                      (base + "/video.m3u8", "application/vnd.apple.mpegurl", "no-store"),
                                      (base + "/video-1.m4s", "video/iso.segment", "max-age"),
                                      (base + "/video-init-1.mp4", "video/mp4", "max-age"),
                                      (base + "/caption-en-1.vtt", "text/vtt; charset=utf-8", "max-age")):
                status, head, body = d.http("GET", path, raw=True, headers={"Origin": "https://site.example"})
                assert status == 200 and head["content-type"] == kind and cache in head["cache-control"], (path, head)
                assert head["access-control-allow-origin"] == "https://site.example" and head["vary"] == "Origin", head
                assert int(head["content-length"]) == len(body) > 0
                head = d.http("HEAD", path, raw=True)
                assert head[0] == 200 and head[1]["content-type"] == kind and not head[2], head
                # Players that ask for a range get the whole, and are told so.
                assert d.http("GET", path, raw=True, headers={"Range": "bytes=0-9"})[0] == 200
                assert d.http("GET", path, raw=True, headers={"Origin": "https://other.example"})[0] == 403
            for path in ("/hls/x/nothing.m3u8", "/hls/y/master.m3u8", "/hls/x/../../secret.vtt", "/hls/../secret.vtt", "/hls/x",
                         "/hls/x/%2e%2e/%2e%2e/secret.vtt", "/hls/", "/hls/x/", "/hls//master.m3u8", base + "/.video.m3u8.new"):
                status, head, body = d.http("GET", path, raw=True)
                assert status == 404 and b"WEBVTT" not in body, (path, status, body)
            assert d.http("POST", "/hls/x/master.m3u8", body={})[0] in (404, 405)
        token = "a&b/ü"
        quoted = "a%26b%2F%C3%BC"
        with live(exe, source, tmp, "--token", token) as d:
            base = published(d, 1, "?token=" + quoted)
            for path in ("/hls/x/master.m3u8", base + "/video.m3u8", base + "/video-1.m4s"):
                assert d.http("GET", path, raw=True)[0] == 401
                assert d.http("GET", path, raw=True, headers={"Authorization": b"Bearer " + token.encode()})[0] == 200
            # The token goes along, into every address.
            for path, n in (("/hls/x/master.m3u8", 4), (base + "/video.m3u8", 2)):
                text = d.http("GET", f"{path}?token={quoted}", raw=True)[2].decode()
                addresses = re.findall(r'URI="([^"]*)"', text) + re.findall(r"^[^#\n].*$", text, re.M)
                assert len(addresses) >= n and all(a.endswith("?token=" + quoted) for a in addresses), text
                for a in addresses:
                    assert d.http("GET", path.rsplit("/", 1)[0] + "/" + a, raw=True)[0] == 200, a


def no_browser():
    why = install() or (None if browser.find() else "there is no Chromium")
    if why:
        print(f"# skipped: {why}")
    return why


def check_player(p, start_ms, cues):
    """Beside each picture stands the cue of its time of day. cues: of the stream's recording, (start, end) in ms by text."""
    off, shown = [], []
    for now_ms, texts in p["seen"]:
        at = now_ms - start_ms
        for text in texts:
            start, end = cues[text]
            shown.append(text)
            off.append(max(start - at, at - end, 0))
    print(f"# {len(p['seen'])} looks, {len(shown)} cues on the screen; most out of time: {max(off):.0f} ms")
    # A timer that a busy machine calls late, and the clock's own estimate, are forgiven; another cue's place is not.
    assert len(shown) > 30 and max(off) < 1500, [(x, t) for x, t in zip(off, shown) if x >= 1500]
    track = next(t for t in p["texts"] if t["mode"] == "showing")
    assert track["label"] == "Captions (en)" and track["language"] == "en", p["texts"]
    texts = [text for _, _, text in sorted(track["cues"])]
    every = sorted(cues, key=lambda t: cues[t])
    first = every.index(texts[0])
    assert texts == every[first:first + len(texts)], texts  # each once, though cues are repeated, and none is missing
    assert p["width"] == 320 and not [e for e in p["errors"] if " true " in e], p["errors"]


def recorded(path):
    name, = glob.glob(path + "/*.caption.en.jsonl")
    with open(name, encoding="utf8") as f:
        cues = [json.loads(line) for line in f]
    return {c["text"]: (c["start_us"] / 1000, c["end_us"] / 1000) for c in cues}


async def test_hls_js(exe):
    """hls.js in Chromium, from another site: captions in the text track while live, in time with the pictures"""
    if no_browser():
        return
    with folder() as tmp, site() as origin:
        with live(exe, programme(tmp + "/in.ts", 300), tmp, "--allow-origin", origin, "--record", tmp + "/rec") as d:
            published(d, 4)
            start_ms = d.info("x")["start_wall_us"] / 1000
            async with browser.Browser("--autoplay-policy=no-user-gesture-required") as b:
                page = await b.page(f"{origin}/player.html?{address(d)}")
                shown = "new Set(player().seen.flatMap(([, texts]) => texts)).size"
                await page.until(f"{shown} >= 4 && player().frames > 200", PATIENCE)
                p = await page.js("player()")
                assert d.info("x")["state"] == "live" and p["live"], p
        assert p["sound"] == [["Programme (en)", "en", True]], p["sound"]
        assert p["subtitles"] == [["Captions (en)", "en", False, "public.accessibility.transcribes-spoken-dialog"],
                                  ["Translation (de)", "de", False, ""]], p["subtitles"]
        check_player(p, start_ms, recorded(tmp + "/rec"))


async def test_hls_js_restart(exe):
    """hls.js over the restart of a source: captions stay in time on both sides of the discontinuity"""
    if no_browser():
        return
    with folder() as tmp, site() as origin:
        source, port = programme(tmp + "/in.ts", 300), free_port(socket.SOCK_DGRAM)

        def send():
            return Popen("ffmpeg", "-nostdin", "-v", "error", "-re", "-i", source, "-c", "copy", "-f", "mpegts",
                         f"srt://127.0.0.1:{port}?latency=50000")

        with live(exe, f"srt://127.0.0.1:{port}?mode=listener&latency=50", tmp, "--stall", "1", "--allow-origin", origin,
                  "--record", tmp + "/rec") as d:
            async with browser.Browser("--autoplay-policy=no-user-gesture-required") as b:
                with send():
                    published(d, 4)
                    page = await b.page(f"{origin}/player.html?{address(d)}")
                    await page.until("player().seen.length > 40", PATIENCE)
                d.wait_for("x", lambda i: i["state"] != "live")
                await asyncio.sleep(2)  # of the stream: what is shorter than half a second is no break
                with send():
                    d.wait_for("x", lambda i: i["state"] == "live")
                    back_ms = d.info("x")["heard_us"] / 1000
                    start_ms = d.info("x")["start_wall_us"] / 1000
                    await page.until(f"player().seen.some(([now, t]) => now > {start_ms + back_ms + 12000} && t.length)", PATIENCE)
                    p = await page.js("player()")
            breaks = d.http("GET", published(d, 1) + "/caption-en.m3u8", raw=True)[2].count(b"#EXT-X-DISCONTINUITY\n")
            assert breaks == 1, breaks
        check_player(p, start_ms, recorded(tmp + "/rec"))


def test_gstreamer(exe):
    """GStreamer's uridecodebin3, live and finished: captions on the text pad"""
    def play(url, enough):
        out = []
        args = ["gst-launch-1.0", "-q", "uridecodebin3", f"uri={url}", "name=d"]
        for pad, sink in (("text_0", "fdsink"), ("video_0", "fakesink"), ("audio_0", "fakesink")):
            args += [f"d.{pad}", "!", "queue", "!", sink]
        p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(p.stdout.fileno(), False)
        end = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < end:
                out.append(p.stdout.read() or b"")
                text = b"".join(out).decode()
                words = list(dict.fromkeys(re.findall(r"c\d+(?!\d)", re.sub(r"(?<=\d)(?=c\d)", " ", text))))
                if len(words) >= enough:
                    return [int(w[1:]) for w in words]
                time.sleep(0.1)
            raise AssertionError(f"waited in vain: {text}")
        finally:
            p.kill()
            p.wait()

    with folder() as tmp:
        with live(exe, programme(tmp + "/in.ts", 150), tmp, "--hls-window", "600") as d:
            published(d, 6)
            words = play(address(d), 24)
            assert d.info("x")["state"] == "live"
            assert words == list(range(words[0], words[0] + len(words))), words
            d.wait_for("x", lambda i: i["state"] != "live", 2 * PATIENCE)
            wait(lambda: b"#EXT-X-ENDLIST" in d.http("GET", published(d, 1) + "/video.m3u8", raw=True)[2], d.stderr)
            words = play(address(d), 32)
            assert words == list(range(len(words))), words


harness.main([test_http, test_hls_js, test_hls_js_restart, test_gstreamer])
