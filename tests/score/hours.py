#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is a stream's last quarter of an hour as good as its first?  hours.py [--hours 2] [transcribe's options]

The recordings of score.py's set `human`, with pauses, again and again in one file until the time is full; the word error rate of each
round through them, by the times of the words. Every round is the same sound, so what differs comes from the stream's age.
LVX_DATA, LVX_BUILD and LVX_MODEL as in score.py."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import wave

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import score  # noqa: E402
import wer  # noqa: E402

RATE, PAUSE_S = 16000, 1


def one_round(paths, refs):
    """Samples of a round, and [(end in seconds, text)]."""
    pcm, said = b"", []
    for p in paths:
        pcm += subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", p, "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"],
                              check=True, capture_output=True).stdout + bytes(2 * RATE * PAUSE_S)
        said.append((len(pcm) / 2 / RATE, refs[wer.file_id(p)]))
    return pcm, said


def write(path, pcm, n=1):
    with wave.open(path, "wb") as w:
        w.setparams((1, 2, RATE, 0, "NONE", ""))
        for _ in range(n):
            w.writeframes(pcm)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--hours", type=float, default=2)
    a, more = ap.parse_known_args()
    a.jobs, a.texts, a.delay = 1, 400, None
    with tempfile.TemporaryDirectory() as tmp:
        s = score.Scorer(a, tmp)
        refs, paths = s.human()
        pcm, said = one_round(paths, refs)
        long = len(pcm) / 2 / RATE
        n = max(2, round(a.hours * 3600 / long))
        path = os.path.join(tmp, "stream.wav")
        write(path, pcm, n)
        lines, took = s.transcribe("hours", [path], "--language", "en", *more)
    words = [(w["start_us"] / 1e6, w["text"]) for x in map(json.loads, lines) if x["lane"] == "caption" for w in x["words"]]
    print(f"{n} rounds of {long / 60:.1f} minutes, {len(words)} words, real-time factor {took / (n * long):.3f}")
    ends, rates = [e for e, _ in said], []
    for k in range(n):
        refs, hyps, begin = {}, {}, k * long
        for i, (end, text) in enumerate(said):
            refs[i] = text
            hyps[i] = " ".join(t for at, t in words if begin + (ends[i - 1] if i else 0) <= at < begin + end)
        rates.append(wer.score(refs, hyps))
        print(wer.show(f"from {begin / 60:5.1f} minutes", rates[-1]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
