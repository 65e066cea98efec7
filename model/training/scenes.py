# SPDX-License-Identifier: Apache-2.0
"""Made-up scenes for the description lane: what is in each picture, as plain numbers, and the sentences about it.

The grammar, in which the same facts always have the same form:
    scene   = things [" on the left" | " on the right"] [" at night"] "." [" Text: " WORDS "."]
    things  = thing | thing " and " thing | thing ", " thing " and " thing        from left to right
    thing   = ("A" | "An" | "Two" | "Three" | "Four") [colour] noun
    change  = "The" noun ("moves" | "move") ("left" | "right" | "up" | "down") "."
            | things ("appears" | "appear") "." | "The" noun ("goes" | "go") " away."
    card    = "A title: " WORDS "." | "The screen is black."
A place is said of a scene with one kind of thing, a colour where most of a thing has it and its kind comes in many (flags
t and a of icons.txt). Nothing is said of a picture that shows what the one before it showed, nor of an empty scene."""
import collections
import math
import os
import random
import re

import numpy as np

import texts

PIC_W, PIC_H = 160, 96
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
RGB = ((215, 30, 35), (245, 130, 15), (250, 220, 40), (40, 165, 60), (35, 90, 220), (125, 50, 175), (250, 130, 185),
       (120, 72, 38), (22, 22, 24), (248, 248, 248), (135, 136, 140))
COAT = [COLOURS.index(c) for c in ("black", "white", "brown", "grey", "orange")]
DIM = {COLOURS.index(c) for c in ("black", "brown", "grey", "purple", "blue", "orange")}    # not told apart at night
NONE, UNSURE = -1, -2                                    # an icon's own colour: many; or too little of one
COUNTS = ("", "a", "two", "three", "four")
GLYPHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
GLYPH_W, GLYPH_H = 40, 32

# The parts of a spec: objects, two backgrounds, light, letters.
OBJECTS, OBJECT = 8, 17      # icon (style and class), x, y, size, flip and 1 / width, angle, alpha, tinted, r, g, b, then as JITTER
AT_JITTER = 11               # shear, saturation, contrast, levels of colour (0: all), x, y of a hole in it
SHAPES, SHAPE = 3, 9                                     # on, round, x, y, half width, half height, r, g, b
BACK = 13 + SHAPES * SHAPE                               # photo, its share, x, y, zoom, flip, from r, g, b, to r, g, b, upright
LETTERS, LETTER = 20, 5                                  # x, y, width, place and width in the atlas
AT_BACK = OBJECTS * OBJECT
AT_LIGHT = AT_BACK + 2 * BACK                            # second back's share, back's r, g, b, objects' r, g, b, gamma, noise, softness
AT_TEXT = AT_LIGHT + 10                                  # face, r, g, b, height, alpha, band's top, height, grey, alpha
AT_LETTERS = AT_TEXT + 10
NSPEC = AT_LETTERS + LETTERS * LETTER
NO_JITTER = [0.0, 1, 1, 0, 9, 9]
NOTHING = [0.0, 0, 0, 32, 1, 0, 0, 0, 0, 0, 0] + NO_JITTER
NO_TEXT, NO_LETTER = [0.0, 1, 1, 1, 20, 0, 0, 1, 0, 0], [-100.0, -100, 1, 0, 1]

# Photographs are kept as coarse 8x8 cosine coefficients.
DCT = np.array([[np.sqrt((2 - (u == 0)) / 8) * np.cos((2 * x + 1) * u * np.pi / 16) for x in range(8)] for u in range(8)],
               np.float32)
TO_YUV = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
STEPS = np.array([[[12 + 5 * (u + v), 24 + 12 * (u + v), 24 + 12 * (u + v)] for v in range(8)] for u in range(8)], np.float32)

WORDS = """NIGHT TRAIN STOP EXIT OPEN CLOSED NEWS LIVE TODAY PART ONE TWO THREE THE END SALE HOTEL CAFE BANK POLICE WATER FIRE
HOME WORK SCHOOL RIVER OCEAN SUMMER WINTER SPRING AUTUMN MUSIC DANCE MOVIE STORY WORLD CITY GARDEN HOUSE STREET ROAD NORTH SOUTH
EAST WEST MORNING EVENING MONDAY FRIDAY SUNDAY JUNE MARCH HELLO WELCOME THANKS PLEASE START READY PLAY PAUSE NEXT BACK MENU HELP
FREE NEW BIG SMALL LONG SHORT HIGH LOW FAST SLOW HOT COLD RED BLUE GREEN BLACK WHITE GOLD SILVER LIGHT DARK SUN MOON STAR SKY
RAIN SNOW WIND STORM MOUNTAIN FOREST DESERT ISLAND BEACH LAKE BRIDGE TOWER CASTLE MARKET SHOP FOOD BREAD COFFEE TEA MILK FRUIT
DOCTOR TEACHER FATHER MOTHER SISTER BROTHER FAMILY FRIEND PEOPLE CHILD KING QUEEN HERO GHOST DREAM HOPE LOVE PEACE WAR POWER
MONEY TIME YEAR DAY WEEK HOUR MINUTE SECOND FIRST LAST FINAL GAME TEAM GOAL SCORE RACE SPORT BALL BIKE CAR BUS SHIP PLANE SPACE
EARTH MARS ROBOT FUTURE PAST HISTORY SCIENCE NATURE ANIMAL BIRD FISH HORSE DOG CAT LION TIGER BEAR WOLF TREE FLOWER ROSE LEAF
CHAPTER LESSON QUESTION ANSWER IDEA PLAN REPORT WEATHER TRAFFIC SPECIAL SHOW GUEST VOICE SOUND PICTURE CAMERA ACTION SILENCE
SECRET MAGIC MYSTERY DANGER WARNING NOTICE PRIVATE PUBLIC CENTER STATION AIRPORT TICKET TRAVEL JOURNEY RETURN ESCAPE
VICTORY FREEDOM JUSTICE HEART SOUL MIND BODY HAND EYE FACE 10 20 24 50 100 2024 2030""".split()

Row = collections.namedtuple("Row", "code name flags plural")


def plural(name):
    head, of, rest = name.partition(" of ")
    if head.endswith(("leaf", "loaf")):
        head = head[:-1] + "ves"
    elif head.endswith("knife"):
        head = head[:-2] + "ves"
    elif head.endswith("y") and head[-2] not in "aeo":
        head = head[:-1] + "ies"
    else:
        head += "es" if head.endswith(("s", "x", "ch", "sh", "tomato", "volcano", "tornado")) else "s"
    return head + of + rest


def rows():
    """icons.txt, one drawing a line: code point, noun, flags (t: comes in any colour, a: in the colours of a coat, h: held out),
    plural if irregular. A noun may have several drawings."""
    out = []
    for line in open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "icons.txt"), encoding="utf8"):
        code, name, flags, *irregular = line.rstrip("\n").split("\t")
        out.append(Row(code, name, flags, irregular[0] if irregular else plural(name)))
    return out


class Names:
    """What Scenes has to know of an npz of drawings.py; small, for worker processes."""
    def __init__(self, z):
        self.rows = rows()
        if [r.name for r in self.rows] != z["names"].tolist():
            raise ValueError("these drawings were made from another icons.txt")
        self.exists, self.own, self.light, self.widths = z["exists"].tolist(), z["own"].tolist(), z["light"].tolist(), z["widths"].tolist()
        self.plain = z["plain"].tolist() if "plain" in z else [False] * len(self.exists)     # styles of one colour, which may be any

    def __len__(self):
        return len(self.rows)


# ---- sentences

def capital(s):
    return s[0].upper() + s[1:]


def thing(count, colour, row):
    noun = (colour + " " if colour else "") + (row.name if count == 1 else row.plural)
    if count > 1:
        return COUNTS[count] + " " + noun
    return ("an " if noun[0] in "aeioAEIO" or noun.startswith(("umb", "hour")) else "a ") + noun


def listed(things):
    return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)


class Grammar:
    def __init__(self, all_rows):
        self.noun = {r.name: r.name for r in all_rows}
        self.noun.update({r.plural: r.name for r in all_rows})

    def thing(self, text, said):
        count, _, rest = text.partition(" ")
        count = {"an": 1}.get(count.lower()) or (COUNTS.index(count.lower()) if count.lower() in COUNTS[1:] else 0)
        colour, _, noun = rest.partition(" ")
        if colour not in COLOURS or not noun:
            colour, noun = "", rest
        noun = self.noun.get(noun, noun)
        said.append(("object", noun))
        if count:
            said.append(("count", noun, count))
        if colour:
            said.append(("colour", noun, colour))
        return noun

    def facts(self, text):
        """The exact facts of some sentences, as tuples that begin with their kind, each as often as it is said."""
        said = []
        for s in re.findall(r"[^.]+", text):
            s = s.strip()
            change = re.fullmatch(r"The (.+?) (?:(?:moves?) (left|right|up|down)|go(?:es)? (away))", s)
            card = re.fullmatch(r"(A title|Text): (.+)", s)
            if s == "The screen is black":
                said.append(("card", "black"))
            elif card:
                said.append(("words", card[2]))
            elif change:
                noun = self.noun.get(change[1], change[1])
                said += [("object", noun), ("motion", noun, change[2] or change[3])]
            elif s:
                comes = re.fullmatch(r"(.+) appears?", s)
                s = comes[1] if comes else s
                if s.endswith(" at night"):
                    s = s[:-len(" at night")]
                    said.append(("time", "night"))
                place = re.fullmatch(r"(.+) on the (left|right)", s)
                nouns = [self.thing(t, said) for t in re.split(", | and ", place[1] if place else s)]
                if place:
                    said.append(("place", nouns[0], place[2]))
                if comes:
                    said += [("motion", n, "appear") for n in nouns]
        return collections.Counter(said)


def score(grammar, said, wanted):
    """Texts (one of each window) against those wanted -> {kind: (share of facts found, share of said facts that are right,
    number wanted)}; the kind "all" sums them."""
    hit, want, have = collections.Counter(), collections.Counter(), collections.Counter()
    for s, w in zip(said, wanted):
        s, w = grammar.facts(s), grammar.facts(w)
        for counter, facts in ((hit, s & w), (want, w), (have, s)):
            for fact, n in facts.items():
                counter[fact[0]] += n
                counter["all"] += n
    return {k: (hit[k] / max(1, want[k]), hit[k] / max(1, have[k]), want[k]) for k in sorted(want | have)}


# ---- scenes

class Group:
    __slots__ = ("cls", "style", "colour", "tint", "count", "size", "x", "y", "w", "h", "parts", "column", "jitter")


class Scene:
    __slots__ = ("groups", "back", "night", "words", "text", "title", "grid", "band", "gains", "photo")


class Scenes:
    """Windows of pictures. held: words that are kept from training, and with fresh also nouns that are."""
    def __init__(self, names, held=False, fresh=False):
        self.n = names
        # shares of the scenes: things in columns; before photographs. What is harder to tell is learnt more often than judged by
        self.grid, self.photo = (0.6, 0.55) if held else (0.4, 0.65)
        self.held, held_words = held, [w for i, w in enumerate(WORDS) if i % 8 == 5]
        self.words = held_words if held else [w for w in WORDS if w not in held_words]
        styles = range(len(names.exists))
        often = lambda s: 1 if held or names.plain[s] else 2
        self.styles = [[s for s in styles if names.exists[s][i] for _ in range(often(s))] for i in range(len(names))]
        there = [i for i in range(len(names)) if self.styles[i]]
        self.known = [i for i in there if "h" not in names.rows[i].flags]
        self.first = [i for i in there if "h" in names.rows[i].flags] if fresh else self.known
        self.bright = [i for i, v in enumerate(names.light) if v > 0.38]

    # -- what is there

    def group(self, rng, night, others):
        g, rows = Group(), self.n.rows
        taken = {rows[x.cls].name for x in others}
        while True:
            g.cls = rng.choice(self.known if taken else self.first)
            if rows[g.cls].name not in taken:
                break
        flags = rows[g.cls].flags
        g.style = rng.choice(self.styles[g.cls])
        own = self.n.own[g.style][g.cls]
        free = "t" in flags or "a" in flags
        g.colour, g.tint, g.jitter = own if free else NONE, NONE, NO_JITTER
        if free and (rng.random() < 0.5 or own == UNSURE or (night and own in DIM)) or (not free and self.n.plain[g.style]):
            g.tint = rng.choice(COAT if "a" in flags else range(len(COLOURS)))
            while night and g.tint in DIM:
                g.tint = rng.choice([c for c in (COAT if "a" in flags else range(len(COLOURS))) if c not in DIM])
            g.colour = g.tint if free else NONE
        if not self.held and rng.random() < 0.5:
            g.jitter = self.jitter(rng, g)
        r = rng.random()
        g.count = 1 if r < 0.6 else 2 if r < 0.8 else 3 if r < 0.92 else 4
        return g

    def jitter(self, rng, g):
        """So that what is learnt is the thing and not the drawing; a colour that is said stays what it is."""
        much = 0.3 if g.colour >= 0 else 1.0
        levels = rng.choice((2, 3, 4)) if g.colour < 0 and rng.random() < 0.2 else 0
        hole = (rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8)) if rng.random() < 0.2 else (9, 9)
        return [rng.gauss(0, 0.12), math.exp(rng.gauss(0, 0.35 * much)), math.exp(rng.gauss(0, 0.25 * much)), levels, *hole]

    def arrange(self, rng, g, room, most):
        """Its copies in rows within room pixels of width and most of height."""
        c = g.count
        across = 1 if c == 1 or (c == 2 and room < 76) else c if room > 38 * c else 2
        down = -(-c // across)
        top = min(room / across, most / down, 88)
        g.size = top * rng.uniform(0.82, 1.0) if top < 42 else rng.uniform(36, top)
        g.parts = []
        for i in range(c):
            row = i // across
            in_row = min(across, c - row * across)
            g.parts.append(((i % across - (in_row - 1) / 2) * g.size * 1.02 + rng.uniform(-1, 1),
                            (row - (down - 1) / 2) * g.size + rng.uniform(-1.5, 1.5), rng.uniform(0.93, 1.04),
                            rng.gauss(0, 0.07)))
        flip = -1 if rng.random() < 0.4 else 1
        if not self.held:                                 # drawings differ in proportion and tilt too
            flip, tilt = flip * math.exp(rng.gauss(0, 0.12)), rng.gauss(0, 0.1)
            g.parts = [p[:3] + (p[3] + tilt,) for p in g.parts]
        g.parts = [p + (flip,) for p in g.parts]
        g.w, g.h = across * g.size, down * g.size

    def height(self, rng, g, top, bottom):
        a, b = top + g.h / 2 - 2, bottom - g.h / 2 + 2
        return rng.triangular(a, b, a + 0.75 * (b - a)) if b > a else (a + b) / 2

    def scene(self, rng, most=OBJECTS, plain=False):
        s = Scene()
        s.night = not plain and rng.random() < 0.13
        s.words, s.title, s.text, s.grid = [], False, None, rng.random() < self.grid
        r = rng.random()
        if not plain and r < 0.08:
            s.title, s.night, n = True, False, 0
        else:
            n = rng.choice((1, 1, 1, 1, 2, 2, 2, 3)) if r > 0.13 else 0
        if s.title or (not plain and n and rng.random() < 0.07):
            self.write(rng, s)
        top, bottom = (0, 68) if s.words and s.band > 48 else (28, PIC_H) if s.words and not s.title else (0, PIC_H)
        s.groups = []
        for _ in range(n):
            g = self.group(rng, s.night, s.groups)
            g.count = min(g.count, most - sum(x.count for x in s.groups))
            if g.count:
                s.groups.append(g)
        n = len(s.groups)
        if n == 1 and not s.grid:
            g, where = s.groups[0], rng.choice("lmmr")
            self.arrange(rng, g, 140 if where == "m" else 76, bottom - top)
            side = max(rng.uniform(24, 44), g.w / 2 - 4)
            g.x = rng.uniform(70, 90) if where == "m" else side if where == "l" else PIC_W - side
            g.column = "lmr".index(where)
        elif n == 2 and not s.grid:
            for i, g in enumerate(s.groups):
                self.arrange(rng, g, 76, bottom - top)
                g.column, g.x = 2 * i, 42 + 76 * i + rng.uniform(-3, 3)
        else:
            s.grid = True
            for g, c in zip(s.groups, sorted(rng.sample(range(3), n))):
                if rng.random() < 0.6:                    # more would be small here
                    g.count = min(g.count, 2)
                self.arrange(rng, g, 54, bottom - top)
                g.column, g.x = c, 27 + 53 * c + rng.uniform(-3, 3)
        for g in s.groups:
            g.y = self.height(rng, g, top, bottom)
        s.back = self.background(rng, s)
        tone = [rng.uniform(0.92, 1.08) for _ in range(3)]
        light = rng.uniform(0.8, 1.1) if not s.title else rng.uniform(0.3, 0.5) if s.photo else 1
        s.gains = [v * (rng.uniform(0.7, 1) if s.photo else 1) for v in tone]
        if s.night:
            dark = rng.uniform(0.26, 0.42)
            s.gains = [0.55 * dark, 0.7 * dark, 1.25 * dark] + [0.6, 0.64, 0.78]
        else:
            s.gains = [v * light for v in s.gains] + [v * max(light, 0.8) for v in tone]
        return s

    def background(self, rng, s):
        shown = [[v / 255 for v in RGB[max(g.colour, g.tint)]] for g in s.groups if g.colour >= 0 or g.tint >= 0]
        r = rng.random()
        s.photo = r < self.photo
        photo = rng.choice(range(len(self.n.light)) if s.night else self.bright)
        low, high = (0.0, 1.0) if s.night or s.title else (0.25, 1.0)

        def colour():
            for _ in range(6):
                c = [rng.uniform(low, high) for _ in range(3)]
                if max(c) > 0.5 and all(sum((a - b) ** 2 for a, b in zip(c, o)) > 0.16 for o in shown):
                    break
            return c

        if s.title:                                      # plain and dark, or light, so that letters are seen
            level = rng.choice((0, 0.05, 0.12, 0.25, 0.9))
            one = [min(1, max(0, level + rng.uniform(-0.1, 0.1))) for _ in range(3)]
            two = [min(1, max(0, v + rng.uniform(-0.1, 0.1))) for v in one]
            s.text[1:4] = [0.1, 0.1, 0.12] if level > 0.5 and not s.photo else rng.choice(([1, 1, 1], [1, 0.9, 0.3], [0.9, 0.95, 1]))
        else:
            one = colour()
            two = colour() if rng.random() < 0.7 else one
        back = [photo, 1.0 if s.photo else 0.0, rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.6, 0.93),
                rng.choice((-1, 1))] + one + two + [rng.random()]
        for _ in range(SHAPES):
            on = not s.title and r > 0.75 and rng.random() < 0.6
            back += [1, rng.choice((0, 1)), rng.uniform(0, PIC_W), rng.uniform(0, PIC_H), rng.uniform(6, 50), rng.uniform(6, 30),
                     *colour()] if on else [0, 0, 0, 0, 1, 1, 0, 0, 0]
        return back

    def write(self, rng, s):
        """Words in capitals: on a card in the middle, or in a band at the top or bottom."""
        face = rng.randrange(len(self.n.widths))
        wide = self.n.widths[face]
        words = rng.sample(self.words, rng.choice((1, 1, 2, 2, 3) if s.title else (1, 1, 2)))
        if not self.held:                                # letters are to be read, not words known by heart
            words = [w if rng.random() < 0.4 else self.unknown(rng) for w in words]
        length = lambda t: sum(GLYPH_W * 0.3 if ch == " " else wide[GLYPHS.index(ch)] for ch in t)
        while len(words) > 1 and sum(map(len, words)) > LETTERS:
            words.pop()
        if s.title:
            lines = []
            for w in words:
                if lines and length(lines[-1] + " " + w) < 240 and rng.random() < 0.7:
                    lines[-1] += " " + w
                else:
                    lines.append(w)
        else:
            while len(words) > 1 and length(" ".join(words)) > 260:
                words.pop()
            lines = [" ".join(words)]
        most = max(map(length, lines))
        scale = min(150 / most, (88 / len(lines) if s.title else 26) / GLYPH_H, 1.5)
        scale = max(min(scale, 0.66), scale * rng.uniform(0.7, 1))
        high = GLYPH_H * scale
        up = rng.random() < 0.25
        y = PIC_H / 2 - high * len(lines) / 2 + rng.uniform(-6, 6) if s.title else 2 if up else PIC_H - high - 2
        s.band, s.words = y, words
        ink = rng.random() < 0.8
        s.text = ([face] + ([1, 1, 1] if ink else [0, 0, 0]) + [high, 1, y - 1, high * len(lines) + 2, 0 if ink else 1,
                                                              0 if s.title else rng.uniform(0.6, 1)])
        for line in lines:
            x = PIC_W / 2 - length(line) * scale / 2
            for ch in line:
                if ch != " ":
                    w = wide[GLYPHS.index(ch)]
                    s.text += [x, y, w * scale, GLYPHS.index(ch) * GLYPH_W, w]
                    x += w * scale
                else:
                    x += GLYPH_W * 0.3 * scale
            y += high

    def unknown(self, rng):
        """A word that nobody knows, or a number."""
        if rng.random() < 0.1:
            return str(rng.randint(1, 9999))
        return "".join(c for c in texts.invent(rng, "en").upper() if c in GLYPHS)[:rng.randint(3, 9)]

    # -- what happens

    def move(self, rng, s):
        """Moves a group where there is room for it; its sentence, or None."""
        for g in rng.sample(s.groups, len(s.groups)):
            for way in rng.sample(("left", "right", "up", "down"), 4):
                sign = -1 if way in ("left", "up") else 1
                if way in ("up", "down"):
                    y = g.y + sign * rng.uniform(26, 44)
                    if s.words or not g.h / 2 - 3 < y < PIC_H + 3 - g.h / 2:
                        continue
                    g.y = y
                else:
                    x = g.x + sign * rng.uniform(44, 90)
                    if len(s.groups) > 1:
                        if not s.grid or not 0 <= g.column + sign < 3 or any(o.column == g.column + sign for o in s.groups):
                            continue
                        x = g.x + sign * 53
                        g.column += sign
                    elif not g.w / 2 - 6 < x < PIC_W + 6 - g.w / 2:
                        continue
                    else:
                        g.column = 0 if x < 54 else 2 if x > 106 else 1
                        s.grid = False
                    g.x = x
                row = self.n.rows[g.cls]
                return f"The {row.name if g.count == 1 else row.plural} move{'s' * (g.count == 1)} {way}."
        return None

    def come(self, rng, s):
        free = [c for c in range(3) if all(g.column != c for g in s.groups)]
        if not s.grid or not free or s.words or not s.groups:
            return None
        g = self.group(rng, s.night, s.groups)
        g.count = min(g.count, OBJECTS - sum(x.count for x in s.groups))
        if not g.count:
            return None
        g.column = rng.choice(free)
        self.arrange(rng, g, 54, PIC_H)
        g.x, g.y = 27 + 53 * g.column, self.height(rng, g, 0, PIC_H)
        s.groups = sorted(s.groups + [g], key=lambda x: x.column)
        return capital(self.thing(g)) + (" appears." if g.count == 1 else " appear.")

    def go(self, rng, s):
        if not s.groups:
            return None
        g = rng.choice(s.groups)
        s.groups = [x for x in s.groups if x is not g]
        row = self.n.rows[g.cls]
        return f"The {row.name} goes away." if g.count == 1 else f"The {row.plural} go away."

    def thing(self, g):
        return thing(g.count, COLOURS[g.colour] if g.colour >= 0 else "", self.n.rows[g.cls])

    def sentence(self, s):
        if s.title:
            return f"A title: {' '.join(s.words)}."
        if not s.groups:
            return ""
        out = listed([self.thing(g) for g in s.groups])
        if len(s.groups) == 1:
            out += (" on the left", "", " on the right")[s.groups[0].column]
        return capital(out) + " at night" * s.night + "." + (f" Text: {' '.join(s.words)}." if s.words else "")

    # -- numbers

    def spec(self, rng, s, share=0.0, other=None):
        """One picture of s (None: black), with its share of the scene that fades in."""
        if s is None:
            out = NOTHING * OBJECTS + ([0.0] * 4 + [1.0] + [0.0] * (BACK - 5)) * 2
            return out + [0.0] * 7 + [1, rng.uniform(0, 0.012), 0] + NO_TEXT + NO_LETTER * LETTERS
        n, objects = len(self.n), []
        shift = rng.gauss(0, 1.2), rng.gauss(0, 0.8)
        for scene, alpha in ((s, 1 - share), (other, share)):
            for g in scene.groups if scene else ():
                x, y = g.x + shift[0] + rng.gauss(0, 0.6), g.y + shift[1] + rng.gauss(0, 0.6)
                rgb = [min(1, max(0, v / 255 + rng.gauss(0, 0.02))) for v in RGB[g.tint]] if g.tint >= 0 else [0, 0, 0]
                for dx, dy, scale, angle, flip in g.parts:
                    objects += [g.style * n + g.cls, x + dx, y + dy, g.size * scale, flip, angle, alpha, float(g.tint >= 0)] + rgb + g.jitter
        out = objects + NOTHING * (OBJECTS - len(objects) // OBJECT)
        for scene in (s, other or s):
            back = list(scene.back)
            back[2] += shift[0] / 40
            out += back
        k = rng.uniform(0.97, 1.03)
        noise = abs(rng.gauss(0, 0.012)) if rng.random() < 0.8 else rng.uniform(0.015, 0.045)
        gains = s.gains if not other else [a * (1 - share) + b * share for a, b in zip(s.gains, other.gains)]
        out += [share] + [v * k for v in gains] + [rng.uniform(0.9, 1.12), noise, rng.random() ** 2]
        text = s.text or NO_TEXT
        return out + text + NO_LETTER * (LETTERS - (len(text) - len(NO_TEXT)) // LETTER)

    def window(self, rng, slots, K=4):
        """-> when [K] (slots where there is no picture), spec [K, NSPEC], said [(slot, text)]. rng: random.Random."""
        when, spec, said = np.full(K, slots, np.int64), np.tile(np.array(self.spec(rng, None), np.float32), (K, 1)), []
        n = min(K, rng.choice((0, 1, 2, 3, K, K, K, K)))
        still, moved = (0.26, 0.44) if self.held else (0.2, 0.44)
        at, now, black, coming = rng.randrange(0, 30 if rng.random() < 0.5 else max(31, slots - 60)), None, False, None
        for k in range(n):
            if at >= slots - 2:
                break
            text, share = "", 0.0
            r = rng.random() if now is not None and not coming else 1.0
            if coming:
                now, coming = coming, None
                text = self.sentence(now)
            elif r < still:
                pass
            elif r < moved:
                text = self.move(rng, now)
            elif r < 0.56:
                text = self.come(rng, now)
            elif r < 0.63:
                text = self.go(rng, now)
            elif r < 0.69 and k < n - 1 and not now.night and not now.words:
                room = OBJECTS - sum(g.count for g in now.groups)
                coming, share = (self.scene(rng, room, plain=True), rng.uniform(0.3, 0.6)) if room else (None, 0.0)
            elif rng.random() < 0.04 and not black:
                now, black, text = None, True, "The screen is black."
            else:
                now, black = self.scene(rng), False
                text = self.sentence(now)
            when[k], spec[k] = at, self.spec(rng, now, share, coming)
            if text:
                said.append((at, text))
            at += rng.randint(13, 25) if coming or rng.random() < 0.5 else 25 if rng.random() < 0.8 else rng.randint(26, 60)
        return when, spec, said


def test_set(names, seed, n, slots=256, K=4, fresh=False):
    """Windows to judge by, the same for the same seed: when [n, K], spec [n, K, NSPEC], said [n] lists of (slot, text).
    names of held-out drawings; fresh: each scene begins with a noun that training never has."""
    rng, scenes = random.Random(seed), Scenes(names, held=True, fresh=fresh)
    windows = []
    while len(windows) < n:
        w = scenes.window(rng, slots, K)
        if w[2]:
            windows.append(w)
    return np.stack([w[0] for w in windows]), np.stack([w[1] for w in windows]), [w[2] for w in windows]
