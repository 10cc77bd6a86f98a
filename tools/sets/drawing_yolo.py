#!/usr/bin/env python3
"""Make a YOLO data set of engineering drawings, to measure `ocellus train detect` with.

    drawing_yolo.py OUT --seed N [--train 40] [--val 6] [--test 10] [options of make_drawing_set.py]

writes
    OUT/data.yaml, OUT/images/<part>/<condition>_NN.png or .jpg, OUT/labels/<part>/<condition>_NN.txt

as `ocellus label templates` writes its data sets: a line an object with its class, centre, width and height as shares of
the sheet, six places, cut to the sheet. The sheets are those of make_drawing_set.py, which takes all further options
(--symbols, --count, --width ..). Each part has clean, scanned and worn sheets in turn. No sheet is in two parts, and
all is a function of the arguments. Needs what make_drawing_set.py needs.
"""
import argparse, json, math, shutil, subprocess, sys, tempfile
from pathlib import Path
import cv2

CONDITIONS = ("clean", "scanned", "worn")


def label_file(objects, classes, width, height):
    lines = []
    for o in objects:
        x1, y1, x2, y2 = (min(max(v / n, 0.0), 1.0) for v, n in zip(o["box"], (width, height, width, height)))
        if x2 > x1 and y2 > y1:
            numbers = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
            lines.append(" ".join([str(classes.index(o["label"])), *(f"{v:.6f}" for v in numbers)]) + "\n")
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    for part, count in (("train", 40), ("val", 6), ("test", 10)):
        parser.add_argument(f"--{part}", type=int, default=count, metavar="N", help=f"sheets, {count} unless told")
    args, others = parser.parse_known_args()
    parts = {"train": args.train, "val": args.val, "test": args.test}
    if (args.out / "data.yaml").exists():
        parser.error(f"{args.out} holds a data set already")
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out, prefix=".sheets-") as work:
        work = Path(work)
        each = math.ceil(sum(parts.values()) / len(CONDITIONS))
        maker = Path(__file__).with_name("make_drawing_set.py")
        command = [sys.executable, maker, work, "--seed", args.seed, "--sheets", each, *others]
        subprocess.run([str(c) for c in command], check=True)
        truth = json.loads((work / "truth.json").read_text())
        classes = sorted(p.stem for p in (work / "templates").rglob("*.png"))
        sheets = {c: sorted(name for name in truth if name.startswith(c + "/")) for c in CONDITIONS}
        turn = iter([sheets[c][k] for k in range(each) for c in CONDITIONS])
        for part, count in parts.items():
            for kind in ("images", "labels"):
                (args.out / kind / part).mkdir(parents=True)
            for _ in range(count):
                name = next(turn)
                height, width = cv2.imread(str(work / name), 0).shape
                to = Path(name.replace("/sheet_", "_"))
                shutil.move(work / name, args.out / "images" / part / to)
                text = label_file(truth[name], classes, width, height)
                (args.out / "labels" / part / to.with_suffix(".txt")).write_text(text)
    names = "".join(f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(classes))
    folders = "".join(f"{part}: images/{part}\n" for part, count in parts.items() if count)
    (args.out / "data.yaml").write_text(f"{folders}names:\n{names}")
    print(f"{args.out}: " + ", ".join(f"{count} sheets in {part}" for part, count in parts.items()))


if __name__ == "__main__":
    main()
