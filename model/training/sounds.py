# SPDX-License-Identifier: Apache-2.0
"""Sounds that captions name: music (from games' Debian packages), applause (made by rule), ESC-10's ten.

sounds.py build OUT    writes OUT/*.opus (mono, 16 kbit/s) and OUT/sounds.tsv
sounds.tsv: path, part (train, dev), label, package, its file, licence, whose. A whole piece of music is in one part."""
import csv
import glob
import os
import re
import subprocess
import sys
import zlib

import numpy as np

import speech

RATE = 16000
ESC10 = {"dog-bark": "[dog]", "rain": "[rain]", "sea-waves": "[waves]", "baby-cry": "[baby]", "clock-tick": "[clock]",
         "person-sneeze": "[sneeze]", "helicopter": "[helicopter]", "chainsaw": "[chainsaw]", "rooster": "[rooster]",
         "fire-crackling": "[fire]"}
LABELS = ["[music]", "[applause]", *ESC10.values()]
# package, files, licence, whose (its debian/copyright)
MUSIC = [("frozen-bubble-data", "/usr/share/games/frozen-bubble/snd/*zik*.ogg", "GPL-2", "Karthik Thakore, The Frozen-Bubble Team"),
         ("asc-music", "/usr/share/games/asc/music/*.mp3", "GPL-2+", "Michael Kievernagel"),
         ("hyperrogue-music", "/usr/share/hyperrogue/music/hr3-*.ogg", "CC-BY-SA-3.0", "Shawn Parrotte"),
         ("hyperrogue-music", "/usr/share/hyperrogue/music/hr-domina-*.ogg", "CC-BY-SA-3.0", "Lincoln Domina"),
         ("hyperrogue-music", "/usr/share/hyperrogue/music/hr-savino-*.ogg", "CC-BY-SA-3.0", "Will Savino"),
         ("supertux-data", "/usr/share/games/supertux2/music/*/*.ogg", "GPL-2+", "Marek Moeckel, SuperTux Devel Team"),
         ("extremetuxracer-data", "/usr/share/games/etr/music/*.ogg", "GPL-2+", "Jasmin F. Patry and others")]
APPLAUSE = ("frozen-bubble-data", "/usr/share/games/frozen-bubble/snd/applause.ogg", "GPL-2", "Karthik Thakore, The Frozen-Bubble Team")


def part_of(name, n):
    return "dev" if zlib.crc32(name.encode()) % n == 0 else "train"


def encode(path, samples=None, source=None, start=0, seconds=20):
    """Samples, or a stretch of another file, as Ogg Opus."""
    if samples is not None:
        said = samples.tobytes()
    else:
        said = subprocess.run(["ffmpeg", "-v", "error", "-ss", str(start), "-t", str(seconds), "-i", source, "-ac", "1", "-ar",
                               str(RATE), "-f", "s16le", "-"], capture_output=True, check=True).stdout
    subprocess.run(["opusenc", "--quiet", "--music", "--raw", "--raw-rate", str(RATE), "--raw-chan", "1", "--bitrate", "16",
                    "-", path], input=said, check=True)


def length(path):
    """In seconds; 0 where it cannot be read."""
    return float(subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path],
                                capture_output=True, text=True, check=False).stdout or 0)


def clap(rng, bright):
    """A burst of noise through one resonance, dying in some 10 ms."""
    n = int(RATE * 0.06)
    t = np.arange(n) / RATE
    f = np.fft.rfftfreq(n, 1 / RATE)
    at, wide = rng.uniform(700, 2600) * bright, rng.uniform(400, 1500)
    shape = np.exp(-((f - at) / wide) ** 2) + 0.15 * np.exp(-f / 4000)
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal(n) * np.exp(-t / rng.uniform(0.004, 0.014))) * shape, n)
    return x / np.abs(x).max()


def applause(rng, seconds=8):
    """People who clap at their own pace, some nearer than others, rising and dying away, in a room."""
    x = np.zeros(int(RATE * (seconds + 1)))
    people, bright = int(np.exp(rng.uniform(np.log(4), np.log(150)))), rng.uniform(0.7, 1.3)
    begin, end = rng.uniform(0, 0.6), seconds - rng.uniform(0, 1.5)
    for _ in range(people):
        own, pace, loud = clap(rng, bright), rng.uniform(2.6, 5.2), rng.uniform(0.08, 1) ** 2
        t, last = begin + abs(rng.normal(0, 0.4)), end - abs(rng.normal(0, 1.2))
        while t < last:
            i = int(t * RATE)
            x[i:i + len(own)] += own[:len(x) - i] * loud * rng.uniform(0.6, 1)
            t += rng.normal(1, 0.09) / pace
    x = x[:seconds * RATE]
    tail = rng.uniform(0.05, 0.6)
    room = rng.standard_normal(int(RATE * tail)) * np.exp(-np.arange(int(RATE * tail)) / RATE / tail * 6.9)
    n = len(x) + len(room)
    wet = np.fft.irfft(np.fft.rfft(x, n) * np.fft.rfft(room / np.linalg.norm(room), n), n)[:len(x)]
    x = x + wet * rng.uniform(0.3, 1.5)
    return (x / np.abs(x).max() * 20000).astype(np.int16)


def build(out):
    os.makedirs(out, exist_ok=True)
    rows = []

    def add(label, part, package, file, licence, who, **sound):
        path = f"{label.strip('[]')}-{len(rows):03d}.opus"
        encode(os.path.join(out, path), **sound)
        rows.append((path, part, label, package, file, licence, who))

    for package, pattern, licence, who in MUSIC:
        for f in sorted(glob.glob(pattern)):
            seconds, name = length(f), os.path.basename(f)
            if seconds > 12:                              # from somewhere past the beginning
                start = max(0, seconds - 20) * (0.15 + zlib.crc32(name.encode()) % 50 / 100)
                # a remix stays with its piece
                part = part_of(re.split(r"[0-9_.-]", name)[0] if package == "supertux-data" else name, 6)
                add("[music]", part, package, f, licence, who, source=f, start=start)
    for i in range(20):
        add("[applause]", "dev" if i % 5 == 4 else "train", "", f"applause({i})", "Apache-2.0", "made by sounds.py",
            samples=applause(np.random.default_rng(i)))
    package, f, licence, who = APPLAUSE                   # recorded; judges only
    add("[applause]", "dev", package, f, licence, who, source=f)
    with open(os.path.join(out, "sounds.tsv"), "w", encoding="utf8") as f:
        f.write("".join("\t".join(r) + "\n" for r in [("path", "part", "label", "package", "file", "licence", "whose"), *rows]))
    for label in ("[music]", "[applause]"):
        for part in ("train", "dev"):
            print(label, part, sum(r[1] == part and r[2] == label for r in rows), "clips")


def load(data, folder, part, work):
    """-> [(int16 samples at 16 kHz, label)]; folder as build() filled it, ESC-10 from data/noise/esc10."""
    rows = list(csv.DictReader(open(os.path.join(folder, "sounds.tsv"), encoding="utf8"), delimiter="\t", quoting=csv.QUOTE_NONE))
    want = [(os.path.join(folder, r["path"]), r["label"]) for r in rows if r["part"] == part]
    for name, label in ESC10.items():
        want += [(f, label) for f in sorted(glob.glob(os.path.join(data, "noise", "esc10", name, "*.opus")))
                 if part_of(os.path.basename(f), 5) == part]
    return [(x, label) for x, (_, label) in zip(speech.decode([f for f, _ in want], work, 4), want) if x is not None]


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "build":
        sys.exit(__doc__)
    build(sys.argv[2])
