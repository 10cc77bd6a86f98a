"""ocellus inspect against ONNX Runtime: what does everything around the network cost?

    python tools/peers/inspect_onnxruntime.py --ocellus target/release/ocellus --float efficientnet-lite0-float.onnx

Needs numpy, onnx 1.16.2 and onnxruntime (1.31.0 when the table in docs/performance.md was made). The float network is
made by `python tools/models/efficientnet_lite0.py --float FILE`; it is what the embedded one was quantized from, and the
same graph: ONNX Runtime would dequantize the embedded weights at every run.

One thread each, the same picture size, one run: ocellus inspects a 256x256 region of the example product again and again,
ONNX Runtime runs the part of the network that the patch method uses at the size at which it is used (block4, 320x320),
and the whole network at 256x256. The two take turns, so that a slow minute of the machine hits both. Medians.
"""
import argparse, json, os, pathlib, re, statistics, subprocess, tempfile, time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np
import onnx
import onnxruntime as ort

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRODUCT = ROOT / "examples" / "connector"


def session(path, outputs):
    """The network cut off behind `outputs`: what lies behind is not even loaded."""
    with tempfile.TemporaryDirectory() as folder:
        cut = f"{folder}/cut.onnx"
        onnx.utils.extract_model(str(path), cut, ["input"], outputs)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return ort.InferenceSession(cut, options, providers=["CPUExecutionProvider"])


def peer_ms(net, side, runs):
    x = np.random.default_rng(0).standard_normal((1, 3, side, side), dtype=np.float32)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        net.run(None, {"input": x})
        times.append((time.perf_counter() - start) * 1000)
    return times


def ocellus_ms(binary, recipe, pictures):
    """Milliseconds of each inspection as the program reports them, and of its stages (OCELLUS_LOG=ocellus=debug)."""
    command = [binary, "inspect", "--recipe", recipe, "--json", "--quiet", "--threads", "1", *pictures]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OCELLUS_LOG": "ocellus=debug"})
    whole = [json.loads(line)["ms"] for line in done.stdout.splitlines()]
    stages = {}
    for stage, ms in re.findall(r"tasks\] (\w+) ([\d.]+) ms", done.stderr):
        stages.setdefault(stage, []).append(float(ms))
    return whole, stages


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ocellus", default=ROOT / "target/release/ocellus")
    parser.add_argument("--float", required=True, help="float EfficientNet-Lite0, from tools/models/efficientnet_lite0.py")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    binary = str(args.ocellus)
    cut, full = session(args.float, ["block2", "block4"]), session(args.float, ["features"])
    pictures = [str(p) for p in sorted((PRODUCT / "test").glob("*.jpg"))]
    with tempfile.TemporaryDirectory() as folder:
        recipe = f"{folder}/recipe"
        subprocess.run([binary, "learn", "--quiet", "--out", recipe, "--region", "part=150,120,256,256",
                        str(PRODUCT / "good")], check=True, capture_output=True)
        ours, stages, theirs_cut, theirs_full = [], {}, [], []
        peer_ms(cut, 320, 3), peer_ms(full, 256, 3), ocellus_ms(binary, recipe, pictures[:2])
        for _ in range(args.rounds):
            whole, parts = ocellus_ms(binary, recipe, pictures)
            ours += whole
            for stage, times in parts.items():
                # A stage that runs several times an inspection (one a description) counts with their sum.
                share = len(times) // len(whole)
                stages.setdefault(stage, []).extend(sum(times[i * share:(i + 1) * share]) for i in range(len(whole)))
            theirs_cut += peer_ms(cut, 320, 20)
            theirs_full += peer_ms(full, 256, 20)
    median = statistics.median
    around = median(ours) - median(stages["network"])
    print(f"onnxruntime {ort.__version__}, one thread each, {len(ours)} inspections, medians in ms")
    print(f"ocellus, inspection of one 256x256 region     {median(ours):7.1f}")
    for stage, times in stages.items():
        print(f"  {stage:<20}                        {median(times):7.1f}")
    print(f"ONNX Runtime, network to block4 at 320        {median(theirs_cut):7.1f}   ocellus whole / this = {median(ours) / median(theirs_cut):.2f}")
    print(f"ONNX Runtime, whole network at 256            {median(theirs_full):7.1f}   ocellus whole / this = {median(ours) / median(theirs_full):.2f}")
    print(f"everything around the network                 {around:7.1f}   / ocellus's network = {around / median(stages['network']):.2f}, / ONNX Runtime's = {around / median(theirs_cut):.2f}")


if __name__ == "__main__":
    main()
