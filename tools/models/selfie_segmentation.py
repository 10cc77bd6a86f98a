"""Makes models/selfie-segmentation.onnx from mediapipe 0.10.9 (Apache-2.0): the general (square) model.

    python tools/models/selfie_segmentation.py [--float] OUTPUT.onnx

Pinned: see requirements-tensorflow.txt beside this file.
Input `image`: 1 x 3 x 256 x 256, RGB, 0 to 1, the picture stretched. Output `mask`: 1 x 1 x 256 x 256, how sure it is
that a pixel belongs to a person, 0 to 1.

The package holds the weights as float16, and so does our file: nothing is lost. Rounded to int8 it would be 160 KB
instead of 236, but the masks of some people lose 1 to 1.5 % of their overlap with the float one's.
"""

import argparse

import numpy as np

from graphs import Op, attributes, conv, converted, enlarge, renamed, to_onnx
from mbnet import packaged_file

WEIGHTS = ("mediapipe", "modules/selfie_segmentation/selfie_segmentation.tflite",
           "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c")
SIZE = 256
OPSET = 14  # the first with HardSwish
DOC = "MediaPipe Selfie Segmentation. Input RGB x/255. Apache-2.0. See models/PROVENANCE.md."


def network():
    """The float network. tf2onnx leaves an NHWC graph with transposes around every HardSwish and reshapes after every
    pooling; every other op is NCHW or does not care, so both are simply left out."""
    model, constants = converted("--tflite", packaged_file(*WEIGHTS), OPSET)
    ops, same, convs = [], {"input_1": "image"}, 0
    for node in model.graph.node:
        sources = [same.get(s, s) for s in node.input if s not in constants]
        result = list(node.output)
        if node.op_type in ("Transpose", "Reshape"):
            same[result[0]] = sources[0]
        elif node.op_type == "Conv":
            ops.append(conv(node, constants, f"conv{convs}", sources[0]))
            convs += 1
        elif node.op_type == "AveragePool":  # over the whole map, each of them
            ops.append(Op("GlobalAveragePool", sources, result))
        elif node.op_type == "Resize":
            ops.append(enlarge(sources[0], result[0]))
        elif node.op_type == "TFL_Convolution2DTransposeBias":  # MediaPipe's own: a transposed convolution and a bias
            weight = constants[node.input[1]].transpose(3, 0, 1, 2)  # [out, k, k, in] -> [in, out, k, k]
            bias = constants[node.input[2]]
            ops.append(Op("ConvTranspose", sources, result, {"kernel_shape": [2, 2], "strides": [2, 2]},
                          constants=[np.ascontiguousarray(weight, np.float32), bias.astype(np.float32)]))
        elif node.op_type in ("Relu", "HardSwish", "Sigmoid", "Add", "Mul"):
            ops.append(Op(node.op_type, sources, result, attributes(node)))
        else:
            raise SystemExit(f"unexpected node {node.op_type}")
    return renamed(ops, {model.graph.output[0].name: "mask"})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--float", action="store_true", help="store the weights as float32")
    args = parser.parse_args()
    net = network()
    if not args.float:
        for layer in (op.layer for op in net if op.layer):
            if not np.array_equal(layer.weight, layer.weight.astype(np.float16)):
                raise SystemExit(f"{layer.name}: the weights are not float16")
            layer.half = True
    to_onnx(net, [1, 3, SIZE, SIZE], {"mask": [1, 1, SIZE, SIZE]}, args.output, DOC, OPSET)


if __name__ == "__main__":
    main()
