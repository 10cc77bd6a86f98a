#!/usr/bin/env python3
"""Reads a YOLO data set as ultralytics does, for detect and for segment, and says what it makes of it.

usage: check_yolo.py DATASET [--task detect|segment|both]

DATASET is a folder with a data.yaml, or the file. Prints pictures and objects of each part and class. The exit code is 1
if ultralytics refuses a picture or a label file, removes labels, or warns; with `both`, a data set of boxes is read for
detect alone. Nothing is left behind: caches of a read are removed.
"""

import argparse
import logging
import sys
from collections import Counter
from pathlib import Path

from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset
from ultralytics.utils import LOGGER


class Heard(logging.Handler):
    """Keeps what ultralytics warns of."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines = []

    def emit(self, record):
        text = record.getMessage()
        words = ("corrupt", "duplicate labels", "should be equal", "missing", "WARNING")
        if record.levelno >= logging.WARNING or any(w in text for w in words):
            self.lines.append(text.strip())


def read(data, part, task, heard):
    """The objects of a part by class, and whether all of it was read."""
    folders = data[part] if isinstance(data[part], list) else [data[part]]
    caches_before = {c for f in folders for c in Path(f).parent.parent.rglob("*.cache")}
    dataset = YOLODataset(img_path=data[part], data=data, task=task, augment=False, cache=False, imgsz=64, rect=False)
    counts = Counter()
    polygons = 0
    for i, label in enumerate(dataset.labels):
        counts.update(int(c) for c in label["cls"][:, 0])
        polygons += len(label["segments"])
        picture = dataset.load_image(i)[0]
        if picture is None:
            heard.lines.append(f"{label['im_file']}: not decoded")
    for folder in folders:
        for cache in set(Path(folder).parent.parent.rglob("*.cache")) - caches_before:
            cache.unlink()
    names = data["names"]
    per_class = ", ".join(f"{names[c]} {n}" for c, n in sorted(counts.items())) or "none"
    print(f"{task} {part}: {len(dataset.labels)} pictures, {sum(counts.values())} objects ({per_class}), {polygons} polygons")
    return polygons


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--task", choices=["detect", "segment", "both"], default="both")
    args = parser.parse_args()
    file = args.dataset / "data.yaml" if args.dataset.is_dir() else args.dataset
    heard = Heard()
    LOGGER.addHandler(heard)
    data = check_det_dataset(str(file), autodownload=False)
    print(f"names: {data['names']}")
    parts = [p for p in ("train", "val", "test") if data.get(p)]
    polygons = 0
    if args.task != "segment":
        polygons = sum(read(data, part, "detect", heard) for part in parts)
    if args.task == "segment" or (args.task == "both" and polygons):
        for part in parts:
            read(data, part, "segment", heard)
    for line in heard.lines:
        print(f"ultralytics: {line}")
    return 1 if heard.lines else 0


if __name__ == "__main__":
    sys.exit(main())
