# SPDX-License-Identifier: Apache-2.0
"""What early and late fusion are tried on: spoken questions about pictures, and pictures with the sounds of things.

A question is about exact facts of a made-up scene (scenes.py): how many of a thing, of a colour too; what colour it is; whether
it is there. A pair is a drawing of one of ESC-10's things and a sound: its own or another one's. Train and dev part share no
drawing style, background, voice or clip. (No style has a drawing of a chainsaw: nine of the ten things.)"""
import glob
import os
import random
import tempfile
import zlib

import numpy as np
import torch

import features
import pictures
import scenes
import sounds
import speech
import texts

THINGS = {"dog-bark": ("dog", "poodle"), "rain": ("rain cloud", "umbrella"), "sea-waves": ("wave",),
          "baby-cry": ("baby", "baby bottle"), "clock-tick": ("clock", "alarm clock"), "person-sneeze": ("nose",),
          "helicopter": ("helicopter",), "rooster": ("rooster",), "fire-crackling": ("fire",)}
LABELS = [sounds.ESC10[k] for k in THINGS]
NOUNS = ("cup", "car", "apple", "book", "balloon", "shoe", "key", "bell", "fish", "star", "door", "umbrella")
NUMBERS = ("none", "one", "two", "three", "four")
ANSWERS = ("no", "yes", *NUMBERS, *scenes.COLOURS)       # each a token of a vocabulary of its own, from FIRST on
FIRST = 4
KINDS = ("count", "colour", "there")
T = 40                                                   # slots of a window
ROOM = (T - 4) * features.SLOT                           # samples that a question may take


def questions(rows, nouns):
    """{question: text} of all that can be asked: (kind, noun, colour or None)."""
    plural, out = {r.name: r.plural for r in reversed(rows)}, {}
    for n in nouns:
        out["there", n, None] = "Is there " + scenes.thing(1, "", next(r for r in rows if r.name == n)) + "?"
        out["colour", n, None] = f"What colour is the {n}?"
        out["count", n, None] = f"How many {plural[n]} are there?"
        for c in scenes.COLOURS:
            out["count", n, c] = f"How many {c} {plural[n]} are there?"
    return out


def ask(rng, groups, nouns):
    """groups: [(noun, count, colour or None)] of a scene -> (question, answer), or None where nothing exact can be asked."""
    kind = rng.choice(KINDS)
    there = {n: (count, colour) for n, count, colour in groups}
    absent = [n for n in nouns if n not in there]
    plain = [n for n in there if there[n][1]]
    if kind == "colour":
        pick = [n for n in plain if there[n][0] == 1]
        if not pick:
            return None
        n = rng.choice(pick)
        return (kind, n, None), there[n][1]
    if kind == "there":
        n = rng.choice(list(there) if rng.random() < 0.5 else absent)
        return (kind, n, None), "yes" if n in there else "no"
    n = rng.choice(list(there))
    if n in plain and rng.random() < 0.5:                # by colour: its own, or sometimes another one
        colour = there[n][1] if rng.random() < 0.75 else rng.choice([c for c in scenes.COLOURS if c != there[n][1]])
        return (kind, n, colour), NUMBERS[there[n][0] if colour == there[n][1] else 0]
    return (kind, n, None), NUMBERS[there[n][0]]


def painted(atlas, specs, batch=64):
    """[n, NSPEC] -> uint8 [n, 96, 160, 3]."""
    dev = atlas.icons.device
    return torch.cat([pictures.paint(atlas, torch.from_numpy(np.stack(specs[i:i + batch])).float().to(dev)).round().byte().cpu()
                      for i in range(0, len(specs), batch)])


def draw(atlas, rng, n, nouns, groups=None):
    """Pictures of plain scenes that begin with one of these nouns -> (uint8 pictures, [[(noun, count, colour)]]). groups: as many
    kinds of things; without, all are of these nouns."""
    maker = scenes.Scenes(atlas.names)
    maker.first = [i for i in maker.known if atlas.names.rows[i].name in nouns]
    maker.known = maker.first if groups is None else maker.known
    specs, shown = [], []
    while len(specs) < n:
        s = maker.scene(rng, plain=True)
        if s.groups and (groups is None or len(s.groups) == groups):
            specs.append(np.array(maker.spec(rng, s), np.float32))
            shown.append([(atlas.names.rows[g.cls].name, g.count, scenes.COLOURS[g.colour] if g.colour >= 0 else None)
                          for g in s.groups])
    return painted(atlas, specs), shown


def voices(part, espeak_data, n):
    """Voice fields: n espeak-ng voices of training and flite's slt; or held-out ones and rms."""
    if part == "dev":
        return [texts.held_voice(i) for i in range(n)] + [("f", "rms", "1", "1", "0", "1")]
    rng, usable = random.Random(5), texts.variants(espeak_data)
    return [texts.pick_voice(rng, usable, "en", flite=-1) for _ in range(n)] + [("f", "slt", "1", "1", "0", "1")]


def make(path, part, drawings, data, synth, espeak_data, n_scenes, n_pairs, n_voices, nouns=NOUNS, seed=1):
    """Writes one part's material: pictures and what is in them, questions as spoken by each voice, sounds."""
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    rng, atlas = random.Random(f"{part}{seed}"), pictures.load(drawings).to(dev)
    torch.manual_seed(zlib.crc32(part.encode()))
    nouns = [n for n in nouns if any(r.name == n and "h" not in r.flags for r in atlas.names.rows)]
    said = questions(atlas.names.rows, nouns)
    keys, who = list(said), voices(part, espeak_data, n_voices)
    jobs = [(v, said[k]) for k in keys for v in who]
    pcm, rows = speech.speak(jobs, synth, path + ".speech", os.path.dirname(espeak_data.rstrip("/")))
    spoken = [(keys[i // len(who)], off, n) for i, off, n, _ in rows if n <= ROOM]
    if not spoken:
        raise SystemExit(f"{synth}: speaks nothing; is {espeak_data} espeak-ng's data?")
    scene, shown = draw(atlas, rng, n_scenes, nouns)
    thing, label = [], []
    for i, names in enumerate(THINGS.values()):
        x, _ = draw(atlas, rng, n_pairs // len(THINGS), names, groups=1)
        thing.append(x)
        label += [i] * len(x)
    clips, at, where = [], 0, []
    files = [(f, i) for i, k in enumerate(THINGS) for f in sorted(glob.glob(os.path.join(data, "noise", "esc10", k, "*.opus")))
             if sounds.part_of(os.path.basename(f), 5) == part]
    with tempfile.TemporaryDirectory() as work:
        decoded = speech.decode([f for f, _ in files], work, 4)
    for x, (_, i) in zip(decoded, files):
        if x is not None and len(x) > T * features.SLOT:
            clips.append(x)
            where.append((i, at, len(x)))
            at += len(x)
    torch.save({"pcm": torch.from_numpy(pcm), "spoken": spoken, "scene": scene, "shown": shown, "thing": torch.cat(thing),
                "label": label, "sound": torch.from_numpy(np.concatenate(clips)), "clips": where, "nouns": nouns}, path + ".tmp")
    os.replace(path + ".tmp", path)
    return (f"{part}: {len(spoken)} spoken questions of {len(jobs)}, {n_scenes} scenes, {len(label)} drawings of things, "
            f"{len(clips)} sounds")


class Material:
    """One part, ready to make windows of."""
    def __init__(self, path, dev):
        m = torch.load(path)
        self.dev, self.nouns, self.shown, self.label, self.clips = dev, m["nouns"], m["shown"], m["label"], m["clips"]
        self.pcm, self.sound = m["pcm"], m["sound"]
        self.scene, self.thing = m["scene"].to(dev), m["thing"].to(dev)
        self.spoken, self.of = {}, [[i for i, x in enumerate(self.label) if x == k] for k in range(len(LABELS))]
        for key, off, n in m["spoken"]:
            self.spoken.setdefault(key, []).append((off, n))
        self.heard = [[c for c in self.clips if c[0] == k] for k in range(len(LABELS))]
        self.filters = features.mel_filters().to(dev)

    def question(self, rng):
        """-> (wave, scene, answer, kind)"""
        while True:
            i = rng.randrange(len(self.shown))
            got = ask(rng, self.shown[i], self.nouns)
            if got and got[0] in self.spoken:
                break
        off, n = rng.choice(self.spoken[got[0]])
        x = np.zeros(T * features.SLOT, np.float32)
        at = rng.randrange(len(x) - n - features.SLOT)
        x[at:at + n] = self.pcm[off:off + n].numpy()
        return x, i, got[1], got[0][0]

    def clip(self, rng, k, first=None):
        _, off, n = first or rng.choice(self.heard[k])
        at = rng.randrange(n - T * features.SLOT + 1)
        x = self.sound[off + at:off + at + T * features.SLOT].numpy().astype(np.float32)
        return x * min(3000 / (np.sqrt((x ** 2).mean()) + 1), 30000 / (np.abs(x).max() + 1))

    def mel(self, waves, rng):
        """Some gain and noise, the same for the same rng."""
        x = torch.from_numpy(np.stack(waves)).to(self.dev) / 32768
        g = torch.Generator(self.dev).manual_seed(rng.randrange(1 << 30))
        draw = lambda: torch.rand(len(x), 1, generator=g, device=self.dev)
        x = x * 10 ** (draw() * 0.6 - 0.4)
        x = x + torch.randn(x.shape, generator=g, device=self.dev) * 10 ** (-3.6 + 1.2 * draw())
        return features.slots(x, self.filters)

    def batch(self, rng, n_questions, n_pairs):
        """-> mel [B, T, 640], pictures uint8 [B, 96, 160, 3], whether each has one [B], when [B], answers of the first rows.
        Rows: questions, pairs, then a sound alone and a picture alone of each thing."""
        waves, pics, answers, kinds = [], [], [], []
        for _ in range(n_questions):
            x, i, answer, kind = self.question(rng)
            waves.append(x)
            pics.append(self.scene[i])
            answers.append(answer)
            kinds.append(kind)
        for j in range(n_pairs):
            a = rng.randrange(len(LABELS))
            b = a if rng.random() < 0.5 else rng.choice([k for k in range(len(LABELS)) if k != a])
            waves.append(self.clip(rng, a))
            pics.append(self.thing[rng.choice(self.of[b])])
            answers.append("yes" if a == b else "no")
            kinds.append("pair")
        both = len(waves)
        for k in range(len(LABELS)):
            waves.append(self.clip(rng, k))
            pics.append(self.thing[0])
        for k in range(len(LABELS)):
            waves.append(np.zeros(T * features.SLOT, np.float32))
            pics.append(self.thing[rng.choice(self.of[k])])
        shown = [True] * both + [False] * len(LABELS) + [True] * len(LABELS)
        when = [rng.randrange(T // 2) if s else T for s in shown]
        return self.mel(waves, rng), torch.stack(pics), torch.tensor(when, device=self.dev)[:, None], answers, kinds
