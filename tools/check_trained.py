"""Runs a classifier that `ocellus train classes` wrote in ONNX Runtime and compares with `ocellus classify --json`.

    pip install onnxruntime==1.31.1 pillow==13.0.0 numpy
    python tools/check_trained.py target/release/ocellus m.onnx PICTURE...

Pictures are prepared here: the part that the metadata names is cut out, stretched with Pillow's bilinear filter (which counts
every source pixel, as ours does, but rounds in other places: probabilities then differ by a few hundredths at most; PNG files of
the network's own size show the network alone), RGB of 0 to 1.
"""

import ast
import json
import subprocess
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def prepared(path, size, region):
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    if region:
        w, h = picture.size
        x1, y1, x2, y2 = (float(v) for v in region.split(","))
        edge = lambda share, side: int(np.floor(share * side + 0.5))
        picture = picture.crop((edge(x1, w), edge(y1, h), edge(x2, w), edge(y2, h)))
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255)


def main():
    program, model, *pictures = sys.argv[1:]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    assert notes["task"] == "classify" and notes["fit"] == "stretch", notes
    names = ast.literal_eval(notes["names"])
    [given] = session.get_inputs()
    [output] = session.get_outputs()
    size = (given.shape[3], given.shape[2])
    print("input", given.name, given.shape, "output", output.name, output.shape, notes)
    run = subprocess.run([program, "classify", "--json", "--quiet", "--top", "100000", "--model", model, *pictures],
                         check=True, capture_output=True, text=True)
    worst, same = 0.0, 0
    records = [json.loads(line) for line in run.stdout.splitlines()]
    for record in records:
        [row] = session.run(None, {given.name: prepared(record["path"], size, notes.get("region"))})[0]
        ours = np.zeros(len(names))
        for c in record["classes"]:
            assert names[c["class"]] == c["label"]
            ours[c["class"]] = c["score"]
        worst = max(worst, np.abs(ours - row).max())
        same += names[int(row.argmax())] == record["label"]
    print(f"{len(records)} pictures, the same class in {same}, probabilities differ by {worst:.1e} at most")


if __name__ == "__main__":
    main()
