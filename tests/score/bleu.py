#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Corpus BLEU and chrF2 the way sacreBLEU 2 computes them by default (13a tokens, exponential smoothing).

    bleu.py REF HYP       both: lines of ID <tab> TEXT, or HYP as `lumivox transcribe --format json` writes it

A line may have several references, separated by a tab more.
"""
import math
import re
import sys
from collections import Counter

import wer


def tokens_13a(s):
    s = s.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for a, b in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        s = s.replace(a, b)
    s = f" {s} "
    s = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", s)
    s = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", s)
    s = re.sub(r"([\.,])([^0-9])", r" \1 \2", s)
    s = re.sub(r"([0-9])(-)", r"\1 \2 ", s)
    return s.split()


def ngrams(seq, n):
    return Counter(tuple(seq[i:i + n]) for i in range(len(seq) - n + 1))


def bleu(refs, hyps):
    """refs: a list of lists of references; hyps: a list of texts. 0..100."""
    right, total, hyp_len, ref_len = [0] * 4, [0] * 4, 0, 0
    for rs, h in zip(refs, hyps):
        h = tokens_13a(h)
        rs = [tokens_13a(r) for r in rs]
        hyp_len += len(h)
        ref_len += min((abs(len(r) - len(h)), len(r)) for r in rs)[1]
        for n in range(1, 5):
            got, most = ngrams(h, n), Counter()
            for r in rs:
                most |= ngrams(r, n)
            right[n - 1] += sum(min(c, most[g]) for g, c in got.items())
            total[n - 1] += sum(got.values())
    if not hyp_len or not right[0]:
        return 0.0
    smooth, log = 1.0, 0.0
    for r, t in zip(right, total):
        if not t:
            return 0.0
        if not r:
            smooth *= 2
        log += math.log(r / t if r else 1 / (smooth * t)) / 4
    return 100 * math.exp(log + min(0.0, 1 - ref_len / hyp_len))


def chrf(refs, hyps, order=6, beta=2):
    """chrF2 without spaces; of several references the best one counts. 0..100."""
    stats = [[0, 0, 0] for _ in range(order)]
    for rs, h in zip(refs, hyps):
        best = None
        for r in rs:
            one = []
            for n in range(1, order + 1):
                a, b = ngrams("".join(h.split()), n), ngrams("".join(r.split()), n)
                one.append((sum((a & b).values()), sum(a.values()), sum(b.values())))
            f = f_score(one, beta)
            if best is None or f > best[0]:
                best = (f, one)
        for total, one in zip(stats, best[1]):
            for k in range(3):
                total[k] += one[k]
    return 100 * f_score(stats, beta)


def f_score(stats, beta):
    precision = recall = n = 0
    for both, h, r in stats:
        if h and r:
            precision, recall, n = precision + both / h, recall + both / r, n + 1
    if not n or not precision or not recall:
        return 0.0
    precision, recall = precision / n, recall / n
    return (1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall)


def main(ref, hyp, lane="translation"):
    refs, hyps = wer.read(ref), wer.read(hyp, lane)
    rs = [t.split("\t") for t in refs.values()]
    hs = [hyps.get(k, "") for k in refs]
    print(f"BLEU {bleu(rs, hs):.1f}  chrF2 {chrf(rs, hs):.1f}  {len(hs)} texts, "
          f"{sum(len(tokens_13a(h)) for h in hs)} tokens")


if __name__ == "__main__":
    main(*sys.argv[1:4])
