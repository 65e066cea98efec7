# SPDX-License-Identifier: Apache-2.0
"""Word ends and phonemes of recordings made more exact: a small net learns which phoneme each frame is from what align.py found,
each recording is cut anew along its phonemes by what the net hears (Viterbi), and so on; errors that are not the same everywhere
average out (as HMMs are trained for unit selection: A. Ljolje, J. Hirschberg, J. van Santen: "Automatic speech segmentation for
concatenative inventory selection", 1994). Between words there may be a pause or none, whatever the reader of align.py did.

refine.py DATA SYNTH ENDS.tsv OUT.tsv [--rounds N] [--jobs N] [--languages en,de]
ENDS.tsv and OUT.tsv as align.py writes them. Prints how far word ends moved, and the error on a synthesiser whose are known."""
import argparse
import multiprocessing
import os
import random
import sys
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import align
import features
import speech
import texts
import units

HOP = features.HOP * 1000 // features.RATE               # ms of a frame
LEAST = 3                                                # frames of a phoneme, at least
PRIOR = 0.7                                              # how much of a phoneme's share is taken from what the net says
STEPS = 200                                              # of a round, at least
JUDGED = 60                                              # sentences of the synthesiser that judges


class Said:
    """A recording: frames [n, 80], its phonemes and the word of each (pauses are "_"), and when each begins, in frames.
    begin_ms: as align.py found it."""
    def __init__(self, name, mel, names, word, begin_ms):
        self.name, self.mel, self.names, self.word = name, mel, names, word
        self.begin = [min(t // HOP, len(mel) - 1) for t in begin_ms]

    def labels(self, ids):
        y = np.zeros(len(self.mel), np.int64)
        for n, a, b in zip(self.names, self.begin, self.begin[1:] + [len(y)]):
            y[a:b] = ids[n]
        return y

    def ends(self):
        """Of each word, ms."""
        out = {}
        for n, w, b in zip(self.names, self.word, self.begin[1:] + [len(self.mel)]):
            if n != "_":
                out[w] = b * HOP
        return [out.get(w) for w in range(max(self.word) + 1)]

    def word_ends(self, old):
        """ms; old: those of align.py, for words without a phoneme of their own."""
        ends = self.ends()
        ends += [None] * (len(old) - len(ends))
        return np.maximum.accumulate([max(HOP, o if e is None else e) for e, o in zip(ends, old)]).tolist()


def mel_of(x, fb):
    n = len(x) // features.HOP * features.HOP
    m = features.log_mel(torch.from_numpy(x[:n].astype(np.float32) / 32768)[None], fb)[0]
    return ((m - m.mean(0)) / (m.std(0) + 0.1)).half()


def net_of(n):
    return nn.Sequential(nn.Conv1d(features.MELS, 160, 5, padding=2), nn.ReLU(), nn.Conv1d(160, 160, 5, padding=4, dilation=2), nn.ReLU(),
                         nn.Conv1d(160, 160, 3, padding=1), nn.ReLU(), nn.Conv1d(160, n, 1))


def learn(net, said, ids, lr, rng):
    """Pieces of 4 s, 16 at a time; all twice, few more often."""
    long, pieces = 400, []
    for s in said:
        y = torch.from_numpy(s.labels(ids))
        pieces += [(s.mel[a:a + long], y[a:a + long]) for a in range(0, len(y), long)]
    epochs, opt = max(2, STEPS * 16 // len(pieces)), torch.optim.AdamW(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs * -(-len(pieces) // 16))
    for _ in range(epochs):
        rng.shuffle(pieces)
        for i in range(0, len(pieces), 16):
            x, y = torch.zeros(16, long, features.MELS), torch.full((16, long), -1)
            for j, (m, z) in enumerate(pieces[i:i + 16]):
                x[j, :len(m)], y[j, :len(z)] = m.float(), z
            loss = F.cross_entropy(net(x.transpose(1, 2)), y, ignore_index=-1, label_smoothing=0.05)
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
    return loss.item()


def path(score, ids, names, word):
    """score [frames, phonemes]: the best way through `names`, with or without pauses between words -> names, words, beginnings."""
    seq = [("_", word[0])]
    for i, (n, w) in enumerate(zip(names, word)):
        if n == "_":
            continue
        if i and w != seq[-1][1] and seq[-1][0] != "_":
            seq.append(("_", seq[-1][1]))
        seq.append((n, w))
    seq.append(("_", seq[-1][1]))
    # Each phoneme is a chain of LEAST states, the last of which may go on; a pause one that may be left out.
    state, skip = [], []                                 # which of seq; whether a pause before it may be left out
    for k, (n, _) in enumerate(seq):
        for j in range(1 if n == "_" else LEAST):
            state.append(k)
            skip.append(j == 0 and k > 1 and seq[k - 1][0] == "_")
    state, skip = np.array(state), np.array(skip)
    last = np.append(state[1:] != state[:-1], True)      # may go on
    e = score[:, [ids[seq[k][0]] for k in state]]
    t, n = e.shape
    if n > t:
        return None
    low, back = -1e30, np.zeros((t, n), np.int8)
    v = np.full(n, low)
    v[0] = e[0, 0]
    if len(state) > 1:
        v[1] = e[0, 1]                                   # it may begin without a pause
    for i in range(1, t):
        stay = np.where(last, v, low)
        step = np.concatenate([[low], v[:-1]])
        jump = np.where(skip, np.concatenate([[low, low], v[:-2]]), low)
        ways = np.stack([stay, step, jump])
        back[i] = ways.argmax(0)
        v = ways[back[i], np.arange(n)] + e[i]
    k = n - 1 if v[n - 1] >= v[n - 2] else n - 2         # or end without one
    if v[k] < low / 2:
        return None
    begin = {}
    for i in range(t - 1, -1, -1):
        begin[state[k]] = i
        if i:
            k -= back[i, k]
    got = [(*seq[k], begin[k]) for k in sorted(begin)]
    if got[0][0] != "_":
        got.insert(0, ("_", got[0][1], 0))
    if got[-1][0] != "_":
        got.append(("_", got[-1][1], t))
    return [g[0] for g in got], [g[1] for g in got], [g[2] for g in got]


def cut(job):
    mel, names, word, ids, net, prior = job
    torch.set_num_threads(1)
    with torch.no_grad():
        p = net(mel.float().T[None])[0].T.log_softmax(-1).numpy()
    return path(p - PRIOR * prior, ids, names, word)


def rounds_of(said, rounds, jobs, rng, say=lambda r, loss: None):
    """Makes `said` more exact, in place."""
    ids = {n: i for i, n in enumerate(sorted({n for s in said for n in s.names} | {"_"}))}
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(jobs)
    net = net_of(len(ids))
    for r in range(rounds):
        loss = learn(net, said, ids, 2e-3 if r == 0 else 1e-3, rng)
        count = np.bincount(np.concatenate([s.labels(ids) for s in said]), minlength=len(ids)) + 10.0
        prior = np.log(count / count.sum()).astype(np.float32)
        with multiprocessing.Pool(jobs) as pool:
            got = pool.imap(cut, ((s.mel, s.names, s.word, ids, net, prior) for s in said), 8)
            for s, g in zip(said, got):
                if g:
                    s.names, s.word, s.begin = g
        say(r + 1, loss)
    torch.set_num_threads(threads)


def read(lang, items, synth, fb):
    """items: [(name, samples, text, phonemes, beginnings in ms)], the last two as align.py has them -> [Said]. Which word a phoneme is of,
    the reader says again."""
    with tempfile.TemporaryDirectory() as tmp:
        _, got, heard = speech.speak([(units.READER[lang], t.lower() if t.isupper() else t) for _, _, t, *_ in items], synth,
                                     os.path.join(tmp, "g"), phonemes=True)
    out = []
    for (k, *_), p in zip(got, heard):
        name, x, _, known, begins = items[k]
        names, _, word = units.phonemes(p)
        if names == known:
            out.append(Said(name, mel_of(x, fb), names, word, begins))
    return out


def recorded(lang, known, data, synth, fb):
    """[Said] of the recordings in `known`, {file: (phonemes, beginnings)}."""
    name, out = lambda path: os.path.relpath(path, os.path.join(data, "speech")), []
    rec = [r for r in speech.recordings(data, "train") if r[1] == lang and name(r[0]) in known]
    with tempfile.TemporaryDirectory() as tmp:
        for i in range(0, len(rec), 200):
            part = rec[i:i + 200]
            xs = speech.decode([r[0] for r in part], tmp, 2)
            out += read(lang, [(name(r[0]), x, r[3], *known[name(r[0])]) for r, x in zip(part, xs) if x is not None], synth, fb)
    return out


def judged(lang, data, synth, fb):
    """[(Said as align.py finds it, its known word ends)] of sentences by flite."""
    if lang != "en":
        return []
    rng, said = random.Random(2), texts.sentences(data, "common-voice.en.txt.xz", lang)
    jobs = [(("f", "rms", f"{rng.uniform(0.85, 1.15):.2f}", "1", "0", "1"), rng.choice(said)) for _ in range(JUDGED)]
    with tempfile.TemporaryDirectory() as tmp:
        pcm, rows = speech.speak(jobs, synth, os.path.join(tmp, "c"))
    known = {i: (pcm[off:off + n], ends) for i, off, n, ends in rows}
    got = align.work(([(x, i, jobs[i][1], "rms") for i, (x, _) in known.items()], lang, synth))
    items = [(i, known[i][0], jobs[i][1], names, begins) for i, _, names, begins, _ in got]
    return [(s, known[s.name][1]) for s in read(lang, items, synth, fb)]


def error(judges):
    """-> bias, median and 90 % of the rest, ms."""
    e = np.array([a - b for s, ends in judges for a, b in zip(s.ends(), ends) if a is not None])
    bias = np.median(e)
    return bias, np.median(np.abs(e - bias)), np.percentile(np.abs(e - bias), 90)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for x in ("data", "synth", "ends", "out"):
        a.add_argument(x)
    a.add_argument("--rounds", type=int, default=4)
    a.add_argument("--jobs", type=int, default=2)
    a.add_argument("--languages", default="en,de")
    a = a.parse_args()
    rows = [line.rstrip("\n").split("\t") for line in open(a.ends, encoding="utf8")]
    known = {r[0]: (r[2].split(" "), [int(t) for t in r[3].split(",")][:-1]) for r in rows if len(r) == 4}
    fb, fresh = features.mel_filters(), {}
    for lang in a.languages.split(","):
        said, judges = recorded(lang, known, a.data, a.synth, fb), judged(lang, a.data, a.synth, fb)
        print(f"{lang}: {len(said)} recordings, {sum(len(s.mel) for s in said) / 360000:.1f} h", flush=True)
        if judges:
            print("  by align.py, on rms: bias %.0f ms, median error %.0f ms, p90 %.0f ms" % error(judges), flush=True)
        before = {s.name: s.ends() for s in said}

        def say(r, loss):
            moved = np.abs([p - q for s in said for p, q in zip(s.ends(), before[s.name]) if p is not None and q is not None])
            print(f"  round {r}: loss {loss:.3f}, word ends moved by {np.median(moved):.0f} ms, p90 {np.percentile(moved, 90):.0f} ms" +
                  (", on rms: bias %.0f ms, median error %.0f ms, p90 %.0f ms" % error(judges) if judges else ""), flush=True)
        rounds_of(said + [s for s, _ in judges], a.rounds, a.jobs, random.Random(1), say)
        fresh.update({s.name: s for s in said})
    with open(a.out, "w", encoding="utf8") as f:
        for r in rows:
            s = fresh.get(r[0])
            if s:
                r = [r[0], ",".join(map(str, s.word_ends([int(e) for e in r[1].split(",")]))), " ".join(s.names),
                     ",".join(str(t * HOP) for t in s.begin) + f",{len(s.mel) * HOP}"]
            f.write("\t".join(r) + "\n")


if __name__ == "__main__":
    sys.exit(main())
