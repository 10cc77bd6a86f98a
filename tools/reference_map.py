"""Makes the reference figures of detections: what ultralytics itself says of the same made boxes.

    python tools/reference_map.py   # -> tests/reference/map.json

Needs ultralytics 8.4.190 (AGPL-3.0: run, never copied into this tree), torch 2.5.1, numpy 2.4.6. Boxes are x1, y1, x2, y2;
objects are [class, box], detections [class, score, box]. Averages are over the classes that there are objects of, and
only these are listed. The confusion matrix is theirs: rows are what was predicted, columns the truth, the background last;
detections above 0.25, overlaps above 0.45. Scores are all different: what is equal would be ordered by chance.
"""

import json
import os
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
import numpy as np
import torch
from ultralytics.engine.validator import BaseValidator
from ultralytics.utils.metrics import ConfusionMatrix, ap_per_class, box_iou

ROOT = Path(__file__).resolve().parents[1]
SIDE = 400


def made(rng, pictures, classes, missed, confused, spurious, jitter):
    """Pictures with objects, most of them found a little off, some twice or as another class, and inventions."""

    def box():
        w, h = rng.uniform(20, 90, 2)
        x, y = rng.uniform(0, SIDE - w), rng.uniform(0, SIDE - h)
        return np.array([x, y, x + w, y + h])

    made = []
    for _ in range(pictures):
        # The last class has no objects, only inventions.
        truth = [[int(rng.integers(0, max(1, classes - 1))), box()] for _ in range(rng.integers(0, 9))]
        found = []
        for label, b in truth:
            for _ in range(rng.choice([1, 2], p=[0.85, 0.15])):
                if rng.random() < missed:
                    continue
                size = np.tile(b[2:] - b[:2], 2)
                label_found = int(rng.integers(0, classes)) if rng.random() < confused else label
                found.append([label_found, float(rng.beta(4, 2)), b + rng.normal(0, jitter, 4) * size])
        found += [[int(rng.integers(0, classes)), float(rng.beta(1.5, 4)), box()] for _ in range(rng.poisson(spurious))]
        made.append({
            "truth": [[label, [round(float(v), 2) for v in b]] for label, b in truth],
            "found": [[label, round(score, 5), [round(float(v), 2) for v in b]] for label, score, b in found],
        })
    scores = [d[1] for p in made for d in p["found"]]
    assert len(set(scores)) == len(scores), "equal scores: take another seed"
    return made


def judged(pictures, classes):
    iouv = torch.linspace(0.5, 0.95, 10)
    hits, scores, labels, truths = [np.zeros((0, 10), bool)], [], [], []
    matrix = ConfusionMatrix(names={i: str(i) for i in range(classes)}, task="detect")
    for p in pictures:
        found = sorted(p["found"], key=lambda d: -d[1])
        boxes = torch.tensor([d[2] for d in found]).reshape(-1, 4)
        true = torch.tensor([t[1] for t in p["truth"]]).reshape(-1, 4)
        cls, true_cls = torch.tensor([d[0] for d in found]), torch.tensor([t[0] for t in p["truth"]])
        conf = torch.tensor([d[1] for d in found])
        if len(found) and len(true):
            match = BaseValidator.match_predictions(SimpleNamespace(iouv=iouv), cls, true_cls, box_iou(true, boxes))
            hits.append(match.numpy())
        else:
            hits.append(np.zeros((len(found), 10), bool))
        scores += [d[1] for d in found]
        labels += [d[0] for d in found]
        truths += [t[0] for t in p["truth"]]
        matrix.process_batch({"cls": cls, "conf": conf, "bboxes": boxes}, {"cls": true_cls, "bboxes": true}, conf=0.25)
    _, _, p, r, f1, ap, known, *_ = ap_per_class(
        np.concatenate(hits), np.array(scores), np.array(labels), np.array(truths)
    )
    by_class = [
        {"class": int(c), "precision": p[i], "recall": r[i], "f1": f1[i], "ap50": ap[i, 0], "ap": ap[i].mean()}
        for i, c in enumerate(known)
    ]
    return {
        "map50": ap[:, 0].mean(),
        "map": ap.mean(),
        "by_class": [{k: v if k == "class" else round(float(v), 6) for k, v in row.items()} for row in by_class],
        "confusion": matrix.matrix.astype(int).tolist(),
    }


def main():
    rng = np.random.default_rng(8)
    cases = []
    for name, args in [
        ("usual", (12, 4, 0.1, 0.1, 1.5, 0.04)),
        ("poor", (10, 3, 0.5, 0.3, 5.0, 0.12)),
        ("good", (8, 6, 0.02, 0.0, 0.2, 0.01)),
        ("one class", (5, 1, 0.2, 0.0, 1.0, 0.05)),
    ]:
        pictures, classes = made(rng, *args), args[1]
        cases.append({"name": name, "classes": classes, "pictures": pictures, **judged(pictures, classes)})
    versions = {p: version(p) for p in ["ultralytics", "torch", "numpy"]}
    text = json.dumps({"made_by": "tools/reference_map.py", "versions": versions, "cases": cases})
    text = text.replace('{"name"', '\n{"name"').replace('{"truth"', '\n {"truth"').replace('"map50"', '\n "map50"')
    (ROOT / "tests/reference/map.json").write_text(text + "\n")
    for c in cases:
        print(c["name"], len(c["pictures"]), "pictures", round(c["map50"], 4), round(c["map"], 4))


if __name__ == "__main__":
    main()
