#!/usr/bin/env python3
"""Make visual-inspection (anomaly detection) test sets in the MVTec AD layout.

    make_inspection_set.py OUT [--seed N] [--scenes a|b|all|name,name,..]
                           [--goods 20] [--size 256] [--photos DIR ..] [--sheets]

Writes, for every scene:
    OUT/<scene>/train/good/000.png ..         session "train":   mild light, little noise
    OUT/<scene>/test/good/000.png ..          session "test":    other light, 2-3x the noise
    OUT/<scene>/test/<kind>/000.png ..        session "test",    6 kinds x 5 defects
    OUT/<scene>/ground_truth/<kind>/000_mask.png   255 = defect
    OUT/<scene>/holdout/good/000.png ..       session "holdout", light in between
    OUT/<scene>/defects.csv                   kind, file, area %, contrast (grey levels), local sigma
and OUT/set.json (the parameters of every session), with --sheets OUT/sheet_<scene>.png.

Three sorts of scene: "object" (one crop of a photograph, photographed again and again
with a jittered pose), "texture" (every image another crop; train from one half of the
photograph, test and holdout from the other), "drawn" (procedural: the layout is fixed by
the seed, every unit differs a little, jittered pose).  All is a function of --seed, the
scene's name and the file's number: no scene depends on which others are made.

Defects are put in BEFORE the session's light, blur and noise, so they carry the same ones.
Their contrast is graded: the five of a kind run from barely visible to plain.  cutpaste is
in the style of CutPaste (Li et al. 2021), perlin in that of DRAEM (Zavrtanik et al. 2021);
the code is our own.

Photographs (nothing is downloaded; each is looked for in the places of find_photo):
    coffee.png           scikit-image   Rachel Michetti, CC0
    motorcycle_left.png  scikit-image   Middlebury stereo 2014 (Scharstein et al.); no licence stated there
    coins.png            scikit-image   Brooklyn Museum, no known copyright restrictions
    retina.jpg           scikit-image   Mikael Haggstrom (Wikimedia), CC0
    brick.png, gravel.png scikit-image  CC0Textures Bricks25, Gravel04, CC0
    grass.png            scikit-image   linolafett (DeviantArt), CC0
    china.jpg            scikit-learn   danielbuechele, CC BY 2.0
    flower.jpg           scikit-learn   vultilion, CC BY 2.0
    Blinds.jpg, Wood.jpg, GreenMeadow.jpg  Debian mate-backgrounds, GPL-2+ (Poettering and
                         Cimitan; Fortin Tam; Schellhase and Calamandrei)
    greentock_*.jpg, Picture_1A_*, Picture_0B_*  Debian lomiri-wallpapers-16.04
                         Peter Nerlich CC BY-SA 4.0; Trevor "Freespace" CC BY 4.0 (2)
"""
import argparse, csv, glob, json, os, zlib
import cv2
import numpy as np

cv2.setNumThreads(1)
KINDS = ["scratch", "stain", "hole", "cutpaste", "perlin", "warp"]

# object: file, centre x, centre y (fractions), side (fraction of the shorter edge)
# texture: file, crop side in source pixels, largest rotation in degrees, "whole": do not
#   split the photograph (its halves differ too much to be one material)
# drawn: function name; texture_drawn: the same with a random crop and no pose
SCENES = {
    "coffee":     ("object", "coffee.png", .45, .47, .78),
    "motorcycle": ("object", "motorcycle_left.png", .47, .60, .52),
    "coins":      ("object", "coins.png", .50, .50, .78),
    "retina":     ("object", "retina.jpg", .36, .50, .55),
    "clock":      ("object", "greentock_by_Peter_Nerlich.jpg", .52, .45, .72),
    "brushes":    ("object", "Picture_1A_by_freespace.jpg", .45, .50, .80),
    "pagoda":     ("object", "china.jpg", .34, .50, .80),
    "flower":     ("object", "flower.jpg", .50, .45, .70),
    "fig":        ("object", "Picture_0B_by_freespace.jpg", .50, .48, .80),
    "gravel":     ("texture", "gravel.png", 200, 8),
    "brick":      ("texture", "brick.png", 200, 1, "whole"),
    "grass":      ("texture", "grass.png", 200, 8),
    "leaf":       ("texture", "Blinds.jpg", 420, 3, "whole"),
    "wood":       ("texture", "Wood.jpg", 640, 3, "whole"),
    "meadow":     ("texture", "GreenMeadow.jpg", 512, 3, "whole"),
    "weave":      ("drawn_texture", "weave"),
    "part":       ("drawn", "part"),
    "pcb":        ("drawn", "pcb"),
    "label":      ("drawn", "label"),
}
SETS = {  # half of b is not in a; what is in both has another layout or another crop
    "a": "coffee,motorcycle,coins,retina,gravel,brick,leaf,weave,part,pcb",
    "b": "clock,brushes,pagoda,flower,grass,brick,meadow,label,part,pcb",
    "all": ",".join(SCENES),
}
TINT = {"gravel": (1.0, .95, .88), "brick": (.98, .80, .70), "grass": (.86, 1.0, .70)}


# ---------------------------------------------------------------- photographs
def find_photo(name, extra):
    dirs = list(extra)
    for mod, sub in (("skimage", "data"), ("sklearn", "datasets/images")):
        try:
            dirs.append(os.path.join(os.path.dirname(__import__(mod).__file__), sub))
        except ImportError:
            pass
    dirs += ["/usr/share/backgrounds"]
    for d in dirs:
        hit = glob.glob(os.path.join(glob.escape(d), "**", name), recursive=True)
        if hit:
            return hit[0]
    raise SystemExit(f"photograph {name} not found in {dirs}; give --photos DIR")


_cache = {}


def photo(name, extra):
    """RGB float 0..1, its highlights brought to 0.9 so that a brighter light can clip a bit."""
    if name not in _cache:
        im = cv2.imread(find_photo(name, extra), cv2.IMREAD_COLOR)[:, :, ::-1].astype(np.float32) / 255
        _cache[name] = im * (0.88 / max(np.percentile(im.max(2), 99.5), .3))
    return _cache[name]


# ---------------------------------------------------------------- noise fields
def perlin(rng, n, cell):
    """Gradient noise on an n x n grid, lattice step `cell` pixels; about -0.7..0.7."""
    k = int(n / cell) + 3
    ang = rng.uniform(0, 2 * np.pi, (k, k))
    gx, gy = np.cos(ang), np.sin(ang)
    p = np.arange(n) / cell + rng.uniform(0, 1)
    i = p.astype(int)
    f = p - i
    u = f * f * f * (f * (f * 6 - 15) + 10)
    X, Y = f[None, :], f[:, None]

    def dot(dy, dx):
        iy, ix = (i + dy)[:, None], (i + dx)[None, :]
        return gx[iy, ix] * (X - dx) + gy[iy, ix] * (Y - dy)
    top = dot(0, 0) + u[None, :] * (dot(0, 1) - dot(0, 0))
    bot = dot(1, 0) + u[None, :] * (dot(1, 1) - dot(1, 0))
    return (top + u[:, None] * (bot - top)).astype(np.float32)


def soft(rng, shape, sigma):
    """Blurred white noise with unit standard deviation."""
    x = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    return x / (x.std() + 1e-9)


# ---------------------------------------------------------------- drawn scenes
# Each takes (layout rng, unit rng) and gives an RGB float image 640 x 640; the middle
# 512 x 512 of it is what the camera sees at scale 1.
N = 640


def _done(im):
    return np.clip(cv2.GaussianBlur(im, (0, 0), .8), 0, .95)


def part(lay, unit):
    """A turned and brushed metal flange with bolt holes on a dark mat."""
    y, x = np.mgrid[0:N, 0:N].astype(np.float32)
    c = N / 2
    r, a = np.hypot(x - c, y - c), np.arctan2(y - c, x - c)
    im = np.stack([.13 + .012 * soft(unit, (N, N), 1.2)] * 3, 2) * np.array([1, 1, 1.08], np.float32)
    R, bore, nb = lay.uniform(225, 240), lay.uniform(55, 80), int(lay.integers(4, 8))
    rb, rh, phase, glint = (R + bore) / 2 * 1.08, lay.uniform(17, 24), lay.uniform(0, 6.28), lay.uniform(0, 3.14)
    rings = cv2.GaussianBlur(unit.standard_normal((1, 800)).astype(np.float32), (0, 0), .9)[0]
    ring = np.interp(r, np.arange(800), rings).astype(np.float32)
    metal = .52 + .10 * np.cos(2 * (a - glint)) + .035 * ring + .012 * soft(unit, (N, N), 1)
    groove = (bore + R) / 2 * lay.uniform(.70, .76)
    metal += .16 * np.exp(-((r - groove) / 3) ** 2) - .22 * np.exp(-((r - groove - 6) / 4) ** 2)
    metal += .18 * np.exp(-((r - R + 5) / 3) ** 2) + .16 * np.exp(-((r - bore - 5) / 3) ** 2)
    on = (r < R) & (r > bore)
    for k in range(nb):
        t = phase + 2 * np.pi * k / nb
        d = np.hypot(x - c - rb * np.cos(t), y - c - rb * np.sin(t))
        metal += .2 * np.exp(-((d - rh - 3) / 2.5) ** 2) * np.cos(np.arctan2(y - c - rb * np.sin(t), x - c - rb * np.cos(t)) - 2.3)
        on &= d > rh
    m = cv2.GaussianBlur(on.astype(np.float32), (0, 0), 1)[:, :, None]
    sh = cv2.GaussianBlur(np.roll(on.astype(np.float32), (10, 8), (0, 1)), (0, 0), 9)[:, :, None]
    im = im * (1 - .5 * sh)
    return _done(im * (1 - m) + metal[:, :, None] * np.array([1, .985, .95], np.float32) * m)


def pcb(lay, unit):
    """A circuit board: traces, vias, chips, resistors; parts sit a little differently on each unit."""
    base = np.array(lay.choice([[.06, .30, .14], [.05, .16, .36], [.10, .28, .10]]), np.float32)
    im = np.ones((N, N, 3), np.float32) * base * float(unit.uniform(.95, 1.05))
    col = lambda v: tuple(float(t) for t in v)
    grid = 16
    for _ in range(46):                                   # traces: 45 and 90 degree walks
        p = lay.integers(0, N // grid, 2) * grid
        w = int(lay.choice([4, 4, 6, 10]))
        for _ in range(int(lay.integers(2, 5))):
            d = lay.choice([(1, 0), (0, 1), (1, 1), (1, -1), (-1, 0), (0, -1)], 1)[0]
            q = p + d * grid * int(lay.integers(2, 9))
            cv2.line(im, [int(v) for v in p], [int(v) for v in q], col(base * 1.45 + .02), w, cv2.LINE_AA)
            p = q
        cv2.circle(im, [int(v) for v in p], 8, (.62, .58, .42), -1, cv2.LINE_AA)
        cv2.circle(im, [int(v) for v in p], 4, (.05, .05, .05), -1, cv2.LINE_AA)
    im *= 1 + .02 * soft(unit, (N, N), 2)[:, :, None]
    taken = []

    def place(w, h):
        for _ in range(60):
            x, y = int(lay.integers(20, N - w - 20)), int(lay.integers(20, N - h - 20))
            if all(x + w + 14 < a or a + c + 14 < x or y + h + 14 < b or b + d + 14 < y for a, b, c, d in taken):
                taken.append((x, y, w, h))
                return x, y
    for k in range(34):
        chip = k < 4
        w, h = (int(lay.integers(90, 150)), int(lay.integers(70, 120))) if chip else [(52, 24), (24, 52)][int(lay.integers(2))]
        at, kind, num = place(w, h), int(lay.integers(3)), int(lay.integers(100, 999))
        if at is None:
            continue
        x, y = at
        tin = np.array([.70, .70, .68]) * unit.uniform(.93, 1.05)
        j = unit.normal(0, .8, 2).round().astype(int)
        body = (.07, .07, .08) if chip or kind == 0 else ((.50, .38, .22) if kind == 1 else (.62, .60, .55))
        body = col(np.array(body) * unit.uniform(.93, 1.07))
        if chip:
            for px in range(x + 8, x + w - 8, 14):
                cv2.rectangle(im, (px, y - 9), (px + 6, y + h + 9), col(tin), -1)
            cv2.rectangle(im, (x + j[0], y + j[1]), (x + w + j[0], y + h + j[1]), body, -1)
            cv2.circle(im, (int(x + 12 + j[0]), int(y + 12 + j[1])), 4, (.18, .18, .18), -1, cv2.LINE_AA)
            cv2.putText(im, f"OC{num}", (int(x + 14 + j[0]), int(y + h // 2 + 8 + j[1])), 0, .62, (.42, .42, .42), 1, cv2.LINE_AA)
        else:
            cv2.rectangle(im, (x, y), (x + w, y + h), col(tin), -1)
            a, b = (10, 0) if w > h else (0, 10)
            x0, y0 = x + a + int(j[0]), y + b + int(j[1])
            cv2.rectangle(im, (x0, y0), (x0 + w - 2 * a, y0 + h - 2 * b), body, -1)
            cv2.putText(im, f"R{k}", (x, y - 4), 0, .4, (.8, .8, .76), 1, cv2.LINE_AA)
    return _done(im)


def label(lay, unit):
    """A printed paper label; the paper's fibres and the ink's density differ from unit to unit."""
    paper = .80 + .012 * soft(unit, (N, N), 1.5) + .008 * soft(unit, (N, N), 12)
    ink = np.zeros((N, N, 3), np.float32)                # 0: no ink, 1: absorbs all
    dark, hue = (.92, .90, .86), tuple(float(v) for v in lay.choice([[.1, .7, .8], [.8, .45, .1], [.75, .2, .65]]))
    cv2.rectangle(ink, (78, 78), (562, 562), dark, 4)
    cv2.rectangle(ink, (80, 80), (560, 165), hue, -1)
    cv2.putText(ink, "OCELLUS", (100, 142), 2, 1.9, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.circle(ink, (500, 122), 30, dark, -1, cv2.LINE_AA)
    cv2.circle(ink, (500, 122), 13, (0, 0, 0), -1, cv2.LINE_AA)
    word = lambda n: "".join(lay.choice(list("ABCDEFGHKLMNPRSTUVWXYZ0123456789"), n))
    for k in range(7):
        cv2.putText(ink, f"{word(4)} {word(6)} {word(3)}", (100, 205 + 30 * k), 0, .72, dark, 2 - k % 2, cv2.LINE_AA)
    x = 100
    while x < 440:                                        # bar code
        w = int(lay.choice([3, 3, 6, 9]))
        cv2.rectangle(ink, (x, 425), (x + w - 1, 520), dark, -1)
        x += w + int(lay.choice([3, 6, 9]))
    cv2.putText(ink, " ".join(word(12)), (104, 545), 0, .6, dark, 1, cv2.LINE_AA)
    m = lay.integers(0, 2, (12, 12)).astype(np.float32)
    ink[430:526, 455:551] = np.kron(m, np.ones((8, 8), np.float32))[:, :, None] * np.array(dark, np.float32)
    ink = cv2.GaussianBlur(ink, (0, 0), 1.0) * (unit.uniform(.93, 1.0) + .02 * soft(unit, (N, N), 4)[:, :, None])
    return _done(paper[:, :, None] * np.array([1, .99, .95], np.float32) * (1 - ink))


def weave(lay, unit):
    """Woven cloth, twill or plain; no two images show the same threads."""
    step, twill = lay.uniform(13, 17), int(lay.integers(2, 4))
    c1, c2 = lay.uniform(.5, .7) + lay.uniform(-.12, .12, 3), lay.uniform(.6, .95) + lay.uniform(-.12, .12, 3)
    y, x = np.mgrid[0:N, 0:N].astype(np.float32)
    px = (x + 1.8 * soft(unit, (N, N), 18)) / step + unit.uniform(0, 50)
    py = (y + 1.8 * soft(unit, (N, N), 18)) / step + unit.uniform(0, 50)
    ix, iy = px.astype(int), py.astype(int)
    over = ((ix + iy) % twill == 0) if twill == 2 else ((ix - iy) % twill != 0)
    fx, fy = px - ix - .5, py - iy - .5
    tone = 1 + .06 * unit.standard_normal(200)
    warp_ = np.cos(fx * 2.6)[:, :, None] * (1 - .5 * fy[:, :, None] ** 2) * tone[ix % 200][:, :, None] * c1
    weft = np.cos(fy * 2.6)[:, :, None] * (1 - .5 * fx[:, :, None] ** 2) * tone[(iy + 77) % 200][:, :, None] * c2
    im = np.where(over[:, :, None], warp_, weft) * (1 + .07 * soft(unit, (N, N), 1.0)[:, :, None])
    return _done(im.astype(np.float32))


# ---------------------------------------------------------------- taking a picture
def view(im, cx, cy, scale, deg, size):
    """size x size picture of `im` round (cx, cy); `scale` source pixels per output pixel."""
    if scale > 1.3:                                       # low-pass before thinning out
        k = 1 / scale
        im = cv2.resize(im, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
        cx, cy, scale = cx * k, cy * k, 1.0
    t = np.deg2rad(deg)
    a, b, h = scale * np.cos(t), scale * np.sin(t), (size - 1) / 2
    m = np.array([[a, -b, cx - a * h + b * h], [b, a, cy - b * h - a * h]], np.float32)
    out = cv2.warpAffine(im, m, (size, size), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                         borderMode=cv2.BORDER_REFLECT_101)
    return np.clip(out, 0, 1)


def shot(scene, seed, session, rng, size, extra):
    """One clean picture of a scene, its pose or crop drawn from rng."""
    spec = SCENES[scene]
    lay = np.random.default_rng([seed, zlib.crc32(scene.encode())])
    if spec[0] == "texture":
        im, win = photo(spec[1], extra), spec[2]
        h, w = im.shape[:2]
        left = (session == "train") == (lay.random() < .5)      # which half is for training
        edge = win * .5 * (1 + np.deg2rad(spec[3])) + 2
        x0, x1 = (0, w) if len(spec) > 4 else (0, w / 2) if left else (w / 2, w)
        out = view(im, rng.uniform(x0 + edge, x1 - edge), rng.uniform(edge, h - edge), win / size,
                   rng.uniform(-spec[3], spec[3]), size)
        return out * np.array(TINT.get(scene, (1, 1, 1)), np.float32)
    if spec[0] == "object":
        im = photo(spec[1], extra)
        h, w = im.shape[:2]
        side = spec[4] * min(h, w) * lay.uniform(.96, 1.0)      # another seed, another crop
        cx, cy = w * spec[2] + side * lay.uniform(-.03, .03), h * spec[3] + side * lay.uniform(-.03, .03)
    else:
        im, side, cx, cy = globals()[spec[1]](lay, rng), N * .8, N / 2, N / 2
    s = side / size
    jit = 6 * size / 256
    return view(im, cx + s * rng.uniform(-jit, jit), cy + s * rng.uniform(-jit, jit),
                s * rng.uniform(.98, 1.02), rng.uniform(-3, 3), size)


def make_session(kind, rng):
    """Light and camera of one session."""
    u, sign = rng.uniform, rng.choice([-1, 1])
    s = {"train":   dict(gain=u(.97, 1.03), gamma=u(.97, 1.03), temp=u(-.02, .02), grad=u(.02, .06),
                         vign=u(0, .05), blur=u(.35, .6), noise=u(2, 3), jpeg=int(u(93, 97))),
         "holdout": dict(gain=1 + sign * u(.05, .10), gamma=u(.93, 1.07), temp=u(-.05, .05), grad=u(.06, .11),
                         vign=u(.03, .09), blur=u(.4, .8), noise=u(3.3, 4.5), jpeg=int(u(90, 94))),
         "test":    dict(gain=[u(.80, .90), u(1.1, 1.25)][int(sign > 0)], gamma=u(.86, 1.14),
                         temp=rng.choice([-1, 1]) * u(.04, .10), grad=u(.12, .20), vign=u(.05, .13),
                         blur=rng.choice([u(.3, .5), u(.7, 1.0)]), noise=u(5, 8), jpeg=int(u(85, 92)))}[kind]
    s["dir"] = u(0, 2 * np.pi)
    return {k: float(v) for k, v in s.items()}


def expose(im, s, rng):
    """Light, lens, sensor and JPEG of session s, a little different for each picture; gives 8 bit."""
    n = im.shape[0]
    y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j].astype(np.float32)
    d = s["dir"] + rng.normal(0, .08)
    light = 1 + s["grad"] * rng.uniform(.85, 1.15) * (x * np.cos(d) + y * np.sin(d)) - s["vign"] * (x * x + y * y) / 2
    t = s["temp"] + rng.normal(0, .006)
    out = np.clip(im, 1e-4, 1) ** s["gamma"] * light[:, :, None] * s["gain"] * rng.normal(1, .012)
    out = out * np.array([1 + t, 1, 1 - t], np.float32)
    out = cv2.GaussianBlur(out, (0, 0), s["blur"] * rng.uniform(.9, 1.1) * n / 256)
    sd = s["noise"] / 255 * np.sqrt(.5 + np.clip(out, 0, 1))     # read noise + shot noise; `noise` at mid grey
    grain = .8 * rng.standard_normal(out.shape) + .6 * rng.standard_normal((n, n, 1))
    out = np.clip((out + sd * grain) * 255 + .5, 0, 255).astype(np.uint8)
    ok, buf = cv2.imencode(".jpg", out[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(s["jpeg"])])
    return cv2.imdecode(buf, cv2.IMREAD_COLOR)                   # BGR


# ---------------------------------------------------------------- defects
# Each takes (picture, rng, side in pixels, strength in 0..1, donor texture) and gives
# (new picture, opacity map); the caller grades contrast and area.
AREA = dict(scratch=(.0008, .004), stain=(.0025, .012), hole=(.0008, .004),
            cutpaste=(.0015, .010), perlin=(.002, .012), warp=(.003, .012))


def _mix(im, alpha, colour):
    return im * (1 - alpha[:, :, None]) + colour * alpha[:, :, None]


def _spot(rng, n, ratio=2.0, rough=.25):
    """An irregular blob: signed field, > 0 inside; centre anywhere but at the very edge."""
    area = rng.uniform(*rng.area) * n * n
    k = rng.uniform(1, ratio)
    a, b, t = np.sqrt(area / np.pi * k), np.sqrt(area / np.pi / k), rng.uniform(0, np.pi)
    cx, cy = rng.uniform(.07 * n, .93 * n, 2)
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    u, v = (x - cx) * np.cos(t) + (y - cy) * np.sin(t), (y - cy) * np.cos(t) - (x - cx) * np.sin(t)
    return 1 - np.sqrt((u / a) ** 2 + (v / b) ** 2) + rough * perlin(rng, n, max(6., b)), (cx, cy, a, b)


def scratch(im, rng, n, s, donor):
    """A thin bent line, fading at its ends, brighter or darker than what it crosses."""
    length = rng.uniform(.10, .28) * n
    p0, t = rng.uniform(.1 * n, .9 * n, 2), rng.uniform(0, 2 * np.pi)
    bend = rng.normal(0, .25)
    q = np.linspace(0, 1, 40)
    ang = t + bend * (q - .5) * 2 + rng.normal(0, .1) * np.sin(q * 6)
    pts = p0 + np.cumsum(np.stack([np.cos(ang), np.sin(ang)], 1), 0) * length / 40
    a = np.zeros((n * 4, n * 4), np.float32)
    w = rng.uniform(1.0, 2.2) * n / 256
    for k in range(39):
        fade = min(1, 5 * min(q[k], 1 - q[k]) + .35)
        cv2.line(a, [int(v * 4) for v in pts[k]], [int(v * 4) for v in pts[k + 1]], float(fade), max(2, int(w * 4 * fade)), cv2.LINE_AA)
    a = cv2.resize(a, (n, n), interpolation=cv2.INTER_AREA)
    return im + a[:, :, None] * (rng.choice([-1, 1]) * s * .6) * np.array([1, 1, rng.uniform(.9, 1.05)]), a


def stain(im, rng, n, s, donor):
    """A soft tint, as of oil or water: multiplies, with a slightly darker rim."""
    f, _ = _spot(rng, n)
    a = np.clip(f * 3, 0, 1) * (1 - .3 * np.clip(f * 2 - .6, 0, 1))
    colour = 1 - s * .8 * np.array([rng.uniform(.3, .8), rng.uniform(.4, 1), rng.uniform(.5, 1)])
    if rng.random() < .25:
        return _mix(im, a * s * .5, np.array([.9, .9, .85])), a
    return im * (1 - a[:, :, None] * (1 - colour)), a


def hole(im, rng, n, s, donor):
    """A dark pit with a faint bright edge on one side; now and then a bright chip."""
    f, (cx, cy, a_, b_) = _spot(rng, n, 1.5, .2)
    a = np.clip(f * 4 + .5, 0, 1)
    rim = cv2.GaussianBlur(a, (0, 0), 1.2) * (1 - a)
    out = _mix(im, a * (.25 + .75 * s), rng.uniform(.02, .12) if rng.random() < .75 else rng.uniform(.8, .95))
    return out + .35 * s * rim[:, :, None], a


def cutpaste(im, rng, n, s, donor):
    """A rectangle or a thin scar from elsewhere in the same picture, turned and pasted."""
    area, ratio = rng.uniform(*rng.area) * n * n, rng.uniform(1, 3.3) if rng.random() < .5 else rng.uniform(4, 9)
    w, h = np.sqrt(area * ratio), np.sqrt(area / ratio)
    d = np.hypot(w, h) / 2 + 2
    (x0, y0), (x1, y1) = rng.uniform(d, n - d, 2), rng.uniform(d, n - d, 2)
    m = cv2.getRotationMatrix2D((float(x0), float(y0)), float(rng.uniform(-45, 45)), 1.0)
    m[:, 2] += (x1 - x0, y1 - y0)
    box = np.array([[x0 - w / 2, y0 - h / 2], [x0 + w / 2, y0 - h / 2], [x0 + w / 2, y0 + h / 2], [x0 - w / 2, y0 + h / 2]])
    poly = (m[:, :2] @ box.T + m[:, 2:]).T
    a = np.zeros((n, n), np.float32)
    cv2.fillPoly(a, [np.round(poly * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    src = cv2.warpAffine(im, m, (n, n), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return _mix(im, a, np.clip(src * rng.uniform(.92, 1.08), 0, 1)), a


def perlin_blend(im, rng, n, s, donor):
    """A thresholded Perlin mask, one piece of it, through which another texture shows."""
    f = perlin(rng, n, rng.choice([12, 20, 32]) * n / 256)
    cnt, lab, st, _ = cv2.connectedComponentsWithStats((f > rng.uniform(.22, .38)).astype(np.uint8))
    ok = [k for k in range(1, cnt) if rng.area[0] * n * n < st[k, 4] < rng.area[1] * n * n]
    if not ok:
        return im, np.zeros((n, n), np.float32)
    a = cv2.GaussianBlur((lab == rng.choice(ok)).astype(np.float32), (0, 0), .7)
    return _mix(im, a * (.2 + .6 * s), donor), a


def warp(im, rng, n, s, donor):
    """A dent (the surface pulled 3-5 px aside), or a smear (blurred along a line)."""
    f, _ = _spot(rng, n, 1.8, .1)
    a = np.clip(f * 3, 0, 1)
    t = rng.uniform(0, 2 * np.pi)
    if rng.random() < .6:
        d = (rng.uniform(3, 5) * n / 256) * a * a * (3 - 2 * a)
        y, x = np.mgrid[0:n, 0:n].astype(np.float32)
        out = cv2.remap(im, (x + d * np.cos(t)).astype(np.float32), (y + d * np.sin(t)).astype(np.float32),
                        cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        return out * (1 + .10 * s * (a * np.clip(f, 0, 1))[:, :, None]), (a > .05).astype(np.float32)
    k = np.zeros((15, 15), np.float32)
    r = 3 + 4 * s
    cv2.line(k, (int(7.5 - r * np.cos(t)), int(7.5 - r * np.sin(t))), (int(7.5 + r * np.cos(t)), int(7.5 + r * np.sin(t))), 1.0, 1)
    return _mix(im, a, cv2.GaussianBlur(cv2.filter2D(im, -1, k / k.sum()), (0, 0), .5 + s)), a


MAKERS = dict(scratch=scratch, stain=stain, hole=hole, cutpaste=cutpaste, perlin=perlin_blend, warp=warp)


class Rng:
    """A numpy Generator that also carries the area range of the defect."""
    def __init__(self, g, area):
        self.g, self.area = g, area

    def __getattr__(self, k):
        return getattr(self.g, k)


def add_defect(im, kind, level, rng, donor_of, roi):
    """Try places and strengths until the contrast is about that of `level` (0 faint .. 1 plain).

    The contrast asked for grows with how busy the picture is at the place: what shows on
    bare metal is lost in gravel."""
    n, best = im.shape[0], None
    grey = im.mean(2)
    mu = cv2.blur(grey, (11, 11))
    sigma = np.sqrt(np.maximum(cv2.blur(grey * grey, (11, 11)) - mu * mu, 0)) * 255
    low, high = AREA[kind]
    for k in range(80):
        new, a = MAKERS[kind](im, Rng(rng, AREA[kind]), n, rng.uniform(.05, 1), donor_of(rng) if kind == "perlin" else None)
        mask = a > .3
        area = mask.sum() / (n * n)
        if not low * .8 <= area <= high * 1.1 or (roi is not None and roi[mask].mean() < .9):
            continue
        new = np.clip(new, 0, 1).astype(np.float32)
        diff = np.abs(new - im).max(2)[mask].mean() * 255
        busy = float(sigma[mask].mean())
        want = 11 * 5.0 ** level * (1 + busy / 30)        # 11 .. 55 grey levels on a bare surface
        if kind == "warp":                                # cannot exceed what the picture holds
            want *= .8
        miss = abs(np.log((diff + .1) / want))
        if best is None or miss < best[0]:
            best = (miss, new, mask, area, diff, busy)
        if miss < .15:
            break
    return best[1:]


# ---------------------------------------------------------------- main
def contact_sheet(base, out):
    """Two train, one holdout and two test goods, then the defects with their outline."""
    rows = []
    rd = lambda p: cv2.imread(p)
    goods = [rd(f"{base}/{p}") for p in ("train/good/000.png", "train/good/001.png", "holdout/good/000.png",
                                         "test/good/000.png", "test/good/001.png")]
    rows.append(np.hstack(goods))
    for kind in KINDS:
        row = []
        for p in sorted(glob.glob(f"{base}/test/{kind}/*.png"))[:5]:
            im = rd(p)
            m = cv2.imread(f"{base}/ground_truth/{kind}/{os.path.basename(p)[:-4]}_mask.png", 0)
            x, y, w, h = cv2.boundingRect(m)
            cv2.rectangle(im, (x - 8, y - 8), (x + w + 8, y + h + 8), (255, 255, 0), 1)
            row.append(im)
        cv2.putText(row[0], kind, (4, 14), 0, .5, (0, 255, 255), 1, cv2.LINE_AA)
        rows.append(np.hstack(row))
    w = min(r.shape[1] for r in rows)
    cv2.imwrite(out, np.vstack([r[:, :w] for r in rows]))


def save(path, im):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    cv2.imwrite(path, im)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--scenes", default="a", help="a, b, all, or names: " + SETS["all"])
    ap.add_argument("--goods", type=int, default=20)
    ap.add_argument("--size", type=int, default=256)
    ap.add_argument("--per-kind", type=int, default=5)
    ap.add_argument("--photos", nargs="*", default=[], help="folders to look for photographs in first")
    ap.add_argument("--sheets", action="store_true")
    o = ap.parse_args()
    n, sessions = o.size, {}

    for scene in SETS.get(o.scenes, o.scenes).split(","):
        base, key = os.path.join(o.out, scene), zlib.crc32(scene.encode())
        # one stream per picture: (seed, scene, folder, number)
        stream = lambda what, i=0: np.random.default_rng([o.seed, key, zlib.crc32(what.encode()), i])
        ses = {k: make_session(k, stream("session " + k)) for k in ("train", "holdout", "test")}
        sessions[scene] = ses
        for k, sub, cnt in (("train", "train/good", o.goods), ("holdout", "holdout/good", 10), ("test", "test/good", o.goods)):
            for i in range(cnt):
                rng = stream(sub, i)
                save(f"{base}/{sub}/{i:03d}.png", expose(shot(scene, o.seed, k, rng, n, o.photos), ses[k], rng))

        donors = [d for d in ("gravel.png", "grass.png", "brick.png", "coffee.png", "flower.jpg", "china.jpg") if not d.startswith(scene)]

        def donor_of(rng):
            im = photo(str(rng.choice(donors)), o.photos)
            h, w = im.shape[:2]
            return view(im, rng.uniform(.35, .65) * w, rng.uniform(.35, .65) * h, rng.uniform(.5, 1.0) * 256 / n, rng.uniform(0, 360), n)

        roi = None
        if scene == "part":                              # not on the mat: on the metal
            y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
            roi = (np.hypot(x, y) < .84) & (np.hypot(x, y) > .30)
        rows = []
        for kind in KINDS:
            levels = np.linspace(0, 1, o.per_kind)
            for i in range(o.per_kind):
                rng = stream("test/" + kind, i)
                im, mask, area, diff, busy = add_defect(shot(scene, o.seed, "test", rng, n, o.photos), kind, levels[i], rng, donor_of, roi)
                save(f"{base}/test/{kind}/{i:03d}.png", expose(im, ses["test"], rng))
                save(f"{base}/ground_truth/{kind}/{i:03d}_mask.png", mask.astype(np.uint8) * 255)
                rows.append([kind, f"{i:03d}", round(100 * area, 3), round(float(diff), 1), round(busy, 1)])
        with open(f"{base}/defects.csv", "w", newline="") as f:
            csv.writer(f).writerows([["kind", "file", "area_percent", "contrast", "local_sigma"]] + rows)
        if o.sheets:
            contact_sheet(base, f"{o.out}/sheet_{scene}.png")
        print(scene, "done", flush=True)
    with open(os.path.join(o.out, "set.json"), "w") as f:
        json.dump(dict(seed=o.seed, size=n, goods=o.goods, sessions=sessions), f, indent=1)


if __name__ == "__main__":
    main()
