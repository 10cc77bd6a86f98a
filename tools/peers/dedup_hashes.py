"""How far are ocellus' quick and exact hashes from those of imagededup?

    python tools/peers/dedup_hashes.py --ocellus BIN PICTURE ..

Prints, by hash: pictures compared, mean distance in bits, share more than 2 bits off, share not equal, worst. imagededup
does not heed EXIF orientation, so give pictures that lie as they are seen. Needs what tools/peers/dedup_quality.py tells.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from dedup_quality import imagededup_hashing  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ocellus", required=True, metavar="BIN")
    parser.add_argument("pictures", nargs="+")
    args = parser.parse_args()
    hashing = imagededup_hashing()
    peers = dict(dhash=hashing.DHash(verbose=False), phash=hashing.PHash(verbose=False))
    for name, peer in peers.items():
        reference = {path: peer.encode_image(image_file=path) for path in args.pictures}
        for option in ([], ["--exact-hash"]):
            command = [args.ocellus, "dedup", "hash", "--quiet", "--json", "--hash", name, *option, "--", *args.pictures]
            lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
            records = [r for r in map(json.loads, lines) if r["status"] == "ok" and reference[r["path"]]]
            off = [bin(int(r["hash"], 16) ^ int(reference[r["path"]], 16)).count("1") for r in records]
            share = lambda least: 100 * sum(d >= least for d in off) / len(off)  # noqa: E731
            print(f"{name} {'exact' if option else 'quick'}: {len(off)} pictures, mean {sum(off) / len(off):.3f} bits, "
                  f"more than 2: {share(3):.2f} %, not equal: {share(1):.2f} %, worst {max(off)}")


if __name__ == "__main__":
    main()
