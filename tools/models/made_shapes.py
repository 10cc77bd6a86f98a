"""Draws the pictures that the small networks of made_yolo.py learn from and are tested on: overlapping flat shapes with a
little shading on noisy, striped backgrounds. Everything comes from the random generator that is passed in.

Needs numpy 1.26.4 and pillow 13.0.0.
"""

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ["disc", "square", "triangle", "ring", "cross"]


def background(rng, width, height):
    """Smooth colour patches, sometimes stripes, always noise. float32, height x width x 3."""
    coarse = rng.integers(40, 216, (rng.integers(2, 6), rng.integers(2, 6), 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if rng.random() < 0.5:
        angle, period = rng.uniform(0, np.pi), rng.uniform(6, 40)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * np.float32(2 * np.pi / period))
        picture += (wave * np.float32(rng.uniform(5, 25)))[..., None]
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(rng.uniform(2, 12))
    return picture * np.float32(rng.uniform(0.5, 1)) + grain


def outline(shape, side, angle):
    """Corners of a square, triangle or cross of that outer side, around (0, 0)."""
    if shape == "square":
        points = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    elif shape == "triangle":
        points = [(np.sin(a) * 1.2, -np.cos(a) * 1.2) for a in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    else:
        a = 0.36
        points = [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)]
    points = np.array(points) * side / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ turn


def covering(rng, shape, side, centre, width, height):
    """How much of each pixel the shape covers, 0..1: drawn at four times the size, then averaged."""
    big = Image.new("L", (width * 4, height * 4))
    draw, (cx, cy), half = ImageDraw.Draw(big), centre, side / 2
    if shape in ("disc", "ring"):
        draw.ellipse([4 * (cx - half), 4 * (cy - half), 4 * (cx + half), 4 * (cy + half)], fill=255)
        if shape == "ring":
            hole = half * 0.55
            draw.ellipse([4 * (cx - hole), 4 * (cy - hole), 4 * (cx + hole), 4 * (cy + hole)], fill=0)
    else:
        points = (outline(shape, side, rng.uniform(0, 2 * np.pi)) + centre) * 4
        draw.polygon([tuple(p) for p in points], fill=255)
    return np.asarray(big.reduce(4)).astype(np.float32) / 255


def scene(rng, width, height, shapes=3, most=7):
    """One picture, uint8 RGB, and its objects from back to front: (class, mask of the visible pixels).

    Sizes go from 16 pixels to two thirds of the shorter side, evenly on a logarithmic scale; classes are the first
    `shapes` of SHAPES. Objects of which less than a third is left to see are not named, but stay in the picture.
    """
    picture, objects = background(rng, width, height), []
    for _ in range(rng.integers(1, most + 1)):
        kind = int(rng.integers(shapes))
        side = np.exp(rng.uniform(np.log(16), np.log(max(20, min(width, height) * 0.66))))
        centre = np.array([rng.uniform(side * 0.3, width - side * 0.3), rng.uniform(side * 0.3, height - side * 0.3)])
        cover = covering(rng, SHAPES[kind], side, centre, width, height)
        mask = cover >= 0.5
        under = picture[mask].mean(0) if mask.any() else np.zeros(3)
        colour = rng.uniform(0, 255, 3)
        while np.abs(colour - under).max() < 80:
            colour = rng.uniform(0, 255, 3)
        shade = np.linspace(rng.uniform(0.8, 1), rng.uniform(0.8, 1), width, dtype=np.float32)[None, :, None]
        picture = picture * (1 - cover[..., None]) + colour.astype(np.float32) * shade * cover[..., None]
        objects = [(k, m & ~mask, whole) for k, m, whole in objects] + [(kind, mask, mask.sum())]
    picture += rng.standard_normal((height, width, 1), dtype=np.float32) * 3
    seen = [(k, m) for k, m, whole in objects if m.sum() >= max(60, whole / 3)]
    return np.clip(picture, 0, 255).astype(np.uint8), seen


def box(mask):
    """x1, y1, x2, y2 of the visible pixels; x2 and y2 lie one past the last."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
