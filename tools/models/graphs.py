"""The networks that come from tf2onnx: tidied to plain NCHW by nanodet.py and selfie_segmentation.py, written here.

A network is a list of `Op`, in the order of computation. Convolutions hold a `Layer` (mbnet.py), so that quantize.py
rounds them the same way as those of the feature extractors.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from mbnet import Layer, stored_weight, write
from quantize import apply, samples, solve


@dataclass
class Op:
    """One node: `kind` as ONNX calls it."""

    kind: str
    sources: list  # names of the tensors read
    outputs: list  # names of the tensors written
    attributes: dict = field(default_factory=dict)
    layer: Layer | None = None  # of a Conv
    constants: list = field(default_factory=list)  # arrays that are further inputs; None is an input left out


def converted(flag, path, opset):
    """The graph that `python -m tf2onnx.convert` makes of a file, and its constants by name."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "model.onnx"
        command = [sys.executable, "-m", "tf2onnx.convert", flag, path, "--output", result, "--opset", opset]
        subprocess.run([str(part) for part in command], check=True)
        model = onnx.load(result)
    return model, {init.name: numpy_helper.to_array(init) for init in model.graph.initializer}


def attributes(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def conv(node, constants, name, source, pads=(0, 0, 0, 0)):
    """A Conv node as Op; `pads` are those of a Pad node before it."""
    found = attributes(node)
    pads = tuple(a + b for a, b in zip(pads, found.get("pads", (0, 0, 0, 0))))
    weight = constants[node.input[1]].astype(np.float32)
    bias = constants[node.input[2]].astype(np.float32)
    layer = Layer(name, weight, bias, source, node.output[0], found["strides"][0], pads, found["group"])
    return Op("Conv", [source], [node.output[0]], layer=layer)


@torch.no_grad()
def quantize(ops, batch):
    """Gives every Conv int8 codes, as quantize.quantize does it, in the order of the graph; `batch` is float32 NCHW."""
    torch.set_num_threads(1)
    exact, rounded = {"image": torch.from_numpy(batch)}, {"image": torch.from_numpy(batch)}
    for n, op in enumerate(ops):
        if op.layer:
            layer, source = op.layer, op.sources[0]
            exact[op.outputs[0]] = goal = apply(layer, exact[source], exact)
            solve(layer, *samples(layer, rounded[source], goal))
            rounded[op.outputs[0]] = result = apply(layer, rounded[source], rounded)
            error = ((goal - result).square().mean() / goal.var()).sqrt()
            print(f"{layer.name:8} relative error {error:.4f}", flush=True)
        else:
            for tensors in (exact, rounded):
                tensors.update(zip(op.outputs, computed(op, [tensors[s] for s in op.sources])))
        needed = {source for later in ops[n + 1:] for source in later.sources}
        for tensors in (exact, rounded):
            for name in set(tensors) - needed:
                del tensors[name]


def computed(op, inputs):
    """The outputs of an op that is not a Conv: those of NanoDet-g up to its last convolution."""
    found, x = op.attributes, inputs[0]
    if op.kind == "LeakyRelu":
        return [F.leaky_relu(x, found["alpha"])]
    if op.kind == "MaxPool":
        return [F.max_pool2d(x, found["kernel_shape"], found["strides"], found["pads"][0])]
    if op.kind == "AveragePool":
        return [F.avg_pool2d(x, found["kernel_shape"], found["strides"])]
    if op.kind == "Concat":
        return [torch.cat(inputs, found["axis"])]
    if op.kind == "Add":
        return [x + inputs[1]]
    if op.kind == "Resize":
        return [F.interpolate(x, scale_factor=op.constants[1].tolist()[2:], mode="bilinear", align_corners=False)]
    if op.kind in ("Split", "Sigmoid", "Reshape", "Transpose"):  # behind every convolution: nothing to round there
        return [x for _ in op.outputs]
    raise NotImplementedError(op.kind)


def enlarge(source, output):
    """Twice as large, bilinear."""
    scales = np.array([1, 1, 2, 2], np.float32)
    return Op("Resize", [source], [output], {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
              constants=[None, scales])


def to_onnx(ops, image, outputs, path, doc, opset):
    """Writes the network: `image` is the input's shape, `outputs` maps names to shapes."""
    nodes, inits = [], {}

    def const(name, array):
        inits[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    for n, op in enumerate(ops):
        name, inputs, found = f"{op.kind.lower()}{n}", list(op.sources), op.attributes
        if op.layer:
            layer = op.layer
            weight, before = stored_weight(layer, const)
            nodes.extend(before)
            name = layer.name
            inputs += [weight, const(name + ".bias", layer.bias)]
            found = {"kernel_shape": layer.weight.shape[2:], "strides": [layer.stride] * 2, "pads": layer.pads,
                     "group": layer.groups}
        for k, array in enumerate(op.constants):
            inputs.append("" if array is None else const(f"{name}.{k}", array))
        nodes.append(helper.make_node(op.kind, inputs, op.outputs, name=name, **found))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "ocellus", [value("image", TensorProto.FLOAT, image)],
        [value(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()], list(inits.values()),
        doc_string=doc)
    model = helper.make_model(graph, producer_name="ocellus tools/models",
                              opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    write(model.SerializeToString(deterministic=True), path)


def renamed(ops, names):
    """Tensors under short names: those of `names`, the rest numbered, so that the file is the same each time."""
    short = dict(names)
    for n, op in enumerate(ops):
        op.sources = [short.get(s, s) for s in op.sources]
        for k, output in enumerate(op.outputs):
            short.setdefault(output, f"t{n}" if k == 0 else f"t{n}.{k}")
        op.outputs = [short[output] for output in op.outputs]
        if op.layer:
            op.layer.source, op.layer.output = op.sources[0], op.outputs[0]
    return ops
