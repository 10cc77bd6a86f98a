#!/usr/bin/env python3
"""Time to find 25 templates in four turns and ten sizes on a sheet of 3000 x 2000 pixels: ocellus against OpenCV.

    python tools/peers/label_speed.py --ocellus BINARY SET [--threads 2] [--runs 3] [--half]

The first 25 templates and the first clean sheet of SET (tools/sets/make_drawing_set.py), enlarged or cut to that size. OpenCV:
cv2.matchTemplate (TM_CCOEFF_NORMED) at full resolution, 1000 calls, and nothing done with what it returns; with --half the same
at half the resolution. ocellus: `label templates --no-mirror`, with decoding, writing the data set and starting. Its sizes are seven,
since it fits the size afterwards. OpenCV runs once, ocellus --runs times, all in this one call; printed are seconds and the ratio of OpenCV's
to the median. Needs numpy 1.26.4, opencv-python-headless 4.11.0.86.
"""
import argparse, glob, shutil, statistics, subprocess, tempfile, time
from pathlib import Path
import cv2
import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set")
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--half", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    files = sorted(glob.glob(f"{args.set}/templates/*/*.png"))[:25]
    sheet = cv2.imread(sorted(glob.glob(f"{args.set}/clean/*"))[0], cv2.IMREAD_GRAYSCALE)
    page = np.full((2000, 3000), 255, np.uint8)
    h, w = min(2000, sheet.shape[0]), min(3000, sheet.shape[1])
    page[:h, :w] = sheet[:h, :w]
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        (work / "templates").mkdir()
        for f in files:
            shutil.copy(f, work / "templates")
        cv2.imwrite(str(work / "sheet.png"), page)
        subprocess.run([args.ocellus, "label", "ontology", "--quiet", "--out", work / "o.toml", work / "templates"], stdout=subprocess.DEVNULL)
        ours = []
        for run in range(args.runs):
            start = time.perf_counter()
            subprocess.run([args.ocellus, "label", "templates", "--quiet", "--no-mirror", "--threads", str(args.threads), "--ontology", work / "o.toml",
                            "--images", work / "sheet.png", "--out", work / f"out{run}"], check=True, stdout=subprocess.DEVNULL)
            ours.append(time.perf_counter() - start)
    unit = 0.5 if args.half else 1.0
    page = cv2.resize(page, None, fx=unit, fy=unit, interpolation=cv2.INTER_AREA)
    start, calls = time.perf_counter(), 0
    for f in files:
        template = cv2.imread(f, cv2.IMREAD_GRAYSCALE)
        for scale in np.geomspace(0.8, 1.25, 10):
            small = cv2.resize(template, None, fx=scale * unit, fy=scale * unit, interpolation=cv2.INTER_AREA)
            for turn in range(4):
                cv2.matchTemplate(page, np.ascontiguousarray(np.rot90(small, turn)), cv2.TM_CCOEFF_NORMED)
                calls += 1
    theirs = time.perf_counter() - start
    middle = statistics.median(ours)
    print(f"{len(files)} templates, {calls} searches, {args.threads} threads")
    print(f"OpenCV {'half' if args.half else 'full'} resolution {theirs:.1f} s; ocellus {middle:.2f} s ({', '.join(f'{t:.2f}' for t in ours)}); ratio {theirs / middle:.1f}")


main()
