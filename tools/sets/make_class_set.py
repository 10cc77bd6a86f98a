"""Makes a set of pictures of small parts, one folder a class, for measuring `ocellus train classes`.

    pip install pillow==13.0.0 numpy
    python tools/sets/make_class_set.py [--kinds parts|marks] [--seed 1] [--train 20] [--test 50] FOLDER

Writes FOLDER/train/CLASS/*.jpg and FOLDER/test/CLASS/*.jpg. Parts lie at any angle on different grounds, in slanting
light, out of focus, with noise; the same arguments give the same pictures. `parts`: screws, nuts, washers and connectors,
whole and faulty. `marks`: printed labels and gauges, right and wrong. Everything is drawn here, nothing is taken from elsewhere.
"""

import argparse
import math
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
SCALE = 2  # drawn larger, so that edges are smooth


class Sheet:
    """A picture that is drawn on: coordinates of -1 to 1 about the middle, turned, scaled and shifted as one."""

    def __init__(self, random, spread):
        self.random = random
        self.side = SIDE * SCALE
        self.angle = random.uniform(0, 2 * math.pi) if spread > 1 else random.normal(0, 0.12)
        self.scale = self.side * random.uniform(0.26, 0.40)
        self.shift = self.side / 2 + random.uniform(-0.09, 0.09, 2) * self.side
        self.image = Image.fromarray(ground(random, self.side))
        self.draw = ImageDraw.Draw(self.image)

    def at(self, points):
        c, s = math.cos(self.angle), math.sin(self.angle)
        return [(self.shift[0] + self.scale * (c * x - s * y), self.shift[1] + self.scale * (s * x + c * y))
                for x, y in points]

    def shape(self, points, fill, outline=None):
        self.draw.polygon(self.at(points), fill=fill, outline=outline)

    def box(self, x1, y1, x2, y2, fill, outline=None):
        self.shape([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], fill, outline)

    def round(self, x, y, radius, fill, corners=48, start=0.0):
        turns = [start + 2 * math.pi * i / corners for i in range(corners)]
        self.shape([(x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns], fill)

    def line(self, points, fill, width):
        self.draw.line(self.at(points), fill=fill, width=max(1, round(width * self.scale)))


def ground(random, side):
    """Bench, cloth, wood or board: a colour, a slow change, a grain."""
    colour = random.uniform(60, 200, 3) * [1, 0.97, 0.93]
    y, x = np.mgrid[0:side, 0:side] / side
    angle = random.uniform(0, 2 * math.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    grain = random.normal(0, 1, (side, side))
    kind = random.integers(3)
    if kind == 0:
        grain = np.sin(along * random.uniform(60, 240) + 3 * np.sin(7 * y)) * 6 + grain * 3
    elif kind == 1:
        small = random.normal(0, 1, (side // 16, side // 16))
        grain = np.asarray(Image.fromarray(small.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)) * 9
    else:
        grain = grain * random.uniform(2, 10)
    shade = 1 + random.uniform(-0.35, 0.35) * (along - 0.5)
    return np.clip(colour * shade[..., None] + grain[..., None], 0, 255).astype(np.uint8)


def metal(random):
    base = random.uniform(95, 205)
    tint = random.uniform(-14, 14)
    return lambda f: tuple(int(np.clip(base * f + t, 0, 255)) for t in (tint, tint / 3, -tint))


def screw(sheet, random, slot, length):
    tone = metal(random)
    head = random.uniform(0.24, 0.32)
    sheet.box(-length, -0.11, 0, 0.11, tone(0.8))
    step = random.uniform(0.07, 0.10)
    for i in range(int(length * 0.8 / step)):
        x = -length + i * step
        sheet.line([(x, -0.125), (x + step * 0.6, 0.125)], tone(0.5), 0.025)
    sheet.round(0.12, 0, head, tone(1.0))
    sheet.round(0.12, 0, head * 0.82, tone(1.12))
    dark = tone(0.4)
    if slot == "cross":
        sheet.box(0.12 - head * 0.6, -0.035, 0.12 + head * 0.6, 0.035, dark)
        sheet.box(0.085, -head * 0.6, 0.155, head * 0.6, dark)
    elif slot == "slit":
        sheet.box(0.085, -head * 0.75, 0.155, head * 0.75, dark)
    else:
        sheet.round(0.12, 0, head * 0.45, dark, corners=6)


def nut(sheet, random, corners):
    tone, size = metal(random), random.uniform(0.5, 0.68)
    sheet.round(0.04, 0.05, size, (30, 30, 30), corners)
    sheet.round(0, 0, size, tone(1.0), corners)
    sheet.round(0, 0, size * 0.97 * math.cos(math.pi / corners), tone(1.1))
    hole = random.uniform(0.36, 0.48) * size
    sheet.round(0, 0, hole * 1.12, tone(0.55))
    sheet.round(0, 0, hole, tuple(int(v) for v in random.uniform(30, 120, 3)))


def washer(sheet, random, cut):
    tone, size = metal(random), random.uniform(0.5, 0.7)
    hole = random.uniform(0.42, 0.6) * size
    inside = tuple(int(v) for v in random.uniform(40, 140, 3))
    sheet.round(0.03, 0.04, size, (35, 35, 35))
    sheet.round(0, 0, size, tone(1.0))
    sheet.round(0, 0, size * 0.93, tone(1.08))
    sheet.round(0, 0, hole, inside)
    if cut:
        half = random.uniform(0.04, 0.09)
        sheet.shape([(hole * 0.9, -half), (size * 1.05, -half - 0.03), (size * 1.05, half), (hole * 0.9, half + 0.03)], inside)


def connector(sheet, random, missing):
    body = tuple(int(v) for v in random.uniform(25, 90, 3))
    if random.random() < 0.3:
        body = tuple(int(v) for v in random.uniform(170, 235, 3))
    light = tuple(min(255, v + 30) for v in body)
    sheet.box(-0.9, -0.42, 0.9, 0.42, body)
    sheet.box(-0.84, -0.36, 0.84, 0.36, light)
    sheet.box(-0.3, 0.42, 0.3, 0.52, body)
    gone = random.integers(12) if missing else -1
    for i in range(12):
        x, y = -0.7 + (i % 6) * 0.28, -0.16 + (i // 6) * 0.32
        sheet.box(x - 0.075, y - 0.085, x + 0.075, y + 0.085, body)
        if i != gone:
            sheet.box(x - 0.05, y - 0.06, x + 0.05, y + 0.06, (205, 170, 80) if random.random() < 0.9 else (190, 180, 160))


def label(sheet, random, fault):
    paper = tuple(int(v) for v in random.uniform(215, 250) + random.uniform(-8, 8, 3))
    ink = tuple(int(v) for v in random.uniform(15, 60, 3))
    sheet.box(-1.0, -0.6, 1.0, 0.6, paper)
    x = -0.88
    while x < 0.5:
        width = random.choice([0.02, 0.04, 0.06])
        sheet.box(x, -0.5, x + width, 0.05, ink)
        x += width + random.choice([0.02, 0.04])
    for row in range(3):
        y, x = 0.16 + row * 0.14, -0.88
        while x < random.uniform(0.1, 0.8):
            width = random.uniform(0.05, 0.16)
            sheet.box(x, y, x + width, y + 0.07, ink)
            x += width + 0.05
    if fault != "stamp":
        sheet.round(0.74, -0.24, 0.17, ink)
        sheet.round(0.74, -0.24, 0.13, paper)
        sheet.line([(0.66, -0.24), (0.72, -0.17), (0.83, -0.32)], ink, 0.035)
    if fault == "smudge":
        x, y = random.uniform(-0.7, 0.3), random.uniform(-0.4, 0.4)
        for _ in range(9):
            dx, dy = random.normal(0, 0.09, 2)
            sheet.round(x + dx, y + dy, random.uniform(0.05, 0.12), tuple(int(v * 0.6 + 60) for v in ink))
    if fault == "torn":
        size = random.uniform(0.35, 0.6)
        colour = tuple(int(v) for v in random.uniform(90, 170, 3))
        sheet.shape([(1.02, 0.62), (1.02 - size, 0.62), (1.02 - size * 0.55, 0.62 - size * 0.4), (1.02, 0.62 - size)], colour)


def gauge(sheet, random, zone):
    rim, face = metal(random), tuple(int(v) for v in random.uniform(215, 250, 3))
    sheet.round(0, 0, 0.85, rim(0.7))
    sheet.round(0, 0, 0.76, face)
    for i in range(11):
        turn = math.radians(150 + i * 24)
        c, s = math.cos(turn), math.sin(turn)
        colour = (190, 40, 40) if i > 7 else (40, 40, 40)
        sheet.line([(0.56 * c, 0.56 * s), (0.70 * c, 0.70 * s)], colour, 0.03)
    low, high = {"low": (0, 2.6), "mid": (3.2, 6.8), "high": (7.4, 10)}[zone]
    turn = math.radians(150 + random.uniform(low, high) * 24)
    c, s = math.cos(turn), math.sin(turn)
    sheet.line([(-0.12 * c, -0.12 * s), (0.58 * c, 0.58 * s)], (25, 25, 25), 0.045)
    sheet.round(0, 0, 0.07, (25, 25, 25))


KINDS = {
    "parts": {
        "connector": lambda s, r: connector(s, r, False), "connector-missing-pin": lambda s, r: connector(s, r, True),
        "nut-hexagon": lambda s, r: nut(s, r, 6), "nut-square": lambda s, r: nut(s, r, 4),
        "screw-cross": lambda s, r: screw(s, r, "cross", r.uniform(0.7, 1.0)),
        "screw-hexagon": lambda s, r: screw(s, r, "hex", r.uniform(0.7, 1.0)),
        "screw-slit": lambda s, r: screw(s, r, "slit", r.uniform(0.7, 1.0)),
        "washer": lambda s, r: washer(s, r, False), "washer-split": lambda s, r: washer(s, r, True),
    },
    "marks": {
        "gauge-high": lambda s, r: gauge(s, r, "high"), "gauge-low": lambda s, r: gauge(s, r, "low"),
        "gauge-mid": lambda s, r: gauge(s, r, "mid"), "label": lambda s, r: label(s, r, None),
        "label-no-stamp": lambda s, r: label(s, r, "stamp"), "label-smudged": lambda s, r: label(s, r, "smudge"),
        "label-torn": lambda s, r: label(s, r, "torn"),
    },
}
SPREAD = {"parts": 2, "marks": 1}  # 2: any angle; 1: nearly upright


def photograph(sheet, random):
    """Focus, slanting light, a soft shadow, the camera's noise."""
    image = sheet.image.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 2.4)))
    image = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(image).astype(np.float64)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    angle = random.uniform(0, 2 * math.pi)
    light = random.uniform(0.65, 1.25) * (1 + random.uniform(0, 0.5) * (np.cos(angle) * x + np.sin(angle) * y))
    if random.random() < 0.3:
        light = light * np.where(np.cos(angle) * y - np.sin(angle) * x > random.uniform(-0.3, 0.3), 1, 0.7)
    pixels = pixels * light[..., None] * random.uniform(0.92, 1.08, 3)
    return Image.fromarray(np.clip(pixels + random.normal(0, random.uniform(2, 9), pixels.shape), 0, 255).astype(np.uint8))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", choices=KINDS, default="parts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", type=int, default=20)
    parser.add_argument("--test", type=int, default=50)
    args = parser.parse_args()
    for part, count in (("train", args.train), ("test", args.test)):
        for name, draw in KINDS[args.kinds].items():
            folder = args.folder / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                random = np.random.default_rng([args.seed, zlib.crc32(f"{part}/{name}".encode()), i])
                sheet = Sheet(random, SPREAD[args.kinds])
                draw(sheet, random)
                photograph(sheet, random).save(folder / f"{i:03}.jpg", quality=int(random.integers(70, 95)))


if __name__ == "__main__":
    main()
