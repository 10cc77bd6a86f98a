"""Makes the reference of YOLIC's decode on random scores: what each cell holds, by the rules of the published code.

    python tools/reference_yolic.py   # -> tests/reference/yolic-decode.json

Pinned: numpy 1.26.4. The rules are those of the authors' prediction scripts (github.com/kai3316/YOLIC_code, outdoor_pred.py),
written anew: bits are scores above 0.5; a cell whose only bit is the background's, which is last, is empty; without any bit
the argmax is taken, and the cell is empty if that is the background; the background beside labels is passed over. numpy's
argmax is the first of equals, so labels win ties; with `background_wins` the background does.

Half of the cases have scores in steps of 0.1, where ties are frequent; the others have six digits.
"""

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def decode(scores, labels, background_wins):
    found = []
    for cell in scores.reshape(-1, labels + 1):
        bits = np.where(cell > 0.5, 1, 0)
        normal = np.array([0] * labels + [1])
        index = np.flatnonzero(bits).tolist()
        if (bits == normal).all():
            index = []
        elif not index:
            tie = background_wins and cell[labels] == cell.max()
            index = [labels if tie else int(cell.argmax())]
        found.append([i for i in index if i != labels])
    return found


def main():
    rng = np.random.default_rng(1)
    cases = []
    for i in range(24):
        labels, cells = int(rng.integers(1, 12)), int(rng.integers(1, 24))
        # Low scores as well: cells without any bit.
        scores = rng.random(cells * (labels + 1)) * rng.choice([0.55, 0.8, 1.0], cells).repeat(labels + 1)
        scores = np.round(scores, 1 if i % 2 else 6).astype(np.float32)
        cases.append({"labels": labels, "scores": [round(float(s), 6) for s in scores],
                      "first_wins": decode(scores, labels, False), "background_wins": decode(scores, labels, True)})
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    head = json.dumps({"made_with": {"numpy": np.__version__}})[:-1]
    (ROOT / "tests/reference/yolic-decode.json").write_text(f'{head}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
