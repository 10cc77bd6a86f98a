#!/usr/bin/env python3
"""Training a detector from a YOLO data set: `ocellus train detect` against YOLOv8n from scratch, for the same minutes.

    python tools/peers/train_detect.py DATASET [--minutes 10] [--imgsz 640 1280] [--ocellus target/release/ocellus]

DATASET has a data.yaml with train, val and test (tools/sets/drawing_yolo.py makes one of drawings). YOLOv8n begins with
random weights (`yolov8n.yaml`); its `time=` ends the training. The batch is 4, since these are small sets, and so is nbs
unless told: with the package's own 64 a small set gets hardly a step of the optimiser in some minutes. All else are the
package's defaults. It is judged by its best.pt. One after the other, ocellus first, with as many threads each (--threads).

Both are judged on the test part by the same code, below: of each class the detections of all pictures by falling score,
each takes the free object that it overlaps most, from an IoU of 0.5 on; average precision is the mean, over 101 recalls, of
the best precision at that recall or a higher one (COCO's); mAP50 its mean over the classes that have objects there. At most
300 detections a picture, down to a score of 0.001. Best F1 is over all classes at one score, the best for the one judged.

Needs ultralytics 8.4.190 (AGPL-3.0: run, never copied into this tree), torch 2.5.1, numpy 2.4.6, pyyaml.
"""
import argparse, json, os, subprocess, sys, tempfile, time
from pathlib import Path

os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
import numpy as np
import yaml
from PIL import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
LEAST, MOST, OVERLAP = 0.001, 300, 0.5


def data_set(folder):
    """Names of the classes, and the pictures of the test part with their objects (class, box in pixels)."""
    layout = yaml.safe_load((folder / "data.yaml").read_text())
    names = layout["names"]
    names = [names[i] for i in sorted(names)] if isinstance(names, dict) else names
    if "test" not in layout:
        sys.exit(f"{folder}/data.yaml: has no test part, which both are judged on")
    root = folder / layout.get("path", ".")
    truth = {}
    for picture in sorted(p for p in (root / layout["test"]).rglob("*") if p.suffix.lower() in SUFFIXES):
        width, height = Image.open(picture).size
        file = Path(*("labels" if part == "images" else part for part in picture.parts)).with_suffix(".txt")
        objects = []
        for line in file.read_text().splitlines() if file.exists() else []:
            label, cx, cy, w, h = map(float, line.split())
            sides = (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
            objects.append((int(label), sides))
        truth[str(picture)] = objects
    return names, truth


def overlaps(box, others):
    others = np.asarray(others, float).reshape(-1, 4)
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    common = np.clip(wide, 0, None) * np.clip(high, 0, None)
    area = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    return common / ((box[2] - box[0]) * (box[3] - box[1]) + area - common + 1e-12)


def judge(found, truth, classes):
    """`found`: for each picture a list of (class, score, box). mAP50 and the best F1."""
    aps, every, wanted = [], [], 0
    for label in range(classes):
        objects = {p: [b for c, b in listed if c == label] for p, listed in truth.items()}
        count = sum(map(len, objects.values()))
        wanted += count
        ranked = sorted(((s, p, b) for p in truth for c, s, b in found.get(p, []) if c == label), key=lambda d: -d[0])
        taken = {p: np.zeros(len(listed), bool) for p, listed in objects.items()}
        hits = []
        for _, p, box in ranked:
            near = np.where(taken[p], 0, overlaps(box, objects[p])) if objects[p] else np.zeros(0)
            hit = bool(near.size and near.max() >= OVERLAP)
            if hit:
                taken[p][near.argmax()] = True
            hits.append(hit)
        every += zip((s for s, _, _ in ranked), hits)
        if count == 0:
            continue
        right = np.cumsum(hits)
        precision, recall = right / np.arange(1, len(hits) + 1), right / count
        best = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, np.linspace(0, 1, 101) - 1e-9)
        aps.append(np.append(best, 0)[np.minimum(at, len(hits))].mean())
    right = np.cumsum([hit for _, hit in sorted(every, key=lambda d: -d[0])])
    f1 = 2 * right / (np.arange(1, len(right) + 1) + wanted)
    return float(np.mean(aps)) if aps else 0.0, float(f1.max()) if len(f1) else 0.0


def ultralytics(args, size, truth, work):
    import torch
    from ultralytics import YOLO, settings
    from ultralytics.utils import torch_utils
    torch_utils.NUM_THREADS = args.threads  # training on a CPU goes back to this number: one fewer than there are
    torch.set_num_threads(args.threads)
    settings.update({k: False for k in ("clearml", "comet", "dvc", "mlflow", "neptune", "raytune", "tensorboard", "wandb")
                     if k in settings})
    layout = yaml.safe_load((args.dataset / "data.yaml").read_text())
    layout["path"] = str((args.dataset / layout.get("path", ".")).resolve())
    (work / "data.yaml").write_text(yaml.safe_dump(layout))
    started = time.time()
    model = YOLO("yolov8n.yaml")
    model.train(data=str(work / "data.yaml"), imgsz=size, time=args.minutes / 60, batch=args.batch, nbs=args.nbs,
                device="cpu", workers=0, cache="ram", seed=args.seed, plots=False, exist_ok=True, project=str(work),
                name=f"yolov8n-{size}", verbose=False)
    took = time.time() - started
    epochs = len((work / f"yolov8n-{size}/results.csv").read_text().splitlines()) - 1
    best = YOLO(str(work / f"yolov8n-{size}/weights/best.pt"))
    found = {}
    for picture in truth:
        boxes = best.predict(picture, imgsz=size, conf=LEAST, max_det=MOST, device="cpu", verbose=False)[0].boxes
        found[picture] = list(zip(boxes.cls.int().tolist(), boxes.conf.tolist(), boxes.xyxy.tolist()))
    return f"YOLOv8n {size}", took, f"{epochs} epochs", found


def ocellus(args, names, truth, work):
    model = work / "ocellus.onnx"
    command = [args.ocellus, "train", "detect", str(args.dataset), "--out", str(model), "--seed", str(args.seed),
               "--threads", str(args.threads), *args.train_args.split()]
    print(" ".join(command), file=sys.stderr)
    started = time.time()
    subprocess.run(command, check=True, stdout=sys.stderr)
    took = time.time() - started
    command = [args.ocellus, "detect", *truth, "--model", str(model), "--conf", str(LEAST), "--max-det", str(MOST), "--json",
               "--quiet", *args.detect_args.split()]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {}
    for record in map(json.loads, lines):
        if record["status"] != "ok":
            sys.exit(f"{record['path']}: {record['error']}")
        found[record["path"]] = [(names.index(d["label"]), d["score"], d["box"]) for d in record["detections"]]
    return "ocellus", took, f"{model.stat().st_size / 1e6:.1f} MB", found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, help="of YOLOv8n, instead of those that ocellus took")
    parser.add_argument("--imgsz", type=int, nargs="*", default=[640, 1280], help="of YOLOv8n; none leaves it out")
    parser.add_argument("--ocellus", default="target/release/ocellus")
    parser.add_argument("--train-args", default="", help="further ones of ocellus train detect, in one word")
    parser.add_argument("--detect-args", default="", help="further ones of ocellus detect, in one word")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--nbs", type=int, default=4, help="pictures that a step of YOLOv8n's optimiser is scaled to")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep the models in this folder")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    names, truth = data_set(args.dataset)
    print(f"{len(truth)} test pictures, {sum(map(len, truth.values()))} objects, {len(names)} classes", file=sys.stderr)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        work = args.work.resolve() if args.work else Path(work)
        work.mkdir(parents=True, exist_ok=True)
        runs = [lambda: ocellus(args, names, truth, work)]
        runs += [lambda size=size: ultralytics(args, size, truth, work) for size in args.imgsz]
        for run in runs:
            name, took, note, found = run()
            args.minutes = args.minutes or took / 60
            ap, f1 = judge(found, truth, len(names))
            rows.append((name, f"{took / 60:.1f}", f"{ap:.3f}", f"{f1:.3f}", note))
    print("| trained | minutes | mAP50 | best F1 | |\n|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
