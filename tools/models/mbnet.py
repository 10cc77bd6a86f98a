"""A plain description of a folded MobileNet-like network, and its ONNX form.

EfficientNet-Lite0 and MobileNetV2 are the same kind of chain: convolutions with a bias, some clipped to 0..6, some with
a residual added. Both front ends (efficientnet_lite0.py, mobilenetv2.py) produce a list of `Layer`, with the
BatchNorm folded in; quantize.py replaces the weights of that list; `to_onnx` writes either form. Building the graph by
hand instead of exporting it keeps the tensor names stable: `stem`, `block0`.., `head`, `features`, `logits`.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13


@dataclass
class Layer:
    """One convolution (or, for `fc`, a matrix product) and what follows it."""

    name: str
    weight: np.ndarray  # float32, [out, in / groups, k, k]; [out, in] for fc
    bias: np.ndarray  # float32, [out]
    source: str  # name of the tensor read
    output: str  # name of the tensor written
    stride: int = 1
    pads: tuple = (0, 0, 0, 0)  # top, left, bottom, right, as ONNX orders them
    groups: int = 1
    relu6: bool = False
    residual: str | None = None  # tensor added to the result
    pool: bool = False  # read the global average of `source`, written as `features`
    scale: np.ndarray | None = None  # float32 [out]: weight is scale * codes, stored as int8
    codes: np.ndarray | None = None  # int8, the shape of weight
    half: bool = False  # store the weight as float16


def fold(weight, gamma, beta, mean, variance, epsilon):
    """Folds an inference-time BatchNorm into the convolution before it. Computed in float64."""
    gain = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    folded = weight.astype(np.float64) * gain[:, None, None, None]
    return folded.astype(np.float32), (beta - mean * gain).astype(np.float32)


def same_pads(kernel, stride):
    """TensorFlow's SAME padding for an even input: with stride 2 the odd pixel goes below and to the right."""
    total = kernel - 1 if stride == 1 else kernel - 2
    return (total // 2, total // 2, total - total // 2, total - total // 2)


def to_onnx(layers, path, doc, taps=()):
    """Writes the network. `taps` adds inner tensors to the graph outputs (used for calibration only)."""
    nodes, inits = [], []

    def const(name, array):
        inits.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    const("zero", np.float32(0).reshape(()))
    const("six", np.float32(6).reshape(()))
    outputs = []
    for layer in layers:
        weight, before = stored_weight(layer, const)
        nodes.extend(before)
        bias = const(layer.name + ".bias", layer.bias)
        source = layer.source
        if layer.pool:
            nodes.append(helper.make_node("GlobalAveragePool", [source], ["pooled"], name="pool"))
            nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], name="flatten", axis=1))
            outputs.append(("features", layer.weight.shape[1]))
            source = "features"
        more = bool(layer.relu6 or layer.residual)
        result = layer.name + ".conv" if more else layer.output
        if layer.weight.ndim == 2:
            nodes.append(helper.make_node("Gemm", [source, weight, bias], [result], name=layer.name, transB=1))
            outputs.append((result, layer.weight.shape[0]))
        else:
            kernel = layer.weight.shape[2]
            nodes.append(helper.make_node(
                "Conv", [source, weight, bias], [result], name=layer.name, kernel_shape=[kernel, kernel],
                strides=[layer.stride] * 2, pads=list(layer.pads), group=layer.groups))
        if layer.relu6:
            nodes.append(helper.make_node("Clip", [result, "zero", "six"], [layer.output], name=layer.name + ".relu6"))
        elif layer.residual:
            nodes.append(helper.make_node("Add", [result, layer.residual], [layer.output], name=layer.name + ".add"))
    if not outputs:  # no classifier: the pooled head is all there is
        nodes.append(helper.make_node("GlobalAveragePool", ["head"], ["pooled"], name="pool"))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], name="flatten", axis=1))
        outputs.append(("features", layers[-1].weight.shape[0]))

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "ocellus",
        [value("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [value(n, TensorProto.FLOAT, [1, c]) for n, c in outputs]
        + [value(n, TensorProto.FLOAT, None) for n in taps],
        inits, doc_string=doc)
    model = helper.make_model(graph, producer_name="ocellus tools/models",
                              opset_imports=[helper.make_opsetid("", OPSET)], ir_version=7)
    onnx.checker.check_model(model)
    data = model.SerializeToString(deterministic=True)
    if path:
        write(data, path)
    return data


def stored_weight(layer, const):
    """The name of the layer's float weight in the graph, and the nodes that make it from what is stored."""
    weight = layer.name + ".weight"
    if layer.codes is not None:
        return weight, [helper.make_node(
            "DequantizeLinear", [const(weight + "_q", layer.codes), const(weight + "_scale", layer.scale)],
            [weight], name=weight + ".dequantize", axis=0)]
    if layer.half:
        return weight, [helper.make_node(
            "Cast", [const(weight + "_f16", layer.weight.astype(np.float16))],
            [weight], name=weight + ".cast", to=TensorProto.FLOAT)]
    return const(weight, layer.weight), []


def write(data, path):
    Path(path).write_bytes(data)
    print(f"{path}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


def packaged_file(package, relative, sha256):
    """The path of a data file inside an installed package (without importing it), its hash checked."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SystemExit(f"package {package} is not installed: see tools/models/README.md")
    path = Path(spec.submodule_search_locations[0]) / relative
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{path}: sha256 is {found}, expected {sha256}")
    return path
