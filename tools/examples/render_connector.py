#!/usr/bin/env python3
"""Render the `connector` example set: photographs of one product, good and bad.

The product is a brushed aluminium connector plate (100 x 72 mm): four cross-recess
screws, a round port with five gold pins, a header with twelve, two light pipes,
engraved text, a printed label and a rubber gasket, lying on a matte tray.

Every picture is its own path-traced render: the part is turned and shifted in
three dimensions and gets its own brushing, label position and screw angles. A small
camera model (lens blur, vignetting, Bayer mosaic, shot and read noise, exposure,
white balance, JPEG) then makes a photograph of the linear render. Seeded: the
same versions give the same scenes.

Requirements (Python 3.10 or newer):
    mitsuba==3.9.1  numpy==1.26.4  pillow==13.0.0
The variant scalar_rgb needs nothing else; `--variant llvm_ad_rgb` is several times
faster and wants a recent libLLVM (its path in DRJIT_LIBLLVM_PATH; 15 is too old).

Usage:
    python tools/examples/render_connector.py [--out examples/connector]
        [--only NAME[,NAME...]] [--spp 40] [--threads 0]
        [--variant scalar_rgb] [--regions]
`--only` takes names such as good/01 or test/chip_01; `--regions` prints the named
regions in the pixels of good/01.jpg and renders nothing.
"""

import argparse
import pathlib
import zlib

import mitsuba as mi
import numpy as np
from PIL import Image, ImageDraw, ImageFont

W, H = 640, 480
TOP = 8.0  # height of the plate's face above the tray, mm
STEP = 0.1  # grid of the plate's height field, mm
SCREWS = [(-43, 29), (43, 29), (-43, -29), (43, -29)]
ROUND = (-23.0, 10.0)  # the round port
HEADER = (20.0, 13.0)  # the twelve-pin header
LABEL = (13.0, -16.5, 44.0, 23.0)  # centre and size
LIGHTS = [(-31.0, -15.0), (-21.0, -15.0)]  # the light pipes
ROUND_PINS = [(ROUND[0] + x, ROUND[1] + y) for x, y in
              [(0, 0), (3.7, 3.7), (-3.7, 3.7), (-3.7, -3.7), (3.7, -3.7)]]
HEADER_PINS = [(HEADER[0] + 5.08 * (i - 2.5), HEADER[1] + 5.0 * (j - 0.5))
               for j in range(2) for i in range(6)]

# --------------------------------------------------------------- shapes by numbers


def sd_rrect(x, y, hx, hy, r):
    """Signed distance to a rounded rectangle around the origin."""
    qx, qy = np.abs(x) - hx + r, np.abs(y) - hy + r
    return np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - r


def inside(d, width=0.15):
    """1 inside a signed distance, 0 outside, a ramp of `width` between."""
    return np.clip(0.5 - d / width, 0, 1)


def grid(x0, x1, y0, y1, step=STEP):
    return np.meshgrid(np.arange(x0, x1 + step / 2, step), np.arange(y0, y1 + step / 2, step))


def noise(rng, shape, sx, sy):
    """Smooth noise of unit variance, correlated over (sx, sy) samples; wraps around."""
    fy = np.fft.fftfreq(shape[0])[:, None] * sy
    fx = np.fft.rfftfreq(shape[1])[None, :] * sx
    f = np.fft.rfft2(rng.standard_normal(shape)) * np.exp(-2 * np.pi**2 * (fx**2 + fy**2))
    n = np.fft.irfft2(f, shape)
    return (n - n.mean()) / n.std()


def blur(a, s):
    """Gaussian blur of an H x W (x C) array, edges repeated."""
    r = int(np.ceil(3 * s))
    k = np.exp(-0.5 * (np.arange(-r, r + 1) / s) ** 2)
    k /= k.sum()
    for axis in (0, 1):
        p = np.pad(a, [(r, r) if i == axis else (0, 0) for i in range(a.ndim)], mode="edge")
        n = a.shape[axis]
        a = sum(w * np.take(p, range(i, i + n), axis) for i, w in enumerate(k))
    return a


def surface(x, y, z, bsdf, pose=None, keep=None):
    """A Mitsuba mesh of a height field, without the cells where `keep` is false."""
    ny, nx = z.shape
    i = np.arange(nx * ny).reshape(ny, nx)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    ok = np.ones_like(a, bool) if keep is None else (
        keep[:-1, :-1] | keep[:-1, 1:] | keep[1:, 1:] | keep[1:, :-1])
    tri = np.concatenate([np.stack(t, -1)[ok] for t in ((a, b, c), (a, c, d))])
    uv = np.stack(np.meshgrid((np.arange(nx) + 0.5) / nx, (np.arange(ny) + 0.5) / ny), -1)
    if pose is not None:
        x, y = pose.to_world(x, y)
    used = np.zeros(nx * ny, bool)
    used[tri] = True
    tri = (np.cumsum(used) - 1)[tri]
    verts = np.stack([x, y, z], -1).reshape(-1, 3)[used]
    props = mi.Properties()
    props["mesh_bsdf"] = mi.load_dict(bsdf)
    mesh = mi.Mesh("m", len(verts), len(tri), props=props,
                   has_vertex_normals=True, has_vertex_texcoords=True)
    p = mi.traverse(mesh)
    for key, value, kind in [("faces", tri, np.uint32), ("vertex_texcoords", uv.reshape(-1, 2)[used], np.float32),
                             ("vertex_positions", verts, np.float32)]:
        p[key] = type(p[key])(np.ascontiguousarray(value.reshape(-1), kind))
    p.update()
    return mesh


# ------------------------------------------------------------------------ materials


def image(a):
    """A texture of an array whose first row lies at the lowest y."""
    a = np.ascontiguousarray(np.atleast_3d(a), np.float32)
    return {"type": "bitmap", "bitmap": mi.Bitmap(a), "raw": True, "wrap_mode": "clamp"}


def rgb(*v):
    return {"type": "rgb", "value": list(v)}


def plastic(colour, alpha=0.25):
    return {"type": "roughplastic", "alpha": alpha, "nonlinear": True,
            "diffuse_reflectance": colour if isinstance(colour, dict) else rgb(*colour)}


def metal(name, alpha, tint=(1, 1, 1)):
    return {"type": "roughconductor", "material": name, "alpha": alpha,
            "specular_reflectance": rgb(*tint)}


# ------------------------------------------------------------------------- printing


def text_mask(items, w, h, per_mm):
    """Text and boxes as coverage 0..1; item: (x, y, size, text) or (x0, y0, x1, y1), mm."""
    s = 2
    img = Image.new("L", (round(w * per_mm * s), round(h * per_mm * s)), 0)
    draw = ImageDraw.Draw(img)
    k = per_mm * s
    for it in items:
        if isinstance(it[3], str):
            draw.text((it[0] * k, it[1] * k), it[3], 255, anchor="ls", stroke_width=k * it[2] * 0.02,
                      stroke_fill=255, font=ImageFont.load_default(it[2] * k * 1.35))
        else:
            draw.rectangle([v * k for v in it], fill=255)
    img = img.resize((img.width // s, img.height // s), Image.BOX)
    return np.asarray(img, np.float32)[::-1] / 255  # first row = lowest y


def label_print(defect=""):
    """Ink coverage of the label, 20 samples to the millimetre."""
    code = np.random.default_rng(7).random((14, 14)) < 0.5  # looks like a matrix code
    code[:, 0] = code[-1, :] = True
    code[0, :], code[:, -1] = np.arange(14) % 2 == 0, np.arange(14) % 2 == 1
    items = [(30.2 + 0.86 * i, 2.2 + 0.86 * j, 30.2 + 0.86 * (i + 1), 2.2 + 0.86 * (j + 1))
             for j in range(14) for i in range(14) if code[j, i]]
    items += [(1.8, 5.6, 3.6, "CP-12/5"), (1.8, 9.6, 1.9, "CONNECTOR PLATE"),
              (1.8, 12.9, 1.9, "24 V DC  4 A  IP67"), (1.8, 15.0, 28.4, 15.3),
              (1.8, 20.2, 3.0, "LOT 240817"), (33.6, 20.2, 2.4, "REV C")]
    ink = text_mask(items, LABEL[2], LABEL[3], 20)
    if defect == "misprint":  # the ribbon creased: a slanting band without ink
        y, x = np.mgrid[:ink.shape[0], :ink.shape[1]] / 20
        ink = ink * (1 - 0.97 * inside(np.abs(x - 10.5 - 0.45 * y) - 0.85, 0.3))
    if defect == "wrong_lot":
        items[-2] = (1.8, 20.2, 3.0, "LOT 210B17")
        ink = text_mask(items, LABEL[2], LABEL[3], 20)
    return ink


# --------------------------------------------------------------------- part and scene


class Pose:
    """Where the part lies on the tray: shift in mm, turn in degrees."""

    def __init__(self, dx, dy, deg):
        self.d, a = (dx, dy), np.radians(deg)
        self.c, self.s = np.cos(a), np.sin(a)

    def to_world(self, x, y):
        return self.c * x - self.s * y + self.d[0], self.s * x + self.c * y + self.d[1]

    def to_part(self, x, y):
        x, y = x - self.d[0], y - self.d[1]
        return self.c * x + self.s * y, self.c * y - self.s * x


def build_part(rng, pose, defect):
    """All meshes of one part. Returns them, and the defect's mask on the plate's grid."""
    X, Y = grid(-54, 54, -40, 40)
    truth = np.zeros(X.shape, bool)
    truth_z = TOP
    shapes = {}

    # the plate: outline, chamfer, counterbores, ports, engraving, brushing
    d = sd_rrect(X, Y, 50, 36, 6)
    rough = 0.02 * noise(rng, X.shape, 3, 3)
    chip = np.zeros_like(X)
    if defect == "chip":
        n = noise(rng, X.shape, 7, 7)
        blob = np.hypot((X + 18) / 1.9, (Y + 36.3)) - 2.3 + 0.35 * n
        chip, truth = inside(blob, 0.4), (blob < 0) & (d < 0.3)
        d = np.maximum(d, -(blob + 1.3 + 0.2 * n))
    z = TOP - 0.75 * np.maximum(d + 1.1, 0) - 2.6 * chip * (1 + 0.25 * noise(rng, X.shape, 4, 4))
    for cx, cy in SCREWS:
        r = np.hypot(X - cx, Y - cy)
        z = np.minimum(z, TOP + np.maximum(r - 5.6, -0.5))
        z = np.where(r < 5.1, TOP - 0.5 - 1.9 * inside(r - 5.0), z)
        z = np.where(r < 2.6, TOP - 2.4 - 5.0 * inside(r - 2.1), z)
    r = np.hypot(X - ROUND[0], Y - ROUND[1])
    z = z + 3.0 * inside(np.abs(r - 10.9) - 1.9, 0.9)
    z = np.where(r < 9.3, 2 + (TOP + 0.6) * inside(9.0 - r), z)
    q = sd_rrect(X - HEADER[0], Y - HEADER[1], 18.5, 8.5, 2)
    z = z + 1.3 * inside(np.abs(q - 0.9) - 0.9, 0.6)
    z = np.where(q < 0.1, 2 + (TOP - 0.7) * inside(-q), z)
    engraved = np.zeros_like(X)
    for words, px, py, size in [("1", -32.0, -21.7, 3.0), ("2", -22.0, -21.7, 3.0),
                                ("X1", -25.6, 27.0, 3.4), ("X2", 17.5, 27.0, 3.4)]:
        text = text_mask([(0.4, 5.4, size, words)], 9, 7, 10)
        i, j = int((py + 40) / STEP), int((px + 54) / STEP)
        engraved[i - 15:i - 15 + text.shape[0], j:j + text.shape[1]] = text
    engraved = np.maximum(engraved, inside(np.abs(sd_rrect(X + 26, Y + 16.8, 11.5, 8.2, 2)) - 0.22, 0.2))
    z = z - 0.3 * blur(engraved, 0.7)
    face = (z > TOP - 0.05) & (chip < 0.01)
    brush = noise(rng, X.shape, 60, 0.5) + 0.7 * noise(rng, X.shape, 250, 0.8)
    micro = np.where(face, 0.0016 * brush + 0.004 * noise(rng, X.shape, 25, 9), 0.25 * rough * (z > 6))
    tint = 0.93 + 0.03 * np.clip(noise(rng, X.shape, 120, 1), -2, 2) + 0.015 * noise(rng, X.shape, 80, 60)
    tint = np.repeat(np.clip(tint * (1 - 0.45 * engraved) * (1 - 0.25 * chip), 0, 1)[..., None], 3, 2)
    alpha_u = np.full_like(X, 0.13) + 0.25 * chip
    alpha_v = np.full_like(X, 0.30) + 0.1 * chip

    if defect.startswith("scratch"):
        pts = {"scratch": [(-5, 7), (-6.2, 2), (-10, -3), (-10.8, -9)],
               "scratch2": [(22, -31.5), (29, -32.6), (36, -30.6)]}[defect]
        t = np.linspace(0, 1, 300)
        px, py = (np.interp(t, np.linspace(0, 1, len(pts)), [p[i] for p in pts]) for i in (0, 1))
        k = np.ones(41) / 41
        px, py = (np.convolve(np.pad(v, 20, mode="edge"), k, "valid") for v in (px, py))
        dist = np.full_like(X, 9.0)
        for a, b, u in zip(px, py, t):  # a groove with burrs, tapering at both ends
            w = 0.35 + 0.65 * np.sin(np.pi * u) ** 0.5
            dist = np.minimum(dist, np.hypot(X - a, Y - b) / w)
        micro = micro - 0.11 * inside(dist - 0.13, 0.22) + 0.05 * inside(np.abs(dist - 0.34) - 0.06, 0.2)
        groove = inside(dist - 0.3, 0.2)
        alpha_u, alpha_v = alpha_u + 0.15 * groove, alpha_v + 0.05 * groove
        truth = dist < 0.45
    if defect.startswith("stain"):
        cx, cy, size = {"stain": (-39, -4, 4.2), "stain2": (41.2, -12.0, 3.0)}[defect]
        wob = 0.45 * noise(rng, X.shape, 18, 18)
        blob = np.hypot((X - cx) / 1.25, Y - cy) - size + wob
        blob = np.minimum(blob, np.hypot(X - cx - 5.2, Y - cy - 3.9) - 0.8)
        film, ring = inside(blob, 0.5) * face, inside(np.abs(blob + 0.3) - 0.22, 0.5) * face
        for c, (a, b) in enumerate([(0.30, 0.24), (0.42, 0.26), (0.58, 0.22)]):  # dried coolant
            tint[..., c] *= 1 - a * film - b * ring
        micro = micro * (1 - 0.7 * film)
        alpha_u = alpha_u + 0.1 * film
        truth = (blob < 0.15) & face
    shapes["plate"] = surface(X, Y, np.maximum(z + micro, 0.0) * inside(d - 0.1), {
        "type": "roughconductor", "material": "Al", "distribution": "ggx",
        "alpha_u": image(alpha_u), "alpha_v": image(alpha_v),
        "specular_reflectance": image(tint)}, pose, keep=d < 0.2)

    # the gasket's lip under the plate
    bulge = 0.12 * noise(rng, X.shape, 60, 60)
    if defect == "gasket":  # pinched: a loop of rubber pushed out
        loop = np.exp(-(((Y + 3) / 4.0) ** 2)) * (X > 0)
        bulge = bulge + 2.7 * loop
        truth = (d > 0) & (d < 2.5 + bulge) & (loop > 0.12)
        truth_z = 2.0
    e = d - 2.5 - bulge
    lip = 2.4 * np.sqrt(np.clip(1 - np.clip((e + 1.2) / 1.2, 0, 1) ** 2, 0, 1))
    lip = lip + 0.03 * noise(rng, X.shape, 2, 2) * (e < -0.1)
    shapes["gasket"] = surface(X, Y, lip, plastic((0.025, 0.085, 0.19), 0.35), pose, keep=(e < 0) & (d > -1.0))

    # screws: domed heads with a cross recess, each at nearly the same angle
    for i, (cx, cy) in enumerate(SCREWS):
        gone = defect == "missing_screw" and i == 1
        x, y = grid(-4.4, 4.4, -4.4, 4.4, 0.08)
        r = np.hypot(x, y)
        a = np.radians([38, 52, 38, 52][i] + rng.uniform(-4, 4))
        u, v = np.cos(a) * x + np.sin(a) * y, np.cos(a) * y - np.sin(a) * x
        arm = np.minimum(sd_rrect(u, v, 2.35, 0.5, 0.2), sd_rrect(u, v, 0.5, 2.35, 0.2))
        head = TOP - 2.4 + 2.6 * np.sqrt(np.clip(1 - (r / 4.6) ** 4, 0, 1))
        depth = 0.5 + 1.4 * np.clip(1 - r / 2.6, 0, 1)
        head = head - depth * inside(arm, 0.25) + 0.006 * noise(rng, x.shape, 2, 2)
        if gone:
            truth, truth_z = np.hypot(X - cx, Y - cy) < 4.4, TOP
        shapes[f"screw{i}"] = surface(x + cx, y + cy, head - 50 * gone,
                                      metal("Cr", 0.2, (0.93, 0.96, 0.92)), pose, keep=r < 4.36)

    # port inserts: black plastic with a well round each pin
    def insert(name, c, hx, hy, r, level, pins, well):
        x, y = grid(-hx, hx, -hy, hy, 0.1)
        e = sd_rrect(x, y, hx, hy, r)
        zz = level + 0.012 * noise(rng, x.shape, 2, 2)
        for px, py in pins:
            zz = zz - 1.6 * inside(np.hypot(x + c[0] - px, y + c[1] - py) - well, 0.2)
        if name == "round":  # the key and a moulded rib
            zz = zz + 1.6 * inside(sd_rrect(x, y - 8.0, 1.1, 1.6, 0.3), 0.3)
            zz = zz - 0.4 * inside(np.abs(np.hypot(x, y) - 7.2) - 0.3, 0.3)
        else:  # a polarising notch and the mark of pin 1
            zz = zz + 1.2 * inside(sd_rrect(x, y + 7.7, 3.0, 0.9, 0.2), 0.3)
            zz = zz + 0.5 * inside(np.hypot(x + 16.2, y + 5.0) - 0.6, 0.3)
        shapes[name] = surface(x + c[0], y + c[1], zz, plastic((0.022, 0.022, 0.024), 0.28), pose, keep=e < 0.02)

    insert("round", ROUND, 9.05, 9.05, 9.05, 4.6, ROUND_PINS, 1.25)
    insert("header", HEADER, 18.55, 8.55, 2, 4.2, HEADER_PINS, 1.1)

    # pins
    pins = [(p, True) for p in ROUND_PINS] + [(p, False) for p in HEADER_PINS]
    for i, ((cx, cy), is_round) in enumerate(pins):
        x, y = grid(-1.1, 1.1, -1.1, 1.1, 0.05)
        if is_round:
            e = np.hypot(x, y) - 0.95
            zz = 2.5 + (5.0 - 0.5 * np.clip(e + 0.6, 0, 1) ** 2 * 2) * inside(e, 0.12)
        else:
            e = np.maximum(np.abs(x), np.abs(y)) - 0.68
            zz = 2.0 + (6.4 - 1.0 * np.clip(e + 0.45, 0, 1)) * inside(e, 0.12)
        base = 4.4
        lean = rng.normal(0, 0.015, 2)
        if defect == "bent_pin" and i == 5 + 9:
            lean = np.array([0.52, 0.16])
            foot, tip = np.array([cx, cy]), np.array([cx, cy]) + lean * 4
            t = np.clip(((X - foot[0]) * (tip - foot)[0] + (Y - foot[1]) * (tip - foot)[1])
                        / np.sum((tip - foot) ** 2), 0, 1)
            truth = np.hypot(X - foot[0] - t * (tip - foot)[0], Y - foot[1] - t * (tip - foot)[1]) < 0.95
            truth_z = 6.5
        up = np.maximum(zz - base, 0)
        px, py = x + cx + lean[0] * up, y + cy + lean[1] * up
        if (defect, i) in [("missing_pin", 2), ("missing_pin2", 5 + 3)]:
            zz = zz - 50
            truth, truth_z = np.hypot(X - cx, Y - cy) < 1.35, 5.0
        shapes[f"pin{i}"] = surface(px, py, zz, metal("Au", 0.16), pose, keep=e < 0.15)

    # light pipes
    for i, (cx, cy) in enumerate(LIGHTS):
        x, y = grid(-2.7, 2.7, -2.7, 2.7, 0.08)
        r = np.hypot(x, y)
        dome = TOP - 0.3 + 1.3 * np.sqrt(np.clip(1 - (r / 2.75) ** 2, 0, 1))
        colour = [(0.03, 0.22, 0.07), (0.45, 0.2, 0.02)][i]
        shapes[f"light{i}"] = surface(x + cx, y + cy, dome, plastic(colour, 0.08), pose, keep=r < 2.68)

    # the label: a polyester sticker, stuck on by hand
    cx, cy, w, h = LABEL
    x, y = grid(-w / 2, w / 2, -h / 2, h / 2, 0.2)
    stuck = Pose(cx + rng.normal(0, 0.12), cy + rng.normal(0, 0.12), rng.normal(0, 0.25))
    e = sd_rrect(x, y, w / 2, h / 2, 1.2)
    ink = label_print(defect)
    if defect in ("misprint", "wrong_lot"):
        diff = blur(np.abs(ink - label_print()), 5) > 0.12
        u, v = stuck.to_part(X, Y)
        iu, iv = ((u + w / 2) * 20).astype(int), ((v + h / 2) * 20).astype(int)
        ok = (iu >= 0) & (iv >= 0) & (iu < diff.shape[1]) & (iv < diff.shape[0])
        truth[ok] = diff[iv[ok], iu[ok]]
    paper = 0.86 + 0.008 * noise(rng, ink.shape, 1, 1)
    ink = np.clip(blur(ink, 1.2), 0, 1) * (0.96 + 0.02 * noise(rng, ink.shape, 6, 6))
    shade = paper * (1 - 0.95 * np.clip(ink, 0, 1))
    lx, ly = stuck.to_world(x, y)
    shapes["label"] = surface(lx, ly, TOP + 0.14 + 0.02 * noise(rng, x.shape, 20, 20),
                              plastic(image(np.stack([shade, shade * 0.995, shade * 0.97], -1)), 0.3),
                              pose, keep=e < 0.05)
    return shapes, truth, truth_z


class Camera:
    """The fixed camera: nearly overhead, 100 mm of the part over about 465 pixels."""

    def __init__(self, scale=1.0):
        self.fov = 18.0
        self.eye = np.array([4.0, -52.0, 418.0]) / scale
        self.target = np.array([0.0, 0.0, 4.0])
        f = self.target - self.eye
        self.f = f / np.linalg.norm(f)
        self.r = np.cross(self.f, [0, 1, 0])
        self.r /= np.linalg.norm(self.r)
        self.u = np.cross(self.r, self.f)
        self.k = W / 2 / np.tan(np.radians(self.fov / 2))  # focal length, pixels

    def project(self, x, y, z):
        v = np.array([x, y, z]) - self.eye
        w = v @ self.f
        return W / 2 + self.k * (v @ self.r) / w, H / 2 - self.k * (v @ self.u) / w

    def mask(self, pose, truth, z):
        """The plate-grid mask `truth`, lying at height z, as seen by the camera."""
        px, py = np.meshgrid(np.arange(W) + 0.5 - W / 2, np.arange(H) + 0.5 - H / 2)
        ray = self.f + px[..., None] / self.k * self.r - py[..., None] / self.k * self.u
        p = self.eye + ray * ((z - self.eye[2]) / ray[..., 2:])
        x, y = pose.to_part(p[..., 0], p[..., 1])
        i, j = ((y + 40) / STEP).round().astype(int), ((x + 54) / STEP).round().astype(int)
        ok = (i >= 0) & (j >= 0) & (i < truth.shape[0]) & (j < truth.shape[1])
        out = np.zeros((H, W), bool)
        out[ok] = truth[i[ok], j[ok]]
        return out


def render(rng, pose, camera, defect, day, spp):
    shapes, truth, truth_z = build_part(rng, pose, defect)
    # the tray: matte, sandblasted, with faint wear
    x, y = grid(-110, 110, -90, 90, 0.25)
    tray = np.random.default_rng(5)  # the same tray in every picture
    wear = 1 + 0.05 * noise(tray, x.shape, 40, 30) + 0.10 * noise(tray, x.shape, 1.2, 1.2)
    shapes["tray"] = surface(x, y, 0.05 * noise(tray, x.shape, 1.0, 1.0),
                             plastic(image(np.stack([c * wear for c in (0.10, 0.105, 0.105)], -1)), 0.45))
    T = mi.ScalarTransform4f
    key, strip, fill = [(13.0, 7.5, 0.36), (10.5, 9.5, 0.42)][day]

    def panel(origin, sx, sy, level, colour):
        return {"type": "rectangle",
                "to_world": T().look_at(origin=list(origin), target=[0, 0, 0], up=[0, 0.1, 1]) @ T().scale([sx, sy, 1]),
                "emitter": {"type": "area", "radiance": rgb(*[level * c for c in colour])}}

    jig = np.random.default_rng(100 + day).uniform(-1, 1, 3) * 12 * day
    scene = {"type": "scene", **shapes,
             "key": panel((-215 + jig[0], 165 + jig[1], 390), 95, 70, key, (1, 0.98, 0.95)),
             "strip": panel((260, -40 + jig[2], 250), 25, 130, strip, (0.97, 0.99, 1)),
             "fill": {"type": "constant", "radiance": rgb(fill, fill * 1.03, fill)},
             "integrator": {"type": "path", "max_depth": 6},
             "sensor": {"type": "perspective", "fov": camera.fov,
                        "to_world": T().look_at(origin=camera.eye.tolist(), target=camera.target.tolist(), up=[0, 1, 0]),
                        "film": {"type": "hdrfilm", "width": W, "height": H, "rfilter": {"type": "gaussian"}},
                        "sampler": {"type": "independent", "sample_count": spp}}}
    linear = np.array(mi.render(mi.load_dict(scene), seed=int(rng.integers(1 << 30))))[..., :3]
    return linear, camera.mask(pose, truth, truth_z)


# ------------------------------------------------------------------------- the camera


def photograph(linear, rng, day):
    """A JPEG-ready picture of a linear render."""
    full_well = [9000, 4500][day]  # electrons at white: fewer of them, more shot noise
    img = blur(np.clip(linear, 0, 12), 0.62 + 0.06 * rng.uniform(-1, 1))
    y, x = np.mgrid[:H, :W]
    r2 = ((x - W / 2) ** 2 + (y - H / 2) ** 2) / (W / 2) ** 2
    img = img * (1 - 0.13 * r2)[..., None]
    img = img * 0.92 * (1 + 0.05 * rng.uniform(-1, 1))  # exposure
    img = img * (1 + 0.015 * rng.uniform(-1, 1, 3)) * [(1, 1, 1), (1.03, 1, 0.95)][day]  # white balance
    # the sensor: one colour to a pixel, noise, then interpolation of the missing ones
    colour = np.array([[0, 1], [1, 2]])[y % 2, x % 2]
    raw = np.take_along_axis(img, colour[..., None], 2)[..., 0]
    raw = raw + rng.standard_normal(raw.shape) * np.sqrt(np.maximum(raw, 0) / full_well + [2e-3, 3e-3][day] ** 2)
    raw = np.clip(raw, 0, 1)
    out = np.empty((H, W, 3))
    for c in range(3):
        have = (colour == c).astype(float)
        num, den = (sum(wy * wx * np.pad(a, 1, mode="reflect")[i:i + H, j:j + W]
                        for i, wy in enumerate((1, 2, 1)) for j, wx in enumerate((1, 2, 1)))
                    for a in (raw * have, have))
        out[..., c] = np.where(have > 0, raw, num / den)
    out = out + 0.35 * (out - blur(out, 1.0))  # the camera's own sharpening
    out = np.clip(out, 0, 1)
    out = np.where(out <= 0.0031308, 12.92 * out, 1.055 * out ** (1 / 2.4) - 0.055)
    return Image.fromarray((out * 255 + 0.5).astype(np.uint8))


# ------------------------------------------------------------------------------ the set

BAD = {"missing_screw_01": "missing_screw", "missing_pin_01": "missing_pin", "missing_pin_02": "missing_pin2",
       "bent_pin_01": "bent_pin", "scratch_01": "scratch", "scratch_02": "scratch2", "stain_01": "stain",
       "stain_02": "stain2", "chip_01": "chip", "gasket_01": "gasket", "misprint_01": "misprint",
       "wrong_lot_01": "wrong_lot"}
NAMES = ([f"good/{i:02}" for i in range(1, 21)] + [f"holdout/{i:02}" for i in range(1, 7)]
         + [f"test/good_{i:02}" for i in range(1, 5)] + [f"test/{n}" for n in BAD] + ["test/misplaced_01"])
REGIONS = {"label": (LABEL[0], LABEL[1], LABEL[2] + 2, LABEL[3] + 2), "round_port": (*ROUND, 28, 28),
           "header": (*HEADER, 43, 23), "lights": (-26, -16.8, 25, 22),
           **{f"screw_{n}": (x * 0.93, y * 0.9, 20.8, 20.8) for n, (x, y) in zip(("tl", "tr", "bl", "br"), SCREWS)}}


def setup(name):
    """The seeded generator, pose and camera of one picture."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    jitter = rng.uniform(-1, 1, 4)
    pose = Pose(1.7 * jitter[0], 1.7 * jitter[1], 2.0 * jitter[2])
    if name == "good/01":
        pose = Pose(0, 0, 0)
    if "misplaced" in name:
        pose = Pose(16.0, -6.5, 15.0)
    return rng, pose, Camera(1 + 0.01 * jitter[3])


def main():
    ap = argparse.ArgumentParser(description="Render the connector example set.")
    ap.add_argument("--out", type=pathlib.Path, default=pathlib.Path("examples/connector"))
    ap.add_argument("--only", default=",".join(NAMES))
    ap.add_argument("--spp", type=int, default=40)
    ap.add_argument("--variant", default="scalar_rgb", help="llvm_ad_rgb is faster")
    ap.add_argument("--threads", type=int, default=0, help="0: all of them")
    ap.add_argument("--regions", action="store_true")
    args = ap.parse_args()
    if args.regions:
        _, pose, cam = setup("good/01")
        for name, (x, y, w, h) in REGIONS.items():
            c = [cam.project(*pose.to_world(x + sx * w / 2, y + sy * h / 2), TOP) for sx in (-1, 1) for sy in (-1, 1)]
            lo, hi = np.floor(np.min(c, 0)).astype(int), np.ceil(np.max(c, 0)).astype(int)
            print(f"{name}={lo[0]},{lo[1]},{hi[0] - lo[0]},{hi[1] - lo[1]}")
        return
    mi.set_variant(args.variant)
    if args.threads:
        import drjit as dr
        dr.set_thread_count(args.threads)
    for name in args.only.split(","):
        rng, pose, camera = setup(name)
        day = int(name.startswith("holdout/"))
        defect = BAD.get(name.removeprefix("test/"), "")
        linear, mask = render(rng, pose, camera, defect, day, args.spp)
        path = args.out / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(linear, rng, day).save(path, quality=88, subsampling=1)
        if defect:
            path = args.out / "truth" / f"{path.stem}_mask.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(path, optimize=True)
        print(name, flush=True)


if __name__ == "__main__":
    main()
