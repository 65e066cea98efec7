# SPDX-License-Identifier: Apache-2.0
"""Runs lumivoxd for a test and talks to it; TAP on stdout."""
import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
import wave

import websockets

RATE = 16000
PATIENCE = 90  # seconds: only a hang takes so long, on however busy a machine


def wav(path, seconds, rate=RATE):
    with wave.open(path, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(rate)
        period = bytes(b"".join(int(6000 * (i % 40 - 20) / 20).to_bytes(2, "little", signed=True)
                                for i in range(rate // 10)))
        for _ in range(int(seconds * 10)):
            w.writeframes(period)
    return path


def pcm(seconds):
    return bytes(int(seconds * RATE) * 2)


class Daemon:
    """One lumivoxd on a free port."""

    def __init__(self, exe, *args, env=None, ready=True, lanes="caption,description"):
        full = {**os.environ, "LVX_LOG": "info"}
        full.pop("LVX_TOKEN", None)
        full.update(env or {})
        self.log = tempfile.TemporaryFile("w+")
        fcntl.fcntl(self.log, fcntl.F_SETFL, os.O_APPEND)  # reading moves the place where the daemon would write
        lanes = ["--lanes", lanes] if lanes and not {"--lanes", "--config"} & {*args} else []
        self.proc = subprocess.Popen([exe, "--model", "/tmp", "--port", "0", *lanes, *args], env=full,
                                     stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.port = None
        self.tls = "--tls-cert" in args
        if ready:
            self.wait_ready()

    def stderr(self):
        self.log.seek(0)
        return self.log.read()

    def wait_ready(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = re.search(r"READY https?://\S+?:(\d+)/", self.stderr())
            if found:
                self.port = int(found[1])
                return
            if self.proc.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError("not ready:\n" + self.stderr())

    def stop(self, sig=signal.SIGTERM):
        begin = time.monotonic()
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        try:
            out, _ = self.proc.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            raise AssertionError("does not stop:\n" + self.stderr())
        self.took = time.monotonic() - begin
        err = self.stderr()
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return self.proc.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        try:
            rc, _, err = self.stop()
        except AssertionError:
            if kind is None:
                raise
            return
        if kind is not None:
            print("# stderr of the daemon:\n# " + err.replace("\n", "\n# "))
        else:
            assert rc == 0, f"exit code {rc}\n{err}"

    # ---- HTTP

    def http(self, method, path, body=None, headers=None, raw=False):
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data,
                                         method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                status, head, text = reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as e:
            status, head, text = e.code, e.headers, e.read()
        if raw:
            return status, head, text
        return status, json.loads(text) if text else None

    def info(self, stream):
        status, body = self.http("GET", "/api/streams/" + stream)
        assert status == 200, body
        return body

    def wait_for(self, stream, test, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            info = self.info(stream)
            if test(info):
                return info
            time.sleep(0.02)
        raise AssertionError(f"waited in vain: {info}")

    # ---- WebSocket

    def connect(self, path="/api/ws", **kwargs):
        return Socket(self, path, kwargs)


class Socket:
    def __init__(self, daemon, path, kwargs):
        self.url = f"ws{'s' if daemon.tls else ''}://127.0.0.1:{daemon.port}{path}"
        self.kwargs = dict({"ping_interval": None, "max_size": None, "close_timeout": 3, "open_timeout": PATIENCE}, **kwargs)

    async def __aenter__(self):
        self.ws = await websockets.connect(self.url, **self.kwargs)
        self.hello = await self.get()
        assert self.hello["type"] == "hello", self.hello
        return self

    async def __aexit__(self, *_):
        await self.ws.close()

    async def send(self, **message):
        await self.ws.send(json.dumps(message))

    async def get(self, seconds=PATIENCE):
        return json.loads(await asyncio.wait_for(self.ws.recv(), seconds))

    async def ask(self, **message):
        await self.send(**message)
        return await self.get()

    async def until(self, kind, seconds=PATIENCE):
        """Messages up to and with the first of that type."""
        got = []
        while not got or got[-1]["type"] != kind:
            got.append(await self.get(seconds))
        return got

    async def closed(self, seconds=PATIENCE):
        """Reads to the end; the close code."""
        try:
            while True:
                await asyncio.wait_for(self.ws.recv(), seconds)
        except websockets.ConnectionClosed as e:
            return e.rcvd.code if e.rcvd else None


def words(events, lane="caption"):
    return [w["text"] for e in events if e["type"] == "text" and e["lane"] == lane
            for w in e["words"]]


def main(tests):
    """tests: functions (sync or async) of one argument, the executable. argv: EXE [NAME...]"""
    exe, names = sys.argv[1], sys.argv[2:]
    tests = [t for t in tests if not names or t.__name__ in names]
    print(f"1..{len(tests)}")
    failed = 0
    for i, test in enumerate(tests, 1):
        begin = time.monotonic()
        try:
            result = test(exe)
            if asyncio.iscoroutine(result):
                asyncio.run(result)
            ok = "ok"
        except Exception:
            print("# " + traceback.format_exc().replace("\n", "\n# "))
            ok = "not ok"
            failed += 1
        print(f"{ok} {i} - {test.__doc__ or test.__name__} # {time.monotonic() - begin:.1f} s",
              flush=True)
    sys.exit(failed > 0)


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield path
