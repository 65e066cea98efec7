#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What passing a programme on as HLS costs the daemon, and how late its segments appear.

    LVX_BUILD=build bench_hls.py [--seconds N] [--runs N] [--size WxH] [--rate R] [--kbits N]

The daemon runs over the tests' model, which computes nothing: what is measured is all of the daemon but the model, with
and without HLS, side by side, in seconds of CPU (user and system) a second of the programme. The source is a file of
H.264 and AAC at its own speed.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request

BUILD = os.environ.get("LVX_BUILD", "build")
EXE = os.path.join(BUILD, "tests", "daemon", "lumivoxd_fake")
TICK = os.sysconf("SC_CLK_TCK")
FFMPEG = ["ffmpeg", "-nostdin", "-v", "error", "-y"]


def make(path, a):
    subprocess.run([*FFMPEG, "-f", "lavfi", "-i", f"testsrc2=s={a.size}:r={a.rate}:d=10,noise=alls=20:allf=t", "-f", "lavfi", "-i",
                    "sine=440:r=48000:d=10", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", f"{a.kbits}k", "-minrate",
                    f"{a.kbits}k", "-maxrate", f"{a.kbits}k", "-bufsize", f"{a.kbits}k", "-bf", "0", "-g", str(2 * a.rate),
                    "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", "-ac", "2", path + ".10.ts"], check=True)
    loops = (a.seconds + 20) // 10
    subprocess.run([*FFMPEG, "-stream_loop", str(loops), "-i", path + ".10.ts", "-c", "copy", path], check=True)
    os.remove(path + ".10.ts")


class Daemon:
    def __init__(self, *args):
        self.log = tempfile.NamedTemporaryFile("w+")
        self.proc = subprocess.Popen([EXE, "--model", "/tmp", "--port", "0", "--translate-to", "de", *args], stderr=self.log)
        self.url = None
        while not self.url:
            time.sleep(0.05)
            self.log.seek(0)
            found = re.search(r"READY (\S+)/ ", self.log.read())
            self.url = found and found[1]

    def cpu(self):
        with open(f"/proc/{self.proc.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as r:
            return r.read().decode()

    def stop(self):
        self.proc.terminate()
        self.proc.wait()


def once(path, tmp, a, hls):
    """Seconds of CPU a second, and the segments' delays."""
    d = Daemon(*(["--hls", tmp + "/hls", "--hls-window", "0"] if hls else []), f"x={path}")
    time.sleep(4)
    cpu, begin, delays, seen = d.cpu(), time.monotonic(), [], set()
    while time.monotonic() - begin < a.seconds:
        time.sleep(0.1)
        if not hls or not os.path.exists(tmp + "/hls/x/master.m3u8"):
            continue
        with open(tmp + "/hls/x/master.m3u8", encoding="utf8") as f:
            main = re.search(r"^[^#].*$", f.read(), re.M)[0]
        with open(f"{tmp}/hls/x/{main}", encoding="utf8") as f:
            end = sum(float(x) for x in re.findall(r"#EXTINF:([\d.]+)", f.read()))
        if end not in seen:
            seen.add(end)
            delays.append((time.time(), end))
    share = (d.cpu() - cpu) / (time.monotonic() - begin)
    start = json.loads(d.get("/api/streams/x"))["start_wall_us"] / 1e6
    d.stop()
    return share, [wall - start - end for wall, end in delays]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=int, default=30)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--size", default="1920x1080")
    ap.add_argument("--rate", type=int, default=30)
    ap.add_argument("--kbits", type=int, default=6000)
    a = ap.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        path = tmp + "/in.ts"
        make(path, a)
        kbits = os.path.getsize(path) * 8 / 1000 / ((a.seconds + 20) // 10 * 10 + 10)
        without, with_hls, delays = [], [], []
        for _ in range(a.runs):
            without.append(once(path, tmp, a, False)[0])
            share, late = once(path, tmp, a, True)
            with_hls.append(share)
            delays += late[1:]
        print(f"{a.size} at {a.rate}, {kbits:.0f} kbit/s, {a.seconds} s, {a.runs} runs: CPU a second: without HLS "
              f"{statistics.median(without):.3f} s, with it {statistics.median(with_hls):.3f} s, more "
              f"{statistics.median(y - x for x, y in zip(without, with_hls)):.3f} s "
              f"(runs {' '.join(f'{y - x:.3f}' for x, y in zip(without, with_hls))})")
        print(f"segments appear after their end: median {statistics.median(delays):.1f} s, most {max(delays):.1f} s, {len(delays)}")


if __name__ == "__main__":
    main()
