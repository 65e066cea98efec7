#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a word's confidence is worth.

    confidence.py REF HYP [REF HYP]...     files as score.py --keep DIR leaves them: NAME.ref.tsv NAME.jsonl

Prints the reliability curve (words said with a confidence, the share of them that is right), the expected calibration
error over ten bins, and the `confidence` of config.json (scale, offset) that would suit these words best: a logistic
regression of "right" on the model's log odds. Fit on one set, judge on another.
"""
import json
import math
import sys

import wer

BINS = 10


def right_words(ref, hyp):
    """For each word of hyp: does a least-cost alignment match it?"""
    cost = [list(range(len(hyp) + 1))]
    for i, r in enumerate(ref, 1):
        row = [i]
        for j, h in enumerate(hyp, 1):
            row.append(min(cost[-1][j - 1] + (r != h), cost[-1][j] + 1, row[-1] + 1))
        cost.append(row)
    i, j, out = len(ref), len(hyp), [False] * len(hyp)
    while i and j:
        if cost[i][j] == cost[i - 1][j - 1] + (ref[i - 1] != hyp[j - 1]):
            i, j = i - 1, j - 1
            out[j] = ref[i] == hyp[j]
        elif cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return out


def words(ref_file, hyp_file):
    """[(confidence, right)] of the caption lane's words."""
    refs, said = wer.read(ref_file), {}
    with open(hyp_file, encoding="utf8") as f:
        for o in map(json.loads, f):
            if o.get("lane") == "caption":
                said.setdefault(wer.file_id(o.get("file", "")), []).extend(o["words"])
    out = []
    for key, ws in said.items():
        flat = [(x, w["confidence"]) for w in ws for x in wer.normalise(w["text"])]
        ok = right_words(wer.normalise(refs.get(key, "")), [x for x, _ in flat])
        out += [(c, r) for (_, c), r in zip(flat, ok)]
    return out


def odds(p):
    p = min(max(p, 1e-3), 1 - 1e-3)                      # three digits are written
    return math.log(p / (1 - p))


def fit(rows):
    """Newton's method -> scale, offset."""
    a, b = 1.0, 0.0
    for _ in range(30):
        ga = gb = haa = hab = hbb = 0.0
        for c, ok in rows:
            x = odds(c)
            p = 1 / (1 + math.exp(-(a * x + b)))
            w = p * (1 - p)
            ga, gb = ga + (ok - p) * x, gb + (ok - p)
            haa, hab, hbb = haa + w * x * x, hab + w * x, hbb + w
        det = haa * hbb - hab * hab + 1e-9
        a, b = a + (hbb * ga - hab * gb) / det, b + (haa * gb - hab * ga) / det
    return a, b


def reliability(rows):
    """[(words, mean confidence, share right)] of each bin that has words; the expected calibration error."""
    bins = [[] for _ in range(BINS)]
    for c, ok in rows:
        bins[min(BINS - 1, int(c * BINS))].append((c, ok))
    out = [(len(b), sum(c for c, _ in b) / len(b), sum(ok for _, ok in b) / len(b)) for b in bins if b]
    return out, sum(n * abs(c - r) for n, c, r in out) / max(1, len(rows))


def main(args):
    if not args or len(args) % 2:
        sys.exit(__doc__)
    rows = [x for ref, hyp in zip(args[::2], args[1::2]) for x in words(ref, hyp)]
    if not rows:
        sys.exit("confidence.py: no words")
    curve, ece = reliability(rows)
    print(f"{'words':>7} {'confidence':>11} {'right':>7}")
    for n, c, r in curve:
        print(f"{n:7} {c:11.3f} {r:7.3f}")
    a, b = fit(rows)
    print(f"{len(rows)} words, {sum(ok for _, ok in rows) / len(rows):.3f} right; expected calibration error {ece:.3f}; "
          f'best "confidence": {{"scale": {a:.3f}, "offset": {b:.3f}}}')


if __name__ == "__main__":
    main(sys.argv[1:])
