"""ocellus detect and mask against ultralytics: the same objects, the same masks, how long does each take?

    python tools/peers/detect_ultralytics.py --model yolov8n-seg.onnx --ocellus target/release/ocellus PICTURES

Needs what tools/reference_yolo.py needs (ultralytics 8.4.190, AGPL-3.0, run only). One thread each, the same ONNX file, the
same run; the two take turns over the folder, `--rounds` times. Objects are paired within a class, the pair of the highest
IoU first, down to IoU 0.5. Masks, if the network has them, are compared as the union of a class's masks in a picture:
ocellus's are read from the PNG files of `ocellus mask --convention plain` whose name starts with the picture's; a file
name that goes on with a label is that class, any other is all classes together.

Times are medians over pictures and rounds. ultralytics' are its own figures (preprocess, inference, postprocess), which
leave out reading the file; the time its reader takes is printed beside them. With a segmentation network its postprocess
includes the masks at the picture's size, which `ocellus detect` does not make: the fair ratio is that of `ocellus mask`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np
from PIL import Image

from reference_yolo import CONF, IOU, detections, metadata, predictor

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
PAIRED = 0.5


def ocellus_detect(args):
    """Each picture's record, by file name."""
    command = [args.ocellus, "detect", "--json", "--quiet", "--threads", "1", "--model", args.model, "--conf", str(args.conf),
               "--iou", str(args.iou), args.pictures]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 and not records:
        sys.exit(f"{args.ocellus} failed: {done.stderr}")
    return {Path(r["path"]).name: r for r in records if r["type"] == "detect"}


def ocellus_masks(args, pictures, labels):
    """Each picture's masks, by label (under None all classes together), and the milliseconds a picture if it tells."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [args.ocellus, "mask", "--json", "--quiet", "--threads", "1", "--model", args.model, "--conf", str(args.conf), "--iou",
                   str(args.iou), "--convention", "plain", "--out", folder, args.pictures]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"masks not compared: ocellus mask failed: {done.stderr.strip()}")
            return None, []
        times = [r["ms"] for r in map(json.loads, done.stdout.splitlines()) if "ms" in r]
        files = sorted(Path(folder).rglob("*.png"))
        for picture in pictures:
            masks = found[picture.name] = {}
            for file in files:
                rest = file.name[len(picture.stem):]
                if not file.name.startswith(picture.stem) or any(
                        file.name.startswith(other.stem) and len(other.stem) > len(picture.stem) for other in pictures):
                    continue
                label = max((label for label in labels if label in rest), key=len, default=None)
                mask = np.asarray(Image.open(file).convert("L")) >= 128
                masks[label] = masks[label] | mask if label in masks else mask
    return found, times


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    if union <= 0:  # both cut to nothing: the object lay in the letterbox's border
        return float(max(abs(v - w) for v, w in zip(a, b)) < 0.5)
    return inter / union


def pair(ours, theirs):
    """Pairs (IoU, ours, theirs) of the same class, and what is left of each."""
    close = sorted(((iou(a["box"], b["box"]), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs)
                    if a["class"] == b["class"]), reverse=True)
    pairs, left, right = [], set(range(len(ours))), set(range(len(theirs)))
    for overlap, i, j in close:
        if overlap >= PAIRED and i in left and j in right:
            pairs.append((overlap, ours[i], theirs[j]))
            left.remove(i), right.remove(j)
    return pairs, [ours[i] for i in sorted(left)], [theirs[j] for j in sorted(right)]


def mask_ious(ours, theirs):
    """(picture, label, IoU) of the union masks; ours by picture and label, theirs objects by picture."""
    result = []
    for name, objects in theirs.items():
        labels = {o["label"] for o in objects} | {label for label in ours[name] if label is not None}
        labels = {None} if set(ours[name]) == {None} else labels
        for label in sorted(labels, key=str):
            wanted = [o["mask"] != 0 for o in objects if label in (None, o["label"])]
            shape = next((m.shape for m in [*wanted, *ours[name].values()]), (1, 1))
            a, b = ours[name].get(label, np.zeros(shape, bool)), np.logical_or.reduce(wanted or [np.zeros(shape, bool)])
            if a.shape != b.shape:
                sys.exit(f"{name}: a mask of {a.shape}, expected {b.shape}")
            union = (a | b).sum()
            if union:
                result.append((name, label or "all classes", (a & b).sum() / union))
    return result


def show(kind, name, objects):
    for o in objects:
        print(f"  only {kind:<11} {name}  {o['label']}  {o['score']:.4f}  [{', '.join(f'{v:.1f}' for v in o['box'])}]")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--ocellus", default=Path(__file__).resolve().parents[2] / "target/release/ocellus")
    parser.add_argument("--conf", type=float, default=CONF)
    parser.add_argument("--iou", type=float, default=IOU)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("pictures", type=Path)
    args = parser.parse_args()
    pictures = sorted(p for p in args.pictures.iterdir() if p.suffix.lower() in SUFFIXES)
    segments = metadata(args.model)["task"] == "segment"
    predict = predictor(args.model, args.conf, args.iou)
    from ultralytics.utils.patches import imread
    ours_ms, theirs_ms, reading = [], {"preprocess": [], "inference": [], "postprocess": []}, []
    whole, theirs = [], {}
    for _ in range(args.rounds):
        ours = ocellus_detect(args)
        ours_ms += [r["ms"] for r in ours.values() if r["status"] == "ok"]
        for picture in pictures:
            start = time.perf_counter()
            imread(picture)
            reading.append((time.perf_counter() - start) * 1000)
            result = predict(picture)
            theirs[picture.name] = detections(result)
            whole.append(sum(result.speed.values()))
            for stage, times in theirs_ms.items():
                times.append(result.speed[stage])

    pairs, counts, unmatched = [], [0, 0], [0, 0]
    for picture in pictures:
        record = ours.get(picture.name)
        if record is None or record["status"] != "ok":
            print(f"  ocellus has no result for {picture.name}: {record}")
            continue
        matched, left, right = pair(record["detections"], theirs[picture.name])
        pairs += matched
        counts = [counts[0] + len(record["detections"]), counts[1] + len(theirs[picture.name])]
        unmatched = [unmatched[0] + len(left), unmatched[1] + len(right)]
        show("ocellus", picture.name, left)
        show("ultralytics", picture.name, right)
    print(f"{args.model.name}, {len(pictures)} pictures, conf {args.conf}, iou {args.iou}, one thread each")
    print(f"detections   ocellus {counts[0]}, ultralytics {counts[1]}; unmatched: ocellus {unmatched[0]}, ultralytics {unmatched[1]}")
    if pairs:
        overlaps = [p[0] for p in pairs]
        print(f"box IoU      worst {min(overlaps):.4f}, median {statistics.median(overlaps):.4f}  (n = {len(overlaps)})")
        print(f"score        worst difference {max(abs(a['score'] - b['score']) for _, a, b in pairs):.5f}")
    masks, masks_ms = ocellus_masks(args, pictures, {o["label"] for f in theirs.values() for o in f}) if segments else (None, [])
    if masks is not None:
        found = mask_ious(masks, theirs)
        for name, label, overlap in sorted(found, key=lambda f: f[2])[:5]:
            print(f"  mask IoU {overlap:.4f}  {name}  {label}")
        if found:
            overlaps = [f[2] for f in found]
            print(f"mask IoU     worst {min(overlaps):.4f}, median {statistics.median(overlaps):.4f}  (n = {len(overlaps)})")
    median = statistics.median
    stages = ", ".join(f"{stage} {median(times):.1f}" for stage, times in theirs_ms.items())
    print(f"ms a picture ocellus {median(ours_ms):.1f}, ultralytics {median(whole):.1f} ({stages}; reading the file {median(reading):.1f})")
    for name, times in (("detect", ours_ms), ("mask", masks_ms)):
        if times:
            print(f"ratio        {name} {median(times):.1f} / {median(whole):.1f} = {median(times) / median(whole):.2f}, "
                  f"with its reading {median(times) / (median(whole) + median(reading)):.2f}")


if __name__ == "__main__":
    main()
