# SPDX-License-Identifier: Apache-2.0
"""Builds training windows on the CPU: which samples go where, and what each lane says in each slot."""
import glob
import os
import pickle
import random

import numpy as np

import align
import features
import pictures
import texts

S, PREFIX, K, CTC_MAX, WAIT = 12, 16, 4, 448, 4          # utterances, prefix, pictures, letters, wait-k
SLOT = features.SLOT


class Sources:
    """Shards that the loader has put into the arena: WORK/pub/N.pkl = (first sample, meta, dropped shard or None)."""
    def __init__(self, data, work):
        self.train, self.work = texts.load(data)[0], work
        self.shards, self.human, self.seen = {}, {True: [], False: []}, set()

    def refresh(self):
        for f in sorted(glob.glob(os.path.join(self.work, "pub", "*.pkl"))):
            if f in self.seen:
                continue
            self.seen.add(f)
            kind, name, rows, drop = pickle.load(open(f, "rb"))
            for d in drop:
                self.shards.pop(d, None)
            if kind == "human":
                for r in rows:                            # (text, offset, samples, ends, voice, cased)
                    self.human[r[5]].append(r)
            elif rows:
                self.shards[name] = rows
        self.order = list(self.shards)

    def synthetic(self, rng, paired=False):
        """A run of utterances of one voice."""
        for _ in range(20):
            rows = self.shards[rng.choice(self.order)]
            i = rng.randrange(len(rows))
            t, off, n, ends, voice = rows[i]
            if not paired or self.train[t][1]:
                break
        out, run = [], 1 + (rng.random() < 0.35) + (rng.random() < 0.2)
        while len(out) < run and i < len(rows) and rows[i][4] == voice:
            t, off, n, ends, voice = rows[i]
            out.append((self.train[t][0], self.train[t][1], off, n, ends, voice))
            i += 1
        return out

    def recorded(self, rng, cased):
        rows = self.human[cased]
        text, off, n, ends, voice, _ = rows[rng.randrange(len(rows))]
        ws = text.split(" ")
        if len(ws) >= 5 and rng.random() < 0.6:           # a stretch of it
            i = rng.randrange(len(ws) - 3)
            j = min(len(ws), i + rng.randint(3, 14))
            a, b = (max(0, ends[i - 1] - 30) if i else 0), min(n // 16, ends[j - 1] + 40)
            if b - a >= 250:
                text, ends, off, n = " ".join(ws[i:j]), [max(1, e - a) for e in ends[i:j]], off + a * 16, (b - a) * 16
        return [(text, None, off, n, ends, voice)]


class Builder:
    def __init__(self, c, tok, sources, seed, slots=256, human=0.2, noise=0):
        self.c, self.tok, self.src, self.rng, self.t, self.human, self.noise = c, tok, sources, random.Random(seed), slots, human, noise
        self.names = pictures.names()

    def batch(self, b, translated, rich, silent=False):
        """Arrays of b windows, the first `translated` of them with the German lane on."""
        c, t, pad = self.c, self.t, self.c.pad
        o = {"src": np.zeros((b, S), np.int64), "dst": np.full((b, S), t * SLOT, np.int64), "len": np.zeros((b, S), np.int64),
             "gain": np.ones((b, S), np.float32), "noise": np.full((b,), -1, np.int64),
             "cap": np.full((b, t), pad, np.int64), "tr": np.full((translated, t), pad, np.int64),
             "tr_mask": np.ones((translated, t), np.float32), "ctc": np.zeros((b, CTC_MAX), np.int64),
             "ctc_len": np.zeros(b, np.int64), "act": np.zeros((b, t, c.acts), np.float32),
             "cond": np.zeros((b, len(c.conds)), np.float32)}
        if rich:
            o.update(desc=np.full((b, t), pad, np.int64), desc_on=np.ones((b, t), np.float32),
                     prefix=np.full((b, PREFIX), -1, np.int64), when=np.full((b, K), t, np.int64),
                     icons=np.full((b, K, pictures.MOST), -1, np.int64), look=np.zeros((b, K), np.int64))
        for i in range(b):
            self.window(o, i, i < translated, rich, silent)
        return o

    def window(self, o, b, german, rich, silent):
        rng, c = self.rng, self.c
        cased = rng.random() < 0.65
        o["cond"][b, c.conds.index("style:cased" if cased else "style:plain")] = 1
        if german:
            o["cond"][b, c.conds.index("to:de")] = 1
        if self.noise and rng.random() < 0.3:
            o["noise"][b] = rng.randrange(self.noise)
        said, p = [], int(rng.uniform(0.0, 4.0 if rng.random() < 0.1 else 1.2) * 16000)
        if rng.random() >= 0.05 and not silent:
            self.fill(o, b, german, cased, said, p)
        if rich:
            self.look(o, b, said)

    def fill(self, o, b, german, cased, said, p):
        rng, t, k, queue, last_voice = self.rng, self.t, 0, [], None
        at = {"cap": 0, "tr": 0}
        loud = rng.uniform(-6, 6)
        while k < S and p < (t - 6) * SLOT:
            if not queue:
                human = self.src.human[True] and rng.random() < (0.08 if german else self.human)
                queue = (self.src.recorded(rng, rng.random() < 0.7 if cased else rng.random() < 0.25) if human
                         else self.src.synthetic(rng, german and rng.random() < 0.9))
            text, de, off, n, ends, voice = queue.pop(0)
            o["dst"][b, k], o["src"][b, k], o["len"][b, k] = p, off, n
            o["gain"][b, k] = 10 ** ((loud + rng.uniform(-6, 3)) / 20)
            gap = int((rng.uniform(0.05, 0.5) if queue or rng.random() < 0.3 else
                       rng.uniform(3, 7) if rng.random() < 0.08 else rng.uniform(0.3, 2.2)) * 16000)
            self.speak(o, b, at, text if cased else None, text, de if german else None, ends, p, german)
            self.activity(o, b, p, ends, gap + n, last_voice is not None and voice != last_voice)
            said.append(text)
            last_voice, k, p = voice, k + 1, p + n + gap

    def put(self, row, at, slot, ids):
        """Queues ids from `slot` on; returns the first free slot after them."""
        s = max(at, slot)
        for z in ids:
            if s < self.t:
                row[s] = z
            s += 1
        return s

    def speak(self, o, b, at, cased, text, de, ends, p, german):
        base, words, delay = p / 16, text.split(" "), self.c.delay + 1
        limit, n = self.t * SLOT / 16, o["ctc_len"][b]
        for w, e in zip(words, ends):
            ms = base + int(e)
            if ms >= limit:
                break
            shown = [w] if cased is not None else texts.plain(w).split()
            at["cap"] = self.put(o["cap"][b], at["cap"], int(ms / 80) + delay, [z for x in shown for z in self.tok.word(x)])
            y = [align.ID[ch] for ch in align.letters(w)]
            if y and n + len(y) + 1 <= CTC_MAX:
                o["ctc"][b, n:n + len(y) + 1] = y + [1]
                n += len(y) + 1
        o["ctc_len"][b] = n
        if not german:
            return
        if de is None:
            o["tr_mask"][b, p // SLOT:int((base + int(ends[-1])) / 80) + 25] = 0
            return
        de = de.split(" ")
        for j, w in enumerate(de):
            i = min(len(words) - 1, (j + 1) * len(words) // len(de) - 1 + WAIT)
            at["tr"] = self.put(o["tr"][b], at["tr"], int((base + int(ends[max(0, i)])) / 80) + delay, self.tok.word(w))

    def activity(self, o, b, p, ends, room, changed):
        first, last = p // SLOT, int((p / 16 + int(ends[-1])) / 80)
        o["act"][b, first:last + 1, 0] = 1
        end = last + self.c.delay
        if (p + room) // SLOT > end:
            o["act"][b, end:min(end + 5, (p + room) // SLOT), 1] = 1
        if changed:
            o["act"][b, first:first + 6, 2] = 1

    def look(self, o, b, said):
        """Pictures, their description, and a text prefix."""
        rng, t = self.rng, self.t
        if rng.random() < 0.3 and said:
            words = [w.strip(".,?!;:\"()") for s in said for w in s.split(" ")[1:]]
            words = [w for w in words if len(w) > 4 or w[:1].isupper()]
            pick = rng.sample(words, min(len(words), rng.randint(0, 3)))
            pick += [rng.choice(self.src.train[rng.randrange(len(self.src.train))][0].split(" ")).strip(".,?!;:\"()")
                     for _ in range(rng.randint(0, 3))]
            rng.shuffle(pick)
            ids = [z for w in pick if w for z in self.tok.word(w)][:PREFIX]
            if ids:
                o["prefix"][b, -len(ids):] = ids
        if rng.random() < 0.15:
            o["desc_on"][b] = 0                           # lane off: pictures may be there, nothing is said
        slot, free, before = rng.randrange(0, 50), 0, None
        for k in range(rng.choice([0, 1, 2, 3, 4, 4])):
            if slot >= t - 2:
                break
            again = before is not None and rng.random() < 0.35
            if not again:
                n = rng.choice([0, 1, 1, 1, 1, 2, 2, 2, 3, 3])
                before = (rng.sample(range(len(self.names)), n), rng.randrange(1 << 16))
            o["when"][b, k], o["look"][b, k] = slot, before[1]
            o["icons"][b, k, :len(before[0])] = before[0]
            if not again and before[0]:
                text = pictures.describe(before[0], self.names)
                free = self.put(o["desc"][b], free, slot + 2, self.tok.encode(text))
            slot += rng.choice([rng.randint(13, 25), 25, rng.randint(25, 90)])
