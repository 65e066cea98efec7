# SPDX-License-Identifier: Apache-2.0
"""What the drawn pictures are made of, gathered once: icons in several styles, crops of photographs, letters.

drawings.py FXEMOJI.tar.xz NODE_MODULES OUT.npz HELD.npz [SHARE]

NODE_MODULES holds openmoji, @twemoji/svg and @iconify-json's sets of ICONIFY, PLAIN and NAMED; SHARE (/usr/share) the packages of
`.ci/packages.sh pictures`. OUT has all styles but Twemoji and serves for training; HELD has Twemoji, other backgrounds and another
face of letters and serves to judge. Licences: backgrounds.txt for the backgrounds; icons CC BY 4.0 (fxemoji, Twemoji, Emoji One 2,
Streamline), OFL 1.1 (Noto), CC BY-SA 4.0 (OpenMoji, Emoji One 1), MIT (Fluent), Apache-2.0 (Noto 1, IconPark), CC BY 3.0
(game-icons.net), free to use (Symbola); clips.txt's are in the public domain (Open Clip Art Library)."""
import colorsys
import glob
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import unicodedata

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

import scenes

SIZE, CROP = 64, (240, 144)
# Sets in colours, and in one, which is then any colour; the last two only by their own names, but for those that mean something else.
ICONIFY = ("fluent-emoji", "fluent-emoji-flat", "emojione", "emojione-v1", "noto-v1", "streamline-emojis")
PLAIN = ("fluent-emoji-high-contrast", "emojione-monotone")
NAMED = {"game-icons": "clover disc fountain moon torch wrench",
         "icon-park": "anchor baby-bottle briefcase doughnut heart moon mouse pill ring seat shrimp telescope torch trumpet"}
CLIPS = 3                                                # of a noun, at most
LETTERS = {"train": ("dejavu/DejaVuSans-Bold", "dejavu/DejaVuSerif-Bold", "dejavu/DejaVuSansMono-Bold", "lato/Lato-Black"),
           "held": ("roboto/unhinted/RobotoTTF/Roboto-Bold",)}


def fit(image):
    """Its visible part, centred in SIZE x SIZE."""
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 * (a > 16)).getbbox() or (0, 0) + image.size
    image = image.crop(box)
    image.thumbnail((SIZE - 2, SIZE - 2), Image.LANCZOS)
    out = Image.new("RGBA", (SIZE, SIZE))
    out.paste(image, ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
    return np.array(out)


def svg(path=None, source=None):
    png = subprocess.run(["rsvg-convert", "-h", "160", "-a", "--unlimited"] + ([path] if path else []), input=source,
                         capture_output=True, check=True).stdout
    return Image.open(io.BytesIO(png))


def iconify(modules, rows):
    """A look-up for each set of ICONIFY, PLAIN and NAMED, whose icons have names: those of the code point in sets that tell them, or
    Unicode's."""
    load = lambda *path: json.load(open(os.path.join(modules, "@iconify-json", *path), encoding="utf8"))
    chars, ours = [load(x, "chars.json") for x in ("fluent-emoji-flat", "noto")], {r.code: r.name.replace(" ", "-") for r in rows}

    def emoji(code):
        unicode = unicodedata.name(chr(int(code.split("-")[0], 16)), "").lower().replace(" ", "-")
        return *(c.get(code.lower()) for c in chars), unicode, ours[code]

    def style(pack, names):
        def look_up(code):
            for name in names(code):
                name = pack.get("aliases", {}).get(name, {}).get("parent", name)
                icon = pack["icons"].get(name)
                if icon:
                    w, h = (icon.get(x, pack.get(x, 16)) for x in ("width", "height"))
                    return svg(source=(f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                                       f'width="{w}" height="{h}" viewBox="0 0 {w} {h}">{icon["body"]}</svg>').encode())
            raise KeyError(code)
        return look_up
    own = {x: lambda code, others=others.split(): (ours[code],) if ours[code] not in others else () for x, others in NAMED.items()}
    return [style(load(x, "icons.json"), own.get(x, emoji)) for x in (*ICONIFY, *PLAIN, *NAMED)]


def symbola(share):
    font = ImageFont.truetype(os.path.join(share, "fonts/truetype/ancient-scripts/Symbola_hint.ttf"), 120)
    known = TTFont(font.path).getBestCmap()

    def look_up(code):
        if int(code, 16) not in known:
            raise KeyError(code)
        out = Image.new("RGBA", (200, 200))
        ImageDraw.Draw(out).text((30, 30), chr(int(code, 16)), font=font, fill=(0, 0, 0, 255))
        return out
    return look_up


def clips(share, rows):
    """Look-ups of the first, second .. drawing that clips.txt has of a noun."""
    found, first = {}, {}
    for line in open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "clips.txt"), encoding="utf8"):
        noun, path = line.rstrip("\n").split("\t")
        found.setdefault(noun, []).append(os.path.join(share, "openclipart/svg", path))
    for r in rows:
        first.setdefault(r.name, r.code)
    of = {first[noun]: paths for noun, paths in found.items()}
    return [lambda code, i=i: svg(of[code][i]) for i in range(CLIPS)]


def noto(share):
    font = TTFont(os.path.join(share, "fonts/truetype/noto/NotoColorEmoji.ttf"))
    names, strike = font.getBestCmap(), font["CBDT"].strikeData[0]
    return lambda code: Image.open(io.BytesIO(strike[names[int(code, 16)]].imageData))


def drawn(styles, rows):
    """[styles, n, SIZE, SIZE, 4] and which of them exist."""
    out = np.zeros((len(styles), len(rows), SIZE, SIZE, 4), np.uint8)
    for s, look_up in enumerate(styles):
        for i, row in enumerate(rows):
            try:
                out[s, i] = fit(look_up(row.code))
            except (KeyError, IndexError, subprocess.CalledProcessError):
                print("style", s, "lacks", row.name)
    return out


def named(r, g, b):
    """The colour that a person calls this, or None between two of them."""
    h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
    h *= 360
    if v < 0.25:
        return "black"
    if s < 0.14:
        return "white" if v > 0.85 else "grey" if v < 0.75 else None
    if h < 12 or h > 345:
        return "pink" if s < 0.5 and v > 0.75 else "red" if s > 0.55 and v > 0.45 else None
    if h < 44:
        return "brown" if v < 0.8 and s > 0.3 else "orange" if v > 0.85 and s > 0.65 else None
    if h < 64:
        return "yellow" if v > 0.75 and s > 0.4 else None
    if h < 165:
        return "green"
    if h < 255:
        return "blue" if s > 0.35 else None
    return "purple" if h < 295 or v < 0.55 else "pink"


def own_colours(icons, rows):
    """[styles, n]: the colour that most of an icon has; NONE where it has many; UNSURE between, or if none has a name."""
    out = np.full(icons.shape[:2], scenes.NONE, np.int8)
    for s, i in np.ndindex(*out.shape):
        pixels = icons[s, i].reshape(-1, 4)
        pixels = pixels[pixels[:, 3] > 200][::3, :3]
        if len(pixels) == 0:
            continue
        names = [named(*p) for p in pixels.tolist()]
        best = max(scenes.COLOURS, key=names.count)
        share, odd = names.count(best) / len(names), names.count(None) / len(names)
        if share > 0.55:
            out[s, i] = scenes.COLOURS.index(best)
        elif share > 0.3 or (odd > 0.45 and "t" in rows[i].flags):
            out[s, i] = scenes.UNSURE
    return out


def crops(share, use):
    rng, out, here = random.Random(7), [], os.path.dirname(os.path.abspath(__file__))
    for line in open(os.path.join(here, "backgrounds.txt"), encoding="utf8"):
        if line.startswith("#"):
            continue
        name, _, _, for_use, n = line.rstrip("\n").split("\t")
        if for_use != use:
            continue
        path = os.path.join(share, name)
        if os.path.isdir(path):
            path = max(glob.glob(os.path.join(path, "contents/images/*")), key=os.path.getsize)
        image = Image.open(path)
        image.draft("RGB", (1280, 800))
        image = image.convert("RGB")
        for i in range(int(n)):
            part = 0.98 if i == 0 else rng.uniform(0.35, 0.9)
            w = part * min(image.width, image.height * CROP[0] / CROP[1])
            h = w * CROP[1] / CROP[0]
            x, y = rng.random() * (image.width - w), rng.random() * (image.height - h)
            out.append(np.array(image.resize(CROP, Image.LANCZOS, box=(x, y, x + w, y + h), reducing_gap=3)))
    return np.stack(out)


def squeeze(images):
    """uint8 [n, h, w, 3] -> int8 [8, 8, 3, n, h/8, w/8], a DCT that zlib packs to about the size of a JPEG."""
    x = images.astype(np.float32) @ scenes.TO_YUV.T - np.array([128, 0, 0], np.float32)
    n, h, w, _ = x.shape
    x = x.reshape(n, h // 8, 8, w // 8, 8, 3)
    x = np.einsum("ui,vj,nyixjc->uvcnyx", scenes.DCT, scenes.DCT, x, optimize=True)
    return np.clip(np.round(x / scenes.STEPS[..., None, None, None]), -127, 127).astype(np.int8)


def letters(share, faces):
    """[faces, 36, GLYPH_H, GLYPH_W] coverage, and widths."""
    out = np.zeros((len(faces), len(scenes.GLYPHS), scenes.GLYPH_H, scenes.GLYPH_W), np.uint8)
    wide = np.zeros(out.shape[:2], np.float32)
    for f, face in enumerate(faces):
        font = ImageFont.truetype(os.path.join(share, "fonts/truetype", face + ".ttf"), 30)
        for i, ch in enumerate(scenes.GLYPHS):
            cell = Image.new("L", (scenes.GLYPH_W, scenes.GLYPH_H))
            ImageDraw.Draw(cell).text((1, scenes.GLYPH_H - 5), ch, font=font, fill=255, anchor="ls")
            out[f, i], wide[f, i] = np.array(cell), min(scenes.GLYPH_W, font.getlength(ch) + 2)
    return out, wide


def write(path, icons, photos, glyphs, widths, rows, plain=()):
    """plain: the styles that come in one colour."""
    np.savez_compressed(path, icons=icons, exists=icons[..., 3].any((2, 3)), own=own_colours(icons, rows), photos=squeeze(photos),
                        plain=np.isin(np.arange(len(icons)), list(plain)),
                        light=photos.mean((1, 2, 3)).astype(np.float32) / 255, glyphs=glyphs, widths=widths,
                        names=np.array([r.name for r in rows]))
    print(path, icons.shape[:2], "icons,", len(photos), "backgrounds,", os.path.getsize(path) >> 10, "KiB")


def main(tar, modules, out, held, share="/usr/share"):
    rows = scenes.rows()
    with tempfile.TemporaryDirectory() as tmp:
        tarfile.open(tar).extractall(tmp)
        fx = lambda code: svg(glob.glob(os.path.join(tmp, "**", f"u{code}-*.svg"), recursive=True)[0])
        openmoji = lambda code: svg(os.path.join(modules, "openmoji/color/svg", code + ".svg"))
        twemoji = lambda code: svg(os.path.join(modules, "@twemoji/svg", code.lower() + ".svg"))
        styles = (fx, noto(share), openmoji, *iconify(modules, rows), symbola(share), *clips(share, rows))
        plain = range(3 + len(ICONIFY), len(styles) - CLIPS)
        write(out, drawn(styles, rows), crops(share, "train"), *letters(share, LETTERS["train"]), rows, plain)
        write(held, drawn((twemoji,), rows), crops(share, "held"), *letters(share, LETTERS["held"]), rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
