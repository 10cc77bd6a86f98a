"""The hashes of pictures as imagededup makes them, in JSON: what tests/reference/dedup.json is compared with.

    python tools/reference_hashes.py PICTURE .. > tests/reference/dedup.json

Needs imagededup 0.3.3.post2 with what tools/peers/dedup_quality.py tells (torch is not needed). A hash is 16 digits in
hex. imagededup does not heed a picture's EXIF orientation.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from dedup_quality import imagededup_hashing  # noqa: E402


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    hashing = imagededup_hashing()
    methods = dict(dhash=hashing.DHash(verbose=False), phash=hashing.PHash(verbose=False))
    images = []
    for path in sys.argv[1:]:
        hashes = {name: method.encode_image(image_file=path) for name, method in methods.items()}
        images.append(dict(file=Path(path).name, **hashes))
    versions = {name: version(name) for name in ("imagededup", "numpy", "pillow", "scipy")}
    print(json.dumps(dict(versions=versions, images=images), indent=1))


if __name__ == "__main__":
    main()
