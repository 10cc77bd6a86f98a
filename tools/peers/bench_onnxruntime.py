#!/usr/bin/env python3
"""`ocellus bench` against ONNX Runtime on the same ONNX files, shapes and threads, in turn.

    python tools/peers/bench_onnxruntime.py FILE.onnx[=PEER.onnx][:WIDTHxHEIGHT] .. [--ocellus target/release/ocellus] [--threads 1 2]
        [--rounds 5]

FILE is a network of one input; sides that it leaves open are WIDTH and HEIGHT. ONNX Runtime runs PEER where it is given: the same
network in the form that is fastest there (tools/peers/float_onnx.py and int8_onnx.py make such files). In each round ocellus runs
for --seconds and then ONNX Runtime does, so that a slow minute of the machine strikes both; the table has the medians of the
rounds' medians and of their ratios. The median is that of one run with so many threads inside, in both; images a second are of as
many runs side by side in ocellus, each of one thread. Loading is from the file to the first result. MiB is the most memory that
loading and running adds to a process that has just started: `ocellus --version`, and the interpreter with its libraries. Needs
numpy and onnxruntime.
"""
import argparse, json, os, statistics, subprocess, sys, time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np
import onnxruntime as ort

ROOT = Path(__file__).resolve().parents[2]


def peer(path, shape, threads, seconds):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    pixels = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    begun = time.perf_counter()
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: pixels}
    session.run(None, feed)
    loaded = 1000 * (time.perf_counter() - begun)
    [session.run(None, feed) for _ in range(2)]
    times, begun = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begun < seconds:
        started = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - started)
    return loaded, 1000 * statistics.median(times), len(times) / sum(times)


def memory(kind):
    """MiB of this process, now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def peer_memory(path, shape, threads):
    """Of a process of its own: see the end of this file."""
    command = [sys.executable, __file__, "--peak", path, json.dumps(shape), str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def started(binary):
    """MiB of a process of ocellus that does nothing: /usr/bin/time is not everywhere."""
    code = "import os, sys; pid = os.spawnv(os.P_NOWAIT, sys.argv[1], [sys.argv[1], '--version']); print(os.wait4(pid, 0)[2].ru_maxrss)"
    lines = subprocess.run([sys.executable, "-S", "-c", code, binary], check=True, capture_output=True, text=True).stdout.split()
    return int(lines[-1]) / 1024


def ours(binary, path, size, threads, seconds):
    command = [binary, "bench", "--json", "--quiet", "--model", path, "--threads", str(threads), "--seconds", str(seconds)]
    if size:
        command += ["--size", size]
    record = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return record["shape"], record["load_ms"] + record["first_ms"], record["median_ms"], record["images_per_s"], \
        record["peak_bytes"] / 2**20 - started(binary)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--ocellus", default=str(ROOT / "target/release/ocellus"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    args = parser.parse_args()
    print(f"onnxruntime {ort.__version__}, medians of {args.rounds} rounds")
    print("| file | input | threads | load ms | ORT | median ms | ORT | ratio | images/s | ORT | ratio | MiB | ORT |\n" + "|---" * 13 + "|")
    for file in args.files:
        files, _, size = file.partition(":")
        path, _, other = files.partition("=")
        for threads in args.threads:
            rows = []
            for _ in range(args.rounds):
                shape, load, median, rate, peak = ours(args.ocellus, path, size, threads, args.seconds)
                rows.append((load, median, rate, peak, *peer(other or path, shape, threads, args.seconds)))
            load, median, rate, peak, peer_load, peer_median, peer_rate = (statistics.median(c) for c in zip(*rows))
            slower = statistics.median(r[1] / r[5] for r in rows)
            faster = statistics.median(r[2] / r[6] for r in rows)
            peer_peak = peer_memory(other or path, shape, threads)
            print(f"| {Path(path).stem} | {'x'.join(map(str, shape))} | {threads} | {load:.0f} | {peer_load:.0f} | {median:.2f} | "
                  f"{peer_median:.2f} | {slower:.2f} | {rate:.1f} | {peer_rate:.1f} | {faster:.2f} | {peak:.0f} | {peer_peak:.0f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--peak":
        before = memory("VmRSS")
        peer(sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]), 0.2)
        print(memory("VmHWM") - before)
    else:
        main()
