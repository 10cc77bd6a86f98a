#!/usr/bin/env python3
"""Hold `ocellus hazard` with a network of `ocellus train cells` against ONNX Runtime.

    python tools/check_cells.py ./ocellus m.onnx PICTURES.. [--most 40]

The pictures are brought to the network's size first and written as PNG, so that nothing but the network differs. Labels must
be the same, their scores within 1e-4 and the four digits that records have. Needs numpy, onnxruntime, opencv-python-headless.
"""
import argparse, json, os, subprocess, sys, tempfile
import cv2
import numpy as np
import onnxruntime as ort


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("ocellus")
    ap.add_argument("model")
    ap.add_argument("pictures", nargs="+")
    ap.add_argument("--most", type=int, default=40)
    a = ap.parse_args()
    session = ort.InferenceSession(a.model)
    given = session.get_inputs()[0]
    height, width = given.shape[2:]
    labels = json.loads(session.get_modelmeta().custom_metadata_map["cells"])["Labels"]["LabelList"]
    worst, seen = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        scores = []
        for n, path in enumerate(a.pictures[:a.most]):
            im = cv2.resize(cv2.imread(path), (width, height), interpolation=cv2.INTER_AREA)
            cv2.imwrite(os.path.join(folder, f"{n:04d}.png"), im)
            x = np.ascontiguousarray(im[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
            scores.append(session.run(["scores"], {given.name: x})[0].reshape(-1, len(labels) + 1))
        lines = subprocess.run([a.ocellus, "hazard", "--json", "--quiet", "--model", a.model, folder], check=True, capture_output=True, text=True).stdout
        for expected, line in zip(scores, lines.splitlines(), strict=True):
            found = {(c["cell"] - 1, labels.index(s["label"])): s["score"] for c in json.loads(line)["cells"] for s in c["labels"]}
            above = {(int(i), int(j)) for i, j in np.argwhere(expected[:, :-1] > .5)}
            for i in range(len(expected)):      # no bit at all: the best, if it is not the background
                best = int(expected[i].argmax())
                if not (expected[i] > .5).any() and best < len(labels):
                    above.add((i, best))
            if above != set(found):
                sys.exit(f"labels differ: {sorted(above ^ set(found))}")
            worst = max([worst] + [abs(float(expected[k]) - v) for k, v in found.items()])
            seen += len(found)
    print(f"{len(scores)} pictures, {seen} labels, the same; scores differ by {worst:.1e} at most")
    sys.exit(worst > 1.5e-4)


if __name__ == "__main__":
    main()
