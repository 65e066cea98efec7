# SPDX-License-Identifier: Apache-2.0
"""Big simple pictures that move a little: frame(name, t) is a 640x360 RGB image, t in seconds."""
import math

from PIL import Image, ImageDraw

W, H, S = 640, 360, 2  # drawn at twice the size, then halved


class Pen:
    def __init__(self, sky):
        self.im = Image.new("RGB", (W * S, H * S), sky)
        self.d = ImageDraw.Draw(self.im)

    def disc(self, x, y, r, fill):
        self.d.ellipse([(x - r) * S, (y - r) * S, (x + r) * S, (y + r) * S], fill=fill)

    def oval(self, x, y, rx, ry, fill):
        self.d.ellipse([(x - rx) * S, (y - ry) * S, (x + rx) * S, (y + ry) * S], fill=fill)

    def box(self, x0, y0, x1, y1, fill, round_=0):
        self.d.rounded_rectangle([x0 * S, y0 * S, x1 * S, y1 * S], round_ * S, fill=fill)

    def poly(self, points, fill):
        self.d.polygon([(x * S, y * S) for x, y in points], fill=fill)

    def line(self, points, fill, width):
        self.d.line([(x * S, y * S) for x, y in points], fill=fill, width=width * S, joint="curve")

    def pie(self, x, y, r, a, b, fill):
        self.d.pieslice([(x - r) * S, (y - r) * S, (x + r) * S, (y + r) * S], a, b, fill=fill)

    def done(self):
        return self.im.resize((W, H), Image.LANCZOS)


def sun(p, x, y, r, t):
    for i in range(12):
        a = i * math.pi / 6 + t * 0.2
        p.line([(x + r * 1.2 * math.cos(a), y + r * 1.2 * math.sin(a)),
                (x + r * 1.55 * math.cos(a), y + r * 1.55 * math.sin(a))], "#ffb000", 7)
    p.disc(x, y, r, "#ffc82e")


def cloud(p, x, y, k, fill):
    for dx, dy, r in ((-70, 10, 45), (-20, -25, 60), (45, -10, 52), (85, 18, 38)):
        p.disc(x + dx * k, y + dy * k, r * k, fill)
    p.box(x - 110 * k, y + 12 * k, x + 118 * k, y + 56 * k, fill, 22 * k)


def tree(p, x, y, k):
    p.box(x - 12 * k, y - 110 * k, x + 12 * k, y, "#7a4a21")
    for dx, dy, r in ((0, -165, 62), (-45, -125, 46), (45, -125, 46)):
        p.disc(x + dx * k, y + dy * k, r * k, "#2f8f3a")


def screen(t):
    p = Pen("#dfe8f2")
    p.box(150, 60, 490, 270, "#20242c", 18)
    p.box(168, 78, 472, 252, "#3d7edb", 8)
    p.disc(320, 140, 38, "#f3c9a0")
    p.pie(320, 252, 78, 180, 360, "#c23b3b")
    p.disc(307, 134, 5, "#20242c")
    p.disc(333, 134, 5, "#20242c")
    p.oval(320, 156, 12, 3 + 4 * abs(math.sin(t * 9)), "#8a2f2f")
    p.poly([(300, 270), (340, 270), (370, 305), (270, 305)], "#20242c")
    return p.done()


def boat(t):
    p = Pen("#8fd0ff")
    sun(p, 520, 80, 42, t)
    p.box(0, 230, W, H, "#1f6fb5")
    x, y = 180 + 18 * t, 232 + 4 * math.sin(t * 2)
    p.box(x + 96, y - 160, x + 104, y, "#5b3a1e")
    p.poly([(x + 110, y - 155), (x + 110, y - 20), (x + 195, y - 20)], "#ffffff")
    p.poly([(x + 90, y - 135), (x + 90, y - 20), (x + 20, y - 20)], "#f2f2f2")
    p.poly([(x, y), (x + 210, y), (x + 170, y + 50), (x + 40, y + 50)], "#b5322b")
    for i in range(-1, 9):
        p.pie(i * 80 + (t * 20) % 80, 300, 40, 200, 340, "#2d83cf")
    return p.done()


def rain(t):
    p = Pen("#b9c6d2")
    for i in range(26):
        x, y = 60 + i * 22, 150 + (i * 57 + t * 160) % 200
        p.line([(x, y), (x - 6, y + 18)], "#3b78c2", 4)
    cloud(p, 320, 90, 1.25, "#6d7a88")
    p.box(316, 220, 324, 340, "#4a2f1a")
    p.pie(320, 250, 95, 180, 360, "#d63a6a")
    for dx in (-63, 0, 63):
        p.pie(320 + dx, 252, 31, 180, 360, "#b9c6d2")
    return p.done()


def house(t):
    p = Pen("#a8dcff")
    cloud(p, 110 + 6 * t, 70, 0.6, "#ffffff")
    p.oval(320, 400, 460, 140, "#63b04a")
    p.box(190, 160, 360, 290, "#f0d9a8")
    p.poly([(170, 165), (275, 80), (380, 165)], "#b0432f")
    p.box(255, 215, 297, 290, "#6b3f1d")
    for x in (205, 310):
        p.box(x, 185, x + 36, 220, "#4e93c9")
    tree(p, 480, 290, 1.0)
    return p.done()


def pot(t):
    p = Pen("#f4e6d4")
    p.box(0, 300, W, H, "#7d8791")
    for i in range(5):
        h = 34 + 12 * math.sin(t * 8 + i * 2)
        x = 240 + i * 40
        p.poly([(x - 16, 300), (x + 16, 300), (x, 300 - h)], "#f0732a")
    p.box(205, 150, 435, 265, "#3b4048", 22)
    p.box(195, 138, 445, 160, "#555c66", 8)
    p.box(160, 180, 205, 200, "#3b4048", 8)
    p.box(435, 180, 480, 200, "#3b4048", 8)
    for i in range(3):
        x = 265 + i * 55
        p.line([(x + 8 * math.sin(t * 3 + k / 3 + i), 125 - k * 8) for k in range(9)], "#ffffff", 8)
    return p.done()


def ball(t):
    p = Pen("#bfe6ff")
    p.box(0, 250, W, H, "#58a845")
    tree(p, 560, 270, 0.8)
    y = 240 - 90 * abs(math.sin(t * 2.2))
    p.oval(300, 318, 70, 12, "#3f7f33")
    p.disc(300, y, 72, "#d8231f")
    p.disc(276, y - 26, 16, "#f2837f")
    return p.done()


def train(t):
    p = Pen("#d9ecf7")
    p.box(0, 270, W, H, "#9a9a92")
    p.box(0, 262, W, 270, "#4a4a4a")
    x = -40 + 22 * t
    for i, colour in enumerate(("#2f6fb0", "#2f6fb0", "#c8372d")):
        a = x + i * 190
        p.box(a, 140, a + 180, 250, colour, 14)
        for k in range(3):
            p.box(a + 18 + k * 54, 160, a + 56 + k * 54, 196, "#eef6ff", 5)
        for k in (36, 144):
            p.disc(a + k, 252, 17, "#2b2b2b")
    p.poly([(x + 560, 142), (x + 600, 250), (x + 540, 250)], "#c8372d")
    return p.done()


def moon(t):
    p = Pen("#101a3c")
    for i in range(30):
        x, y = (i * 97) % W, (i * 61) % 230
        p.disc(x, y, 2 + (math.sin(t * 2 + i) > 0.4), "#ffffff")
    p.disc(420, 110, 62, "#fff2b8")
    p.disc(448, 96, 56, "#101a3c")
    p.oval(320, 400, 460, 130, "#1d2f26")
    p.box(150, 210, 260, 300, "#2c3346")
    p.poly([(135, 212), (205, 150), (275, 212)], "#202638")
    p.box(190, 235, 222, 268, "#ffd76a")
    return p.done()


def frame(name, t):
    return {f.__name__: f for f in (screen, boat, rain, house, pot, ball, train, moon)}[name](t)
