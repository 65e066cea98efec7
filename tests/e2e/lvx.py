# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests and the benchmarks share: a daemon, viewers, pushers, known word ends."""
import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("LVX_BUILD", os.path.join(ROOT, "build")))
CLIP = os.path.join(ROOT, "clients", "demo", "clip.webm")
DATA = os.environ.get("LVX_DATA")
LUMIVOX = os.path.join(BUILD, "clients", "lumivox")
LUMIVOXD = os.path.join(BUILD, "daemon", "lumivoxd")
MODEL = os.environ.get("LVX_MODEL", os.path.join(ROOT, "model", "weights", "m3-nano"))
# Set for a model with random weights, which says nothing that could be compared with what was spoken.
RANDOM_MODEL = bool(os.environ.get("LVX_E2E_RANDOM"))
SHOTS = os.path.join(BUILD, "screenshots")
SKIP = 77

sys.path.insert(0, os.path.join(ROOT, "tests", "score"))
import wer  # noqa: E402


def main():
    """Runs the unittest cases of the calling script; exits with 77 where nothing can run."""
    if not os.path.isdir(MODEL) and not RANDOM_MODEL:
        print(f"skipped: there is no model at {MODEL} (LVX_MODEL names another)")
        sys.exit(SKIP)
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if result.wasSuccessful() and result.testsRun and len(result.skipped) == result.testsRun:
        sys.exit(SKIP)
    sys.exit(not result.wasSuccessful())


def truth():
    with open(CLIP.replace(".webm", ".json"), encoding="utf8") as f:
        return json.load(f)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    """with Daemon("clip=" + CLIP) as d: ... The log lies in d.log."""

    def __init__(self, *args, env=None):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}/api/ws"
        self.args = [LUMIVOXD, "--model", MODEL, "--port", str(self.port), *args]
        self.env = {**os.environ, **(env or {}), "LVX_TOKEN": ""}
        self.env.pop("LVX_TOKEN")

    def __enter__(self):
        self.out = tempfile.NamedTemporaryFile("w+", prefix="lumivoxd-", suffix=".log")
        self.process = subprocess.Popen(self.args, stdout=self.out, stderr=self.out, env=self.env, cwd=ROOT)
        deadline = time.monotonic() + 120  # the first start compiles shaders
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                if self.get("/healthz")["status"] == "ok":
                    return self
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError("lumivoxd did not start:\n" + self.log)
            time.sleep(0.05)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.out.close()

    @property
    def log(self):
        with open(self.out.name, encoding="utf8", errors="replace") as f:
            return f.read()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=90) as r:
            body = r.read().decode()
        return json.loads(body) if r.headers.get_content_type() == "application/json" else body

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=90) as r:
            return json.load(r)

    def stream(self, name):
        return self.get("/api/streams/" + name)

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf8") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) / 1024


async def watch(daemon, stream, start="start", lanes=("caption",), seconds=300, on_event=None):
    """All events of a stream until its end, each with "at": when it came, on time.monotonic()."""
    import websockets
    events = []

    async def run():
        async with websockets.connect(daemon.ws, max_size=None) as ws:
            await ws.send(json.dumps({"type": "subscribe", "stream": stream, "lanes": list(lanes), "from": start}))
            async for text in ws:
                e = json.loads(text)
                e["at"] = time.monotonic()
                if e["type"] == "error":
                    raise RuntimeError(e["message"])
                events.append(e)
                if on_event:
                    on_event(e)
                if e["type"] == "end":
                    return

    await asyncio.wait_for(run(), seconds)
    return events


async def push(daemon, data, chunk=65536, seconds=300, pace=None, **options):
    """Pushes bytes and gives (events, reason). pace: bytes a second, or None."""
    import websockets
    events = []

    async def send(ws):
        begun = time.monotonic()
        for at in range(0, len(data), chunk):
            if pace:
                await asyncio.sleep(max(0, begun + at / pace - time.monotonic()))
            await ws.send(data[at:at + chunk])
        await ws.send('{"type":"finish"}')

    async def run():
        async with websockets.connect(daemon.ws, max_size=None) as ws:
            await ws.send(json.dumps({"type": "push", **options}))
            sender = None
            async for text in ws:
                e = json.loads(text)
                e["at"] = time.monotonic()
                events.append(e)
                if e["type"] == "error":
                    raise RuntimeError(e["message"])
                if e["type"] == "pushing":
                    await ws.send(json.dumps({"type": "subscribe", "stream": e["stream"], "from": "start"}))
                    sender = asyncio.create_task(send(ws))
                if e["type"] == "pushed":
                    await sender
                    return e["reason"]

    return events, await asyncio.wait_for(run(), seconds)


def words(events, lane="caption"):
    return [dict(w, at=e.get("at")) for e in events if e["type"] == "text" and e["lane"] == lane for w in e["words"]]


def text(events, lane="caption"):
    return " ".join(w["text"] for w in words(events, lane))


def pcm(path, rate=16000):
    """Any media file as s16le mono."""
    return subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-ac", "1", "-ar", str(rate), "-f", "s16le",
                           "-"], stdout=subprocess.PIPE, check=True).stdout


def match(spoken, heard):
    """Pairs (spoken word, heard word) that say the same, in order: the longest common run of both."""
    import difflib
    a = [" ".join(wer.normalise(w["text"])) for w in spoken]
    b = [" ".join(wer.normalise(w["text"])) for w in heard]
    for block in difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        for k in range(block.size):
            if a[block.a + k]:
                yield spoken[block.a + k], heard[block.b + k]


def delays(spoken, heard, start):
    """Milliseconds from the end of each spoken word to the moment its caption came; start: when 0 was played."""
    return [1000 * (h["at"] - start) - s["end_ms"] for s, h in match(spoken, heard)]


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


def show_delays(name, values):
    if not values:
        return f"{name}: no word was recognised"
    return (f"{name}: p50 {statistics.median(values):.0f} ms, p95 {quantile(values, .95):.0f} ms, "
            f"max {max(values):.0f} ms, {len(values)} words")
