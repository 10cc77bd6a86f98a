#!/usr/bin/env python3
"""Float networks as ONNX Runtime's own 8-bit networks, for it to run beside ocellus.

    python tools/peers/int8_onnx.py --out DIR --pictures DIR FILE.onnx[:WIDTHxHEIGHT] ..

FILE is a float network of one input (those of tools/peers/float_onnx.py); sides that it leaves open are WIDTH and HEIGHT. What
ONNX Runtime's static quantization makes of it: QuantizeLinear and DequantizeLinear around every operator that it has an 8-bit
kernel for, activations unsigned with one scale a tensor, weights signed with one a channel, ranges from up to eight pictures.
The result is made for speed: how pictures are normalised for a network is not looked into. Needs numpy, onnx, onnxruntime,
pillow and sympy.
"""
import argparse
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static
from PIL import Image


class Pictures(CalibrationDataReader):
    def __init__(self, name, sides, paths):
        self.feeds = ({name: self.pixels(path, sides)} for path in paths)

    @staticmethod
    def pixels(path, sides):
        picture = np.asarray(Image.open(path).convert("RGB").resize(sides[::-1]), dtype=np.float32)
        return picture.transpose(2, 0, 1)[None] / 127.5 - 1

    def get_next(self):
        return next(self.feeds, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    paths = sorted(p for p in args.pictures.rglob("*") if p.suffix in (".jpg", ".png"))[:8]
    for file in args.files:
        path, _, size = file.partition(":")
        source = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()[0]
        open_sides = [int(side) for side in size.split("x")][::-1] if size else []
        sides = [side if isinstance(side, int) else open_sides[i] for i, side in enumerate(source.shape[2:])]
        simplified = args.out / (Path(path).stem + ".simplified.onnx")
        quant_pre_process(path, simplified, skip_symbolic_shape=True)
        target = args.out / Path(path).name
        quantize_static(simplified, target, Pictures(source.name, sides, paths), quant_format=QuantFormat.QDQ,
                        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        simplified.unlink()
        print(f"{target}: made for {sides[1]}x{sides[0]} on {len(paths)} pictures, onnxruntime {ort.__version__}", flush=True)


if __name__ == "__main__":
    main()
