"""Draws a made shop floor, trains a very small YOLIC network on it and writes it as the YOLIC authors' scripts give it.

    python tools/models/made_yolic.py            # tests/models/made-yolic*.onnx, -cells.json, tests/images/floor/*.png, reference
    python tools/models/made_yolic.py reference  # tests/reference/yolic.json alone

Pinned: numpy 1.26.4, onnx 1.16.2, onnxruntime 1.31.1, opencv 4.11.0.86, pillow 13.0.0, torch 2.5.1, torchvision 0.20.1; a few
minutes on one core, fixed seed. The networks exist for the tests. Pictures, training and weights are our own; the layout is
YOLIC's (Su et al., Image and Vision Computing 2024): torchvision's MobileNetV2, here a tenth as wide, with the last layer
replaced by one of N x (M + 1) values. Nothing comes from the YOLIC repositories.

- made-yolic.onnx: input 1 x 3 x 224 x 224, BGR 0..1, output the values before the sigmoid, no metadata: torch.onnx.export
  of the trained module
- made-yolic-own.onnx: random weights on the means of the colours, sides open, the sigmoid inside, configuration in the
  metadata, RGB 0..1: laid out as ocellus writes what it trains
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw
from torchvision.models import mobilenet_v2

ROOT = Path(__file__).resolve().parents[2]
MODEL, OWN = ROOT / "tests/models/made-yolic.onnx", ROOT / "tests/models/made-yolic-own.onnx"
CONFIG, PICTURES, REFERENCE = ROOT / "tests/models/made-yolic-cells.json", ROOT / "tests/images/floor", ROOT / "tests/reference/yolic.json"
LABELS, SHORT = ["Person", "Pallet", "Cone"], ["Pe", "Pa", "Co"]
WIDTH, HEIGHT, SIDE = 320, 240, 224
SCENES, EPOCHS, BATCH, RATE = 1500, 5, 16, 4e-3
ROWS = [0.30, 0.42, 0.62, 1.0]  # floor lines, in shares of the height
NAMES = ["aisle-320x240", "clear-320x240", "crowd-320x240"]
SEEDS = (38, 16, 18)


def edge(column, y):
    """Where the border left of a column of cells, 0 to 3, is at height y: the floor runs away from the camera."""
    spread = 0.16 + 0.62 * (y - ROWS[0]) / (1 - ROWS[0])
    return min(1.0, max(0.0, 0.5 + (column - 1.5) / 1.5 * spread))


def cells():
    """Nine pieces of the floor, from the back, then the wall left and right."""
    areas = []
    for top, bottom in zip(ROWS, ROWS[1:]):
        for c in range(3):
            points = [(edge(c, top), top), (edge(c + 1, top), top), (edge(c + 1, bottom), bottom), (edge(c, bottom), bottom)]
            areas.append(["polygon", *(round(v, 4) for p in points for v in p)])
    return areas + [["rectangle", 0.0, 0.05, 0.3, 0.25], ["rectangle", 0.7, 0.05, 0.3, 0.25]]


def config():
    areas = cells()
    return {"Labels": {"LabelList": LABELS, "LabelAbbreviation": SHORT, "LabelNumber": len(LABELS)},
            "COIs": {"COINumber": len(areas), **{str(i + 1): a for i, a in enumerate(areas)}}}


def masks():
    result = []
    for kind, *v in cells():
        canvas = Image.new("L", (WIDTH, HEIGHT))
        x, y = v[0] * WIDTH, v[1] * HEIGHT
        points = ([(x, y), (x + v[2] * WIDTH, y), (x + v[2] * WIDTH, y + v[3] * HEIGHT), (x, y + v[3] * HEIGHT)]
                  if kind == "rectangle" else [(v[i] * WIDTH, v[i + 1] * HEIGHT) for i in range(0, len(v), 2)])
        ImageDraw.Draw(canvas).polygon(points, fill=1)
        result.append(np.asarray(canvas).astype(bool))
    return result


def floor(rng):
    """A wall, a floor with the marks of an aisle, light from one side."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), tuple(int(v) for v in rng.integers(150, 200, 3)))
    draw, horizon = ImageDraw.Draw(picture), ROWS[0] * HEIGHT
    draw.rectangle([0, horizon, WIDTH, HEIGHT], fill=tuple(int(v) for v in rng.integers(90, 140) + rng.integers(-8, 9, 3)))
    for c in (0, 3):
        draw.line([(edge(c, ROWS[0]) * WIDTH, horizon), (edge(c, 1) * WIDTH, HEIGHT)], fill=(225, 205, 60), width=4)
    for x in rng.integers(0, WIDTH, 3):
        draw.line([(int(x), 0), (int(x), horizon)], fill=(120, 120, 125), width=2)
    return picture


def put(rng, picture, kind, x, y):
    """Draws one thing whose foot is at (x, y); farther is smaller. Gives its mask."""
    size = HEIGHT * (0.10 + 0.55 * (y / HEIGHT - ROWS[0])) * rng.uniform(0.85, 1.2)
    mask = Image.new("L", picture.size)
    colour, onto = ImageDraw.Draw(picture), ImageDraw.Draw(mask)

    def shape(name, points, fill):
        getattr(colour, name)(points, fill=tuple(int(v) for v in fill))
        getattr(onto, name)(points, fill=1)

    if kind == 0:
        cloth = rng.integers(20, 235, 3)
        shape("rectangle", [x - size * 0.13, y - size * 0.5, x + size * 0.13, y], rng.integers(20, 80, 3))
        shape("rectangle", [x - size * 0.2, y - size, x + size * 0.2, y - size * 0.45], cloth)
        shape("ellipse", [x - size * 0.13, y - size * 1.28, x + size * 0.13, y - size], (215, 170, 140) * rng.uniform(0.6, 1.1, 3))
    elif kind == 1:
        wood = np.array([170, 125, 70]) * rng.uniform(0.8, 1.15)
        shape("rectangle", [x - size * 0.5, y - size * 0.7, x + size * 0.5, y], wood)
        for i in range(1, 4):
            colour.line([x - size * 0.5, y - size * 0.7 * i / 4, x + size * 0.5, y - size * 0.7 * i / 4], fill=(90, 60, 30), width=2)
    else:
        orange = (240, rng.integers(90, 125), 20)
        shape("polygon", [(x - size * 0.25, y), (x + size * 0.25, y), (x, y - size * 0.6)], orange)
        colour.rectangle([x - size * 0.1, y - size * 0.32, x + size * 0.1, y - size * 0.22], fill=(240, 240, 240))
    return np.asarray(mask).astype(bool)


def scene(rng, things, most=4):
    """One picture, uint8 RGB, and what is in its cells: N x (M + 1) of 0 and 1."""
    picture, seen = floor(rng), []
    # From the back, so that the near hides the far.
    for y in sorted(rng.uniform(ROWS[0] + 0.03, 0.97, rng.integers(0, most + 1)) * HEIGHT):
        kind, x = int(rng.integers(3)), rng.uniform(0.05, 0.95) * WIDTH
        mask = put(rng, picture, kind, x, y)
        seen = [(k, m & ~mask) for k, m in seen] + [(kind, mask)]
    bits = np.zeros((len(things), len(LABELS) + 1), int)
    for kind, mask in seen:
        for i, cell in enumerate(things):
            common = (mask & cell).sum()
            bits[i, kind] |= common > 0.15 * cell.sum() or (mask.any() and common > 0.4 * mask.sum())
    bits[:, -1] = ~bits[:, :-1].any(1)
    pixels = np.asarray(picture).astype(np.float32)
    shade = np.linspace(*rng.uniform(0.75, 1.1, 2), WIDTH)[None, :, None]
    return np.clip(pixels * shade + rng.standard_normal(pixels.shape) * 2, 0, 255).astype(np.uint8), bits


def fed(pixels, bgr=True):
    """RGB pixels as the network is fed: 3 x 224 x 224, 0..1."""
    small = cv2.resize(pixels[..., ::-1] if bgr else pixels, (SIDE, SIDE))
    return np.ascontiguousarray(small.transpose(2, 0, 1)).astype(np.float32) / 255


def train():
    torch.manual_seed(7), torch.set_num_threads(1)
    things = masks()
    made = [scene(np.random.default_rng([8, i]), things) for i in range(SCENES)]
    x = np.stack([np.round(fed(p) * 255).astype(np.uint8) for p, _ in made])
    y = torch.tensor(np.stack([b.ravel() for _, b in made]), dtype=torch.float32)
    net = mobilenet_v2(width_mult=0.1)
    net.classifier[1] = nn.Linear(1280, y.shape[1])
    steps = EPOCHS * (SCENES // BATCH)
    rate = torch.optim.AdamW(net.parameters(), lr=RATE)
    plan = torch.optim.lr_scheduler.OneCycleLR(rate, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        net.train()
        order = torch.randperm(SCENES)
        for i in range(SCENES // BATCH):
            take = order[i * BATCH:(i + 1) * BATCH]
            found = net(torch.from_numpy(x[take.numpy()]).float() / 255)
            loss = nn.functional.binary_cross_entropy_with_logits(found, y[take])
            rate.zero_grad(), loss.backward(), rate.step(), plan.step()
        print(epoch, round(float(loss), 4), flush=True)
    net.eval()
    dummy = torch.zeros(1, 3, SIDE, SIDE)
    torch.onnx.export(net, dummy, str(MODEL), opset_version=17, input_names=["input"], output_names=["output"], dynamo=False)
    test = [scene(np.random.default_rng([9, i]), things) for i in range(200)]
    with torch.no_grad():
        bits = torch.cat([net(torch.from_numpy(fed(p))[None]) > 0 for p, _ in test]).numpy().reshape(200, len(things), -1)[..., :-1]
    truth = np.stack([b for _, b in test])[..., :-1] > 0
    hit = (bits & truth).sum()
    print("F1 on 200 unseen pictures", 2 * hit / (bits.sum() + truth.sum()))


def own():
    """A network of a few bytes in the layout of those that ocellus trains."""
    rng, values = np.random.default_rng(11), len(cells()) * (len(LABELS) + 1)
    stored = [numpy_helper.from_array(rng.standard_normal((3, values)).astype(np.float32) * 6, "weights"),
              numpy_helper.from_array(rng.standard_normal(values).astype(np.float32), "bias")]
    nodes = [helper.make_node("GlobalAveragePool", ["images"], ["means"]), helper.make_node("Flatten", ["means"], ["flat"]),
             helper.make_node("Gemm", ["flat", "weights", "bias"], ["sums"]), helper.make_node("Sigmoid", ["sums"], ["scores"])]
    graph = helper.make_graph(
        nodes, "own", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, values])], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"task": "cells", "imgsz": "[192, 256]", "fit": "stretch", "cells": json.dumps(config()),
                                   "names": str(dict(enumerate(LABELS))), "stride": "32", "author": "tools/models/made_yolic.py"})
    onnx.checker.check_model(model)
    onnx.save(model, OWN)


def pictures():
    PICTURES.mkdir(parents=True, exist_ok=True)
    things = masks()
    for name, seed in zip(NAMES, SEEDS):
        pixels, bits = scene(np.random.default_rng([30, seed]), things)
        # Few colours, so that the grain compresses.
        Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)
        (PICTURES / f"{name}.txt").write_text(" ".join(map(str, bits.ravel())) + "\n")


def reference():
    """What ONNX Runtime gives for the pictures, behind the sigmoid, with either order of the colours."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    found = []
    for name in NAMES:
        pixels = np.asarray(Image.open(PICTURES / f"{name}.png").convert("RGB"))
        scores = {key: [round(float(v), 6) for v in 1 / (1 + np.exp(-session.run(None, {"input": fed(pixels, key == "bgr")[None]})[0][0].astype(float)))]
                  for key in ("bgr", "rgb")}
        found.append({"file": f"tests/images/floor/{name}.png", **scores})
    packages = {p: version(p) for p in ("onnxruntime", "numpy", "opencv-python-headless", "torch", "torchvision")}
    REFERENCE.write_text(json.dumps({"made_with": packages, "model": MODEL.name, "pictures": found}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=["all", "pictures", "reference"], default="all")
    part = parser.parse_args().part
    if part != "reference":
        CONFIG.write_text(json.dumps(config(), indent=1) + "\n")
        pictures()
    if part == "all":
        own(), train()
    if part != "pictures":
        reference()
