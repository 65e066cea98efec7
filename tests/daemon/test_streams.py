# SPDX-License-Identifier: Apache-2.0
"""Subscribing, resuming, pushing, many at once: docs/PROTOCOL.md from outside."""
import asyncio
import json
import os
import signal
import socket
import struct
import time

import websockets

from harness import PATIENCE, Daemon, folder, main, pcm, wav, words

N = 20  # words in 8 s: one in five slots of 80 ms


async def test_history(exe):
    """a late viewer gets all history, in order, with times and segments"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 8)}", "--pace", "max") as daemon:
        daemon.wait_for("a", lambda i: i.get("end_reason"))
        async with daemon.connect() as s:
            reply = await s.ask(type="subscribe", ref="x", stream="a", **{"from": "start"})
            assert reply["type"] == "subscribed" and reply["ref"] == "x", reply
            assert reply["lanes"] == ["caption", "description"], reply
            events = await s.until("end")
        assert words(events) == [f"c{i}" for i in range(N)], words(events)
        assert words(events, "description") == [f"d{i}" for i in range(N)]
        assert [e["seq"] for e in events] == sorted({e["seq"] for e in events})
        assert events[0]["type"] == "state" and events[0]["state"] == "starting"
        text = [e for e in events if e["type"] == "text" and e["lane"] == "caption"]
        for i, e in enumerate(text):
            assert e["segment"] == i // 8 and e["segment_end"] == (i % 8 == 7), e
            assert e["language"] == "en" and e["final"] is True and e["latency_ms"] is None, e
            word = e["words"][0]
            assert word["end_us"] == (i + 1) * 400000 and word["confidence"] == 0.75, word
        assert events[-1]["reason"] == "ended"
        assert not any(e["type"] == "activity" for e in events)


async def test_lanes(exe):
    """lanes are filtered for each viewer, activity comes only if asked for"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 8)}", "--pace", "max",
                               "--translate-to", "de", "--lanes", "caption,translation,description") as daemon:
        daemon.wait_for("a", lambda i: i.get("end_reason"))
        async with daemon.connect() as s:
            reply = await s.ask(type="subscribe", stream="a", lanes=["translation"],
                                activity=True, **{"from": "start"})
            assert reply["lanes"] == ["translation"]
            events = await s.until("end")
        assert words(events) == []
        assert words(events, "translation") == [f"t{i}" for i in range(N)]
        assert {e["language"] for e in events if e["type"] == "text"} == {"de"}
        activity = [e for e in events if e["type"] == "activity"]
        assert len(activity) == N // 8 and activity[0]["utterance_end"] is True, activity


async def test_default_lanes(exe):
    """without --lanes: captions, and translation where a language is named"""
    with folder() as d:
        path = wav(d + "/a.wav", 2)
        for more, want in (([], ["caption"]), (["--translate-to", "de"], ["caption", "translation"])):
            with Daemon(exe, f"a={path}", "--pace", "max", *more, lanes=None) as daemon:
                assert daemon.info("a")["lanes"] == want, daemon.info("a")


async def test_resume(exe):
    """resuming by (epoch, seq) loses nothing and repeats nothing"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 6)}", "--lanes", "caption") as daemon:
        seen, key = [], "start"
        while not seen or seen[-1]["type"] != "end":
            async with daemon.connect() as s:
                reply = await s.ask(type="subscribe", stream="a", activity=True, **{"from": key})
                assert reply["type"] == "subscribed", reply
                for _ in range(3):
                    event = await s.get()
                    assert event["type"] != "gap", event
                    seen.append(event)
                    if event["type"] == "end":
                        break
                s.ws.transport.abort()  # the network goes
            key = {"epoch": seen[-1]["epoch"], "seq": seen[-1]["seq"]}
        assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
        assert words(seen) == [f"c{i}" for i in range(15)]
        live = sorted(e["latency_ms"] for e in seen if e["type"] == "text")
        assert live[0] >= 0 and live[len(live) // 2] < 1500, live


async def test_resume_impossible(exe):
    """a resume that cannot be whole says so by a gap; an impossible key is an error"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 30)}", "--pace", "max", "--history",
                               "16") as daemon:
        daemon.wait_for("a", lambda i: i.get("end_reason"))
        async with daemon.connect() as s:
            epoch = daemon.info("a")["epoch"]
            reply = await s.ask(type="subscribe", stream="a", activity=True,
                                **{"from": {"epoch": epoch, "seq": 5}})
            gap = await s.get()
            assert gap["type"] == "gap" and gap["what"] == "events", gap
            assert gap["from_seq"] == 6 and gap["to_seq"] == reply["oldest_seq"] - 1, gap
            events = await s.until("end")
            assert events[0]["seq"] == gap["to_seq"] + 1 and len(events) == 16
            await s.ask(type="subscribe", stream="a", **{"from": {"epoch": 7, "seq": 5}})
            gap = await s.get()
            assert gap["reason"] == "epoch" and gap["from_seq"] == 1, gap
            await s.until("end")
            reply = await s.ask(type="subscribe", stream="a",
                                **{"from": {"epoch": epoch, "seq": 10**6}})
            assert reply["type"] == "error" and reply["code"] == "invalid", reply
            reply = await s.ask(type="subscribe", stream="a", activity=True, **{"from": {"last": 4}})
            assert len(await s.until("end")) == 4


async def test_two_streams(exe):
    """two streams at once, one viewer; a missing file hurts nobody else"""
    with folder() as d:
        args = [f"a={wav(d + '/a.wav', 3)}", f"b={wav(d + '/b.wav', 2)}", f"c={d}/missing.wav"]
        with Daemon(exe, *args, "--lanes", "caption") as daemon:
            async with daemon.connect() as s:
                for stream in "abc":
                    await s.send(type="subscribe", stream=stream, **{"from": "start"})
                events, ends = [], {}
                while len(ends) < 3:
                    event = await s.get()
                    events.append(event)
                    if event["type"] == "end":
                        ends[event["stream"]] = event
            assert ends["a"]["reason"] == ends["b"]["reason"] == "ended", ends
            assert ends["c"]["reason"] == "failed" and ends["c"]["message"], ends
            a = words(e for e in events if e["stream"] == "a")
            b = words(e for e in events if e["stream"] == "b")
            assert a == [f"c{i}" for i in range(7)] and b == [f"c{i}" for i in range(5)], (a, b)


async def test_unsubscribe(exe):
    """after unsubscribe no event of the stream comes"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 4)}") as daemon:
        async with daemon.connect() as s:
            await s.ask(type="subscribe", stream="a")
            await s.send(type="unsubscribe", ref=9, stream="a")
            while True:
                reply = await s.get()
                if reply["type"] == "unsubscribed":
                    break
            assert reply["ref"] == 9 and reply["stream"] == "a"
            try:
                raise AssertionError(await s.get(1))
            except asyncio.TimeoutError:
                pass
            reply = await s.ask(type="unsubscribe", stream="a")
            assert reply["code"] == "not_found", reply
        daemon.wait_for("a", lambda i: i["subscribers"] == 0)


async def push(s, seconds, chunk=4001, **extra):
    """Pushes raw sound in odd pieces; all messages up to `pushed`."""
    reply = await s.ask(type="push", format="s16le", sample_rate=16000, channels=1, **extra)
    assert reply["type"] == "pushing", reply
    await s.send(type="subscribe", stream=reply["stream"], **{"from": "start"})
    sound = pcm(seconds)
    for i in range(0, len(sound), chunk):
        await s.ws.send(sound[i:i + chunk])
    await s.send(type="finish")
    return await s.until("pushed")


async def test_push(exe):
    """pushed sound is captioned; the same connection may push again"""
    with Daemon(exe, "--lanes", "caption") as daemon:
        async with daemon.connect() as s:
            for k in range(2):
                got = await push(s, 8, stream="p")
                assert words(got) == [f"c{i}" for i in range(N)], words(got)
                kinds = [m["type"] for m in got]
                assert kinds.index("end") < kinds.index("pushed")
                assert got[-1]["reason"] == "ended"
            reply = await s.ask(type="finish")
            assert reply["code"] == "invalid", reply
        info = daemon.info("p")
        assert info["kind"] == "push" and info["uri"] is None, info


async def test_push_container(exe):
    """a pushed WAV file is probed and decoded; garbage fails only its own stream"""
    with folder() as d, Daemon(exe, "--lanes", "caption") as daemon:
        data = open(wav(d + "/a.wav", 4), "rb").read()
        async with daemon.connect() as s:
            await s.ask(type="push", stream="w", format="container")
            await s.send(type="subscribe", stream="w", **{"from": "start"})
            for i in range(0, len(data), 9973):
                await s.ws.send(data[i:i + 9973])
            await s.send(type="finish")
            got = await s.until("pushed")
            assert words(got) == [f"c{i}" for i in range(10)], got
            await s.ask(type="push", stream="g", format="container")
            for i in range(20):
                await s.ws.send(bytes([(i * 7 + k * 13) % 256 for k in range(5000)]))
            await s.send(type="finish")
            got = await s.until("pushed")
            assert got[-1]["reason"] == "failed" and got[-1]["message"], got[-1]
            got = await push(s, 2)
            assert got[-1]["reason"] == "ended"


async def test_push_backpressure(exe):
    """a push far faster than the model is slowed down, and nothing is lost"""
    with Daemon(exe, "--lanes", "caption", env={"LVX_FAKE_TICK_MS": "1"}) as daemon:
        async with daemon.connect() as s, daemon.connect() as other:
            task = asyncio.create_task(push(s, 120, chunk=65536, stream="p"))
            await asyncio.sleep(0.1)
            assert (await other.ask(type="ping", ref=3)) == {"type": "pong", "ref": 3}
            got = await task
        assert words(got) == [f"c{i}" for i in range(300)], len(words(got))


async def test_vanish(exe):
    """a client that vanishes mid-push ends its stream, with what it said, and nothing else"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 4)}", "--lanes", "caption") as daemon:
        async with daemon.connect() as viewer:
            await viewer.ask(type="subscribe", stream="a", **{"from": "start"})
            async with daemon.connect() as s:
                await s.ask(type="push", stream="p", format="s16le", sample_rate=16000,
                            channels=1)
                await s.ws.send(pcm(4))
                assert (await s.ask(type="ping"))["type"] == "pong"  # it has read all that
                s.ws.transport.abort()
            info = daemon.wait_for("p", lambda i: i.get("end_reason"))
            assert info["end_reason"] == "vanished" and info["words"] == 10, info
            got = await viewer.until("end")
            assert words(got) == [f"c{i}" for i in range(10)]
            await viewer.ask(type="subscribe", stream="p", **{"from": "start"})
            assert words(await viewer.until("end")) == [f"c{i}" for i in range(10)]


def raw_websocket(port):
    """A handshake by hand, on a socket with a tiny receive buffer."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    s.sendall(b"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
              b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
              b"Sec-WebSocket-Version: 13\r\n\r\n")
    reply = b""
    while not reply.endswith(b"\r\n\r\n"):
        reply += s.recv(1)
    return s


def frame(payload, opcode=1, fin=True):
    n = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if n < 126:
        head += bytes([0x80 | n])
    elif n < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", n)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", n)
    return head + b"\0\0\0\0" + payload


def find_close(data):
    """The code of the first close frame in what a server sent, or None."""
    at = 0
    while at + 4 <= len(data):
        opcode, n = data[at] & 15, data[at + 1] & 127
        at += 2
        if n == 126:
            n, at = struct.unpack(">H", data[at:at + 2])[0], at + 2
        elif n == 127:
            n, at = struct.unpack(">Q", data[at:at + 8])[0], at + 8
        if opcode == 8 and n >= 2:
            return struct.unpack(">H", data[at:at + 2])[0]
        at += n
    return None


def close_code(s, seconds=PATIENCE):
    """Reads until a close frame or the end; the code, or None."""
    s.settimeout(seconds)
    data = b""
    code = None
    try:
        while code is None:
            part = s.recv(1 << 20)
            if not part:
                break
            data += part
            if len(data) < 100000 or len(part) < 1000:
                code = find_close(data)
    except ConnectionResetError:
        pass
    return find_close(data)


async def dropped(daemon, n):
    """Waits until n viewers have been dropped for being slow; their close codes are kept for some seconds."""
    end = time.monotonic() + PATIENCE
    while True:
        metrics = (await asyncio.to_thread(daemon.http, "GET", "/metrics", raw=True))[2].decode()
        if f"lumivox_subscribers_dropped_total {n}\n" in metrics:
            return
        assert time.monotonic() < end, metrics
        await asyncio.sleep(0.1)


async def test_slow_viewer(exe):
    """a viewer that does not read is dropped with 4008; the others get every word in time"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 5)}", "--lanes", "caption",
                               "--slow-after", "1", "--history", "100000",
                               env={"LVX_FAKE_FLOOD": "100"}) as daemon:
        slow = raw_websocket(daemon.port)
        silent = raw_websocket(daemon.port)
        request = json.dumps({"type": "subscribe", "stream": "a", "from": "start"}).encode()
        slow.sendall(frame(request))
        silent.sendall(frame(request))
        async with daemon.connect() as s:
            await s.ask(type="subscribe", stream="a", **{"from": "start"})
            viewer = asyncio.create_task(s.until("end"))
            await dropped(daemon, 2)
            # It wakes up late, reads, and learns why it was dropped.
            assert await asyncio.to_thread(close_code, slow) == 4008
            got = await viewer
        count = len(words(got))
        assert words(got) == [f"c{i}" for i in range(count)] and count >= 6000, count
        latency = sorted(e["latency_ms"] for e in got if e["type"] == "text")
        # Whoever waited for the slow ones, a second each, would be later than that.
        assert latency[len(latency) // 2] < 900, latency[len(latency) // 2]
        # The other never does: it is gone all the same, soon.
        end = time.monotonic() + PATIENCE
        while daemon.info("a")["subscribers"] > 0:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        await dropped(daemon, 2)
        silent.close()


async def test_short_history(exe):
    """a viewer that the history has overtaken is dropped with 4008 at once"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 5)}", "--lanes", "caption", "--history",
                               "1000", env={"LVX_FAKE_FLOOD": "200"}) as daemon:
        slow = raw_websocket(daemon.port)
        slow.sendall(frame(json.dumps({"type": "subscribe", "stream": "a"}).encode()))
        daemon.wait_for("a", lambda i: i["next_seq"] > 9000)
        assert close_code(slow) == 4008
        async with daemon.connect() as s:
            assert (await s.ask(type="ping"))["type"] == "pong"


async def test_many_viewers(exe):
    """a hundred viewers of one stream all get the same"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 3)}") as daemon:
        async def view():
            async with daemon.connect() as s:
                await s.ask(type="subscribe", stream="a", lanes=["caption"], **{"from": "start"})
                return words(await s.until("end"))
        all_words = await asyncio.gather(*(view() for _ in range(100)))
        assert all(w == [f"c{i}" for i in range(7)] for w in all_words), all_words[0]


async def test_constant(exe):
    """hundreds of connections and streams leave descriptors, threads and memory as they were"""
    # With many threads malloc keeps some MiB, now more, now less, in arenas of theirs.
    with Daemon(exe, "--lanes", "caption", "--rows", "4", "--history", "64", env={"MALLOC_ARENA_MAX": "1"}) as daemon:
        def size():
            proc = f"/proc/{daemon.proc.pid}"
            rss = int(open(proc + "/statm").read().split()[1]) * 4096
            return len(os.listdir(proc + "/fd")), len(os.listdir(proc + "/task")), rss

        async def visit(k):
            async with daemon.connect() as s:
                name = f"p{k % 4}"
                if k % 3 == 2:
                    await s.ask(type="push", stream=name, format="s16le", sample_rate=16000,
                                channels=1)
                    await s.ws.send(pcm(1))
                    s.ws.transport.abort()
                else:
                    assert len(words(await push(s, 1, stream=name))) == 2
            daemon.wait_for(name, lambda i: i.get("end_reason"))
            status, _ = daemon.http("DELETE", "/api/streams/" + name)
            assert status == 204, status

        sizes = []
        for k in range(300):
            await visit(k)
            if k in (99, 299):
                end = time.monotonic() + PATIENCE
                # The last connection may still be closing, as may a stream's threads.
                calm = (10, 6) if not sizes else sizes[0]
                while any(now > then for now, then in zip(size(), calm[:2])) and time.monotonic() < end:
                    await asyncio.sleep(0.1)
                sizes.append(size())
        assert sizes[1][0] <= sizes[0][0] and sizes[1][1] <= sizes[0][1], sizes
        if "ASAN_OPTIONS" not in os.environ:
            assert sizes[1][2] - sizes[0][2] < 3 << 20, sizes
        print(f"# descriptors, threads, bytes after 100 and 300 streams: {sizes}")


async def test_device_failure(exe):
    """when the device fails, streams end with that reason, and /healthz says so"""
    with folder() as d, Daemon(exe, f"a={wav(d + '/a.wav', 8)}", "--pace", "max",
                               env={"LVX_FAKE_FAIL_AFTER": "50"}) as daemon:
        info = daemon.wait_for("a", lambda i: i.get("end_reason"))
        assert info["end_reason"] == "device" and info["words"] > 0, info
        status, body = daemon.http("GET", "/healthz")
        assert status == 503 and body["status"] == "failed" and "fake" in body["message"], body
        async with daemon.connect() as s:
            reply = await s.ask(type="push", format="f32le", sample_rate=48000, channels=2)
            assert reply["code"] == "device", reply
        assert daemon.http("GET", "/api/streams")[0] == 200


async def shut_down(exe, sig):
    """How long it took."""
    with folder() as d:
        daemon = Daemon(exe, f"a={wav(d + '/a.wav', 30)}", "--print", "--lanes", "caption")
        async with daemon.connect() as s:
            await s.ask(type="subscribe", stream="a", **{"from": "start"})
            await s.until("text")
            begin = time.monotonic()
            daemon.proc.send_signal(sig)
            got = await s.until("end")
            assert got[-1]["reason"] == "shutdown", got[-1]
            code = await s.closed()
            assert code in (1001, None), code  # None: its second was over, see below
            rc, out, err = daemon.stop()
            took = time.monotonic() - begin
            assert rc == 0 and "c0" in out, (rc, out, err)
            return took if code else float("inf")


async def test_shutdown(exe):
    """SIGINT and SIGTERM end it within a second: viewers get the end, and 1001"""
    # A busy machine and sanitizers add to that, though not every time.
    limit = 4 if "ASAN_OPTIONS" in os.environ else 1.5
    for sig in (signal.SIGINT, signal.SIGTERM):
        took = []
        while not took or (took[-1] >= limit and len(took) < 5):
            try:
                took.append(await shut_down(exe, sig))
            except websockets.ConnectionClosedError:
                took.append(float("inf"))  # its second was over before it had said all
        assert took[-1] < limit, took


def test_exit_when_done(exe):
    """--exit-when-done: 0 when all ended well, 1 when one failed; --print prints every word"""
    with folder() as d:
        a = wav(d + "/a.wav", 8)
        rc, out, _ = Daemon(exe, a, "--pace", "max", "--print", "--exit-when-done",
                            ready=False).stop_when_done()
        assert rc == 0 and [w for w in out.split() if w[0] == "c" and w[1:].isdigit()] == [
            f"c{i}" for i in range(N)], out
        rc, _, err = Daemon(exe, a, d + "/none.wav", "--pace", "max", "--exit-when-done",
                            ready=False).stop_when_done()
        assert rc == 1 and "none" in err, err


def test_secrets(exe):
    """passwords, passphrases, tokens and stream keys of sources stand neither in the API nor in the log"""
    with Daemon(exe, "a=rtmp://127.0.0.1:1/live/sEcret", "b=srt://127.0.0.1:1?passphrase=sEcretsEcret",
                "c=http://me:sEcret@127.0.0.1:1/x?token=sEcret", env={"LVX_LOG": "debug"}) as daemon:
        for name, uri in (("a", "rtmp://127.0.0.1:1/live/..."), ("b", "srt://127.0.0.1:1?..."),
                          ("c", "http://127.0.0.1:1/x?...")):
            info = daemon.wait_for(name, lambda i: i["message"])
            assert info["uri"] == uri and uri in info["message"], info
        assert "sEcret" not in daemon.http("GET", "/api/streams", raw=True)[2].decode()
        assert "sEcret" not in daemon.stderr(), daemon.stderr()


def stop_when_done(self):
    out, _ = self.proc.communicate(timeout=PATIENCE)
    return self.proc.returncode, out, self.stderr()


Daemon.stop_when_done = stop_when_done

if __name__ == "__main__":
    main([test_history, test_lanes, test_default_lanes, test_resume, test_resume_impossible, test_two_streams,
          test_unsubscribe, test_push, test_push_container, test_push_backpressure, test_vanish,
          test_slow_viewer, test_short_history, test_many_viewers, test_constant, test_device_failure, test_shutdown,
          test_exit_when_done, test_secrets])
