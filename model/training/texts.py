# SPDX-License-Identifier: Apache-2.0
"""Sentences to speak, held-out parts and voices. A sentence is held out when crc32 of its letters is 0 mod 100,
in every source alike, so no held-out sentence is heard in training in any voice."""
import lzma
import os
import random
import re
import zlib

EN = re.compile(r"[A-Za-z0-9 .,?!'\"$%&:;()-]+")
DE = re.compile(r"[A-Za-zÄÖÜäöüß0-9 .,?!'\"$%&:;()€-]+")
SWAP = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": ".",
                      "\u00a0": " ", "\t": " "})
# espeak-ng variants: not intelligible, whispering only, and held out to judge
BAD = {"Marco", "Alicia", "Demonic", "shelby", "Lee", "zac", "RicishayMax", "RicishayMax2", "norbert", "kaukovalta",
       "whisper", "whisperf"}
HELD_VARIANTS = ["Andy", "Michael", "belinda", "f4", "m5", "klatt3", "david", "steph", "paul", "travis"]
KLATT = ["klatt", "klatt2", "klatt4", "klatt5", "adam", "benjamin", "edward", "edward2", "robosoft", "robosoft2",
         "robosoft3", "robosoft4", "robosoft5", "robosoft6", "robosoft7", "robosoft8"]
DIALECTS = ["en-us", "en-us", "en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029"]
FLITE = ["kal16", "slt", "awb", "rms"]                       # rms only judges


def clean(s):
    s = " ".join(s.translate(SWAP).split())
    return s if len(s) < 2 or s[0] != '"' or s[-1] != '"' or s.count('"') != 2 else s[1:-1]


def key(s):
    return re.sub(r"[^a-z0-9]+", " ", s.lower()).strip()


def held(s):
    return zlib.crc32(key(s).encode()) % 100 == 0


def lines(data, name):
    return lzma.open(os.path.join(data, "text", name), "rt", encoding="utf8").read().split("\n")


def sentences(data, name, most=160):
    out = []
    for s in lines(data, name):
        s = clean(s)
        if 8 <= len(s) <= most and EN.fullmatch(s) and sum(c.isalpha() for c in s) > 5:
            out.append(s)
    return sorted(set(out))


def pairs(data, lang="de"):
    """English -> sorted list of translations."""
    out = {}
    for line in lines(data, f"pairs/en-{lang}.tsv.xz"):
        f = [clean(x) for x in line.split("\t")[:2]]
        if len(f) == 2 and 8 <= len(f[0]) <= 120 and len(f[1]) <= 140 and EN.fullmatch(f[0]) and DE.fullmatch(f[1]):
            out.setdefault(f[0], set()).add(f[1])
    return {a: sorted(b) for a, b in sorted(out.items())}


def load(data):
    """[(english, german or None)] for training, and the held-out lists: plain sentences and pairs."""
    cv, lj, tat = sentences(data, "common-voice.en.txt.xz"), sentences(data, "ljspeech.en.txt.xz"), pairs(data)
    order = lambda s: zlib.crc32(s.encode())
    test = sorted((s for s in cv if held(s) and len(s.split()) >= 4), key=order)[:400]
    test_pairs = sorted(((a, b) for a, b in tat.items() if held(a) and len(a.split()) >= 5), key=lambda x: order(x[0]))[:400]
    train = [(s, None) for s in cv + lj if not held(s)]
    train += [(a, b[order(a) % len(b)]) for a, b in tat.items() if not held(a)]
    return train, test, test_pairs


def variants(espeak_data):
    names = sorted(os.listdir(os.path.join(espeak_data, "voices", "!v")))
    return [v for v in names if v not in BAD and v not in HELD_VARIANTS]


def pick_voice(rng, usable, flite=0.1):
    """Voice fields of a training job: engine, voice, rate, pitch, range, speed (see synth.c)."""
    speed = f"{1.0 if rng.random() < 0.5 else rng.uniform(0.88, 1.14):.2f}"
    r = rng.random()
    if r < flite + 0.06:
        v = "kal16" if r > flite else rng.choice(["slt", "awb"])
        return "f", v, f"{rng.uniform(0.8, 1.25):.2f}", f"{rng.uniform(0.8, 1.25):.2f}", "0", speed
    v = rng.choice([k for k in KLATT if k in usable] if rng.random() < 0.4 else usable)
    v = rng.choice(DIALECTS) + ("+" + v if rng.random() > 0.02 else "")
    return "e", v, str(rng.randint(125, 215)), str(rng.randint(20, 80)), str(rng.randint(30, 80)), speed


def held_voice(i):
    """Voice fields of held-out sentence i: the held-out variants in turn, US and British."""
    rng = random.Random(i)
    return ("e", ("en-us", "en")[i // 10 % 2] + "+" + HELD_VARIANTS[i % 10], str(rng.randint(140, 200)),
            str(rng.randint(35, 65)), "50", "1")


def plain(s):
    """style:plain: lower case, letters, digits and apostrophes only."""
    return " ".join(re.sub(r"[^a-z0-9' ]+", " ", s.lower()).split())
