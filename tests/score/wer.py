#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Word error rate.

    wer.py REF HYP        both: lines of ID <tab> TEXT; HYP may also be what
                          `lumivox transcribe --format json` writes (ID = file name without folder and suffix)

Both sides are compared in lower case, without punctuation, hyphens as spaces, digits spelled out and
Mr/Mrs/Dr as they are spoken. S, D, I are of one alignment with the least errors, over all texts together;
the interval is a bootstrap over the texts (1,000 draws, fixed seed).
"""
import argparse
import json
import os
import random
import re
import sys
import unicodedata

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
SPOKEN = {"mr": "mister", "mrs": "missus", "dr": "doctor", "&": "and", "%": "percent"}


def number(n):
    """An integer below a million in words, without 'and'."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (" " + ONES[n % 10] if n % 10 else "")
    if n < 1000:
        return ONES[n // 100] + " hundred" + (" " + number(n % 100) if n % 100 else "")
    return number(n // 1000) + " thousand" + (" " + number(n % 1000) if n % 1000 else "")


def normalise(text):
    """The words that are compared."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("ʼ", "'")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(?<!\d)\d{1,6}(?!\d)", lambda m: " " + number(int(m[0])) + " ", text)
    text = re.sub(r"[&%]", lambda m: " " + SPOKEN[m[0]] + " ", text)
    text = re.sub(r"[^\w']+|_", " ", text)
    words = (w.strip("'") for w in text.split())
    return [SPOKEN.get(w, w) for w in words if w]


def align(ref, hyp):
    """(substitutions, deletions, insertions) of a least-cost alignment; on a tie substitutions win."""
    row = [(j, 0, 0, j) for j in range(len(hyp) + 1)]  # (cost, s, d, i)
    for i, r in enumerate(ref, 1):
        last, row = row, [(i, 0, i, 0)]
        for j, h in enumerate(hyp, 1):
            if r == h:
                row.append(last[j - 1])
                continue
            c, s, d, n = last[j - 1]
            best = (c + 1, s + 1, d, n)
            c, s, d, n = last[j]
            if c + 1 < best[0]:
                best = (c + 1, s, d + 1, n)
            c, s, d, n = row[j - 1]
            if c + 1 < best[0]:
                best = (c + 1, s, d, n + 1)
            row.append(best)
    return row[-1][1:]


def score(refs, hyps):
    """refs, hyps: {id: text}. A text without a hypothesis counts as silence."""
    rows = []
    for key, text in refs.items():
        ref = normalise(text)
        rows.append((len(ref), *align(ref, normalise(hyps.get(key, "")))))
    n, s, d, i = (sum(r[k] for r in rows) for k in range(4))
    rng, draws = random.Random(1), []
    for _ in range(1000 if len(rows) > 1 else 0):
        pick = rng.choices(rows, k=len(rows))
        draws.append(sum(sum(r[1:]) for r in pick) / max(1, sum(r[0] for r in pick)))
    draws.sort()
    return {"texts": len(rows), "words": n, "s": s, "d": d, "i": i, "wer": (s + d + i) / max(1, n),
            "low": draws[25] if draws else None, "high": draws[-26] if draws else None}


def show(name, r):
    interval = f"  [{r['low']:.1%}, {r['high']:.1%}]" if r["low"] is not None else ""
    return (f"{name:<28} WER {r['wer']:6.1%}{interval}  {r['words']} words in {r['texts']} texts: "
            f"{r['s']} substituted, {r['d']} missed, {r['i']} added")


def file_id(path):
    return os.path.splitext(os.path.basename(path))[0]


def read_json_lines(lines, lane="caption"):
    """{id: text} of what `lumivox transcribe --format json` wrote."""
    out = {}
    for line in lines:
        o = json.loads(line)
        if o.get("lane") == lane:
            key = file_id(o.get("file", ""))
            out[key] = (out.get(key, "") + " " + o["text"]).strip()
    return out


def read(path, lane="caption"):
    with open(path, encoding="utf8") as f:
        lines = [s.rstrip("\n") for s in f if s.strip()]
    if lines and lines[0].startswith("{"):
        return read_json_lines(lines, lane)
    return dict(s.split("\t", 1) if "\t" in s else (s, "") for s in lines)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("ref")
    ap.add_argument("hyp")
    ap.add_argument("--lane", default="caption")
    ap.add_argument("--each", action="store_true", help="each text with its errors, the worst first")
    a = ap.parse_args()
    refs, hyps = read(a.ref), read(a.hyp, a.lane)
    if a.each:
        rows = [(sum(align(normalise(t), normalise(hyps.get(k, "")))), k, t) for k, t in refs.items()]
        for errors, k, t in sorted(rows, reverse=True):
            print(f"{errors}\t{k}\n\tREF {t}\n\tHYP {hyps.get(k, '')}")
    print(show(os.path.basename(a.ref), score(refs, hyps)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
