"""Trains a real YOLOv8n-seg on made pictures, to have weights that find something without downloading any.

    python tools/peers/train_shapes.py --out shapes

Needs ultralytics 8.4.190 (AGPL-3.0) with torch 2.5.1: what it writes (shapes-seg.onnx, also shapes-seg-320.onnx, and the
pictures shapes/*.png) is used to compare ocellus with ultralytics and never committed. 5 classes, 320x320, no network.
"""
import argparse, os, pathlib, shutil, sys

os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "models"))
from made_shapes import SHAPES, scene

SIZES = [(1280, 720), (333, 500), (1920, 1080), (97, 411), (640, 640), (640, 480), (411, 97), (320, 320), (800, 600), (501, 333),
         (1000, 250), (224, 224), (719, 1281), (1023, 767), (65, 64), (353, 287), (600, 601), (1500, 400), (161, 320), (480, 854)]


def labels(objects, width, height):
    """YOLO segmentation labels: the class and its visible outline (the largest part), relative to the picture."""
    lines = []
    for kind, mask in objects:
        outlines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        points = max(outlines, key=cv2.contourArea).reshape(-1, 2) + 0.5
        if len(points) >= 6:
            lines.append(" ".join([str(kind), *(f"{v:.5f}" for v in (points / (width, height)).ravel())]))
    return "\n".join(lines)


def make(folder, seed, count):
    (folder / "images").mkdir(parents=True), (folder / "labels").mkdir()
    for i in range(count):
        pixels, objects = scene(np.random.default_rng([seed, i]), 320, 320, len(SHAPES))
        Image.fromarray(pixels).save(folder / f"images/{i:04}.png")
        (folder / f"labels/{i:04}.txt").write_text(labels(objects, 320, 320))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pictures", type=int, default=480)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    work = args.out / "shapes-training"
    shutil.rmtree(work, ignore_errors=True)
    make(work / "train", 1, args.pictures), make(work / "val", 2, 40)
    names = "\n".join(f"  {i}: {name}" for i, name in enumerate(SHAPES))
    (work / "data.yaml").write_text(f"path: {work}\ntrain: train/images\nval: val/images\nnames:\n{names}\n")
    (args.out / "shapes").mkdir(exist_ok=True)
    for i, (width, height) in enumerate(SIZES):
        pixels, _ = scene(np.random.default_rng([3, i]), width, height, len(SHAPES), 10)
        Image.fromarray(pixels).save(args.out / f"shapes/{i:02}-{width}x{height}.png")

    from ultralytics import YOLO
    model = YOLO("yolov8n-seg.yaml")
    model.train(data=str(work / "data.yaml"), imgsz=320, epochs=args.epochs, batch=8, device="cpu", workers=0, seed=0,
                cache="ram", amp=False, mosaic=0, optimizer="AdamW", lr0=2e-3, cos_lr=True, warmup_epochs=1, plots=False,
                overlap_mask=False, hsv_h=0.3, flipud=0.5, project=str(work), name="run", exist_ok=True)
    best = YOLO(work / "run/weights/last.pt")
    print(best.val(data=str(work / "data.yaml"), imgsz=320, device="cpu", plots=False, workers=0).results_dict)
    for side, name in ((320, "shapes-seg-320.onnx"), (640, "shapes-seg.onnx")):
        shutil.move(best.export(format="onnx", imgsz=side, opset=17, device="cpu"), args.out / name)


if __name__ == "__main__":
    main()
