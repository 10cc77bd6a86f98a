#!/usr/bin/env python3
"""The embedded networks as plain float ONNX files, with the very weights that ocellus computes with, for peers to run.

    python tools/peers/float_onnx.py --out DIR [FILE.onnx ..]

Weights stored as int8 (DequantizeLinear) or f16 (Cast) become float initializers; nothing else changes. Without FILE: all of
models/. Needs numpy and onnx.
"""
import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[2]


def folded(node, stored):
    """The float value of `node` if it widens a stored tensor."""
    if not node.input or node.input[0] not in stored:
        return None
    value = stored[node.input[0]]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Cast" and value.dtype == np.float16 and attributes["to"] == onnx.TensorProto.FLOAT:
        return value.astype(np.float32)
    if node.op_type != "DequantizeLinear":
        return None
    axis = attributes.get("axis", 1)
    scale = stored[node.input[1]]
    zero = stored[node.input[2]] if len(node.input) > 2 else np.zeros(scale.shape, value.dtype)
    shape = [-1 if i == axis % value.ndim and scale.ndim else 1 for i in range(value.ndim)]
    return ((value.astype(np.float32) - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.files or sorted((ROOT / "models").glob("*.onnx")):
        model = onnx.load(path)
        graph = model.graph
        stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        kept, made = [], []
        for node in graph.node:
            value = folded(node, stored)
            if value is None:
                kept.append(node)
            else:
                made.append(numpy_helper.from_array(value, node.output[0]))
        read = {name for node in kept for name in node.input} | {o.name for o in graph.output}
        rest = [t for t in graph.initializer if t.name in read]
        for field, values in ((graph.node, kept), (graph.initializer, rest + made)):
            del field[:]
            field.extend(values)
        onnx.checker.check_model(model)
        onnx.save(model, args.out / path.name)
        print(f"{path.name}: {len(made)} tensors made float")


if __name__ == "__main__":
    main()
