#!/usr/bin/env python3
"""Licences of all crates that are linked into the binary for one target, as text: each licence text once, under the crates
that carry it. Usage: third_party.py TARGET > CRATES.txt (with the crates fetched: after a build)."""

import collections
import json
import pathlib
import subprocess
import sys


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def texts(folder):
    """Licence files of a crate, by name."""
    names = ("license", "licence", "copying", "notice", "copyright", "unlicense")
    files = [f for f in sorted(folder.iterdir()) if f.is_file() and f.name.lower().startswith(names)]
    return [f.read_text(errors="replace").strip() for f in files]


def main():
    target = sys.argv[1]
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    packages = {(p["name"], p["version"]): p for p in metadata["packages"]}
    # `cargo tree` knows what is linked: no build scripts, no tests, no procedural macros.
    tree = cargo("tree", "--locked", "-e", "normal,no-proc-macro", "--target", target, "--prefix", "none", "--format", "{p}")
    linked = sorted({tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()})
    by_text, without = collections.defaultdict(list), []
    print("ocellus is built from these crates. Their licence texts follow.\n")
    for name, version in linked:
        package = packages[name, version.removeprefix("v")]
        if name == "ocellus":
            continue
        licence, label = package["license"], f"{name} {package['version']}"
        if not licence:
            sys.exit(f"{label}: no licence is declared; expected an SPDX expression")
        print(f"{label:<40} {licence}")
        found = texts(pathlib.Path(package["manifest_path"]).parent)
        for text in found:
            by_text[" ".join(text.split())].append((label, text))
        if not found:
            without.append(f"{label} ({licence}), by {', '.join(package['authors']) or package['repository']}")
    print("\nThese carry no text of their own; LICENSE-MIT and LICENSE-APACHE have the wording of the common ones:\n")
    print("\n".join(without))
    for same in by_text.values():
        print("\n" + "-" * 100 + "\n" + ", ".join(dict.fromkeys(label for label, _ in same)) + "\n\n" + same[0][1])


main()
