#!/usr/bin/env python3
r"""Fits the probability of a match of `ocellus label templates` to drawings of which the truth is known.

    OCELLUS_LOG=ocellus=debug ocellus label templates --threads 1 --ontology SET.toml --images SET/clean --images SET/scanned \
        --images SET/worn --out DIR 2> LOG
    python tools/peers/label_calibration.py SET=LOG [SET=LOG ..]

The log has a line `evidence TEMPLATE RECALL CORRELATION LENGTH FREE COMMONNESS [BOX]` for each match, and `picture PATH`
before those of a picture and `names CLASS ..` before all. A match is right if it has the class of a symbol and an IoU of at least 0.5 with it, each symbol
once. Sets count alike, whatever their size. Printed are the weights of src/tasks/label/compete.rs and, for each set left
out of the fit in turn, how probable the matches were that were right.
"""
import json, re, sys
import numpy as np
from sklearn.linear_model import LogisticRegression
from label_quality import iou, key_of

LINE = re.compile(r"evidence (\d+) (\S+) (\S+) (\S+) (\S+) (\S+) \[(.*)\]")


def read(folder, log):
    truth = json.load(open(f"{folder}/truth.json"))
    names, rows, key = [], [], None
    for line in open(log):
        if "names " in line:
            names = line.split("names ", 1)[1].split()
        elif "picture " in line:
            key = key_of(line.split("picture ", 1)[1].strip())
            free = set(range(len(truth[key])))
            found = []
            rows.append((key, found, free))
        elif m := LINE.search(line):
            values = [float(v) for v in m.groups()[1:6]]
            found.append((names[int(m[1])], values, [float(v) for v in m[7].split(",")]))
    x, y = [], []
    for key, found, free in rows:
        for label, values, box in sorted(found, key=lambda f: -f[1][0] - f[1][1]):
            near = max(((iou(box, truth[key][k]["box"]), k) for k in free if truth[key][k]["label"] == label), default=(0, None))
            y.append(near[0] >= 0.5)
            if y[-1]:
                free.discard(near[1])
            recall, correlation, length, alone, common = values
            x.append([recall, correlation, np.log(max(length, 1)), alone, np.log(1 + common)])
    return np.array(x), np.array(y)


def fit(sets):
    x, y = np.vstack([s[0] for s in sets]), np.concatenate([s[1] for s in sets])
    weights = np.concatenate([np.full(len(s[1]), 1000 / s[1].sum()) for s in sets])
    mean, sd = x.mean(0), x.std(0)
    model = LogisticRegression(C=1.0, max_iter=1000).fit((x - mean) / sd, y, sample_weight=weights)
    slope = model.coef_[0] / sd
    return slope, model.intercept_[0] - (slope * mean).sum()


def main():
    sets = {arg.split("=")[0]: read(*arg.split("=")) for arg in sys.argv[1:]}
    slope, offset = fit(list(sets.values()))
    print("CALIBRATION:", ", ".join(f"{v:.2f}" for v in [*slope, offset]))
    for name, (x, y) in sets.items():
        rest = [s for n, s in sets.items() if n != name] or [(x, y)]
        slope, offset = fit(rest)
        p = 1 / (1 + np.exp(-(x @ slope + offset)))
        print(f"{name}, fitted to the others:" if len(sets) > 1 else f"{name}:")
        for low in np.arange(0.1, 1.0, 0.1):
            here = (p >= low) & (p < low + 0.1 + 1e-9)
            if here.any():
                print(f"  {low:.1f} to {low + 0.1:.1f}: {y[here].mean():.2f} of {here.sum()} right")


main()
