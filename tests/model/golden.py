# SPDX-License-Identifier: Apache-2.0
"""golden.py: writes tests/model/golden/, what the oracle computes for rows of a tiny random model.

The sound and the pictures come from a generator that golden.c has too. A case is taken only where the oracle's
choices are clear: its two best logits differ by LOGIT_GAP, the router's scores at the cut by ROUTER_GAP."""
import os
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../model/training"))
import export  # noqa: E402
import m3  # noqa: E402
import tokens  # noqa: E402
import weights  # noqa: E402

LOGIT_GAP, ROUTER_GAP = 1e-3, 1e-4
# what is fed back: random tokens, or the oracle's own of the lanes that are on
CASES = {
    "mixed": {"slots": 40, "prefix": 7, "pictures": [0, 3, 3, 4, 11, 20, 33], "greedy": False},
    "sound": {"slots": 26, "prefix": 0, "pictures": [], "greedy": True},
    "full": {"slots": 10, "prefix": 64, "pictures": [3], "greedy": True},
    "moved": {"slots": 30, "prefix": 9, "pictures": [2, 19], "moves": [5, 19, 28], "greedy": True},
}


def values(seed, n):
    out, x = np.empty(n, np.float32), seed
    for i in range(n):
        x = (x * 1664525 + 1013904223) & 0xffffffff
        out[i] = x >> 24
    return out / np.float32(127.5) - np.float32(1)


def lanes_on(case, t, n):
    """Which lanes are on at slot t: all of them in turns."""
    if case == "mixed":
        return [t % 2 == 0 or i == t // 2 % n for i in range(n)]
    return [True] + [8 <= t < 18 and i == 1 or t >= 14 and i == 2 for i in range(1, n)]


@torch.no_grad()
def run(net, name, seed):
    """The case's tensors, or None where a choice is too close."""
    c, case, n = net.c, CASES[name], len(net.c.lanes)
    gen = torch.Generator().manual_seed(seed)
    data = torch.from_numpy(values(seed, case["slots"] * 640 + len(case["pictures"]) * 60 * 768))
    mel = data[:case["slots"] * 640].view(-1, 640)
    pictures = data[case["slots"] * 640:].view(-1, 60, 768)
    prefix = torch.randint(4, c.vocab, (case["prefix"],), generator=gen)
    on = torch.tensor([lanes_on(name, t, n) for t in range(case["slots"])])
    cond = torch.zeros(case["slots"], len(c.conds))
    cond[:, 0] = 1
    cond[:, -1] = on[:, 1].float() if case["greedy"] else 1
    s = m3.Stream(net, cond[:1], prefix[None] if len(prefix) else None)
    s.trace = []
    fed, best = torch.full((1, n), c.pad), None
    out = {"fed": [], "logits": [], "activity": []}
    for t in range(case["slots"]):
        s.cond = cond[t:t + 1] @ net.cond
        if t in case.get("moves", []):
            s.move_prefix()
        for k, at in enumerate(case["pictures"]):
            if at == t:
                s.picture(pictures[k][None])
        if not case["greedy"]:
            fed = torch.randint(0, c.vocab, (1, n), generator=gen)
        logits, act = s.slot(mel[t:t + 1], fed)
        out["fed"].append(fed[0].int())
        out["activity"].append(act[0])
        out["logits"] += [logits[i][0] for i in range(n) if on[t, i]]
        best = torch.stack([x.argmax(-1) for x in logits], 1)
        fed = torch.where(on[t:t + 1], best, torch.full_like(best, c.pad))
    out = {k: torch.stack(v) for k, v in out.items()}
    two = out["logits"].topk(2, -1)[0]
    cut = []
    for kind, i, x in s.trace:
        if kind == "router":
            top = (torch.sigmoid(x) + net.blocks[i].bias).topk(c.top + 1, -1)[0]
            cut.append((top[..., c.top - 1] - top[..., c.top]).min().item())
    gaps = [(two[:, 0] - two[:, 1]).min().item(), min(cut)]
    if gaps[0] < LOGIT_GAP or gaps[1] < ROUTER_GAP:
        return None
    out.update(on=on.int(), conditions=cond.int(), gaps=torch.tensor(gaps), seed=torch.tensor([seed]).int())
    if len(prefix):
        out["prefix"] = prefix.int()
    if "moves" in case:
        out["moves"] = torch.tensor(case["moves"]).int()
    if len(case["pictures"]):
        out["picture_slots"] = torch.tensor(case["pictures"]).int()
    return {f"{name}.{k}": v.numpy() for k, v in out.items()}


def main():
    folder = os.path.join(HERE, "golden")
    net = export.random_net(1, "tiny")
    weights.save_folder(net, folder, 8, 4)
    pieces = tokens.tiny_pieces()
    tokens.write(os.path.join(folder, "tokenizer.json"),
                 pieces + [chr(0x4E00 + i) for i in range(net.c.vocab - len(pieces))])
    net, out = weights.load_folder(folder), {}
    for name in CASES:
        case, seed = None, 0
        while case is None:
            seed += 1
            case = run(net, name, seed)
        print(name, "seed", seed, "gaps", case[f"{name}.gaps"])
        out.update(case)
    weights.save_tensors(os.path.join(folder, "cases.safetensors"), out)


main()
