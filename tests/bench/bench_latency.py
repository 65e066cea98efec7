#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delay from the end of a spoken word to its caption at a viewer in another process, on the bundled clip.

    bench_latency.py [--runs N] [--ways file,push,mic]

Word ends are those of the synthesiser (clients/demo/clip.json). tests/e2e/live.py says how each way keeps the clock.
The words of all runs are pooled; the medians of the single runs show how much they differ.
"""
import argparse
import asyncio
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import live  # noqa: E402
import lvx  # noqa: E402


def once(way):
    if way == "mic":
        with live.Microphone() as m, lvx.Daemon("mic=mic:", env=m.env) as d:
            return asyncio.run(live.by_microphone(d, m, "mic"))
    if way == "file":
        with lvx.Daemon("--pace", "clock", "clip=" + lvx.CLIP) as d:
            return asyncio.run(live.by_file(d, "clip"))
    with lvx.Daemon() as d:
        return asyncio.run(live.by_push(d))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--ways", default="file,push,mic")
    a = ap.parse_args()
    if not os.path.isdir(lvx.MODEL):
        print(f"skipped: there is no model at {lvx.MODEL}")
        return lvx.SKIP
    for way in a.ways.split(","):
        if way == "mic" and not os.path.exists(live.PLUGIN):
            print("mic   skipped: the ALSA plugin was not built")
            continue
        results = [once(way) for _ in range(a.runs)]
        pooled = [x for r in results for x in r.delays]
        medians = [statistics.median(r.delays) for r in results if r.delays]
        print(f"{lvx.show_delays(f'{way:<5}', pooled)} in {a.runs} runs (medians "
              f"{' '.join(f'{m:.0f}' for m in medians)}); the daemon says p50 "
              f"{lvx.quantile([x for r in results for x in r.reported], .5):.0f} p95 "
              f"{lvx.quantile([x for r in results for x in r.reported], .95):.0f}; WER "
              f"{statistics.median(r.wer()['wer'] for r in results):.1%}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
