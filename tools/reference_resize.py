"""What OpenCV's bilinear resize makes of a small made picture, for src/preprocess/bilinear.rs.

    python tools/reference_resize.py > tests/reference/resize.json

The picture is 23 x 17, value (x * 37 + y * 91 + c * 53 + x * y * 7) % 256 in channel c. Rows of the output follow each
other, three values a pixel.
"""

import json
import sys

import cv2
import numpy as np

y, x, c = np.mgrid[:17, :23, :3]
picture = ((x * 37 + y * 91 + c * 53 + x * y * 7) % 256).astype(np.uint8)
sizes = [(8, 5), (40, 31), (23, 9), (12, 17), (1, 1)]
resized = [{"width": w, "height": h,
            "pixels": cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR).ravel().tolist()} for w, h in sizes]
json.dump({"made_by": "tools/reference_resize.py", "versions": {"opencv": cv2.__version__}, "resized": resized},
          sys.stdout, separators=(",", ":"))
print()
