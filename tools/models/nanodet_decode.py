"""From a picture to NanoDet's input and from its outputs to boxes, in numpy: what the Rust decoder is compared with."""

import cv2
import numpy as np

from nanodet import BINS, SIZE, STRIDES, normalised

SCORE, OVERLAP = 0.25, 0.6
LABELS = """person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|
parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|suitcase|
frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle|
wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|chair|
couch|potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink|
refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush""".replace("\n", "").split("|")


def prepared(pixels):
    """uint8 RGB -> the input tensor: OpenCV's bilinear stretch to 416 x 416."""
    return normalised([cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)])


def detections(outputs, width, height):
    """`outputs` by name -> [(score, class, box)], best first; boxes x1 y1 x2 y2 in pixels of the source.

    Every class of every cell above SCORE counts. Boxes are clipped to the picture before the NMS."""
    scores, boxes = [], []
    for stride in STRIDES:
        row, column = np.divmod(np.arange((SIZE // stride) ** 2), SIZE // stride)
        x, y = (column + 0.5) * stride, (row + 0.5) * stride
        logits = outputs[f"distances_{stride}"][0].astype(np.float64).reshape(-1, 4, BINS)
        chance = np.exp(logits - logits.max(2, keepdims=True))
        left, top, right, bottom = ((chance / chance.sum(2, keepdims=True)) @ np.arange(BINS) * stride).T
        boxes.append(np.stack([x - left, y - top, x + right, y + bottom], 1).clip(0, SIZE))
        scores.append(outputs[f"scores_{stride}"][0])
    scores, boxes = np.concatenate(scores), np.concatenate(boxes)
    kept = []
    for cell, label in sorted(zip(*np.nonzero(scores > SCORE)), key=lambda at: -scores[at]):
        if all(other != label or overlap(boxes[cell], box) <= OVERLAP for _, other, box in kept):
            kept.append((float(scores[cell, label]), int(label), boxes[cell]))
    scale = np.array([width, height, width, height]) / SIZE
    return [(score, label, box * scale) for score, label, box in kept]


def overlap(a, b):
    """Intersection over union."""
    inner = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return inner / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner, 1e-12)
