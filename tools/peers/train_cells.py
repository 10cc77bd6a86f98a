#!/usr/bin/env python3
"""The peer of `ocellus train cells`: the YOLIC authors' heads in PyTorch, on the same frozen networks.

    python tools/peers/train_cells.py SET [--ours m.onnx ..] [--size 224,224 --size 320,320] [--seed 0] [--threads 1]

SET is a folder of tools/sets/make_cells_set.py. The pooled 1280 features of models/mobilenetv2.onnx and
models/efficientnet-lite0.onnx (ONNX Runtime, pictures stretched to --size; by default to 224 x 224, the networks' own, and to the input of each of --ours) go into
    linear   Linear(1280, N*(M+1)), what YOLIC puts onto MobileNetV2: BCEWithLogitsLoss, Adam at 0.001, batches of 32,
             150 epochs, the rate divided by ten after 100 and 125 epochs
    mlp      Linear(1280, 256), ReLU, Dropout(0.2), Linear(256, N*(M+1)), trained likewise
with the mirrored pictures among the training ones (their code mirrors half of them) if the cells are symmetric. A seventh
of the training part tells which epoch is kept. Their own code trains the whole network; here all stand on frozen features.
--ours are ONNX files of `ocellus train cells` trained on SET/train: run in ONNX Runtime on pictures / 255.

Figures are on SET/test: micro and macro F1 over the labels (without the background), the share of cells that are right in
every bit, of those the authors' reading: bits at 0.5; no bit: the largest score. Needs torch, onnx, onnxruntime,
opencv-python-headless, numpy.
"""
import argparse, glob, json, os
import cv2
import numpy as np
import onnxruntime as ort
import torch
from torch import nn

cv2.setNumThreads(1)
MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models")
SCALE = {"mobilenetv2": (127.5, 127.5), "efficientnet-lite0": (127., 128.)}


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options)


def pictures(folder, width, height):
    for path in sorted(glob.glob(os.path.join(folder, "images", "*.jpg"))):
        im = cv2.imread(path)[:, :, ::-1]
        shrinks = im.shape[1] > width and im.shape[0] > height
        yield cv2.resize(im, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR).astype(np.float32)


def blob(im):
    return np.ascontiguousarray(im.transpose(2, 0, 1)[None], np.float32)


def features(model, folder, size, threads, mirrored=False):
    s = session(os.path.join(MODELS, model + ".onnx"), threads)
    mean, std = SCALE[model]
    name, rows = s.get_inputs()[0].name, []
    for im in pictures(folder, *size):
        rows.append(s.run(["features"], {name: blob((im[:, ::-1] if mirrored else im) - mean) / std})[0][0])
    return torch.tensor(np.array(rows))


def truth(folder, n, width):
    paths = sorted(glob.glob(os.path.join(folder, "labels", "*.txt")))
    return np.array([np.loadtxt(p, dtype=np.int64) for p in paths]).reshape(len(paths), n, width)


def read(scores):
    """The authors' reading of n x cells x (labels + 1) scores: bits."""
    bits = scores > .5
    best = np.eye(scores.shape[-1], dtype=bool)[scores.argmax(-1)]
    return np.where(bits.any(-1, keepdims=True), bits, best)


def figures(scores, y):
    p, y = read(scores), y.astype(bool)
    f1 = lambda axes: 2 * (p & y).sum(axes) / np.maximum((p.sum(axes) + y.sum(axes)), 1)
    labels = slice(0, -1)
    each = f1((0, 1))[labels]
    pp, yy = p[..., labels], y[..., labels]
    return {"micro": 2 * (pp & yy).sum() / max(pp.sum() + yy.sum(), 1), "macro": each.mean(), "each": each, "right": (p == y).all(-1).mean()}


def mirror_order(config):
    """For each cell the one at the mirrored place, or None."""
    boxes = []
    for i in range(config["COIs"]["COINumber"]):
        kind, *v = config["COIs"][str(i + 1)]
        if kind == "rectangle":
            x, y, w, h = v
            v = [x, y, x + w, y, x + w, y + h, x, y + h]
        boxes.append(np.array(sorted(map(tuple, np.array(v).reshape(-1, 2).round(3)))))
    order = []
    for b in boxes:
        m = b * (-1, 1) + (1, 0)
        m = np.array(sorted(map(tuple, m.round(3))))
        near = [j for j, c in enumerate(boxes) if len(c) == len(m) and np.abs(c - m).max() < .01]
        if not near:
            return None
        order.append(near[0])
    return order


def train(head, x, y, val, seed, epochs=150):
    """The head at the epoch that was best on `val`."""
    torch.manual_seed(seed)
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-3)
    plan = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[100, 125], gamma=.1)
    loss_of, best, kept = nn.BCEWithLogitsLoss(), -1., None
    for _ in range(epochs):
        head.train()
        for batch in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            loss_of(head(x[batch]), y[batch].flatten(1).float()).backward()
            optimiser.step()
        plan.step()
        score = figures(predict(head, val[0], y.shape[1:]), val[1].numpy())["micro"]
        if score > best:
            best, kept = score, {k: v.clone() for k, v in head.state_dict().items()}
    head.load_state_dict(kept)
    return head


def predict(head, x, shape):
    head.eval()
    with torch.no_grad():
        return torch.sigmoid(head(x)).numpy().reshape(-1, *shape)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("set")
    ap.add_argument("--ours", nargs="*", default=[])
    ap.add_argument("--size", action="append")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    with open(os.path.join(a.set, "config.json")) as f:
        config = json.load(f)
    n, width = config["COIs"]["COINumber"], config["Labels"]["LabelNumber"] + 1
    parts = {part: os.path.join(a.set, part) for part in ("train", "test")}
    y = {part: truth(folder, n, width) for part, folder in parts.items()}
    order = mirror_order(config)
    print(f"{len(y['train'])} pictures to train on, {len(y['test'])} to test; {n} cells, {width - 1} labels; mirrored: {order is not None}")
    print("micro F1  macro F1  cells right  F1 of " + ", ".join(config["Labels"]["LabelList"]))

    def row(name, scores):
        f = figures(scores, y["test"])
        print(f"{f['micro']:8.3f} {f['macro']:9.3f} {f['right']:12.3f}  " + " ".join(f"{v:.3f}" for v in f["each"]) + "  " + name, flush=True)

    sizes = {"224,224"}
    for path in a.ours:
        s = session(path, a.threads)
        i = s.get_inputs()[0]
        sizes.add(f"{i.shape[3]},{i.shape[2]}")
        row(path, np.array([s.run(["scores"], {i.name: blob(im) / 255})[0][0] for im in pictures(parts["test"], i.shape[3], i.shape[2])]).reshape(-1, n, width))
    held = np.arange(len(y["train"])) % 7 == 3
    for size in a.size or sorted(sizes):
        size = tuple(int(v) for v in size.split(","))
        for model in SCALE:
            x = features(model, parts["train"], size, a.threads)
            test = features(model, parts["test"], size, a.threads)
            fit, target = x[~held], torch.tensor(y["train"][~held])
            if order is not None:
                fit = torch.cat([fit, features(model, parts["train"], size, a.threads, True)[~held]])
                target = torch.cat([target, target[:, order]])
            val = x[held], torch.tensor(y["train"][held])
            for name, head in [("linear", nn.Linear(1280, n * width)), ("mlp", nn.Sequential(nn.Linear(1280, 256), nn.ReLU(), nn.Dropout(.2), nn.Linear(256, n * width)))]:
                head = train(head, fit, target, val, a.seed)
                row(f"{model} {name} {size[0]}x{size[1]}", predict(head, test, (n, width)))


if __name__ == "__main__":
    main()
