# SPDX-License-Identifier: Apache-2.0
"""Early against late fusion, on spoken questions about pictures and on pictures with sounds (pairs.py).

fusion.py make OUT --data DATA --synth SYNTH --espeak-data DIR --drawings PICS.npz --held-drawings HELD.npz [--small]
fusion.py run OUT [--size NAME] [--steps N] [--seeds 1,2,3] [--kinds early,late] [--budget-s S]     resumable; OUT/results grows as it goes
fusion.py table OUT

Early: M3, whose layers all see sound and pictures. Late: the first half of the layers in two copies, one that sees only slots
and one that sees only its picture's patches; the other half sees both, as M3's do. So a position goes through as many layers of
the same shape either way (the same active parameters; late has more in all), and a seed gives both the same windows in the same
order. All routers are plain, so that only the fusion differs.

Alignment error: the mean of the shares of wrong answers to questions, wrong matches of picture and sound, and wrong picks in
retrieval (of nine, a picture to a sound and a sound to a picture)."""
import argparse
import collections
import os
import random
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import features  # noqa: E402
import m3  # noqa: E402
import optim  # noqa: E402
import pairs  # noqa: E402
import results  # noqa: E402

# layers, width, heads, experts' width, dense and shared width, questions and pairs a step, steps, learning rate
SIZES = {"test": (2, 32, 2, 32, 64, 32, 4, 4, 4, 2e-3), "cpu": (4, 96, 4, 64, 128, 96, 16, 12, 500, 3e-3),
         "gpu": (8, 256, 4, 256, 768, 384, 128, 96, 1500, 2e-3)}
SHARE = {"question": 1.0, "pair": 1.0, "space": 0.5}


def config(size):
    layers, d, heads, inter, dense, shared = SIZES[size][:6]
    return m3.config("nano", "plain", vocab_size=32, hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads,
                     head_dim=d // heads, num_key_value_heads=heads // 2, rotary_dim=d // heads // 2, dense_intermediate_size=dense,
                     intermediate_size=inter, shared_intermediate_size=shared, num_local_experts=4,
                     moe_layer_freq=[0] + [1] * (layers - 1))


class Early(m3.M3):
    """M3 with a space in which sounds and pictures are near each other."""
    def __init__(self, c):
        super().__init__(c)
        self.space = m3.linear(c.d, 64)

    def last(self, mel, patches, when):
        """The last slot's state. mel [B, T, 640], patches [B, 1, 60, 768], when [B, 1] (T: no picture)."""
        b, t, _ = mel.shape
        prev = torch.full((b, t, len(self.c.lanes)), self.c.pad, device=mel.device)
        none = torch.full((b, 1), -1, device=mel.device)
        return self(mel, prev, torch.zeros(b, len(self.c.conds), device=mel.device), patches, when, none)[0][:, -1]


class Late(Early):
    """blocks: the sound's tower, then the layers that see both, then the pictures' tower."""
    def __init__(self, c):
        super().__init__(c)
        self.tower = c.layers // 2
        self.blocks.extend(m3.Block(c, bool(m)) for m in c.moe[:self.tower])

    def forward(self, mel, prev, cond, patches, when, prefix):
        c, (b, t, _) = self.c, mel.shape
        k, p, slot = when.shape[1], prefix.shape[1], torch.arange(t, device=mel.device)
        gap, pic = slot[:, None] - slot, when.repeat_interleave(m3.PATCHES, 1)
        hear = ((gap >= 0) & (gap < c.window))[None, None]
        own = torch.arange(k * m3.PATCHES, device=mel.device) // m3.PATCHES
        look, none = (own[:, None] == own)[None, None], torch.zeros(t, t, device=mel.device)
        x = self.slot_input(mel, prev)
        y = self.patch_input(patches).reshape(b, k * m3.PATCHES, -1).to(x.dtype)
        loads = []
        for tower, z, pos, mask in (("sound", x, slot, hear), ("picture", y, pic, look)):
            for blk in self.blocks[:self.tower] if tower == "sound" else self.blocks[c.layers:]:
                z, load = blk(z, pos, mask, none)
                loads += [] if load is None else [load]
            x, y = (z, y) if tower == "sound" else (x, z)
        x = torch.cat([F.embedding(prefix.clamp_min(0), self.embed).to(x.dtype), y, x], 1)
        pos = torch.cat([torch.arange(-p, 0, device=x.device).expand(b, p), pic, slot.expand(b, t)], 1)
        mask = self.rich_mask(prefix, pic, slot)
        for blk in self.blocks[self.tower:c.layers]:
            x, load = blk(x, pos, mask, none, prefix, when)
            loads.append(load)
        # in the order of the blocks, as the balance of experts needs it
        n = sum(b.sparse for b in self.blocks[:self.tower])
        return self.final(x[:, -t:]), None, torch.stack(loads[:n] + loads[2 * n:] + loads[n:2 * n])


NETS = {"early": Early, "late": Late}


def parameters(net):
    """(all, those that a position goes through)."""
    c, whole, active = net.c, 0, 0
    for n, p in net.named_parameters():
        if n.startswith("ctc"):
            continue
        whole += p.numel()
        twin = n.startswith("blocks.") and int(n.split(".")[1]) >= c.layers
        active += 0 if twin else p.numel() * c.top // c.experts if n.endswith(("w13", "w2")) else p.numel()
    return whole, active


def losses(net, got, n_questions):
    """-> question, pair, space losses, loads, answers' logits."""
    mel, pics, when, answers, _ = got
    n = len(answers)
    h = net.last(mel, features.patches(pics)[:, None], when)
    logits = net.logits(h[:n], 2).float()
    y = torch.tensor([pairs.FIRST + pairs.ANSWERS.index(a) for a in answers], device=mel.device)
    ce = F.cross_entropy(logits, y, reduction="none")
    z = F.normalize(net.space(h[n:]).float(), dim=-1)
    s = 10 * z[:len(z) // 2] @ z[len(z) // 2:].T            # sounds by pictures
    own = torch.arange(len(s), device=s.device)
    return {"question": ce[:n_questions].mean(), "pair": ce[n_questions:].mean(),
            "space": (F.cross_entropy(s, own) + F.cross_entropy(s.T, own)) / 2}, logits, s


class Run:
    def __init__(self, out, kind, size, seed, steps, dev, train):
        self.path, self.dev, self.train_part, self.size = os.path.join(out, f"{kind}-{seed}.pt"), dev, train, SIZES[size]
        self.seed, self.steps, self.at = seed, steps, 0
        torch.manual_seed(seed)
        self.net = NETS[kind](config(size)).to(dev)
        self.loads = []
        self.named, rest, vec = optim.split(self.net)
        self.muon = optim.Muon([p for _, p in self.named])
        self.adam = torch.optim.AdamW([{"params": [p for _, p in rest], "weight_decay": 0.05},
                                       {"params": [p for _, p in vec], "weight_decay": 0.0}], betas=(0.9, 0.98))
        hook = lambda _, __, out: self.loads.append(out[2].detach())
        self.net.register_forward_hook(hook)
        if os.path.exists(self.path):
            s = torch.load(self.path, map_location=dev)
            self.net.load_state_dict(s["net"])
            self.adam.load_state_dict(s["adam"])
            self.muon.load(self.named, s["muon"])
            self.at = s["at"]

    def save(self):
        results.save(self.path, {"net": self.net.state_dict(), "adam": self.adam.state_dict(),
                                 "muon": self.muon.state(self.named), "at": self.at})

    def forward(self, got, n_questions):
        with torch.autocast(self.dev, torch.bfloat16, enabled=self.dev == "cuda"):
            return losses(self.net, got, n_questions)

    def step(self):
        nq, n_pairs, lr = self.size[6], self.size[7], results.cosine(self.size[9], self.at, self.steps)
        parts, _, _ = self.forward(self.train_part.batch(random.Random(f"{self.seed}/{self.at}"), nq, n_pairs), nq)
        for p in self.net.parameters():
            p.grad = None
        sum(SHARE[k] * v for k, v in parts.items()).backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.net.parameters() if p.grad is not None], 1.0)
        for g in self.adam.param_groups:
            g["lr"] = 0.6 * lr
        self.adam.step()
        self.muon.step(torch.tensor(lr, device=self.dev))
        with torch.no_grad():
            for blk, load in zip([b for b in self.net.blocks if b.sparse], self.loads.pop()):
                blk.bias += 0.002 * torch.sign(self.net.c.top / self.net.c.experts - load)
        self.loads.clear()
        self.at += 1
        return {k: v.item() for k, v in parts.items()}

    @torch.no_grad()
    def judge(self, part, rounds, seed=99):
        """-> {"questions": share wrong, "pairs", "retrieval", "error": their mean, of which kind of question, numbers}."""
        self.net.eval()
        wrong, seen, loss = collections.Counter(), collections.Counter(), collections.Counter()
        for i in range(rounds):
            got = part.batch(random.Random(f"{seed}/{i}"), 24, 16)
            parts, logits, s = self.forward(got, 24)
            loss.update({k: v.item() / rounds for k, v in parts.items()})
            said = logits.argmax(-1) - pairs.FIRST
            for kind, want, have in zip(got[4], got[3], said.tolist()):
                bad = have != pairs.ANSWERS.index(want)
                for name in (kind, "pairs" if kind == "pair" else "questions"):
                    wrong[name] += bad
                    seen[name] += 1
            own = torch.arange(len(s), device=s.device)
            wrong["retrieval"] += int((s.argmax(1) != own).sum() + (s.argmax(0) != own).sum())
            seen["retrieval"] += 2 * len(s)
        self.net.train()
        self.loads.clear()
        r = {k: 100 * wrong[k] / seen[k] for k in seen if k != "pair"}
        return {**r, "error": sum(r[k] for k in ("questions", "pairs", "retrieval")) / 3, "seen": dict(seen), "loss": dict(loss)}


def guess(part, rounds=40, seed=98):
    """Shares wrong of who always says the commonest answer of a kind of question, and picks by chance."""
    by = {}
    for i in range(rounds * 24):
        _, _, answer, kind = part.question(random.Random(f"{seed}/{i}"))
        by.setdefault(kind, collections.Counter())[answer] += 1
    right = sum(c.most_common(1)[0][1] for c in by.values()) / sum(sum(c.values()) for c in by.values())
    r = {"questions": 100 * (1 - right), "pairs": 50.0, "retrieval": 100 * (1 - 1 / len(pairs.LABELS))}
    return {**r, "error": sum(r.values()) / 3}


def make(a):
    n = (600, 270, 6) if a.small else (12000, 2700, 24)
    os.makedirs(a.out, exist_ok=True)
    for part, drawings, share in (("train", a.drawings, 1), ("dev", a.held_drawings, 3)):
        path = os.path.join(a.out, part + ".pt")
        if not os.path.exists(path):
            results.say(pairs.make(path, part, drawings, a.data, a.synth, a.espeak_data, n[0] // share, n[1] // share,
                                   max(3, n[2] // share)))


def run(a):
    dev, res, clock = "cuda" if torch.cuda.is_available() else "cpu", results.Results(a.out), results.Clock(a.budget_s)
    m3.GROUPED = False
    train, dev_part = (pairs.Material(os.path.join(a.out, p + ".pt"), dev) for p in ("train", "dev"))
    steps = a.steps or SIZES[a.size][8]
    if "guess" not in res.all:
        res.put("guess", guess(dev_part))
    for seed in a.seeds.split(","):
        for kind in a.kinds.split(","):
            name = f"{kind} {seed}"
            if res.all.get(name, {}).get("done"):
                continue
            r = Run(a.out, kind, a.size, int(seed), steps, dev, train)
            whole, active = parameters(r.net)
            results.say(name, f"{whole / 1e6:.2f} M parameters, {active / 1e6:.2f} M active, from step {r.at} of {steps}")
            while r.at < steps:
                clock.check(r.save)
                parts = r.step()
                if r.at % max(1, steps // 10) == 0:
                    results.say(name, "step", r.at, {k: round(v, 3) for k, v in parts.items()})
                    r.save()
                if r.at % max(1, steps // 4) == 0 and r.at < steps:
                    res.put(name, {"done": False, "step": r.at, **r.judge(dev_part, a.rounds // 4 or 1)})
            res.put(name, {"done": True, "step": steps, "size": a.size, "parameters": whole, "active": active,
                           **r.judge(dev_part, a.rounds)})
            results.say(name, {k: round(v, 1) for k, v in res.all[name].items() if isinstance(v, float)})


def table(res):
    done = {k: [v for n, v in sorted(res.items()) if n.split()[0] == k and v.get("done")] for k in NETS}
    n = min(map(len, done.values()))
    if not n:
        return "no seed has been run with both yet"
    columns = ("questions", "count", "colour", "there", "pairs", "retrieval", "error")
    out = [f"| wrong, %, {n} seeds, {done['early'][0]['step']} steps (± standard deviation of seeds) | parameters, active | questions | "
           "how many | what colour | is there | match of picture and sound | retrieval, of nine | alignment error |", "|---|" + "---|" * 8]
    for kind, rows in done.items():
        out.append(f"| {kind} fusion | {rows[0]['parameters'] / 1e6:.2f} M, {rows[0]['active'] / 1e6:.2f} M | " +
                   " | ".join(results.spread([r[c] for r in rows[:n]]) for c in columns) + " |")
    g = res["guess"]
    out.append("| the commonest answer, chance | | " + " | ".join(f"{g[c]:.1f}" if c in g else "" for c in columns) + " |")
    cut, lo, hi = results.relative(*([r["error"] for r in done[k][:n]] for k in ("late", "early")))
    out.append(f"\nEarly fusion's alignment error is {100 * cut:.0f} % lower than late fusion's "
               f"[{100 * lo:.0f}, {100 * hi:.0f}: seeds drawn with replacement].")
    return "\n".join(out)


def main():
    a = argparse.ArgumentParser()
    sub = a.add_subparsers(dest="what", required=True)
    m = sub.add_parser("make")
    m.add_argument("out")
    for x in ("data", "synth", "espeak-data", "drawings", "held-drawings"):
        m.add_argument("--" + x, required=True)
    m.add_argument("--small", action="store_true", help="what a CPU can use")
    r = sub.add_parser("run")
    r.add_argument("out")
    r.add_argument("--size", default="gpu", choices=SIZES)
    r.add_argument("--steps", type=int)
    r.add_argument("--seeds", default="1,2,3")
    r.add_argument("--kinds", default="early,late")
    r.add_argument("--rounds", type=int, default=40, help="of 40 trials and 18 picks each, to judge by")
    r.add_argument("--budget-s", type=float, default=540)
    sub.add_parser("table").add_argument("out")
    a = a.parse_args()
    if a.what == "table":
        print(table(results.Results(a.out).all))
        return 0
    return results.status(lambda: {"make": make, "run": run}[a.what](a))


if __name__ == "__main__":
    sys.exit(main())
