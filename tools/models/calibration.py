"""The photographs the rounding is calibrated on: all come inside two pinned wheels, nothing is downloaded.

They differ from the photographs of tests/images/features and from those the fidelity figures in models/PROVENANCE.md
were measured on. Six views of each give objects at several sizes.
"""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 224
PHOTOGRAPHS = [
    ("skimage", "data/motorcycle_left.png"), ("skimage", "data/gravel.png"), ("skimage", "data/ihc.png"),
    ("skimage", "data/retina.jpg"), ("skimage", "data/moon.png"), ("skimage", "data/coins.png"),
    ("sklearn", "datasets/images/china.jpg"), ("sklearn", "datasets/images/flower.jpg"),
]


def views(path, count, size=SIZE):
    """Up to seven views, uint8 RGB, size x size: the whole, the middle square, then five squares of half its side."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    side = min(width, height)
    half = side // 2
    boxes = [(0, 0, width, height)]
    for left, top, edge in [((width - side) // 2, (height - side) // 2, side), (0, 0, half),
                            (width - half, height - half, half), ((width - half) // 2, (height - half) // 2, half),
                            (width - half, 0, half), (0, height - half, half)]:
        boxes.append((left, top, left + edge, top + edge))
    return [np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box)) for box in boxes[:count]]


def normalised(pictures, mean, scale):
    """uint8 NHWC -> float32 NCHW; mean and scale are one number or one a channel."""
    batch = (np.stack(pictures).astype(np.float32) - np.float32(mean)) / np.float32(scale)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2))


def pictures(count, size=SIZE):
    """So many views of every photograph."""
    paths = [Path(importlib.util.find_spec(package).submodule_search_locations[0]) / name
             for package, name in PHOTOGRAPHS]
    return [view for path in paths for view in views(path, count, size)]


def batch(mean, scale):
    return normalised(pictures(6), mean, scale)
