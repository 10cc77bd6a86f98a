"""Makes the three networks of ocellus ocr from the PyPI package rapidocr 3.10.0 (Apache-2.0; the networks are PaddleOCR's).

    pip download --no-deps rapidocr==3.10.0
    python tools/models/pp_ocr.py rapidocr-3.10.0-py3-none-any.whl models [--float]

Pinned: see requirements.txt beside this file. Writes pp-ocrv6-det.onnx, pp-ocrv6-rec.onnx and pp-ocr-cls.onnx.
Input `image`, 1 x 3 x H x W, BGR, (x / 255 - 0.5) / 0.5; outputs: `text` 1 x 1 x H x W, the probability of text; `logits`
1 x W/8 x 18710, before the softmax, class 0 the blank of CTC, the others in the order of the metadata entry `character`,
then the space; `turned` 1 x 2, the probabilities of a line that stands upright and upside down.

Weights become int8 with one float32 scale per output channel, rounded to the nearest: measured on 857 lines, that costs
nothing (docs/performance.md). Depthwise weights, the first convolution and all of the small classifier become float16.
`--float` keeps float32.
"""

import argparse
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mbnet import write

NETWORKS = {  # file, sha256 of the original, input, output inside the original, output's name and shape
    "pp-ocrv6-det": ("PP-OCRv6_det_small.onnx", "fetch_name_0", "text", [1, 1, "H", "W"]),
    "pp-ocrv6-rec": ("PP-OCRv6_rec_small.onnx", "Add.209", "logits", [1, "T", 18710]),
    "pp-ocr-cls": ("ch_ppocr_mobile_v2.0_cls_mobile.onnx", "softmax_0.tmp_0", "turned", [1, 2]),
}
SHAPES = {"pp-ocrv6-det": [1, 3, "H", "W"], "pp-ocrv6-rec": [1, 3, 48, "W"], "pp-ocr-cls": [1, 3, 48, 192]}
AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}  # of the output channel in the weights
LEAST = 2048  # values: smaller tensors are not worth a scale


def tidied(model, wanted, output):
    """Nodes without Identity and Constant, constants by name; the value `wanted` is called `output`."""
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    names = {model.graph.input[0].name: "image", wanted: output}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Identity" and node.output[0] != wanted:
            source = names.get(node.input[0], node.input[0])
            names[node.output[0]] = source
            if source in constants:
                constants[node.output[0]] = constants[source]
        elif node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        else:
            nodes.append(node)
    for node in nodes:
        node.input[:] = [names.get(i, i) for i in node.input]
        node.output[:] = [names.get(o, o) for o in node.output]
    return needed(nodes, output), constants


def needed(nodes, output):
    """The nodes that `output` is computed from."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def folded(nodes, constants):
    """BatchNormalization behind a Conv becomes part of it."""
    readers = {}
    for node in nodes:
        for source in node.input:
            readers.setdefault(source, []).append(node)
    result, names = [], {}
    for node in nodes:
        node.input[:] = [names.get(i, i) for i in node.input]
        follow = readers.get(node.output[0], [])
        if node.op_type == "Conv" and len(follow) == 1 and follow[0].op_type == "BatchNormalization":
            norm = follow[0]
            gain, shift, mean, variance = (constants[n].astype(np.float64) for n in norm.input[1:])
            epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
            gain = gain / np.sqrt(variance + epsilon)
            weight = constants[node.input[1]]
            bias = constants[node.input[2]] if len(node.input) > 2 else 0
            stem = node.output[0]
            constants[stem + ".weight"] = (weight * gain.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
            constants[stem + ".bias"] = (shift + (bias - mean) * gain).astype(np.float32)
            node.input[:] = [node.input[0], stem + ".weight", stem + ".bias"]
            node.output[:] = [norm.output[0]]
            norm.op_type = "Folded"
            result.append(node)
        elif node.op_type != "Folded":
            result.append(node)
    return result


def stored(name, value, kind, first, small):
    """Tensors to store for a weight and the nodes that turn it into float32 called `name`."""
    tensor = numpy_helper.from_array
    if value.dtype != np.float32 or value.size < LEAST and not (small and value.size > 64):
        return [tensor(value, name)], []
    depthwise = kind == "Conv" and value.ndim == 4 and value.shape[1] == 1
    if small or first or depthwise or kind not in AXIS or value.ndim == 1:
        half = name + ".half"
        return [tensor(value.astype(np.float16), half)], [helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT)]
    axis = AXIS[kind]
    others = tuple(a for a in range(value.ndim) if a != axis)
    scale = np.maximum(np.abs(value).max(axis=others), 1e-12).astype(np.float32) / np.float32(127)
    shape = [-1 if a == axis else 1 for a in range(value.ndim)]
    codes = np.clip(np.round(value / scale.reshape(shape)), -127, 127).astype(np.int8)
    node = helper.make_node("DequantizeLinear", [name + ".int8", name + ".scale"], [name], axis=axis)
    return [tensor(codes, name + ".int8"), tensor(scale, name + ".scale")], [node]


def modern(nodes, constants):
    """Opset 13: the axes of Squeeze and Unsqueeze are an input."""
    for n, node in enumerate(nodes):
        if node.op_type in ("Squeeze", "Unsqueeze"):
            axes = next((a for a in node.attribute if a.name == "axes"), None)
            if axes is not None:
                name = f"axes.{n}"
                constants[name] = np.array(list(axes.ints), np.int64)
                node.attribute.remove(axes)
                node.input.append(name)
    return nodes


def made(name, package, floats):
    file, wanted, output, shape = NETWORKS[name]
    data = package.read(f"rapidocr/models/{file}")
    print(f"{file}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    original = onnx.load_from_string(data)
    nodes, constants = tidied(original, wanted, output)
    nodes = modern(folded(nodes, constants), constants)
    read = {}
    for node in nodes:
        for source in node.input:
            if source in constants:
                read.setdefault(source, node.op_type)
    tensors, before = [], []
    for n, (source, kind) in enumerate(read.items()):
        value = constants[source]
        if floats:
            tensors.append(numpy_helper.from_array(value, source))
            continue
        new, cast = stored(source, value, kind, n == 0, name == "pp-ocr-cls")
        tensors += new
        before += cast
    info = helper.make_tensor_value_info
    graph = helper.make_graph(before + nodes, "ocellus", [info("image", TensorProto.FLOAT, SHAPES[name])],
                              [info(output, TensorProto.FLOAT, shape)], tensors)
    model = helper.make_model(graph, producer_name="ocellus tools/models",
                              opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    characters = {p.key: p.value for p in original.metadata_props if p.key == "character"}
    helper.set_model_props(model, characters)
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--float", action="store_true")
    args = parser.parse_args()
    with zipfile.ZipFile(args.package) as package:
        for name in NETWORKS:
            model = made(name, package, args.float)
            write(model.SerializeToString(deterministic=True), args.folder / f"{name}.onnx")


if __name__ == "__main__":
    main()
