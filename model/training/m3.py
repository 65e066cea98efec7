# SPDX-License-Identifier: Apache-2.0
"""M3 in plain PyTorch (docs/MODEL.md): M3 (weights, training form over whole windows) and Stream
(the same maths slot by slot, with rings and modality memories)."""
import json
import math
import os
from types import SimpleNamespace

import torch
import torch.nn as nn
import torch.nn.functional as F

TEXT, AUDIO, IMAGE = 0, 1, 2
PATCHES = 60
GROUPED = True                           # experts by grouped matrix products (else all of them, masked)
# How experts are chosen: ours (MODEL.md, section 3); by W h alone; by a W for each modality. No runner computes the last one.
ROUTERS = {"cross-modal": {"enabled": True}, "plain": {"enabled": False}, "per-modality": {"enabled": False, "per_modality": True}}
CTC_CHARS = " abcdefghijklmnopqrstuvwxyzäöüß'"


def config(path="nano", router=None, **change):
    """Settings from a config.json, or 'nano' / 'tiny'; router: one of ROUTERS; .raw is what goes into config.json."""
    if os.path.exists(path):
        raw = json.load(open(path, encoding="utf8"))
    else:
        raw = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "m3-nano.json"), encoding="utf8"))
        if path == "tiny":
            raw["text_config"].update(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, head_dim=16,
                                      rotary_dim=8, vocab_size=320, dense_intermediate_size=96,
                                      intermediate_size=32, shared_intermediate_size=64,
                                      num_local_experts=4, moe_layer_freq=[0, 1, 1])
            raw["cross_modal_router"]["router_dim"] = 8
            raw["streaming"]["window_slots"] = 12
    raw["text_config"].update(change)
    if router:
        raw["cross_modal_router"].pop("per_modality", None)
        raw["cross_modal_router"].update(ROUTERS[router])
    t, s = raw["text_config"], raw["streaming"]
    return SimpleNamespace(
        raw=raw, router=next(k for k in ("cross-modal", "per-modality", "plain") if ROUTERS[k].items() <= raw["cross_modal_router"].items()),
        d=t["hidden_size"], layers=t["num_hidden_layers"], heads=t["num_attention_heads"],
        kv=t["num_key_value_heads"], hd=t["head_dim"], vocab=t["vocab_size"], eps=t["rms_norm_eps"],
        theta=t["rope_theta"], rd=t["rotary_dim"], alpha=t["swiglu_alpha"], limit=t["swiglu_limit"],
        dense=t["dense_intermediate_size"], inter=t["intermediate_size"], shared=t["shared_intermediate_size"],
        experts=t["num_local_experts"], top=t["num_experts_per_tok"], scale=t["routed_scaling_factor"],
        moe=t["moe_layer_freq"], rdim=raw["cross_modal_router"]["router_dim"],
        decay=math.exp(-s["slot_ms"] / 1000 / raw["cross_modal_router"]["decay_seconds"]),
        window=s["window_slots"], delay=s["delay_slots"], delays=s.get("delays", [s["delay_slots"]]), pictures=raw["vision_config"]["max_pictures"],
        anew=s.get("anew_slots", 0),
        lanes=[x["name"] for x in raw["lanes"]], acts=len(raw["activity"]), conds=raw["conditions"],
        pad=raw["pad_token_id"])


def norm(x, w, eps):
    y = x.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps) * (1 + w)).to(x.dtype)


class Norm(nn.Module):
    def __init__(self, d, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.zeros(d)), eps

    def forward(self, x):
        return norm(x, self.weight, self.eps)


def linear(n_in, n_out, std=None):
    m = nn.Linear(n_in, n_out, bias=False)
    nn.init.normal_(m.weight, std=n_in ** -0.5 if std is None else std)
    return m


def rope(x, pos, c):
    """x [B, H, N, hd], pos [N] or [B, N]."""
    i = torch.arange(0, c.rd, 2, device=x.device, dtype=torch.float32)
    a = pos.float()[..., None] * c.theta ** (-i / c.rd)
    a = a[:, None] if a.dim() == 3 else a
    co, si, y = a.cos(), a.sin(), x.float()
    p, q, r = y[..., :c.rd // 2], y[..., c.rd // 2:c.rd], y[..., c.rd:]
    return torch.cat([p * co - q * si, q * co + p * si, r], -1).to(x.dtype)


def attend(q, k, v, mask):
    """q [B, H, N, hd], k and v [B, KV, M, hd], mask bool broadcastable to [B, 1, N, M]."""
    r = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(r, 1), v.repeat_interleave(r, 1)
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    s = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    return s.masked_fill(~mask, float("-inf")).softmax(-1).to(v.dtype) @ v


class Gather(torch.autograd.Function):
    """y = x[index // k], where index permutes the rows of x repeated k times; the gradient gathers too."""
    @staticmethod
    def forward(ctx, x, index, inverse, k):
        ctx.save_for_backward(inverse)
        ctx.k = k
        return x[torch.div(index, k, rounding_mode="floor")]

    @staticmethod
    def backward(ctx, g):
        g = g[ctx.saved_tensors[0]]
        return (g.view(-1, ctx.k, g.shape[-1]).sum(1) if ctx.k > 1 else g), None, None, None


class Block(nn.Module):
    def __init__(self, c, sparse):
        super().__init__()
        self.c, self.sparse = c, sparse
        d, out = c.d, 1 / math.sqrt(2 * c.layers)
        self.n1, self.n2 = Norm(d, c.eps), Norm(d, c.eps)
        self.qkv = linear(d, (c.heads + 2 * c.kv) * c.hd)
        self.o = linear(c.heads * c.hd, d, (c.heads * c.hd) ** -0.5 * out)
        self.qn, self.kn = Norm(c.hd, c.eps), Norm(c.hd, c.eps)
        wide = c.shared if sparse else c.dense
        self.up, self.down = linear(d, 2 * wide), linear(wide, d, wide ** -0.5 * out)   # up = [gate; up]
        if sparse:
            self.w13 = nn.Parameter(torch.randn(c.experts, 2 * c.inter, d) * d ** -0.5)
            self.w2 = nn.Parameter(torch.randn(c.experts, d, c.inter) * c.inter ** -0.5 * out)
            self.gate = nn.Parameter(torch.randn(*([3] if c.router == "per-modality" else []), c.experts, d) * d ** -0.5)
            self.register_buffer("bias", torch.zeros(c.experts))
            if c.router == "cross-modal":
                self.xq = nn.Parameter(torch.randn(c.rdim, d) * d ** -0.5)
                self.xk = nn.Parameter(torch.randn(c.rdim, d) * d ** -0.5)
                self.xv = nn.Parameter(torch.zeros(c.experts, d))
                self.presence = nn.Parameter(torch.zeros(3, c.experts))

    def unit(self, x):
        g, u = x.chunk(2, -1)
        g, u = g.clamp(max=self.c.limit), u.clamp(-self.c.limit, self.c.limit)
        return (u + 1) * g * torch.sigmoid(self.c.alpha * g)

    def project(self, x, pos):
        c, (b, n, _) = self.c, x.shape
        q, k, v = self.qkv(self.n1(x)).split([c.heads * c.hd, c.kv * c.hd, c.kv * c.hd], -1)
        split = lambda t: t.view(b, n, -1, c.hd).transpose(1, 2)
        return rope(self.qn(split(q)), pos, c), rope(self.kn(split(k)), pos, c), split(v)

    def merge(self, a):
        b, _, n, _ = a.shape
        return self.o(a.transpose(1, 2).reshape(b, n, -1))

    def memory_keys(self, h):
        """[K; V] h: what a modality memory keeps of h."""
        return F.linear(h, torch.cat([self.xk, self.xv]).to(h.dtype))

    def own_logits(self, h, kind):
        """W h, all there is where the router is not cross-modal; kind: the positions' modality."""
        return F.linear(h, self.gate[kind] if self.gate.dim() == 3 else self.gate)

    def router_logits(self, h, mean, present):
        """h [..., D] f32; mean [..., 3, R+E] memories; present [..., 3] bool."""
        q = F.linear(h, self.xq)
        s = (mean[..., :self.c.rdim] * q[..., None, :]).sum(-1) / math.sqrt(self.c.rdim)
        some = present.any(-1, keepdim=True)
        p = s.masked_fill(~present, -1e30).softmax(-1) * some
        b = present.to(h.dtype) @ self.presence
        return F.linear(h, self.gate) + (p[..., None] * mean[..., self.c.rdim:]).sum(-2) + b

    def choose(self, logits):
        s = torch.sigmoid(logits)
        index = (s + self.bias).topk(self.c.top, -1)[1]
        w = s.gather(-1, index)
        return index, w / w.sum(-1, keepdim=True) * self.c.scale

    def experts(self, h, index, w):
        """h [M, D], index and w [M, top] -> [M, D]; dropless."""
        flat, k = index.reshape(-1), self.c.top
        if h.is_cuda and h.dtype == torch.bfloat16 and not GROUPED:
            m = torch.zeros(len(h), self.c.experts, device=h.device).scatter(1, index, w).to(h.dtype)
            x = self.unit(torch.einsum("md,ehd->meh", h, self.w13.to(h.dtype))) * m[..., None]
            return torch.einsum("meh,edh->md", x, self.w2.to(h.dtype))
        if h.is_cuda and h.dtype == torch.bfloat16:
            order = flat.to(torch.uint8).argsort(stable=True)
            inverse = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=h.device))
            ends = (flat[:, None] == torch.arange(self.c.experts, device=h.device)).sum(0).cumsum(0).to(torch.int32)
            x = Gather.apply(h, order, inverse, k)
            x = self.unit(torch._grouped_mm(x, self.w13.to(x.dtype).transpose(1, 2), offs=ends))
            x = torch._grouped_mm(x, self.w2.to(x.dtype).transpose(1, 2), offs=ends)
            y = Gather.apply(x, inverse, order, 1).view(-1, k, h.shape[-1])
            return (y * w[..., None].to(y.dtype)).sum(1)
        y = torch.zeros_like(h)
        for e in range(self.c.experts):
            row, col = (index == e).nonzero(as_tuple=True)
            if len(row):
                x = F.linear(self.unit(F.linear(h[row], self.w13[e].to(h.dtype))), self.w2[e].to(h.dtype))
                y = y.index_add(0, row, x * w[row, col, None].to(h.dtype))
        return y

    def ffn(self, x, read):
        """read(h f32) -> router logits; returns F(N_2 x), the chosen experts."""
        h = self.n2(x)
        y = self.down(self.unit(self.up(h)))
        if not self.sparse:
            return y, None
        with torch.autocast(h.device.type, enabled=False):
            index, w = self.choose(read(h.float()))
            y = y + self.experts(h.reshape(-1, h.shape[-1]), index.view(-1, self.c.top),
                                 w.view(-1, self.c.top)).view(h.shape).to(y.dtype)
        return y, index

    def plain_read(self, h, ema):
        """Router logits where only sound is present (p = 1)."""
        if self.c.router != "cross-modal":
            return self.own_logits(h, AUDIO)
        m = torch.einsum("ts,bsr->btr", ema, F.linear(h, self.xv))
        some = (torch.arange(h.shape[1], device=h.device) > 0).float()
        return F.linear(h, self.gate) + m + some[:, None] * self.presence[AUDIO]

    def forward(self, x, pos, mask, ema, prefix=None, when=None):
        """Training form over whole windows -> (x, share of positions that chose each expert or None)."""
        q, k, v = self.project(x, pos)
        x = x + self.merge(attend(q, k, v, mask))
        y, index = self.ffn(x, lambda h: self.plain_read(h, ema) if when is None else self.rich_read(h, ema, prefix, when))
        if index is None:
            return x + y, None
        on = (index[..., None] == torch.arange(self.c.experts, device=x.device)).float()
        return x + y, on.sum(-2).mean((0, 1))

    def rich_read(self, h, ema, prefix, when):
        """Router logits where pictures and a prefix may be present (MODEL.md section 3)."""
        c, (b, p), k, t = self.c, prefix.shape, when.shape[1], len(ema)
        if c.router != "cross-modal":
            return torch.cat([self.own_logits(h[:, :p], TEXT), self.own_logits(h[:, p:-t], IMAGE), self.own_logits(h[:, -t:], AUDIO)], 1)
        mem = self.memory_keys(h)
        r, dev = mem.shape[-1], h.device
        slot = torch.arange(t, device=dev)
        ok = (prefix >= 0).float()
        text = (mem[:, :p] * ok[..., None]).sum(1) / ok.sum(1).clamp_min(1)[:, None]
        has_text = ok.sum(1) > 0
        audio = torch.einsum("ts,bsr->btr", ema, mem[:, -t:])
        runs = mem[:, p:-t].reshape(b, k, PATCHES, r).mean(2)
        at = when.clamp(max=t - 1)
        def images(pos, strict):                         # pos [B, n] -> mean over the pictures before it
            gap = (pos[:, :, None] - when[:, None, :]).float()
            on = (gap >= 0) & (when < t)[:, None, :]
            if strict:
                on = on & (torch.arange(k, device=dev)[:, None] > torch.arange(k, device=dev))
            w = torch.where(on, c.decay ** gap, torch.zeros_like(gap))
            # weights relative to the newest picture, so that none underflows
            w = w / w.sum(-1, keepdim=True).clamp_min(1e-30)
            return w @ runs, on.any(-1)
        spread = lambda z: z.repeat_interleave(PATCHES, 1)
        im_slot, has_slot = images(slot.expand(b, t), False)
        im_pic, has_pic = images(when, True)
        zeros = torch.zeros(b, p, r, device=dev)
        mean = torch.stack([
            torch.cat([zeros, text[:, None].expand(b, k * PATCHES + t, r)], 1),
            torch.cat([zeros, spread(audio.gather(1, at[..., None].expand(b, k, r))), audio], 1),
            torch.cat([zeros, spread(im_pic), im_slot], 1)], 2)
        no = torch.zeros(b, p, dtype=torch.bool, device=dev)
        present = torch.stack([
            torch.cat([no, has_text[:, None].expand(b, k * PATCHES + t)], 1),
            torch.cat([no, spread(when > 0), (slot > 0).expand(b, t)], 1),
            torch.cat([no, spread(has_pic), has_slot], 1)], -1)
        return self.router_logits(h, mean, present)


class M3(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, d = c, c.d
        self.embed = nn.Parameter(torch.randn(c.vocab, d) * 0.02)
        self.audio, self.audio_norm = linear(640, d), Norm(d, c.eps)
        self.image, self.image_norm = linear(768, d), Norm(d, c.eps)
        self.row = nn.Parameter(torch.randn(6, d) * 0.02)
        self.col = nn.Parameter(torch.randn(10, d) * 0.02)
        self.cond = nn.Parameter(torch.randn(len(c.conds), d) * 0.02)
        self.lane_in = nn.ModuleList(linear(d, d) for _ in c.lanes)
        self.lane_out = nn.ModuleList(linear(d, d) for _ in c.lanes)
        self.blocks = nn.ModuleList(Block(c, bool(m)) for m in c.moe)
        self.final = Norm(d, c.eps)
        self.act = nn.Linear(d, c.acts)
        self.ctc = nn.Sequential(Norm(d, c.eps), nn.Linear(d, 2 * (len(CTC_CHARS) + 1)))   # training only

    # ---- inputs: each returns [B, n, D] without the condition term
    def slot_input(self, mel, prev):
        x = self.audio_norm(self.audio(mel))
        for i, p in enumerate(self.lane_in):
            x = x + p(self.fed(prev[..., i]).to(x.dtype))
        return x

    def fed(self, ids):
        """Embeddings; PAD apart, so that its gradient is a sum and not thousands of additions to one row."""
        if not self.training:
            return F.embedding(ids, self.embed)
        pad = ids == self.c.pad
        spread = torch.arange(ids.numel(), device=ids.device).view(ids.shape) % self.c.vocab
        e = F.embedding(torch.where(pad, spread, ids), self.embed)
        return torch.where(pad[..., None], self.embed[self.c.pad], e)

    def window_input(self, mel, prev):
        return self.slot_input(mel, prev)

    def patch_input(self, patches):
        x = self.image_norm(self.image(patches))
        return x + (self.row[:, None] + self.col[None]).reshape(PATCHES, -1).to(x.dtype)

    def logits(self, h, lane):
        return F.linear(self.lane_out[lane](h), self.embed.to(h.dtype))

    # ---- training form
    def forward(self, mel, prev, cond, patches=None, when=None, prefix=None):
        """mel [B, T, 640], prev [B, T, lanes], cond [B, C] 0/1; patches [B, K, 60, 768] with the slots
        when [B, K] (ascending, T = none); prefix [B, P] ids right-aligned, -1 = none.
        Returns h [B, T, D] after N_f, the middle layer's slots, per-layer expert loads [layers, E]."""
        c, (b, t, _) = self.c, mel.shape
        dev, x, rich = mel.device, self.window_input(mel, prev), patches is not None
        slot = torch.arange(t, device=dev)
        if rich:
            k, p = when.shape[1], prefix.shape[1]
            x = torch.cat([F.embedding(prefix.clamp_min(0), self.embed).to(x.dtype),
                           self.patch_input(patches).reshape(b, k * PATCHES, -1), x], 1)
            pic = when.repeat_interleave(PATCHES, 1)
            pos = torch.cat([torch.arange(-p, 0, device=dev).expand(b, p), pic, slot.expand(b, t)], 1)
            mask = self.rich_mask(prefix, pic, slot)
        else:
            pos, gap = slot, slot[:, None] - slot
            mask = ((gap >= 0) & (gap < c.window))[None, None]
        x = x + (cond @ self.cond)[:, None].to(x.dtype)
        # decayed means over earlier slots: row t of ema weighs slots < t
        gap = (slot[:, None] - slot).float()
        ema = torch.where(gap > 0, c.decay ** gap, torch.zeros_like(gap))
        ema = ema / ema.sum(-1, keepdim=True).clamp_min(1e-30)
        mid, loads = None, []
        for i, blk in enumerate(self.blocks):
            x, load = blk(x, pos, mask, ema, prefix, when)
            if load is not None:
                loads.append(load)
            if i == c.layers // 2:
                mid = x[:, -t:]
        return self.final(x[:, -t:]), mid, torch.stack(loads)

    def rich_mask(self, prefix, pic, slot):
        """[B, 1, N, N] of prefix | pictures | slots; of the pictures so far the newest c.pictures are seen."""
        c, (b, p), m, t = self.c, prefix.shape, pic.shape[1], len(slot)
        n, dev = p + m + t, prefix.device
        pos = torch.cat([torch.zeros(b, p, device=dev, dtype=torch.long), pic, slot.expand(b, t)], 1)
        own = torch.arange(m, device=dev) // PATCHES
        so_far = torch.cat([torch.zeros(b, p, device=dev, dtype=torch.long), (own + 1).expand(b, m),
                            (pic[:, ::PATCHES, None] <= slot).sum(1)], 1)
        kind = torch.cat([torch.full((p,), -2, device=dev), own, torch.full((t,), -1, device=dev)])
        qk, kk = kind[:, None], kind[None, :]
        gap = pos[:, :, None] - pos[:, None, :]
        idx = torch.arange(n, device=dev)
        valid = torch.cat([prefix >= 0, pic < t, torch.ones(b, t, dtype=torch.bool, device=dev)], 1)
        see_prefix = (kk == -2) & ((qk != -2) | (idx[:, None] >= idx[None, :]))
        see_slot = (kk == -1) & (((qk == -1) & (gap >= 0) & (gap < c.window)) |
                                 ((qk >= 0) & (gap > 0) & (gap <= c.window)))
        see_pic = (kk >= 0) & (kk >= so_far[:, :, None] - c.pictures) & (((qk >= 0) & (kk <= qk)) | ((qk == -1) & (gap >= 0)))
        mask = (see_prefix | see_slot | see_pic) & valid[:, None, :]
        return (mask | (idx[:, None] == idx[None, :]))[:, None]


class Stream:
    """Rows in step, one slot at a time. A picture takes the oldest picture's place in the ring before
    its patches attend."""
    def __init__(self, net, cond, prefix=None):
        """cond [B, C]; prefix: ids [B, n] or None."""
        self.net, self.c, self.t = net, net.c, 0
        self.cond = cond @ net.cond
        self.prefix, self.ring = [None] * self.c.layers, [None] * self.c.layers
        self.pics = [[] for _ in range(self.c.layers)]
        self.mean = [[None] * 3 for _ in range(self.c.layers)]
        self.n, self.last = [0.0] * 3, [0] * 3
        self.trace, self.prefix_at = None, 0
        if prefix is not None and prefix.shape[1]:
            n = prefix.shape[1]
            pos = torch.arange(-n, 0, device=cond.device)
            self._run(F.embedding(prefix, net.embed), pos, TEXT)

    def move_prefix(self):
        """It stands right before the coming slot again (MODEL.md section 2): its keys are turned by as much."""
        for i, kv in enumerate(self.prefix):
            if kv is not None:
                by = torch.full((kv[0].shape[2],), self.t - self.prefix_at, device=kv[0].device)
                self.prefix[i] = (rope(kv[0], by, self.c), kv[1])
        self.prefix_at = self.t

    def picture(self, patches):
        """patches [B, 60, 768]; belongs to the coming slot."""
        pos = torch.full((PATCHES,), self.t, device=patches.device)
        self._run(self.net.patch_input(patches), pos, IMAGE)

    def slot(self, mel, prev):
        """mel [B, 640], prev [B, lanes] -> (logits per lane, activity logits); advances one slot."""
        x = self.net.slot_input(mel[:, None], prev[:, None])
        h = self.net.final(self._run(x, torch.full((1,), self.t, device=mel.device), AUDIO))[:, 0]
        self.t += 1
        return [self.net.logits(h, i) for i in range(len(self.c.lanes))], self.net.act(h)

    def _run(self, x, pos, kind):
        net, c, n = self.net, self.c, x.shape[1]
        x = x + self.cond[:, None].to(x.dtype)
        own = torch.ones(n, n, dtype=torch.bool, device=x.device)
        if kind == TEXT:
            own = own.tril()
        now = self.t if kind != TEXT else 0
        g = c.decay ** (now - self.last[kind])
        total = g * self.n[kind] + 1
        for i, blk in enumerate(net.blocks):
            q, k, v = blk.project(x, pos)
            if kind == IMAGE and len(self.pics[i]) == c.pictures:
                self.pics[i].pop(0)
            if kind == AUDIO and self.ring[i] is not None and self.ring[i][0].shape[2] == c.window:
                self.ring[i] = tuple(z[:, :, 1:] for z in self.ring[i])
            past = [z for z in (self.prefix[i], self.ring[i], *self.pics[i]) if z is not None]
            keys = torch.cat([z[0] for z in past] + [k], 2)
            values = torch.cat([z[1] for z in past] + [v], 2)
            mask = torch.cat([own.new_ones(n, keys.shape[2] - n), own], 1)[None, None]
            x = x + blk.merge(attend(q, keys, values, mask))
            if kind == TEXT:
                self.prefix[i] = (k, v)
            elif kind == IMAGE:
                self.pics[i].append((k, v))
            else:
                r = self.ring[i]
                self.ring[i] = (k, v) if r is None else tuple(torch.cat(z, 2) for z in zip(r, (k, v)))
            kept = {}

            def read(h):
                if c.router != "cross-modal":
                    return blk.own_logits(h, kind)
                kept["h"] = blk.memory_keys(h).mean(1)
                zero = torch.zeros_like(kept["h"])
                mean = torch.stack([zero if m is None else m for m in self.mean[i]], 1)[:, None]
                present = torch.tensor([z > 0 for z in self.n], device=h.device)
                logits = blk.router_logits(h, mean, present.expand(*h.shape[:2], 3))
                if self.trace is not None:
                    self.trace.append(("router", i, logits))
                return logits
            y, _ = blk.ffn(x, read)
            x = x + y
            if kept:
                old = self.mean[i][kind]
                m = kept["h"] / total
                self.mean[i][kind] = m if old is None else m + old * (g * self.n[kind] / total)
            if self.trace is not None:
                self.trace.append(("hidden", i, x))
        self.n[kind], self.last[kind] = total, now
        return x
