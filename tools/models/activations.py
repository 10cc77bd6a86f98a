"""Gives the dense layers of an embedded network activations of 8 bits: QuantizeLinear and DequantizeLinear in front of each.

    python tools/models/activations.py models/NAME.onnx [--method mse|minmax] [--left NODE ..] [--text SET] [PHOTOGRAPH..]

NAME is an id of models/models.toml. The file is changed in place; pairs that it has already are made anew. Needs what
requirements.txt beside this file pins, and opencv-python-headless. Without PHOTOGRAPHs: those of calibration.py. SET is a folder
made by tools/sets/make_ocr_set.py (with another seed than that of the set which is measured with), for networks that read text.

A dense layer is a Conv of one group, a Gemm or a MatMul whose weights are stored in int8; those named with --left keep float
activations. The input of each gets one range for the whole tensor, 0 inside:

    scale = (high - low) / 255, zero = round(-low / scale), code = clip(round(x / scale) + zero, 0, 255)

minmax  the least and the greatest value seen
mse     cut where the squared error is least, of rounding inside and of clipping outside, over a histogram

Pictures go through one at a time, twice: for the limits, then for the histograms.
"""

import argparse
import hashlib
import importlib.util
import json
import tomllib
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from PIL import Image

import calibration

BINS = 4096
SHARES = [0.97 ** i for i in range(80)]  # of the limits seen: down to a tenth
WIDTHS = (64, 96, 128, 160, 224, 288, 384, 512, 672, 896, 1184, 1568, 2080)  # src/tasks/ocr/recognise.rs
VIEWS = 7  # of each photograph, as in calibration.py
TEXT = {"text-detection", "text-recognition", "text-orientation"}
ROOT = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------- the network
def plain(model):
    """The model without the rounding of activations that it may have."""
    quantized = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    sources = {n.output[0]: quantized[n.input[0]] for n in model.graph.node
               if n.op_type == "DequantizeLinear" and n.input[0] in quantized}
    gone = {name for n in model.graph.node if n.op_type == "QuantizeLinear" for name in n.input[1:]}
    nodes = [n for n in model.graph.node if n.output[0] not in sources and n.op_type != "QuantizeLinear"]
    for node in nodes:
        node.input[:] = [sources.get(name, name) for name in node.input]
    stored = [t for t in model.graph.initializer if t.name not in gone]
    for field, kept in ((model.graph.node, nodes), (model.graph.initializer, stored)):
        kept = [copied(item) for item in kept]
        del field[:]
        field.extend(kept)
    return model


def copied(item):
    copy = type(item)()
    copy.CopyFrom(item)
    return copy


def dense(model, left):
    """The nodes whose input becomes 8-bit."""
    stored = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    weights = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in stored}
    groups = lambda node: next((a.i for a in node.attribute if a.name == "group"), 1)
    return [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul") and groups(node) == 1
            and node.input[1] in weights and node.name not in left]


def rounded(model, nodes, found):
    """The model with a pair in front of every one of `nodes`, one for all that read a tensor."""
    readers = {id(node) for node in nodes}
    kept, done = [], set()
    for node in model.graph.node:
        source = node.input[0] if node.input else None
        if id(node) in readers:
            if source not in done:
                done.add(source)
                low, high = found[source]
                scale = np.float32((high - low) / 255)
                zero = np.uint8(np.clip(round(-low / float(scale)), 0, 255))
                how = [f"{source}.scale", f"{source}.zero"]
                model.graph.initializer.extend([numpy_helper.from_array(np.array(value), name)
                                                for value, name in zip((scale, zero), how)])
                kept.append(helper.make_node("QuantizeLinear", [source, *how], [f"{source}.codes"], f"{source}.quantize"))
                kept.append(helper.make_node("DequantizeLinear", [f"{source}.codes", *how], [f"{source}.rounded"],
                                             f"{source}.dequantize"))
            node.input[0] = f"{source}.rounded"
        kept.append(copied(node))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def opened(model, tensors):
    """A session that gives `tensors`, as the graph says: nothing is fused."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_tensor_value_info(t, onnx.TensorProto.FLOAT, None) for t in tensors)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])


# ---------------------------------------------------------------- pictures as ocellus prepares them
def specification(name):
    models = tomllib.loads((ROOT / "models/models.toml").read_text())["model"]
    return next(m for m in models if m["id"] == name)


def normalised(pixels, spec):
    """uint8 RGB -> 1 x 3 x H x W."""
    pixels = pixels[..., ::-1] if spec["colour"] == "bgr" else pixels
    batch = (pixels.astype(np.float32) - np.float32(spec["mean"])) / np.float32(spec["std"])
    return np.ascontiguousarray(batch.transpose(2, 0, 1)[None])


def resized(pixels, width, height, spec):
    """src/preprocess: OpenCV's bilinear, or PIL's, whose filter widens when it shrinks."""
    if spec.get("resample", "area") == "bilinear":
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def whole(pixels, spec):
    """A picture stretched to the network's size, or its middle if the network wants it cropped."""
    width, height = spec["size"]
    if spec["fit"] == "crop":
        rows, columns = pixels.shape[:2]
        share = min(rows / height, columns / width)
        h, w = round(height * share), round(width * share)
        top, left = (rows - h) // 2, (columns - w) // 2
        pixels = np.ascontiguousarray(pixels[top:top + h, left:left + w])
    return normalised(resized(pixels, width, height, spec), spec)


def page(pixels, spec):
    """src/tasks/ocr/find.rs."""
    rows, columns = pixels.shape[:2]
    if rows <= 30 or columns > 8 * rows:
        more = abs(2 * max(columns // 8, 30) - rows) // 2
        pixels = np.pad(pixels, ((more, more), (0, 0), (0, 0)))
        rows += 2 * more
    scale = min(max(736 / min(rows, columns), 1), 1600 / max(rows, columns))
    side = lambda length: max(round(length * scale / 32) * 32, 32)
    return normalised(resized(pixels, side(columns), side(rows), spec), spec)


def line(pixels, spec, widths=WIDTHS):
    """src/tasks/ocr/recognise.rs: at the network's height, zeros to its right."""
    height = spec["size"][1]
    width = min(max(int(np.ceil(height * pixels.shape[1] / pixels.shape[0])), 1), widths[-1])
    room = next(w for w in widths if w >= width)
    tensor = normalised(resized(pixels, width, height, spec), spec)
    return np.pad(tensor, ((0, 0), (0, 0), (0, 0), (0, room - width)))


def flattened(pixels, quad):
    """The line in `quad`, upright, as src/tasks/ocr/rectify.rs and RapidOCR cut it."""
    quad = np.float32(quad)
    width = int(max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[2] - quad[3])))
    height = int(max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2])))
    if min(width, height) < 2:
        return None
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    cut = cv2.warpPerspective(pixels, cv2.getPerspectiveTransform(quad, corners), (width, height),
                              flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(np.rot90(cut)) if height >= 1.5 * width else cut


def views(path):
    """The whole, the middle square, five squares of half its side (as calibration.py, not yet resized)."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    height, width = pixels.shape[:2]
    side = min(width, height)
    half = side // 2
    yield pixels
    for left, top, edge in [((width - side) // 2, (height - side) // 2, side), (0, 0, half),
                            (width - half, height - half, half), ((width - half) // 2, (height - half) // 2, half),
                            (width - half, 0, half), (0, height - half, half)][:VIEWS - 1]:
        yield np.ascontiguousarray(pixels[top:top + edge, left:left + edge])


def inputs(model, photographs, text):
    """What the network is shown, one input after another."""
    spec, task = model["input"], model["task"]
    if task in TEXT:
        for image in json.loads((text / "truth.json").read_text())["images"]:
            pixels = np.asarray(Image.open(text / image["file"]).convert("RGB"))
            if task == "text-detection":
                yield page(pixels, spec)
                continue
            for written in image["lines"]:
                cut = flattened(pixels, written["quad"])
                if cut is not None and task == "text-recognition":
                    yield line(cut, spec)
                elif cut is not None:
                    yield line(cut, spec, spec["size"][:1])
                    yield line(np.ascontiguousarray(cut[::-1, ::-1]), spec, spec["size"][:1])
    if task in TEXT - {"text-detection"}:
        return
    for path in photographs:
        for n, view in enumerate(views(path)):
            if task == "text-detection":
                if n < 2:
                    yield page(view, spec)
            else:
                yield whole(view, spec)


# ---------------------------------------------------------------- ranges
def histograms(network, tensors, source):
    """Least and greatest value and a histogram between them, of each tensor; `source()` gives the inputs again and again."""
    session, name = opened(network, tensors), network.graph.input[0].name
    limits = {t: [0.0, 0.0] for t in tensors}  # 0 has to be inside
    for batch in source():
        for tensor, value in zip(tensors, session.run(tensors, {name: batch})):
            low, high = limits[tensor]
            limits[tensor] = [min(low, float(value.min())), max(high, float(value.max()))]
    counts = {t: np.zeros(BINS, np.int64) for t in tensors}
    for batch in source():
        for tensor, value in zip(tensors, session.run(tensors, {name: batch})):
            low, high = limits[tensor]
            if high > low:
                at = ((value.ravel() - np.float32(low)) * np.float32(BINS / (high - low))).astype(np.int32)
                counts[tensor] += np.bincount(np.clip(at, 0, BINS - 1), minlength=BINS)
    return limits, counts


def least_error(limits, count):
    low, high = limits
    edges = np.linspace(low, high, BINS + 1)
    used = count > 0
    middle, weight = ((edges[1:] + edges[:-1]) / 2)[used], count[used] / count.sum()
    best = None
    # An end that hardly reaches is not worth a search of its own.
    lows = SHARES if low < -0.02 * high else [1.0]
    highs = SHARES if high > -0.02 * low else [1.0]
    for a in lows:
        for b in highs:
            scale = (high * b - low * a) / 255
            zero = np.round(-low * a / scale)
            off = (np.clip(np.round(middle / scale) + zero, 0, 255) - zero) * scale - middle
            error = float(off * off @ weight)
            if best is None or error < best[0]:
                best = error, [low * a, high * b]
    return best[1]


def ranges(limits, counts, method):
    result = {}
    for tensor, limit in limits.items():
        if method != "minmax" and limit[1] > limit[0]:
            limit = least_error(limit, counts[tensor])
        result[tensor] = limit if limit[1] > limit[0] else [0.0, 1.0]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("photographs", nargs="*", type=Path)
    parser.add_argument("--method", choices=["mse", "minmax"], default="mse")
    parser.add_argument("--left", nargs="*", default=[])
    parser.add_argument("--text", type=Path)
    args = parser.parse_intermixed_args()
    network, model = plain(onnx.load(args.file)), specification(args.file.stem)
    if model["task"] in TEXT and not args.text:
        parser.error("this network reads text: --text SET")
    photographs = args.photographs
    if not photographs and model["task"] not in TEXT:
        photographs = [Path(importlib.util.find_spec(package).submodule_search_locations[0]) / name
                       for package, name in calibration.PHOTOGRAPHS]
    nodes = dense(network, args.left)
    tensors = list(dict.fromkeys(n.input[0] for n in nodes))
    limits, counts = histograms(network, tensors, lambda: inputs(model, photographs, args.text))
    network = rounded(network, nodes, ranges(limits, counts, args.method))
    onnx.checker.check_model(network)
    args.file.write_bytes(network.SerializeToString(deterministic=True))
    digest = hashlib.sha256(args.file.read_bytes()).hexdigest()
    print(f"{args.file}: {len(nodes)} dense layers read {len(tensors)} tensors in 8 bits; "
          f"{args.file.stat().st_size:,} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
