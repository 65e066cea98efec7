# SPDX-License-Identifier: Apache-2.0
"""New sentences in the voices of the recordings: pieces from the middle of one phoneme to the middle of another are cut
out of what a speaker has said and put together anew (A. Hunt, A. Black: "Unit selection in a concatenative speech synthesis
system using a large speech database", ICASSP 1996). What was recorded is little, so it is soon known by heart; this is not."""
import os
import pickle

import numpy as np

READER = {"en": ("e", "en-us+klatt4", "165", "50", "50", "1"), "de": ("e", "de+klatt4", "165", "60", "50", "1")}  # says how it is pronounced
PHONEMES = 4000                                          # of a speaker, at least
CANDIDATES, JOIN, APART = 24, 1.0, 4.0                   # for each place; what a join costs, and one between two phonemes
UNLIKE = 1.5                                             # what a join costs for each bel that its sides' spectra differ by
BANDS = np.unique(np.geomspace(3, 256, 17).astype(int))  # of a spectrum, in bins of 31 Hz
FADE, SHIFT = 160, 80                                    # samples of a join, and by how many it may be moved
PAUSE, EDGE = 3200, 1600                                 # samples of a pause at most: within a sentence, at its ends
SPEEDS = (1.0, 1.0, 0.9, 0.95, 1.05, 1.1)


def phonemes(heard):
    """What synth wrote of a sentence -> (names, beginnings in ms, word of each); pauses are "_", there is one at each end."""
    f = heard.split()
    names, begin, word = ["_"], [0], [0]
    for w, ms, name in zip(f[0::3], f[1::3], f[2::3]):
        name = "_" if name[0] == "_" else name
        if name != "_" or names[-1] != "_":
            names.append(name)
            begin.append(int(ms))
            word.append(int(w))
    if names[-1] != "_":
        names.append("_")
        begin.append(begin[-1] + 60)
        word.append(word[-1])
    return names, begin, word


def spectra(pcm, at):
    """[n, bands] log10 of what sounds around each of the samples `at`."""
    out, window = np.zeros((len(at), len(BANDS) - 1), np.float32), np.hanning(512)
    for i in range(0, len(at), 4096):
        x = pcm[(at[i:i + 4096, None] + np.arange(-256, 256)).clip(0, len(pcm) - 1)] * window
        power = np.abs(np.fft.rfft(x)) ** 2
        out[i:i + 4096] = np.log10(np.add.reduceat(power, BANDS[:-1], 1) + 1e4)
    return out


class Speaker:
    """The phonemes of one speaker's recordings, and where they are in `pcm`."""
    def __init__(self, name, pcm):
        self.name, self.pcm, self.names, self.begin, self.end = name, pcm, [], [], []

    def add(self, at, names, begin):
        """A recording at sample `at`; begin: of each phoneme, and the last one's end, ms."""
        self.names += names
        self.begin += [at + t * 16 for t in begin[:-1]]
        self.end += [at + t * 16 for t in begin[1:]]

    def finish(self):
        self.begin, self.end = np.array(self.begin), np.array(self.end)
        self.middle, self.long = (self.begin + self.end) // 2, self.end - self.begin
        self.sound = spectra(self.pcm, self.middle)
        by = {}
        for k, n in enumerate(self.names):
            by.setdefault(n, []).append(k)
        good = np.zeros(len(self.names), bool)           # what is much too short or too long was not found
        for n, ks in by.items():
            usual = np.median(self.long[ks])
            good[ks] = (self.long[ks] >= max(240, 0.35 * usual)) & (self.long[ks] <= 2.5 * usual) if n != "_" else True
        self.single = {n: np.array([k for k in ks if good[k]]) for n, ks in by.items()}
        pairs = {}
        for k in range(len(self.names) - 1):
            if good[k] and good[k + 1] and self.begin[k + 1] == self.end[k]:
                pairs.setdefault((self.names[k], self.names[k + 1]), []).append(k)
        self.pairs = {p: np.array(ks) for p, ks in pairs.items()}
        return self

    def candidates(self, rng, pair, last):
        """[n, 2] phonemes that a pair of neighbours can be taken from; last: those of the pair before."""
        some = self.pairs.get(pair, np.zeros(0, int))
        if not len(some):
            a, b = (self.single.get(n, ()) for n in pair)
            return np.stack([rng.choice(a, 8), rng.choice(b, 8)], 1) if len(a) and len(b) else None
        first = some
        if len(some) > CANDIDATES:
            first = rng.choice(some, CANDIDATES)
            if last is not None:                         # and those that go on where the pair before ends
                first = np.union1d(first, np.intersect1d(last[:, 1], some))
        return np.stack([first, first + 1], 1)

    def choose(self, rng, names):
        """For each pair of neighbours the phonemes (a, b) to take it from, with few joins between them, and between sounds that are
        alike and of about the same length; None where a phoneme is missing."""
        ways, last, cost = [], None, None
        for pair in zip(names, names[1:]):
            c = self.candidates(rng, pair, last)
            if c is None:
                return None
            own, back = np.where(c[:, 1] == c[:, 0] + 1, 0.0, APART) + rng.random(len(c)) * 0.5, None
            if last is not None:
                a, b = last[:, 1][:, None], c[:, 0][None]
                unlike = np.abs(self.sound[a] - self.sound[b]).mean(-1)
                step = cost[:, None] + np.where(a == b, 0.0, JOIN + UNLIKE * unlike +
                                                np.abs(np.log((self.long[a] + 160) / (self.long[b] + 160))))
                back = step.argmin(0)
                own += step.min(0)
            ways.append((c, back))
            last, cost = c, own
        k, out = int(cost.argmin()), []
        for c, back in ways[::-1]:
            out.append((int(c[k, 0]), int(c[k, 1])))
            k = int(back[k]) if back is not None else 0
        return out[::-1]

    def pieces(self, names, word, chosen):
        """-> [[first sample, last]] to be joined, and [(word, piece, sample)] where words end."""
        runs, marks = [], []
        for i, (a, b) in enumerate(chosen):
            start, stop = self.middle[a], self.middle[b]
            if names[i] == "_":
                start = max(self.begin[a], self.end[a] - (PAUSE // 2 if i else EDGE))
            if names[i + 1] == "_":
                stop = min(self.end[b], self.begin[b] + (PAUSE if i + 2 < len(names) else EDGE))
            parts = [(start, stop)] if b == a + 1 else [(start, self.end[a]), (self.begin[b], stop)]
            for j, (lo, hi) in enumerate(parts):
                if runs and runs[-1][1] == lo:
                    runs[-1][1] = hi
                else:
                    runs.append([lo, hi])
                if j == 0 and names[i] != "_" and (names[i + 1] == "_" or word[i + 1] != word[i]):
                    marks.append((word[i], len(runs) - 1, self.end[a]))
        return runs, marks

    def join(self, runs):
        """Overlaps the pieces where they are most alike -> (samples, for each piece what to take from its samples' numbers)."""
        y, moved = np.zeros(0, np.float32), []
        for lo, hi in runs:
            lo = max(0, lo - FADE)
            x = self.pcm[lo:max(hi, lo + 3 * FADE)].astype(np.float32)
            if len(y) < FADE:
                moved.append(lo)
                y = x
                continue
            tail, head = y[-FADE:], x[:FADE + SHIFT]
            alike = np.correlate(head, tail, "valid") / (np.sqrt(np.convolve(head ** 2, np.ones(FADE), "valid")) + 1)
            s, ramp = int(alike.argmax()), np.linspace(0, 1, FADE, dtype=np.float32)
            moved.append(lo + s - (len(y) - FADE))
            y = np.concatenate([y[:-FADE], tail * (1 - ramp) + x[s:s + FADE] * ramp, x[s + FADE:]])
        return y, moved

    def say(self, rng, names, word, n_words):
        """Phonemes and the word of each -> (int16 samples, word ends in ms); None where that cannot be said."""
        chosen = self.choose(rng, names)
        if chosen is None:
            return None
        runs, marks = self.pieces(names, word, chosen)
        y, moved = self.join(runs)
        ends, speed = np.zeros(n_words, int), rng.choice(SPEEDS)
        for w, r, sample in marks:
            ends[w] = (sample - moved[r]) // 16
        if speed != 1:
            n = int(len(y) / speed)
            f = np.fft.rfft(y)
            f = np.pad(f, (0, max(0, n // 2 + 1 - len(f))))[:n // 2 + 1]
            y = np.fft.irfft(f, n) * (n / len(y))
        ends = np.maximum.accumulate((ends / speed).astype(int))
        return (y.clip(-32767, 32767).astype(np.int16), ends.tolist()) if ends[0] > 0 else None


def load(ends_file, recorded):
    """What align.py wrote, and arena.read_recordings()'s RECORDED.pcm and RECORDED.where -> {language: [Speaker]}."""
    pcm, where = np.memmap(recorded + ".pcm", np.int16, "r"), pickle.load(open(recorded + ".where", "rb"))
    speakers = {}
    for line in open(ends_file, encoding="utf8"):
        f = line.rstrip("\n").split("\t")
        if len(f) == 4 and f[0] in where:
            at, lang, name = where[f[0]]
            key = lang, os.path.dirname(f[0]), name
            if key not in speakers:
                speakers[key] = Speaker("/".join(key), pcm)
            speakers[key].add(at, f[2].split(" "), [int(t) for t in f[3].split(",")])
    out = {}
    for (lang, *_), s in speakers.items():
        if len(s.names) >= PHONEMES:
            out.setdefault(lang, []).append(s.finish())
    return out
