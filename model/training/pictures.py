# SPDX-License-Identifier: Apache-2.0
"""Drawn pictures for the description lane: named icons on made-up backgrounds, and what to say about them.

pictures.py FXEMOJI.tar.xz OUT.npz   renders the icons of icons.txt to 64x64 RGBA (needs rsvg-convert)."""
import glob
import os
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

import features

SIZE, MOST = 64, 3


def names():
    here = os.path.dirname(os.path.abspath(__file__))
    return [line.split("\t")[1] for line in open(os.path.join(here, "icons.txt"), encoding="utf8").read().split("\n") if line]


def article(name):
    if name.startswith(("fries", "scissors")):
        return name
    return ("an " if name[0] in "aeioAEIO" else "a ") + name


def describe(icons, all_names):
    """Icons from left to right -> 'A cat, a dog and a bus.'; '' when there are none."""
    w = [article(all_names[i]) for i in icons]
    if not w:
        return ""
    s = " and ".join([", ".join(w[:-1]), w[-1]] if len(w) > 1 else w)
    return s[0].upper() + s[1:] + "."


def paint(atlas, icons, seed):
    """atlas [n, 4, 64, 64] in 0..1, icons [M, 3] left to right (-1 = none), seed [M]: equal seeds and icons give
    the same picture but for a little noise. Returns [M, 96, 160, 3] in 0..255."""
    m, dev, (h, w) = icons.shape[0], atlas.device, (features.PIC_H, features.PIC_W)

    def hashed(k):                                       # [M, k] numbers in 0..1 that depend on the seed only
        a = seed[:, None].float() * 12.9898 + torch.arange(1, k + 1, device=dev) * 78.233
        return torch.frac(torch.frac(torch.sin(a) * 437.585).abs() * 97.31 + a * 0.01737).abs()

    r = hashed(64)
    y = torch.linspace(0, 1, h, device=dev)[None, None, :, None]
    x = torch.linspace(0, 1, w, device=dev)[None, None, None, :]
    at = lambda i: r[:, i, None, None, None]
    col = lambda i: r[:, i:i + 3, None, None]
    blend = torch.where(at(6) < 0.5, y, x) * (at(7) > 0.4)
    pic = col(0) * (1 - blend) + col(3) * blend
    pic = pic.expand(m, 3, h, w)
    for j in range(4):                                   # rectangles and discs
        o = 8 + 8 * j
        cx, cy, sx, sy = at(o), at(o + 1), 0.05 + at(o + 2) * 0.4, 0.05 + at(o + 3) * 0.4
        box = ((x - cx).abs() < sx) & ((y - cy).abs() < sy)
        disc = ((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2 < 1
        on = torch.where(at(o + 7) < 0.5, box, disc) & (at(o + 4) < 0.35)
        pic = torch.where(on, torch.roll(r, j * 5 + 3, 1)[:, o:o + 3, None, None], pic)
    pic = pic + torch.randn(m, 1, h, w, device=dev) * 0.15 * at(40) * (at(41) < 0.4)
    count = (icons >= 0).sum(1).clamp_min(1).float()
    for j in range(MOST):
        a = atlas[icons[:, j].clamp_min(0)]
        col_w = w / count                                # each icon in its own column
        size = (24 + 60 * r[:, 44 + j]).clamp(max=90).minimum(col_w * 1.05)
        px = col_w * (j + 0.5) + (r[:, 48 + j] - 0.5) * (col_w - size).clamp_min(0)
        py = size / 2 + r[:, 52 + j] * (h - size)
        theta = torch.zeros(m, 2, 3, device=dev)
        flip = torch.where(r[:, 56 + j] < 0.5, -1.0, 1.0)
        theta[:, 0, 0], theta[:, 1, 1] = flip * w / size, h / size
        theta[:, 0, 2] = flip * (w - 2 * px) / size
        theta[:, 1, 2] = (h - 2 * py) / size
        a = F.grid_sample(a, F.affine_grid(theta, (m, 4, h, w), align_corners=False), align_corners=False)
        alpha = a[:, 3:] * (icons[:, j] >= 0)[:, None, None, None]
        pic = pic * (1 - alpha) + a[:, :3] * alpha
    light = 0.7 + 0.5 * r[:, 60, None, None, None]
    pic = pic * light + torch.randn(m, 3, h, w, device=dev) * 0.02
    return (pic.clamp(0, 1) * 255).permute(0, 2, 3, 1)


def load_atlas(path):
    """npz of main() -> [n, 4, 64, 64] float, alpha not premultiplied."""
    return torch.from_numpy(np.load(path)["icons"]).float().permute(0, 3, 1, 2) / 255


def main(tar, out):
    here, rows = os.path.dirname(os.path.abspath(__file__)), []
    with tempfile.TemporaryDirectory() as tmp:
        tarfile.open(tar).extractall(tmp)
        for line in open(os.path.join(here, "icons.txt"), encoding="utf8").read().split("\n"):
            if not line:
                continue
            svg = glob.glob(os.path.join(tmp, "**", "*-" + line.split("\t")[0] + ".svg"), recursive=True)[0]
            png = subprocess.run(["rsvg-convert", "-w", str(SIZE), "-h", str(SIZE), "-a", svg], capture_output=True, check=True).stdout
            raw = subprocess.run(["ffmpeg", "-v", "error", "-f", "png_pipe", "-i", "-", "-vf", f"scale={SIZE}:{SIZE}", "-f", "rawvideo",
                                  "-pix_fmt", "rgba", "-"], input=png, capture_output=True, check=True).stdout
            rows.append(np.frombuffer(raw, np.uint8).reshape(SIZE, SIZE, 4))
    np.savez_compressed(out, icons=np.stack(rows))
    print(len(rows), "icons")


if __name__ == "__main__":
    main(*sys.argv[1:3])
