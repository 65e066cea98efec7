# SPDX-License-Identifier: Apache-2.0
"""Trains M3-Nano on GPUs (or, in miniature, on a CPU). See README.md.

train.py --data DIR --synth PROGRAM --espeak-data DIR --icons FILE --tokenizer FILE --out DIR --budget-s N [--resume]
OUT/budget (a number of seconds) replaces --budget-s while it runs; OUT/checkpoint.pt is written every two minutes.
Several GPUs: one process each, with RANK and WORLD_SIZE set; the first one writes to OUT, the others to OUT/rankN."""
import argparse
import glob
import math
import multiprocessing
import os
import pickle
import queue
import random
import threading
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

import augment
import batches
import evaluate
import features
import m3
import optim
import pictures
import speech
import texts
import tokens
import weights

T0 = time.time()


def say(*x):
    print(f"[{time.time() - T0:6.1f}]", *x, flush=True)


def options():
    a = argparse.ArgumentParser()
    for x in ("data", "synth", "espeak-data", "icons", "tokenizer", "out"):
        a.add_argument("--" + x, required=True)
    a.add_argument("--budget-s", type=float, default=1200)
    a.add_argument("--ends", help="word ends of the recordings, from align.py")
    a.add_argument("--batch", type=int, default=256)
    a.add_argument("--rich-batch", type=int, default=80)
    a.add_argument("--rich-every", type=int, default=5)
    a.add_argument("--lr", type=float, default=2e-3, help="of Muon; AdamW takes 0.6 of it")
    a.add_argument("--human", type=float, default=0.2)
    a.add_argument("--hours", type=float, default=500, help="synthetic speech kept on the device")
    a.add_argument("--makers", type=int, default=10)
    a.add_argument("--builders", type=int, default=4)
    a.add_argument("--qat", type=float, default=0.15, help="last part of the budget with quantised weights")
    a.add_argument("--save-every-s", type=float, default=120)
    a.add_argument("--eval-every-s", type=float, default=1e9)
    a.add_argument("--slots", type=int, default=256)
    a.add_argument("--size", default="nano")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--shard", type=int, default=1200)
    a.add_argument("--resume", action="store_true")
    a.add_argument("--no-tests", action="store_true", help="test the exported folders with evaluate.py instead")
    a.add_argument("--no-compile", action="store_true")
    return a.parse_args()


def builder(q, rich, a, tok_path, seed, noise):
    torch.set_num_threads(1)
    os.nice(2)
    c = m3.config(a.size, **({"vocab_size": 4096} if a.size == "tiny" else {}))
    src = batches.Sources(a.data, a.out)
    b = batches.Builder(c, tokens.Tokenizer(tok_path), src, seed, a.slots, a.human, noise)
    n = a.rich_batch if rich else a.batch
    src.refresh()
    if not src.shards:                                   # silence to compile with while the makers begin
        q.put(b.batch(n, n // 4, rich, silent=True))
    while not src.shards:
        time.sleep(0.3)
        src.refresh()
    k = 0
    while True:
        q.put(b.batch(n, n // 4, rich))
        k += 1
        if k % 10 == 0:
            src.refresh()


def pinned(source, pin, kept=24):
    """A queue of batches in page-locked memory, so that copies to the device do not wait for its work. While no new
    batch is ready it hands out earlier ones again (at most `kept` of them are kept): what is heard over them differs."""
    q, old = queue.Queue(4), []

    def work():
        while True:
            try:
                o = {k: torch.from_numpy(v) for k, v in source.get(timeout=0.002 if len(old) >= kept else 600).items()}
                o = {k: v.pin_memory() for k, v in o.items()} if pin else o
                if o["len"].any():
                    old.append(o)
                    del old[:-kept]
            except queue.Empty:
                o = random.choice(old)
            q.put(o)
    threading.Thread(target=work, daemon=True).start()
    return q


class Peers:
    """The other processes of a run, one a GPU: gradients are averaged, the first one keeps the clock."""
    def __init__(self):
        self.rank, self.n = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def meet(self, dev, out):
        if self.n > 1:
            dist.init_process_group("nccl" if dev == "cuda" else "gloo", init_method="file://" + os.path.join(out, "peers"),
                                    rank=self.rank, world_size=self.n)
            self.slow = dist.new_group(backend="gloo")

    def average(self, tensors):
        if self.n > 1:
            flat = torch.cat([t.reshape(-1) for t in tensors])
            dist.all_reduce(flat)
            flat /= self.n
            flat.nan_to_num_(0, 0, 0)                    # one bad window must not end the run
            for t, x in zip(tensors, flat.split([t.numel() for t in tensors])):
                t.copy_(x.view_as(t))

    def first(self, value):
        """The first process's number."""
        if self.n == 1:
            return value
        t = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(t, 0, group=self.slow)
        return t.item()


class Arena:
    """Samples on the device: recorded noise, recordings, and a ring of synthetic shards."""
    NOISE, NOISE_LEN = 1 << 16, 80000

    def __init__(self, a, dev, noise, human_hours):
        self.a, self.noise = a, len(noise)
        self.human = self.NOISE + self.noise * self.NOISE_LEN
        self.ring = self.human + int(human_hours * 57.6e6)
        self.pcm = torch.zeros(self.ring + int(a.hours * 57.6e6), dtype=torch.int16, device=dev)
        for i, x in enumerate(noise):
            x = torch.from_numpy(x[:self.NOISE_LEN].copy())
            self.pcm[self.NOISE + i * self.NOISE_LEN:][:len(x)] = x.to(dev)
        self.live, self.at, self.count, self.hours, self.drop = [], self.ring, 0, 0.0, []
        os.makedirs(os.path.join(a.out, "pub"), exist_ok=True)

    def publish(self, kind, name, rows, drop=()):
        path = os.path.join(self.a.out, "pub", f"{self.count:06d}")
        pickle.dump((kind, name, rows, list(drop)), open(path + ".tmp", "wb"))
        os.rename(path + ".tmp", path + ".pkl")
        self.count += 1

    def poll(self):
        """Takes in what the makers and the aligner have left; True when there was something."""
        files = sorted(glob.glob(os.path.join(self.a.out, "made", "*.pkl")), key=os.path.getmtime)
        for f in files[:8]:
            meta = pickle.load(open(f, "rb"))
            x = torch.from_numpy(np.fromfile(f[:-4] + ".pcm", np.int16))
            if self.at + len(x) > len(self.pcm):
                self.at = self.ring
            # drop what stands there, and what comes next, so that windows on their way are done with it
            ahead = self.at + len(x) + int(20 * 57.6e6)
            drop = [s for s in self.live if s[0] < ahead and s[1] > self.at] if self.a.hours > 60 else \
                [s for s in self.live if s[0] < self.at + len(x) and s[1] > self.at]
            self.live = [s for s in self.live if s not in drop]
            self.pcm[self.at:self.at + len(x)] = x.to(self.pcm.device)
            name = os.path.basename(f)[:-4]
            self.publish("synth", name, [(t, self.at + off, n, e, v) for t, off, n, e, v in meta], [s[2] for s in drop])
            self.live.append((self.at, self.at + len(x), name))
            self.at += len(x)
            self.hours += len(x) / 57.6e6
            os.unlink(f[:-4] + ".pcm")
            os.unlink(f)
        return bool(files)

    def take_human(self):
        """Takes in what read_recordings() left, each recording at three speeds."""
        path, rows, at = os.path.join(self.a.out, "human.pkl"), [], self.human
        while not os.path.exists(path):
            time.sleep(0.5)
        pcm = torch.from_numpy(np.fromfile(os.path.join(self.a.out, "human.pcm"), np.int16)).to(self.pcm.device)
        for text, off, n, ms, speaker, cased in pickle.load(open(path, "rb")):
            x = pcm[off:off + n]
            for num, den in ((1, 1), (9, 10), (11, 10)):  # speeds 1, 0.9, 1.1
                y = x
                if num != den:
                    n = -(-len(x) // (num * 100)) * num * 100
                    m = n // num * den
                    f = torch.fft.rfft(F.pad(x.float(), (0, n - len(x))))
                    f = F.pad(f, (0, max(0, m // 2 + 1 - len(f))))[:m // 2 + 1]
                    y = (torch.fft.irfft(f, n=m) * (m / n)).clamp(-32767, 32767)[:len(x) * den // num].to(torch.int16)
                if at + len(y) > self.ring:
                    break
                self.pcm[at:at + len(y)] = y
                rows.append((text, at, len(y), [e * den // num for e in ms], hash((speaker, num)), cased))
                at += len(y)
        self.publish("human", "human", rows)
        say(f"recordings in the arena: {len(rows)} rows, {(at - self.human) / 57.6e6:.1f} h with speed copies")


def read_recordings(a):
    """A process of its own: decodes the recordings that align.py knew -> OUT/human.pcm and OUT/human.pkl."""
    os.nice(2)
    ends = dict(line.rstrip("\n").split("\t") for line in open(a.ends))
    name = lambda path: os.path.relpath(path, os.path.join(a.data, "speech"))
    rec = [r for r in speech.recordings(a.data, "train") if name(r[0]) in ends]
    wav = speech.decode([r[0] for r in rec], os.path.join(a.out, "recordings"))
    rows, pcm, at, case = [], [], 0, truecase(texts.load(a.data)[0])
    for x, (path, speaker, text, source) in zip(wav, rec):
        ms = [int(e) for e in ends[name(path)].split(",")]
        cased = source in ("kathleen", "ljspeech")
        text = text if cased else case(text, source == "an4")
        if x is not None and len(ms) == len(text.split(" ")):
            rows.append((text, at, len(x), ms, speaker, cased))
            pcm.append(x)
            at += len(x)
    np.concatenate(pcm).tofile(os.path.join(a.out, "human.pcm"))
    pickle.dump(rows, open(os.path.join(a.out, "human.tmp"), "wb"))
    os.rename(os.path.join(a.out, "human.tmp"), os.path.join(a.out, "human.pkl"))


def truecase(train):
    """Upper-case transcripts -> usual case, from how the sentences write words that do not begin them."""
    count = {}
    for s, _ in train:
        for w in s.split(" ")[1:]:
            w = w.strip(".,?!;:\"()")
            count.setdefault(w.lower(), {}).setdefault(w, [0])[0] += 1
    best = {k: max(v, key=lambda w: v[w][0]) for k, v in count.items()}

    def fix(text, spelled):
        ws = [w.upper() if spelled and len(w) == 1 else best.get(w.lower(), w.lower()) for w in text.split(" ")]
        return " ".join([ws[0][:1].upper() + ws[0][1:]] + ws[1:])
    return fix


def losses(net, h, cap, tr, tr_mask, act, weight, desc=None, desc_on=None):
    """-> caption, translation, description, activity."""
    v, r = net.c.vocab, tr.shape[0]

    def ce(lane, rows, target, mask):
        w = weight[target] * mask
        x = F.cross_entropy(net.logits(h[:rows], lane).float().reshape(-1, v), target.reshape(-1), reduction="none")
        return (x.view(target.shape) * w).sum() / w.sum().clamp_min(1)
    l_cap = ce(0, cap.shape[0], cap, torch.ones_like(cap[:, :1]))
    l_tr = ce(1, r, tr, tr_mask)
    l_desc = l_cap.new_zeros(()) if desc is None else ce(2, cap.shape[0], desc, desc_on)
    l_act = F.binary_cross_entropy_with_logits(net.act(h).float(), act)
    return torch.stack([l_cap, l_tr, l_desc, l_act])


class Trainer:
    def __init__(self, a, dev, peers):
        self.a, self.dev, self.tok, self.peers = a, dev, tokens.Tokenizer(a.tokenizer), peers
        torch.manual_seed(a.seed)
        self.c = m3.config(a.size, **({"vocab_size": 4096} if a.size == "tiny" else {}))
        self.net = m3.M3(self.c).to(dev)
        muon, rest, vec = optim.split(self.net)
        self.named, self.muon = muon, optim.Muon([p for _, p in muon])
        self.adam = torch.optim.AdamW([{"params": [p for _, p in rest], "weight_decay": 0.05},
                                       {"params": [p for _, p in vec], "weight_decay": 0.0}],
                                      lr=1e-3, betas=(0.9, 0.98), **({"fused": True} if dev == "cuda" else {}))
        quantised = [(p, weights.kind_of(n, p.shape)) for n, p in self.net.named_parameters() if not n.startswith("ctc")]
        self.quantised = [(p, 4 if k == "expert" else 8) for p, k in quantised if k != "exact"]
        fast = (lambda f: f) if a.no_compile else lambda f: torch.compile(f, dynamic=False)
        if dev == "cuda":
            self.try_grouped()
        if not a.no_compile:                             # a block at a time: eight share one compilation
            torch._dynamo.config.recompile_limit = 64
            eager, quick = m3.Block.forward, fast(m3.Block.forward)
            # the rarer windows with pictures run as they are: compiling them takes longer than it saves
            m3.Block.forward = lambda blk, *x: (quick if blk.sparse and x[5] is None else eager)(blk, *x)
        self.losses, self.wave, self.mel = fast(losses), fast(augment.wave), fast(augment.mel_slots)
        self.filters = augment.warped_filters(dev)
        self.atlas = pictures.load_atlas(a.icons).to(dev)
        self.weight = torch.ones(self.c.vocab, device=dev)
        self.weight[self.c.pad] = 0.25
        self.step, self.elapsed = 0, 0.0
        say(f"parameters {sum(p.numel() for p in self.net.parameters()) / 1e6:.1f} M")

    def try_grouped(self):
        """Falls back to masked dense experts where the grouped product does not work."""
        blk, x = self.net.blocks[1], torch.randn(4096, self.c.d, device=self.dev, dtype=torch.bfloat16, requires_grad=True)
        index = torch.rand(4096, self.c.experts, device=self.dev).topk(self.c.top, -1)[1]
        w, got = torch.full(index.shape, 0.5, device=self.dev), []
        try:
            for m3.GROUPED in (False, True):
                x.grad = blk.w13.grad = blk.w2.grad = None
                y = blk.experts(x, index, w)
                y.float().pow(2).sum().backward()
                got.append([y, x.grad, blk.w13.grad, blk.w2.grad])
            err = [((p - q).float().norm() / p.float().norm()).item() for p, q in zip(*got)]
            m3.GROUPED = max(err) < 0.03
            say("grouped experts differ from dense ones by", err)
        except RuntimeError as e:
            m3.GROUPED = False
            say("no grouped experts:", str(e)[:200])
        blk.w13.grad = blk.w2.grad = None

    def inputs(self, o, arena):
        a, c, dev, n = self.a, self.c, self.dev, self.a.slots * features.SLOT
        d = {k: v.to(dev, non_blocking=True) for k, v in o.items()}
        b = len(d["cap"])
        noise = torch.where(d["noise"] >= 0, Arena.NOISE + d["noise"] * Arena.NOISE_LEN, d["noise"])
        level = 10 ** (-(6 + 30 * torch.rand(b, device=dev)) / 20)
        spot = torch.rand(b, 8, device=dev)
        rich = "desc" in d
        wave, mel_slots = (augment.wave, augment.mel_slots) if rich else (self.wave, self.mel)
        w = wave(arena, d["src"], d["dst"], d["len"], d["gain"], noise, level, n, spot)
        if self.step < 2 and not a.no_compile:
            plain = augment.wave(arena, d["src"], d["dst"], d["len"], d["gain"], noise, level, n, spot)
            say(f"compiled waves differ from plain ones by {(w - plain).abs().max().item():.1e} of {plain.abs().max().item():.2f}")
        pick = self.filters[torch.randint(0, len(self.filters), (b,), device=dev)]
        tone = torch.randn(2, b, a.slots * features.FRAMES, augment.F_BINS, device=dev)
        mel = augment.mask(mel_slots(w, pick, torch.rand(b, 10, device=dev), tone))
        prev = torch.full((b, a.slots, len(c.lanes)), c.pad, device=dev)
        prev[:, 1:, 0] = d["cap"][:, :-1]
        r = len(d["tr"])
        prev[:r, 1:, 1] = d["tr"][:, :-1]
        on = torch.zeros(b, len(c.lanes), dtype=torch.bool, device=dev)
        on[:, 0], on[:r, 1] = True, True
        if not rich:
            rich = None
        else:
            lane = d["desc_on"] > 0
            prev[:, 1:, 2] = torch.where(lane, d["desc"], torch.full_like(d["desc"], c.pad))[:, :-1]
            on[:, 2] = lane[:, 0]
            with torch.no_grad():
                pic = pictures.paint(self.atlas, d["icons"].view(-1, pictures.MOST), d["look"].view(-1))
                pats = features.patches(pic).view(b, batches.K, m3.PATCHES, -1)
            rich = (pats, d["when"], d["prefix"], d["desc"], d["desc_on"])
        z = torch.rand(prev.shape, device=dev)
        noisy = torch.where(z < 0.04, torch.randint(0, c.vocab, prev.shape, device=dev), prev)
        noisy = torch.where(z > 0.97, torch.full_like(prev, c.pad), noisy)
        return d, mel, torch.where(on[:, None], noisy, prev), rich

    def train_step(self, o, arena, done):
        with torch.no_grad():
            d, mel, prev, rich = self.inputs(o, arena)
        quant = done > 1 - self.a.qat
        if quant:
            kept = [p.detach().clone() for p, _ in self.quantised]
            with torch.no_grad():
                for p, bits in self.quantised:
                    p.copy_(weights.fake_quantise(p, bits))
        with torch.autocast(self.dev, torch.bfloat16, enabled=self.dev == "cuda"):
            h, mid, loads = self.net(mel.bfloat16() if self.dev == "cuda" else mel, prev, d["cond"], *(rich[:3] if rich else ()))
            parts = (losses if rich else self.losses)(self.net, h, d["cap"], d["tr"], d["tr_mask"], d["act"], self.weight, *(rich[3:] if rich else ()))
            ctc = self.net.ctc(mid)
        t2 = 2 * self.a.slots
        lp = ctc.float().view(len(mel), t2, -1).log_softmax(-1).transpose(0, 1)
        l_ctc = F.ctc_loss(lp, d["ctc"], torch.full((len(mel),), t2), o["ctc_len"], reduction="none",
                           zero_infinity=True)
        l_ctc = (l_ctc / d["ctc_len"].clamp_min(60)).mean()
        loss = parts[0] + 0.5 * parts[1] + 0.5 * parts[2] + 0.15 * parts[3] + 0.4 * l_ctc
        for p in self.net.parameters():
            p.grad = None
        loss.backward()
        self.peers.average([p.grad for p in self.net.parameters() if p.grad is not None] + [loads])
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        if quant:
            with torch.no_grad():
                for (p, _), k in zip(self.quantised, kept):
                    p.copy_(k)
        lr = self.a.lr * min(1, (self.step + 1) / 250) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, done))))
        for g in self.adam.param_groups:
            g["lr"] = 0.6 * lr
        self.adam.step()
        self.muon.step(lr)
        with torch.no_grad():
            for blk, load in zip([x for x in self.net.blocks if x.sparse], loads):
                blk.bias += 0.002 * torch.sign(self.c.top / self.c.experts - load)
        self.step += 1
        return parts.detach(), l_ctc.detach(), norm, loads.detach(), lr

    def save(self):
        path = os.path.join(self.a.out, "checkpoint.pt")
        torch.save({"net": self.net.state_dict(), "muon": self.muon.state(self.named), "adam": self.adam.state_dict(),
                    "step": self.step, "elapsed": self.elapsed}, path + ".tmp")
        os.rename(path + ".tmp", path)

    def load(self):
        s = torch.load(os.path.join(self.a.out, "checkpoint.pt"), map_location=self.dev)
        self.net.load_state_dict(s["net"])
        self.muon.load(self.named, s["muon"])
        self.adam.load_state_dict(s["adam"])
        self.step, self.elapsed = s["step"], s["elapsed"]
        say("resumed at step", self.step)

    def run(self, arena, plain, rich):
        a, begin, before = self.a, None, self.elapsed
        saved, tested, first = time.time(), time.time(), self.step
        while True:
            budget = a.budget_s
            if self.step % 20 == 0 and os.path.exists(os.path.join(a.out, "budget")):
                a.budget_s = budget = float(open(os.path.join(a.out, "budget")).read())
            if begin is None and self.step - first >= 2:  # the schedule begins when all is compiled
                begin = time.time() - before
            self.elapsed = before if begin is None else time.time() - begin
            whole = budget - (begin or time.time()) + T0
            done = self.peers.first(self.elapsed / whole)
            if done >= 1:
                break
            wait = time.time()
            o = (rich if self.step % a.rich_every == a.rich_every - 1 else plain).get()
            wait = time.time() - wait
            parts, ctc, norm, loads, lr = self.train_step(o, arena.pcm, done)
            if self.step % (100 if self.dev == "cuda" else 1) == 0 or self.step - first < 8:
                p = parts.tolist()
                say(f"step {self.step} cap {p[0]:.3f} tr {p[1]:.3f} desc {p[2]:.3f} act {p[3]:.3f} ctc {ctc.item():.3f} "
                    f"norm {norm.item():.2f} lr {lr:.5f} load {loads.min().item():.2f}-{loads.max().item():.2f} wait {wait:.3f} "
                    f"q {plain.qsize()} {rich.qsize()} {arena.hours:.0f} h {self.elapsed / max(1, self.step) * 1000:.0f} ms")
            if time.time() - saved > a.save_every_s and not self.peers.rank:
                self.save()
                weights.save_folder(self.net, os.path.join(a.out, "latest"), 16, 8)
                saved = time.time()
            if time.time() - tested > a.eval_every_s and self.elapsed < whole - 100:
                self.making.join()
                evaluate.everything(self.net, self.tok, self.sets, self.atlas, say, 24, ("espeak", "human", "pictures"))
                tested = time.time()
        if not self.peers.rank:
            self.save()


def finish(t, a):
    """Folders (master: f16, experts int8) and the tests of each."""
    say("trained: steps", t.step, "seconds", round(t.elapsed))
    weights.save_folder(t.net, os.path.join(a.out, "master"), 16, 8)
    open(os.path.join(a.out, "weights.done"), "w").close()
    if a.no_tests:
        return
    for name, bits in (("q4", (8, 4)), ("int8", (8, 8)), ("f32", (32, 32))):
        weights.save_folder(t.net, os.path.join(a.out, name), *bits)
    t.making.join()
    for name, only in (("q4", None), ("f32", ("espeak", "human")), ("int8", ("espeak", "human"))):
        say("==", name)
        evaluate.everything(weights.load_folder(os.path.join(a.out, name)).to(t.dev), t.tok, t.sets, t.atlas, say, t.eval_rows, only)
    open(os.path.join(a.out, "done"), "w").close()


def main():
    a = options()
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"    # looks without starting CUDA, which must not be forked
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    peers, shared = Peers(), a.out
    if peers.rank:
        a.out = os.path.join(a.out, f"rank{peers.rank}")
        a.no_tests = True
    os.makedirs(os.path.join(a.out, "pub"), exist_ok=True)
    for f in glob.glob(os.path.join(a.out, "pub", "*")) + glob.glob(os.path.join(a.out, "stop")) + glob.glob(os.path.join(a.out, "human.*")):
        os.unlink(f)
    jobs = speech.start_makers(a.makers, a.data, a.out, a.synth, a.espeak_data,
                               1000 * a.seed + int(time.time()) % 1000 * 100 + 50 * peers.rank, a.shard)
    noise = [x for x in speech.decode(sorted(glob.glob(os.path.join(a.data, "noise", "esc10", "**", "*.opus"), recursive=True)),
                                      os.path.join(a.out, "noise")) if x is not None]
    ctx = multiprocessing.get_context("fork")            # before the device is touched
    plain, rich = ctx.Queue(16), ctx.Queue(8)
    for i in range(a.builders + 1):
        last = i == a.builders
        p = ctx.Process(target=builder, args=(rich if last else plain, last, a, a.tokenizer, a.seed * 100 + 50 * peers.rank + i, len(noise)), daemon=True)
        p.start()
        jobs.append(p)
    if a.ends:
        jobs.append(ctx.Process(target=read_recordings, args=(a,), daemon=True))
        jobs[-1].start()
    if dev == "cuda":
        torch.backends.cudnn.allow_tf32 = True
    peers.meet(dev, shared)
    t = Trainer(a, dev, peers)
    torch.manual_seed(a.seed * 1000 + peers.rank)
    t.eval_rows = None if dev == "cuda" else 2

    def tests():
        t.sets = evaluate.make_sets(a.data, a.synth, a.espeak_data, os.path.join(a.out, "eval"))
        say("tests:", {k: (len(v[0]), sum(len(evaluate.words(r)) for r in v[1])) for k, v in t.sets.items()})
    t.making = threading.Thread(target=tests)
    if not a.no_tests:
        t.making.start()
    arena = Arena(a, dev, noise, 24 if a.hours > 60 else 0.5)
    if a.resume and os.path.exists(os.path.join(a.out, "checkpoint.pt")):
        t.load()

    def loader():
        while not os.path.exists(os.path.join(a.out, "stop")):
            try:
                if not arena.poll():
                    time.sleep(0.2)
            except Exception as e:  # noqa: BLE001  a lost shard must not end the run
                say("loader:", repr(e))
                time.sleep(1)
    threading.Thread(target=loader, daemon=True).start()
    if a.ends:
        threading.Thread(target=arena.take_human, daemon=True).start()
    t.run(arena, *(pinned(q, dev == "cuda") for q in (plain, rich)))
    open(os.path.join(a.out, "stop"), "w").close()
    for j in jobs:
        j.terminate()
    if not peers.rank:
        finish(t, a)


if __name__ == "__main__":
    main()
