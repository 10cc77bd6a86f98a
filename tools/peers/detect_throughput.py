"""Pictures a second of ocellus detect on all cores, and of ONNX Runtime with OpenCV on the same files and cores.

    python tools/peers/detect_throughput.py --ocellus target/release/ocellus PICTURES                     # NanoDet
    python tools/peers/detect_throughput.py --ocellus target/release/ocellus --model yolov8n.onnx PICTURES

numpy 1.26.4, onnxruntime 1.31.1, opencv 4.11.0.86. The peer reads with cv2.imread, resizes with cv2.resize and runs the same
ONNX file (for NanoDet the embedded one, models/nanodet-g.onnx) on all cores; it decodes no boxes, which favours it. The
two take turns, `--rounds` times; medians.
"""

import argparse
import statistics
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--ocellus", default=ROOT / "target/release/ocellus")
parser.add_argument("--model", type=Path)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("pictures", type=Path)
args = parser.parse_args()

files = sorted(str(p) for p in args.pictures.iterdir())
session = onnxruntime.InferenceSession(args.model or ROOT / "models/nanodet-g.onnx", providers=["CPUExecutionProvider"])
name, (_, _, height, width) = session.get_inputs()[0].name, session.get_inputs()[0].shape


def peer():
    for file in files:
        picture = cv2.imread(file)
        scale = min(width / picture.shape[1], height / picture.shape[0])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale)) if args.model else (width, height)
        small = np.full((height, width, 3), 114, np.uint8)
        small[:size[1], :size[0]] = cv2.resize(picture, size)
        session.run(None, {name: small.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)})


def ours():
    model = ["--model", str(args.model)] if args.model else []
    done = subprocess.run([str(args.ocellus), "detect", "--quiet", "--json", *model, str(args.pictures)], capture_output=True)
    assert done.returncode == 0, done.stderr


rates = {"ocellus": [], "ONNX Runtime": []}
for _ in range(args.rounds):
    for who, work in (("ocellus", ours), ("ONNX Runtime", peer)):
        start = time.perf_counter()
        work()
        rates[who].append(len(files) / (time.perf_counter() - start))
for who, found in rates.items():
    print(f"{who:<13} {statistics.median(found):.2f} pictures/s over {len(files)} pictures")
