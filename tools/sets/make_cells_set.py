#!/usr/bin/env python3
"""Make a set for YOLIC: made scenes seen from a vehicle, cells of interest, labels of each cell.

    make_cells_set.py OUT [--scene shop|road] [--train 400] [--test 200] [--seed 1] [--overlays 12]

Writes OUT/config.json (YOLIC's form), OUT/{train,test}/images/*.jpg and OUT/{train,test}/labels/*.txt: 0 and 1 for
each cell, its labels in order, background last. With --overlays also OUT/overlay.jpg, pictures with their cells drawn in.

A camera 0.9 to 1.7 m above a floor looks ahead and a little down, another pose in each picture. The floor is concrete,
tiles or coating with lines (shop) or asphalt with lines, grass and kerbs (road), worn, stained and cracked; behind it a wall
with shelves, or houses and trees. On it stand up to seven objects of six labels: person, box (cartons, crates, on a pallet
or not), vehicle (forklift, car), cone, spill (road: pothole), barrier; and things that carry no label: shadows, leaves,
papers, posts, shelves, patches of colour. Pixels are then lit, blurred, given noise, and saved as JPEG of quality 60 to 95.
A cell has a label if what can be seen of such an object covers 12 % of the cell, or if half of the object lies in it and
4 % of the cell is covered; without any label it has its background bit. Test pictures come from other random streams.
All is a function of the seed, the scene, the part and the number of the picture. Needs numpy, opencv-python-headless.
"""
import argparse, json, os, zlib
import cv2
import numpy as np

cv2.setNumThreads(1)
W, H = 640, 480
LABELS = ["person", "box", "vehicle", "cone", "spill", "barrier"]
SHORT = ["P", "B", "V", "C", "S", "R"]


# ---------------------------------------------------------------- the cells
def cells():
    """[(kind, numbers)] with numbers normalised: two rows near the floor, a far row, polygons at the sides."""
    out = [("rectangle", [i / 6 + .004, .74, 1 / 6 - .008, .24]) for i in range(6)]
    out += [("rectangle", [.1 + i * .1 + .003, .55, .094, .18]) for i in range(8)]
    out += [("rectangle", [.22 + i * .14 + .003, .40, .134, .14]) for i in range(4)]
    left = [[.0, .55, .095, .55, .095, .73, .0, .73], [.0, .34, .10, .37, .10, .54, .0, .54], [.105, .37, .215, .40, .215, .54, .105, .54]]
    out += [("polygon", p) for p in left]
    out += [("polygon", [1 - v if k % 2 == 0 else v for k, v in enumerate(p)]) for p in left]
    return out


def corners(cell):
    kind, v = cell
    if kind == "rectangle":
        x, y, w, h = v
        v = [x, y, x + w, y, x + w, y + h, x, y + h]
    return np.array(v, np.float32).reshape(-1, 2) * (W, H)


def config(cs):
    coi = {"COINumber": len(cs)}
    for i, (kind, v) in enumerate(cs):
        coi[str(i + 1)] = [kind] + [round(x, 4) for x in v]
    return {"Labels": {"LabelList": LABELS, "LabelAbbreviation": SHORT, "LabelNumber": len(LABELS)}, "COIs": coi}


# ---------------------------------------------------------------- the camera
class Camera:
    """x to the right, y up, z ahead, metres; the floor is y = 0."""

    def __init__(self, rng):
        self.h = rng.uniform(.9, 1.7)
        pitch, roll = rng.uniform(.03, .16), rng.normal(0, .012)
        self.f = W * rng.uniform(.75, .95)
        c, s = np.cos(pitch), np.sin(pitch)
        tilt = np.array([[1, 0, 0], [0, -c, -s], [0, -s, c]])
        turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        self.r = turn @ tilt
        self.centre = np.array([W / 2, H * .47])

    def see(self, points):
        """n x 3 points to n x 2 pixels; points behind the camera are moved to just before it."""
        p = (np.asarray(points, float) - (0, self.h, 0)) @ self.r.T
        return self.centre + self.f * p[:, :2] / np.maximum(p[:, 2:], .15)

    def floor(self, points):
        points = np.asarray(points, float)
        return self.see(np.stack([points[:, 0], np.zeros(len(points)), points[:, 1]], 1))


# ---------------------------------------------------------------- drawing
def colour(rng, *around, spread=.08):
    return np.clip(np.array(around) + rng.normal(0, spread, 3) * .6 + rng.normal(0, spread), .02, .98).astype(np.float32)


def noise(rng, h, w, octaves):
    """Smooth noise of unit standard deviation, the sum of `octaves` grids."""
    out = np.zeros((h, w), np.float32)
    for k in octaves:
        grid = rng.standard_normal((max(2, h // k + 2), max(2, w // k + 2))).astype(np.float32)
        out += cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)
    return out / (out.std() + 1e-6)


def mask_of(polygons):
    m = np.zeros((H, W), np.uint8)
    for p in polygons:
        p = np.clip(np.round(np.asarray(p) * 16), -2 ** 24, 2 ** 24).astype(np.int32)
        cv2.fillPoly(m, [p], 255, cv2.LINE_AA, 4)
    return m.astype(np.float32) / 255


class Canvas:
    def __init__(self, im, rng, camera):
        self.im, self.rng, self.cam = im, rng, camera
        self.owner = np.full((H, W), -1, np.int16)
        self.grain = noise(rng, H, W, [3, 9])
        self.now = -1

    def fill(self, polygon, rgb, rough=.03):
        m = mask_of([polygon])
        if rough:
            rgb = np.clip(rgb + rough * self.grain[..., None], 0, 1)
        self.im += m[..., None] * (rgb - self.im)
        if self.now >= 0:
            self.owner[m > .5] = self.now

    def stroke(self, a, b, thick, rgb):
        """A limb: a thick line with round ends between two points of the picture."""
        a, b = np.asarray(a), np.asarray(b)
        t = np.linspace(0, 2 * np.pi, 14)
        ring = np.stack([np.cos(t), np.sin(t)], 1) * thick / 2
        hull = cv2.convexHull(np.concatenate([a + ring, b + ring]).astype(np.float32))[:, 0]
        self.fill(hull, rgb)

    def cuboid(self, x, z, w, d, y0, y1, turn, rgb, stripes=None):
        """A box of w x d at (x, z), from height y0 to y1, turned about the vertical; the faces towards us are shaded."""
        c, s = np.cos(turn), np.sin(turn)
        base = np.array([[-w, -d], [w, -d], [w, d], [-w, d]]) / 2 @ np.array([[c, s], [-s, c]]) + (x, z)
        faces = []
        for i in range(4):
            a, b = base[i], base[(i + 1) % 4]
            normal = np.array([b[1] - a[1], a[0] - b[0]])
            if normal @ ((a + b) / 2) < 0:      # the camera stands at (0, 0)
                light = .75 + .25 * (normal @ self.light) / (np.linalg.norm(normal) + 1e-6)
                faces.append((-np.hypot(*((a + b) / 2)), a, b, light))
        for _, a, b, light in sorted(faces, key=lambda f: f[0]):
            def at(u, y):
                q = a + (b - a) * u
                return [q[0], y, q[1]]
            self.fill(self.cam.see([at(0, y0), at(1, y0), at(1, y1), at(0, y1)]), rgb * light)
            for u0, u1, v0, v1, tint in stripes or []:
                h = y1 - y0
                self.fill(self.cam.see([at(u0, y0 + h * v0), at(u1, y0 + h * v0), at(u1, y0 + h * v1), at(u0, y0 + h * v1)]), tint * light)
        if self.cam.h > y1:
            self.fill(self.cam.see(np.insert(base, 1, y1, axis=1)), rgb * 1.08)

    def shadow(self, x, z, w, d, height):
        """Darkens the floor where the object stands and away from the light."""
        reach = -self.light * height * self.reach
        foot = np.array([[-w, -d], [w, -d], [w, d], [-w, d]]) / 2 * 1.1 + (x, z)
        hull = cv2.convexHull(np.concatenate([foot, foot * (1, 1) + reach]).astype(np.float32))[:, 0]
        hull[:, 1] = np.maximum(hull[:, 1], .4)
        m = cv2.GaussianBlur(mask_of([self.cam.floor(hull)]), (0, 0), self.softness)
        self.im *= 1 - self.depth * m[..., None]


# ---------------------------------------------------------------- objects
def person(c, rng, x, z):
    tall, lean = rng.uniform(1.55, 1.95), rng.normal(0, .05)
    c.shadow(x, z, .5, .35, tall * .6)
    trousers, skin = colour(rng, *[(.12, .15, .3), (.2, .2, .2), (.35, .3, .25)][rng.integers(3)]), colour(rng, *[(.85, .65, .55), (.5, .35, .25), (.3, .2, .15)][rng.integers(3)], spread=.03)
    top = colour(rng, *[(.95, .5, .1), (.8, .9, .2), (.2, .3, .6), (.6, .6, .6), (.15, .15, .17), (.7, .15, .15)][rng.integers(6)])
    hat = colour(rng, *[(.95, .85, .2), (.9, .9, .9), (.15, .1, .08), (.3, .2, .1)][rng.integers(4)])
    unit = np.linalg.norm(c.cam.see([[x, 1, z]]) - c.cam.see([[x, 0, z]]))
    at = lambda dx, y: c.cam.see([[x + dx + lean * y, y * tall / 1.75, z]])[0]
    step, w = rng.uniform(-.2, .2), rng.uniform(.16, .23)
    for side in (-1, 1):
        foot, knee = side * (.1 + step), side * (.1 + step * rng.uniform(.2, .9))
        c.stroke(at(foot, .05), at(knee, .5), unit * .12, trousers * .9)
        c.stroke(at(knee, .5), at(side * .09, .9), unit * .15, trousers)
    c.fill(np.array([at(-w, 1.42), at(w, 1.42), at(w * .85, .85), at(-w * .85, .85)]), top)
    if rng.random() < .4:
        c.fill(np.array([at(-w, 1.15), at(w, 1.15), at(w, 1.08), at(-w, 1.08)]), colour(rng, .85, .88, .85))
    for side in (-1, 1):
        hand = side * rng.uniform(.2, .45), rng.uniform(.75, 1.3)
        elbow = side * rng.uniform(.24, .34), 1.12
        c.stroke(at(side * w, 1.38), at(*elbow), unit * .1, top * .92)
        c.stroke(at(*elbow), at(*hand), unit * .085, top * .85 if rng.random() < .6 else skin)
    c.stroke(at(0, 1.57), at(0, 1.63), unit * .19, skin)
    c.stroke(at(0, 1.68), at(.01, 1.70), unit * .18, hat)


def box(c, rng, x, z):
    turn, pallet = rng.uniform(-.7, .7), rng.random() < .6
    w, d, h = rng.uniform(.4, 1.0), rng.uniform(.4, .9), rng.uniform(.25, .8)
    c.shadow(x, z, w, d, h)
    y = 0.
    if pallet:
        wood = colour(rng, .6, .47, .3)
        c.cuboid(x, z, w + .1, d + .1, 0, .14, turn, wood, [(u, u + .24, .2, .7, wood * .25) for u in (.08, .4, .7)])
        y = .14
    for _ in range(rng.integers(1, 4)):
        rgb = colour(rng, *[(.68, .5, .33), (.62, .45, .28), (.25, .38, .62), (.75, .75, .72), (.3, .45, .3)][rng.integers(5)])
        marks = [(.44, .56, 0, 1, rgb * rng.uniform(.75, 1.15))] if rng.random() < .5 else []
        if rng.random() < .5:
            u, v = rng.uniform(.05, .6), rng.uniform(.1, .5)
            marks.append((u, u + .3, v, v + .35, colour(rng, .85, .85, .82)))
        c.cuboid(x + rng.normal(0, .03), z, w * rng.uniform(.85, 1), d, y, y + h, turn + rng.normal(0, .06), rgb, marks)
        y += h
        h *= rng.uniform(.5, .9)
        if y > 1.2 or rng.random() < .5:
            break


def vehicle(c, rng, x, z):
    turn = rng.choice([0, np.pi / 2]) + rng.normal(0, .35)
    dark, glass = colour(rng, .08, .08, .09, spread=.02), colour(rng, .25, .3, .35, spread=.05)
    if c.road:
        rgb = colour(rng, *[(.7, .7, .72), (.12, .12, .13), (.65, .1, .1), (.15, .25, .5), (.85, .85, .83), (.3, .4, .32)][rng.integers(6)])
        c.shadow(x, z, 1.7, 3.4, 1.2)
        c.cuboid(x, z, 1.6, 3.6, .05, .35, turn, dark)
        lamp = colour(rng, .8, .15, .1) if rng.random() < .5 else colour(rng, .95, .93, .85)
        c.cuboid(x, z, 1.7, 3.9, .3, .85, turn, rgb, [(.03, .2, .5, .8, lamp), (.8, .97, .5, .8, lamp), (.35, .65, .2, .4, colour(rng, .9, .9, .9))])
        c.cuboid(x, z, 1.45, 2.0, .85, 1.45, turn, rgb * .95, [(.08, .92, .12, .85, glass)])
        return
    rgb = colour(rng, *[(.92, .6, .1), (.85, .2, .12), (.85, .8, .15), (.25, .5, .3)][rng.integers(4)])
    c.shadow(x, z, 1.2, 2, 1.6)
    c.cuboid(x, z, 1.1, 1.8, .0, .3, turn, dark)
    c.cuboid(x, z, 1.15, 1.7, .25, 1.0, turn, rgb, [(.1, .9, .1, .3, rgb * .6), (.3, .7, .5, .8, dark)])
    fore = np.array([-np.sin(turn), np.cos(turn)])
    for side in (-.45, .45):
        px, pz = x + side * np.cos(turn) + .6 * fore[0], z + side * np.sin(turn) + .6 * fore[1]
        c.cuboid(px, pz, .1, .1, .9, rng.uniform(1.9, 2.3), turn, dark)
        c.cuboid(x + side * np.cos(turn) - .6 * fore[0], z + side * np.sin(turn) - .6 * fore[1], .07, .07, .9, 1.95, turn, dark)
    c.cuboid(x, z, 1.05, 1.4, 1.95, 2.03, turn, rgb * .5)


def cone(c, rng, x, z):
    h, r = rng.uniform(.4, .8), rng.uniform(.13, .2)
    c.shadow(x, z, 2 * r, 2 * r, h * .5)
    rgb = colour(rng, *[(.95, .38, .1), (.9, .2, .12), (.92, .8, .12)][rng.integers(3)])
    c.cuboid(x, z, 2.6 * r, 2.6 * r, 0, .04, rng.uniform(0, 1.5), rgb * rng.uniform(.25, .9))
    ring = lambda y, k: np.array([[x - r * k, y, z], [x + r * k, y, z]])
    for y0, y1, tint in [(0, 1, rgb), (.35, .55, colour(rng, .9, .9, .88)), (.7, .82, colour(rng, .9, .9, .88))]:
        a, b = c.cam.see(ring(h * y0 + .04, 1 - .85 * y0)), c.cam.see(ring(h * y1 + .04, 1 - .85 * y1))
        c.fill(np.array([a[0], a[1], b[1], b[0]]), tint)
        mid = (a[0] + a[1]) / 2, (b[0] + b[1]) / 2
        c.fill(np.array([mid[0], a[1], b[1], mid[1]]), tint * .8)


def spill(c, rng, x, z):
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    r = rng.uniform(.3, .75) * (1 + sum(rng.normal(0, .16) * np.cos(k * t + rng.uniform(0, 6)) for k in range(2, 6)))
    shape = np.stack([x + r * np.cos(t) * rng.uniform(1, 1.6), np.maximum(z + r * np.sin(t), .5)], 1)
    if c.road:
        c.fill(c.cam.floor(shape), colour(rng, .2, .19, .18, spread=.04), rough=.08)
        c.fill(c.cam.floor((shape - (x, z)) * .8 + (x, z - .06 * rng.random())), colour(rng, .1, .1, .1, spread=.03), rough=.05)
        return
    m = mask_of([c.cam.floor(shape)])
    tint = colour(rng, *[(.1, .09, .08), (.3, .38, .42), (.35, .25, .12), (.55, .58, .6)][rng.integers(4)])
    sky = cv2.flip(c.im, 0)     # a film of liquid mirrors what stands behind it, roughly
    wet = .45 * tint + .3 * cv2.GaussianBlur(sky, (0, 0), 6) + .25 * c.im * tint
    k = rng.uniform(.65, .95)
    c.im += k * m[..., None] * (wet - c.im)
    rim = cv2.GaussianBlur(m, (0, 0), 1.2) - cv2.erode(m, np.ones((3, 3)))
    c.im += .25 * np.clip(rim, 0, 1)[..., None] * rng.choice([-1, 1])
    np.clip(c.im, 0, 1, out=c.im)
    c.owner[m > .5] = c.now


def barrier(c, rng, x, z):
    turn, long, h = rng.uniform(-.5, .5), rng.uniform(1.0, 2.2), rng.uniform(.75, 1.1)
    c.shadow(x, z, long, .3, h * .5)
    a, b = [((.8, .1, .1), (.92, .92, .9)), ((.95, .8, .1), (.1, .1, .1)), ((.95, .45, .1), (.92, .92, .9))][rng.integers(3)]
    a, b = colour(rng, *a, spread=.05), colour(rng, *b, spread=.05)
    cx, sx = np.cos(turn), np.sin(turn)
    for end in (-.45, .45):
        c.cuboid(x + end * long * cx, z + end * long * sx, .07, .4, 0, h, turn, colour(rng, .5, .5, .5))
    n = rng.integers(5, 9)
    marks = [(i / n, (i + 1) / n, 0, 1, b) for i in range(0, n, 2)]
    for k in range(rng.integers(1, 3)):
        top = h - .35 * k
        c.cuboid(x, z, long, .05, top - .2, top, turn, a, marks)


KINDS = [person, box, vehicle, cone, spill, barrier]
SIZE = [.5, .9, 2.6, .4, 1.2, 1.6]


# ---------------------------------------------------------------- the place
def ground(rng, cam, road):
    """The floor seen by the camera, and its mask; 16 x 32 m drawn from above, 40 pixels a metre."""
    s, w, h = 40, 640, 1280
    base = colour(rng, *([(.33, .33, .34), (.42, .41, .4), (.26, .26, .28)] if road else [(.6, .59, .57), (.45, .46, .47), (.5, .55, .5), (.42, .48, .55), (.62, .5, .42)])[rng.integers(3 if road else 5)])
    im = base * (1 + rng.uniform(.02, .1) * noise(rng, h, w, [4, 16, 64, 256])[..., None] + rng.uniform(.01, .08) * rng.standard_normal((h, w, 1)).astype(np.float32))
    if not road and rng.random() < .5:
        step = int(s * rng.choice([.4, .6, 1.2, 3]))
        joint = base * rng.uniform(.6, .9)
        im[::step], im[:, ::step] = joint, joint
        if rng.random() < .3:
            yy, xx = np.mgrid[:h, :w] // step
            im *= (1 - .18 * ((yy + xx) % 2))[..., None]
    for _ in range(rng.integers(0, 9)):     # cracks and tyre marks
        p = np.cumsum(np.concatenate([[rng.uniform((0, 0), (w, h))], rng.normal(0, 14, (30, 2)) + rng.normal(0, 9, 2)]), 0)
        m = np.zeros((h, w), np.float32)
        cv2.polylines(m, [p.astype(np.int32)], False, 1., int(rng.choice([1, 2, 7])), cv2.LINE_AA)
        im *= 1 - rng.uniform(.15, .5) * m[..., None]
    for _ in range(rng.integers(0, 7)):     # patches and dry stains
        m = np.zeros((h, w), np.float32)
        centre, axes = rng.uniform((0, 0), (w, h)), rng.uniform(8, 60, 2)
        if rng.random() < .5:
            cv2.ellipse(m, centre.astype(int).tolist(), axes.astype(int).tolist(), rng.uniform(0, 180), 0, 360, 1., -1)
        else:
            cv2.rectangle(m, (centre - axes).astype(int).tolist(), (centre + axes).astype(int).tolist(), 1., -1)
        im *= 1 + rng.uniform(-.22, .18) * cv2.GaussianBlur(m, (0, 0), rng.uniform(.6, 8))[..., None]
    paint = colour(rng, *[(.85, .85, .82), (.88, .75, .2)][rng.integers(2)])
    for _ in range(rng.integers(1, 4)):     # lines along and across
        x, wide = rng.integers(40, w - 40), rng.integers(3, 7)
        worn = np.clip(.75 + .25 * noise(rng, h, wide, [4]), 0, 1)[..., None]
        if road or rng.random() < .7:
            dash = ((np.arange(h) // (s * rng.integers(1, 4))) % 2)[:, None, None] if rng.random() < .5 else 1
            im[:, x:x + wide] += worn * dash * (paint - im[:, x:x + wide])
        else:
            y = rng.integers(0, h - 40)
            im[y:y + wide] += .8 * (paint - im[y:y + wide])
    if road:
        green = colour(rng, *[(.28, .38, .16), (.45, .42, .33), (.5, .5, .48)][rng.integers(3)])
        for side in (-1, 1):
            edge = int(w / 2 + side * s * rng.uniform(2.6, 5.5))
            part = im[:, :max(edge, 0)] if side < 0 else im[:, edge:]
            if part.size:
                part[:] = green * (1 + .18 * noise(rng, *part.shape[:2], [2, 6, 40])[..., None])
                im[:, max(edge - 4, 0):edge + 4] = colour(rng, .6, .6, .58)
    to = np.float32(cam.floor([(-3, 1.2), (3, 1.2), (3, 24), (-3, 24)]))
    frm = np.float32([(w / 2 + x * s, h - (z - .2) * s) for x, z in [(-3, 1.2), (3, 1.2), (3, 24), (-3, 24)]])
    m = cv2.getPerspectiveTransform(frm, to)
    seen = cv2.warpPerspective(im.astype(np.float32), m, (W, H), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    return np.clip(seen, 0, 1)


def backdrop(rng, cam, road):
    """What stands behind the floor: a wall with shelves, or sky, houses and trees."""
    horizon = int(cam.floor([(0, 26)])[0, 1])
    im = np.ones((H, W, 3), np.float32)
    if road:
        low, high = colour(rng, .8, .85, .9), colour(rng, .5, .65, .85)
        im *= low + (high - low) * np.linspace(1, 0, H)[:, None, None] ** .7
        for _ in range(rng.integers(3, 9)):
            x, wide, top = rng.integers(-60, W), rng.integers(40, 200), horizon - rng.integers(20, 180)
            if rng.random() < .5:
                im[max(top, 0):horizon + 4, max(x, 0):x + wide] = colour(rng, .6, .55, .5)
                for wx in range(max(x, 0) + 6, x + wide - 10, 18):
                    for wy in range(max(top, 0) + 6, horizon - 12, 24):
                        im[wy:wy + 11, wx:wx + 8] = colour(rng, .3, .33, .38, spread=.05)
            else:
                blob = np.clip(1.2 - np.hypot((np.arange(W) - x) / wide, (np.arange(H)[:, None] - top) / 90) + .25 * noise(rng, H, W, [6, 20]), 0, 1) > .55
                im[blob] = colour(rng, .2, .3, .14)
    else:
        im *= colour(rng, *[(.75, .75, .73), (.6, .63, .65), (.5, .45, .4)][rng.integers(3)])
        for _ in range(rng.integers(2, 7)):
            x, wide, top = rng.integers(-60, W), rng.integers(60, 260), horizon - rng.integers(30, 200)
            rack = colour(rng, *[(.2, .3, .55), (.85, .4, .1), (.5, .5, .5)][rng.integers(3)])
            im[max(top, 0):horizon + 6, max(x, 0):x + wide] *= rng.uniform(.35, .8)
            step = rng.integers(18, 40)
            for y in range(max(top, 0), horizon, step):
                bx = max(x, 0)
                while bx < min(x + wide, W) - 8:
                    bw, bh = rng.integers(8, 34), rng.integers(6, max(step - 3, 8))
                    if rng.random() < .7:
                        im[max(y + step - bh, 0):y + step, bx:bx + bw] = colour(rng, *[(.66, .5, .34), (.3, .4, .6), (.7, .7, .7), (.5, .2, .2)][rng.integers(4)], spread=.1)
                    bx += bw + rng.integers(1, 10)
                im[y + step - 2:y + step + 2, max(x, 0):x + wide] = rack
            for px in range(max(x, 0), x + wide, rng.integers(40, 90)):
                im[max(top, 0):horizon + 6, px:px + 4] = rack
    im = cv2.GaussianBlur(im, (0, 0), rng.uniform(.6, 1.6))
    return np.clip(im * (1 + .03 * noise(rng, H, W, [2, 40])[..., None]), 0, 1)


def clutter(c, rng):
    """Things without a label: leaves, papers, a post, a shadow that falls in from outside."""
    for _ in range(rng.integers(0, 10)):
        x, z, r = rng.uniform(-4, 4), rng.uniform(1.2, 10), rng.uniform(.03, .14)
        c.fill(c.cam.floor(np.array([x, z]) + rng.uniform(-r, r, (rng.integers(3, 6), 2))), colour(rng, *[(.85, .85, .8), (.45, .35, .15), (.3, .4, .2), (.2, .2, .2)][rng.integers(4)]))
    for _ in range(rng.integers(0, 3)):
        x, z = rng.uniform(-6, 6), rng.uniform(5, 14)
        c.cuboid(x, z, .14, .14, 0, rng.uniform(2.2, 4), 0, colour(rng, *[(.5, .5, .5), (.75, .7, .2), (.3, .3, .32)][rng.integers(3)]))
    for _ in range(rng.integers(0, 3)):
        x, z, w = rng.uniform(-5, 5), rng.uniform(1, 9), rng.uniform(.3, 2)
        d = rng.normal(0, 1, 2) * 4
        m = mask_of([c.cam.floor(np.maximum([(x - w, z), (x + w, z), (x + w + d[0], z + d[1]), (x - w + d[0], z + d[1])], (-20, .5)))])
        c.im *= 1 - rng.uniform(.15, .45) * cv2.GaussianBlur(m, (0, 0), rng.uniform(1, 7))[..., None]


def scene(rng, road):
    """(uint8 picture, map of labels: -1 or the label of what is seen there, map of object numbers)."""
    cam = Camera(rng)
    im = backdrop(rng, cam, road)
    edge = cam.floor([(-60, 26), (60, 26)])
    yy, xx = np.mgrid[:H, :W]
    line = edge[0, 1] + (edge[1, 1] - edge[0, 1]) * (xx - edge[0, 0]) / (edge[1, 0] - edge[0, 0])
    below = yy >= line
    im[below] = ground(rng, cam, road)[below]
    c = Canvas(np.ascontiguousarray(im), rng, cam)
    c.road, angle = road, rng.uniform(0, 2 * np.pi)
    c.light, c.reach = np.array([np.cos(angle), np.sin(angle)]), rng.uniform(.2, 1.1)
    c.softness, c.depth = rng.uniform(1.5, 9), rng.uniform(.2, .6)
    clutter(c, rng)
    todo = []
    for _ in range(rng.choice([0, 1, 2, 3, 4, 5, 7], p=[.08, .14, .2, .22, .18, .12, .06])):
        kind = rng.choice(len(KINDS), p=[.2, .2, .12, .2, .18, .1])
        z = 1.5 + 9 * rng.random() ** 1.6 + SIZE[kind] / 2
        x = rng.uniform(-1, 1) * (.55 * z + .3)
        if all(np.hypot(x - a, z - b) > (SIZE[kind] + SIZE[k]) / 2 * .8 for b, a, k in todo):
            todo.append((z, x, kind))
    todo.sort(key=lambda t: (t[2] != 4, -t[0]))     # spills lie under all that stands
    whole = []
    for n, (z, x, kind) in enumerate(todo):
        c.now = n
        KINDS[kind](c, rng, x, z)
        whole.append(int((c.owner == n).sum()))
    im = c.im
    light = 1 + rng.uniform(.03, .25) * noise(rng, H, W, [240])[..., None] * .6
    im = im * light * rng.uniform(.65, 1.35) * (1 + rng.normal(0, .05, 3).astype(np.float32))
    r2 = ((xx - W / 2) / W) ** 2 + ((yy - H / 2) / H) ** 2
    im = im * (1 - rng.uniform(0, .7) * r2[..., None])
    im = cv2.GaussianBlur(np.clip(im, 0, 1).astype(np.float32), (0, 0), rng.uniform(.4, 1.5))
    if rng.random() < .2:       # the vehicle shakes
        k = np.zeros((9, 9), np.float32)
        cv2.line(k, (0, 4 + rng.integers(-2, 3)), (8, 4 + rng.integers(-2, 3)), 1.)
        im = cv2.filter2D(im, -1, k / k.sum())
    im = np.clip(im, 0, 1) ** rng.uniform(.75, 1.25) + rng.uniform(.005, .035) * rng.standard_normal(im.shape).astype(np.float32)
    return (np.clip(im, 0, 1) * 255).round().astype(np.uint8), c.owner, [k for _, _, k in todo], whole


def labels_of(owner, kinds, whole, masks):
    """n x (labels + 1) bits."""
    bits = np.zeros((len(masks), len(LABELS) + 1), int)
    for i, m in enumerate(masks):
        inside = owner[m]
        cover = np.zeros(len(LABELS))
        for n in np.unique(inside[inside >= 0]):
            seen = int((inside == n).sum())
            cover[kinds[n]] += seen
            if seen >= .5 * max(whole[n], 1) and seen >= .04 * inside.size:
                bits[i, kinds[n]] = 1
        bits[i, :-1] |= cover >= .12 * inside.size
        bits[i, -1] = not bits[i, :-1].any()
    return bits


def overlay(im, bits, cs):
    im = cv2.cvtColor(im, cv2.COLOR_RGB2BGR)
    for cell, b in zip(cs, bits):
        p = corners(cell).astype(np.int32)
        cv2.polylines(im, [p], True, (120, 120, 120) if b[-1] else (0, 0, 255), 1 if b[-1] else 2)
        text = "".join(s for s, on in zip(SHORT, b) if on)
        cv2.putText(im, text, (int(p[:, 0].min()) + 4, int(p[:, 1].max()) - 6), cv2.FONT_HERSHEY_SIMPLEX, .6, (0, 255, 255), 2)
    return im


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--scene", choices=["shop", "road"], default="shop")
    ap.add_argument("--train", type=int, default=400)
    ap.add_argument("--test", type=int, default=200)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--overlays", type=int, default=0)
    a = ap.parse_args()
    cs = cells()
    masks = [mask_of([corners(c)]) > .5 for c in cs]
    os.makedirs(a.out, exist_ok=True)
    with open(os.path.join(a.out, "config.json"), "w") as f:
        json.dump(config(cs), f, indent=1)
    tiles = []
    for part, count in (("train", a.train), ("test", a.test)):
        pictures, texts = (os.path.join(a.out, part, d) for d in ("images", "labels"))
        os.makedirs(pictures, exist_ok=True)
        os.makedirs(texts, exist_ok=True)
        total = np.zeros(len(LABELS) + 1, int)
        for n in range(count):
            rng = np.random.default_rng([a.seed, zlib.crc32(f"{a.scene}/{part}".encode()), n])
            im, owner, kinds, whole = scene(rng, a.scene == "road")
            bits = labels_of(owner, kinds, whole, masks)
            total += bits.sum(0)
            name = f"{part}_{n:04d}"
            cv2.imwrite(os.path.join(pictures, name + ".jpg"), im[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])
            with open(os.path.join(texts, name + ".txt"), "w") as f:
                f.write("\n".join(str(b) for b in bits.ravel()) + "\n")
            if part == "train" and n < a.overlays:
                tiles.append(overlay(im, bits, cs))
        print(f"{part}: {count} pictures, {len(cs)} cells; " + ", ".join(f"{k} {v}" for k, v in zip(LABELS + ["background"], total)))
    if tiles:
        rows = [np.concatenate(tiles[i:i + 3], 1) for i in range(0, len(tiles) - len(tiles) % 3, 3)]
        cv2.imwrite(os.path.join(a.out, "overlay.jpg"), np.concatenate(rows))


if __name__ == "__main__":
    main()
