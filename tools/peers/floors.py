#!/usr/bin/env python3
"""How fast networks could be at most on one core, if convolutions are computed tap by tap: their products by the core's peak rate.

    python tools/peers/floors.py FILE.onnx[:WIDTHxHEIGHT] ..

The peak is that of a loop of independent multiply-adds in registers, compiled here by gcc for this processor, the best of 20
tenths of a second. Products are those of Conv, ConvTranspose, MatMul and Gemm; Winograd's minimal filtering needs fewer for
convolutions of 3x3 taps. Needs numpy and onnx.
"""
import subprocess, sys, tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

PEAK = r"""
#include <stdio.h>
#include <time.h>
#define LANES (__AVX512F__ ? 16 : 8)
typedef float v __attribute__((vector_size(4 * LANES)));
#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define DECLARE(i) v a##i = x;
#define STEP(i) a##i = a##i * x + y;
#define KEEP(i) __asm__ volatile("" : "+v"(a##i));
#define SUM(i) + a##i[0]
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
int main(void) {
    double best = 0;
    for (int round = 0; round < 20; round++) {
        v x, y;
        for (int i = 0; i < LANES; i++) x[i] = 0.999f, y[i] = 0.001f;
        EACH(DECLARE)
        long runs = 0;
        double start = now(), took;
        do {
            for (int i = 0; i < 100000; i++) { EACH(STEP) EACH(KEEP) }
            runs += 100000;
        } while ((took = now() - start) < 0.1);
        double rate = runs * 12.0 * LANES * 2 / took * 1e-9;
        if (rate > best && (0 EACH(SUM)) != 0) best = rate;
    }
    printf("%f\n", best);
}
""".replace("__AVX512F__ ?", "WIDE ?")


def peak():
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder) / "peak.c", Path(folder) / "peak"
        source.write_text(PEAK)
        wide = int("avx512f" in Path("/proc/cpuinfo").read_text())
        flags = ["-O3", "-march=native", "-mfma", f"-DWIDE={wide}", "-mprefer-vector-width=512"]
        subprocess.run(["gcc", *flags, str(source), "-o", str(binary)], check=True)
        return float(subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout)


def products(path, size):
    model = onnx.load(path)
    graph = model.graph
    del graph.value_info[:]
    dims = graph.input[0].type.tensor_type.shape.dim
    if size:
        width, height = map(int, size.split("x"))
        dims[2].dim_value, dims[3].dim_value = height, width
    model = shape_inference.infer_shapes(model, data_prop=True)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
              for v in [*model.graph.value_info, *model.graph.output, *model.graph.input]}
    shapes |= {t.name: list(t.dims) for t in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            weights = shapes[node.input[1]]
            pixels = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]]
            total += int(np.prod(weights)) * int(np.prod(pixels[2:]))
        elif node.op_type in ("MatMul", "Gemm"):
            left, right = (shapes.get(name, []) for name in node.input[:2])
            output = shapes.get(node.output[0], [])
            if not output or 0 in output:  # shapes that depend on the picture are not always found
                output = [*left[:-1], right[-1]] if left and right else []
            inner = right[-2] if len(right) > 1 and node.op_type == "MatMul" else left[-1] if left else 0
            total += int(np.prod(output)) * inner if output else 0
    return total


def main():
    rate = peak()
    print(f"peak of one core: {rate:.0f} GFLOP/s")
    print("| file | size | GFLOP | floor, ms |\n|---|---|---|---|")
    for file in sys.argv[1:]:
        path, _, size = file.partition(":")
        flop = 2e-9 * products(path, size)
        print(f"| {Path(path).stem} | {size} | {flop:.2f} | {1000 * flop / rate:.1f} |")


if __name__ == "__main__":
    main()
