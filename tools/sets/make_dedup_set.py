#!/usr/bin/env python3
"""Make sets of photographs to measure `ocellus dedup` with.

    make_dedup_set.py quality OUT --photos DIR .. --half a|b [--seed N] [--scale F]
    make_dedup_set.py speed OUT --photos DIR .. [--seed N] [--count 3000]

The first writes base pictures, copies of them and pictures that are no copies though they look alike, and
    OUT/truth.json   {"seed", "half", "files": {file: {"scene", "kind", ..}}}
Two files are duplicates if and only if they have the same scene. Kinds are "base"; those of a copy (exact, q60, half,
png, exif, light-.., colour-.., watermark-.., crop5-.., screenshot); and those of a picture with a scene of its own:
burst-.. (frames of one burst: "burst" says which), crop-other (overlaps a base by "overlap"), blank-.., sky, page,
night, drawing, screen. "amount" says how much a crop or a burst moved. Files with equal bytes always share a scene.

The second writes pictures with the sizes and the bytes that cameras make: four fifths of 12 megapixels.

All is a function of --seed, the half and the names of the photographs found. The two halves share no photograph.

Needs numpy 1.26.4, opencv-python-headless 4.11.0.86, pillow 13.0.0. The photographs are looked for by the end of their
paths in the folders of --photos (nothing is downloaded); those that are missing are named and left out. They lie in
the Debian packages (`apt download`, `dpkg-deb -x`) mate-backgrounds 1.26.0-1, plasma-workspace-wallpapers 5.27.5-2,
lomiri-wallpapers-16.04 and -20.04 20.04.0-2, ukui-wallpapers 20.04.3-1.1, lxqt-themes 1.2.0-1, palapeli-data 22.12.3-1,
stellarium-data 0.22.2-1, hugin-data 2022.0.0, opencv-doc 4.6.0, and in the Python packages scikit-image 0.26.0,
scikit-learn 1.9.1, ultralytics 8.4.190, imgaug 0.4.0.
"""
import argparse, hashlib, json, math, os, zlib
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

cv2.setNumThreads(1)
Image.MAX_IMAGE_PIXELS = None

PHOTOS = {
    "a": """backgrounds/Kleiber_by_Lukas_Baubkus.jpg backgrounds/Infinite-Sea_by_Aury88.jpg
        backgrounds/Dragonfly_by_Bolly.jpg backgrounds/Bridge_by_Sander_Klootwijk.jpg
        backgrounds/Wine_by_Jakkub_Mede.jpg backgrounds/picosdeeuropa_by_Aitzol_Berasategi.jpg
        backgrounds/aitzgorri_by_Aitzol_Berasategi.jpg backgrounds/greentock_by_Peter_Nerlich.jpg nature/Wood.jpg
        Path/contents/images/2560x1600.jpg nature/TwoWings.jpg ColorfulCups/contents/images/2560x1600.jpg
        FallenLeaf/contents/images/2560x1600.jpg BytheWater/contents/images/2560x1600.jpg
        summer_1am/contents/images/2560x1600.jpg nature/YellowFlower.jpg Grey/contents/images/2560x1600.jpg
        nature/Storm.jpg nature/Blinds.jpg textures/moon_4k.jpg collection/european-honey-bee.jpg
        collection/cincinnati-bridge.jpg collection/castle-maintenon.jpg nature/FreshFlower.jpg nature/Dune.jpg
        wallpapers/this-is-not-windows.jpg wallpapers/after-the-rain.jpg wallpapers/Butterfly-Kenneth-Wimer.jpg
        assets/bus.jpg data/coffee.png data/chelsea.png images/china.jpg data/building.jpg data/fruits.jpg
        imgaug/quokka.jpg mars/mars.png garching/garching-gl1.png garching/garching-gl3.png data/retina.jpg
        data/board.jpg data/apple.jpg text/scenetext02.jpg text/scenetext04.jpg text/scenetext01.jpg
        data/ela_original.jpg text/scenetext_segmented_word01.jpg text/scenetext_segmented_word03.jpg
        default/n7000.png default/m51-vasey.png default/darkshark-vasey.png default/m31.png default/n2170.png
        default/sh2-188-vasey.png default/ic434.png default/pleiades.png default/n7822.png default/m13.png
        Volna/contents/images/5120x2880.jpg Patak/contents/images/5120x2880.png backgrounds/rhythm.jpg
        IceCold/contents/images/5120x2880.png""",
    "b": """abstract/Elephants_5640x3172.jpg backgrounds/seeding_by_Clements_Engelhardt.jpg
        backgrounds/sunset_by_Aitzol_Berasategi.jpg backgrounds/life_by_Aitzol_Berasategi.jpg
        backgrounds/friends_by_Aitzol_Berasategi.jpg backgrounds/free_by_Peter_Nerlich.jpg
        backgrounds/analogpattern_by_Peter_Nerlich.jpg backgrounds/Picture_0B_by_freespace.jpg
        OneStandsOut/contents/images/2560x1600.jpg Autumn/contents/images/2560x1600.jpg
        EveningGlow/contents/images/2560x1600.jpg ColdRipple/contents/images/2560x1600.jpg
        Kite/contents/images/2560x1600.jpg nature/LadyBird.jpg DarkestHour/contents/images/2560x1600.jpg
        nature/Garden.jpg nature/Aqua.jpg nature/RainDrops.jpg collection/panther-chameleon-female.jpg
        collection/citrus-fruits.jpg backgrounds/Picture_1A_by_freespace.jpg nature/GreenMeadow.jpg
        wallpapers/fog.jpg wallpapers/appleflower.png wallpapers/butterfly.png assets/zidane.jpg
        data/astronaut.png data/rocket.jpg images/flower.jpg data/home.jpg data/baboon.jpg data/starry_night.jpg
        data/messi5.jpg data/squirrel_cls.jpg input_images/plant.jpg data/butterfly.jpg help_en_EN/CA_tCA00.jpg
        moon/apollo17.png garching/garching-gl2.png garching/garching-gl4.png
        grossmugl/grossmugl_leeberg_crop11.25_2048.png data/hubble_deep_field.jpg data/stuff.jpg data/orange.jpg
        text/scenetext05.jpg text/scenetext03.jpg text/scenetext06.jpg text/scenetext_segmented_word02.jpg
        text/scenetext_segmented_word04.jpg data/cards.png default/n2506-vasey.png default/rcw32.png
        default/m15-vasey.png default/barnard173-vasey.png default/ic405-vasey.png default/ic443-vasey.png
        default/m42.png default/n7635-vasey.png default/ic1396.png default/m33.png
        Altai/contents/images/5120x2880.png SafeLanding/contents/images/5120x2880.jpg
        Canopee/contents/images/3840x2160.png MilkyWay/contents/images/5120x2880.png""",
}
# drawings and empty ones, which are not cut into windows
WHOLE = """Volna Patak rhythm IceCold Altai SafeLanding Canopee MilkyWay default/ moon_4k retina apollo17 analogpattern
    Grey/ summer_1am DarkestHour""".split()
REAL = {  # frames of one scene, taken by a moved camera or at another time
    "a": [["data/leuvenA.jpg", "data/leuvenB.jpg"], ["data/aloeL.jpg", "data/aloeR.jpg"],
          ["data/graf1.png", "data/graf3.png"],
          [f"data/left{k:02}.jpg" for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14)]],
    "b": [["data/motorcycle_left.png", "data/motorcycle_right.png"], ["data/basketball1.png", "data/basketball2.png"],
          ["data/rubberwhale1.png", "data/rubberwhale2.png"], ["data/aero1.jpg", "data/aero3.jpg"],
          [f"data/right{k:02}.jpg" for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14)]],
}
# how many pictures of a kind, at --scale 1
BURSTS, OTHER, LOOKALIKE = 9, 70, 18


# ---------------------------------------------------------------- small things
def soft(rng, h, w, sigma):
    """Blurred white noise with unit standard deviation."""
    k = max(1, int(sigma / 3))
    x = cv2.GaussianBlur(rng.standard_normal((h // k + 2, w // k + 2)).astype(np.float32), (0, 0), sigma / k)
    x = cv2.resize(x, (w, h), interpolation=cv2.INTER_CUBIC) if k > 1 else x[:h, :w]
    return x / (x.std() + 1e-9)


def clouds(rng, h, w):
    """Noise of all scales, the coarse ones strongest."""
    return sum(soft(rng, h, w, max(h, w) / 2 ** k) / 1.7 ** k for k in range(3, 9))


def byte(x):
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def between(rng, low, high):
    """One of two ranges, the low or the high one, each (from, to)."""
    return rng.uniform(*(low if rng.random() < .5 else high))


def gray(im):
    return cv2.cvtColor(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def resized(im, w, h):
    area = w * h < im.shape[0] * im.shape[1]
    return cv2.resize(im, (max(1, int(w)), max(1, int(h))), interpolation=cv2.INTER_AREA if area else cv2.INTER_CUBIC)


def fitted(im, side):
    k = side / max(im.shape[:2])
    return resized(im, round(im.shape[1] * k), round(im.shape[0] * k))


def opened(path):
    im = Image.open(path)
    if im.mode in ("RGBA", "LA", "P"):
        im = im.convert("RGBA")
        im = Image.alpha_composite(Image.new("RGBA", im.size, (0, 0, 0, 255)), im)
    return np.ascontiguousarray(np.asarray(im.convert("RGB")))


def lively(im):
    """Whether there is something to see in a picture."""
    small = cv2.resize(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    return small.std() > 9 and np.median(np.abs(np.diff(small))) > .8


def find(folders, ends):
    """Paths by the end that was asked for; the first in the order of the folders and of the names."""
    files = [os.path.join(d, f) for root in folders for d, _, names in sorted(os.walk(root)) for f in sorted(names)]
    found = {e: next((p for p in files if p.endswith("/" + e)), None) for e in ends}
    for e in (e for e, p in found.items() if p is None):
        print(f"missing: {e}")
    return {e: p for e, p in found.items() if p}


class Set:
    """The folder, its files and their truth."""

    def __init__(self, out, seed, half):
        self.out, self.seed, self.half, self.files, self.scenes = out, seed, half, {}, 0
        os.makedirs(out, exist_ok=True)

    def rng(self, name):
        return np.random.default_rng([self.seed, zlib.crc32(f"{self.half} {name}".encode())])

    def scene(self):
        self.scenes += 1
        return self.scenes - 1

    def note(self, name, scene, kind, **more):
        self.files[name] = dict(scene=scene, kind=kind, **more)
        return os.path.join(self.out, name)

    def add(self, stem, im, scene, kind, rng, form=None, **more):
        """Save as JPEG (of some usual sort), or in another form."""
        if form is None:
            options = dict(quality=int(rng.integers(85, 96)), subsampling=[2, 2, 1, 0][int(rng.integers(4))],
                           progressive=bool(rng.random() < .15), optimize=bool(rng.random() < .3))
            form = ("jpg", options)
        name = f"{stem}.{form[0]}"
        picture = Image.fromarray(im)
        if form[0] == "jpg" and im.ndim == 3 and (im[..., 0] == im[..., 1]).all() and (im[..., 0] == im[..., 2]).all():
            picture = picture.convert("L")
        picture.save(self.note(name, scene, kind, **more), **form[1])
        return name

    def finish(self, equal=True):
        first = {}
        for name, truth in self.files.items() if equal else ():
            with open(os.path.join(self.out, name), "rb") as f:
                key = hashlib.sha256(f.read()).digest()
            truth["scene"] = first.setdefault(key, truth["scene"])
        with open(os.path.join(self.out, "truth.json"), "w") as f:
            json.dump(dict(seed=self.seed, half=self.half, files=self.files), f, indent=0)
        kinds = {}
        for truth in self.files.values():
            kinds[truth["kind"]] = kinds.get(truth["kind"], 0) + 1
        size = sum(os.path.getsize(os.path.join(self.out, n)) for n in self.files)
        print(f"{len(self.files)} files, {size / 1e6:.0f} MB in {self.out}: " +
              ", ".join(f"{k} {n}" for k, n in kinds.items()))


# ---------------------------------------------------------------- bases
def cells(rng, im, end):
    """Windows (x, y, w, h) of a photograph that do not overlap, each of a usual shape."""
    h, w = im.shape[:2]
    large = w * h / 1e6
    n, m = 1, 1
    if not any(k in end for k in WHOLE):
        grids = ((17, (4, 3)), (7.5, (3, 2)), (3, (2, 2)), (2.2, (2, 1)))
        n, m = next((grid for least, grid in grids if large > least), (1, 1))
    if h > w:
        n, m = m, n
    for j in range(m):
        for i in range(n):
            x0, y0, x1, y1 = w * i // n, h * j // m, w * (i + 1) // n, h * (j + 1) // m
            cw, ch = x1 - x0, y1 - y0
            shape = [4 / 3, 3 / 2, 16 / 9, 1, 3 / 4, 2 / 3][int(rng.choice(6, p=[.3, .25, .15, .1, .12, .08]))]
            if rng.random() < .75 and .6 < shape / (cw / ch) < 1.7:
                tw, th = (cw, int(cw / shape)) if cw / ch < shape else (int(ch * shape), ch)
                x0, y0, cw, ch = x0 + int(rng.integers(cw - tw + 1)), y0 + int(rng.integers(ch - th + 1)), tw, th
            yield x0, y0, cw, ch


def exposed(im, rng, brightness=(1, 1), gamma=(1, 1), contrast=(1, 1)):
    x = np.arange(256) / 255
    x = (x ** rng.uniform(*gamma) - .5) * rng.uniform(*contrast) + .5
    return byte(x * rng.uniform(*brightness) * 255)[im]


def tinted(im, rng):
    warm = rng.uniform(.08, .22) * (1 if rng.random() < .5 else -1)
    return byte(im * np.array([1 + warm, 1 + rng.uniform(-.04, .04), 1 - warm]))


def saturated(im, rng):
    g = cv2.cvtColor(im, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return byte(g + (im - g) * between(rng, (.15, .7), (1.3, 1.9)))


def written(im, rng, text, size, place, alpha, shadow=True):
    """Text with its middle at `place` (fractions), turned by up to a few degrees if it goes across."""
    h, w = im.shape[:2]
    font = ImageFont.load_default(size=max(8, int(size * w / len(text) * 1.7)))
    b = font.getbbox(text)
    layer = Image.new("L", (w, h))
    x, y = place[0] * w - (b[2] - b[0]) / 2 - b[0], place[1] * h - (b[3] - b[1]) / 2 - b[1]
    x = min(max(x, .01 * w), .99 * w - (b[2] - b[0]))
    ImageDraw.Draw(layer).text((x, y), text, font=font, fill=255)
    if place == (.5, .5):
        layer = layer.rotate(rng.uniform(10, 35), resample=Image.BILINEAR)
    m = np.asarray(layer, np.float32)[..., None] / 255 * alpha
    dark = np.roll(m, (2, 2), (0, 1)) * .5 if shadow else 0
    return byte(im * (1 - dark) * (1 - m) + 255 * m)


def watermarked(im, rng, how):
    h, w = im.shape[:2]
    name = ["Sample Studio", "(c) J. Doe 2024", "www.example.org", "PREVIEW", "Photo: A. Miller"][int(rng.integers(5))]
    corner = (float(rng.choice([.18, .82])), float(rng.choice([.05, .95])))
    if how == "corner":
        return written(im, rng, name, rng.uniform(.18, .3), corner, rng.uniform(.4, .75))
    if how == "across":
        return written(im, rng, name, rng.uniform(.5, .8), (.5, .5), rng.uniform(.2, .45))
    if how == "date":
        date = f"{int(rng.integers(2001, 2025))}/{int(rng.integers(1, 13)):02}/{int(rng.integers(1, 29)):02}"
        orange = written(np.zeros_like(im), rng, date, rng.uniform(.14, .2), (.87, .95), 1, False)[..., :1] / 255.
        return byte(im * (1 - orange) + orange * np.array([255, 140, 20]))
    out, s = im.copy(), int(rng.uniform(.06, .11) * w)                                       # a solid logo
    x = int(.02 * w) if corner[0] < .5 else w - s - int(.02 * w)
    y = int(.02 * w) if corner[1] < .5 else h - s - int(.02 * w)
    cv2.rectangle(out, (x, y), (x + s, y + s), tuple(int(c) for c in rng.integers(0, 256, 3)), -1)
    cv2.circle(out, (x + s // 2, y + s // 2), s // 3, (255, 255, 255), -1)
    return out


def crop5(im, rng, how):
    h, w = im.shape[:2]
    if how == "one":
        k = int(rng.integers(4))
        x0, y0, x1, y1 = [(.05, 0, 1, 1), (0, .05, 1, 1), (0, 0, .95, 1), (0, 0, 1, .95)][k]
    elif how == "random":
        x0, y0 = rng.uniform(0, .05, 2)
        x1, y1 = x0 + .95, y0 + .95
    else:
        x0 = y0 = .025 if how == "centre" else .05
        x1 = y1 = 1 - x0
    amount = [round(float(v), 3) for v in (x0, y0, 1 - x1, 1 - y1)]
    return im[round(y0 * h):round(y1 * h), round(x0 * w):round(x1 * w)], amount


TURN = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE, 6: Image.ROTATE_90,
        7: Image.TRANSVERSE, 8: Image.ROTATE_270}   # what undoes each orientation


def copies(s, number, base, scene):
    """Copies of a base, each kind of about three fifths of the bases."""
    rng, stem = s.rng(f"copies {number}"), f"{number:03}"
    im = opened(os.path.join(s.out, base))
    h, w = im.shape[:2]

    def jpeg(low=85, high=95):
        return "jpg", dict(quality=int(rng.integers(low, high + 1)), subsampling=[2, 2, 0][int(rng.integers(3))],
                           progressive=bool(rng.random() < .15))

    def often(share=.6):
        return rng.random() < share
    if often():
        with open(os.path.join(s.out, base), "rb") as f, \
                open(s.note(f"{stem}_exact{os.path.splitext(base)[1]}", scene, "exact"), "wb") as g:
            g.write(f.read())
    if often():
        s.add(f"{stem}_q60", im, scene, "q60", rng, ("jpg", dict(quality=60, subsampling=2)))
    if often():
        s.add(f"{stem}_half", resized(im, w / 2, h / 2), scene, "half", rng, jpeg())
    if often():
        s.add(f"{stem}_png", im, scene, "png", rng, ("png", dict(compress_level=4)))
    if often():
        o = 2 + number % 7
        exif = Image.Exif()
        exif[0x0112] = o
        turned = np.asarray(Image.fromarray(im).transpose(TURN[o]))
        form = ("jpg", dict(quality=int(rng.integers(85, 96)), exif=exif))
        s.add(f"{stem}_exif{o}", turned, scene, "exif", rng, form, amount=o)
    if often():
        if number % 2:
            lit = exposed(im, rng, brightness=(.87, 1.15), gamma=(.85, 1.18), contrast=(.87, 1.18))
        else:
            lit = [lambda: exposed(im, rng, brightness=(.6, .8)), lambda: exposed(im, rng, brightness=(1.2, 1.45)),
                   lambda: exposed(im, rng, gamma=(.6, .75)), lambda: exposed(im, rng, gamma=(1.35, 1.7)),
                   lambda: exposed(im, rng, contrast=(.6, .78)), lambda: exposed(im, rng, contrast=(1.25, 1.5)),
                   ][int(rng.integers(6))]()
        s.add(f"{stem}_light", lit, scene, "light-mild" if number % 2 else "light-clear", rng, jpeg())
    if often():
        kind, change = [("saturation", saturated), ("tint", tinted), ("gray", lambda i, _: gray(i))][number % 3]
        s.add(f"{stem}_colour", change(im, rng), scene, f"colour-{kind}", rng, jpeg())
    if often():
        how = ["corner", "across", "date", "logo"][number % 4]
        s.add(f"{stem}_mark", watermarked(im, rng, how), scene, f"watermark-{how}", rng, jpeg())
    for how in ["centre", "one", "random", "each"]:
        if often():
            cut, amount = crop5(im, rng, how)
            s.add(f"{stem}_crop-{how}", cut, scene, f"crop5-{how}", rng, jpeg(), amount=amount)
    if often():
        form = ("webp", dict(quality=int(rng.integers(70, 90)))) if rng.random() < .5 else ("png", {})
        s.add(f"{stem}_screenshot", resized(im, w * .37, h * .37), scene, "screenshot", rng, form)


# ---------------------------------------------------------------- bursts and other crops
def blob(rng, source, width):
    """Something cut out of a photograph, higher than wide: its pixels and how much of each is seen."""
    w, h = int(width), int(width * rng.uniform(1, 2.2))
    k = min(source.shape[1] / w, source.shape[0] / h, rng.uniform(1, 2.5))
    cw, ch = int(w * k), int(h * k)
    x, y = int(rng.integers(source.shape[1] - cw + 1)), int(rng.integers(source.shape[0] - ch + 1))
    pixels = resized(source[y:y + ch, x:x + cw], w, h)
    yy, xx = np.mgrid[-1:1:h * 1j, -1:1:w * 1j]
    angle, r = np.arctan2(yy, xx), np.hypot(xx, yy)
    edge = .78 + sum(rng.uniform(-.09, .09) * np.cos(n * angle + rng.uniform(0, 6.3)) for n in range(1, 6))
    return pixels, cv2.GaussianBlur(np.clip((edge - r) * w / 8, 0, 1).astype(np.float32), (0, 0), max(.8, w / 90))


def placed(im, thing, cx, cy):
    """The thing with its middle at (cx, cy), which are fractions; what lies outside is cut off."""
    pixels, mask = thing
    h, w = im.shape[:2]
    x, y = int(cx * w - mask.shape[1] / 2), int(cy * h - mask.shape[0] / 2)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + mask.shape[1], w), min(y + mask.shape[0], h)
    out = im.copy()
    if x1 > x0 and y1 > y0:
        m = mask[y0 - y:y1 - y, x0 - x:x1 - x, None]
        out[y0:y1, x0:x1] = byte(im[y0:y1, x0:x1] * (1 - m) + pixels[y0 - y:y1 - y, x0 - x:x1 - x] * m)
    return out


def burst(s, kind, number, source, other):
    """Two to four frames of one scene, the camera or something in front of it moved between them."""
    rng = s.rng(f"burst {kind} {number}")
    h, w = source.shape[:2]
    share = rng.uniform(.6, .75)
    shape = float(rng.choice([4 / 3, 3 / 2, 16 / 9, 3 / 4]))
    fw, fh = (w * share, w * share / shape) if w / h < shape else (h * share * shape, h * share)
    side = min(rng.uniform(800, 2000), 1.2 * max(fw, fh))
    k = side / max(fw, fh)
    scaled = resized(source, w * k, h * k) if k < .7 else source           # so that little is left to shrink
    k2 = side / max(fw, fh) / (scaled.shape[1] / w)
    ow, oh = int(fw * k), int(fh * k)
    thing = blob(rng, other, rng.uniform(.08, .25) * min(ow, 1.3 * oh))
    level = rng.uniform(.38, .72)
    cx, cy = rng.uniform(share / 2 + .08, 1 - share / 2 - .08) if share < .8 else .5, .5
    for frame in range(int(rng.integers(2, 5))):
        moved = dict(shift=[0, 0], rotate=0, zoom=1)
        if frame and kind in ("shift", "mixed"):
            far, way = rng.uniform(.01, .08), rng.uniform(0, 2 * math.pi)
            moved["shift"] = [round(far * math.cos(way), 4), round(far * math.sin(way), 4)]
        if frame and kind in ("rotate", "mixed"):
            moved["rotate"] = round(rng.uniform(.5, 3) * (1 if rng.random() < .5 else -1), 2)
        if frame and kind in ("zoom", "mixed"):
            moved["zoom"] = round(1 + rng.uniform(.01, .04) * (1 if rng.random() < .5 else -1), 4)
        turn, z = math.radians(moved["rotate"]), 1 / (k2 * moved["zoom"])
        mx = cx * scaled.shape[1] + moved["shift"][0] * ow / k2
        my = cy * scaled.shape[0] + moved["shift"][1] * oh / k2
        a, b = z * math.cos(turn), z * math.sin(turn)
        matrix = np.array([[a, -b, mx - a * ow / 2 + b * oh / 2], [b, a, my - b * ow / 2 - a * oh / 2]])
        im = cv2.warpAffine(scaled, matrix, (ow, oh), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                            borderMode=cv2.BORDER_REFLECT)
        if kind in ("object", "mixed"):
            at = (.15 + .7 * ((frame * .37 + number * .21) % 1), level + rng.uniform(-.05, .05))
            moved["object"] = [round(float(v), 3) for v in at]
            im = placed(im, thing, *at)
        noise = rng.normal(0, rng.uniform(.8, 3), im.shape).astype(np.float32)
        im = byte(im * rng.uniform(.97, 1.03) + noise)
        s.add(f"burst_{kind}_{number}_{frame}", im, s.scene(), f"burst-{kind}", rng,
              ("jpg", dict(quality=92, subsampling=2)), burst=f"{kind}{number}", amount=moved)


def other_crop(s, number, source, cell):
    """A window that shares two fifths to three quarters with a base's (intersection over union)."""
    rng = s.rng(f"other {number}")
    h, w = source.shape[:2]
    x, y, cw, ch = cell
    for _ in range(200):
        z = rng.uniform(.75, 1.15)
        nw, nh = int(cw * z), int(ch * z)
        if nw >= w or nh >= h:
            continue
        nx, ny = int(rng.integers(w - nw + 1)), int(rng.integers(h - nh + 1))
        inner = max(0, min(x + cw, nx + nw) - max(x, nx)) * max(0, min(y + ch, ny + nh) - max(y, ny))
        overlap = inner / (cw * ch + nw * nh - inner)
        if .4 <= overlap <= .75:
            im = fitted(source[ny:ny + nh, nx:nx + nw], min(rng.uniform(800, 2000), max(nw, nh)))
            s.add(f"other_{number:03}", im, s.scene(), "crop-other", rng, overlap=round(overlap, 2))
            return


# ---------------------------------------------------------------- blank frames
def blank(kind, rng, n):
    sizes = [(1600, 1200), (1920, 1080), (1280, 960), (1024, 768), (1200, 1600), (900, 900), (2000, 1333)]
    w, h = sizes[int(rng.integers(7))]
    yy, xx = np.mgrid[-1:1:h * 1j, -1:1:w * 1j].astype(np.float32)
    colour = rng.uniform(40, 220, 3)
    one = np.ones(3)

    def noise(sigma, channels=3):
        return rng.normal(0, sigma, (h, w, channels))
    if kind == "black":
        return byte(np.zeros((h, w, 3)) + (rng.uniform(0, 6) if n else 0) + (noise(rng.uniform(.5, 3)) if n > 1 else 0))
    if kind == "white":
        level = 255. - (rng.uniform(0, 6) if n else 0)
        return byte(np.full((h, w, 3), level) + (noise(rng.uniform(.5, 2)) if n > 1 else 0))
    if kind == "gray":
        return byte(rng.uniform(60, 190) + noise(rng.uniform(1, 6)))
    if kind == "plain":
        return byte(np.zeros((h, w, 3)) + colour + (noise(rng.uniform(.3, 2)) if n % 2 else 0))
    if kind == "cap":                                                       # a lens cap: dark noise and hot pixels
        im = rng.uniform(0, 5) + noise(rng.uniform(.7, 2.5)) + 3 * rng.uniform(0, 1) * (xx ** 2 + yy ** 2)[..., None]
        for _ in range(int(rng.integers(20, 200))):
            im[int(rng.integers(h)), int(rng.integers(w))] = rng.uniform(60, 255, 3)
        return byte(im)
    if kind == "over":                                                      # over-exposed, a little left in a corner
        depth = rng.uniform(5, 40)
        corner = np.clip(xx * rng.choice([-1, 1]) + yy * rng.choice([-1, 1]) - .6, 0, 2)
        return byte(262 - depth * corner[..., None] * one + noise(1))
    if kind in ("horizontal", "vertical", "radial", "slanted"):
        way = rng.uniform(0, 2 * math.pi)
        t = dict(horizontal=xx, vertical=yy, radial=np.hypot(xx - rng.uniform(-.3, .3), yy - rng.uniform(-.3, .3)),
                 slanted=xx * math.cos(way) + yy * math.sin(way))[kind]
        strength = [3, 12, 40, 90][n % 4] * rng.choice([-1, 1])
        return byte(colour + strength * t[..., None] * rng.uniform(.6, 1, 3) + noise([.4, 1.5, 3][n % 3]))
    if kind == "fog":
        level = rng.uniform(150, 215)
        im = soft(rng, h, w, w / 5) * rng.uniform(1, 5) + yy * rng.uniform(-12, 12)
        return byte(level + im[..., None] * one + noise(rng.uniform(.5, 2)))
    if kind == "sky":                                                       # a sky, out of focus
        top = np.array([70, 120, 200]) + rng.uniform(-25, 25, 3)
        low = np.array([170, 195, 230]) + rng.uniform(-20, 20, 3)
        t = (yy[..., None] + 1) / 2
        return byte(top * (1 - t) + low * t + 2 * soft(rng, h, w, w / 4)[..., None] + noise(1.2))
    if kind == "noise":
        return byte(rng.uniform(80, 170) + noise(rng.uniform(20, 60), 3 if n % 2 else 1) * one)
    # a sheet of paper, scanned
    im = rng.uniform(228, 250) + 1.2 * soft(rng, h, w, 1.5) + 2.5 * soft(rng, h, w, w / 6) - 6 * np.hypot(xx, yy)
    im = im[..., None] * np.array([1, rng.uniform(.98, 1), rng.uniform(.93, .99)])
    for _ in range(int(rng.integers(0, 25))):
        cv2.circle(im, (int(rng.integers(w)), int(rng.integers(h))), 1, (150, 150, 145), -1)
    return byte(im + noise(.7))


BLANK = dict(black=5, white=5, gray=6, plain=6, cap=8, over=6, horizontal=8, vertical=8, radial=8, slanted=8, fog=8,
             sky=8, noise=6, paper=8)


# ---------------------------------------------------------------- look-alikes
def sky(rng, n):
    """Clouds over the same horizon, others in each picture."""
    w, h = 1600, 1067
    t = np.linspace(0, 1, h)[:, None, None]
    im = np.array([55, 105, 190]) * (1 - t) + np.array([165, 195, 228]) * t + np.zeros((h, w, 1))
    c = np.clip((clouds(rng, h, w) - rng.uniform(.2, .9)) * .8, 0, 1)[..., None]
    im = im * (1 - c) + 245 * c
    if n % 2:
        line = int(h * .86)
        im[line:] = np.array([60, 85, 50]) + 8 * soft(rng, h - line, w, 3)[..., None]
    return byte(im + rng.normal(0, 2, im.shape))


def word(rng):
    syllables = range(int(rng.integers(1, 5)))
    return "".join("bdfgklmnprstvz"[int(rng.integers(14))] + "aeiou"[int(rng.integers(5))] for _ in syllables)


def page(rng, n):
    """A page of text; three layouts, other words in each."""
    w, h = 1240, 1754
    im = Image.new("L", (w, h), 250)
    draw, layout = ImageDraw.Draw(im), n % 3
    body, head = ImageFont.load_default(size=24), ImageFont.load_default(size=44)
    draw.text((120, 110), " ".join(word(rng) for _ in range(3)).title(), font=head, fill=20)
    columns = [(120, 1120)] if layout < 2 else [(120, 590), (650, 1120)]
    for x0, x1 in columns:
        y = 220
        while y < 1600:
            x, last = x0, x0 + (x1 - x0) * (1 if rng.random() < .8 else rng.uniform(.2, .9))
            while x < last:
                t = word(rng)
                x2 = x + draw.textlength(t, font=body)
                if x2 > x1:
                    break
                draw.text((x, y), t, font=body, fill=30)
                x = x2 + 8
            y += 34 if layout != 1 or rng.random() < .85 else 68
    return byte(np.asarray(im, np.float32)[..., None] * np.ones(3) + rng.normal(0, 1.5, (h, w, 1)))


def night(rng, n):
    """Mostly black, a few lights."""
    w, h = 1600, 1200
    im = np.zeros((h, w, 3), np.float32) + rng.uniform(1, 8)
    for _ in range(int(rng.integers(3, 14))):
        x, y, r = rng.uniform(.03, .97) * w, rng.uniform(.2, .95) * h, rng.uniform(3, 14)
        light = np.float32([[255, 200, 120], [255, 250, 235], [255, 90, 60], [140, 190, 255]][int(rng.integers(4))])
        x0, y0 = int(max(0, x - 20 * r)), int(max(0, y - 20 * r))
        x1, y1 = int(min(w, x + 20 * r)), int(min(h, y + 20 * r))
        yy, xx = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        d = ((xx - x) ** 2 + (yy - y) ** 2) / r ** 2
        im[y0:y1, x0:x1] += light * (1.3 * np.exp(-d) + .1 * np.exp(-d / 30))[..., None]
    return byte(im + rng.normal(0, 2.5, im.shape))


def drawing(rng, n):
    """Lines on white in a frame: curves in the same axes, or plans of boxes."""
    w, h = 1200, 900
    im = np.full((h, w, 3), 255, np.uint8)
    cv2.rectangle(im, (110, 80), (1120, 800), (0, 0, 0), 2)
    if n % 2:
        for k in range(1, 6):
            cv2.line(im, (110, 80 + 120 * k), (1120, 80 + 120 * k), (210, 210, 210), 1)
        for c in [(200, 30, 30), (30, 90, 200), (30, 140, 60)][:1 + n % 3]:
            y = np.cumsum(rng.normal(0, 1, 60))
            y = 750 - 620 * (y - y.min()) / (np.ptp(y) + 1e-9)
            cv2.polylines(im, [np.int32(np.stack([np.linspace(112, 1118, 60), y], 1))], False, c, 3, cv2.LINE_AA)
    else:
        for _ in range(9):
            x, y = int(rng.integers(130, 900)), int(rng.integers(100, 650))
            cv2.rectangle(im, (x, y), (x + int(rng.integers(80, 210)), y + int(rng.integers(50, 140))), (20, 20, 20), 2)
        for _ in range(6):
            p, q = [tuple(int(v) for v in rng.integers((120, 90), (1110, 790))) for _ in range(2)]
            cv2.line(im, p, q, (20, 20, 20), 2, cv2.LINE_AA)
    return im


def screen(rng, n):
    """A program's window: the same frame, other lines in it."""
    w, h = 1366, 768
    im = Image.new("RGB", (w, h), (245, 245, 247))
    draw, font = ImageDraw.Draw(im), ImageFont.load_default(size=16)
    draw.rectangle([0, 0, w, 40], fill=(52, 58, 70))
    draw.rectangle([0, 40, 240, h], fill=(228, 231, 236))
    draw.text((20, 12), " ".join(word(rng) for _ in range(2)).title(), font=font, fill=(240, 240, 240))
    for y in range(60, 740, 34):
        draw.text((24, y), word(rng), font=font, fill=(60, 60, 70))
        if n % 2 == 0:
            line = " ".join(word(rng) for _ in range(int(rng.integers(3, 16))))
            draw.text((270, y), line, font=font, fill=(40, 40, 40))
    if n % 2:
        for x in range(270, 1300, 270):
            for y in range(70, 660, 220):
                draw.rectangle([x, y, x + 240, y + 160], fill=tuple(int(v) for v in rng.integers(40, 230, 3)))
                draw.text((x, y + 170), word(rng), font=font, fill=(40, 40, 40))
    return np.asarray(im)


# ---------------------------------------------------------------- the two modes
def quality(o):
    s = Set(o.out, o.seed, o.half)
    paths = find(o.photos, PHOTOS[o.half].split())
    count, others = 0, 0
    larges = [e for e in paths if not any(k in e for k in WHOLE) and min(Image.open(paths[e]).size) >= 900]
    for end, path in paths.items():
        im, rng = opened(path), s.rng(end)
        for cell in cells(rng, im, end):
            x, y, w, h = cell
            window = im[y:y + h, x:x + w]
            if not lively(window) and "default/" not in end:
                continue
            if rng.random() > o.scale:
                continue
            side = float(np.exp(rng.uniform(np.log(800), np.log(2500))))
            window = fitted(window, min(side, max(w, h) * 1.1))
            if rng.random() < .06:
                window = gray(window)
            form = ("png", dict(compress_level=4)) if rng.random() < .05 else None
            scene = s.scene()
            base = s.add(f"{count:03}_base", window, scene, "base", rng, form, source=end)
            copies(s, count, base, scene)
            if others < OTHER * o.scale and rng.random() < .75:
                others += 1
                other_crop(s, count, im, cell)
            count += 1
    for number in range(max(1, round(BURSTS * o.scale))):
        for at, kind in enumerate(["shift", "rotate", "zoom", "object", "mixed"]):
            end, front = (larges[(number * k + at * m) % len(larges)] for k, m in ((5, 3), (7, 5)))
            burst(s, kind, number, opened(paths[end]), opened(paths[front]))
    for number, ends in enumerate(REAL[o.half]):
        for k, path in enumerate(find(o.photos, ends).values()):
            rng = s.rng(path.rsplit("/", 1)[1])
            s.add(f"burst_real_{number}_{k}", opened(path), s.scene(), "burst-real", rng, burst=f"real{number}")
    for kind, number in BLANK.items():
        for n in range(round(number * max(o.scale, .3))):
            rng = s.rng(f"blank {kind} {n}")
            s.add(f"blank_{kind}_{n}", blank(kind, rng, n), s.scene(), f"blank-{kind}", rng)
    for make in (sky, page, night, drawing, screen):
        for n in range(round(LOOKALIKE * max(o.scale, .3))):
            rng, kind = s.rng(f"{make.__name__} {n}"), make.__name__
            form = ("png", {}) if kind == "screen" and n % 3 else None
            s.add(f"like_{kind}_{n}", make(rng, n), s.scene(), kind, rng, form)
    s.finish()


def speed(o):
    s = Set(o.out, o.seed, "speed")
    paths = find(o.photos, (PHOTOS["a"] + " " + PHOTOS["b"]).split())
    ends = [e for e in paths if not any(k in e for k in WHOLE) and math.prod(Image.open(paths[e]).size) > 3e6]
    kept, grain = {}, None
    for number in range(o.count):
        rng = s.rng(f"speed {number}")
        if number % 60 == 0:                                # a few photographs at a time stay in memory
            kept = {e: opened(paths[e]) for e in rng.choice(ends, 12, replace=False)}
            grain = rng.normal(0, 16, (3100, 4100, 3)).clip(-127, 127).astype(np.int8)
        kind = rng.choice(["large", "small", "png", "webp"], p=[.82, .11, .05, .02])
        if kind == "large":
            w, h = [(4000, 3000), (4032, 3024)][int(rng.integers(2))]
        else:
            shape = float(rng.choice([4 / 3, 3 / 2, 16 / 9]))
            megapixels = rng.uniform(2, 8) if kind == "small" else rng.uniform(1, 4)
            h = int(math.sqrt(megapixels * 1e6 / shape))
            w = int(h * shape)
        if rng.random() < .25:
            w, h = h, w

        def piece(w, h):
            """Some of a photograph, at most enlarged by 1.4 if it is large enough for that."""
            im = kept[sorted(kept)[int(rng.integers(len(kept)))]]
            k = min(im.shape[1] / w, im.shape[0] / h)
            k = k if k < .72 else rng.uniform(.71, min(k, 1.3))
            cw, ch = int(w * k), int(h * k)
            x, y = int(rng.integers(im.shape[1] - cw + 1)), int(rng.integers(im.shape[0] - ch + 1))
            im = cv2.resize(im[y:y + ch, x:x + cw], (w, h), interpolation=cv2.INTER_LINEAR)
            return im[:, ::-1] if rng.random() < .5 else im
        if w * h < 3e6:
            im = piece(w, h)
        else:                                               # a mosaic of six
            xs = [0, *(int(w * (k + rng.uniform(-.2, .2)) / 3) for k in (1, 2)), w]
            ys = [0, int(h * rng.uniform(.35, .65)), h]
            im = np.empty((h, w, 3), np.uint8)
            for x0, x1, y0, y1 in [(*xs[i:i + 2], *ys[j:j + 2]) for i in range(3) for j in range(2)]:
                im[y0:y1, x0:x1] = piece(x1 - x0, y1 - y0)
        table = np.arange(256)[:, None] * rng.uniform(.85, 1.15, 3) + rng.uniform(-8, 8)
        im = cv2.LUT(im, np.clip(table, 0, 255).astype(np.uint8)[None])
        fine = rng.uniform(*o.noise) / 16
        y0, x0 = int(rng.integers(40)), int(rng.integers(40))
        patch = grain[y0:y0 + h, x0:x0 + w] if w >= h else grain.transpose(1, 0, 2)[x0:x0 + h, y0:y0 + w]
        im = cv2.addWeighted(im, 1, np.ascontiguousarray(patch), fine, 0, dtype=cv2.CV_8U)
        stem = f"{number // 500:02}_{number:05}"
        if kind == "png":
            form = ("png", dict(compress_level=3))
        elif kind == "webp":
            form = ("webp", dict(quality=int(rng.integers(75, 92)), method=2))
        else:
            form = ("jpg", dict(quality=int(rng.triangular(80, 95, 96)),
                                subsampling=[2, 2, 2, 2, 1, 0][int(rng.integers(6))],
                                progressive=bool(rng.random() < .08)))
        s.add(stem, im, s.scene(), kind, rng, form)
    s.finish(equal=False)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("mode", choices=["quality", "speed"])
    p.add_argument("out", help="folder to write to")
    p.add_argument("--photos", nargs="+", required=True, help="folders with the photographs")
    p.add_argument("--half", choices=["a", "b"], default="a", help="which of the photographs the set is made of")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--scale", type=float, default=1, help="share of the whole set")
    p.add_argument("--count", type=int, default=3000, help="files of the speed set")
    p.add_argument("--noise", type=float, nargs=2, default=[3, 7], help="sensor noise of the speed set, from .. to")
    o = p.parse_args()
    quality(o) if o.mode == "quality" else speed(o)


if __name__ == "__main__":
    main()
