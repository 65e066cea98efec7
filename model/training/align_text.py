# SPDX-License-Identifier: Apache-2.0
"""Chooses a translation for each sentence of the pairs and says when each of its words may be written: after the
source word that it comes from (IBM model 1 with a prior around the diagonal; Dyer, Chahuneau, Smith: A Simple, Fast, and
Effective Reparameterization of IBM Model 2, NAACL 2013) and a few more.

align_text.py DATA OUT [--extra 1] [--only en-de,..]
OUT/XX-YY.tsv.xz: source, translation (Chinese: characters apart), places: for each of its words one character,
the index of the source word after which it may be written (0-9A-Za-z). Chinese is simplified (Debian: opencc).
For training, the translation is the one that its source explains best; for a held-out sentence the first by code points."""
import argparse
import collections
import lzma
import os
import re
import subprocess

import numpy as np

import texts

ROUNDS, TENSION, NULL, RARE_CHAR = 5, 4.0, 0.08, 8
MOST = {"en-de": 180000, "en-fr": 120000, "en-es": 120000, "en-zh": 27000, "de-en": 180000}


def stem(w):
    """What counts as the same word: letters, lower case, no ending of a long word."""
    return re.sub(r"[^\w]", "", w.lower())[:6]


def numbers(sentences):
    """-> word ids [N, longest] (-1 = none, 0 = punctuation alone), number of ids."""
    ids, words = {"": 0}, [[stem(w) for w in s.split(" ")] for s in sentences]
    out = np.full((len(words), max(map(len, words))), -1, np.int32)
    for i, ws in enumerate(words):
        out[i, :len(ws)] = [ids.setdefault(w, len(ids)) for w in ws]
    return out, len(ids)


class Cells:
    """All (source word or NULL, target word) combinations of a stretch of pairs, flat."""
    def __init__(self, source, target):
        n, m = (source >= 0).sum(1), (target >= 0).sum(1)
        self.n, self.m = n, m
        width = n + 1                                     # cell 0 of a target word is NULL
        self.of = np.repeat(np.arange(len(n)), m)         # pair of each target word
        j = np.arange(len(self.of)) - np.repeat(np.cumsum(m) - m, m)
        w = width[self.of]
        self.first = np.cumsum(w) - w
        word = np.repeat(np.arange(len(w)), w)
        i = np.arange(len(word)) - self.first[word] - 1
        pair = self.of[word]
        self.e = np.where(i < 0, 0, source[pair, np.maximum(i, 0)] + 1)     # 0 = NULL
        self.f = target[pair, j[word]]
        far = np.exp(-TENSION * np.abs((i + 0.5) / n[pair] - (j[word] + 0.5) / m[pair])).astype(np.float32)
        far[i < 0] = 0
        z = np.add.reduceat(far, self.first)
        self.prior = np.where(i < 0, np.float32(NULL), (1 - NULL) * far / z[word])
        self.word = word


def align(source, target):
    """Pairs of sentences -> per pair the mean log probability of a target word, per pair the source words (-1 = NULL)."""
    (s, n_s), (t, n_t) = numbers(source), numbers(target)
    c = Cells(s, t)
    k, cell = np.unique(c.e.astype(np.int64) * n_t + c.f, return_inverse=True)
    e = (k // n_t).astype(np.int64)
    table = np.full(len(k), 1.0 / n_t, np.float32)
    for _ in range(ROUNDS):
        p = table[cell] * c.prior
        z = np.add.reduceat(p, c.first)
        count = np.bincount(cell, p / np.maximum(z, 1e-30)[c.word], len(k)) + 1e-4
        table = (count / np.bincount(e, count, n_s + 1)[e]).astype(np.float32)
    p = table[cell] * c.prior
    z = np.add.reduceat(p, c.first)
    score = np.bincount(c.of, np.log(np.maximum(z, 1e-30)), len(source)) / np.maximum(c.m, 1)
    # the first cell of each word that has its highest probability
    best = np.flatnonzero(p >= np.maximum.reduceat(p, c.first)[c.word])
    at = np.full(len(c.first), -1)
    at[c.word[best[::-1]]] = best[::-1] - c.first[c.word[best[::-1]]] - 1
    return score, np.split(at, np.cumsum(c.m)[:-1])


def places(at, source, target, extra):
    """Source word per target word, -1 = NULL -> the source word after which each may be written, never falling."""
    last, out, ahead = len(source) - 1, [], None
    for i in at[::-1]:                                    # one without a source word goes with the next that has one
        ahead = int(i) if i >= 0 else ahead
        out.append(ahead)
    out.reverse()
    before = 0
    for k, i in enumerate(out):
        before = out[k] = max(before, min(last, before if i is None else i + extra))
    if re.search(r"[.?!。？！]", target[-1]):              # that the sentence is over shows at its end only
        out[-1] = last
    return out


def simplified(rows):
    text = subprocess.run(["opencc", "-c", "t2s.json"], input="\n".join(b for _, b in rows), capture_output=True,
                          text=True, check=True).stdout.split("\n")
    return [(a, b) for (a, _), b in zip(rows, text)]


def read(data, lang):
    """Distinct clean pairs, English first."""
    rows = [line.split("\t")[:2] for line in texts.lines(data, f"pairs/en-{lang}.tsv.xz")]
    rows = [(texts.clean(r[0]), r[1]) for r in rows if len(r) == 2]
    if lang == "zh":
        rows = simplified(rows)
    rows = sorted({(a, texts.clean(b, lang)) for a, b in rows})
    if lang == "zh":
        seen = collections.Counter(ch for _, b in rows for ch in set(b))
        rows = [(a, b) for a, b in rows if all(seen[ch] >= RARE_CHAR for ch in b)]
    return [(a, b) for a, b in rows if 8 <= len(a) <= 120 and 2 <= len(b) <= 140 and texts.FIT["en"].fullmatch(a)
            and texts.FIT[lang].fullmatch(b) and len(a.split(" ")) <= len(texts.PLACE)]


def choose(rows, score, source):
    """Indices of rows (source, target): one for each source sentence, in the order of the sources."""
    by = collections.defaultdict(list)
    for i, (a, _) in enumerate(rows):
        by[a].append(i)
    out = []
    for some in by.values():
        kept = [i for i in some if texts.held(rows[i][0 if source == "en" else 1])]
        out.append(min(kept, key=lambda i: rows[i]) if kept else max(some, key=lambda i: (score[i], rows[i])))
    return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("data")
    a.add_argument("out")
    a.add_argument("--extra", type=int, default=1, help="further source words to wait for")
    a.add_argument("--only", default="en-de,en-fr,en-es,en-zh,de-en")
    a = a.parse_args()
    os.makedirs(a.out, exist_ok=True)
    for name in a.only.split(","):
        source, target = name.split("-")
        rows = read(a.data, target if source == "en" else source)
        rows = rows if source == "en" else sorted({(b, c) for c, b in rows if len(b) <= 120})
        score, at = align([x for x, _ in rows], [y for _, y in rows])
        kept = sorted(choose(rows, score, source), key=lambda i: texts.order(rows[i][0]))[:MOST[name]]
        kept.sort(key=lambda i: rows[i])
        lag, wait, n, text = 0, 0, 0, []
        for i in kept:
            x, y = (z.split(" ") for z in rows[i])
            p = places(at[i], x, y, a.extra)
            text.append("\t".join((*rows[i], "".join(texts.PLACE[k] for k in p))))
            lag += sum(k - (j + 1) * len(x) / len(y) + 1 for j, k in enumerate(p))
            wait += sum(max(0, min(len(x) - 1, (j + 1) * len(x) // len(y) - 1 + 4)) - (j + 1) * len(x) / len(y) + 1
                        for j in range(len(y)))
            n += len(y)
        path = os.path.join(a.out, name + ".tsv.xz")
        with lzma.open(path, "wt", encoding="utf8", preset=9 | lzma.PRESET_EXTREME) as f:
            f.write("\n".join(text) + "\n")
        print(f"{name}: {len(rows)} pairs, {len(kept)} kept, {os.path.getsize(path) / 1e6:.2f} MB, "
              f"mean lag {lag / n:.2f} source words behind the even pace (wait-4: {wait / n:.2f})", flush=True)
        for i in sorted((i for i in kept if 40 < len(rows[i][0]) < 60), key=lambda i: texts.order(rows[i][1]))[:4]:
            x, y = (z.split(" ") for z in rows[i])
            p = places(at[i], x, y, a.extra)
            print("   ", " ".join(f"{w} [{' '.join(z for z, q in zip(y, p) if q == k)}]" for k, w in enumerate(x)))


if __name__ == "__main__":
    main()
