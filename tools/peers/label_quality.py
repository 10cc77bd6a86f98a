#!/usr/bin/env python3
"""How well does a program find and name symbols on the drawings of tools/sets/make_drawing_set.py?

    python tools/peers/label_quality.py SET --predictions FILE.jsonl [--threshold T] [--details]

FILE has a JSON object a line: {"path": "../clean/sheet_00.png", "status": "ok", "objects": [{"label": "gate_valve",
"score": 0.93, "box": [x1, y1, x2, y2]}, ..]}. Pictures are known by the last two parts of their paths; of two lines
for one picture the last one counts. A sheet without a line is named, and counts as one where nothing was found; with
--only-present it is left out instead.

A prediction is right if it has the label of a symbol and an IoU of at least 0.5 (--iou) with its box. Predictions are
served by falling score, each takes the symbol with the best IoU that none has taken yet. Printed are precision, recall
and F1 of each condition over thresholds; the same at one threshold (--threshold, else all that the file has); and the
share of right ones by score. --details names what was confused, missed and found where nothing is, at that threshold.
"""
import argparse, collections, json, sys
from pathlib import Path


def key_of(path):
    return "/".join(Path(path.replace("\\", "/")).parts[-2:])


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = lambda r: (r[2] - r[0]) * (r[3] - r[1])  # noqa: E731
    return w * h / (area(a) + area(b) - w * h)


def match(objects, truth, least, classes=True):
    """For each of the objects, which have falling scores, the number of the symbol it takes, or None."""
    free, out = set(range(len(truth))), []
    for o in objects:
        near = [(iou(o["box"], truth[k]["box"]), k) for k in free if not classes or truth[k]["label"] == o["label"]]
        best = max(near, default=(0.0, None))
        out.append(best[1] if best[0] >= least else None)
        free.discard(out[-1])
    return out


def rates(right, found, wanted):
    p, r = right / found if found else 0.0, right / wanted if wanted else 0.0
    return p, r, 2 * p * r / (p + r) if p + r else 0.0


def table(names, rows):
    width = [max(len(str(r[k])) for r in [names] + rows) for k in range(len(names))]
    for r in [names] + rows:
        print("  ".join(str(c).ljust(w) if k == 0 else str(c).rjust(w) for k, (c, w) in enumerate(zip(r, width))).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set")
    parser.add_argument("--predictions", required=True, metavar="FILE")
    parser.add_argument("--threshold", type=float, default=0.0)
    parser.add_argument("--iou", type=float, default=0.5)
    parser.add_argument("--thresholds", default="0.3,0.4,0.5,0.55,0.6,0.65,0.7,0.75,0.8,0.85,0.9,0.95")
    parser.add_argument("--only-present", action="store_true", help="leave out the sheets that FILE has no line for")
    parser.add_argument("--details", action="store_true")
    args = parser.parse_args()

    truth = json.load(open(Path(args.set) / "truth.json"))
    found = {}
    for text in open(args.predictions):
        if text.strip():
            record = json.loads(text)
            if record.get("path") and key_of(record["path"]) in truth:
                if record.get("status", "ok") != "ok":
                    print(f"{record['path']}: status {record['status']}", file=sys.stderr)
                found[key_of(record["path"])] = record.get("objects") or []
    missing = sorted(set(truth) - set(found))
    if missing:
        print(f"no line for {len(missing)} of {len(truth)} sheets: {' '.join(missing)}", file=sys.stderr)
    if args.only_present:
        truth = {k: v for k, v in truth.items() if k in found}
    if not truth:
        sys.exit("nothing to judge")

    # Serving by falling score, what is taken does not depend on the threshold: match once.
    scored = collections.defaultdict(list)  # condition: [(score, right)]
    wanted = collections.Counter()
    for name, symbols in truth.items():
        objects = sorted(found.get(name, []), key=lambda o: -o["score"])
        for o, k in zip(objects, match(objects, symbols, args.iou)):
            for condition in (name.split("/")[0], "all"):
                scored[condition].append((o["score"], k is not None))
        for condition in (name.split("/")[0], "all"):
            wanted[condition] += len(symbols)
    conditions = [c for c in ("clean", "scanned", "worn") if c in wanted] + \
                 sorted(set(wanted) - {"clean", "scanned", "worn", "all"}) + ["all"]

    def at(condition, threshold):
        over = [right for score, right in scored[condition] if score >= threshold]
        return rates(sum(over), len(over), wanted[condition])

    print(f"F1 (precision/recall) over thresholds, IoU {args.iou:g}, class must match")
    rows = [[f"{t:.2f}"] + ["%.3f (%.2f/%.2f)" % ((lambda p, r, f: (f, p, r))(*at(c, t))) for c in conditions]
            for t in (float(x) for x in args.thresholds.split(","))]
    table(["threshold"] + conditions, rows)
    best = []
    for c in conditions:
        some = sorted({s for s, _ in scored[c]})[::max(1, len(scored[c]) // 300)]
        best.append(max([(at(c, t)[2], t) for t in some] or [(0, 0)]))
    print("best F1: " + ", ".join(f"{c} {f:.3f} at {t:.3f}" for c, (f, t) in zip(conditions, best)))

    print(f"\nat threshold {args.threshold:g}")
    rows = []
    for c in conditions:
        over = [right for score, right in scored[c] if score >= args.threshold]
        p, r, f = at(c, args.threshold)
        rows.append([c, wanted[c], len(over), sum(over), f"{p:.3f}", f"{r:.3f}", f"{f:.3f}"])
    table(["condition", "symbols", "found", "right", "precision", "recall", "F1"], rows)

    print("\nshare right by score")
    rows = []
    for k in range(10):
        cells = [f"{k / 10:.1f}-{k / 10 + 0.1:.1f}"]
        for c in conditions:
            inside = [right for score, right in scored[c] if min(9, max(0, int(score * 10 + 1e-9))) == k]
            cells.append(f"{sum(inside) / len(inside):.2f} of {len(inside)}" if inside else "-")
        rows.append(cells)
    table(["score"] + conditions, rows)
    crossed = [s for name in truth for s in truth[name] if s.get("crossed")]

    if not args.details:
        return
    confused, false, missed, total, through, shifted = (collections.Counter() for _ in range(6))
    for name, symbols in truth.items():
        condition = name.split("/")[0]
        objects = sorted((o for o in found.get(name, []) if o["score"] >= args.threshold), key=lambda o: -o["score"])
        taken = match(objects, symbols, args.iou)
        got = {k for k in taken if k is not None}
        for k, s in enumerate(symbols):
            total[s["label"]] += 1
            if k not in got:
                missed[s["label"]] += 1
                through[condition, bool(s.get("crossed"))] += 1
        for o, k in zip(objects, taken):
            if k is None:
                over, at_k = max(((iou(o["box"], s["box"]), j) for j, s in enumerate(symbols)), default=(0.0, None))
                if over >= args.iou:
                    other = symbols[at_k]["label"]
                    confused[o["label"], other if other != o["label"] else other + " (again)"] += 1
                elif over > 0.1 and symbols[at_k]["label"] == o["label"]:
                    shifted[o["label"]] += 1
                else:
                    false[condition, o["label"]] += 1
    print(f"\nconfused at {args.threshold:g} (said, is, times)")
    table(["said", "is", "times"], [[a, b, n] for (a, b), n in confused.most_common(20)])
    print("\nright label, wrong box: " + (", ".join(f"{a} {n}" for a, n in shifted.most_common(15)) or "none"))
    print("\nmissed (label, missed of all)")
    worst = sorted(missed.items(), key=lambda i: -i[1] / total[i[0]])[:25]
    table(["label", "missed", "of"], [[a, n, total[a]] for a, n in worst])
    print(f"missed by condition, crossed or not ({len(crossed)} are crossed): " +
          ", ".join(f"{c}{' crossed' if x else ''} {n}" for (c, x), n in sorted(through.items())))
    print("\nfound where nothing is")
    table(["condition", "label", "times"], [[c, a, n] for (c, a), n in false.most_common(25)])


if __name__ == "__main__":
    main()
