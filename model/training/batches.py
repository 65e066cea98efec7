# SPDX-License-Identifier: Apache-2.0
"""Builds training windows on the CPU: which samples go where, and what each lane says in each slot. A batch is one
array of int32 rows, cut up again on the device (Layout)."""
import glob
import os
import pickle
import random

import numpy as np

import features
import pictures
import texts
from m3 import CTC_CHARS

PREFIX, K = 16, 7                                        # prefix tokens, pictures in a window
SEE = 2                                                  # slots from a picture to what is said of it
HIGH = 1 << 24                                           # sample offsets need more than 31 bits: high, low
SLOT = features.SLOT
ID = {ch: i + 1 for i, ch in enumerate(CTC_CHARS)}
SPEECH, END, CHANGE, UNKNOWN = 1, 2, 4, 8                # bits: activity; a translation that is not known
# what translated windows ask for: language spoken, target, share
TARGETS = (("en", "de", 30), ("en", "es", 22), ("en", "fr", 22), ("en", "zh", 5), ("de", "en", 21))


class Layout:
    """Where each field of a window stands in its row of int32."""
    def __init__(self, t, rich):
        pieces, self.letters = t // 10, t * 7 // 4       # sounds in a window, letters of the CTC
        self.pieces = pieces
        sizes = {"src_high": pieces, "src_low": pieces, "dst": pieces, "len": pieces, "gain": pieces, "noise": 2, "cap": t,
                 "tr": t, "bits": t, "ctc": self.letters, "ctc_len": 1, "cond": 1, "on": 6, "human": 1}
        if rich:
            sizes.update(desc=t, prefix=PREFIX, when=K, spec=K * pictures.NSPEC)
        self.rich, self.t, self.width, self.at = rich, t, 0, {}
        for name, n in sizes.items():
            self.at[name] = (self.width, self.width + n)
            self.width += n

    def cut(self, rows, name):
        lo, hi = self.at[name]
        return rows[:, lo:hi]


class Shard:
    """Utterances of one maker's shard: (item or -1, lang, text, offset, samples, ends, voice), and which suit what."""
    def __init__(self, rows, items):
        self.rows, self.by = rows, {}
        for i, r in enumerate(rows):
            self.by.setdefault(r[1], []).append(i)
            for target in items[r[0]].to if r[0] >= 0 else ():
                self.by.setdefault((r[1], target), []).append(i)


class Sources:
    """What the arena has published in WORK/pub."""
    def __init__(self, items, work):
        self.items, self.work, self.sounds = items, work, []
        self.shards, self.order, self.seen = {}, [], set()
        self.recorded, self.speaker = {}, {}             # (lang, cased or "extra") -> rows; speaker -> rows

    def refresh(self):
        for f in sorted(glob.glob(os.path.join(self.work, "pub", "*.pkl"))):
            if f in self.seen:
                continue
            self.seen.add(f)
            kind, name, rows, drop = pickle.load(open(f, "rb"))
            for d in drop:
                self.shards.pop(d, None)
            if kind == "recorded":
                for r in rows:                           # (text, offset, samples, ends, speaker, cased, lang)
                    self.recorded.setdefault((r[6], r[5]), []).append(r)
                    self.speaker.setdefault(r[4], []).append(r)
            elif kind == "sounds":
                self.sounds = rows                       # (offset, samples, label)
            elif rows:
                self.shards[name] = Shard(rows, self.items)
        self.order = list(self.shards)

    def synthetic(self, rng, lang, target):
        """A run of utterances of one voice: [(text, translations, offset, samples, ends, voice, longest pause before the next in
        seconds)]; [] if none is there."""
        some, out = None, []
        for _ in range(6):
            shard = self.shards[rng.choice(self.order)]
            some = shard.by.get((lang, target) if target else lang)
            if some:
                break
        if not some:
            return out
        i, run = rng.choice(some), 1 + (rng.random() < 0.35) + (rng.random() < 0.2)
        voice = shard.rows[i][6]
        while len(out) < run and i < len(shard.rows) and shard.rows[i][6] == voice and shard.rows[i][1] == lang:
            item, _, text, off, n, ends, _ = shard.rows[i]
            out.append((text, self.items[item].to if item >= 0 else {}, off, n, ends, voice, 0.5))
            i += 1
        return out

    def spoken(self, rng, lang, cased):
        """Recorded utterances of one speaker: whole ones, stretches of several joined, or a few words of many. What was heard
        hundreds of times is known by heart, a word as well as a sentence; new neighbours make it new."""
        rows = self.recorded[(lang, cased)]
        first, r = rows[rng.randrange(len(rows))], rng.random()
        if r < 0.15:
            return [(first[0], {}, *first[1:5], 0.5)]
        few = r > 0.55
        more, out = self.speaker[first[4]], []
        for _ in range(rng.randint(3, 9) if few else rng.choice((1, 1, 2, 3))):
            text, off, n, ends, voice, _, _ = first
            ws = text.split(" ")
            if len(ws) >= 5 or few:
                i = rng.randrange(max(1, len(ws) - (0 if few else 3)))
                j = min(len(ws), i + (rng.randint(1, 4) if few else rng.randint(3, 14)))
                a, b = (max(0, ends[i - 1] - 15) if i else 0), min(n // 16, ends[j - 1] + 25)
                if b - a < 120:
                    continue
                text, ends, off, n = " ".join(ws[i:j]), [max(1, e - a) for e in ends[i:j]], off + a * 16, (b - a) * 16
            out.append((text, {}, off, n, ends, voice, 0.04 if few and rng.random() < 0.8 else 0.5))
            first = more[rng.randrange(len(more))]
        return out or [(first[0], {}, *first[1:5], 0.5)]


class Builder:
    """human, german: shares of the speech that are recordings, and of the windows without translation that are German; late: of the
    words that are said a slot late (of those, two slots late, and so on). So that the model must look at what it has said to know what is still to be said: where
    every word comes in the one slot that its sound foretells, it learns to take a word that was due for said."""
    def __init__(self, c, tok, sources, seed, layout, translated, human=0.3, names=None, german=0.22, late=0.0):
        self.c, self.tok, self.src, self.rng = c, tok, sources, random.Random(seed)
        self.layout, self.t, self.translated, self.human = layout, layout.t, translated, human
        self.german, self.late = german, late
        self.scenes = pictures.Scenes(names) if layout.rich else None
        self.cond = {name: 1 << i for i, name in enumerate(c.conds)}
        self.shares = [x[2] for x in TARGETS]

    def batch(self, b):
        """int32 [b, width]; in the first `translated` windows the translation lane is on."""
        out = np.zeros((b, self.layout.width), np.int32)
        for i in range(b):
            self.window(out[i:i + 1], i < self.translated)
        return out

    def window(self, row, translated):
        rng, c, t = self.rng, self.c, self.t
        lang, target, _ = rng.choices(TARGETS, self.shares)[0] if translated else ("de" if rng.random() < self.german else "en", None, 0)
        cased, given = rng.random() < 0.72, rng.random() < 0.5
        delay = c.delay if rng.random() < 0.5 else rng.choice(c.delays)
        w = Window(t, c.pad, delay)
        cond = self.cond["style:cased" if cased else "style:plain"] | self.cond[f"delay:{delay}"]
        cond |= self.cond["in:" + lang] if given else 0
        cond |= self.cond["to:" + target] if target else 0
        on = [0, t, 0, t if translated else 0, 0, t]
        if translated:                                   # lanes come and go
            if rng.random() < 0.15:
                on[2] = rng.randrange(t) if rng.random() < 0.6 else 0
                on[3] = rng.randint(on[2], t) if rng.random() < 0.5 else t
            if rng.random() < 0.06:
                on[1] = 0
        elif rng.random() < 0.04:
            on[0] = rng.randrange(t)
        w.begin = {"cap": on[0], "tr": on[2]}
        self.fill(w, lang, target, cased, mixed=not given and not translated)
        put = lambda name, x: self.layout.cut(row, name).__setitem__((0, slice(len(x))), x)
        if self.layout.rich:
            self.look(w, on, put)
        high, low = np.divmod(np.array([p[0] for p in w.pieces], np.int64), HIGH)
        put("src_high", high)
        put("src_low", low)
        for i, name in enumerate(("dst", "len", "gain")):
            put(name, [p[1 + i] for p in w.pieces])
        sound = rng.choice(self.src.sounds) if self.src.sounds and rng.random() < 0.3 else None
        at = sound[0] + rng.randrange(sound[1] - 80000 + 1) if sound else -1
        put("noise", (at // HIGH, at % HIGH) if sound else (-1, 0))
        for name, x in (("cap", w.cap), ("tr", w.tr), ("bits", w.bits), ("ctc", w.ctc), ("ctc_len", [len(w.ctc)]),
                        ("cond", [cond]), ("on", on), ("human", [w.human * 2 > len(w.said)])):
            put(name, x)

    def fill(self, w, lang, target, cased, mixed):
        """Utterances, pauses and sounds one after another."""
        rng, t, queue, last_voice = self.rng, self.t, [], None
        talk = rng.random() >= 0.06
        p = int(rng.uniform(0.0, 4.0 if rng.random() < 0.1 else 1.2) * 16000)
        loud, tongue = rng.uniform(-6, 6), lang
        while len(w.pieces) < self.layout.pieces and p < (t - 6) * SLOT:
            if self.src.sounds and not queue and rng.random() < (0.09 if talk else 0.6):
                p = self.sound(w, p) + int(rng.uniform(0.2, 2) * 16000)
                continue
            if not talk:
                p += int(rng.uniform(1, 8) * 16000)
                continue
            if not queue:
                tongue = lang if not mixed or rng.random() > 0.08 else rng.choice(("en", "de"))
                group = (tongue, tongue == "de" or (rng.random() < 0.5 if cased else rng.random() < 0.25))
                human = rng.random() < (0.06 if target else self.human * (0.6 if tongue == "de" else 1))
                if not human and not target and tongue == "en" and rng.random() < 0.08:
                    human, group = True, (tongue, "extra")
                queue = (self.src.spoken(rng, *group) if human and group in self.src.recorded
                         else self.src.synthetic(rng, tongue, target if rng.random() < 0.93 else None))
                if not queue:
                    break
            text, to, off, n, ends, voice, pause = queue.pop(0)
            w.human += human
            gap = int((rng.uniform(0.0, pause) if queue else rng.uniform(0.02, 0.5) if rng.random() < 0.3 else
                       rng.uniform(3, 7) if rng.random() < 0.08 else rng.uniform(0.3, 2.2)) * 16000)
            w.pieces.append((off, p, n, int((loud + rng.uniform(-6, 3)) * 100)))
            self.speak(w, text, ends, p, cased, target, to.get(target) if target else None)
            w.activity(p, ends, gap + n, last_voice is not None and voice != last_voice)
            w.said.append(text)
            last_voice, p = voice, p + n + gap

    def sound(self, w, p):
        """A sound of its own, named in brackets; returns where it ends."""
        rng = self.rng
        off, n, label = rng.choice(self.src.sounds)
        long = int((rng.uniform(3, 12) if label == "[music]" else rng.uniform(1.5, 5)) * 16000)
        long = min(n, long)
        w.pieces.append((off + rng.randrange(n - long + 1), p, long, int(rng.uniform(-10, 6) * 100)))
        w.put("cap", int((p / 16 + 1000) / 80) + w.delay + 1, self.tok.word(label))
        return p + long

    def speak(self, w, text, ends, p, cased, target, translation):
        base, words, delay = p / 16, text.split(" "), w.delay + 1
        limit = self.t * SLOT / 16
        for x, e in zip(words, ends):
            ms = base + int(e)
            if ms >= limit:
                break
            slot = int(ms / 80) + delay
            while self.rng.random() < self.late:
                slot += 1
            for shown in ([x] if cased else texts.plain(x).split()):
                w.put("cap", slot, self.tok.word(shown))
            y = [ID[ch] for ch in x.lower() if ch in ID and ch != " "]
            if y and len(w.ctc) + len(y) + 1 <= self.layout.letters:
                w.ctc += y + [1]
        if not target:
            return
        if translation is None:
            for s in range(p // SLOT, min(self.t, int((base + int(ends[-1])) / 80) + delay + 16)):
                w.bits[s] |= UNKNOWN
            return
        said, places = translation
        for x, i in zip(said.split(" "), places):
            w.put("tr", int((base + int(ends[min(i, len(ends) - 1)])) / 80) + delay, self.tok.word(x))

    def look(self, w, on, put):
        """Pictures, their description, and a text prefix."""
        rng, t = self.rng, self.t
        if rng.random() < 0.45 and w.said:
            words = [x.strip(".,?!;:\"()") for s in w.said for x in s.split(" ")[1:]]
            names = [x for x in words if x[:1].isupper()]
            words = [x for x in words if len(x) > 4]
            pick = rng.sample(names, min(len(names), rng.randint(0, 4))) + rng.sample(words, min(len(words), rng.randint(0, 2)))
            pick += [rng.choice(self.src.items[rng.randrange(len(self.src.items))].text.split(" ")).strip(".,?!;:\"()")
                     for _ in range(rng.randint(0, 3))]
            rng.shuffle(pick)
            ids = [z for x in pick if x for z in self.tok.word(x)][:PREFIX]
        else:
            ids = []
        put("prefix", [-1] * (PREFIX - len(ids)) + ids)
        when, spec, said = self.scenes.window(rng, t, K)
        if rng.random() < 0.12:                          # lane off: pictures may be there, nothing is said
            on[5] = 0
        elif rng.random() < 0.1:
            on[4] = rng.randrange(t)
        w.begin["desc"] = on[4]
        w.desc = [self.c.pad] * t
        for slot, text in said:
            if text:
                for x in text.split(" "):
                    w.put("desc", slot + SEE, self.tok.word(x))
        put("desc", w.desc)
        put("when", when)
        put("spec", spec.astype(np.float32).reshape(-1).view(np.int32))


class Window:
    """What one window says, while it is put together."""
    def __init__(self, t, pad, delay):
        self.t, self.delay = t, delay
        self.cap, self.tr, self.bits = [pad] * t, [pad] * t, [0] * t
        self.pieces, self.ctc, self.said, self.free, self.begin, self.human = [], [], [], {}, {}, 0

    def put(self, lane, slot, ids):
        """Queues a word's ids from `slot` on. A word that begins before its lane is on is not said."""
        row, s = getattr(self, lane), max(self.free.get(lane, 0), slot)
        self.free[lane] = s + len(ids)
        if s >= self.begin[lane]:
            for z in ids[:self.t - s if s < self.t else 0]:
                row[s] = z
                s += 1

    def activity(self, p, ends, room, changed):
        first, last = p // SLOT, int((p / 16 + int(ends[-1])) / 80)
        for s in range(first, min(self.t, last + 1)):
            self.bits[s] |= SPEECH
        end = last + self.delay
        for s in range(end, min(self.t, end + 5, (p + room) // SLOT)):
            self.bits[s] |= END
        if changed:
            for s in range(first, min(self.t, first + 6)):
                self.bits[s] |= CHANGE
