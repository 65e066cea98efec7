#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delay from the end of a spoken word to its last character in a decoded picture at the receiver of the outgoing
transport stream, on the bundled clip, or on recordings, as H.264 with B-frames.

    bench_broadcast.py [--runs N] [--ways file,srt,rtmp] [--delay MS] [--speech FILE...]

  file   the daemon plays the file at its own speed
  srt    ffmpeg sends it live over SRT to another ffmpeg, which hands it to `lumivox push`
  rtmp   the same over RTMP

The clock is that of the packets as they leave. Word ends are those of the synthesiser (clients/demo/clip.json); with
recordings, of which nobody knows them, those of the daemon's events (docs/PROTOCOL.md): a minute is made of the files.
"""
import argparse
import asyncio
import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import lvx  # noqa: E402

CC_DUMP = os.path.join(lvx.BUILD, "tests", "outputs", "cc_dump")
FFMPEG = ["ffmpeg", "-nostdin", "-v", "error", "-y"]


ENCODED = ["-r", "25", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac",
         "-ac", "2", "-b:a", "192k"]


def make_of(files, path):
    """A minute of the recordings, with a test picture."""
    inputs = [x for f in files for x in ("-i", f)]
    sound = "".join(f"[{i}:a]aresample=48000[a{i}];" for i in range(len(files)))
    joined = "".join(f"[a{i}]" for i in range(len(files)))
    subprocess.run([*FFMPEG, *inputs, "-filter_complex", f"{sound}{joined}concat=n={len(files)}:v=0:a=1[a];"
                    "testsrc2=s=640x360:r=25[v]", "-map", "[v]", "-map", "[a]", "-t", "60", "-shortest", *ENCODED, path],
                   check=True)


def make(path):
    subprocess.run([*FFMPEG, "-i", lvx.CLIP, *ENCODED, path], check=True)


@contextlib.contextmanager
def running(args, **kwargs):
    process = subprocess.Popen(args, **kwargs)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def words_seen(dump):
    """Words of roll-up on CC1 with the time (of day, s) of their last characters."""
    words, text = [], ""
    for pair, wall in re.findall(r"^pair 1 (\w+) -?\d+ (\d+)$", dump, re.M):
        a, b = (int(pair[i:i + 2], 16) & 0x7f for i in (0, 2))
        for c in (chr(a), chr(b)) if a >= 0x20 else " ":
            if c > " ":
                text += c
                at = int(wall) / 1e6
            elif c == " " and text:
                words.append({"text": text, "at": at})
                text = ""
            elif text:
                at = int(wall) / 1e6
    return words


def live(way, path, daemon):
    """Sends the programme; the time of day of its beginning."""
    port = lvx.free_port()
    url, listen = {"srt": (f"srt://127.0.0.1:{port}?latency=50000", f"srt://127.0.0.1:{port}?mode=listener&latency=50000"),
                   "rtmp": (f"rtmp://127.0.0.1:{port}/live/clip",) * 2}[way]
    container = "mpegts" if way == "srt" else "flv"
    # What SRT carries is a transport stream already: its bytes go on as they are.
    hand_over = [*FFMPEG, "-f", "data", "-i", listen, "-map", "0", "-c", "copy", "-f", "data", "-flush_packets", "1", "-"]
    if way == "rtmp":
        hand_over = [*FFMPEG, "-listen", "1", "-fflags", "nobuffer", "-analyzeduration", "200000", "-i", listen, "-c", "copy",
                     "-f", "mpegts", "-pes_payload_size", "0", "-flush_packets", "1", "-"]
    with running(hand_over, stdout=subprocess.PIPE) as receiver, \
            running([lvx.LUMIVOX, "push", "--server", daemon.ws.removesuffix("/api/ws"), "--stream", "clip",
                     "--live", "-q", "-"],
                    stdin=receiver.stdout, stdout=subprocess.DEVNULL):
        time.sleep(1)
        sender = subprocess.Popen([*FFMPEG, "-re", "-i", path, "-c", "copy", "-f", "tee", "-map", "0",
                                   f"[f={container}]{url}|[f=framecrc:select=a:flush_packets=1]pipe:1"],
                                  stdout=subprocess.PIPE, text=True)
        # Each packet leaves when the clock has come to it: the earliest tells when 0 was.
        start, tick = math.inf, 1
        for line in sender.stdout:
            if found := re.match(r"#tb 0: (\d+)/(\d+)", line):
                tick = int(found[1]) / int(found[2])
            elif line[0] != "#":
                start = min(start, time.time() - int(line.split(",")[1]) * tick)
        sender.wait()
        time.sleep(4)
    return start


def words_said(daemon):
    events = asyncio.run(lvx.watch(daemon, "clip"))
    return [dict(w, end_ms=w["end_us"] / 1000) for w in lvx.words(events)]


def once(way, path, delay, recorded):
    port = lvx.free_port()
    out = f"udp://127.0.0.1:{port}"
    with tempfile.NamedTemporaryFile("w+") as dump, \
            running([CC_DUMP, out + "?fifo_size=20000"], stdout=dump, stderr=subprocess.DEVNULL):
        source = ["clip=" + path] if way == "file" else []
        with lvx.Daemon("--out", out, "--out-delay", str(delay), *source) as d:
            if way == "file":
                time.sleep(5)
                start = d.stream("clip")["start_wall_us"] / 1e6
                while d.stream("clip")["state"] == "live":
                    time.sleep(0.2)
                time.sleep(2)
            else:
                start = live(way, path, d)
            spoken = words_said(d) if recorded else lvx.truth()["words"]
        time.sleep(0.5)
        dump.seek(0)
        return lvx.delays(spoken, words_seen(dump.read()), start)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--ways", default="file,srt,rtmp")
    ap.add_argument("--delay", type=int, default=1000)
    ap.add_argument("--speech", nargs="*")
    a = ap.parse_args()
    if not os.path.isdir(lvx.MODEL):
        print(f"skipped: there is no model at {lvx.MODEL}")
        return lvx.SKIP
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "clip.mkv")
        if a.speech:
            make_of(a.speech, path)
        else:
            make(path)
        for way in a.ways.split(","):
            runs = [once(way, path, a.delay, bool(a.speech)) for _ in range(a.runs)]
            print(f"{lvx.show_delays(f'{way:<5}', [x for r in runs for x in r])} in {a.runs} runs, out-delay {a.delay} ms "
                  f"(medians {' '.join(f'{lvx.quantile(r, .5):.0f}' for r in runs)})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
