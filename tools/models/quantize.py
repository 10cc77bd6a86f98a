"""Rounds the weights of a network to int8, one scale per output channel, with the error made up for on photographs.

Plain rounding of EfficientNet-Lite0 leaves a cosine of .98 in the worst photograph. Here every layer is rounded in
turn, from the input on, against what the float network computes there (GPTQ, Frantar et al. 2022):

1. the layer's input is taken from the network as quantized so far, its target from the float network, so a layer also
   corrects what the layers before it got wrong (and, past a residual, what the other branch did);
2. a least-squares step moves the weights to the best ones for that input, and the bias absorbs the mean error;
3. weights are rounded one input after another, the error of each spread over those not rounded yet, by the
   covariance of the inputs;
4. each output channel keeps the clipping ratio, out of RATIOS, with the least squared error of its output.

None of it costs anything at run time: weights stay int8 times a scale. The first convolution and the depthwise ones
hold 2 to 5 % of the weights and most of what error is left: they stay float16 (after step 2), which nearly halves the
error of the inner maps.
"""

import numpy as np
import torch
import torch.nn.functional as F

import calibration

RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
DAMPING = 0.01  # of the mean variance of a layer's inputs: keeps rarely seen directions near the float weights
POSITIONS = 400  # output positions sampled from each photograph


@torch.no_grad()
def quantize(layers, mean, deviation):
    """Gives every layer its `codes` and `scale` and its corrected `bias`; the input is (RGB - mean) / deviation."""
    torch.set_num_threads(1)  # the order of additions, and so the file, must not depend on the machine's cores
    batch = torch.from_numpy(calibration.batch(mean, deviation))
    exact, rounded = {"input": batch}, {"input": batch}
    for n, layer in enumerate(layers):
        layer.half = layer.source == "input" or layer.groups > 1
        goal = apply(layer, exact[layer.source], exact)
        wanted = goal - rounded[layer.residual] if layer.residual else goal
        inputs, outputs = samples(layer, rounded[layer.source], wanted)
        solve(layer, inputs, outputs)
        exact[layer.output] = goal.clamp(0, 6) if layer.relu6 else goal
        result = apply(layer, rounded[layer.source], rounded)
        rounded[layer.output] = result.clamp(0, 6) if layer.relu6 else result
        error = ((exact[layer.output] - rounded[layer.output]).square().mean() / exact[layer.output].var()).sqrt()
        print(f"{layer.name:20} relative error {error:.4f}", flush=True)
        needed = {t for later in layers[n + 1:] for t in (later.source, later.residual)}
        for tensors in (exact, rounded):
            for name in set(tensors) - needed:
                del tensors[name]


def apply(layer, source, tensors):
    """The layer's result before its activation."""
    weight = torch.from_numpy(dequantized(layer))
    bias = torch.from_numpy(layer.bias)
    if layer.pool:
        return F.linear(source.mean((2, 3)), weight, bias)
    top, left, bottom, right = layer.pads
    if any(layer.pads):
        source = F.pad(source, (left, right, top, bottom))
    result = F.conv2d(source, weight, bias, layer.stride, groups=layer.groups)
    return result + tensors[layer.residual] if layer.residual else result


def dequantized(layer):
    if layer.codes is None:
        return layer.weight
    return layer.codes.astype(np.float32) * layer.scale.reshape(-1, *[1] * (layer.weight.ndim - 1))


def samples(layer, source, wanted):
    """Inputs [groups, samples, inputs] and wanted outputs [groups, samples, outputs] at evenly spread positions."""
    if layer.pool:
        return source.mean((2, 3)).double().numpy()[None], wanted.double().numpy()[None]
    kernel, groups = layer.weight.shape[2], layer.groups
    count, channels = source.shape[:2]
    height, width = wanted.shape[2:]
    places = np.unique(np.linspace(0, height * width - 1, POSITIONS).astype(int))
    y, x = (torch.from_numpy(p) for p in np.divmod(places, width))
    top, left, bottom, right = layer.pads
    padded = F.pad(source, (left, right, top, bottom))
    taps = [padded[:, :, y * layer.stride + dy, x * layer.stride + dx] for dy in range(kernel) for dx in range(kernel)]
    patches = torch.stack(taps, 2).reshape(count, groups, channels // groups * kernel * kernel, len(places))
    targets = wanted[:, :, y, x].reshape(count, groups, -1, len(places))
    return [a.permute(1, 0, 3, 2).reshape(groups, -1, a.shape[2]).double().numpy() for a in (patches, targets)]


def solve(layer, inputs, outputs):
    """Finds codes and scale (or float16 weights) and bias with the least squared error of weight @ inputs + bias."""
    groups, _, width = inputs.shape
    weight = layer.weight.reshape(groups, -1, width).astype(np.float64)
    input_mean, output_mean = inputs.mean(1, keepdims=True), outputs.mean(1, keepdims=True)
    inputs, outputs = inputs - input_mean, outputs - output_mean
    across = inputs.transpose(0, 2, 1)
    moments = across @ inputs / inputs.shape[1]
    trace = np.trace(moments, axis1=1, axis2=2)[:, None, None] / width
    moments = moments + (DAMPING * trace + 1e-9) * np.eye(width)
    left = outputs - inputs @ weight.transpose(0, 2, 1)
    step = np.linalg.solve(moments, across @ left / inputs.shape[1])
    target = weight + step.transpose(0, 2, 1)
    if layer.half:
        target = target.astype(np.float16).astype(np.float64)
        layer.weight = target.astype(np.float32).reshape(layer.weight.shape)
        layer.bias = shifted(target, input_mean, output_mean)
        return

    best = None
    limit = np.abs(target).max(2, keepdims=True)
    for ratio in RATIOS:
        scale = np.maximum(limit * ratio / 127, 1e-12).astype(np.float32).astype(np.float64)
        codes = spread(target, scale, moments)
        off = codes * scale - target
        error = np.einsum("gmi,gij,gmj->gm", off, moments, off, optimize=True)[..., None]
        if best is None:
            best = [error, codes, scale]
        else:
            better = error < best[0]
            best = [np.where(better, new, old) for new, old in zip((error, codes, scale), best)]
    _, codes, scale = best
    layer.codes = codes.astype(np.int8).reshape(layer.weight.shape)
    layer.scale = scale.astype(np.float32).reshape(-1)
    layer.bias = shifted(codes * scale, input_mean, output_mean)


def shifted(weight, input_mean, output_mean):
    """The bias that makes the mean output right."""
    return (output_mean[:, 0] - np.einsum("gmi,gi->gm", weight, input_mean[:, 0])).astype(np.float32).reshape(-1)


def spread(target, scale, moments):
    """Rounds target [groups, out, in] to codes, spreading each input's rounding error over the inputs after it."""
    order = np.argsort(-np.diagonal(moments, axis1=1, axis2=2), axis=1, kind="stable")
    work = np.take_along_axis(target, order[:, None], 2)
    sorted_moments = np.take_along_axis(np.take_along_axis(moments, order[:, :, None], 1), order[:, None], 2)
    upper = np.linalg.cholesky(np.linalg.inv(sorted_moments)).transpose(0, 2, 1)
    codes = np.empty_like(work)
    for i in range(work.shape[2]):
        column = work[:, :, i:i + 1]
        codes[:, :, i:i + 1] = np.clip(np.rint(column / scale), -127, 127)
        error = (column - codes[:, :, i:i + 1] * scale) / upper[:, i, i][:, None, None]
        work[:, :, i + 1:] -= error * upper[:, i, None, i + 1:]
    result = np.empty_like(codes)
    np.put_along_axis(result, np.broadcast_to(order[:, None], codes.shape), codes, 2)
    return result
