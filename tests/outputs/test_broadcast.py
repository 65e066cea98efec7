# SPDX-License-Identifier: Apache-2.0
"""Captions in transport streams, FLV and MP4: files, UDP, SRT, RTMP; receivers that are not ours.

The daemon runs over a model that says c0, c1, ... (t0, t1, ... as translation), one every 400 ms.
argv: EXE CC_DUMP [NAME...]
"""
import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "daemon"))
import harness
from harness import PATIENCE, Daemon, folder
import paff
import ts_read
from media import Popen, ffmpeg, free_port, hashes, probe, programme, wait, wait_log, wait_size

CC_DUMP = sys.argv.pop(2)
WORD_US = 400000
LANES = "caption,translation"


class Captions:
    """What cc_dump prints."""

    def __init__(self, text):
        self.rows = {}
        for decoder, field, row in re.findall(r"^rows (\w+) (\d) (.*)$", text, re.M):
            rows = self.rows.setdefault((decoder, int(field)), [])
            if not rows or rows[-1] != row:  # rolled up, it is shown again
                rows.append(row)
        self.pairs = [(int(f), b, int(p), int(w))
                      for f, b, p, w in re.findall(r"^pair (\d) (\w+) (-?\d+) (\d+)$", text, re.M)]
        found = re.search(r"^pictures (\d+) (\d+)$", text, re.M)
        self.pictures, self.errors = (int(found[1]), int(found[2])) if found else (0, 0)

    def words(self, field, decoder):
        return " ".join(self.rows.get((decoder, field), [])).split()

    def check(self, field, letter, least, first=0):
        """Both decoders have seen the words in their order, without a gap."""
        for decoder in ("ffmpeg", "zvbi"):
            got = self.words(field, decoder)
            assert len(got) >= least, (decoder, field, got)
            start = int(got[0][1:])
            assert start <= first or first < 0, (decoder, field, got[:3])
            assert got == [f"{letter}{i}" for i in range(start, start + len(got))], (decoder, field, got)
            assert all(len(r) <= 32 for r in self.rows[decoder, field])
        assert self.errors == 0

    def shown_at(self, field):
        """Of each word of roll-up: (pts_us, wall_us) of its last characters."""
        text, times = "", {}
        for f, pair, pts, wall in self.pairs:
            a, b = (int(pair[i:i + 2], 16) & 0x7f for i in (0, 2))
            if f != field or a < 0x20:
                continue
            text += chr(a) + (chr(b) if b else "")
            for word in re.findall(r"c\d+(?= )", text[-8:]):
                times.setdefault(word, (pts, wall))
        return times


def dump(path):
    return Captions(subprocess.run([CC_DUMP, path], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout)


class Receiver:
    """cc_dump of a URL, while it comes."""

    def __init__(self, url):
        self.proc = subprocess.Popen([CC_DUMP, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        out, err = self.proc.communicate(timeout=PATIENCE)
        return Captions(out)


def convert(exe, source, *args, env=None):
    """Runs a file through as fast as it can be; the log."""
    d = Daemon(exe, "--pace", "max", "--exit-when-done", "--translate-to", "de", *args, f"x={source}", lanes=LANES,
               ready=False, env=env)
    d.proc.wait(PATIENCE)
    rc, _, err = d.stop()
    assert rc == 0, err
    return err


def test_files(exe):
    """files: MPEG-TS, MP4 and FLV from TS and MP4 with B-frames; pictures and sound untouched"""
    with folder() as tmp:
        ts = programme(tmp + "/in.ts")
        ffmpeg("-i", ts, "-c", "copy", "-bsf:a", "aac_adtstoasc", tmp + "/in.mp4")
        for source in ("in.ts", "in.mp4"):
            outs = [f"{tmp}/{source}.out.{kind}" for kind in ("ts", "mp4", "flv")]
            convert(exe, f"{tmp}/{source}", *(x for o in outs for x in ("--out", o)))
            want = hashes(f"{tmp}/{source}")
            for out in outs:
                c = dump(out)
                c.check(1, "c", 42)
                c.check(2, "t", 32)
                assert hashes(out) == want, (out, len(hashes(out)), len(want))
                assert sorted(set(probe(out, "stream=codec_name"))) == ["aac", "h264"], out
                # Of the sound nothing but what comes before the first picture may be missing.
                n = len(probe(out, "packet=size"))
                assert n > 600 + 20 * 44100 / 1024 - 50, n
        # The command line of FFmpeg, its own way.
        ffmpeg("-f", "lavfi", "-i", f"movie={outs[0]}[out0+subcc]", "-map", "0:1", "-c:s", "srt", tmp + "/o.srt")
        assert re.search(r"c0 c1 c2 c3", open(tmp + "/o.srt").read())


def test_rates(exe):
    """files: 23.976 to 60 frames a second and a varying rate, with roll-up of 3 rows and two roll-ups"""
    varying = ("-vf", "select='mod(n,7)-3'", "-vsync", "vfr")
    with folder() as tmp:
        for rate, *more in (("24000/1001",), ("24",), ("25",), ("30",), ("30", *varying), ("50",), ("60000/1001",), ("60",)):
            out = f"{tmp}/{rate.replace('/', '-')}.ts"
            source = programme(tmp + "/in.ts", rate=rate, video=("libx264", "-bf", "3", *more))
            convert(exe, source, "--out", out, "--out-cc1", "caption:roll3", "--out-cc3", "translation:roll2")
            c = dump(out)
            os.unlink(out)
            words = c.words(2, "zvbi")
            assert words[:40] == [f"t{i}" for i in range(40)], words
            seen = list(dict.fromkeys(c.words(1, "ffmpeg")))
            assert seen[:40] == [f"c{i}" for i in range(40)] and c.errors == 0, seen
            times = c.shown_at(1)
            late = [times[f"c{i}"][0] - (i + 1) * WORD_US for i in range(1, 40)]
            assert max(late) - min(late) < 600000, (rate, late)


def test_fields(exe):
    """pictures coded as fields, each in a packet of its own or both in one, from a file and pushed: a pair of its own in each"""
    pictures_only = {"LVX_FAKE_SEES": "1"}
    with folder() as tmp:
        for together in (False, True):
            source = paff.write_ts(tmp + "/in.ts", 250, together)
            want = hashes(source)
            assert len(want) == 250 and len(set(want)) > 200, len(want)
            outs = [f"{tmp}/{together}.{kind}" for kind in ("ts", "mp4", "flv")]
            convert(exe, source, *(x for o in outs for x in ("--out", o)), env=pictures_only)
            outs.append(f"{tmp}/{together}.push.ts")
            with Daemon(exe, "--out", outs[-1], "--translate-to", "de", lanes=LANES, env=pictures_only) as d, open(source, "rb") as f:
                asyncio.run(push(d, f.fileno(), live=False))
            for out in outs:
                c = dump(out)
                c.check(1, "c", 17)
                c.check(2, "t", 20)
                assert c.pictures == 250 and hashes(out) == want, (out, c.pictures)
            for out in outs[0], outs[-1]:
                check_fields(out)


def check_fields(path):
    """Each field of a frame has one pair, the first one that of field 1: two bytes a frame for each."""
    with open(path, "rb") as f:
        data = b"".join(payload for *_, payload in ts_read.pes(f.read(), 0x100))
    units = data.split(b"\xb5\0\x31GA94\3")[1:]
    fields = [[unit[i] & 3 for i in range(2, 2 + 3 * (unit[0] & 31), 3) if unit[i] & 4] for unit in units]
    # A slice is 3,072 bytes of macroblocks, and what says what it is.
    assert len(units) == 500 and max(map(len, units)) < 3300, (len(units), max(map(len, units)))
    assert fields == [[0], [1]] * 250, fields[:20]


def test_h265(exe):
    """files: H.265 is carried; FLV refuses it"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", video=("libx265", "-bf", "3", "-x265-params", "log-level=error"))
        log = convert(exe, source, "--out", tmp + "/o.ts", "--out", tmp + "/o.flv", "--out", tmp + "/o.mp4")
        assert "does not carry hevc" in log, log
        for kind in ("ts", "mp4"):
            dump(f"{tmp}/o.{kind}").check(1, "c", 42)
        assert hashes(tmp + "/o.ts") == hashes(source)


def test_nothing_to_caption(exe):
    """sound alone, and pictures that cannot carry captions, are said clearly"""
    with folder() as tmp:
        ffmpeg("-f", "lavfi", "-i", "sine=440:d=6", "-c:a", "aac", tmp + "/a.ts")
        log = convert(exe, tmp + "/a.ts", "--out", tmp + "/o.ts")
        assert "no pictures that could carry captions" in log, log
        assert not os.path.exists(tmp + "/o.ts")
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:d=6", "-f", "lavfi", "-i", "sine=440:d=6", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a",
               "libopus", tmp + "/v.webm")
        log = convert(exe, tmp + "/v.webm", "--out", tmp + "/o.ts")
        assert "the pictures are vp8; captions go into H.264 and H.265 only" in log, log


def test_refused_settings(exe):
    """what is not allowed is refused at the start, with what is"""
    for args, want in ((["--out", "/tmp/x.mkv"], "allowed are srt://"), (["--out", "ftp://h/x.ts"], "is no output"),
                       (["--out", "a.ts", "--out-cc1", "caption:roll9"], "LANE:roll3"),
                       (["--out", "a.ts", "--out-cc3", "subtitles"], "no lane 'subtitles'"),
                       (["--out", "a.ts", "--out-delay", "99999"], "allowed are 0 to 30000")):
        d = Daemon(exe, *args, "x=/dev/null", ready=False)
        d.proc.wait(PATIENCE)
        rc, _, err = d.stop()
        assert rc == 2 and want in err, (args, rc, err)


def test_files_are_kept(exe):
    """a file that is there is not written to: the next gets a number"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 8)
        for _ in range(3):
            convert(exe, source, "--out", tmp + "/{stream}.ts")
        sizes = [os.path.getsize(tmp + "/" + name) for name in ("x.ts", "x_2.ts", "x_3.ts")]
        assert min(sizes) > 100000 and max(sizes) - min(sizes) < 5000, sizes


def test_full_disk(exe):
    """a full disk: said, tried again; the stream does not notice"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 20)

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300000, hard))
        try:
            log = convert(exe, source, "--out", tmp + "/o.ts")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "cannot be written" in log and "ended after 100 words" in log, log
        assert 200000 < os.path.getsize(tmp + "/o.ts") <= 300000
        dump(tmp + "/o.ts").check(1, "c", 4)


def test_disk_with_room_again(exe):
    """a disk that fills while it is live: said, and what follows goes into a new file once there is room"""
    with folder() as tmp:
        with live(exe, programme(tmp + "/in.ts", 60), "--out", tmp + "/o.ts", "--out", tmp + "/other.mp4") as d:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.prlimit(d.proc.pid, resource.RLIMIT_FSIZE, (500000, hard))
            wait_log(d, "o.ts: cannot be written")
            resource.prlimit(d.proc.pid, resource.RLIMIT_FSIZE, (hard, hard))
            wait_size(tmp + "/o_2.ts", 450000)
            wait(lambda: 'output_troubled{stream="x",output="out"} 0' in d.http("GET", "/metrics", raw=True)[2].decode(),
                 d.stderr)
            info = d.info("x")
            assert info["state"] == "live" and info["gaps"] == 0, info
        first, second = dump(tmp + "/o.ts"), dump(tmp + "/o_2.ts")
        first.check(1, "c", 5, first=1)
        second.check(1, "c", 5, first=-1)


def test_corrected(exe):
    """a line that is corrected in time is sent as corrected; what CEA-608 cannot write is marked, and said"""
    with folder() as tmp:
        with live(exe, programme(tmp + "/in.ts", 24), "--out", tmp + "/o.ts", "--out-delay", "20000") as d:
            async def correct():
                async with d.connect() as ws:
                    await ws.ask(type="subscribe", stream="x", lanes=["caption"], **{"from": "start"})
                    events = await ws.until("text")
                    while not events[-1]["segment_end"]:
                        events += await ws.until("text")
                text = [e for e in events if e["type"] == "text"]
                return d.http("POST", "/api/streams/x/corrections",
                              {"epoch": text[0]["epoch"], "from_seq": text[0]["seq"], "to_seq": text[-1]["seq"],
                               "text": "Щука 你好 世界 Grüße"})
            status, reply = asyncio.run(correct())
            assert status == 201, reply
            wait_log(d, "has letters that CEA-608 cannot write")
            wait_size(tmp + "/o.ts", 300000)
        for decoder in ("ffmpeg", "zvbi"):
            words = dump(tmp + "/o.ts").words(1, decoder)
            assert words[:5] == ["Shchuka", "[?]", "Grüße", "c8", "c9"], words


def live(exe, source, *args):
    return Daemon(exe, "--translate-to", "de", *args, f"x={source}", lanes=LANES)


def delays(d, captions, first_us):
    """ms from a word to its characters at the receiver, by its picture's time and by the clock."""
    start = d.info("x")["start_wall_us"]
    by_clock, by_picture = [], []
    for word, (pts, wall) in captions.shown_at(1).items():
        said = (int(word[1:]) + 1) * WORD_US
        by_clock.append((wall - start - said) / 1000)
        by_picture.append((pts - first_us - said) / 1000)
    return sorted(by_clock), sorted(by_picture)


def test_sound_first(exe):
    """no delay, where sound is always here before the pictures that belong to it, from a source and pushed"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 12)
        with live(exe, source, "--out", tmp + "/file.ts", "--out-delay", "0") as d:
            d.wait_for("x", lambda i: i["heard_us"] > 8000000)
        assert d.took < 8, d.took
        with Daemon(exe, "--out", tmp + "/push.ts", "--out-delay", "0", "--translate-to", "de", lanes=LANES) as d:
            with subprocess.Popen(["ffmpeg", "-nostdin", "-v", "error", "-re", "-i", source, "-c", "copy", "-f", "mpegts",
                                   "-pes_payload_size", "0", "-flush_packets", "1", "-"], stdout=subprocess.PIPE) as feed:
                asyncio.run(push(d, feed.stdout.fileno()))
        assert d.took < 8, d.took
        for name in ("file", "push"):
            dump(f"{tmp}/{name}.ts").check(1, "c", 10)


async def push(d, fd, live=True):
    """Hands on what comes, as a new stream."""
    async with d.connect() as ws:
        reply = await ws.ask(type="push", stream="x", format="container", live=live)
        assert reply["type"] == "pushing", reply
        while data := await asyncio.to_thread(os.read, fd, 65536):
            await ws.ws.send(data)
        await ws.ws.send('{"type":"finish"}')
        await ws.until("pushed")


def test_udp(exe):
    """UDP, live: the delay of words at the receiver"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 24)
        port = free_port(socket.SOCK_DGRAM)
        url = f"udp://127.0.0.1:{port}"
        r = Receiver(url + "?timeout=30000000&fifo_size=20000")
        time.sleep(0.5)
        with live(exe, source, "--out", url) as d:
            d.wait_for("x", lambda i: i["heard_us"] > 18000000)
            c = r.stop()
            start = d.info("x")["start_wall_us"]
            c.check(1, "c", 25, first=15)
            c.check(2, "t", 8, first=20)
            late = sorted((wall - start) / 1000 - (int(word[1:]) + 1) * WORD_US / 1000
                          for word, (pts, wall) in c.shown_at(1).items())
            print(f"# word to characters at the receiver: p50 {statistics.median(late):.0f} ms, most {late[-1]:.0f} ms, "
                  f"{len(late)} words")
            assert statistics.median(late) < 5000, late  # a busy machine


def test_srt(exe):
    """SRT: to a receiver that comes late, vanishes and comes back; as listener too"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 60)
        port, listen = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
        with live(exe, source, "--out", f"srt://127.0.0.1:{port}?latency=50000", "--out",
                  f"srt://127.0.0.1:{listen}?mode=listener&latency=50000") as d:
            wait_log(d, "cannot connect")
            with Popen("ffmpeg", "-nostdin", "-v", "error", "-y", "-i", f"srt://127.0.0.1:{port}?mode=listener", "-c", "copy",
                       tmp + "/1.ts"):
                wait_size(tmp + "/1.ts", 450000)
            wait_log(d, "the receiver has gone")
            with Popen("ffmpeg", "-nostdin", "-v", "error", "-y", "-i", f"srt://127.0.0.1:{port}?mode=listener", "-c", "copy",
                       tmp + "/2.ts"), \
                    Popen("ffmpeg", "-nostdin", "-v", "error", "-y", "-i", f"srt://127.0.0.1:{listen}", "-c", "copy",
                          tmp + "/3.ts"):
                for name in "23":
                    wait_size(f"{tmp}/{name}.ts", 450000)
            info = d.info("x")
            assert info["state"] == "live" and info["gaps"] == 0, info
        for name in "123":
            dump(f"{tmp}/{name}.ts").check(1, "c", 5, first=-1)


def refuse_rtmp(listener, why):
    """One RTMP connection, which is answered with an error."""
    def string(text):
        return struct.pack(">H", len(text)) + text.encode()
    s, _ = listener.accept()
    with s, s.makefile("rb") as f:
        s.sendall(b"\x03" + bytes(1536) + f.read(1537)[1:])
        f.read(1536 + 12)  # and the header of "connect"
        body = b"\x02" + string("_error") + b"\0" + struct.pack(">d", 1) + b"\x05\x03"
        for key, value in (("level", "error"), ("code", "NetConnection.Connect.Rejected"), ("description", why)):
            body += string(key) + b"\x02" + string(value)
        body += b"\0\0\x09"
        chunks = b"\xc3".join(body[i:i + 128] for i in range(0, len(body), 128))
        s.sendall(b"\x03" + bytes(3) + struct.pack(">I", len(body))[1:] + b"\x14" + bytes(4) + chunks)
        s.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while s.recv(4096):
                pass


def test_rtmp(exe):
    """RTMP: a server that hangs up, one that refuses with a reason, one that takes it, vanishes and comes back"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 60)
        port = free_port()
        url = f"rtmp://127.0.0.1:{port}/live/secret-key"
        with socket.socket() as refuses:
            refuses.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            refuses.bind(("127.0.0.1", port))
            refuses.listen()
            with live(exe, source, "--out", url) as d:
                s, _ = refuses.accept()
                s.close()
                wait_log(d, "cannot connect")
                refuse_rtmp(refuses, "no such\x1bkey")
                refuses.close()
                for name in "12":
                    with Popen("ffmpeg", "-nostdin", "-v", "error", "-y", "-listen", "1", "-i", url, "-c", "copy",
                               f"{tmp}/{name}.flv"):
                        wait_size(f"{tmp}/{name}.flv", 300000)
                wait_log(d, "the receiver has gone")
                info = d.info("x")
                assert info["state"] == "live" and info["gaps"] == 0, info
                assert "secret-key" not in d.stderr(), d.stderr()
        for name in "12":
            dump(f"{tmp}/{name}.flv").check(1, "c", 3, first=-1)


def test_rtmp_refused(exe):
    """RTMP: why a server refuses is said in its words"""
    with folder() as tmp, socket.socket() as refuses:
        source = programme(tmp + "/in.ts", 20)
        refuses.bind(("127.0.0.1", 0))
        refuses.listen()
        with live(exe, source, "--out", f"rtmp://127.0.0.1:{refuses.getsockname()[1]}/live/secret-key") as d:
            refuse_rtmp(refuses, "no such\x1bkey")
            wait_log(d, "/live/...: the server refuses: no such?key")


def test_metrics(exe):
    """troubles are counted, events say what is wrong; a daemon that nobody listens to stops at once"""
    with folder() as tmp:
        source = programme(tmp + "/in.ts", 60)
        with live(exe, source, "--out", f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}?mode=listener", "--out",
                  f"rtmp://127.0.0.1:{free_port()}/live/x") as d:
            async def told():
                async with d.connect() as ws:
                    await ws.ask(type="subscribe", stream="x", **{"from": "start"})
                    return (await ws.until("output"))[-1]
            event = asyncio.run(told())
            assert event["output"] == "out-2" and event["state"] == "failed", event
            assert "cannot connect" in event["message"], event
            text = d.http("GET", "/metrics", raw=True)[2].decode()
            assert 'lumivox_output_troubled{stream="x",output="out-2"} 1' in text, text
        assert d.took < 8, d.took


harness.main([test_files, test_rates, test_fields, test_h265, test_nothing_to_caption, test_refused_settings,
              test_files_are_kept, test_full_disk, test_disk_with_room_again, test_corrected, test_sound_first, test_udp, test_srt, test_rtmp,
              test_rtmp_refused, test_metrics])
