#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Descriptions that are heard, on real people: share of described time that overlaps speech, delay from what is
seen to the voice, loudness, and what it costs.

    LVX_DATA=... bench_describe.py [--seconds N] [--sound quiet,noise,film] [--words model,truth] [--pace clock|max]

The programme is the recordings of the English dev part, one after the other with pauses of 0.5 to 8 s:
  quiet   as they are
  noise   over sounds of rain, sea, dogs, ... 15 dB below the speech
  film    over the sound of an action film, 15 dB below the speech; its pictures in all three
Where somebody speaks is known from that: a recording from its first to its last sound.

Words of the caption lane come from the model that ships (`lumivox transcribe`; --words truth: from the transcript, spread
over the recording), descriptions from people's captions of photographs, one every 4 to 14 s; both are told to the daemon
by a script, words 0.5 s after their end and descriptions 2.5 s after what they describe. All else is as in the product.
"""
import argparse
import csv
import glob
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import lvx  # noqa: E402

FAKE = os.path.join(lvx.BUILD, "tests", "daemon", "lumivoxd_fake")
FFMPEG = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
RATE = 48000


def load(path):
    out = subprocess.run([*FFMPEG, "-i", path, "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"], check=True,
                         capture_output=True).stdout
    return np.frombuffer(out, np.float32)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) + 1e-9


def speech(seconds, dice):
    """(samples, [(start, end, text)] in s)."""
    with open(os.path.join(lvx.DATA, "speech", "dev.tsv"), encoding="utf8") as f:
        rows = [r for r in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE) if r["lang"] == "en"]
    dice.shuffle(rows)
    parts, spans, at = [], [], 0
    for row in rows:
        if at > seconds * RATE:
            break
        x = load(os.path.join(lvx.DATA, "speech", row["path"]))
        loud = np.flatnonzero(np.abs(x) > 0.02 * np.max(np.abs(x)))
        x = 0.05 / rms(x) * x[loud[0]:loud[-1]]
        pause = np.zeros(int(RATE * dice.choice((dice.uniform(0.5, 2), dice.uniform(2, 8), dice.uniform(2, 8)))), np.float32)
        parts += [pause, x]
        spans.append(((at + len(pause)) / RATE, (at + len(pause) + len(x)) / RATE, row["text"]))
        at += len(pause) + len(x)
    return np.concatenate([*parts, np.zeros(10 * RATE, np.float32)]), spans


def programme(tmp, kind, seconds, dice):
    x, spans = speech(seconds, dice)
    film = os.path.join(lvx.DATA, "video", "tears-of-steel-battle-clip-medium.webm")
    if kind == "quiet":
        under = 0.0005 * np.random.default_rng(1).standard_normal(len(x)).astype(np.float32)
    else:
        paths = [film] if kind == "film" else sorted(glob.glob(os.path.join(lvx.DATA, "noise", "esc10", "*", "*")))
        dice.shuffle(paths)
        under = np.concatenate([load(p) for p in paths[:60]])
        under = np.resize(under / rms(under) * 0.05 * 10 ** (-15 / 20), len(x))
    path = os.path.join(tmp, "in.ts")
    subprocess.run([*FFMPEG, "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "-", "-stream_loop", "-1", "-i", film, "-map",
                    "1:v", "-map", "0:a", "-t", str(len(x) / RATE), "-c:v", "libx264", "-preset", "ultrafast", "-vf", "scale=320:-2",
                    "-g", "24", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", "-ac", "2", path], check=True,
                   input=np.clip(x + under, -1, 1).astype(np.float32).tobytes())
    return path, spans, len(x) / RATE


def words_of(path, spans, how):
    if how == "truth":
        out = []
        for start, end, text in spans:
            words = text.split()
            step = (end - start) / len(words)
            out += [(start + step * i, start + step * (i + 1), w) for i, w in enumerate(words)]
        return out
    got = subprocess.run([lvx.LUMIVOX, "transcribe", "--model", lvx.MODEL, "-f", "json", path], check=True, capture_output=True,
                         text=True).stdout
    return [(w["start_us"] / 1e6, w["end_us"] / 1e6, w["text"]) for line in got.splitlines() for w in json.loads(line)["words"]]


def descriptions(seconds, dice):
    with open(os.path.join(lvx.DATA, "images", "coco-dev", "captions.tsv"), encoding="utf8") as f:
        texts = [re.sub(r"\s+", " ", c).strip() for line in list(f)[1:] for c in line.rstrip("\n").split("\t")[3:]]
    dice.shuffle(texts)
    out, at = [], 3.0
    for text in texts * 10:
        if at > seconds - 15:
            return out
        out.append((at, text))
        at += dice.uniform(4, 14)
    return out


def run(tmp, source, words, texts, args):
    script = os.path.join(tmp, "script")
    lines = [(1000 * e + 500, s, e, "caption", w) for s, e, w in words if e > s]
    lines += [(1000 * t + 2500, t, t + 2, "description", text) for t, text in texts]
    with open(script, "w", encoding="utf8") as f:
        for heard, start, end, lane, text in sorted(lines):
            f.write(f"{heard:.0f} {1000 * start:.0f} {1000 * end:.0f} {lane} {text}\n")
    with open(os.path.join(tmp, "log"), "w+") as log:
        p = subprocess.Popen([FAKE, "--model", "/tmp", "--port", "0", "--exit-when-done", *args, f"x={source}"], stderr=log,
                             env={**os.environ, "LVX_FAKE_SCRIPT": script, "LVX_LOG": "info"})
        _, status, usage = os.wait4(p.pid, 0)
        log.seek(0)
        text = log.read()
    assert status == 0, text
    return text, usage.ru_utime + usage.ru_stime


def lufs(path, track, spans):
    """EBU R128, integrated, of these parts of a sound track put together (FFmpeg's ebur128)."""
    keep = "+".join(f"between(t,{a:.3f},{b:.3f})" for a, b in spans)
    out = subprocess.run(["ffmpeg", "-nostdin", "-i", path, "-map", f"0:a:{track}", "-af",
                          f"asetpts=PTS-STARTPTS,aselect='{keep}',asetpts=N/SR/TB,ebur128=peak=true", "-f", "null", "-"],
                         capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"I:\s+(-[\d.]+) LUFS", out)[-1]), float(re.findall(r"Peak:\s+(-?[\d.]+) dBFS", out)[-1])


def measure(kind, how, options):
    dice = random.Random(5)
    with tempfile.TemporaryDirectory() as tmp:
        source, spans, seconds = programme(tmp, kind, options.seconds, dice)
        words = words_of(source, spans, how)
        texts = descriptions(seconds, dice)
        out = os.path.join(tmp, "out.ts")
        log, cpu = run(tmp, source, words, texts, ["--pace", options.pace, "--describe", "--out", out, *options.more])
        without = 0
        if options.cost:
            _, without = run(tmp, source, words, texts, ["--pace", options.pace, "--out", os.path.join(tmp, "without.ts")])
        said = [(float(a), float(b), float(c), text) for a, b, c, text in
                re.findall(r"describe: ([\d.]+) to ([\d.]+) s, seen at ([\d.]+) s, .*? LUFS: (.*)", log)]
        left = len(re.findall(r"describe: not said", log))
        total = sum(b - a for a, b, *_ in said)
        over = sum(max(0, min(b, e) - max(a, s)) for a, b, *_ in said for s, e, _ in spans)
        late = sorted(a - seen for a, _, seen, _ in said)
        gaps = sum(max(0, s - e) for (_, e, _), (s, _, _) in zip(spans, spans[1:]) if s - e >= 2)
        given = {t for _, t in texts}
        cut = sum(text not in given for *_, text in said)
        print(f"{kind}, words of the {how}: {seconds:.0f} s, {len(spans)} recordings ({sum(e - s for s, e, _ in spans):.0f} s of "
              f"speech, {gaps:.0f} s in gaps of 2 s and more), {len(words)} words")
        print(f"  {len(texts)} descriptions: {len(said)} spoken ({total:.0f} s), of these {cut} without a clause; {left} not, as no gap came")
        if not said:
            return
        print(f"  over speech: {over:.2f} s, {100 * over / total:.2f} % of the described time")
        print(f"  from what is seen to the voice, on the timeline: p50 {statistics.median(late):.2f} s, most "
              f"{late[-1]:.2f} s; {options.delay / 1000:g} s more at the viewer")
        talk, _ = lufs(out, 0, [(s, e) for s, e, _ in spans])
        loud, peak = lufs(out, 1, [(a, b) for a, b, *_ in said])
        under, _ = lufs(out, 0, [(a, b) for a, b, *_ in said])
        print(f"  loudness: speech of the programme {talk:.1f} LUFS, described parts {loud:.1f} LUFS (true peak {peak:.1f} dBFS), "
              f"the programme there {under:.1f} LUFS before it is taken down")
        beside = f", {1000 * without / seconds:.1f} ms without describing" if options.cost else ""
        print(f"  processor: {1000 * cpu / seconds:.1f} ms a second of programme{beside}", flush=True)


def main():
    if not lvx.DATA:
        sys.exit("bench_describe.py: LVX_DATA names no folder of recordings: skipped")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=int, default=300)
    p.add_argument("--sound", default="quiet,noise,film")
    p.add_argument("--words", default="model")
    p.add_argument("--pace", choices=("clock", "max"), default="clock")
    p.add_argument("--delay", type=int, default=8000)
    p.add_argument("--cost", action="store_true", help="run it without describing, too")
    options = p.parse_args()
    options.more = ["--describe-delay", str(options.delay)]
    for kind in options.sound.split(","):
        for how in options.words.split(","):
            measure(kind, how, options)


main()
