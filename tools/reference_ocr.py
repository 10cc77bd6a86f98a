"""What RapidOCR reads in tests/images/ocr, beside what stands there, for tests/ocr.rs.

    python tools/reference_ocr.py SET [CODES]

Needs what tools/peers/ocr_rapidocr.py needs. SET and CODES are the folders that make_ocr_set.py made the pictures for (seed
1): their truth.json says what stands in each. Writes tests/reference/ocr.json: of each picture the true lines, the quads and
texts that RapidOCR 3.10.0 finds with its own settings, and for the code_ pictures the pattern and the check digit.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from rapidocr import RapidOCR

ROOT = Path(__file__).resolve().parents[1]
truth = {}
for prefix, folder in zip(("", "code_"), sys.argv[1:]):
    for image in json.loads((Path(folder) / "truth.json").read_text())["images"]:
        truth[prefix + image["file"]] = image
engine = RapidOCR()
images = []
for file in sorted((ROOT / "tests/images/ocr").iterdir()):
    if file.name not in truth:
        continue
    known = truth[file.name]
    entry = {"file": file.name, "truth": [line["text"] for line in known["lines"]]}
    if "pattern" in known:
        entry |= {"pattern": known["pattern"], "check": known["check"], "text": known["text"]}
    found = engine(str(file), use_det="pattern" not in known)
    entry["rapidocr"] = [] if found is None or not found.txts else list(found.txts)
    images.append(entry)
packages = ["rapidocr", "onnxruntime", "opencv-python-headless", "numpy"]
result = {"made_by": "tools/reference_ocr.py", "versions": {p: version(p) for p in packages}, "images": images}
(ROOT / "tests/reference/ocr.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
