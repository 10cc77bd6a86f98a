"""ocellus dedup --hashes against faiss: all pairs of near codes among many, how long does it take, are they the same?

    python tools/peers/dedup_search.py --ocellus BIN [--n 87500 1000000] [--bits 64 256] [--skewed] [--threshold 5]

Makes --n random codes of --bits bits; one in a hundred is another one with 0 to 7 bits flipped. --skewed makes them
like those of photographs: bits of unequal chances that go with their neighbours', and clusters of near codes. All is a
function of --seed.

ocellus is timed as one process, from the file with a code in hex a line to its groups in JSON. faiss-cpu 1.15.1 (numpy
2.4.6, scipy 1.17.1) is timed within its process, adding the codes and finding all pairs, without reading them:
  flat   IndexBinaryFlat.range_search, each with each; above --queries codes only so many of them, spread over all, are
         searched for and the time is that times the ratio, marked "~"
  multi  IndexBinaryMultiHash.range_search: pieces of the code that are equal or nearly so, with as many pieces and
         flips as make that exact at the least work
They run in turn, --repeat times: medians. The peak is the process's resident size.

Then the pairs of `ocellus --pairs` are compared with those of faiss, and if they differ, which codes they connect.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

np = None   # numpy, in the processes that need it


# ---------------------------------------------------------------- codes
def flipped(rng, codes, counts, bits):
    """Codes with so many bits changed in each."""
    order = np.argsort(rng.random((len(codes), bits)), axis=1)
    mask = np.zeros((len(codes), bits), bool)
    np.put_along_axis(mask, order, np.arange(bits)[None] < np.asarray(counts)[:, None], axis=1)
    return codes ^ np.packbits(mask, axis=1)


def photographic(rng, n, bits):
    """Bits on a square: each the sign of a noise that is smooth over the square, around a middle of its own."""
    side = round(bits ** .5)
    at = np.stack(np.divmod(np.arange(bits), side), 1)
    near = np.exp(-((at[:, None] - at[None]) ** 2).sum(2) / (2 * (.09 * side) ** 2))
    mixing = np.linalg.cholesky(near + 1e-6 * np.eye(bits)).astype(np.float32)
    middle = (.35 * rng.standard_normal(bits)).astype(np.float32)
    parts = []
    for start in range(0, n, 50000):
        z = rng.standard_normal((min(50000, n - start), bits), dtype=np.float32) @ mixing.T
        parts.append(np.packbits(z > middle, axis=1))
    return np.concatenate(parts)


def codes_of(n, bits, skewed, seed):
    rng = np.random.default_rng([seed, n, bits, skewed])
    codes = photographic(rng, n, bits) if skewed else rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)
    some = rng.permutation(n)
    k = n // 100
    codes[some[:k]] = flipped(rng, codes[some[k:2 * k]], rng.integers(0, 8, k), bits)    # pairs
    if skewed:
        at, end = 2 * k, 2 * k + n // 20
        while at < end:                                              # clusters: bursts and the like
            size = min(int(rng.geometric(.12)) + 1, end - at)
            members = some[at:at + size]
            codes[members] = flipped(rng, np.repeat(codes[members[:1]], size, 0), rng.integers(0, 7, size), bits)
            at += size
    return codes


# ---------------------------------------------------------------- the two
def pieces_of(n, bits, threshold):
    """How many pieces of how many bits, and how many flips to try in each, to lose no pair at the least work."""
    best = None
    for flips in range(3):
        pieces = threshold // (flips + 1) + 1
        piece = min(bits // pieces, 60)
        tries = sum(math.comb(piece, k) for k in range(flips + 1))
        work = pieces * tries * (8 + n / 2 ** piece)
        if best is None or work < best[0]:
            best = work, (pieces, piece, flips)
    return best[1]


def faiss_run(kind, folder, args):
    """faiss in this process: seconds, and the pairs to a file."""
    import faiss
    faiss.omp_set_num_threads(args.threads)
    codes = np.load(folder / "codes.npy")
    n, bits = len(codes), codes.shape[1] * 8
    asked = np.arange(n)
    if kind == "flat" and n > args.queries:
        asked = np.linspace(0, n - 1, args.queries).astype(np.int64)
    start, cpu = time.perf_counter(), time.process_time()
    if kind == "multi":
        pieces, piece, flips = pieces_of(n, bits, args.threshold)
        index = faiss.IndexBinaryMultiHash(bits, pieces, piece)
        index.nflip = flips
    else:
        index = faiss.IndexBinaryFlat(bits)
    index.add(codes)
    lims, distances, found = index.range_search(codes[asked], args.threshold + 1)       # below the radius
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    a, b = np.repeat(asked, np.diff(lims.astype(np.int64))), found
    keep = a != b
    pairs = np.unique(np.sort(np.stack([a[keep], b[keep]], 1), axis=1), axis=0)
    np.savez(folder / f"{kind}.npz", pairs=pairs, asked=asked)
    print(json.dumps(dict(wall=wall * n / len(asked), cpu=cpu * n / len(asked), part=len(asked) < n)))


def measured(command, out):
    """Wall seconds, CPU seconds and greatest resident MiB of a process; its output goes to a file."""
    with open(out, "wb") as f:
        start = time.perf_counter()
        child = subprocess.Popen([str(c) for c in command], stdout=f)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1):
        sys.exit(f"{command[0]} ended with {child.returncode}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def ocellus_run(folder, args, more=()):
    return measured([args.ocellus, "dedup", "--hashes", folder / "codes.txt", "--threshold", args.threshold,
                     "--threads", args.threads, "--json", *more, *args.ocellus_option], folder / "ocellus.jsonl")


def joined(pairs, n):
    """Which codes are connected: the least code of each one's component."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    graph = coo_matrix((np.ones(len(pairs), np.uint8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    least = np.full(label.max() + 1, n)
    np.minimum.at(least, label, np.arange(n))
    return least[label]


def compared(ours, theirs, n):
    """What there is to say about all pairs (ours) and those with the codes that were asked for."""
    pairs, asked = theirs["pairs"], theirs["asked"]
    if len(asked) < n:
        some = np.zeros(n, bool)
        some[asked] = True
        part = ours[some[ours].any(1)]
        same = len(part) == len(pairs) and (part == pairs).all()
        said = "the same" if same else f"{len(part)} there, NOT THE SAME"
        return f"{len(pairs)} pairs of {len(asked)} codes, {said}"
    if len(ours) == len(pairs) and (ours == pairs).all():
        return f"{len(pairs)} pairs, the same"
    same = (joined(ours, n) == joined(pairs, n)).all()
    said = "the same" if same else "NOT THE SAME"
    return f"{len(pairs)} pairs, {len(ours)} there; the codes they connect are {said}"


def own(step, folder, args, n=0, bits=0):
    """Output and peak of a step in a process of its own. This one stays small: a child's peak is at least what its
    parent has when it starts."""
    skewed, out = ["--skewed"] if args.skewed else [], folder / "out"
    *_, peak = measured([sys.executable, Path(__file__).resolve(), "--worker", step, folder, "--n", n, "--bits",
                         bits or 64, "--threshold", args.threshold, "--threads", args.threads, "--queries",
                         args.queries, "--seed", args.seed, *skewed], out)
    return out.read_text(), peak


def case(n, bits, args, folder):
    own("make", folder, args, n, bits)
    times, part = {}, False
    for _ in range(args.repeat):
        if args.ocellus:
            times.setdefault("ocellus", []).append(ocellus_run(folder, args))
        for kind in args.faiss:
            text, peak = own(kind, folder, args)
            r = json.loads(text)
            part = part or r["part"]
            times.setdefault("faiss " + kind, []).append((r["wall"], r["cpu"], peak))
    print(f"\n{n} codes of {bits} bits{', skewed' if args.skewed else ''}, at most {args.threshold} apart, "
          f"{args.threads} threads, median of {args.repeat}")
    print(f"{'':<14}{'wall s':>12}{'CPU s':>12}{'peak MiB':>12}{'wall ratio':>12}")
    first = None
    for who, runs in times.items():
        wall, cpu, peak = (statistics.median(v) for v in zip(*runs))
        first = first or wall
        about = "~" if who == "faiss flat" and part else ""
        print(f"{who:<14}{about + f'{wall:.3f}':>12}{about + f'{cpu:.3f}':>12}{peak:>12.0f}{wall / first:>12.2f}")
    if args.ocellus:
        ocellus_run(folder, args, ["--pairs"])
    print(own("compare", folder, args, n)[0], end="")


def compare(folder, n):
    """The pairs of each against the first one's that has them all."""
    results = {p.stem: np.load(p) for p in (folder / "multi.npz", folder / "flat.npz") if p.exists()}
    if (folder / "ocellus.jsonl").exists():
        with open(folder / "ocellus.jsonl") as f:
            records = [json.loads(line) for line in f if '"dedup_pair"' in line]
        pairs = np.array([(r["a"] - 1, r["b"] - 1) for r in records], np.int64).reshape(-1, 2)
        results = dict(ocellus=dict(pairs=np.unique(np.sort(pairs, axis=1), axis=0))) | results
    first, *others = results or [None]
    for who in others:
        print(f"{who} against {first}: " + compared(results[first]["pairs"], results[who], n))


def worker(args):
    """A step of this script in a process of its own."""
    global np
    import numpy as np
    step, folder = args.worker[0], Path(args.worker[1])
    if step == "compare":
        return compare(folder, args.n[0])
    if step == "make":
        codes = codes_of(args.n[0], args.bits[0], args.skewed, args.seed)
        (folder / "codes.txt").write_text("".join(row.tobytes().hex() + "\n" for row in codes))
        np.save(folder / "codes.npy", codes)
        return None
    return faiss_run(step, folder, args)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ocellus", metavar="BIN")
    parser.add_argument("--ocellus-option", action="append", default=[], metavar="WORD",
                        help="passed on to `ocellus dedup`")
    parser.add_argument("--n", type=int, nargs="+", default=[87500, 1000000], help="how many codes")
    parser.add_argument("--bits", type=int, nargs="+", default=[64], choices=[64, 256])
    parser.add_argument("--skewed", action="store_true", help="codes like those of photographs")
    parser.add_argument("--threshold", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--queries", type=int, default=100000, help="faiss flat searches for at most so many")
    parser.add_argument("--faiss", nargs="*", choices=["flat", "multi"], default=["flat", "multi"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    for bits in args.bits:
        for n in args.n:
            with tempfile.TemporaryDirectory() as folder:
                case(n, bits, args, Path(folder))


if __name__ == "__main__":
    main()
