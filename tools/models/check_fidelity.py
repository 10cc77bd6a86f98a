"""Measures a quantized feature extractor against its float graph and against the stored framework vectors.

    python tools/models/efficientnet_lite0.py --float float.onnx
    python tools/models/check_fidelity.py efficientnet-lite0 float.onnx PHOTOGRAPH...

Two views of each photograph (the whole, the middle square). Prints the cosine of features (and logits), the relative
error of inner maps, the cosine to tests/reference/features.json, and the time of one run on one thread.
"""

import argparse
import json
import time

import numpy as np
import onnx
import onnxruntime
from PIL import Image

import calibration
from reference_features import PICTURES, RESULT, ROOT

MAPS = ["block2", "block4", "block10"]
INPUT = {"efficientnet-lite0": (127.0, 128.0), "mobilenetv2": (127.5, 127.5)}


def session(path, maps=()):
    model = onnx.load(path)
    model.graph.output.extend(onnx.helper.make_tensor_value_info(m, onnx.TensorProto.FLOAT, None) for m in maps)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def cosine(a, b):
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def softmax(logits):
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def classes(answers):
    """How often the best class is the same, and how far probabilities are apart."""
    exact, small = np.array(answers).transpose(1, 0, 2)
    same = exact.argmax(1) == small.argmax(1)
    gap = [np.diff(np.sort(p)[-2:])[0] for p in exact]
    print(f"best class the same in {same.sum()} of {len(same)}; lead of the best where not: {np.array(gap)[~same].round(3)}")
    apart = np.abs(exact - small).max(1)
    print(f"greatest difference of a probability: median {np.median(apart):.4f}, worst {apart.max():.4f}")


def report(name, values, worst):
    values = np.array(values)
    print(f"{name:12} median {np.median(values):.5f}  worst {worst(values):.5f}  (n = {len(values)})")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=INPUT)
    parser.add_argument("float_graph")
    parser.add_argument("photographs", nargs="*")
    args = parser.parse_args()
    path = ROOT / f"models/{args.model}.onnx"
    exact, small = session(args.float_graph, MAPS), session(path, MAPS)
    names = [output.name for output in small.get_outputs()]
    measured, answers = {name: [] for name in names}, []
    for photograph in args.photographs:
        for view in calibration.views(photograph, 2):
            feed = {"input": calibration.normalised([view], *INPUT[args.model])}
            for name, a, b in zip(names, exact.run(names, feed), small.run(names, feed)):
                error = np.linalg.norm(a - b) / np.linalg.norm(a) if name in MAPS else cosine(a, b)
                measured[name].append(error)
                if name == "logits":
                    answers.append([softmax(a[0]), softmax(b[0])])
    if answers:
        classes(answers)
    for name, values in measured.items():
        if values:
            report(name, values, np.max if name in MAPS else np.min)
    stored = json.loads(RESULT.read_text())[args.model]["images"]
    plain, cosines = session(path), []
    for image in stored:
        pixels = np.asarray(Image.open(PICTURES / image["file"]).convert("RGB"))
        feed = {"input": calibration.normalised([pixels], *INPUT[args.model])}
        cosines.append(cosine(plain.run(["features"], feed)[0], image["features"]))
    report("framework", cosines, np.min)
    times = []
    for _ in range(40):
        start = time.perf_counter()
        plain.run(None, feed)
        times.append(time.perf_counter() - start)
    print(f"ONNX Runtime, one thread, 224 x 224: median {np.median(times) * 1e3:.1f} ms, least {min(times) * 1e3:.1f}")


if __name__ == "__main__":
    main()
