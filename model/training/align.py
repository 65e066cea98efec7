# SPDX-License-Identifier: Apache-2.0
"""align.py DATA WORK SECONDS [OUT.pkl]: word ends of the recordings. Trains a small character CTC network on
synthetic shards and the recordings themselves, then aligns by Viterbi (torchaudio's forced_align).
Leaves WORK/human.pkl: [(int16 samples, speaker, text, source, word ends in ms)]."""
import glob
import os
import pickle
import random
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import features
import speech
import texts
from m3 import CTC_CHARS

ID = {ch: i + 1 for i, ch in enumerate(CTC_CHARS)}
DEV = "cuda" if torch.cuda.is_available() else "cpu"


def letters(s):
    return "".join(ch for ch in s.lower() if ch in ID)


class Aligner(nn.Module):
    def __init__(self, d=256):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(80, d, 5, 2, 2), nn.GELU(), nn.Conv1d(d, d, 5, 2, 2), nn.GELU(),
                                  nn.Conv1d(d, d, 3, 1, 1), nn.GELU())
        self.pos = nn.Parameter(torch.randn(512, d) * 0.02)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(d, 4, 768, 0.05, "gelu", batch_first=True, norm_first=True)
                                    for _ in range(5))
        self.out = nn.Linear(d, len(CTC_CHARS) + 1)

    def forward(self, mel):
        x = self.conv(mel.transpose(1, 2)).transpose(1, 2)
        x = x + self.pos[:x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.out(x).float().log_softmax(-1)


def load_synthetic(data, work, most):
    train, out = texts.load(data)[0], []
    for f in sorted(glob.glob(os.path.join(work, "made", "*.pkl")))[:most]:
        pcm = np.fromfile(f[:-4] + ".pcm", np.int16)
        for t, off, n, ends, _ in pickle.load(open(f, "rb")):
            if n < 16 * 16000:
                out.append((pcm[off:off + n], train[t][0], ends))
    return out


def train(net, human, synth, seconds, batch):
    opt, rng, t0, k = torch.optim.AdamW(net.parameters(), 1e-3, betas=(0.9, 0.98)), random.Random(3), time.time(), 0
    fb = features.mel_filters().to(DEV)
    human = [h for h in human if len(h[0]) < 16 * 16000]
    while time.time() - t0 < seconds:
        done = (time.time() - t0) / seconds
        for g in opt.param_groups:
            g["lr"] = 1.2e-3 * min(1, (k + 1) / 150) * (1 - done) ** 0.5
        rows = [rng.choice(human if rng.random() < 0.45 else synth)[:2 if synth else 3] for _ in range(batch)]
        rows = [(r[0], letters(r[1])) for r in rows]
        n = -(-max(len(x) for x, _ in rows) // 640) * 640
        w = np.zeros((batch, n), np.float32)
        for i, (x, _) in enumerate(rows):
            w[i, :len(x)] = x
        w = torch.from_numpy(w).to(DEV) / 32768
        w = w * 10 ** ((torch.rand(batch, 1, device=DEV) * 24 - 16) / 20)
        w = w + torch.randn_like(w) * 0.1 * 10 ** -(torch.rand(batch, 1, device=DEV) * 3 + 1.7)
        mel = features.log_mel(w, fb)
        f0 = int(torch.randint(0, 60, (1,)))
        mel[:, :, f0:f0 + 14] = 0
        with torch.autocast(DEV, torch.bfloat16, enabled=DEV == "cuda"):
            lp = net(mel)
        y = torch.tensor([ID[ch] for _, t in rows for ch in t])
        loss = F.ctc_loss(lp.transpose(0, 1), y.to(DEV), torch.tensor([len(x) // 640 for x, _ in rows]).to(DEV),
                          torch.tensor([len(t) for _, t in rows]).to(DEV), zero_infinity=True)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        k += 1
        if k % 200 == 0:
            print(f"align step {k} loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def align(net, fb, x, text):
    """Word ends in ms of the space-separated words, or None."""
    y, own = [], []
    for i, w in enumerate(text.split(" ")):
        if i and y:
            y.append(ID[" "])
            own.append(-1)
        for ch in letters(w):
            y.append(ID[ch])
            own.append(i)
    n = len(x) // 640
    if not y or len(y) >= n or n > 500:
        return None
    w = torch.from_numpy(x[:n * 640].astype(np.float32) / 32768).to(DEV)[None]
    lp = net(features.log_mel(w, fb))[:, :n]
    if DEV == "cpu":                                  # miniature runs: spread evenly
        return [int((i + 1) * n * 40 / len(text.split(" "))) for i in range(len(text.split(" ")))]
    import torchaudio
    try:
        path = torchaudio.functional.forced_align(lp, torch.tensor([y], dtype=torch.int32, device=DEV))[0][0].tolist()
    except RuntimeError:
        return None
    ends, j, prev = [0] * len(text.split(" ")), -1, 0
    for f, z in enumerate(path):
        if z and z != prev:
            j += 1
        if z and own[j] >= 0:
            ends[own[j]] = (f + 1) * 40
        prev = z
    for i, e in enumerate(ends):
        ends[i] = e or (ends[i - 1] if i else 40)
    return ends


def main(data, work, seconds, batch=96):
    t0, rec = time.time(), speech.recordings(data, "train")
    human = [(x, r[2], r[1], r[3]) for x, r in zip(speech.decode([r[0] for r in rec], work), rec) if x is not None]
    print(f"recordings {len(human)}, {sum(len(h[0]) for h in human) / 57.6e6:.2f} h, decoded in {time.time() - t0:.0f} s", flush=True)
    while len(glob.glob(os.path.join(work, "made", "*.pkl"))) < (8 if DEV == "cuda" else 1):
        time.sleep(0.5)
    synth = load_synthetic(data, work, 40)
    print(f"synthetic {len(synth)} at {time.time() - t0:.0f} s", flush=True)
    net, fb = Aligner().to(DEV), features.mel_filters().to(DEV)
    train(net, human, synth, float(seconds), batch if DEV == "cuda" else 4)
    net.eval()
    err = []
    for x, text, ends in synth[:300 if DEV == "cuda" else 3]:
        got = align(net, fb, x, text)
        if got:
            err += [a - b for a, b in zip(got, ends)]
    mid = sorted(err)[len(err) // 2] if err else 0
    err = sorted(abs(e - mid) for e in err) or [0]
    print(f"align error: bias {mid} ms, median {err[len(err) // 2]} ms, p90 {err[int(len(err) * 0.9)]} ms", flush=True)
    out = []
    for x, text, speaker, source in human:
        ends = align(net, fb, x, text)
        if ends:
            out.append((x, speaker, text, source, [max(40, e - mid) for e in ends]))
    pickle.dump(out, open(os.path.join(work, "human.tmp"), "wb"))
    os.rename(os.path.join(work, "human.tmp"), os.path.join(work, "human.pkl"))
    print(f"aligned {len(out)} recordings in {time.time() - t0:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
