"""Compares `ocellus train classes` with scikit-learn's LogisticRegression on the same pictures and features.

    pip install scikit-learn==1.9.1 numpy
    python tools/peers/train_classes.py target/release/ocellus SET...

A SET has train/CLASS/* and test/CLASS/* (tools/sets/make_class_set.py). Features come from `ocellus embed --npy`. scikit-learn
learns with its default C of 1 and with the C that its own cross-validation chooses; ocellus as it comes, and without further
views. All are measured on test/.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss

GRID = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]


def features(program, folder, work):
    files = sorted(p for p in folder.glob("*/*") if p.is_file())
    table = work / "features.npy"
    # The files of one folder after the other, as the program lists them.
    subprocess.run([program, "embed", "--quiet", "--npy", table, *map(str, files)], check=True)
    return np.load(table).astype(np.float64), np.array([p.parent.name for p in files])


def learned(program, folder, work, more):
    out = work / "m.onnx"
    start = time.perf_counter()
    run = subprocess.run([program, "train", "classes", folder / "train", "--val", folder / "test", "--out", out, "--json",
                          *more], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    record = json.loads(run.stdout.splitlines()[-1])
    # The file itself, through classify, must say the same.
    tested = subprocess.run([program, "classify", "--json", "--quiet", "--model", out, folder / "test"], check=True,
                            capture_output=True, text=True)
    answers = [json.loads(line) for line in tested.stdout.splitlines()]
    right = np.mean([a["label"] == Path(a["path"]).parent.name for a in answers])
    assert abs(right - record["accuracy"]) < 1e-4, (right, record["accuracy"])
    return record, seconds


def main():
    program, *sets = sys.argv[1:]
    print(f"{'set':<12} {'by':<34} {'accuracy':>8} {'log loss':>8} {'C':>6} {'seconds':>8}")
    for folder in map(Path, sets):
        with tempfile.TemporaryDirectory() as work:
            work = Path(work)
            x, y = features(program, folder / "train", work)
            tx, ty = features(program, folder / "test", work)
            for name, make in (("scikit-learn, C = 1", lambda: LogisticRegression(C=1.0, max_iter=5000)),
                               ("scikit-learn, C by CV", lambda: LogisticRegressionCV(
                                   Cs=GRID, cv=5, max_iter=5000, scoring="neg_log_loss", use_legacy_attributes=False))):
                start = time.perf_counter()
                fit = make().fit(x, y)
                seconds = time.perf_counter() - start
                c = float(np.ravel(getattr(fit, "C_", 1.0))[0])
                loss = log_loss(ty, fit.predict_proba(tx), labels=fit.classes_)
                print(f"{folder.name:<12} {name:<34} {np.mean(fit.predict(tx) == ty):8.4f} {loss:8.4f} {c:6g} {seconds:8.1f}", flush=True)
            for name, more in (("ocellus, --augment none --c 1", ["--augment", "none", "--c", "1"]),
                               ("ocellus, --augment none", ["--augment", "none"]), ("ocellus", []),
                               ("ocellus, --augment flip", ["--augment", "flip"])):
                r, seconds = learned(program, folder, work, more)
                print(f"{folder.name:<12} {name:<34} {r['accuracy']:8.4f} {r['loss']:8.4f} {r['c']:6g} {seconds:8.1f}",
                      flush=True)


if __name__ == "__main__":
    main()
