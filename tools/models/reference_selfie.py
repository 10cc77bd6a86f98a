"""Makes tests/reference/selfie-segmentation.json: the masks that MediaPipe itself computes.

    python tools/models/reference_selfie.py images      # tests/images/mask; requirements-tensorflow.txt
    python tools/models/reference_selfie.py masks       # requirements-mediapipe.txt, an environment of its own

The pictures have exactly the network's size, so no resizer enters. Of each mask the mean of every 16 x 16 block is
stored, row by row, and the share of pixels above 0.5.
"""

import argparse
import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "tests/images/mask"
RESULT = ROOT / "tests/reference/selfie-segmentation.json"
SIZE, BLOCK = 256, 16
SOURCES = {"astronaut": "astronaut.jpg", "grace-hopper": "grace_hopper.jpg", "coffee": "coffee.png"}


def make_images():
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, source in SOURCES.items():
        picture = Image.open(ROOT / "tests/images/detect" / source).convert("RGB")
        picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(PICTURES / f"{name}.png", optimize=True)


def make_masks():
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation
    images = []
    for path in sorted(PICTURES.glob("*.png")):
        with SelfieSegmentation(model_selection=0) as network:  # 0: the square, general model
            mask = network.process(np.asarray(Image.open(path))).segmentation_mask
        blocks = mask.reshape(SIZE // BLOCK, BLOCK, SIZE // BLOCK, BLOCK).mean((1, 3))
        images.append({"file": path.relative_to(ROOT).as_posix(),
                       "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                       "above_half": round(float((mask > 0.5).mean()), 6),
                       "blocks": [round(float(value), 5) for value in blocks.ravel()]})
        print(path.name, images[-1]["above_half"])
    head = {"made_by": "tools/models/reference_selfie.py", "block": BLOCK,
            "versions": {name: version(name) for name in ("mediapipe", "numpy", "pillow")}}
    lines = ",\n  ".join(json.dumps(image) for image in images)
    RESULT.write_text(json.dumps(head)[:-1] + ', "images": [\n  ' + lines + "\n]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["images", "masks"])
    if parser.parse_args().what == "images":
        make_images()
    else:
        make_masks()


if __name__ == "__main__":
    main()
