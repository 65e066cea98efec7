# SPDX-License-Identifier: Apache-2.0
"""Word ends and phonemes of the recordings, without a trained model: each transcript is spoken by flite and espeak-ng, whose
word ends (and espeak-ng's phonemes) are known, and the recording is matched to that by dynamic time warping of MFCCs.

align.py DATA SYNTH OUT.tsv [--jobs N] [--every N] [--languages en,de]
OUT: path; word ends in ms; phonemes; when each begins and the last one ends, in ms. Prints the error on synthetic speech."""
import argparse
import multiprocessing
import os
import random
import sys
import tempfile

import numpy as np
import torch

import features
import speech
import texts
import units

FRAME = 20                                               # ms
GUIDES = {"en": [("f", "slt", "1.0", "1", "0", "1"), ("f", "awb", "1.0", "1", "0", "1"), units.READER["en"],
                 ("e", "en-us+f2", "165", "50", "50", "1")],
          "de": [units.READER["de"], ("e", "de+f2", "165", "50", "50", "1"), ("e", "de", "150", "50", "50", "1")]}


def mfcc(x, fb, dct):
    m = features.log_mel(torch.from_numpy(x.astype(np.float32) / 32768)[None], fb)[0]
    m = m[:len(m) // 2 * 2].view(-1, 2, m.shape[1]).mean(1)
    loud = m.mean(1, keepdim=True)
    c = torch.cat([m @ dct, loud * 4], 1)
    c = (c - c.mean(0)) / (c.std(0) + 1e-3)
    d = torch.nn.functional.pad(c, (0, 0, 2, 2))
    return torch.cat([c, (d[4:] - d[:-4]) * 0.7], 1).numpy()


def warp(a, b):
    """For each frame of a the frame of b that dynamic time warping gives it."""
    n, m = len(a), len(b)
    cost = np.sqrt(np.maximum((a ** 2).sum(1)[:, None] + (b ** 2).sum(1)[None] - 2 * a @ b.T, 0))
    best = np.full((n + 1, m + 1), np.inf)
    best[0, 0] = 0
    step = np.zeros((n + 1, m + 1), np.int8)
    for k in range(2, n + m + 1):                        # along the antidiagonals
        i = np.arange(max(1, k - m), min(n, k - 1) + 1)
        j = k - i
        w = cost[i - 1, j - 1]
        ways = np.stack([best[i - 1, j - 1] + w * 1.6, best[i - 1, j] + w, best[i, j - 1] + w])
        s = ways.argmin(0)
        best[i, j], step[i, j] = ways[s, np.arange(len(i))], s
    i, j, at = n, m, np.zeros(n, np.int64)
    while i > 0 and j > 0:
        at[i - 1] = max(at[i - 1], j - 1)
        s = step[i, j]
        i, j = i - (s != 2), j - (s != 1)
    return at


def times_of(x, guides, fb, dct):
    """guides: [(samples, word ends, (phonemes, their beginnings) or None)] -> median word ends in x, the phonemes, and their
    median beginnings in x, ms."""
    b, out, names, begins = mfcc(x, fb, dct), [], None, []
    for g, ends, phonemes in guides:
        at = warp(mfcc(g, fb, dct), b)
        out.append([(at[min(len(at) - 1, e // FRAME)] + 1) * FRAME for e in ends])
        if phonemes and names in (None, phonemes[0]):
            names = phonemes[0]
            begins.append([at[min(len(at) - 1, t // FRAME)] * FRAME + t % FRAME for t in phonemes[1]])
    median = lambda rows: np.median(np.array(rows), 0).astype(int)
    return median(out).tolist(), names, np.maximum.accumulate(median(begins)).tolist() if begins else None


def work(job):
    """rows: [(file or samples, name, text, voice to leave out of the guides)] of one language."""
    rows, lang, synth = job
    torch.set_num_threads(1)
    fb = features.mel_filters()
    k = torch.arange(80, dtype=torch.float32)
    dct = torch.cos(torch.pi * (k[:, None] + 0.5) * torch.arange(1, 14)[None] / 80) * (2 / 80) ** 0.5
    out = []
    with tempfile.TemporaryDirectory() as tmp:
        xs = speech.decode([r[0] for r in rows], tmp, 1) if isinstance(rows[0][0], str) else [r[0] for r in rows]
        said = [{} for _ in rows]
        for g in GUIDES[lang]:
            pcm, got, heard = speech.speak([(g, r[2].lower() if r[2].isupper() else r[2]) for r in rows], synth, os.path.join(tmp, "g"),
                                           phonemes=True)
            for (i, off, n, ends), p in zip(got, heard):
                said[i][g[1]] = (pcm[off:off + n], ends, units.phonemes(p)[:2] if p else None)
    for r, x, s in zip(rows, xs, said):
        if x is not None and s and 4000 < len(x) < 20 * 16000:
            out.append((r[1], *times_of(x, [v for k, v in s.items() if k != r[3]], fb, dct), len(x)))
    return out


def judge(lang, data, synth):
    """How well it does on voices whose word ends are known: prints the error, returns the bias in ms."""
    rng, name = random.Random(1), {"en": "en-us", "de": "de"}[lang]
    said = texts.sentences(data, f"common-voice.{lang}.txt.xz", lang)
    jobs = [(("e", f"{name}+{v}", str(rng.randint(130, 210)), "50", "50", "1"), rng.choice(said)) for v in texts.KLATT * 2]
    if lang == "en":
        jobs += [(("f", "rms", f"{rng.uniform(0.8, 1.2):.2f}", "1", "0", "1"), rng.choice(said)) for _ in range(40)]
    with tempfile.TemporaryDirectory() as tmp:
        pcm, rows = speech.speak(jobs, synth, os.path.join(tmp, "c"))
    rows = [((pcm[off:off + n], str(i), jobs[i][1], jobs[i][0][1]), ends) for i, off, n, ends in rows]
    known = {r[1]: ends for r, ends in rows}
    err = [p - q for name, got, *_ in work(([r for r, _ in rows], lang, synth)) for p, q in zip(got, known[name])]
    bias = int(np.median(err))
    err = np.abs(np.array(err) - bias)
    print(f"{lang}, synthetic voices: bias {bias} ms, median error {np.median(err):.0f} ms, p90 {np.percentile(err, 90):.0f} ms", flush=True)
    return bias


def main():
    a = argparse.ArgumentParser()
    for x in ("data", "synth", "out"):
        a.add_argument(x)
    a.add_argument("--jobs", type=int, default=2)
    a.add_argument("--every", type=int, default=1)
    a.add_argument("--languages", default="en,de")
    a = a.parse_args()
    pool = multiprocessing.Pool(a.jobs)
    with open(a.out, "w") as f:
        for lang in a.languages.split(","):
            bias, n = judge(lang, a.data, a.synth), 0
            rec = [(r[0], r[0], r[3], r[4]) for r in speech.recordings(a.data, "train") if r[1] == lang][::a.every]
            for part in pool.imap(work, [(rec[i:i + 40], lang, a.synth) for i in range(0, len(rec), 40)]):
                for path, ends, names, begins, samples in part:
                    row = [os.path.relpath(path, os.path.join(a.data, "speech")), ",".join(str(max(FRAME, e - bias)) for e in ends)]
                    if names:
                        row += [" ".join(names), ",".join(str(max(0, t - bias)) for t in begins) + f",{samples // 16}"]
                    f.write("\t".join(row) + "\n")
                    n += 1
                f.flush()
            print(f"aligned {n} of {len(rec)} recordings in {lang}")


if __name__ == "__main__":
    sys.exit(main())
