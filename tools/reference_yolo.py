"""Makes the reference detections and masks of the YOLO networks: what ultralytics itself finds with the same ONNX file.

    python tools/reference_yolo.py   # tests/models/made-*.onnx over tests/images/shapes -> tests/reference/yolo.json
    python tools/reference_yolo.py --models *.onnx --pictures shapes --out reference.json

Needs ultralytics 8.4.190 (AGPL-3.0: run, never copied into this tree), torch 2.5.1, onnxruntime 1.31.1, opencv 4.11.0.86.
Confidence above 0.25, suppression at IoU 0.7 within a class, at most 300 objects. Boxes are x1, y1, x2, y2 in pixels of the
picture. A mask covers the whole picture, row by row: the length of the run of background it begins with (0 if none), then
of object, of background, and so on. It is what `retina_masks=True` gives.

A file with a fixed input size gets every picture letterboxed to that size. One with a free size gets the picture's own
proportions: the longer side 640, the shorter padded to a multiple of 32 only.
"""

import argparse
import ast
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
import cv2
import numpy as np
import onnxruntime
import torch

ROOT = Path(__file__).resolve().parents[1]
CONF, IOU, MOST = 0.25, 0.7, 300
PACKAGES = ["ultralytics", "torch", "torchvision", "onnxruntime", "opencv-python-headless", "numpy"]


class OneThread(onnxruntime.InferenceSession):
    """ultralytics passes no session options, so the number of threads is set here."""

    def __init__(self, path, options=None, **others):
        options = options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        super().__init__(path, options, **others)


def metadata(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map


def predictor(path, conf=CONF, iou=IOU, retina_masks=True):
    """A function from a picture's path to ultralytics' result, one thread throughout."""
    onnxruntime.InferenceSession, kept = OneThread, onnxruntime.InferenceSession
    from ultralytics import YOLO
    net = YOLO(str(path), task=metadata(path)["task"])

    def predict(picture):
        return net.predict(str(picture), device="cpu", conf=conf, iou=iou, max_det=MOST, retina_masks=retina_masks,
                           verbose=False, save=False)[0]

    net.predict(np.zeros((64, 64, 3), np.uint8), device="cpu", verbose=False)  # loads the file
    onnxruntime.InferenceSession = kept
    torch.set_num_threads(1), cv2.setNumThreads(1)
    return predict


def detections(result):
    """class, label, score, box and, from a segmentation network, mask (uint8, picture size) of each object."""
    masks = [None] * len(result.boxes) if result.masks is None else result.masks.data.numpy()
    return [{"class": int(c), "label": result.names[int(c)], "score": float(s), "box": b.tolist(), "mask": m}
            for c, s, b, m in zip(result.boxes.cls, result.boxes.conf, result.boxes.xyxy, masks)]


def runs(mask):
    """Lengths of the runs, row by row, background first."""
    flat = np.concatenate([[0], mask.ravel() != 0, [0]]).astype(np.int8)
    ends = np.flatnonzero(np.diff(flat))
    lengths = np.diff(np.concatenate([[0], ends, [mask.size]]))
    return lengths[:-1].tolist() if lengths[-1] == 0 else lengths.tolist()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reference(path, pictures):
    predict, found = predictor(path), []
    for picture in pictures:
        result = predict(picture)
        height, width = result.orig_shape
        objects = detections(result)
        for object in objects:
            object["score"] = round(object["score"], 6)
            object["box"] = [round(v, 4) for v in object["box"]]
            object["mask"] = None if object["mask"] is None else runs(object["mask"])
            if object["mask"] is None:
                del object["mask"]
        found.append({"file": picture.name, "sha256": sha256(picture), "width": width, "height": height, "detections": objects})
    properties = metadata(path)
    print(f"{path.name}: {[len(p['detections']) for p in found]}")
    return {"sha256": sha256(path), "task": properties["task"], "names": list(ast.literal_eval(properties["names"]).values()),
            "pictures": found}


def dump(value, indent=""):
    """JSON with a line for each object found, and for each list of plain values."""
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or "class" in value or not any(isinstance(v, (dict, list)) for v in items):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {dump(v, inner)}" for key, v in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + dump(v, inner) for v in value) + f"\n{indent}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", type=Path, default=sorted((ROOT / "tests/models").glob("made-*.onnx")))
    parser.add_argument("--pictures", type=Path, default=ROOT / "tests/images/shapes")
    parser.add_argument("--out", type=Path, default=ROOT / "tests/reference/yolo.json")
    args = parser.parse_args()
    pictures = sorted(args.pictures.glob("*.png"))
    result = {"made_by": "tools/reference_yolo.py", "versions": {name: version(name) for name in PACKAGES},
              "conf": CONF, "iou": IOU, "most": MOST,
              "models": {path.name: reference(path, pictures) for path in args.models}}
    args.out.write_text(dump(result) + "\n")


if __name__ == "__main__":
    main()
