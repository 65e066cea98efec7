# SPDX-License-Identifier: Apache-2.0
"""Word ends of the recordings, without a trained model: each transcript is spoken by flite and espeak-ng, whose word
ends are known, and the recording is matched to that by dynamic time warping of MFCCs.

align.py DATA SYNTH OUT.tsv [--jobs N] [--every N]   OUT: path, word ends in ms; prints the error on synthetic speech."""
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
from m3 import CTC_CHARS

ID = {ch: i + 1 for i, ch in enumerate(CTC_CHARS)}
FRAME = 20                                               # ms
GUIDES = [("f", "slt", "1.0", "1", "0", "1"), ("f", "awb", "1.0", "1", "0", "1"), ("e", "en-us+klatt4", "165", "50", "50", "1")]


def letters(s):
    return "".join(ch for ch in s.lower() if ch in ID)


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


def ends_of(x, guides, fb, dct):
    """guides: [(samples, word ends)] -> median word ends in x, ms."""
    b, out = mfcc(x, fb, dct), []
    for g, ends in guides:
        at = warp(mfcc(g, fb, dct), b)
        out.append([(at[min(len(at) - 1, e // FRAME)] + 1) * FRAME for e in ends])
    return np.median(np.array(out), 0).astype(int).tolist()


def work(job):
    rows, synth = job
    torch.set_num_threads(1)
    fb = features.mel_filters()
    k = torch.arange(80, dtype=torch.float32)
    dct = torch.cos(torch.pi * (k[:, None] + 0.5) * torch.arange(1, 14)[None] / 80) * (2 / 80) ** 0.5
    out = []
    with tempfile.TemporaryDirectory() as tmp:
        xs = speech.decode([r[0] for r in rows], tmp, 1) if isinstance(rows[0][0], str) else [r[0] for r in rows]
        said = [{} for _ in rows]
        for g in GUIDES:
            pcm, got = speech.speak([(g, r[2].lower() if r[2].isupper() else r[2]) for r in rows], synth, os.path.join(tmp, "g"))
            for i, off, n, ends in got:
                said[i][g[1]] = (pcm[off:off + n], ends)
    for r, x, s in zip(rows, xs, said):
        if x is not None and s and 4000 < len(x) < 20 * 16000:
            out.append((r[1], ends_of(x, [v for k, v in s.items() if k != r[3]], fb, dct), len(x)))
    return out


def main():
    a = argparse.ArgumentParser()
    for x in ("data", "synth", "out"):
        a.add_argument(x)
    a.add_argument("--jobs", type=int, default=2)
    a.add_argument("--every", type=int, default=1)
    a = a.parse_args()
    rng, pool = random.Random(1), multiprocessing.Pool(a.jobs)
    # how well it does on voices whose word ends are known
    train = [s for s, _ in texts.load(a.data)[0]]
    check = [(("e", f"en-us+{v}", str(rng.randint(130, 210)), "50", "50", "1"), rng.choice(train)) for v in texts.KLATT * 2]
    check += [(("f", "rms", f"{rng.uniform(0.8, 1.2):.2f}", "1", "0", "1"), rng.choice(train)) for _ in range(40)]
    with tempfile.TemporaryDirectory() as tmp:
        pcm, rows = speech.speak(check, a.synth, os.path.join(tmp, "c"))
    rows = [((pcm[off:off + n], str(i), check[i][1], ""), ends) for i, off, n, ends in rows]
    err = [p - q for (_, got, _), (_, ends) in zip(work(([r[0] for r in rows], a.synth)), rows) for p, q in zip(got, ends)]
    bias = int(np.median(err))
    err = np.abs(np.array(err) - bias)
    print(f"synthetic voices: bias {bias} ms, median error {np.median(err):.0f} ms, p90 {np.percentile(err, 90):.0f} ms", flush=True)
    rec = [(f, f, t, s) for f, s, t, _ in speech.recordings(a.data, "train")][::a.every]
    n = 0
    with open(a.out, "w") as f:
        for part in pool.imap(work, [(rec[i:i + 40], a.synth) for i in range(0, len(rec), 40)]):
            for path, ends, _ in part:
                f.write(os.path.relpath(path, os.path.join(a.data, "speech")) + "\t" + ",".join(str(max(FRAME, e - bias)) for e in ends) + "\n")
                n += 1
            f.flush()
    print(f"aligned {n} of {len(rec)} recordings")


if __name__ == "__main__":
    sys.exit(main())
