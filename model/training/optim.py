# SPDX-License-Identifier: Apache-2.0
"""Muon for the matrices (momentum made orthogonal by Newton-Schulz, scaled to AdamW's step size); AdamW for the rest."""
import torch


@torch.no_grad()
def orthogonal(g):
    """g [n, rows, cols] -> nearly orthogonal matrices of the same shape."""
    x = g.bfloat16() if g.is_cuda else g.clone()
    flip = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if flip else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        a = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, a, x, beta=3.4445)
    return (x.transpose(1, 2) if flip else x).float()


class Muon:
    def __init__(self, params, momentum=0.95, decay=0.1):
        self.momentum, self.decay, groups = momentum, decay, {}
        for p in params:
            groups.setdefault(tuple(p.shape[-2:]), []).append(p)
        self.groups = list(groups.values())
        self.buf = {p: torch.zeros_like(p) for g in self.groups for p in g}

    @torch.no_grad()
    def step(self, lr):
        """lr: a tensor of no dimensions."""
        for group in self.groups:
            group = [p for p in group if p.grad is not None]
            if not group:
                continue
            grads = [p.grad for p in group]
            bufs = [self.buf[p] for p in group]
            torch._foreach_mul_(bufs, self.momentum)
            torch._foreach_add_(bufs, grads)
            u = torch._foreach_add(grads, bufs, alpha=self.momentum)
            r, c = group[0].shape[-2:]
            u = orthogonal(torch.cat([x.reshape(-1, r, c) for x in u]))
            u = (u * (-0.2 * max(r, c) ** 0.5 * lr)).split([p.numel() // (r * c) for p in group])
            keep = 1 - lr * self.decay
            torch._foreach_mul_(group, keep if keep.is_cuda else keep.item())
            torch._foreach_add_(group, [x.view_as(p) for x, p in zip(u, group)])

    def state(self, named):
        return {n: self.buf[p] for n, p in named if p in self.buf}

    def load(self, named, state):
        for n, p in named:
            if p in self.buf:
                self.buf[p].copy_(state[n])


def split(net):
    """(matrices for Muon, other matrices, vectors) as named parameters."""
    muon, rest, vec = [], [], []
    for n, p in net.named_parameters():
        last = n.split(".")[-1]
        if n.startswith(("blocks.", "lane_")) and (last in ("w13", "w2") or n.endswith(("qkv.weight", ".o.weight", "up.weight",
                                                                                      "down.weight")) or n.startswith("lane_")):
            muon.append((n, p))
        elif p.dim() >= 2 and last not in ("presence", "cond", "row", "col"):
            rest.append((n, p))
        else:
            vec.append((n, p))
    return muon, rest, vec
