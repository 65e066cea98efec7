# SPDX-License-Identifier: Apache-2.0
"""Trains M3-Nano on GPUs (or, in miniature, on a CPU). See README.md.

train.py --data DIR --places DIR --sounds DIR --pictures FILE --ends FILE --tokenizer FILE --synth PROGRAM --espeak-data DIR
         --out DIR --budget-s N
         [--voices DIR] [--words DIR] [--init FOLDER | --resume]
OUT/budget (a number of seconds) replaces --budget-s while it runs; while there is OUT/pause, the device is left to others.
OUT/checkpoint.pt (to go on with), OUT/master (a model folder) and OUT/mean (the same of the mean of all weights since --mean-from) are
written every two minutes.
Several GPUs: one process each, with RANK and WORLD_SIZE set; the first one writes to OUT, the others to OUT/rankN."""
import argparse
import glob
import math
import multiprocessing
import os
import queue
import random
import threading
import time
import traceback

import torch
import torch.distributed as dist

import arena
import batches
import m3
import pictures
import sounds
import speech
import step
import texts
import tokens
import weights

T0 = time.time()


def say(*x):
    print(f"[{time.time() - T0:6.1f}]", *x, flush=True)


def options():
    a = argparse.ArgumentParser()
    for x in ("data", "places", "sounds", "pictures", "ends", "tokenizer", "synth", "espeak-data", "out"):
        a.add_argument("--" + x, required=True)
    a.add_argument("--voices", help="speech made beforehand, from voices.py")
    a.add_argument("--words", default="", help="words that the sentences lack, from lexicon.py")
    a.add_argument("--init", help="a model folder to begin with, instead of random weights")
    a.add_argument("--budget-s", type=float, default=1200)
    a.add_argument("--batch", type=int, default=108)
    a.add_argument("--rich-batch", type=int, default=64)
    a.add_argument("--rich", type=float, default=0.5, help="share of the steps whose windows have pictures and a prefix")
    a.add_argument("--lr", type=float, default=2e-3, help="of Muon; AdamW takes 0.6 of it")
    a.add_argument("--warm", type=int, default=300, help="steps over which the learning rate rises")
    a.add_argument("--human", type=float, default=0.38)
    a.add_argument("--german", type=float, default=0.22, help="share of the windows without translation")
    a.add_argument("--units", type=float, default=0.35, help="share of the synthetic speech that is put together from recordings (units.py)")
    a.add_argument("--late", type=float, default=0.2, help="share of the words that are said a slot late")
    a.add_argument("--wrong", type=float, default=0.04, help="share of the fed-back tokens that are wrong ones")
    a.add_argument("--wrong-human", type=float, default=0.12, help="... in windows of recordings")
    a.add_argument("--lost", type=float, default=0.0, help="... that are missing")
    a.add_argument("--ctc", type=float, default=step.SHARE["ctc"], help="weight of the letters' loss (0 with --init: model folders lack its head)")
    a.add_argument("--adamw", action="store_true", help="no Muon: for small batches, and for CPUs")
    a.add_argument("--hours", type=float, default=150, help="synthetic speech kept on the device")
    a.add_argument("--makers", type=int, default=10)
    a.add_argument("--builders", type=int, default=4)
    a.add_argument("--qat", type=float, default=0.12, help="last part of the budget with quantised weights")
    a.add_argument("--mean-from", type=float, default=0.6, help="part of the budget from which on weights are averaged")
    a.add_argument("--save-every-s", type=float, default=120)
    a.add_argument("--slots", type=int, default=384, help="of a window without pictures")
    a.add_argument("--rich-slots", type=int, default=256, help="... with pictures and a prefix")
    a.add_argument("--size", default="nano")
    a.add_argument("--router", default="cross-modal", choices=m3.ROUTERS)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--shard", type=int, default=1200)
    a.add_argument("--resume", action="store_true")
    a.add_argument("--no-compile", action="store_true")
    a.add_argument("--no-graphs", action="store_true")
    a.add_argument("--profile", type=int, default=0, metavar="STEP", help="at this step: says where a step's time goes, and ends")
    return a.parse_args()


def builder(q, a, c, rich, seed):
    torch.set_num_threads(1)
    os.nice(2)
    src = batches.Sources(texts.load(a.data, a.places), a.out)
    n = a.rich_batch if rich else a.batch
    b = batches.Builder(c, tokens.Tokenizer(a.tokenizer), src, seed, batches.Layout(a.rich_slots if rich else a.slots, rich), n * 2 // 5, a.human,
                        pictures.names(a.pictures) if rich else None, a.german, a.late)
    while not src.shards:
        time.sleep(0.3)
        src.refresh()
    k = failed = 0
    while True:
        try:
            rows = b.batch(n)
        except Exception:  # noqa: BLE001  one bad window must not leave its device with the batches of before
            traceback.print_exc()
            failed += 1
            if failed > 20 + k // 100:
                raise
            continue
        q.put(rows)
        k += 1
        if k % 10 == 0:
            src.refresh()


class Batches:
    """Batches in page-locked memory, so that copies to the device do not wait for its work. While no new one is ready
    earlier ones are handed out again (at most `kept` of them are kept; what is heard over them differs)."""
    def __init__(self, source, pin, kept=24):
        self.new = self.again = 0
        self.q, old = queue.Queue(4 if pin else 1), []

        def work():
            while True:
                try:
                    o = torch.from_numpy(source.get(timeout=0.002 if len(old) >= kept else 600))
                    o = o.pin_memory() if pin else o
                    old.append(o)
                    del old[:-kept]
                    self.new += 1
                except queue.Empty:
                    o = random.choice(old)
                    self.again += 1
                self.q.put(o)
        threading.Thread(target=work, daemon=True).start()

    def get(self):
        return self.q.get()


class Peers:
    """The other processes of a run, one a GPU: gradients are averaged, the first one keeps the clock."""
    def __init__(self):
        self.rank, self.n = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def meet(self, dev, out):
        if self.n > 1:
            dist.init_process_group("nccl" if dev == "cuda" else "gloo", init_method="file://" + os.path.join(out, "peers"),
                                    rank=self.rank, world_size=self.n)
            self.slow = dist.new_group(backend="gloo")

    def first(self, value):
        """The first process's number."""
        if self.n == 1:
            return value
        t = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(t, 0, group=self.slow)
        return t.item()


class Mean:
    """The mean of weights along the way: what wanders about between steps cancels out (P. Izmailov et al., "Averaging weights leads
    to wider optima and better generalization", 2018)."""
    def __init__(self, net):
        self.net, self.n, self.values = net, 0, None

    @torch.no_grad()
    def add(self):
        if self.values is None:
            self.values = [torch.zeros_like(p) for p in self.net.state_dict().values()]
        self.n += 1
        for m, p in zip(self.values, self.net.state_dict().values()):
            m += (p - m) / self.n

    @torch.no_grad()
    def swap(self):
        """The mean into the net, and back."""
        for m, p in zip(self.values, self.net.state_dict().values()):
            kept = p.clone()
            p.copy_(m)
            m.copy_(kept)

    def state(self):
        return {"n": self.n, "values": self.values}

    def load(self, s):
        self.n, self.values = s["n"], s["values"]


class Run:
    def __init__(self, a, t, store, sources, peers):
        self.a, self.t, self.store, self.peers = a, t, store, peers
        self.steps = {}
        for name, n, rich in (("plain", a.batch, False), ("rich", a.rich_batch, True)):
            layout = batches.Layout(a.rich_slots if rich else a.slots, rich)
            self.steps[name] = (step.Step(t, layout, n, n * 2 // 5, store), Batches(sources[name], t.dev == "cuda"))
        self.count, self.elapsed, self.mean = 0, 0.0, Mean(t.net)

    def record(self, rows):
        """(Re)records the graphs of both kinds; rows(kind) gives windows to do it with."""
        if self.t.dev != "cuda" or self.a.no_graphs:
            return
        with self.store.lock:                            # no other work on the device while it is recorded
            for s, _ in self.steps.values():
                s.forget()
            for p in self.t.net.parameters():
                p.grad = None
            torch.cuda.empty_cache()
            pool, side = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
            for name, (s, _) in self.steps.items():
                begin = time.time()
                s.record(rows(name), pool, side)
                say(f"recorded a {name} step, {time.time() - begin:.1f} s")
            say(f"device memory {torch.cuda.memory_reserved() / 2**30:.1f} GiB")

    def folder(self, name):
        """A model folder, f16 and the experts int8; whole at any time."""
        path = os.path.join(self.a.out, name)
        os.makedirs(path, exist_ok=True)
        weights.save_folder(self.t.net, path + ".tmp", 16, 8)
        for f in os.listdir(path + ".tmp"):
            os.replace(os.path.join(path + ".tmp", f), os.path.join(path, f))

    def save(self):
        path = os.path.join(self.a.out, "checkpoint.pt")
        torch.save({**self.t.state(), "mean": self.mean.state(), "step": self.count, "elapsed": self.elapsed}, path + ".tmp")
        os.rename(path + ".tmp", path)
        if self.a.router == "per-modality":              # which model folders do not have
            return
        self.folder("master")
        if self.mean.n:
            self.mean.swap()
            self.folder("mean")
            self.mean.swap()

    def load(self):
        s = torch.load(os.path.join(self.a.out, "checkpoint.pt"), map_location=self.t.dev)
        self.t.load(s)
        self.mean.load(s["mean"])
        self.count, self.elapsed = s["step"], s["elapsed"]
        say("resumed at step", self.count)

    def one(self, name):
        s, source = self.steps[name]
        s.run(source.get())
        self.count += 1
        return s

    def say(self, s):
        p, load = s.parts.tolist(), s.loads
        fresh = " ".join(f"{k} {b.new}+{b.again}" for k, (_, b) in self.steps.items())
        say(f"step {self.count} cap {p[0]:.3f} tr {p[1]:.3f} desc {p[2]:.3f} act {p[3]:.3f} ctc {s.l_ctc.item():.3f} "
            f"norm {s.norm.item():.2f} lr {self.t.lr.item():.5f} load {load.min().item():.2f}-{load.max().item():.2f} "
            f"{fresh} {self.store.heard:.0f} h {self.elapsed / max(1, self.count) * 1000:.1f} ms")

    def train(self):
        """The schedule follows the clock: the learning rate falls over the budget, its last part is quantised."""
        a = self.a
        empty = {name: torch.zeros_like(s.rows, device="cpu") for name, (s, _) in self.steps.items()}
        for name, (s, _) in self.steps.items():          # compiles, while the makers begin
            s.run(empty[name])
            say("compiled the", name, "step")
        self.record(empty.get)
        begin, done = time.time() - self.elapsed, 0.0
        saved, began_at = time.time(), begin - T0
        while True:
            if self.count % 10 == 0:
                while os.path.exists(os.path.join(a.out, "pause")) and not self.peers.rank:
                    time.sleep(0.2)                      # the others wait for what the first one says below
                if os.path.exists(os.path.join(a.out, "budget")):
                    a.budget_s = float(open(os.path.join(a.out, "budget")).read())
                self.elapsed = time.time() - begin
                done = self.peers.first(self.elapsed / max(1.0, a.budget_s - began_at))
                if done >= 1:
                    break
                if done > 1 - a.qat and not self.t.quant:
                    self.t.quant = True
                    say("weights quantised from here on")
                    self.record(lambda name: self.steps[name][1].get())
                self.t.set_lr(a.lr * min(1, (self.count + 1) / a.warm) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))))
                if done > a.mean_from and self.count % 50 == 0 and not self.peers.rank:
                    self.mean.add()
                if time.time() - saved > a.save_every_s and not self.peers.rank:
                    self.save()
                    saved = time.time()
            if a.profile and self.count >= a.profile:
                self.profile()
                break
            s = self.one("rich" if int((self.count + 1) * a.rich) > int(self.count * a.rich) else "plain")
            if self.count % (200 if self.t.dev == "cuda" else 1) == 0 or self.count < 8:
                self.say(s)
        self.elapsed = time.time() - begin

    def profile(self):
        """Wall time of a step of each kind, and the kernels' share."""
        from torch.profiler import ProfilerActivity, profile
        for name in self.steps:
            torch.cuda.synchronize()
            begin, cpu = time.time(), time.thread_time()
            for _ in range(30):
                self.one(name)
            torch.cuda.synchronize()
            say(f"{name}: {(time.time() - begin) / 30 * 1e3:.1f} ms a step, this thread {(time.thread_time() - cpu) / 30 * 1e3:.1f}")
        for name in self.steps:
            with profile(activities=[ProfilerActivity.CUDA]) as prof:
                for _ in range(2):
                    self.one(name)
                torch.cuda.synchronize()
            print(prof.key_averages().table(sort_by="self_cuda_time_total", row_limit=50, max_name_column_width=100))


def main():
    a = options()
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"    # looks without starting CUDA, which must not be forked
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    peers, shared = Peers(), a.out
    if peers.rank:
        a.out = os.path.join(a.out, f"rank{peers.rank}")
    os.makedirs(os.path.join(a.out, "pub"), exist_ok=True)
    for f in glob.glob(os.path.join(a.out, "pub", "*")) + glob.glob(os.path.join(a.out, "stop")) + glob.glob(os.path.join(a.out, "recorded.*")):
        os.unlink(f)
    jobs = speech.start_makers(a.makers, a.data, a.places, a.out, a.synth, a.espeak_data,
                               1000 * a.seed + int(time.time()) % 1000 * 100 + 50 * peers.rank, a.shard, a.ends, a.units, a.words)
    c = m3.config(a.size, a.router, **({"vocab_size": 6144} if a.size == "tiny" else {}))
    ctx = multiprocessing.get_context("fork")            # before the device is touched
    fast = dev == "cuda"                                 # where steps take seconds, windows must not wait for long: their sound goes
    sources = {"plain": ctx.Queue(16 if fast else 2), "rich": ctx.Queue(8 if fast else 1)}
    for i in range(a.builders):
        rich = i % 3 == 2 or a.builders == 1 + i
        jobs.append(ctx.Process(target=builder, daemon=True, args=(sources["rich" if rich else "plain"], a, c, rich,
                                                                   a.seed * 100 + 50 * peers.rank + i)))
        jobs[-1].start()
    jobs.append(ctx.Process(target=arena.read_recordings, args=(a.data, a.out, a.ends, a.voices), daemon=True))
    jobs[-1].start()
    if dev == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    peers.meet(dev, shared)
    torch.manual_seed(a.seed)
    t = step.Trainer(a.size, dev, peers.n, pictures.load(a.pictures).to(dev), a.lr, not a.no_compile, not a.adamw, c)
    t.wrong, t.wrong_human, t.lost, t.share["ctc"] = a.wrong, a.wrong_human, a.lost, a.ctc
    if a.init:
        weights.load_into(t.net, a.init)
    if dev == "cuda":
        t.try_grouped(say)
    torch.manual_seed(a.seed * 1000 + peers.rank)
    say(f"parameters {sum(p.numel() for p in t.net.parameters()) / 1e6:.1f} M")
    store = arena.Arena(a.out, dev, 1.5, 48 if dev == "cuda" else 12, a.hours)

    def loader():
        while not os.path.exists(os.path.join(a.out, "stop")):
            try:
                if not store.poll():
                    time.sleep(0.2)
                elif dev == "cpu" and store.heard > 0.5 * a.hours:
                    time.sleep(20)                       # windows that wait must not lose their sound
            except Exception as e:  # noqa: BLE001  a lost shard must not end the run
                say("loader:", repr(e))
                time.sleep(1)
    threading.Thread(target=loader, daemon=True).start()
    threading.Thread(target=lambda: say("sounds: %d" % store.take_sounds(
        sounds.load(a.data, a.sounds, "train", os.path.join(a.out, "sounds")))), daemon=True).start()
    threading.Thread(target=lambda: say("recordings, with speed copies: %d, %.1f h" % store.take_recordings()), daemon=True).start()
    run = Run(a, t, store, sources, peers)
    if a.resume and os.path.exists(os.path.join(a.out, "checkpoint.pt")):
        run.load()
    run.train()
    open(os.path.join(a.out, "stop"), "w").close()
    for j in jobs:
        j.terminate()
    if not peers.rank:
        run.save()
        say("trained: steps", run.count, "seconds", round(run.elapsed))
        open(os.path.join(a.out, "weights.done"), "w").close()


if __name__ == "__main__":
    main()
