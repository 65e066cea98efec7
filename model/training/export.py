# SPDX-License-Identifier: Apache-2.0
"""Writes a model folder (config.json, model.safetensors, tokenizer.json) from a checkpoint, another folder or random weights.

export.py --random SEED --size tiny|nano --out DIR [--format f32|f16|int8|q4] [--tokenizer FILE]
export.py --checkpoint FILE|FOLDER [--checkpoint .. --share X --share ..] --out DIR [--format q4] --tokenizer FILE
Several checkpoints are averaged, each by its share. q4 is what ships: int8 matrices, 4-bit experts."""
import argparse
import os
import shutil

import torch

import m3
import tokens
import weights

FORMATS = {"f32": (32, 32), "f16": (16, 16), "int8": (8, 8), "q4": (8, 4)}


def random_net(seed, size):
    torch.manual_seed(seed)
    net = m3.M3(m3.config(size)).eval()
    with torch.no_grad():                       # nothing stays zero, and the logits spread
        for name, p in list(net.named_parameters()) + list(net.named_buffers()):
            if p.dim() == 1 or name.split(".")[-1] in ("presence", "xv"):
                p.copy_(torch.randn(p.shape) * 0.1)
        net.embed.mul_(10)
    return net


def load_checkpoint(path):
    """A training checkpoint, a bare state dict (f16 or f32), or a model folder as OUT/master."""
    if os.path.isdir(path):
        return weights.load_folder(path)
    state = torch.load(path, map_location="cpu")
    state = state.get("net", state)
    net = m3.M3(m3.config("nano")).eval()
    net.load_state_dict({k.replace("_orig_mod.", ""): v.float() for k, v in state.items()})
    return net


def average(paths, shares):
    """Of checkpoints one of which was trained from the other: else a mean of weights is no model."""
    mean = {}
    for path, share in zip(paths, shares):
        net = load_checkpoint(path)
        for name, v in net.state_dict().items():
            mean[name] = mean.get(name, 0) + share / sum(shares) * v
    net.load_state_dict(mean)
    return net


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--random", type=int)
    p.add_argument("--size", default="nano")
    p.add_argument("--checkpoint", action="append")
    p.add_argument("--share", type=float, action="append")
    p.add_argument("--out", required=True)
    p.add_argument("--format", default="q4", choices=FORMATS)
    p.add_argument("--tokenizer")
    a = p.parse_args()
    shares = a.share or [1.0]
    if a.checkpoint and (len(shares) != len(a.checkpoint) or min(shares) <= 0):
        p.error("as many --share above 0 as --checkpoint")
    net = average(a.checkpoint, shares) if a.checkpoint else random_net(a.random, a.size)
    weights.save_folder(net, a.out, *FORMATS[a.format])
    path = os.path.join(a.out, "tokenizer.json")
    if a.tokenizer:
        shutil.copy(a.tokenizer, path)
    else:
        pieces = tokens.tiny_pieces()
        tokens.write(path, pieces + [chr(0x4E00 + i) for i in range(net.c.vocab - len(pieces))])
    size = os.path.getsize(os.path.join(a.out, "model.safetensors"))
    print(f"{a.out}: {sum(p.numel() for n, p in net.named_parameters() if not n.startswith('ctc')) / 1e6:.2f} M "
          f"parameters, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
