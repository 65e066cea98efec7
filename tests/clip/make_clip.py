# SPDX-License-Identifier: Apache-2.0
"""Puts the clip together: make_clip.py SPEAK WORK_DIR writes clip.wav, frames to stdout's ffmpeg pipe is make_clip.sh's
business (raw RGB in WORK_DIR/frames.rgb) and clip.json, the truth: every word with its end in ms."""
import array
import json
import os
import random
import subprocess
import sys
import wave

import draw
from scenes import SCENES

FPS, RATE = 10, 48000
LEAD_MS, SENTENCE_MS, SCENE_MS, TAIL_MS = 800, 450, 750, 1500


def read_wav(path):
    with wave.open(path) as w:
        pcm = array.array("h", w.readframes(w.getnframes()))
        return pcm, w.getframerate()


def resample(pcm, src, dst):
    """Linear is enough: espeak-ng's sound ends at 11 kHz and the codec follows."""
    n = len(pcm) * dst // src
    out = array.array("f", bytes(4 * n))
    last = len(pcm) - 1
    for i in range(n):
        x = i * src / dst
        k = int(x)
        a, b = pcm[min(k, last)], pcm[min(k + 1, last)]
        out[i] = a + (b - a) * (x - k)
    return out


def main(speak, work):
    jobs = []
    for i, (voice, rate, pitch, _, _, sentences) in enumerate(SCENES):
        for j, text in enumerate(sentences):
            jobs.append(f"{work}/{i}-{j}.wav\te\t{voice}\t{rate}\t{pitch}\t{text}")
    said = subprocess.run([speak], input="\n".join(jobs) + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout
    said = {os.path.basename(o["file"])[:-4]: o["words"] for o in map(json.loads, said.splitlines())}

    sound, words, scenes = [], [], []
    ms = LEAD_MS
    for i, (voice, _, _, picture, seen, sentences) in enumerate(SCENES):
        start = 0 if i == 0 else ms - SCENE_MS // 2
        for j, text in enumerate(sentences):
            pcm, rate = read_wav(f"{work}/{i}-{j}.wav")
            sound.append((ms, resample(pcm, rate, RATE)))
            spoken = said[f"{i}-{j}"]
            words += [{"text": w, "start_ms": ms + a, "end_ms": ms + b} for w, a, b in spoken]
            words[-1]["sentence_end"] = True
            ms += spoken[-1][2] + (SENTENCE_MS if j + 1 < len(sentences) else SCENE_MS)
        scenes.append({"start_ms": start, "picture": picture, "seen": seen, "voice": voice})
    for a, b in zip(words, words[1:]):
        assert a["start_ms"] < a["end_ms"] <= b["start_ms"] < b["end_ms"], (a, b)
    total = ms - SCENE_MS + TAIL_MS

    rng = random.Random(20)
    n = total * RATE // 1000
    mix = array.array("f", bytes(4 * n))
    low = 0.0
    for i in range(n):  # a soft room: low-passed noise some 50 dB under the voice
        low += 0.12 * (rng.uniform(-90, 90) - low)
        mix[i] = low
    for at, pcm in sound:
        peak = max(map(abs, pcm))
        base = at * RATE // 1000
        for i in range(min(len(pcm), n - base)):
            mix[base + i] += pcm[i] * (16000 / peak)
    with wave.open(f"{work}/clip.wav", "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes(array.array("h", (max(-32768, min(32767, int(x))) for x in mix)).tobytes())

    with open(f"{work}/frames.rgb", "wb") as f:
        k = 0
        for i in range(total * FPS // 1000):
            t = i * 1000 // FPS
            while k + 1 < len(scenes) and t >= scenes[k + 1]["start_ms"]:
                k += 1
            f.write(draw.frame(scenes[k]["picture"], (t - scenes[k]["start_ms"]) / 1000).tobytes())

    with open(f"{work}/clip.json", "w") as f:
        f.write('{\n  "duration_ms": %d,\n  "language": "en",\n  "scenes": [\n    ' % total)
        f.write(",\n    ".join(map(json.dumps, scenes)))
        f.write('\n  ],\n  "words": [\n    ')
        f.write(",\n    ".join(map(json.dumps, words)))
        f.write("\n  ]\n}\n")
    print(f"{total / 1000:.1f} s, {len(words)} words, {len(scenes)} scenes")


if __name__ == "__main__":
    main(*sys.argv[1:3])
