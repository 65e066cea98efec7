# SPDX-License-Identifier: Apache-2.0
"""The oracle: runs a model folder on a recording in plain PyTorch (CPU, f32, dequantised weights), streaming.

reference.py MODEL FILE [--plain] [--to de] [--describe] [--prefix TEXT] [--picture SLOT:FILE ...]
             [--slots N] [--dump OUT.safetensors] [--times]
FILE: 16-bit PCM WAV at 16 kHz, or raw s16le mono (.raw, .pcm). Pictures: binary PPM (P6) of 160x96."""
import argparse
import os
import sys
import wave

import numpy as np
import torch

import features
import m3
import tokens
import weights


def read_audio(path):
    if path.endswith(".wav"):
        w = wave.open(path)
        assert w.getframerate() == 16000 and w.getsampwidth() == 2, "16 kHz 16-bit WAV expected"
        x = np.frombuffer(w.readframes(w.getnframes()), np.int16).reshape(-1, w.getnchannels()).mean(1)
    else:
        x = np.fromfile(path, np.int16)
    return torch.from_numpy(x.astype(np.float32) / 32768)


def read_ppm(path):
    data = open(path, "rb").read()
    head = data.split(maxsplit=4)
    assert head[0] == b"P6" and (int(head[1]), int(head[2])) == (160, 96), "160x96 P6 expected"
    return torch.from_numpy(np.frombuffer(data[-160 * 96 * 3:], np.uint8).reshape(96, 160, 3).copy())


def conditions(c, plain=False, to=None, language=None, delay=None):
    on = ["style:plain" if plain else "style:cased", f"to:{to}", f"in:{language}", f"delay:{delay or c.delay}"]
    return torch.tensor([[float(x in on) for x in c.conds]])


class Rest:
    """When a row that has run for long begins anew (MODEL.md section 5, model/scheduler_input.c, model/activity.c)."""
    def __init__(self, c, on, delay):
        self.c, self.on, self.delay = c, on, delay
        self.levels = (c.raw.get("activity_levels") or {}).get("speech", [0.6, 0.4]) or [2.0, 0.0]
        self.speech, self.streak, self.quiet, self.idle, self.seen = False, 0, 0, [0] * len(on), 1000

    def said(self, ids):
        self.seen += 1
        self.idle = [n + 1 if i == self.c.pad else 0 for n, i in zip(self.idle, ids)]

    def heard(self, act):
        p = torch.sigmoid(act[0]).item()
        self.streak = self.streak + 1 if (p < self.levels[1] if self.speech else p > self.levels[0]) else 0
        if self.streak >= (3 if self.speech else 2):
            self.speech, self.streak, self.quiet = not self.speech, 0, 0
        if not self.speech:
            self.quiet += 1

    def still(self, n):
        return all(i >= n for i, on in zip(self.idle, self.on) if on)

    def due(self, slots):
        """None: not yet; else how many slots of silence at least and at most come first."""
        if not self.c.anew or slots < self.c.anew or self.speech or self.quiet < 1:
            return None
        least = self.delay + 1 + 3
        return (0, 0) if self.quiet >= least and self.still(least) and self.seen >= least else (least, self.delay + 1 + 50)


@torch.no_grad()
def run(net, mel, cond, lanes=(True, False, False), pictures=None, prefix=None, prev=None, trace=False, delay=None):
    """mel [T, 640]; lanes that are on; pictures {slot: [60, 768]}; prefix ids; prev [T, lanes] forces the fed-back
    tokens. Returns ids [T, lanes], logits [T, lanes, V], activity [T, acts], trace per run; T counts the silence, too, that
    a model with anew_slots hears before it begins anew; and what it then tells again is among the ids."""
    c, t = net.c, mel.shape[0]
    rest, silence = Rest(c, lanes, delay or c.delay), torch.full_like(mel[:1], -1.0)
    ids, logits, acts, traces = [], [], [], []

    def begin():
        return m3.Stream(net, cond, None if not prefix else torch.tensor([prefix])), torch.full((1, len(c.lanes)), c.pad)

    def prepare(s, picture=None):
        s.trace = [] if trace else None
        if s.t - s.prefix_at >= 2 * c.window:
            s.move_prefix()
        if picture is not None:
            s.picture(picture[None])
            rest.seen = 0

    def slot(s, x, fed):
        lg, act = s.slot(x, fed)
        best = torch.stack([x.argmax(-1) for x in lg], 1)
        ids.append(torch.where(torch.tensor([lanes]), best, torch.full_like(best, c.pad))[0])
        logits.append(torch.stack(lg, 1)[0])
        acts.append(act[0])
        traces.append(s.trace)
        rest.said(ids[-1].tolist())
        return ids[-1][None]

    s, fed = begin()
    for i in range(t):
        prepare(s, (pictures or {}).get(i))
        due = rest.due(s.t)
        if due:
            n = 0
            while n < due[1] and not (n >= due[0] and rest.still(3)):
                fed, n = slot(s, silence, fed), n + 1
                prepare(s)
            s, fed = begin()
            s.trace = [] if trace else None
        fed = slot(s, mel[i:i + 1], fed if prev is None else prev[i:i + 1])
        rest.heard(acts[-1])
    return torch.stack(ids), torch.stack(logits), torch.stack(acts), traces


def main():
    a = argparse.ArgumentParser()
    a.add_argument("model")
    a.add_argument("file")
    a.add_argument("--plain", action="store_true")
    a.add_argument("--to")
    a.add_argument("--language")
    a.add_argument("--delay", type=int, help="slots")
    a.add_argument("--describe", action="store_true")
    a.add_argument("--prefix", default="")
    a.add_argument("--picture", action="append", default=[])
    a.add_argument("--slots", type=int)
    a.add_argument("--dump")
    a.add_argument("--times", action="store_true", help="of the slots that were run")
    a = a.parse_args()
    net, tok = weights.load_folder(a.model), tokens.Tokenizer(os.path.join(a.model, "tokenizer.json"))
    x = read_audio(a.file)
    n = a.slots or -(-len(x) // features.SLOT) + (a.delay or net.c.delay) + 10
    x = torch.nn.functional.pad(x, (0, max(0, n * features.SLOT - len(x))))[:n * features.SLOT]
    mel = features.slots(x[None], features.mel_filters())[0]
    pictures = {int(p.split(":", 1)[0]): features.patches(read_ppm(p.split(":", 1)[1])[None])[0] for p in a.picture}
    on = (True, bool(a.to), a.describe)
    ids, logits, acts, _ = run(net, mel, conditions(net.c, a.plain, a.to, a.language, a.delay), on, pictures,
                             tok.encode(" ".join(w.strip(".,?!;:\"()") for w in a.prefix.split())), delay=a.delay)
    for i, lane in enumerate(net.c.lanes):
        if on[i]:
            if a.times:
                for t, z in enumerate(ids[:, i].tolist()):
                    if z != net.c.pad:
                        print(f"{lane}\t{t * 0.08:.2f}\t{tok.piece[z]}")
            print((lane + ": " if sum(on) > 1 else "") + tok.decode(ids[:, i].tolist()))
    if a.dump:
        out = {"mel": mel, "logits": logits, "activity": acts, "ids": ids.int()}
        weights.save_tensors(a.dump, {k: v.numpy() for k, v in out.items()})


if __name__ == "__main__":
    sys.exit(main())
