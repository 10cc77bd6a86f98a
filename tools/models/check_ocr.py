"""int8 weights of the OCR networks against float32: RapidOCR over a made set with its own networks, then with ours.

    python tools/models/check_ocr.py SET models

Needs what tools/peers/ocr_rapidocr.py needs, and onnx. SET is made by tools/sets/make_ocr_set.py. A softmax is put behind
the recogniser for the run, since RapidOCR expects it there.
"""

import json
import logging
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from ocr_rapidocr import rate, score

from rapidocr import RapidOCR

logging.disable(logging.WARNING)
folder, models = Path(sys.argv[1]), Path(sys.argv[2])
images = json.loads((folder / "truth.json").read_text())["images"]
with tempfile.TemporaryDirectory() as scratch:
    recogniser = onnx.load(models / "pp-ocrv6-rec.onnx")
    recogniser.graph.node.append(helper.make_node("Softmax", ["logits"], ["softmax"], axis=2))
    recogniser.graph.output[0].name = "softmax"
    networks = {"Det": onnx.load(models / "pp-ocrv6-det.onnx"), "Rec": recogniser,
                "Cls": onnx.load(models / "pp-ocr-cls.onnx")}
    ours = {}
    for part, network in networks.items():
        for value in (network.graph.input[0], network.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_param = "N"  # RapidOCR reads lines six at a time
        ours[f"{part}.model_path"] = str(Path(scratch) / f"{part}.onnx")
        onnx.save(network, ours[f"{part}.model_path"])
    for name, params in (("float32", {}), ("int8", ours)):
        engine = RapidOCR(params={"Global.log_level": "critical", **params})
        records = {}
        for image in images:
            r = engine(str(folder / image["file"]))
            texts = list(r.txts or [])
            quads = [[[float(v) for v in p] for p in q] for q in (r.boxes if r.boxes is not None else [])]
            records[image["file"]] = {"lines": [dict(text=t, quad=q) for t, q in zip(texts, quads)]}
        print(name, rate(score(images, records), images))
