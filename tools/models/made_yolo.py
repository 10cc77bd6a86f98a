"""Trains a very small detection network on made pictures and writes it in the three forms a YOLO export has.

    python tools/models/made_yolo.py          # tests/models/made-{detect,seg,end2end}.onnx and tests/images/shapes/*.png
    python tools/models/made_yolo.py images   # the pictures alone

Pinned: numpy 1.26.4, onnx 1.16.2, pillow 13.0.0, torch 2.5.1; some minutes on one core, fixed seed. The networks exist for
the tests: inputs, outputs and metadata are laid out as ultralytics writes them (8.4), everything else is our own: the
pictures (made_shapes.py), the network, its training. Nothing here comes from the ultralytics package.

- made-detect: output0 1 x (4 + classes) x 2100, centre x, centre y, width, height in input pixels, scores 0..1
- made-seg: output0 1 x (4 + classes + 32) x 2100, output1 1 x 32 x 80 x 80, the mask prototypes
- made-end2end: output0 1 x 300 x 6, x1, y1, x2, y2, score, class, the best score first; no suppression left to do

Several neighbouring anchors answer for each object, so the first two need non-maximum suppression. The third has scores
of its own, trained to answer once an object; a score that is not the largest of its 3x3 neighbours is dropped.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

from made_shapes import box, scene

ROOT = Path(__file__).resolve().parents[2]
NAMES = {0: "disc", 1: "hình vuông", 2: "triangle"}
SIDE, STRIDES, MASKS = 320, (8, 16, 32), 32
SIZES = ((0, 60), (44, 120), (88, 1000))  # square root of a box's area each level answers for; these overlap
SINGLE = (52, 104)  # the same for the scores of the end-to-end form: no overlap
SCENES, STEPS, BATCH, RATE = 1000, 1000, 8, 4e-3
PICTURES = {"plain": (320, 320, 4), "wide": (480, 270, 7), "tall": (97, 411, 4), "photo": (333, 500, 6), "strip": (500, 90, 5),
            "small": (61, 48, 1)}


class Conv(nn.Sequential):
    """Convolution, BatchNorm, SiLU."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1):
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(outputs), nn.SiLU())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 12, 3, 2), Conv(12, 20, 3, 2), Conv(20, 20))
        self.down = nn.ModuleList([nn.Sequential(Conv(20, 28, 3, 2), Conv(28, 28)),
                                   nn.Sequential(Conv(28, 32, 3, 2), Conv(32, 32, 3, 1, 32), Conv(32, 32, 1)),
                                   nn.Sequential(Conv(32, 32, 3, 2), Conv(32, 32, 3, 1, 32), Conv(32, 32, 1))])
        self.up = nn.ModuleList([Conv(32, 28, 1), Conv(32, 32, 1)])
        self.head = nn.ModuleList(nn.Sequential(Conv(c, c, 3, 1, c), Conv(c, 32, 1)) for c in (28, 32, 32))
        self.boxes, self.scores, self.single, self.masks = (
            nn.ModuleList(nn.Conv2d(32, outputs, 1) for _ in STRIDES) for outputs in (4, len(NAMES), len(NAMES), MASKS))
        self.proto_up = Conv(28, 20, 1)
        self.proto = nn.Sequential(Conv(20, 32), Conv(32, MASKS, 1))
        for layer in [*self.scores, *self.single]:
            nn.init.constant_(layer.bias, -4.6)
        for layer in self.boxes:
            nn.init.constant_(layer.bias, 1.0)

    def forward(self, x):
        """Each level's features, and the prototypes."""
        fine = self.stem(x)
        maps = [fine]
        for down in self.down:
            maps.append(down(maps[-1]))
        p5 = maps[3]
        p4 = maps[2] + F.interpolate(self.up[1](p5), scale_factor=2.0)
        p3 = maps[1] + F.interpolate(self.up[0](p4), scale_factor=2.0)
        levels = [head(p) for head, p in zip(self.head, (p3, p4, p5))]
        return levels, self.proto(fine + F.interpolate(self.proto_up(p3), scale_factor=2.0))


def flat(layers, levels):
    """The layers' answers at all anchors: batch x channels x anchors."""
    return torch.cat([layer(level).flatten(2) for layer, level in zip(layers, levels)], 2)


def anchors():
    """Centre x, y of each cell in input pixels, and its stride."""
    parts = []
    for stride in STRIDES:
        line = (torch.arange(SIDE // stride) + 0.5) * stride
        y, x = torch.meshgrid(line, line, indexing="ij")
        parts.append(torch.stack([x.flatten(), y.flatten(), torch.full((line.numel() ** 2,), float(stride))]))
    return torch.cat(parts, 1)


def corners(distances, where):
    """Left, top, right, bottom distances -> x1, y1, x2, y2. Both batch x 4 x anchors."""
    d = distances.clamp(max=4.5).exp() * where[2]
    return torch.cat([where[:2] - d[:, :2], where[:2] + d[:, 2:]], 1)


def target(objects, where):
    """For each anchor: the object it answers for, -1 if none, and the share 0..1 of `single` it should have."""
    owner = np.full(where.shape[1], -1)
    nearest = np.full(where.shape[1], np.inf)
    single = np.zeros((len(NAMES), where.shape[1]), np.float32)
    x, y, stride = where.numpy()
    for i, (kind, mask) in enumerate(objects):
        x1, y1, x2, y2 = box(mask)
        size = np.sqrt((x2 - x1) * (y2 - y1))
        dx, dy = (x - (x1 + x2) / 2) / (x2 - x1), (y - (y1 + y2) / 2) / (y2 - y1)
        far = np.maximum(np.abs(dx), np.abs(dy))
        level = np.zeros(len(x), bool)
        for s, (low, high) in zip(STRIDES, SIZES):
            level |= (stride == s) & (size >= low) & (size < high)
        inner = far < np.maximum(0.25, 0.5 * stride / min(x2 - x1, y2 - y1))
        take = level & inner & (far < nearest)
        owner[take], nearest[take] = i, far[take]
        own = STRIDES[int(size >= SINGLE[0]) + int(size >= SINGLE[1])]
        there = stride == own
        distance = np.hypot(x - (x1 + x2) / 2, y - (y1 + y2) / 2) / own
        share = np.where(there, np.exp(-distance ** 2 / 2), 0)
        share[np.argmin(np.where(there, distance, np.inf))] = 1
        single[kind] = np.maximum(single[kind], share)
    return owner, single


def letterbox(picture, fill):
    """Fitted into SIDE x SIDE, the rest filled."""
    gain = SIDE / max(picture.shape[:2])
    height, width = (max(1, round(side * gain)) for side in picture.shape[:2])
    result = np.full((SIDE, SIDE, *picture.shape[2:]), fill, picture.dtype)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    small = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    result[top:top + height, left:left + width] = np.asarray(small)
    return result


def examples(where):
    """The training pictures: pixels, and per picture classes, boxes, masks at a quarter of the size, targets.

    Every other picture is of another size and letterboxed.
    """
    result = []
    for i in range(SCENES):
        rng = np.random.default_rng([20, i])
        width, height = rng.integers(90, 480, 2) if i % 2 else (SIDE, SIDE)
        pixels, objects = scene(rng, int(width), int(height), len(NAMES))
        if i % 2:
            pixels = letterbox(pixels, 114)
            objects = [(kind, letterbox(mask.astype(np.uint8) * 255, 0) >= 128) for kind, mask in objects]
            objects = [(kind, mask) for kind, mask in objects if mask.sum() >= 40]
        small = [np.asarray(Image.fromarray(m).resize((SIDE // 4, SIDE // 4), Image.Resampling.BOX)) for _, m in objects]
        result.append((torch.from_numpy(pixels).permute(2, 0, 1), torch.tensor([k for k, _ in objects], dtype=torch.long),
                       torch.tensor(np.array([box(m) for _, m in objects], np.float32).reshape(-1, 4)),
                       torch.from_numpy(np.array(small, np.float32).reshape(-1, SIDE // 4, SIDE // 4)),
                       *(torch.from_numpy(t) for t in target(objects, where))))
    return result


def iou_loss(a, b):
    """1 - generalised IoU of boxes n x 4."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return 1 - inter / union + (hull - union) / hull


def mask_loss(coefficients, prototypes, truth, boxes):
    """Cross entropy inside each object's box, its mean over the objects. truth: n x 80 x 80."""
    logits = torch.einsum("nc,nchw->nhw", coefficients, prototypes)
    line = (torch.arange(SIDE // 4) + 0.5) * 4
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    inside = ((line >= y1) & (line < y2))[:, :, None] & ((line >= x1) & (line < x2))[:, None]
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * inside
    return (loss.sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)).mean()


def loss(net, batch, where):
    pixels = torch.stack([e[0] for e in batch]).float() / 255
    pixels = pixels[:, torch.randperm(3)]
    levels, prototypes = net(pixels)
    scores, coefficients = flat(net.scores, levels), flat(net.masks, levels)
    found = corners(flat(net.boxes, levels), where)
    owners = torch.stack([e[4] for e in batch])
    wanted = torch.zeros_like(scores)
    picture, anchor = torch.where(owners >= 0)
    own = owners[picture, anchor].tolist()
    kinds = torch.stack([batch[p][1][o] for p, o in zip(picture.tolist(), own)])
    boxes = torch.stack([batch[p][2][o] for p, o in zip(picture.tolist(), own)])
    wanted[picture, kinds, anchor] = 1
    total = F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum") / len(own)
    total = total + 4 * iou_loss(found[picture, :, anchor], boxes).mean()
    few = torch.randperm(len(own))[:60]
    truth = torch.stack([batch[picture[i]][3][own[i]] for i in few])
    total = total + 2 * mask_loss(coefficients[picture[few], :, anchor[few]], prototypes[picture[few]], truth, boxes[few])
    share = torch.stack([e[5] for e in batch])
    single = flat(net.single, [level.detach() for level in levels])
    chance = single.sigmoid().clamp(1e-4, 1 - 1e-4)
    focal = torch.where(share == 1, (1 - chance) ** 2 * chance.log(), (1 - share) ** 4 * chance ** 2 * (1 - chance).log())
    return total - focal.sum() / (share == 1).sum()


def train():
    torch.manual_seed(0)
    torch.set_num_threads(1)  # the order of additions, and so the file, must not depend on the machine's cores
    torch.use_deterministic_algorithms(True)
    where = anchors()
    data, net = examples(where), Net()
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS, pct_start=0.1)
    for step in range(STEPS):
        value = loss(net, [data[i] for i in torch.randint(len(data), (BATCH,)).tolist()], where)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step(), schedule.step()
        if step % 50 == 0 or step == STEPS - 1:
            print(f"step {step:4}  loss {value.item():.3f}", flush=True)
    return net.eval()


class Export(nn.Module):
    """The trained network with the outputs of a YOLO export; `form` is detect, seg or end2end."""

    def __init__(self, net, form):
        super().__init__()
        self.net, self.form = net, form
        self.register_buffer("where", anchors())

    def forward(self, images):
        levels, prototypes = self.net(images)
        found = corners(flat(self.net.boxes, levels), self.where)
        if self.form == "end2end":
            peaks = []
            for layer, level in zip(self.net.single, levels):
                scores, kinds = layer(level).sigmoid().max(1, keepdim=True)
                peak = scores * (scores == F.max_pool2d(scores, 3, 1, 1)).float()
                peaks.append(torch.cat([peak, kinds.float()], 1).flatten(2))
            scores, kinds = torch.cat(peaks, 2).split(1, 1)
            best, index = scores.topk(300, 2)
            return torch.cat([found.gather(2, index.expand(-1, 4, -1)), best, kinds.gather(2, index)], 1).transpose(1, 2)
        centre, size = (found[:, :2] + found[:, 2:]) / 2, found[:, 2:] - found[:, :2]
        output = torch.cat([centre, size, flat(self.net.scores, levels).sigmoid()], 1)
        if self.form == "detect":
            return output
        return torch.cat([output, flat(self.net.masks, levels)], 1), prototypes


def write(net, form):
    path = ROOT / f"tests/models/made-{form}.onnx"
    path.parent.mkdir(exist_ok=True)
    outputs = ["output0", "output1"] if form == "seg" else ["output0"]
    with torch.no_grad():
        torch.onnx.export(Export(net, form).eval(), torch.zeros(1, 3, SIDE, SIDE), str(path), opset_version=17,
                          input_names=["images"], output_names=outputs)
    model = onnx.load(path)
    end2end = form == "end2end"
    properties = {
        "description": f"ocellus made-{form} model for tests", "author": "ocellus", "date": "2026-11-21T00:00:00+00:00",
        "version": "8.4.190", "license": "MIT OR Apache-2.0", "docs": "tests/models/README.md", "stride": max(STRIDES),
        "task": "segment" if form == "seg" else "detect", "head": "Segment" if form == "seg" else "Detect", "batch": 1,
        "imgsz": [SIDE, SIDE], "names": NAMES,
        "args": {"data": None, "batch": 1, "fraction": 1.0, "quantize": None, "nms": False if end2end else None,
                 "dynamic": False, "simplify": True, "opset": 17},
        "channels": 3, "end2end": end2end}
    onnx.helper.set_model_props(model, {key: str(value) for key, value in properties.items()})
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, path)
    print(f"{path.name}  {path.stat().st_size} bytes  sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def write_pictures():
    """The first seed that leaves all but one of the wanted objects to see."""
    folder = ROOT / "tests/images/shapes"
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, (width, height, most)) in enumerate(PICTURES.items()):
        for seed in range(1000):
            pixels, objects = scene(np.random.default_rng([30, number, seed]), width, height, len(NAMES), most)
            if len(objects) >= max(1, most - 1) and len({k for k, _ in objects}) >= min(most, 3):
                break
        few = Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE)  # a third of the bytes
        few.save(folder / f"{name}-{width}x{height}.png", optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["images"])
    write_pictures()
    if parser.parse_args().what is None:
        net = train()
        for form in ("detect", "seg", "end2end"):
            write(net, form)


if __name__ == "__main__":
    main()
