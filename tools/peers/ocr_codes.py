"""Codes read with a pattern: RapidOCR's and ocellus's free reading against `ocellus ocr --pattern`.

    python tools/peers/ocr_codes.py SET [--ocellus target/release/ocellus] [--threads 1|2] [--cache FILE] [--only rapidocr|ocellus]

SET is a folder made by `tools/sets/make_ocr_set.py --codes`. Needs what tools/peers/ocr_rapidocr.py needs. Pictures of a single line
are read without detection by both, labels with it. A picture counts as exact if one of its lines has the code's text after NFKC
and without outer spaces (what else stands on a label does not count). With the pattern, a line counts if it is also reported as
matched; every matched line with another text than the code is counted as wrongly matched, also those on a label's other lines.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ocr_rapidocr import by_file, cached, measured, ocellus_command, plain, rapidocr_command


def grouped(images, key):
    groups = defaultdict(list)
    for image in images:
        groups[key(image)].append(image)
    return groups.items()


def rapidocr_reads(folder, images, threads):
    """Free reading, one process with detection and one without."""
    records = {}
    for line, some in grouped(images, lambda i: i["line"]):
        out, _, _ = measured(rapidocr_command(threads, [folder / i["file"] for i in some], detect=not line))
        records.update(by_file(out))
    return dict(records=records)


def ocellus_reads(binary, folder, images, threads, pattern):
    """Free reading, or with each picture's pattern and check digit; one process for those that have the same."""
    records = {}
    for (line, expression, check), some in grouped(images, lambda i: (i["line"], *((i["pattern"], i["check"]) if pattern else (None, None)))):
        more = ["--no-detect"] * line + (["--pattern", expression] if expression else []) + (["--check", check] if check else [])
        out, _, _ = measured(ocellus_command(binary, threads, [folder / i["file"] for i in some], more))
        records.update(by_file(out))
    return dict(records=records)


def judge(images, records, pattern):
    """By picture: exact, the texts that were wrongly reported as matched."""
    verdicts = {}
    for image in images:
        record = records.get(image["file"], dict(lines=[], status="error", error="no record"))
        if record.get("status", "ok") != "ok":
            print(f"  failed on {image['file']}: {record.get('error')}")
        lines = [line for line in record["lines"] if not pattern or line.get("matched")]
        texts = [plain(line["text"]) for line in lines]
        verdicts[image["file"]] = plain(image["text"]) in texts, [line for line, t in zip(lines, texts) if pattern and t != plain(image["text"])]
    return verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--ocellus", default=Path(__file__).resolve().parents[2] / "target/release/ocellus")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--cache", type=Path, help="keeps RapidOCR's results")
    parser.add_argument("--only", choices=["rapidocr", "ocellus"])
    parser.add_argument("--differences", action="store_true", help="print what each made of the codes that not all read")
    args = parser.parse_args()
    images = json.loads((args.set / "truth.json").read_text())["images"][:args.limit]
    names = [i["file"] for i in images]
    results = {}
    if args.only != "ocellus":
        results["rapidocr"] = cached(args.cache, str(args.threads), names, lambda: rapidocr_reads(args.set, images, args.threads))
    if args.only != "rapidocr":
        results["ocellus"] = ocellus_reads(args.ocellus, args.set, images, args.threads, False)
        results["pattern"] = ocellus_reads(args.ocellus, args.set, images, args.threads, True)
    verdicts = {who: judge(images, r["records"], who == "pattern") for who, r in results.items()}

    if args.differences:
        for image in images:
            if not all(v[image["file"]][0] for v in verdicts.values()):
                read = (f"{who} {[line['text'] for line in r['records'].get(image['file'], {}).get('lines', [])]}" for who, r in results.items())
                print(f"  {image['file']}  {image['text']!r}: " + "; ".join(read))
    for name, (_, wrong) in verdicts.get("pattern", {}).items():
        for line in wrong:
            print(f"  wrongly matched in {name}: {line['text']!r}, score {line['score']:.3f}, free {line.get('unconstrained')!r}")
    print(f"{args.set.name}, {len(images)} pictures; exact share")
    print(f"{'':<16}{'pictures':>9}" + "".join(f"{who:>12}" for who in verdicts))
    rows = [(kind, [i for i in images if i["kind"] == kind]) for kind in dict.fromkeys(i["kind"] for i in images)]
    rows += [("single lines", [i for i in images if i["line"]]), ("labels", [i for i in images if not i["line"]]),
             ("check digit", [i for i in images if i["check"]]), ("all", images)]
    for name, some in rows:
        shares = "".join(f"{100 * sum(v[i['file']][0] for i in some) / len(some):10.1f} %" if some else f"{'-':>12}" for v in verdicts.values())
        print(f"{name:<16}{len(some):>9}{shares}")
    if "pattern" in verdicts:
        wrong = [line for _, lines in verdicts["pattern"].values() for line in lines]
        print(f"wrongly matched lines: {len(wrong)}, in {sum(bool(lines) for _, lines in verdicts['pattern'].values())} pictures")


if __name__ == "__main__":
    main()
