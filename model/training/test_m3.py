# SPDX-License-Identifier: Apache-2.0
"""The training form and the streaming form of M3 agree (random weights, pictures, prefix), whatever the router."""
import sys

import torch

import m3


def randomise(net, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in list(net.named_parameters()) + list(net.named_buffers()):
            if p.dim() == 1 or "presence" in name or "xv" in name:
                p.copy_(torch.randn(p.shape, generator=g) * (0.1 if "bias" not in name else 0.05))


def disagreement(router):
    torch.manual_seed(1)
    c = m3.config("tiny", router)
    net = m3.M3(c).eval()
    randomise(net, 2)
    b, t = 2, 40
    mel, prev = torch.randn(b, t, 640), torch.randint(0, c.vocab, (b, t, len(c.lanes)))
    cond = torch.zeros(b, len(c.conds))
    cond[0, 0] = cond[0, 2] = cond[1, 1] = 1
    worst = 0.0
    for pictures, prefix_len in ((0, 0), (3, 0), (3, 5), (7, 6)):    # 7: more than are kept
        when = torch.tensor([[3, 9, 14, 20, 21, 30, 36]] * b)[:, :pictures]
        pats = torch.randn(b, pictures, m3.PATCHES, 768)
        prefix = torch.randint(0, c.vocab, (b, prefix_len))
        with torch.no_grad():
            if pictures or prefix_len:
                pad = torch.full((b, 8 - prefix_len), -1)
                h, _, _ = net(mel, prev, cond, pats, when, torch.cat([pad, prefix], 1))
            else:
                h, _, _ = net(mel, prev, cond)
            want = torch.stack([net.logits(h, i) for i in range(len(c.lanes))], 2)
            s, got = m3.Stream(net, cond, prefix), []
            for i in range(t):
                for k in range(pictures):
                    if when[0, k] == i:
                        s.picture(pats[:, k])
                lg, act = s.slot(mel[:, i], prev[:, i])
                got.append(torch.stack(lg, 1))
            got = torch.stack(got, 1)
        err = ((got - want).norm() / want.norm()).item()
        print(f"{router}, pictures {pictures} prefix {prefix_len}: relative error {err:.1e}")
        worst = max(worst, err)
    return worst


if __name__ == "__main__":
    sys.exit(max(map(disagreement, m3.ROUTERS)) > 1e-4)
