# SPDX-License-Identifier: Apache-2.0
"""Models trained alike, to compare: the same windows in the same order for all of a seed, made of a corpus that is spoken once.

lab.py make OUT --data .. (as routers.py)         speaks and builds all that the runs of so many --steps take, beforehand

Unlike train.py, whose data come as fast as they are made, a step here sees the same windows on every machine; what a model is
(its config, its role) is all that differs. OUT/corpus has the speech, OUT/windows what each step sees, OUT/NAME.pt the
checkpoint of a run."""
import argparse
import collections
import multiprocessing
import os
import pickle
import random
import sys
import zlib
from typing import NamedTuple

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import batches  # noqa: E402
import evaluate  # noqa: E402
import m3  # noqa: E402
import pictures  # noqa: E402
import results  # noqa: E402
import speech  # noqa: E402
import step  # noqa: E402
import texts  # noqa: E402
import tokens  # noqa: E402

BEFORE = 1 << 16                                         # silence in front of all samples
# Nothing is heard where a role has no sound; lanes that it lacks are off, unless it is fed their text.
Role = collections.namedtuple("Role", "share sound captions pictures")
ROLES = {"joint": Role({"cap": 1.0, "tr": 0.6, "desc": 0.6, "act": 0.15, "ctc": 0.4}, True, True, True),
         "speech": Role({"cap": 1.0, "tr": 0.0, "desc": 0.0, "act": 0.15, "ctc": 0.4}, True, True, False),
         "text": Role({"cap": 0.0, "tr": 1.0, "desc": 0.0, "act": 0.0, "ctc": 0.0}, False, True, False),
         "picture": Role({"cap": 0.0, "tr": 0.0, "desc": 1.0, "act": 0.0, "ctc": 0.0}, True, False, True)}


def options(a):
    for x in ("data", "places", "tokenizer", "synth", "espeak-data", "drawings", "held-drawings"):
        a.add_argument("--" + x, required=True)
    a.add_argument("--chunks", type=int, default=48, help="of the corpus, some 0.7 h each")
    a.add_argument("--sentences", type=int, default=600, help="of a chunk")
    a.add_argument("--jobs", type=int, default=os.cpu_count())
    a.add_argument("--steps", type=int, default=4000)
    a.add_argument("--batch", type=int, default=160)
    a.add_argument("--rich-batch", type=int, default=64)
    a.add_argument("--slots", type=int, default=256)
    a.add_argument("--lr", type=float, default=2e-3)
    a.add_argument("--seeds", default="1")
    a.add_argument("--rows", type=int, default=64, help="windows of each set to judge by")
    a.add_argument("--budget-s", type=float, default=540)
    a.add_argument("--no-graphs", action="store_true", help="nor compilation")


# ---- the corpus

def held_items(data, places, most):
    """Held-out sentences with their translations, `most` of each language."""
    found = {lang: {} for lang in texts.TARGETS}
    for source, targets in texts.TARGETS.items():
        for target in targets:
            for a, b, at in texts.translations(places, source, target):
                if texts.held(a if source == "en" else b):
                    found[source].setdefault(a, {})[target] = (b, at.encode().translate(texts.PLACES))
    return [texts.Item(lang, s, known[s]) for lang, known in found.items() for s in sorted(known, key=texts.order)[:most]]


def speak_chunk(job):
    """Writes OUT/corpus/NAME.{pcm,pkl}; rows as batches.Shard has them, offsets from 0."""
    a, name, items = job
    base = os.path.join(a.out, "corpus", name)
    if os.path.exists(base + ".pkl"):
        return
    if name == "dev":
        ids = [(i, x.lang) for i, x in enumerate(items)]
        jobs = [(texts.held_voice(i, lang), items[i].text) for i, lang in ids]
    else:
        pools = {(lang, paired): [i for i, x in enumerate(items) if x.lang == lang and bool(x.to) == paired]
                 for lang in texts.TARGETS for paired in (True, False)}
        jobs, ids = speech.jobs_of(random.Random(name), items, pools, texts.variants(a.espeak_data), a.sentences)
    pcm, rows = speech.speak(jobs, a.synth, base, os.path.dirname(a.espeak_data.rstrip("/")))
    pcm.tofile(base + ".pcm")
    meta = [(*ids[i][:2], jobs[i][1], off, n, np.array(ends, np.int32), zlib.crc32("".join(jobs[i][0]).encode()))
            for i, off, n, ends in rows]
    results.whole(base + ".pkl", lambda f: pickle.dump(meta, f))


class Part(NamedTuple):
    sources: batches.Sources
    pcm: np.ndarray


def part(a, names, items):
    src, pcm, at = batches.Sources(items, a.out), [np.zeros(BEFORE, np.int16)], BEFORE
    for name in names:
        base = os.path.join(a.out, "corpus", name)
        with open(base + ".pkl", "rb") as f:
            rows = pickle.load(f)
        pcm.append(np.fromfile(base + ".pcm", np.int16))
        src.shards[name] = batches.Shard([(i, lang, text, at + off, n, e, v) for i, lang, text, off, n, e, v in rows], items)
        at += len(pcm[-1])
    src.order = list(src.shards)
    return Part(src, np.concatenate(pcm))


def corpus(a):
    """-> {"train": Part, "dev": Part}, spoken where it is not there yet."""
    os.makedirs(os.path.join(a.out, "corpus"), exist_ok=True)
    items = {"train": texts.load(a.data, a.places), "dev": held_items(a.data, a.places, 300)}
    chunks = [str(i) for i in range(a.chunks)]
    jobs = [(a, "dev", items["dev"])] + [(a, name, items["train"]) for name in chunks]
    jobs = [j for j in jobs if not os.path.exists(os.path.join(a.out, "corpus", j[1] + ".pkl"))]
    global pending
    pending = jobs                                       # inherited by the processes, not sent to them
    if jobs:
        with multiprocessing.get_context("fork").Pool(min(a.jobs, len(jobs))) as pool:
            pool.map(nth, range(len(jobs)), chunksize=1)
    return {"train": part(a, chunks, items["train"]), "dev": part(a, ["dev"], items["dev"])}


def nth(i):
    speak_chunk(pending[i])


# ---- windows

class Windows:
    """The windows of step `i`, whoever builds them."""
    def __init__(self, a, c, tok, parts, names):
        self.a, self.parts = a, parts
        self.layouts = {kind: batches.Layout(a.slots, kind == "rich") for kind in ("plain", "rich")}
        self.builders = {(p, kind): batches.Builder(c, tok, parts[p].sources, 0, layout, self.translated(kind), 0.0,
                                                    names[p] if kind == "rich" else None)
                         for p in parts for kind, layout in self.layouts.items()}

    def size(self, kind):
        return self.a.rich_batch if kind == "rich" else self.a.batch

    def translated(self, kind):
        return self.size(kind) * 2 // 5

    def build(self, part_name, kind, seed, i):
        path = os.path.join(self.a.out, "windows", f"{part_name}-{kind}{self.size(kind)}-{seed}-{i}.npy")
        if os.path.exists(path):
            return np.load(path)
        b = self.builders[part_name, kind]
        b.rng.seed(f"{part_name}/{seed}/{i}")
        rows = b.batch(self.size(kind))
        results.whole(path, lambda f: np.save(f, rows))
        return rows


def kind_of(i, role):
    return "plain" if not role.pictures else "rich" if role.share["desc"] == 1.0 or i % 3 == 2 else "plain"


def for_role(rows, layout, role):
    """The same windows as a specialist has them: without sound, or without the lanes that it lacks."""
    on = layout.cut(rows, "on")
    if not role.sound:
        layout.cut(rows, "len")[:] = 0
        layout.cut(rows, "noise")[:, 0] = -1
    if not role.captions:
        on[:, :2] = 0
    if not role.share["tr"]:
        on[:, 2:4] = 0
    if not role.share["desc"]:
        on[:, 4:] = 0
    return rows


def build_in_process(job):
    return windows.build(*job)


def keep_in_process(job):
    """Only for the file: thousands of batches are too much to send."""
    windows.build(*job)


class Ahead:
    """Batches in order, some of them built ahead by other processes (forked before the device is touched)."""
    def __init__(self, w, jobs):
        global windows
        windows = w
        self.pool = multiprocessing.get_context("fork").Pool(jobs) if jobs > 1 else None

    def get(self, seed, role, first, last):
        queue = collections.deque()
        for i in range(first, last):
            queue.append((i, self.start("train", kind_of(i, role), seed, i)))
            if len(queue) == (24 if self.pool else 1):
                yield self.taken(*queue.popleft())
        while queue:
            yield self.taken(*queue.popleft())

    def end(self):
        if self.pool:
            self.pool.terminate()
            self.pool.join()

    def start(self, *job):
        return self.pool.apply_async(build_in_process, (job,)) if self.pool else build_in_process(job)

    def taken(self, i, got):
        return i, got.get() if self.pool else got


class Pcm:
    """What step.Step reads samples from."""
    def __init__(self, pcm, dev):
        self.pcm = torch.from_numpy(pcm).to(dev)


class Lab:
    def __init__(self, a):
        self.a, self.tok = a, tokens.Tokenizer(a.tokenizer)
        torch.set_num_threads(1 if a.jobs < 2 else torch.get_num_threads())
        parts = corpus(a)
        os.makedirs(os.path.join(a.out, "windows"), exist_ok=True)
        c = m3.config("nano")                            # conditions and delays; no size is read of it
        names = {"train": pictures.names(a.drawings), "dev": pictures.names(a.held_drawings)}
        self.windows = Windows(a, c, self.tok, parts, names)
        self.ahead = Ahead(self.windows, a.jobs)
        self.dev = "cuda" if torch.cuda.is_available() else "cpu"
        self.pcm = {p: Pcm(x.pcm, self.dev) for p, x in parts.items()}
        self.atlas = {"train": pictures.load(a.drawings).to(self.dev), "dev": pictures.load(a.held_drawings).to(self.dev)}
        self.clock, self.sets, self.compiled = results.Clock(a.budget_s), None, False
        if self.dev == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = True

    def trainer(self, c, seed, alike=None):
        """alike: the config of a net whose weights are taken over as far as they fit, so that all begin as the same function."""
        fast = self.dev == "cuda" and not self.a.no_graphs
        torch.manual_seed(seed)
        t = step.Trainer(None, self.dev, 1, self.atlas["train"], self.a.lr, fast, c=c)
        if self.dev == "cuda":
            t.try_grouped(results.say)
        if alike is not None:
            torch.manual_seed(seed)
            with torch.no_grad():
                other = m3.M3(alike).to(self.dev).state_dict()
                for name, p in t.net.state_dict().items():
                    p.copy_(other[name].expand_as(p) if name in other else p)
        return t

    def train(self, name, c, seed, role="joint", alike=None):
        """-> the Trainer after all steps; the losses of training are written to OUT/NAME.log."""
        a, role = self.a, ROLES[role]
        if self.compiled:                                # a second net, compiled in the same process, was seen not to learn
            self.ahead.end()
            os.execv(sys.executable, [sys.executable, *sys.argv])
        path, t = os.path.join(a.out, name + ".pt"), self.trainer(c, seed, alike)
        at = 0
        if os.path.exists(path):
            s = torch.load(path, map_location=self.dev)
            t.load(s)
            at = s["at"]
        steps = {kind: self.step(t, kind, "train") for kind in ("plain", "rich") if kind in {kind_of(i, role) for i in range(3)}}
        t.share.update(role.share)
        if self.dev == "cuda" and not a.no_graphs and at < a.steps:
            self.record(t, steps)
            self.compiled = True
        self.walk(name, t, steps, path, seed, role, at)
        return t

    def step(self, t, kind, part_name):
        w = self.windows
        return step.Step(t, w.layouts[kind], w.size(kind), w.translated(kind), self.pcm[part_name])

    def record(self, t, steps):
        """As train.py does, at a learning rate of 0."""
        t.set_lr(0.0)
        empty = {kind: torch.zeros_like(s.rows, device="cpu") for kind, s in steps.items()}
        for kind, s in steps.items():                    # compiles
            s.run(empty[kind])
        for s in steps.values():
            s.forget()
        for p in t.net.parameters():
            p.grad = None
        torch.cuda.empty_cache()
        pool, side = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
        for kind, s in steps.items():
            s.record(empty[kind], pool, side)

    def walk(self, name, t, steps, path, seed, role, at):
        a = self.a
        done = at
        keep = lambda: results.save(path, {**t.state(), "at": done})
        for i, rows in self.ahead.get(seed, role, at, a.steps):
            self.clock.check(keep)
            kind = kind_of(i, role)
            rows = torch.from_numpy(for_role(rows, self.windows.layouts[kind], role))
            t.set_lr(results.cosine(a.lr, i, a.steps))
            torch.manual_seed(seed * 1000003 + i)        # noise and filters go by the step
            steps[kind].run(rows.pin_memory() if self.dev == "cuda" else rows)
            done = i + 1
            if done % max(1, a.steps // 40) == 0 or done == a.steps:
                parts = [round(x, 4) for x in (*steps[kind].parts.tolist(), steps[kind].l_ctc.item())]
                with open(os.path.join(a.out, name + ".log"), "a", encoding="utf8") as f:
                    f.write(f"{done} {kind} {parts}\n")
                results.say(name, "step", done, kind, parts)
        keep()

    # ---- judging

    @torch.no_grad()
    def loss(self, t, role="joint", n=6):
        """Losses on held-out sentences, voices and drawings: {"caption", "translation", "description"}."""
        role, sums, counts, atlas = ROLES[role], collections.Counter(), collections.Counter(), t.atlas
        t.atlas = self.atlas["dev"]
        for i in range(n):
            kind = kind_of(i, role)
            s = self.step(t, kind, "dev")
            s.rows.copy_(torch.from_numpy(for_role(self.windows.build("dev", kind, 0, i), self.windows.layouts[kind], role)))
            torch.manual_seed(77 + i)
            s.ahead()
            for lane, share, x in zip(("caption", "translation", "description"), ("cap", "tr", "desc"), s.parts.tolist()):
                if role.share[share] and (lane != "description" or kind == "rich"):
                    sums[lane] += x
                    counts[lane] += 1
        t.atlas = atlas
        return {k: sums[k] / counts[k] for k in sums}

    def held(self):
        """Sets of evaluate.py, spoken once."""
        if self.sets is None:
            path = os.path.join(self.a.out, "sets.pt")
            if not os.path.exists(path):
                a, work = self.a, os.path.join(self.a.out, "work")
                os.makedirs(work, exist_ok=True)
                made = evaluate.make_sets(a.data, a.places, a.synth, a.espeak_data, work, ["en", "en-de"])
                results.save(path, {k: tuple(v) for k, v in made.items()})
            n = self.a.rows
            self.sets = {k: evaluate.Set(v[0][:n], v[1][:n], v[2][:n], *v[3:]) for k, v in torch.load(path).items()}
        return self.sets

    def make(self):
        """The windows of each run, and the sets to judge by, so that they are there."""
        jobs = [("train", kind, int(seed), i) for seed in self.a.seeds.split(",") for kind in ("plain", "rich")
                for i in range(self.a.steps)]
        done = self.ahead.pool.imap_unordered(keep_in_process, jobs, 8) if self.ahead.pool else map(keep_in_process, jobs)
        self.held()
        for n, _ in enumerate(done, 1):
            if n % 500 == 0:
                results.say(n, "of", len(jobs), "windows' batches")


def main():
    a = argparse.ArgumentParser()
    m = a.add_subparsers(dest="what", required=True).add_parser("make")
    m.add_argument("out")
    options(m)
    Lab(a.parse_args()).make()


if __name__ == "__main__":
    main()
