"""ocellus dedup against czkawka and imagededup: how many pictures a second does each hash?

    python tools/peers/dedup_speed.py DIR [--ocellus BIN] [--exact] [--czkawka BIN] [--imagededup] [--repeat 1]

DIR is any folder of pictures, such as tools/sets/make_dedup_set.py speed makes. One process after the other over the
whole folder, in turn; before each the page cache is dropped (that needs root; without it, it says so) and none has a
cache of hashes. The times are those of the whole process: reading, decoding, hashing, comparing, printing. --exact runs
ocellus a second time with its option of that name. czkawka_cli 12.0.2 runs at its defaults; imagededup 0.3.3.post2 (in
this Python, with what tools/peers/dedup_quality.py tells) makes PHash with encode_images on --threads processes, and
compares nothing.
CPU seconds hold all processes of each; the peak is the resident size of the largest one.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def cold(needed):
    """Drop the page cache; whether it was."""
    if not needed:
        return False
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return True
    except OSError:
        return False


def measured(command, env=None):
    """Wall seconds, CPU seconds and greatest resident MiB of a process and its children."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        child = subprocess.Popen([str(c) for c in command], stdout=out, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in (0, 1, 11):          # czkawka ends with 11 if it has found something
            out.seek(0)
            sys.exit(f"{command[0]} ended with {child.returncode}: {out.read().decode(errors='replace')[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def czkawka(args, home):
    env = os.environ | dict(HOME=home, XDG_CACHE_HOME=home + "/cache", XDG_CONFIG_HOME=home + "/config",
                            CZKAWKA_CACHE_PATH=home + "/cache", CZKAWKA_CONFIG_PATH=home + "/config")
    return measured([args.czkawka, "image", "-d", args.dir.resolve(), "-T", args.threads, "--disable-cache",
                     "-C", home + "/out.json", "--do-not-print-results", *args.czkawka_option], env)


def worker(folder, threads):
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from dedup_quality import imagededup_hashing
    method = imagededup_hashing().PHash(verbose=False)
    print(len(method.encode_images(image_dir=folder, recursive=True, num_enc_workers=threads)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir", type=Path)
    parser.add_argument("--ocellus", metavar="BIN")
    passed = dict(action="append", default=[], metavar="WORD")
    parser.add_argument("--ocellus-option", **passed, help="passed on to `ocellus dedup`")
    parser.add_argument("--exact", action="store_true", help="ocellus a second time with --exact-hash")
    parser.add_argument("--czkawka", metavar="BIN")
    parser.add_argument("--czkawka-option", **passed, help="passed on to `czkawka_cli image`")
    parser.add_argument("--imagededup", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--warm", action="store_true", help="leave the page cache")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args.dir, args.threads)
    files = [p for p in args.dir.rglob("*") if p.suffix.lower() in SUFFIXES]
    size = sum(p.stat().st_size for p in files) / 1e6
    ocellus = [args.ocellus, "dedup", args.dir, "--json", "--no-cache", "--threads", args.threads, *args.ocellus_option]
    runs = {}
    if args.ocellus:
        runs["ocellus"] = lambda: measured(ocellus)
        if args.exact:
            runs["ocellus --exact-hash"] = lambda: measured([*ocellus, "--exact-hash"])
    if args.czkawka:
        def fresh():
            with tempfile.TemporaryDirectory() as home:
                return czkawka(args, home)
        runs["czkawka"] = fresh
    if args.imagededup:
        runs["imagededup PHash"] = lambda: measured([sys.executable, Path(__file__).resolve(), args.dir, "--worker",
                                                     "--threads", args.threads])
    times, dropped = {who: [] for who in runs}, True
    for _ in range(args.repeat):
        for who, run in runs.items():
            dropped = cold(not args.warm) and dropped
            times[who].append(run())
    print(f"{args.dir.name}: {len(files)} files, {size:.0f} MB, {args.threads} threads, median of {args.repeat}, "
          f"{'cold page cache' if dropped else 'page cache as it was'}")
    print(f"{'':<18}{'wall s':>10}{'images/s':>10}{'MB/s':>10}{'CPU s':>10}{'peak MiB':>10}{'ratio':>8}")
    first = None
    for who, some in times.items():
        wall, cpu, peak = (statistics.median(v) for v in zip(*some))
        first = first or wall
        print(f"{who:<18}{wall:>10.2f}{len(files) / wall:>10.2f}{size / wall:>10.1f}{cpu:>10.1f}{peak:>10.0f}"
              f"{wall / first:>8.2f}")


if __name__ == "__main__":
    main()
