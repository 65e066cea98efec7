# SPDX-License-Identifier: Apache-2.0
"""What is said of a made-up scene are the facts of that scene, windows keep the runtime's pace, and painting follows the numbers."""
import random
import sys

import numpy as np
import torch

import pictures
import scenes

ROWS = scenes.rows()


def drawings(letter=20.0):
    """White squares for icons, one grey photograph, letters so wide."""
    n = len(ROWS)
    icons = torch.zeros(2 * n, 4, 64, 64, dtype=torch.uint8)
    icons[:, :, 2:62, 2:62] = 255
    names = scenes.Names({"names": np.array([r.name for r in ROWS]), "exists": np.ones((1, n), bool),
                          "own": np.full((1, n), scenes.NONE), "light": np.array([0.5]),
                          "widths": np.full((1, len(scenes.GLYPHS)), letter)})
    return pictures.Atlas(names, icons, torch.ones(n), torch.full((1, 3, 144, 240), 128, dtype=torch.uint8),
                          torch.ones(1, 1, scenes.GLYPH_H, len(scenes.GLYPHS) * scenes.GLYPH_W))


def facts_of(s):
    """Straight from the scene."""
    said = []
    for g in s.groups:
        noun = ROWS[g.cls].name
        said += [("object", noun), ("count", noun, g.count)] + ([("colour", noun, scenes.COLOURS[g.colour])] if g.colour >= 0 else [])
    if len(s.groups) == 1 and s.groups[0].column != 1:
        said.append(("place", ROWS[s.groups[0].cls].name, "left" if s.groups[0].column == 0 else "right"))
    if s.groups and s.night:
        said.append(("time", "night"))
    if s.words:
        said.append(("words", " ".join(s.words)))
    return said


def check(ok, what):
    if not ok:
        sys.exit("FAIL: " + what)


def main():
    torch.manual_seed(1)
    rng, atlas, grammar = random.Random(1), drawings(), scenes.Grammar(ROWS)
    made = pictures.Scenes(atlas.names)
    nouns, plurals = {r.name for r in ROWS}, {r.plural: r.name for r in ROWS}
    check(all(p not in nouns or p == n for p, n in plurals.items()), "a plural is another noun")
    check(not any(" and " in n or ", " in n or "." in n for n in nouns | set(plurals)), "a noun with and")

    for _ in range(3000):
        s = made.scene(rng)
        text = made.sentence(s)
        check(sorted(grammar.facts(text).elements(), key=str) == sorted(facts_of(s), key=str), "facts of: " + text)
        if not s.groups:
            continue
        before = {id(g): (g, g.x, g.y) for g in s.groups}
        text = rng.choice((made.move, made.come, made.go))(rng, s)
        if not text:
            continue
        after = {id(g): g for g in s.groups}
        want = []
        for k in before.keys() | after.keys():
            g = after[k] if k in after else before[k][0]
            noun, count = ROWS[g.cls].name, ("count", ROWS[g.cls].name, g.count)
            if k not in after:
                want += [("object", noun), ("motion", noun, "away")]
            elif k not in before:
                want += [("object", noun), count, ("motion", noun, "appear")] + (
                    [("colour", noun, scenes.COLOURS[g.colour])] if g.colour >= 0 else [])
            elif (g.x, g.y) != before[k][1:]:
                dx, dy = g.x - before[k][1], g.y - before[k][2]
                check(max(abs(dx), abs(dy)) > 24, "a move too small to see")
                way = ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else "down" if dy > 0 else "up"
                want += [("object", noun), ("motion", noun, way)]
        check(sorted(grammar.facts(text).elements(), key=str) == sorted(want, key=str), f"change: {text} wanted {want}")

    wide = pictures.Scenes(drawings(letter=scenes.GLYPH_W).names)
    written = [s for s in (wide.scene(rng) for _ in range(3000)) if s.words]
    check(len(written) > 100 and all(0 < sum(map(len, s.words)) <= scenes.LETTERS for s in written), "letters, however wide")

    pictured = 0
    for _ in range(1000):
        when, spec, said = made.window(rng, 256)
        slots = when[when < 256]
        pictured += len(slots)
        check(np.isfinite(spec).all() and len(when) == 4 and (when[len(slots):] == 256).all(), "window's shape")
        check(len(slots) < 2 or np.diff(slots).min() >= 13, "more than a picture a second")
        check(all(at in slots and text for at, text in said), "said where there is no picture")
    check(pictured > 1500, "hardly a picture")

    # one red square of 32 pixels at (40, 50), then at (100, 50); then the same under black
    spec = torch.from_numpy(np.array(made.spec(rng, None), np.float32))[None].repeat(3, 1)
    spec[:, scenes.AT_LIGHT + 8] = 0
    spec[:2, scenes.AT_LIGHT + 1:scenes.AT_LIGHT + 7] = 1
    spec[:2, :scenes.OBJECT] = torch.tensor([0, 40, 50, 32, 1, 0, 1, 1, 0.8, 0.1, 0.1, *scenes.NO_JITTER])
    spec[1, 1] = 100
    pic = pictures.paint(atlas, spec)
    check(torch.equal(pic, pictures.paint(atlas, spec)) and pic.shape == (3, pictures.H, pictures.W, 3), "painting repeats")
    red = (pic[..., 0] > 150) & (pic[..., 1] < 60)
    check(red[0, 50, 40] and not red[0, 50, 100] and red[1, 50, 100] and not red[1, 50, 40], "the square's place")
    check(abs(red[0].sum() - 900) < 100 and pic[2].max() == 0, "its size; black")
    check(bool(torch.isfinite(pictures.paint(atlas, spec * 0)).all()), "an empty row of numbers")
    spec[0, scenes.AT_JITTER + 4:scenes.AT_JITTER + 6] = 0
    pic = pictures.paint(atlas, spec)
    red = (pic[0, ..., 0] > 150) & (pic[0, ..., 1] < 60)
    check(not red[50, 40] and red[50, 50] and red[40, 40], "a hole in the middle")

    said = "Two red cars and a dog. The dog moves right."
    s = scenes.score(grammar, [said], ["Two red cars and a cat. The cat moves right."])
    check(s["colour"] == (1, 1, 1) and s["count"][0] == 0.5 and s["motion"][0] == 0 and abs(s["object"][1] - 1 / 3) < 1e-6, "score")
    print(f"{len(ROWS)} drawings of {len(nouns)} nouns; {pictured} pictures; e.g. {text}")


if __name__ == "__main__":
    main()
