"""ocellus dedup against imagededup and czkawka: which copies does each find, and what does it wrongly take for one?

    python tools/peers/dedup_quality.py SET [--ocellus BIN] [--imagededup] [--czkawka BIN] [--cache FILE] [--list]

SET is a folder made by tools/sets/make_dedup_set.py quality. Two of its files are duplicates if they are of one scene.
Needs nothing more for ocellus; imagededup 0.3.3.post2 with numpy 2.4.6, pillow 13.0.0, scipy 1.17.1, PyWavelets 1.9.0,
scikit-learn 1.9.1, matplotlib 3.11.2, tqdm 4.70.1 (torch is not needed, its half of imagededup is left out; `pip
install --no-deps imagededup`, then the others); czkawka_cli 12.0.2 (`cargo install --locked`).

ocellus and czkawka give groups: each two files of one group count as found. imagededup gives pairs: PHash and DHash,
their own threshold of 10 bits; it does not heed EXIF orientation. czkawka runs at its defaults (among them: files below
16 KiB are left out), in an empty cache folder. --cache keeps the peers' results by set.

Precision is the share of the found pairs that are duplicates, over all and without the pairs that have a blank frame;
recall by kind is that of the pairs (base, its copy); the last line of recall is over all pairs of the same scene.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

GROUPS = ["light", "colour", "watermark", "crop5", "burst", "blank"]


def pair(a, b):
    return (a, b) if a < b else (b, a)


def every_pair(groups):
    return {pair(a, b) for group in groups for a, b in itertools.combinations(sorted(set(group)), 2)}


# ---------------------------------------------------------------- the three
def ocellus(binary, folder, options):
    run = subprocess.run([binary, "dedup", folder, "--json", *options], stdout=subprocess.PIPE, text=True)
    if run.returncode not in (0, 1):
        sys.exit(f"{binary} ended with {run.returncode}")
    records = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    groups = [r for r in records if r.get("type") == "dedup_group"]
    return every_pair([inside(folder, [f["path"] for f in g["files"]]) for g in groups])


def inside(folder, paths):
    return [os.path.relpath(os.path.realpath(p), os.path.realpath(folder)) for p in paths]


def imagededup_hashing():
    """imagededup's hashing without its networks, which would need torch."""
    for name, members in {"methods.cnn": ["CNN"], "utils.models": ["CustomModel", "MobilenetV3", "DEFAULT_MODEL_NAME"],
                          "utils.data_generator": ["img_dataloader"]}.items():
        module = sys.modules["imagededup." + name] = types.ModuleType("imagededup." + name)
        for member in members:
            setattr(module, member, None)
    from imagededup.methods import hashing
    return hashing


def imagededup(folder, method, threshold=10):
    found = getattr(imagededup_hashing(), method)(verbose=False).find_duplicates(
        image_dir=str(folder), max_distance_threshold=threshold, recursive=True)
    return {pair(os.path.normpath(a), os.path.normpath(b)) for a, others in found.items() for b in others}


def czkawka(binary, folder, options):
    with tempfile.TemporaryDirectory() as home:
        out = Path(home) / "out.json"
        env = os.environ | dict(HOME=home, XDG_CACHE_HOME=home + "/cache", XDG_CONFIG_HOME=home + "/config",
                                CZKAWKA_CACHE_PATH=home + "/cache", CZKAWKA_CONFIG_PATH=home + "/config")
        run = subprocess.run([binary, "image", "-d", Path(folder).resolve(), "-C", out, *options], env=env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not out.exists():
            sys.exit(f"{binary} wrote nothing (ended with {run.returncode}): {run.stdout[-2000:]}")
        groups = json.loads(out.read_text())
    return every_pair([inside(folder, [f["path"] for f in g]) for g in groups])


def cached(path, key, compute):
    kept = json.loads(Path(path).read_text()) if path and Path(path).exists() else {}
    if key not in kept:
        kept[key] = sorted(compute())
        if path:
            Path(path).write_text(json.dumps(kept))
    return {tuple(p) for p in kept[key]}


# ---------------------------------------------------------------- the table
def share(part, whole):
    return f"{100 * part / whole:.2f} %" if whole else "-"


def line(title, cells):
    print(f"{title:<32}" + "".join(f"{c:>20}" for c in cells))


def named(kinds, kind):
    """The kinds that a row of the table stands for."""
    return [k for k in kinds if k == kind or k.startswith(kind + "-")]


def rows(kinds):
    """Each kind, the ones that belong together after their common name."""
    out = []
    for kind in sorted(kinds):
        group = kind.split("-")[0]
        if group in GROUPS and group not in out and kind != group:
            out.append(group)
        out.append(kind)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path, help="the folder with truth.json")
    parser.add_argument("--ocellus", metavar="BIN")
    passed = dict(action="append", default=[], metavar="WORD")
    parser.add_argument("--ocellus-option", **passed, help="passed on to `ocellus dedup`")
    parser.add_argument("--imagededup", action="store_true", help="imagededup in this Python")
    parser.add_argument("--czkawka", metavar="BIN")
    parser.add_argument("--czkawka-option", **passed, help="passed on to `czkawka_cli image`")
    parser.add_argument("--cache", type=Path, help="keeps the peers' results")
    parser.add_argument("--list", action="store_true", help="print the false pairs and the missed copies")
    args = parser.parse_args()
    truth = json.loads((args.set / "truth.json").read_text())["files"]
    found, key = {}, args.set.resolve().name
    if args.ocellus:
        found["ocellus"] = ocellus(args.ocellus, args.set, args.ocellus_option)
    if args.imagededup:
        from importlib.metadata import version
        print("imagededup " + version("imagededup"))
        for method in ("PHash", "DHash"):
            found[method] = cached(args.cache, f"{key} {method}", lambda: imagededup(args.set, method))
    if args.czkawka:
        print(subprocess.run([args.czkawka, "--version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()[0])
        options = args.czkawka_option
        found["czkawka"] = cached(args.cache, " ".join([key, "czkawka", *options]),
                                  lambda: czkawka(args.czkawka, args.set, options))
    for who, pairs in found.items():
        unknown = {p for p in pairs if p[0] not in truth or p[1] not in truth}
        if unknown:
            print(f"{who}: {len(unknown)} pairs with files that are not in truth.json, left out")
            pairs -= unknown
    if not found:
        sys.exit("nothing to compare: --ocellus, --imagededup or --czkawka")

    scenes = {}
    for name, t in truth.items():
        scenes.setdefault(t["scene"], []).append(name)
    same = every_pair(scenes.values())
    base = {t["scene"]: name for name, t in truth.items() if t["kind"] == "base"}
    copies = {}
    for name, t in truth.items():
        if t["scene"] in base and t["kind"] != "base":
            copies.setdefault(t["kind"], set()).add(pair(name, base[t["scene"]]))
    kind = {name: t["kind"] for name, t in truth.items()}
    blank = {p for pairs in found.values() for p in pairs if any(kind[n].startswith("blank") for n in p)}

    print(f"{key}: {len(truth)} files, {len(base)} bases, {sum(map(len, copies.values()))} copies, "
          f"{len(same)} pairs of one scene\n")
    line("", found)
    line("pairs found", [len(p) for p in found.values()])
    line("of them false", [len(p - same) for p in found.values()])
    line("precision", [share(len(p & same), len(p)) for p in found.values()])
    line("precision without blank frames", [share(len(p & same - blank), len(p - blank)) for p in found.values()])
    print("\nrecall of (base, copy)")
    for row in rows(copies):
        some = set().union(*(copies[k] for k in named(copies, row)))
        line(f"  {row} ({len(some)})", [share(len(p & some), len(some)) for p in found.values()])
    every = set().union(*copies.values())
    line(f"  all copies ({len(every)})", [share(len(p & every), len(every)) for p in found.values()])
    line("recall of all pairs of one scene", [share(len(p & same), len(same)) for p in found.values()])
    print("\nfalse pairs by the kinds of the two (copy: a base or a copy)")
    row = {name: "copy" if k == "base" or k in copies else k for name, k in kind.items()}
    wrong = {who: {p: " / ".join(sorted(row[n] for n in p)) for p in pairs - same} for who, pairs in found.items()}
    for what in sorted({w for pairs in wrong.values() for w in pairs.values()}):
        line("  " + what, [sum(w == what for w in pairs.values()) for pairs in wrong.values()])
    if args.list:
        for who, pairs in found.items():
            print(f"\n{who}")
            for a, b in sorted(pairs - same):
                print(f"  false   {kind[a]:<18} {a}   {kind[b]:<18} {b}")
            for a, b in sorted(every - pairs):
                a, b = (a, b) if kind[b] != "base" else (b, a)
                print(f"  missed  {kind[b]:<18} {b}   {truth[b].get('amount', '')}")


if __name__ == "__main__":
    main()
