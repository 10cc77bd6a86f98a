"""ocellus ocr against RapidOCR: the same lines, the same letters, how long does each take?

    python tools/peers/ocr_rapidocr.py SET [--ocellus target/release/ocellus] [--threads 1|2] [--cache FILE] [--only rapidocr|ocellus]

SET is a folder made by tools/sets/make_ocr_set.py: pictures and truth.json. Needs rapidocr 3.10.0, onnxruntime 1.31.1,
opencv-python-headless 4.11.0.86, numpy 1.26.4; RapidOCR runs the PP-OCRv6 small models in its package, nothing is downloaded.
Each of the two is one process over the whole set, one after the other; --cache keeps RapidOCR's results, by number of threads.

A found line is paired with a true one by the overlap of their quads (IoU 0.3 or more, the greatest first), what is left by edit
distance (the smallest share first, below 1). A true line is read exactly if its pair has the same text after NFKC and without
outer spaces. The character error rate is the edit distance over the true characters; a missed line counts whole, a found line
without a pair counts as that many insertions.

Times: RapidOCR's own figure (`elapse`; without reading the file; 0 if it finds nothing, then the whole call is taken) and
its whole call from the path; ocellus's "ms". RapidOCR is warmed on the first picture. Memory is the process's greatest
resident size; the start is that of a fresh process to its first line of output, one picture, the median of three.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

PAIRED = 0.3


# ---------------------------------------------------------------- text
def plain(text):
    return unicodedata.normalize("NFKC", text).strip()


def distance(a, b):
    """Levenshtein's."""
    row = list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, d in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (c != d))
    return row[-1]


def overlap(a, b):
    import cv2
    import numpy as np
    p, q = (cv2.convexHull(np.float32(v)) for v in (a, b))
    both, _ = cv2.intersectConvexConvex(p, q)
    union = cv2.contourArea(p) + cv2.contourArea(q) - both
    return both / union if union > 0 else 0.0


def pairs(truth, found):
    """(true, found) by index, None where there is no partner."""
    left, right, out = set(range(len(truth))), set(range(len(found))), []

    def take(candidates):
        for _, i, j in sorted(candidates):
            if i in left and j in right:
                out.append((i, j))
                left.remove(i), right.remove(j)
    take([(-v, i, j) for i in left for j in right if (v := overlap(truth[i]["quad"], found[j]["quad"])) >= PAIRED])
    shares = []
    for i in left:
        for j in right:
            a, b = plain(truth[i]["text"]), plain(found[j]["text"])
            share = distance(a, b) / max(len(a), len(b), 1)
            if share < 1:
                shares.append((share, i, j))
    take(shares)
    return out + [(i, None) for i in sorted(left)] + [(None, j) for j in sorted(right)]


def score(images, records):
    """By picture: which true lines are exact, errors, true characters, lines without a partner on either side."""
    result = {}
    for image in images:
        found = records[image["file"]]["lines"]
        exact, errors, missed, extra = [False] * len(image["lines"]), 0, 0, 0
        for i, j in pairs(image["lines"], found):
            a = plain(image["lines"][i]["text"]) if i is not None else ""
            b = plain(found[j]["text"]) if j is not None else ""
            errors += distance(a, b)
            missed, extra = missed + (j is None), extra + (i is None)
            if i is not None and j is not None:
                exact[i] = a == b
        result[image["file"]] = dict(exact=exact, errors=errors, chars=sum(len(plain(t["text"])) for t in image["lines"]),
                                     missed=missed, extra=extra)
    return result


# ---------------------------------------------------------------- the two
def worker(threads, detect, files):
    """RapidOCR in this process, a JSON line a picture."""
    import logging
    import cv2
    from rapidocr import RapidOCR
    logging.disable(logging.WARNING)
    cv2.setNumThreads(threads)
    engine = RapidOCR(params={"Global.log_level": "critical", "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                              "EngineConfig.onnxruntime.inter_op_num_threads": 1})
    for number, file in enumerate(files):
        if number == 0 and len(files) > 1:
            engine(file, use_det=detect)
        start = time.perf_counter()
        r = engine(file, use_det=detect)
        call = (time.perf_counter() - start) * 1000
        texts = list(r.txts or [])
        # without detection the one line has no quad
        quads = [[[float(v) for v in p] for p in q] for q in r.boxes] if detect and r.boxes is not None else [None] * len(texts)
        scores = [float(s) for s in (r.scores or [])]
        lines = [dict(text=t, score=s, quad=q) for t, s, q in zip(texts, scores, quads)]
        print(json.dumps(dict(path=file, lines=lines, ms=(r.elapse or 0) * 1000 or call, call_ms=call)), flush=True)


def measured(command):
    """Output, greatest resident MiB and milliseconds to the first line of output of a process."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=errors)
        first = child.stdout.readline()
        begun = (time.perf_counter() - start) * 1000
        out = first + child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if child.returncode and not out:
            sys.exit(f"{command[0]} failed ({child.returncode}): {errors.read().decode(errors='replace')[-2000:]}")
    return out.decode(), usage.ru_maxrss / 1024, begun


def rapidocr_command(threads, files, detect=True):
    return [sys.executable, Path(__file__).resolve(), "--worker", "--threads", threads, *([] if detect else ["--no-detect"]), *files]


def ocellus_command(binary, threads, files, more=()):
    return [binary, "ocr", "--json", "--quiet", "--threads", threads, *more, *files]


def by_file(output):
    """Records by file name; a picture that failed has no lines and its error."""
    records = {}
    for line in output.splitlines():
        record = json.loads(line)
        if record.get("type", "ocr") == "ocr":
            record.setdefault("lines", [])
            records[Path(record["path"]).name] = record
    return records


def run(make, files, first):
    """One process over all, then three fresh ones with one picture."""
    out, peak, _ = measured(make(files))
    starts = [measured(make([first]))[2] for _ in range(3)]
    return dict(records=by_file(out), peak_mib=peak, start_ms=statistics.median(starts))


def cached(path, key, names, compute):
    """The cache's result under the key if it holds all pictures, else a computed one, kept."""
    kept = json.loads(Path(path).read_text()) if path and Path(path).exists() else {}
    if key not in kept or not set(names) <= set(kept[key]["records"]):
        kept[key] = compute()
        if path:
            Path(path).write_text(json.dumps(kept, ensure_ascii=False))
    return kept[key]


# ---------------------------------------------------------------- the table
def rate(scores, images):
    lines = [e for image in images for e in scores[image["file"]]["exact"]]
    chars, errors = (sum(scores[image["file"]][k] for image in images) for k in ("chars", "errors"))
    exact = f"{100 * sum(lines) / len(lines):5.1f} %" if lines else "     - "
    cer = f"{100 * errors / chars:6.2f} %" if chars else f"{errors:4d} ins"
    return exact, cer, sum(scores[i["file"]]["missed"] for i in images), sum(scores[i["file"]]["extra"] for i in images)


def table(images, scores):
    kinds = list(dict.fromkeys(image["kind"] for image in images))
    print(f"\n{'kind':<14}{'pictures':>9}{'lines':>7}   " + "   ".join(f"{n:<9} exact      CER missed extra" for n in scores) +
          ("   kept" if len(scores) == 2 else ""))
    for kind in [*kinds, None]:
        some = [i for i in images if kind in (None, i["kind"])]
        cells = []
        for s in scores.values():
            exact, cer, missed, extra = rate(s, some)
            cells.append(f"{exact:>15} {cer:>8} {missed:6d} {extra:5d}")
        line = f"{kind or 'all':<14}{len(some):>9}{sum(len(i['lines']) for i in some):>7}   " + "   ".join(cells)
        if len(scores) == 2:
            theirs, ours = scores["rapidocr"], scores["ocellus"]
            both = [b for i in some for a, b in zip(theirs[i["file"]]["exact"], ours[i["file"]]["exact"]) if a]
            line += f"  {100 * sum(both) / len(both):5.1f} %" if both else "      -"
        print(line)


def spread(values):
    return f"median {statistics.median(values):7.1f}, mean {statistics.mean(values):7.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path, nargs="+", help="the folder with truth.json")
    parser.add_argument("--ocellus", default=Path(__file__).resolve().parents[2] / "target/release/ocellus")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, help="only so many pictures, spread over the kinds")
    parser.add_argument("--cache", type=Path, help="keeps RapidOCR's results")
    parser.add_argument("--only", choices=["rapidocr", "ocellus"])
    parser.add_argument("--differences", action="store_true", help="print the lines that one of the two reads wrong")
    parser.add_argument("--ocellus-option", action="append", default=[], metavar="WORD", help="passed on to `ocellus ocr`")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--no-detect", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args.threads, not args.no_detect, [str(p) for p in args.set])
    folder = args.set[0]
    images = json.loads((folder / "truth.json").read_text())["images"]
    if args.limit and args.limit < len(images):
        images = [images[i * len(images) // args.limit] for i in range(args.limit)]
    names = [i["file"] for i in images]
    files, results = [folder / n for n in names], {}
    if args.only != "ocellus":
        make = lambda f: rapidocr_command(args.threads, f)
        results["rapidocr"] = cached(args.cache, str(args.threads), names, lambda: run(make, files, files[0]))
    if args.only != "rapidocr":
        results["ocellus"] = run(lambda f: ocellus_command(args.ocellus, args.threads, f, args.ocellus_option), files, files[0])
    for name in names:
        for who, result in results.items():
            record = result["records"].setdefault(name, dict(lines=[], status="error", error="no record"))
            if record.get("status", "ok") != "ok":
                print(f"  {who} failed on {name}: {record.get('error')}")
    scores = {who: score(images, result["records"]) for who, result in results.items()}
    if args.differences:
        for image in images:
            for k, line in enumerate(image["lines"]):
                read = {who: s[image["file"]]["exact"][k] for who, s in scores.items()}
                if not all(read.values()):
                    texts = []
                    for who, result in results.items():
                        found = result["records"][image["file"]]["lines"]
                        partner = dict(pairs(image["lines"], found)).get(k)
                        texts.append(f"{who} {'=' if read[who] else repr(found[partner]['text']) if partner is not None else 'nothing'}")
                    print(f"  {image['file']}  {line['text']!r}: " + "; ".join(texts))
    print(f"{folder.name}, {len(images)} pictures, {args.threads} thread{'s' * (args.threads != 1)}")
    table(images, scores)
    print()
    medians = {}
    for who, result in results.items():
        records = [result["records"][n] for n in names]
        times = [r["ms"] for r in records if "ms" in r]
        medians[who] = statistics.median(times) if times else float("nan"), statistics.mean(times) if times else float("nan")
        whole = [r["call_ms"] for r in records if "call_ms" in r]
        print(f"{who:<9} ms a picture {spread(times) if times else '-'}{'; whole call ' + spread(whole) if whole else ''}; "
              f"peak {result['peak_mib']:.0f} MiB; start to first text {result['start_ms']:.0f} ms")
    if len(medians) == 2:
        print(f"ratio     median {medians['ocellus'][0] / medians['rapidocr'][0]:.2f}, mean {medians['ocellus'][1] / medians['rapidocr'][1]:.2f}")


if __name__ == "__main__":
    main()
