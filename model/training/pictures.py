# SPDX-License-Identifier: Apache-2.0
"""Paints the pictures that scenes.py makes up: objects, backgrounds and letters from an npz of drawings.py, on any device,
with fixed shapes and without waiting for the device, so that it fits in a CUDA graph.

pictures.py sheet DRAWINGS.npz SEED OUT.png   a sheet of windows with what is said of them, to look at"""
import random
import sys

import numpy as np
import torch
import torch.nn.functional as F

import features
import scenes
from scenes import Grammar, Names, Scenes, score, test_set  # noqa: F401: what training and judging need of them

H, W, NSPEC = features.PIC_H, features.PIC_W, scenes.NSPEC
assert (H, W) == (scenes.PIC_H, scenes.PIC_W)
LUMA = torch.tensor([0.3, 0.59, 0.11])
HOLE = 0.3                                               # half its width, where an icon is 2 wide
SMALL = 34                                               # pixels of height under which the coarse icon is drawn


class Atlas:
    """icons [2 * styles * n, 4, 64, 64] (fine, then coarse; colour times alpha), level [styles * n] their mean brightness,
    photos [p, 3, h, w], all uint8 but level; glyphs [1, 1, faces * 32, 36 * 40] in 0..1; names for Scenes."""
    def __init__(self, names, icons, level, photos, glyphs):
        self.names, self.icons, self.level, self.photos, self.glyphs = names, icons, level, photos, glyphs

    def to(self, device):
        return Atlas(self.names, *(x.to(device) for x in (self.icons, self.level, self.photos, self.glyphs)))


def names(path):
    return Names(np.load(path))


def stretch(x):
    """What drawings.squeeze() made, as uint8 [n, 3, h, w]."""
    x = x.astype(np.float32) * scenes.STEPS[..., None, None, None]
    x = np.einsum("ui,vj,uvcnyx->nyixjc", scenes.DCT, scenes.DCT, x, optimize=True)
    n, h, _, w, _, _ = x.shape
    x = (x.reshape(n, h * 8, w * 8, 3) + np.array([128, 0, 0], np.float32)) @ np.linalg.inv(scenes.TO_YUV).T
    return np.clip(np.round(x), 0, 255).astype(np.uint8).transpose(0, 3, 1, 2).copy()


def load(path):
    z = np.load(path)
    a = torch.from_numpy(z["icons"]).flatten(0, 1).permute(0, 3, 1, 2).float()
    a[:, :3] *= a[:, 3:] / 255
    level = (a[:, :3] * LUMA[:, None, None]).sum((1, 2, 3)) / a[:, 3].sum((1, 2)).clamp_min(1)
    coarse = F.interpolate(F.avg_pool2d(a, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    glyphs = torch.from_numpy(z["glyphs"]).permute(0, 2, 1, 3).reshape(1, 1, -1, len(scenes.GLYPHS) * scenes.GLYPH_W)
    return Atlas(Names(z), torch.cat([a, coarse]).round().to(torch.uint8), level, torch.from_numpy(stretch(z["photos"])),
                 glyphs.float() / 255)


def grey(rgb):
    return 0.3 * rgb[:, :1] + 0.59 * rgb[:, 1:2] + 0.11 * rgb[:, 2:]


def paint(atlas, spec):
    """spec [M, NSPEC] -> [M, H, W, 3] in 0..255. Equal specs give the same picture but for noise."""
    m, dev = spec.shape[0], spec.device
    y = (torch.arange(H, device=dev) + 0.5)[None, :, None]
    x = (torch.arange(W, device=dev) + 0.5)[None, None, :]
    light = spec[:, scenes.AT_LIGHT:scenes.AT_TEXT]
    at = lambda v: v[:, None, None]                      # [M] -> [M, 1, 1]
    col = lambda v: v[:, :, None, None]                  # [M, 3] -> [M, 3, 1, 1]

    def back(s):
        zoom = s[:, 4]
        grid = torch.stack(torch.broadcast_tensors(
            at(s[:, 5] * zoom) * (x * (2 / W) - 1) + at(s[:, 2] * (1 - zoom)),
            at(zoom) * (y * (2 / H) - 1) + at(s[:, 3] * (1 - zoom))), -1)
        photo = F.grid_sample(atlas.photos[s[:, 0].long()].float(), grid, padding_mode="reflection", align_corners=False) / 255
        upright = at(s[:, 12])
        t = (x / W * (1 - upright) + y / H * upright)[:, None]
        flat = col(s[:, 6:9]) * (1 - t) + col(s[:, 9:12]) * t
        for j in range(scenes.SHAPES):
            f = s[:, 13 + j * scenes.SHAPE:13 + (j + 1) * scenes.SHAPE]
            dx, dy = (x - at(f[:, 2])) / at(f[:, 4]), (y - at(f[:, 3])) / at(f[:, 5])
            far = torch.where(at(f[:, 1]) > 0.5, (dx * dx + dy * dy), torch.maximum(dx.abs(), dy.abs()))
            flat = torch.where(((far < 1) & (at(f[:, 0]) > 0.5))[:, None], col(f[:, 6:9]), flat)
        return torch.lerp(flat, photo, s[:, 1, None, None, None])

    b = scenes.AT_BACK
    pic = torch.lerp(back(spec[:, b:b + scenes.BACK]), back(spec[:, b + scenes.BACK:b + 2 * scenes.BACK]), light[:, 0, None, None, None])
    pic = pic * col(light[:, 1:4])
    gain = col(light[:, 4:7])
    for j in range(scenes.OBJECTS):
        s = spec[:, j * scenes.OBJECT:(j + 1) * scenes.OBJECT]
        icon = s[:, 0].long()
        a = atlas.icons[icon + (s[:, 3] < SMALL) * atlas.level.shape[0]].float() / 255
        dx, dy, c, d = x - at(s[:, 1]), y - at(s[:, 2]), at(torch.cos(s[:, 5])), at(torch.sin(s[:, 5]))
        half = at((s[:, 3] / 2).clamp_min(0.5))
        f = s[:, scenes.AT_JITTER:]
        v = (dy * c - dx * d) / half
        u = (dx * c + dy * d) / half * at(s[:, 4]) + at(f[:, 0]) * v
        a = F.grid_sample(a, torch.stack([u, v], -1), align_corners=False)
        a = torch.where(((u - at(f[:, 4])).abs() < HOLE) & ((v - at(f[:, 5])).abs() < HOLE), 0.0, 1.0)[:, None] * a
        rgb, alpha = a[:, :3], a[:, 3:]
        mean = alpha * atlas.level[icon][:, None, None, None]
        rgb = mean + f[:, 2, None, None, None] * (torch.lerp(grey(rgb), rgb, f[:, 1, None, None, None]) - mean)
        levels = f[:, 3, None, None, None]
        rgb = torch.where(levels > 0, (rgb * levels).round() / levels.clamp_min(1), rgb)
        rgb = torch.minimum(rgb.clamp_min(0), alpha)
        # recoloured by brightness around the icon's own mean, so that the colour is plain and the drawing still seen
        shade = 0.5 * (grey(rgb) - mean)
        tint = torch.minimum((0.92 * alpha * col(s[:, 8:11]) + shade).clamp_min(0), alpha)
        rgb = torch.lerp(rgb, tint, s[:, 7, None, None, None])
        k = s[:, 6, None, None, None]
        pic = pic * (1 - k * alpha) + k * rgb * gain
    # letters: each pixel lies in one glyph's box at most
    s = spec[:, scenes.AT_TEXT:scenes.AT_LETTERS]
    band = (y >= at(s[:, 6])) & (y < at(s[:, 6] + s[:, 7])) & (x > 0)
    pic = torch.lerp(pic, s[:, 8, None, None, None].expand_as(pic), (band * at(s[:, 9]))[:, None])
    where_x, where_y, inside = torch.zeros(m, H, W, device=dev), torch.zeros(m, H, W, device=dev), torch.zeros(m, H, W, device=dev)
    for j in range(scenes.LETTERS):
        g = spec[:, scenes.AT_LETTERS + j * scenes.LETTER:scenes.AT_LETTERS + (j + 1) * scenes.LETTER]
        u, v = (x - at(g[:, 0])) / at(g[:, 2]), (y - at(g[:, 1])) / at(s[:, 4])
        on = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
        where_x, where_y = torch.where(on, at(g[:, 3]) + u * at(g[:, 4]), where_x), torch.where(on, v.expand_as(on), where_y)
        inside = torch.where(on, 1.0, inside)
    gh, gw = atlas.glyphs.shape[2:]
    grid = torch.stack([where_x * (2 / gw) - 1, (at(s[:, 0]) + where_y) * (2 * scenes.GLYPH_H / gh) - 1], -1)
    ink = F.grid_sample(atlas.glyphs.expand(m, -1, -1, -1), grid, align_corners=False)[:, 0] * inside * at(s[:, 5])
    pic = torch.lerp(pic, col(s[:, 1:4]).expand_as(pic), ink[:, None])
    # the camera
    soft = F.avg_pool2d(F.pad(pic, (1, 1, 1, 1), mode="replicate"), 3, 1)
    pic = torch.lerp(pic, soft, light[:, 9, None, None, None]).clamp(0, 1) ** light[:, 7, None, None, None]
    pic = pic + torch.randn(m, 3, H, W, device=dev) * light[:, 8, None, None, None]
    return (pic.clamp(0, 1) * 255).permute(0, 2, 3, 1)


def sheet(path, seed, out):
    from PIL import Image, ImageDraw
    atlas, rng, row = load(path), random.Random(int(seed)), 0
    made = Scenes(atlas.names)
    page = Image.new("RGB", (8 * (W + 4), 6 * (H + 40)))
    pen = ImageDraw.Draw(page)
    column = 0
    while row < 6:
        when, spec, said = made.window(rng, 256)
        pics = paint(atlas, torch.from_numpy(spec)).byte().numpy()
        for k in range(len(when)):
            if when[k] == 256 or row == 6:
                continue
            at = (column * (W + 4), row * (H + 40))
            page.paste(Image.fromarray(pics[k]), at)
            text = f"{'' if k else '* '}{when[k]}: " + dict(said).get(when[k], "-")
            for i in range(0, 3):
                pen.text((at[0] + 2, at[1] + H + 1 + 12 * i), text[26 * i:26 * i + 26], fill=(255, 255, 255))
            column += 1
            if column == 8:
                column, row = 0, row + 1
    page.save(out)


if __name__ == "__main__":
    {"sheet": sheet}[sys.argv[1]](*sys.argv[2:])
