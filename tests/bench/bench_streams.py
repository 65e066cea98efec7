#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live streams at once: does the daemon keep up, and what does it use?

    bench_streams.py [--streams 1,2,5,8] [--seconds 40]

Each stream is real speech (the dev part of LVX_DATA; the bundled clip where that is absent) with a picture that
changes every 2 s, played at the speed of the clock from another place in the speech. RTF is the share of the time
that the model's thread works, for each stream; CPU is all cores' time, decoding included; `behind` is how far the
slowest stream is behind the clock at the end, `lost` what was skipped because of it.
"""
import argparse
import asyncio
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import lvx  # noqa: E402


def speech():
    """Files of a few people, mixed."""
    if not lvx.DATA:
        return [lvx.CLIP]
    files = sorted(glob.glob(os.path.join(lvx.DATA, "speech", "librispeech", "dev", "*.opus")))
    return files[::3] + files[1::3]


def make(path, first, seconds, files):
    """A WebM of `seconds`: speech from file number `first` on, pictures of the clip, one every 2 s."""
    order = (files[first:] + files[:first]) * (1 + int(seconds / 5 / len(files)))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.writelines(f"file '{p}'\n" for p in order)
        f.flush()
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-stream_loop", "-1", "-i", lvx.CLIP, "-f", "concat",
                        "-safe", "0", "-i", f.name, "-t", str(seconds), "-map", "0:v", "-map", "1:a", "-vf",
                        "fps=1/2", "-c:v", "libvpx", "-b:v", "300k", "-deadline", "realtime", "-c:a", "libopus",
                        "-b:a", "48k", "-ac", "1", path], check=True)


def busy_seconds(daemon):
    return float(re.search(r"^lumivox_busy_seconds_total(?:\{.*?\})? ([\d.e+-]+)", daemon.get("/metrics"), re.M)[1])


async def viewers(daemon, names, seconds):
    seen = {n: [] for n in names}
    async def one(name):
        try:
            await lvx.watch(daemon, name, seconds=seconds, on_event=seen[name].append)
        except asyncio.TimeoutError:
            pass
    await asyncio.gather(*map(one, names))
    return seen


def measure(k, seconds, folder, files):
    names = [f"s{i}" for i in range(k)]
    for i, n in enumerate(names):
        path = os.path.join(folder, n + ".webm")
        if not os.path.exists(path):
            make(path, i * 7 % len(files), seconds + 20, files)
    streams = [f"{n}={os.path.join(folder, n)}.webm" for n in names]
    with lvx.Daemon("--pace", "clock", "--rows", str(max(k, 2)), *streams) as d:
        warm = 5
        time.sleep(warm)
        cpu, busy, wall = d.cpu_seconds(), busy_seconds(d), time.monotonic()
        seen = asyncio.run(viewers(d, names, seconds - warm))
        took = time.monotonic() - wall
        cpu, busy = d.cpu_seconds() - cpu, busy_seconds(d) - busy
        infos = [d.stream(n) for n in names]
        now = d.get("/api/streams")["now_us"]
        behind = max((now - i["start_wall_us"] - i["heard_us"]) / 1e6 for i in infos)
        lost = sum(i["overruns"] for i in infos) / 16000
        delays = [e["latency_ms"] for n in names for e in seen[n]
                  if e["type"] == "text" and e.get("latency_ms") is not None and e["words"]]
        words = sum(len(e["words"]) for n in names for e in seen[n] if e["type"] == "text")
        return {"streams": k, "rtf": busy / took / k, "busy": busy / took, "cpu": cpu / took, "rss": d.rss_mib(),
                "behind": behind, "lost": lost, "p50": lvx.quantile(delays, .5), "p95": lvx.quantile(delays, .95),
                "words": words}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--streams", default="1,2,5,8")
    ap.add_argument("--seconds", type=int, default=40)
    a = ap.parse_args()
    if not os.path.isdir(lvx.MODEL):
        print(f"skipped: there is no model at {lvx.MODEL}")
        return lvx.SKIP
    files = speech()
    print(f"{os.cpu_count()} cores, {len(files)} recordings, {a.seconds} s each")
    print("streams  RTF each  model busy  CPU cores  RSS MiB  behind s  lost s  delay p50/p95 ms  words")
    with tempfile.TemporaryDirectory() as folder:
        for k in map(int, a.streams.split(",")):
            r = measure(k, a.seconds, folder, files)
            print(f"{r['streams']:7}  {r['rtf']:8.3f}  {r['busy']:10.2f}  {r['cpu']:9.2f}  {r['rss']:7.0f}  "
                  f"{r['behind']:8.2f}  {r['lost']:6.2f}  {r['p50']:8.0f}/{r['p95']:<7.0f}  {r['words']:5}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
