"""Makes examples/people: photographs in the public domain that ship inside packages.

    python tools/models/people_pictures.py RUSTFACE

RUSTFACE is the unpacked crate rustface 0.1.7: its test.png is the photograph of the Solvay conference with a caption
below and a red frame around every face. The caption is cut off, the frames are painted over from what is beside them.
"""

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from reference_nanodet import PICTURES, ROOT

FOLDER = ROOT / "examples/people"
CAPTION, WIDTH = 866, 1280  # the row where the caption begins; the width kept


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rustface", type=Path)
    pixels = np.asarray(Image.open(parser.parse_args().rustface / "test.png").convert("RGB"))[:CAPTION]
    frames = (pixels[..., 0].astype(int) - pixels[..., 1] > 24).astype(np.uint8)
    frames = cv2.dilate(frames, np.ones((3, 3), np.uint8))
    clean = Image.fromarray(cv2.inpaint(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), frames, 3, cv2.INPAINT_TELEA))
    height = round(CAPTION * WIDTH / clean.width)
    FOLDER.mkdir(parents=True, exist_ok=True)
    clean.resize((WIDTH, height), Image.Resampling.LANCZOS).save(FOLDER / "solvay-1927.jpg", quality=88, optimize=True)
    for name in ("astronaut.jpg", "grace_hopper.jpg"):
        shutil.copyfile(PICTURES / name, FOLDER / name.replace("_", "-"))


if __name__ == "__main__":
    main()
