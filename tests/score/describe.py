#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Captions and descriptions of one long video, as a viewer gets them.

    describe.py DRAWINGS.npz [--windows 48] [--no-pictures] [--fresh] [--keep DIR] [transcribe's options]

Held-out scenes (model/training/scenes.py, painted from held-out drawings of drawings.py), each window of 20.5 s begun by a new
one, with the recordings of score.py's set `human` as the sound, go through `lumivox transcribe --describe` as one file. Shown:
the facts told (evaluate.py counts the same ones, of windows alone), sentences that were said before since the picture last
changed, and the error rate of the captions. LVX_DATA, LVX_BUILD and LVX_MODEL as in score.py."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hours  # noqa: E402
import score  # noqa: E402
import wer  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import pictures  # noqa: E402
import scenes  # noqa: E402

SLOTS, SLOT_S, FPS, SEED, K = 256, 0.08, 12.5, 9, 7


def film(path, drawings, n, sound, fresh):
    """Writes it; what is said of each window: [(seconds from its start, sentence)]."""
    atlas = pictures.load(drawings)
    when, spec, said = pictures.test_set(atlas.names, SEED, n, SLOTS, K, fresh)
    torch.manual_seed(SEED)
    encoder = subprocess.Popen(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{scenes.PIC_W}x{scenes.PIC_H}",
                                "-r", str(FPS), "-i", "-", "-i", sound, "-c:v", "libx264", "-crf", "12", "-preset", "fast",
                                "-c:a", "flac", path], stdin=subprocess.PIPE)
    frame = bytes(scenes.PIC_W * scenes.PIC_H * 3)
    for i in range(n):
        painted = pictures.paint(atlas, torch.from_numpy(spec[i]).float()).byte().numpy()
        for slot in range(SLOTS):                        # a frame a slot
            for k in np.flatnonzero(when[i] == slot):
                frame = painted[k].tobytes()
            encoder.stdin.write(frame)
    encoder.stdin.close()
    if encoder.wait():
        sys.exit("ffmpeg made no video")
    return [[(at * SLOT_S, text) for at, text in w] for w in said]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("drawings")
    ap.add_argument("--windows", type=int, default=48)
    ap.add_argument("--no-pictures", action="store_true", help="the sound only")
    ap.add_argument("--fresh", action="store_true", help="nouns that training never has")
    ap.add_argument("--keep", metavar="DIR")
    a, more = ap.parse_known_args()
    a.jobs, a.texts, a.delay = 1, 400, None
    with tempfile.TemporaryDirectory() as tmp:
        work = a.keep or tmp
        os.makedirs(work, exist_ok=True)
        s = score.Scorer(a, work)
        refs, paths = s.human()
        random.Random(SEED).shuffle(paths)
        pcm, heard = hours.one_round(paths, refs)
        long = a.windows * SLOTS * SLOT_S
        heard = [(end, text) for end, text in heard if end < long]
        sound, path = os.path.join(work, "sound.wav"), os.path.join(work, "film.mkv")
        hours.write(sound, pcm[:2 * int(heard[-1][0] * hours.RATE)])
        said = None if a.no_pictures else film(path, a.drawings, a.windows, sound, a.fresh)
        lines, took = s.transcribe("film", [sound if a.no_pictures else path], "--language", "en", "--describe", *more)
    segments = [x for x in map(json.loads, lines) if x["words"]]
    words = [(w["start_us"] / 1e6, w["text"]) for x in segments if x["lane"] == "caption" for w in x["words"]]
    begin, want, hyp = 0.0, {}, {}
    for i, (end, text) in enumerate(heard):
        want[i], hyp[i], begin = text, " ".join(t for at, t in words if begin <= at < end), end
    print(f"{heard[-1][0] / 60:.1f} minutes, {len(words)} words, real-time factor {took / heard[-1][0]:.3f}")
    print(wer.show("captions", wer.score(want, hyp)))
    told = [(x["words"][0]["start_us"] / 1e6, " ".join(w["text"] for w in x["words"])) for x in segments if x["lane"] == "description"]
    if a.no_pictures:
        print(f"descriptions: {len(told)}")
        return 0
    n = int(heard[-1][0] / (SLOTS * SLOT_S))             # whole windows
    texts, again, last, due = [[] for _ in range(n)], 0, None, [k * SLOTS * SLOT_S + at for k in range(n) for at, _ in said[k]]
    for at, text in told:
        if at < n * SLOTS * SLOT_S:
            texts[int(at / (SLOTS * SLOT_S))].append(text)
            changed = last and any(last[0] < t <= at for t in due)
            again += bool(last) and not changed and text == last[1]
            last = (at, text)
    wanted = [" ".join(text for _, text in w) for w in said[:n]]
    got = pictures.score(pictures.Grammar(scenes.rows()), [" ".join(t) for t in texts], wanted)
    print(f"descriptions: {sum(map(len, texts))} sentences told of {len(due)}; {again} of them again, of the same")
    print("facts told, told right: " + ", ".join(f"{k} {x:.0%} {y:.0%} of {m}" for k, (x, y, m) in got.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
