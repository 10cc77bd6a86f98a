#!/usr/bin/env python3
"""Hold `ocellus detect` with a network of `ocellus train detect` against ONNX Runtime.

    python tools/check_detector.py ./ocellus m.onnx PICTURES.. [--most 10]

The pictures are letterboxed to the network's size first and written as PNG, so that nothing but the network and its reading
differ. Boxes of ONNX Runtime's output are decoded here: per class, a score above 0.25, suppression by the `iou` of the
file. Each box must have its partner of the same class, scores within 1e-3 and sides within half a pixel. Needs numpy,
onnxruntime, opencv-python-headless.
"""
import argparse, ast, json, os, subprocess, sys, tempfile
import cv2
import numpy as np
import onnxruntime as ort

LEAST, PAD = 0.25, 114


def letterboxed(path, width, height):
    im = cv2.imread(path)
    gain = min(width / im.shape[1], height / im.shape[0])
    w, h = round(im.shape[1] * gain), round(im.shape[0] * gain)
    whole = np.full((height, width, 3), PAD, np.uint8)
    y, x = (height - h) // 2, (width - w) // 2
    whole[y:y + h, x:x + w] = cv2.resize(im, (w, h), interpolation=cv2.INTER_AREA)
    return whole


def iou(a, b):
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = lambda r: (r[2] - r[0]) * (r[3] - r[1])
    return wide * high / (area(a) + area(b) - wide * high)


def decoded(values, limit):
    """[(class, score, corners)] of an output 1 x (4 + classes) x cells."""
    boxes, scores = values[0, :4].T, values[0, 4:].T
    best = scores.argmax(1)
    order = [i for i in np.argsort(-scores.max(1), kind="stable") if scores[i, best[i]] > LEAST]
    kept = []
    for i in order:
        cx, cy, w, h = boxes[i]
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        if all(c != best[i] or iou(box, other) <= limit for c, _, other in kept):
            kept.append((best[i], float(scores[i, best[i]]), box))
    return kept


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("ocellus")
    ap.add_argument("model")
    ap.add_argument("pictures", nargs="+")
    ap.add_argument("--most", type=int, default=10)
    a = ap.parse_args()
    session = ort.InferenceSession(a.model, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    height, width = given.shape[2:]
    notes = session.get_modelmeta().custom_metadata_map
    names, limit = ast.literal_eval(notes["names"]), float(notes["iou"])
    worst, side, boxes, faults = 0.0, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        wanted = []
        for n, path in enumerate(a.pictures[:a.most]):
            im = letterboxed(path, width, height)
            cv2.imwrite(os.path.join(folder, f"{n:04}.png"), im)
            values = session.run(None, {given.name: im[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255})[0]
            wanted.append(decoded(values, limit))
        command = [a.ocellus, "detect", folder, "--model", a.model, "--conf", str(LEAST), "--json", "--quiet"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    for expected, record in zip(wanted, map(json.loads, lines), strict=True):
        found = [(d["label"], d["score"], d["box"]) for d in record["detections"]]
        for label, score, box in expected:
            # At the very border of the threshold either may have it alone.
            if score < LEAST + 1e-3:
                continue
            box = np.clip(box, 0, (width, height, width, height))
            partners = [f for f in found if f[0] == names[label] and np.abs(np.array(f[2]) - box).max() < 0.5
                        and abs(f[1] - score) < 1e-3]
            boxes += 1
            if not partners:
                faults += 1
                print(f"{record['path']}: no {names[label]} {score:.4f} at {np.round(box, 1)}")
                continue
            worst = max(worst, abs(partners[0][1] - score))
            side = max(side, np.abs(np.array(partners[0][2]) - box).max())
        faults += max(0, sum(f[1] > LEAST + 1e-3 for f in found) - sum(s > LEAST - 1e-3 for _, s, _ in expected))
    print(f"{len(wanted)} pictures, {boxes} boxes, {faults} without a partner; scores differ by {worst:.1e}, sides by "
          f"{side:.2f} px at most")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
