# SPDX-License-Identifier: Apache-2.0
"""One training step: windows -> augmented inputs -> losses -> gradients -> update. On a GPU the launches of a step cost
more than its arithmetic, so each kind of window (plain, rich) is recorded as three CUDA graphs, around what cannot be
recorded: the CTC loss and the exchange of gradients."""
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

import augment
import batches
import features
import m3
import optim
import pictures
import weights

SHARE = {"cap": 1.0, "tr": 0.6, "desc": 0.9, "act": 0.15, "ctc": 0.4}


def losses(net, h, cap, tr, act, weight, masks, desc=None):
    """-> caption, translation, description, activity. masks [B, T, lanes], h [B, T, D]; tr [R, T] with R <= B."""
    v, r = net.c.vocab, tr.shape[0]

    def ce(lane, rows, target):
        w = weight[target] * masks[:rows, :, lane]
        x = F.cross_entropy(net.logits(h[:rows], lane).float().reshape(-1, v), target.reshape(-1), reduction="none")
        return (x.view(target.shape) * w).sum() / w.sum().clamp_min(1)
    l_cap, l_tr = ce(0, cap.shape[0], cap), ce(1, r, tr)
    l_desc = l_cap.new_zeros(()) if desc is None else ce(2, cap.shape[0], desc)
    return torch.stack([l_cap, l_tr, l_desc, F.binary_cross_entropy_with_logits(net.act(h).float(), act)])


def has_bf16():
    """Whether the processor multiplies bf16 itself."""
    try:
        return any(x in open("/proc/cpuinfo").read() for x in ("avx512_bf16", "amx_bf16"))
    except OSError:
        return False


class Trainer:
    """The net, its optimisers and what both kinds of window share."""
    def __init__(self, size, dev, world, atlas, lr, compiled=True, use_muon=True, c=None):
        """c: a config instead of a size."""
        self.dev, self.world, self.base_lr = dev, world, lr
        self.bf16 = dev == "cuda" or has_bf16()
        # parts of the fed-back tokens that are others (in windows of recordings; in the description lane, which else trusts what
        # it has said more than what it sees), that are PAD
        self.share, self.wrong, self.wrong_human, self.wrong_seen, self.lost = dict(SHARE), 0.04, 0.12, 0.06, 0.0
        self.c = c or m3.config(size, **({"vocab_size": 6144} if size == "tiny" else {}))
        self.net = m3.M3(self.c).to(dev)
        muon, rest, vec = optim.split(self.net)
        if not use_muon:
            muon, rest = [], muon + rest
        cuda = dev == "cuda"
        self.lr = torch.zeros((), device=dev)
        self.adam_lr = torch.zeros((), device=dev)
        self.named, self.muon = muon, optim.Muon([p for _, p in muon])
        self.adam = torch.optim.AdamW([{"params": [p for _, p in rest], "weight_decay": 0.05},
                                       {"params": [p for _, p in vec], "weight_decay": 0.0}],
                                      lr=self.adam_lr if cuda else 0.0, betas=(0.9, 0.98),
                                      **({"fused": True, "capturable": True} if cuda else {}))
        quantised = [(p, weights.kind_of(n, p.shape)) for n, p in self.net.named_parameters() if not n.startswith("ctc")]
        self.quantised = [(p, 4 if k == "expert" else 8) for p, k in quantised if k != "exact"]
        self.quant = False
        fast = torch.compile if compiled else lambda f, **_: f
        if compiled:                                     # a block at a time: blocks of one kind share one compilation
            torch._dynamo.config.recompile_limit = 64
            m3.Block.forward = fast(m3.Block.forward, dynamic=False)
        self.losses, self.wave, self.mel = (fast(f, dynamic=False) for f in (losses, augment.wave, augment.mel_slots))
        self.filters = augment.warped_filters(dev)
        self.atlas = atlas
        self.weight = torch.ones(self.c.vocab, device=dev)
        self.weight[self.c.pad] = 0.25

    def set_lr(self, lr):
        self.lr.fill_(lr)
        self.adam_lr.fill_(0.6 * lr)
        if self.dev != "cuda":
            for g in self.adam.param_groups:
                g["lr"] = 0.6 * lr

    def try_grouped(self, say):
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
            say("grouped experts differ from dense ones by", max(err))
        except RuntimeError as e:
            m3.GROUPED = False
            say("no grouped experts:", str(e)[:200])
        blk.w13.grad = blk.w2.grad = None

    def state(self):
        return {"net": self.net.state_dict(), "muon": self.muon.state(self.named), "adam": self.adam.state_dict()}

    def load(self, s):
        self.net.load_state_dict(s["net"])
        self.muon.load(self.named, s["muon"])
        lr = [g["lr"] for g in self.adam.param_groups]   # the tensors that graphs hold
        self.adam.load_state_dict(s["adam"])
        for g, x in zip(self.adam.param_groups, lr):
            g["lr"] = x


class Step:
    """The step for one kind of window."""
    def __init__(self, trainer, layout, windows, translated, arena):
        self.t, self.layout, self.windows, self.translated, self.arena = trainer, layout, windows, translated, arena
        self.rows = torch.zeros(windows, layout.width, dtype=torch.int32, device=trainer.dev)
        self.ctc_grad = torch.zeros(2 * layout.t, windows, len(m3.CTC_CHARS) + 1, device=trainer.dev)
        self.forget()

    def forget(self):
        """Lets go of the graphs and of what the last step left: its autograd graph would tie gradients to its stream."""
        self.graphs = self.mine = self.kept = self.loss = self.lp = self.parts = self.loads = self.flat = self.norm = None

    def inputs(self):
        """-> fields, mel, fed-back tokens, masks, pictures or None."""
        t, c, dev, b, n = self.t, self.t.c, self.t.dev, self.windows, self.layout.t
        f = {k: self.layout.cut(self.rows, k).long() for k in self.layout.at}
        noise = torch.where(f["noise"][:, 0] >= 0, f["noise"][:, 0] * batches.HIGH + f["noise"][:, 1], f["noise"][:, 0])
        level = 10 ** (-1.5 * torch.rand(b, device=dev))
        gain = 10 ** (f["gain"].float() / 2000)
        src = f["src_high"] * batches.HIGH + f["src_low"]
        w = t.wave(self.arena.pcm, src, f["dst"], f["len"], gain, noise, level, n * features.SLOT, torch.rand(b, 8, device=dev))
        pick = t.filters[torch.randint(0, len(t.filters), (b,), device=dev)]
        tone = torch.randn(2, b, n * features.FRAMES, augment.F_BINS, device=dev)
        mel = augment.mask(t.mel(w, pick, torch.rand(b, 10, device=dev), tone))
        said = [f["cap"], f["tr"], f["desc"] if self.layout.rich else torch.full_like(f["cap"], c.pad)]
        slot = torch.arange(n, device=dev)
        on = torch.stack([(slot >= f["on"][:, 2 * i, None]) & (slot < f["on"][:, 2 * i + 1, None]) for i in range(3)], 2)
        y = torch.where(on, torch.stack(said, 2), torch.full((), c.pad, device=dev))
        z = torch.rand(y.shape, device=dev)
        wrong = torch.where(f["human"] > 0, t.wrong_human, t.wrong)[..., None].expand(b, 1, 3).clone()
        wrong[..., 2] = t.wrong_seen
        fed = torch.where(z < wrong, torch.randint(0, c.vocab, y.shape, device=dev), y)
        fed = torch.where(on & (z <= 1 - t.lost), fed, torch.full((), c.pad, device=dev))
        prev = F.pad(fed[:, :-1], (0, 0, 1, 0), value=c.pad)
        masks = on.float()
        masks[:, :, 1] *= ((f["bits"] & batches.UNKNOWN) == 0).float()
        f["act"] = torch.stack([(f["bits"] & bit > 0).float() for bit in (batches.SPEECH, batches.END, batches.CHANGE)], 2)
        f["conds"] = (f["cond"] >> torch.arange(len(c.conds), device=dev) & 1).float()
        rich = None
        if self.layout.rich:
            lo, hi = self.layout.at["spec"]
            spec = self.rows[:, lo:hi].contiguous().view(torch.float32).view(b * batches.K, -1)
            pic = pictures.paint(t.atlas, spec)
            rich = features.patches(pic).view(b, batches.K, m3.PATCHES, -1), f["when"], f["prefix"]
        return f, mel, prev, masks, rich

    def ahead(self):
        """Inputs, net and losses; the CTC head's log-probabilities are left in self.lp."""
        t = self.t
        with torch.no_grad():
            f, mel, prev, masks, rich = self.inputs()
            self.kept = [p.detach().clone() for p, _ in t.quantised] if t.quant else None
            for p, bits in t.quantised if t.quant else ():
                p.copy_(weights.fake_quantise(p, bits))
        with torch.autocast(t.dev, torch.bfloat16, enabled=t.bf16):
            h, mid, loads = t.net(mel.bfloat16() if t.bf16 else mel, prev, f["conds"], *(rich or ()))
            self.parts = t.losses(t.net, h, f["cap"], f["tr"][:self.translated], f["act"], t.weight, masks,
                                  *([f["desc"]] if rich else ()))
            ctc = t.net.ctc(mid)
        self.lp = ctc.float().view(self.windows, 2 * self.layout.t, -1).log_softmax(-1).transpose(0, 1)
        self.loads = loads
        self.loss = sum(t.share[k] * self.parts[i] for i, k in enumerate(("cap", "tr", "desc", "act")))

    def ctc(self, rows):
        """The CTC loss and its gradient on self.lp; rows: the windows as they are on the CPU."""
        lp = self.lp.detach().requires_grad_()
        n = self.layout.cut(rows, "ctc_len")[:, 0].long()
        x = F.ctc_loss(lp, self.layout.cut(self.rows, "ctc").long(), torch.full((self.windows,), 2 * self.layout.t), n,
                       reduction="none", zero_infinity=True)
        x = (x / n.clamp_min(60).to(x.device, non_blocking=True)).mean()
        (self.t.share["ctc"] * x).backward()
        self.ctc_grad.copy_(lp.grad)
        self.l_ctc = x.detach()

    def back(self):
        """Gradients, all in self.flat."""
        params = list(self.t.net.parameters())
        for p in params:
            p.grad = None
        torch.autograd.backward([self.loss, self.lp], [None, self.ctc_grad])
        self.mine = [p for p in params if p.grad is not None]
        self.flat = torch.cat([p.grad.reshape(-1) for p in self.mine] + [self.loads.detach().reshape(-1)])

    def exchange(self):
        if self.t.world > 1:
            dist.all_reduce(self.flat)

    def update(self):
        t = self.t
        flat = (self.flat / t.world).nan_to_num(0, 0, 0)  # one bad window must not end the run
        parts = flat.split([p.numel() for p in self.mine] + [self.loads.numel()])
        for p in t.net.parameters():
            p.grad = None
        for p, g in zip(self.mine, parts):
            p.grad = g.view_as(p)
        self.norm = nn.utils.clip_grad_norm_(self.mine, 1.0)
        with torch.no_grad():
            for (p, _), k in zip(t.quantised, self.kept or ()):
                p.copy_(k)
        t.adam.step()
        t.muon.step(t.lr)
        with torch.no_grad():
            for blk, load in zip([x for x in t.net.blocks if x.sparse], parts[-1].view_as(self.loads)):
                blk.bias += 0.002 * torch.sign(t.c.top / t.c.experts - load)

    def run(self, rows):
        """rows: int32 [windows, width] in page-locked memory (or plain, on a CPU)."""
        self.rows.copy_(rows, non_blocking=True)
        first, second, third = self.graphs or (None,) * 3
        first.replay() if first else self.ahead()
        self.ctc(rows)
        second.replay() if second else self.back()
        self.exchange()
        third.replay() if third else self.update()

    def record(self, rows, pool, side):
        """Runs on `rows` until all is warm, then records the three graphs, on the stream `side`. Its updates are real ones."""
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self.run(rows)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self.forget()
        graphs = []
        for part in (self.ahead, self.back, self.update):
            graphs.append(torch.cuda.CUDAGraph())
            with torch.cuda.graph(graphs[-1], pool=pool, stream=side, capture_error_mode="thread_local"):
                part()
        self.graphs = graphs
