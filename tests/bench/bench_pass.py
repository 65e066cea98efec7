#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The CPU time that it costs to pass a programme on with captions: 1080p at 30 pictures a second, H.264 with B-frames,
8 Mbit/s, and AAC, as a transport stream, played at the speed of the clock.

    bench_pass.py [--runs N] [--seconds S] [--ways udp,srt,rtmp,file]

The daemon is that of the tests, whose model says a word every 400 ms and costs nothing, so that what is seen is the
programme's way alone. Shares are the process's CPU seconds (user and system) of one core, all threads together: without
an output (the sound is decoded for the model), with one, and what the output adds; medians of the runs, which alternate.
"""
import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "daemon"), os.path.join(HERE, "..", "e2e")]
import harness  # noqa: E402
import lvx  # noqa: E402

FAKE = os.path.join(lvx.BUILD, "tests", "daemon", "lumivoxd_fake")
FFMPEG = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
WARM_S = 6


def make(path, seconds):
    """Ten seconds of picture, encoded once, again and again; the noise makes it as heavy as 8 Mbit/s."""
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([*FFMPEG, "-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30:d=10,noise=alls=12:allf=t", "-c:v",
                        "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60", "-b:v", "8M", "-maxrate", "8M",
                        "-bufsize", "8M", "-pix_fmt", "yuv420p", tmp + "/10.mp4"], check=True)
        subprocess.run([*FFMPEG, "-stream_loop", "-1", "-i", tmp + "/10.mp4", "-f", "lavfi", "-i", "sine=440", "-map", "0:v",
                        "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-b:a", "128k", "-t", str(seconds), path], check=True)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def output(way, tmp):
    """The URL of an output, and a receiver that takes what comes."""
    port = lvx.free_port()
    url, listen = {"none": (None, None), "file": (tmp + "/out.ts", None),
                   "udp": (f"udp://127.0.0.1:{port}", f"udp://127.0.0.1:{port}"),
                   "srt": (f"srt://127.0.0.1:{port}", f"srt://127.0.0.1:{port}?mode=listener"),
                   "rtmp": (f"rtmp://127.0.0.1:{port}/live/x",) * 2}[way]
    receiver = listen and subprocess.Popen([*FFMPEG, *(["-listen", "1"] if way == "rtmp" else []), "-i", listen, "-c", "copy",
                                            "-f", "null", "-"], stderr=subprocess.DEVNULL)
    try:
        yield ["--out", url] if url else []
    finally:
        if receiver:
            receiver.kill()
            receiver.wait()


def once(way, source, seconds):
    """The share of one core."""
    with tempfile.TemporaryDirectory() as tmp, output(way, tmp) as args, \
            harness.Daemon(FAKE, *args, f"x={source}", lanes="caption") as d:
        time.sleep(WARM_S)
        before, begin = cpu_seconds(d.proc.pid), time.monotonic()
        time.sleep(seconds)
        share = (cpu_seconds(d.proc.pid) - before) / (time.monotonic() - begin)
        if args:
            lost = [line for line in d.http("GET", "/metrics", raw=True)[2].decode().splitlines()
                    if line.startswith(("lumivox_output_lost", "lumivox_output_troubled")) and not line.endswith(" 0")]
            if lost:
                print(f"{way}: not all was sent: {' '.join(lost)}", file=sys.stderr)
        return share


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--seconds", type=int, default=20)
    ap.add_argument("--ways", default="udp,srt,rtmp,file")
    a = ap.parse_args()
    ways = ["none", *a.ways.split(",")]
    with tempfile.TemporaryDirectory() as tmp:
        source = tmp + "/in.ts"
        make(source, a.seconds + WARM_S + 10)
        size = os.path.getsize(source) * 8e-6 / (a.seconds + WARM_S + 10)
        shares = {way: [] for way in ways}
        for _ in range(a.runs):
            for way in ways:
                shares[way].append(once(way, source, a.seconds))
    none = statistics.median(shares["none"])
    print(f"1080p30, {size:.1f} Mbit/s, {a.runs} runs of {a.seconds} s; share of one core, all threads")
    print(f"no output: {100 * none:.1f} %")
    for way in ways[1:]:
        share = statistics.median(shares[way])
        print(f"{way:>9}: {100 * share:.1f} %, the output {100 * (share - none):.1f} % "
              f"(runs {' '.join(f'{100 * x:.1f}' for x in shares[way])})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
