#!/usr/bin/env python3
"""The peer of `ocellus label templates`: cv2.matchTemplate over scales and rotations.

    python tools/peers/label_opencv.py SET --out FILE.jsonl [--half] [--threads 1] [--sheets clean/sheet_00.png ..]

Grey pictures, TM_CCOEFF_NORMED, templates cropped to their ink and 2 pixels around it, 10 scales from 0.8 to 1.25, four
rotations, mirrored too where that looks different. Peaks over --least are kept, one in each neighbourhood, then of
those that overlap (IoU over 0.3, or one mostly inside the other) only the best, whatever its label. The score is the
correlation. --half looks for peaks at half the resolution, then refines place and scale at the full one.

Writes the lines that tools/peers/label_quality.py reads, and prints the seconds of each sheet. SET is a folder of
tools/sets/make_drawing_set.py. Needs numpy 1.26.4, opencv-python-headless 4.11.0.86.
"""
import argparse, json, os, time
import cv2
import numpy as np

SCALES = np.geomspace(0.8, 1.25, 10)
PAD = 2


def load_templates(folder):
    """[(label, picture)] cropped to the ink and PAD pixels around it."""
    out = []
    for place, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            t = cv2.imread(os.path.join(place, name), cv2.IMREAD_GRAYSCALE)
            if t is None:
                continue
            ys, xs = np.nonzero(t < 128)
            t = cv2.copyMakeBorder(t, PAD, PAD, PAD, PAD, cv2.BORDER_CONSTANT, value=255)
            out.append((os.path.splitext(name)[0], t[ys.min():ys.max() + 1 + 2 * PAD, xs.min():xs.max() + 1 + 2 * PAD]))
    return out


def poses(t):
    """The template turned and mirrored, without those that look like one already there."""
    out = []
    for flipped in (t, t[:, ::-1]):
        for quarter in range(4):
            p = np.ascontiguousarray(np.rot90(flipped, quarter))
            alike = False
            for q in out:
                if abs(p.shape[0] - q.shape[0]) <= 2 and abs(p.shape[1] - q.shape[1]) <= 2:
                    r = cv2.resize(p, q.shape[::-1])
                    soft = [cv2.GaussianBlur(x, (0, 0), 1.0) for x in (q, r)]
                    alike |= bool(np.corrcoef(soft[0].ravel(), soft[1].ravel())[0, 1] > 0.95)
            if not alike:
                out.append(p)
    return out


def scaled(p, scale):
    size = (max(6, round(p.shape[1] * scale)), max(6, round(p.shape[0] * scale)))
    return cv2.resize(p, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def peaks(response, least, size):
    """Places over `least` that are the highest within half the template's size."""
    k = (max(3, size[0] // 2 | 1), max(3, size[1] // 2 | 1))
    over = np.argwhere((response >= least) & (response >= cv2.dilate(response, np.ones(k[::-1], np.uint8))))
    return [(float(response[y, x]), int(x), int(y)) for y, x in over]


def ink_box(x, y, t, scale):
    pad = PAD * scale
    return [x + pad, y + pad, x + t.shape[1] - pad, y + t.shape[0] - pad]


def search(sheet, templates, least):
    found = []
    for label, variants in templates:
        for p in variants:
            for scale in SCALES:
                t = scaled(p, scale)
                if t.shape[0] >= sheet.shape[0] or t.shape[1] >= sheet.shape[1]:
                    continue
                response = cv2.matchTemplate(sheet, t, cv2.TM_CCOEFF_NORMED)
                found += [(s, label, ink_box(x, y, t, scale)) for s, x, y in peaks(response, least, t.shape[::-1])]
    return found


def search_half(sheet, templates, least):
    """Peaks at half the size, a little below `least`, then the best of near places and scales at full size."""
    small = cv2.resize(sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = []
    for label, variants in templates:
        for p in variants:
            rough = []
            for scale in SCALES:
                t = scaled(p, scale / 2)
                response = cv2.matchTemplate(small, t, cv2.TM_CCOEFF_NORMED)
                rough += [(s, scale, x, y, t.shape) for s, x, y in peaks(response, least - 0.05, t.shape[::-1])]
            kept = []
            for s, scale, x, y, size in sorted(rough, key=lambda r: -r[0]):
                middle = (2 * x + size[1], 2 * y + size[0])
                if all(abs(middle[0] - m[0]) > size[1] / 2 or abs(middle[1] - m[1]) > size[0] / 2 for m in kept):
                    kept.append(middle)
                    best = (-1.0, None)
                    for fine in scale * np.array([0.975, 1.0, 1.025]):
                        t = scaled(p, fine)
                        x0, y0 = (int(m - n / 2) - 4 for m, n in zip(middle, t.shape[::-1]))
                        part = sheet[max(0, y0):y0 + t.shape[0] + 8, max(0, x0):x0 + t.shape[1] + 8]
                        if part.shape[0] < t.shape[0] or part.shape[1] < t.shape[1]:
                            continue
                        _, value, _, (dx, dy) = cv2.minMaxLoc(cv2.matchTemplate(part, t, cv2.TM_CCOEFF_NORMED))
                        best = max(best, (value, ink_box(max(0, x0) + dx, max(0, y0) + dy, t, fine)), key=lambda b: b[0])
                    if best[0] >= least:
                        found.append((best[0], label, best[1]))
    return found


def suppress(found, most=400):
    kept = []
    for s, label, b in sorted(found, key=lambda f: -f[0]):
        area = (b[2] - b[0]) * (b[3] - b[1])
        for _, _, k in kept:
            w, h = min(b[2], k[2]) - max(b[0], k[0]), min(b[3], k[3]) - max(b[1], k[1])
            if w > 0 and h > 0:
                other = (k[2] - k[0]) * (k[3] - k[1])
                if w * h > 0.3 * (area + other - w * h) or w * h > 0.7 * min(area, other):
                    break
        else:
            kept.append((s, label, b))
            if len(kept) == most:
                break
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set")
    parser.add_argument("--out", required=True, metavar="FILE")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--least", type=float, default=0.6, help="drop what correlates less")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheets", nargs="+", metavar="NAME", help="only these, as in truth.json")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)

    templates = [(label, poses(t)) for label, t in load_templates(os.path.join(args.set, "templates"))]
    print(f"{len(templates)} templates, {sum(len(v) for _, v in templates)} poses, {len(SCALES)} scales, "
          f"{args.threads} thread(s), {'half, then full' if args.half else 'full'} resolution", flush=True)
    names = args.sheets or sorted(json.load(open(os.path.join(args.set, "truth.json"))))
    with open(args.out, "w") as out:
        for name in names:
            path = os.path.join(args.set, name)
            start = time.perf_counter()
            sheet = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
            kept = suppress((search_half if args.half else search)(sheet, templates, args.least))
            took = time.perf_counter() - start
            objects = [dict(label=l, score=round(min(1.0, s), 4), box=[round(v, 1) for v in b]) for s, l, b in kept]
            out.write(json.dumps(dict(path=path, status="ok", objects=objects, seconds=round(took, 2))) + "\n")
            out.flush()
            print(f"{name}: {len(objects)} found, {took:.1f} s", flush=True)


if __name__ == "__main__":
    main()
