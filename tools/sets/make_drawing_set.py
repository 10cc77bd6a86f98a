#!/usr/bin/env python3
"""Make sets of engineering drawings (P&ID, HVAC) to measure `ocellus label templates` with.

    make_drawing_set.py OUT --seed N [--symbols FOLDER] [--sheets 4] [--preview FILE] [..]

writes
    OUT/templates/<group>/<label>.png   one picture of each symbol, black on white, as it is at scale 1
    OUT/clean/sheet_NN.png              drawn sheets
    OUT/scanned/sheet_NN.jpg            others, blurred, with noise, grey paper, a small skew, JPEG
    OUT/worn/sheet_NN.png or .jpg       others, with other line widths, a stretch of up to 4 % in one direction, broken
                                        lines, pipes and text through symbols, and a mild scan
    OUT/truth.json   {"clean/sheet_00.png": [{"label", "box": [x1, y1, x2, y2], "scale", "rotation", "mirrored",
                      "crossed"}, ..]}

A box is the tight box of the symbol's own ink in the final picture, in pixels, x2 and y2 being the first ones outside.
A symbol is mirrored first (left to right), then turned clockwise by "rotation" degrees. "crossed" says that a line or
text runs through it. Symbols are drawn anew at each scale, never resampled from the template. Those that look the same
in several rotations have one of them in the truth, too.

Without --symbols the symbols are drawn by this file. With it they are read from the files in FOLDER (the sub-folder is
the group, the file's stem the label): SVG (paths, lines, shapes, groups, transforms; also Dia's .shape), draw.io
stencils (.xml, many shapes a file), QElectroTech's .elmt. Text in them is left out. An SVG may have an attribute
data-origin="x y", where pipes aim at; it is the middle of the ink otherwise.

All is a function of the arguments and of the symbols' files. Needs numpy 1.26.4, opencv-python-headless 4.11.0.86.
"""
import argparse, json, math, os, re, zlib
import xml.etree.ElementTree as ET
import cv2
import numpy as np

cv2.setNumThreads(1)
SS = 3  # all is drawn this many times larger, then shrunk

# ---------------------------------------------------------------------------------------------------------------------
# Symbols. One is a list of strokes (points, closed, fill, stroked, dash) painted in that order; fill is "ink", "paper"
# or None. Coordinates are pixels at scale 1, y down, and pipes aim at (0, 0).


def stroke(points, closed=False, fill=None, stroked=True, dash=0.0):
    return (np.asarray(points, np.float64).reshape(-1, 2), closed, fill, stroked, dash)


def line(*xy, dash=0.0):
    return stroke(xy, dash=dash)


def shape(*xy, fill=None):
    return stroke(xy, True, fill)


def arc(cx, cy, rx, ry, a0, a1, **kw):
    n = max(8, int(abs(a1 - a0) / 5))
    a = np.radians(np.linspace(a0, a1, n + 1))
    return stroke(np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1), **kw)


def circle(cx, cy, r, fill=None, stroked=True):
    return arc(cx, cy, r, r, 0, 360, closed=True, fill=fill, stroked=stroked)


def rect(x, y, w, h, fill=None):
    return shape(x, y, x + w, y, x + w, y + h, x, y + h, fill=fill)


def own_symbols():
    """{label: (group, strokes, tagged)}; tagged ones have text inside when they are placed."""
    s = {}

    def add(group, label, *strokes, tagged=False):
        s[label] = (group, list(strokes), tagged)

    w, h = 34, 18
    bow = shape(-w, -h, w, h, w, -h, -w, h)
    v = "valves"
    add(v, "gate_valve", bow)
    add(v, "gate_valve_closed", shape(-w, -h, w, h, w, -h, -w, h, fill="ink"))
    add(v, "globe_valve", bow, circle(0, 0, 8, "ink"))
    add(v, "ball_valve", bow, circle(0, 0, 10, "paper"))
    add(v, "butterfly_valve", bow, line(-8, 15, 8, -15), circle(0, 0, 3, "ink"))
    add(v, "plug_valve", bow, shape(0, -12, 9, 0, 0, 12, -9, 0, fill="paper"))
    add(v, "needle_valve", bow, shape(-7, -17, 7, -17, 0, 3, fill="ink"))
    add(v, "diaphragm_valve", bow, arc(0, 0, 17, 24, 180, 360), line(-17, 0, 0, 0, 17, 0))
    add(v, "check_valve", line(-w, h, -w, -h, w, h, w, -h), shape(w, h, w - 16, h - 2, w - 9, h - 13, fill="ink"))
    add(v, "swing_check_valve", line(-w, -h, -w, h), line(w, -h, w, h), line(-w, -h, w - 4, h - 4),
        circle(-w + 2, -h, 4, "ink"))
    add(v, "three_way_valve", bow, shape(0, 0, -h, w, h, w))
    add(v, "angle_valve", shape(0, 0, -w, -h, -w, h), shape(0, 0, -h, w, h, w))
    add(v, "relief_valve", shape(0, 0, w, -h, w, h), shape(0, 0, -h, w, h, w), line(0, 0, 0, -8, -9, -12, 9, -18,
        -9, -24, 9, -30, 0, -34, 0, -40))
    add(v, "control_valve", bow, line(0, 0, 0, -28), arc(0, -28, 19, 18, 180, 360, closed=True, fill="paper"))
    add(v, "motor_valve", bow, line(0, 0, 0, -24), circle(0, -39, 15, "paper"), line(-7, -32, -7, -46, 0, -36, 7, -46,
        7, -32))
    add(v, "solenoid_valve", bow, line(0, 0, 0, -24), rect(-14, -52, 28, 28, "paper"),
        line(6, -43, 3, -46, -3, -46, -6, -43, -5, -39, 5, -37, 6, -33, 3, -30, -3, -30, -6, -33))
    add(v, "hand_valve", bow, line(0, 0, 0, -26), line(-16, -26, 16, -26))

    e = "equipment"
    add(e, "pump", circle(0, 0, 28), shape(-22, 26, 22, 26, 30, 42, -30, 42), line(0, -28, 34, -28, 34, -14, 24, -14))
    add(e, "pump_simple", circle(0, 0, 30), line(-0, -30, 30, 0, 0, 30))
    add(e, "compressor", circle(0, 0, 32), line(-20, -25, 31, -9), line(-20, 25, 31, 9))
    add(e, "fan", circle(0, 0, 32), circle(0, 0, 5, "ink"),
        *[shape(*np.ravel([[5 * math.cos(a), 5 * math.sin(a)], [27 * math.cos(a + .1), 27 * math.sin(a + .1)],
          [24 * math.cos(a + .7), 24 * math.sin(a + .7)]])) for a in (-math.pi / 2, math.pi / 6, math.pi * 5 / 6)])
    add(e, "heat_exchanger", circle(0, 0, 34), line(-46, 0, -22, 0, -10, -20, 10, 20, 22, 0, 46, 0))
    add(e, "shell_exchanger", rect(-40, -17, 80, 34), line(-28, -17, -28, 17), line(28, -17, 28, 17),
        arc(-40, 0, 11, 17, 90, 270), line(-28, -6, 28, -6), line(-28, 6, 28, 6))
    add(e, "filter", rect(-32, -24, 64, 48), line(-32, 24, 32, -24, dash=8))
    add(e, "y_strainer", line(-36, 0, 36, 0), line(-36, -13, -36, 13), line(36, -13, 36, 13),
        line(-4, 0, 16, 26, 28, 16, 16, 0), line(4, 10, 18, 2, dash=4))
    add(e, "reducer", shape(-28, -22, 28, -12, 28, 12, -28, 22))
    add(e, "mixer", rect(-40, -14, 80, 28), *[line(x, -14, x + 13.3, 14, x + 26.6, -14) for x in (-40, -13.4, 13.3)])
    add(e, "damper", rect(-36, -22, 72, 44), line(-26, 16, 26, -16), circle(0, 0, 5, "ink"))
    add(e, "louver_damper", rect(-36, -22, 72, 44), *[line(x - 7, 12, x + 7, -12) for x in (-22, 0, 22)])
    add(e, "heating_coil", rect(-26, -32, 52, 64), line(-26, 32, 26, -32))
    add(e, "cooling_coil", rect(-26, -32, 52, 64), line(-26, 32, 26, -32), line(-26, -32, 26, 32))
    add(e, "diffuser", rect(-30, -30, 60, 60), line(-30, -30, 30, 30), line(30, -30, -30, 30), rect(-13, -13, 26, 26,
        "paper"))
    add(e, "trap", circle(0, 0, 26), arc(0, 0, 26, 26, 0, 180, closed=True, fill="ink"))

    g = "signals"
    add(g, "flange", line(-5, -27, -5, 27), line(5, -27, 5, 27))
    add(g, "orifice", line(-7, -30, -7, 30), line(7, -30, 7, 30), line(0, -30, 0, -6), line(0, 6, 0, 30))
    add(g, "flow_arrow", line(-32, 0, 4, 0), shape(4, -13, 34, 0, 4, 13, fill="ink"))
    add(g, "blind", circle(-15, 0, 15), circle(15, 0, 15, "ink"))
    add(g, "rotameter", rect(-20, -36, 40, 72), shape(-9, -18, 9, -18, 0, 20))
    add(g, "sensor_t", circle(0, -26, 20), line(0, -6, 0, 28), line(-10, -34, 10, -34), line(0, -34, 0, -17))

    i = "instruments"
    add(i, "field_instrument", circle(0, 0, 30), tagged=True)
    add(i, "panel_instrument", circle(0, 0, 30), line(-30, 0, 30, 0), tagged=True)
    add(i, "behind_panel", circle(0, 0, 30), line(-30, 0, 30, 0, dash=8), tagged=True)
    add(i, "dcs_function", rect(-31, -31, 62, 62), circle(0, 0, 31), line(-31, 0, 31, 0), tagged=True)
    add(i, "plc_function", rect(-31, -31, 62, 62), shape(0, -31, 31, 0, 0, 31, -31, 0), tagged=True)
    add(i, "computer_function", shape(-34, 0, -17, -29, 17, -29, 34, 0, 17, 29, -17, 29), tagged=True)
    return s


# --- readers of symbol files


def arc_points(p, rx, ry, turn, large, sweep, q):
    """Points of an SVG arc from p to q (the SVG 1.1 implementation notes, F.6)."""
    p, q = np.asarray(p, float), np.asarray(q, float)
    rx, ry = abs(rx), abs(ry)
    if rx == 0 or ry == 0 or np.allclose(p, q):
        return [q]
    t = math.radians(turn)
    R = np.array([[math.cos(t), math.sin(t)], [-math.sin(t), math.cos(t)]])
    x, y = R @ ((p - q) / 2)
    grow = math.sqrt(max(1.0, x * x / rx / rx + y * y / ry / ry))
    rx, ry = rx * grow, ry * grow
    below = rx * rx * y * y + ry * ry * x * x
    k = math.sqrt(max(0.0, (rx * rx * ry * ry - below) / below)) * (-1 if large == sweep else 1)
    c = np.array([k * rx * y / ry, -k * ry * x / rx])
    a0 = math.atan2((y - c[1]) / ry, (x - c[0]) / rx)
    a1 = math.atan2((-y - c[1]) / ry, (-x - c[0]) / rx)
    if sweep and a1 < a0:
        a1 += 2 * math.pi
    if not sweep and a1 > a0:
        a1 -= 2 * math.pi
    mid = R.T @ c + (p + q) / 2
    n = max(4, int(abs(a1 - a0) / 0.1))
    return [mid + R.T @ np.array([rx * math.cos(a), ry * math.sin(a)]) for a in np.linspace(a0, a1, n + 1)[1:]]


def bezier(points):
    points = np.asarray(points, float)
    n, t = len(points) - 1, np.linspace(0, 1, 17)[1:, None]
    return list(sum(math.comb(n, k) * (1 - t) ** (n - k) * t ** k * points[k] for k in range(n + 1)))


def path_parts(d):
    """The parts [(points, closed)] of an SVG path."""
    tokens = re.findall(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", d)
    parts, points, now, first, k, cmd, last = [], [], np.zeros(2), np.zeros(2), 0, "M", None

    def number():
        nonlocal k
        k += 1
        return float(tokens[k - 1])

    def flag():  # flags may be glued to what follows
        nonlocal k
        text = tokens[k]
        if len(text) > 1 and text[0] in "01" and not re.match(r"^[01]\.?0*$", text):
            tokens[k] = text[1:]
            return text[0] == "1"
        k += 1
        return float(text) != 0

    def close(closed):
        nonlocal points
        if len(points) > 1:
            parts.append((points, closed))
        points = []

    while k < len(tokens):
        if tokens[k].isalpha():
            cmd = tokens[k]
            k += 1
            if cmd in "Zz":
                close(True)
                now = first
                points = [now]
                last = None
                continue
        low, base = cmd.lower(), now if cmd.islower() else np.zeros(2)
        pair = lambda: base + np.array([number(), number()])  # noqa: E731
        if low == "m":
            close(False)
            now = first = pair()
            points = [now]
            cmd = "l" if cmd == "m" else "L"
            last = None
            continue
        control = None
        if low == "l":
            new = [pair()]
        elif low == "h":
            new = [np.array([base[0] + number(), now[1]])]
        elif low == "v":
            new = [np.array([now[0], base[1] + number()])]
        elif low in "csqt":
            if low == "c":
                knots = [now, pair(), pair(), pair()]
            elif low == "s":
                knots = [now, 2 * now - last if last is not None else now, pair(), pair()]
            elif low == "q":
                knots = [now, pair(), pair()]
            else:
                knots = [now, 2 * now - last if last is not None else now, pair()]
            control, new = knots[-2], bezier(knots)
        elif low == "a":
            rx, ry, turn, large, sweep = number(), number(), number(), flag(), flag()
            new = arc_points(now, rx, ry, turn, large, sweep, pair())
        else:
            raise ValueError(f"path command {cmd}")
        points += new
        now, last = new[-1], control
    close(False)
    return parts


def svg_transform(text):
    M = np.eye(3)
    for name, args in re.findall(r"(\w+)\s*\(([^)]*)\)", text or ""):
        a = [float(x) for x in re.split(r"[\s,]+", args.strip())]
        T = np.eye(3)
        if name == "matrix":
            T[:2] = np.array(a).reshape(3, 2).T
        elif name == "translate":
            T[:2, 2] = a[0], a[1] if len(a) > 1 else 0
        elif name == "scale":
            T[0, 0], T[1, 1] = a[0], a[-1]
        elif name == "rotate":
            t = math.radians(a[0])
            T[:2, :2] = [[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]
            if len(a) == 3:
                c = np.array(a[1:])
                T[:2, 2] = c - T[:2, :2] @ c
        M = M @ T
    return M


def paint(value):
    value = value.strip().lower()
    if value in ("none", "transparent", ""):
        return None
    return "paper" if value in ("white", "#fff", "#ffffff", "background") else "ink"


def read_svg(root):
    out = []

    def walk(node, M, style):
        tag = node.tag.split("}")[-1] if isinstance(node.tag, str) else ""
        if tag in ("defs", "text", "title", "clipPath", "mask", "metadata"):
            return
        M, style = M @ svg_transform(node.get("transform")), dict(style)
        for name in ("fill", "stroke", "stroke-dasharray", "fill-rule"):
            if node.get(name) is not None:
                style[name] = node.get(name)
        for name, value in re.findall(r"([\w-]+)\s*:\s*([^;]+)", node.get("style") or ""):
            style[name] = value
        f = lambda name: float(re.match(r"[-+\d.eE]+", node.get(name) or "0")[0])  # noqa: E731
        parts = []
        if tag == "path":
            parts = path_parts(node.get("d") or "")
        elif tag == "line":
            parts = [([(f("x1"), f("y1")), (f("x2"), f("y2"))], False)]
        elif tag in ("polyline", "polygon"):
            xy = [float(x) for x in re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", node.get("points") or "")]
            parts = [(np.reshape(xy[:len(xy) // 2 * 2], (-1, 2)), tag == "polygon")]
        elif tag == "rect":
            parts = [(rect(f("x"), f("y"), f("width"), f("height"))[0], True)]
        elif tag in ("circle", "ellipse"):
            rx, ry = (f("r"), f("r")) if tag == "circle" else (f("rx"), f("ry"))
            parts = [(arc(f("cx"), f("cy"), rx, ry, 0, 360)[0], True)]
        parts = [(np.asarray(p, float).reshape(-1, 2) @ M[:2, :2].T + M[:2, 2], c) for p, c in parts]
        fill, lined = paint(style.get("fill", "black")), paint(style.get("stroke", "none")) == "ink"
        if dia and "fill" not in style:
            fill = None
        if dia and "stroke" not in style:
            lined = True
        if fill and tag != "line" and parts:
            out.append(([p for p, _ in parts], True, fill, False, 0.0))  # all parts at once, for holes
        dash = re.findall(r"[\d.]+", style.get("stroke-dasharray", ""))
        if lined:
            out.extend(stroke(p, c, None, True, float(dash[0]) if dash else 0.0) for p, c in parts)
        for child in node:
            walk(child, M, style)

    dia = root.tag.split("}")[-1] == "shape"
    walk(root, np.eye(3), {})
    origin = root.get("data-origin")
    return out, np.array([float(x) for x in origin.split()]) if origin else None


def read_stencils(root):
    """{name: strokes} of a draw.io stencil file."""
    found = {}
    for node in root.iter("shape"):
        out, parts = [], []
        for op in [o for side in ("background", "foreground") for o in (node.find(side) or [])]:
            f = lambda name, of=op: float(of.get(name) or 0)  # noqa: E731
            if op.tag == "path":
                parts, points, now = [], [], np.zeros(2)
                for step in op:
                    at = lambda a="x", b="y", of=step: np.array([float(of.get(a)), float(of.get(b))])  # noqa: E731
                    if step.tag == "move":
                        if len(points) > 1:
                            parts.append((points, False))
                        points = [at()]
                    elif step.tag == "line":
                        points.append(at())
                    elif step.tag == "quad":
                        points += bezier([now, at("x1", "y1"), at("x2", "y2")])
                    elif step.tag == "curve":
                        points += bezier([now, at("x1", "y1"), at("x2", "y2"), at("x3", "y3")])
                    elif step.tag == "arc":
                        points += arc_points(now, float(step.get("rx")), float(step.get("ry")),
                                             float(step.get("x-axis-rotation") or 0), step.get("large-arc-flag") == "1",
                                             step.get("sweep-flag") == "1", at())
                    elif step.tag == "close":
                        parts.append((points, True))
                        points = points[:1]
                    now = points[-1]
                if len(points) > 1:
                    parts.append((points, False))
            elif op.tag in ("rect", "roundrect"):
                parts = [(rect(f("x"), f("y"), f("w"), f("h"))[0], True)]
            elif op.tag == "ellipse":
                parts = [(arc(f("x") + f("w") / 2, f("y") + f("h") / 2, f("w") / 2, f("h") / 2, 0, 360)[0], True)]
            elif op.tag in ("stroke", "fill", "fillstroke"):
                if op.tag != "stroke":
                    out.append(([np.array(p, float) for p, _ in parts], True, "paper", False, 0.0))
                if op.tag != "fill":
                    out.extend(stroke(p, c) for p, c in parts)
        name = re.sub(r"[^a-z0-9]+", "_", (node.get("name") or "").lower()).strip("_")
        found[name] = out
    return found


def read_elmt(root):
    """The strokes of a QElectroTech element."""
    out = []
    for node in root.find("description"):
        f = lambda name, of=node: float(of.get(name) or 0)  # noqa: E731
        style = node.get("style") or ""
        fill = "ink" if "filling:black" in style else "paper" if "filling:white" in style else None
        dash = 6.0 if "dashed" in style or "dotted" in style else 0.0
        if "line-weight:none" in style and not fill:
            continue
        kw = dict(fill=fill, dash=dash)
        if node.tag == "line":
            out.append(stroke([(f("x1"), f("y1")), (f("x2"), f("y2"))], dash=dash))
        elif node.tag == "rect":
            out.append(stroke(rect(f("x"), f("y"), f("width"), f("height"))[0], True, **kw))
        elif node.tag in ("circle", "ellipse", "arc"):
            w = f("diameter") if node.tag == "circle" else f("width")
            h = f("diameter") if node.tag == "circle" else f("height")
            a0, a1 = (f("start"), f("start") + f("angle")) if node.tag == "arc" else (0, 360)
            out.append(arc(f("x") + w / 2, f("y") + h / 2, w / 2, h / 2, -a0, -a1, closed=node.tag != "arc", **kw))
        elif node.tag == "polygon":
            xy = []
            while node.get(f"x{len(xy) + 1}") is not None:
                xy.append((f(f"x{len(xy) + 1}"), f(f"y{len(xy) + 1}")))
            out.append(stroke(xy, node.get("closed") != "false", **kw))
    return out


def every_point(strokes):
    return np.concatenate([p for s in strokes for p in (s[0] if isinstance(s[0], list) else [s[0]])])


def fit(strokes, label, origin=None):
    """Shift and scale what was read: its long side is 55..105 pixels, the more the larger it was among its like."""
    points = every_point(strokes)
    low, high = points.min(0), points.max(0)
    side = 62 + zlib.crc32(label.encode()) % 40
    if (high - low).min() < 0.4 * (high - low).max():  # long and thin: not too thin
        side = max(side, 85)
    k = side / max((high - low).max(), 1e-9)
    origin = (low + high) / 2 if origin is None else origin
    move = lambda p: (p - origin) * k  # noqa: E731
    return [([move(p) for p in s[0]] if isinstance(s[0], list) else move(s[0]), *s[1:4], s[4] and max(6.0, s[4] * k))
            for s in strokes]


def read_symbols(folder):
    found = {}
    for place, _, files in sorted(os.walk(folder)):
        group = os.path.relpath(place, folder).replace(os.sep, "_").replace(".", "") or "symbols"
        for name in sorted(files):
            stem, end = os.path.splitext(name)
            if end not in (".svg", ".shape", ".xml", ".elmt"):
                continue
            root, origin = ET.parse(os.path.join(place, name)).getroot(), None
            if end == ".xml":
                many = read_stencils(root)
            elif end == ".elmt":
                many = {stem: read_elmt(root)}
            else:
                strokes, origin = read_svg(root)
                many = {stem: strokes}
            for label, strokes in many.items():
                if strokes:
                    tagged = bool(re.search(r"instrument|indicator|bubble", label))
                    found[label] = (group, fit(strokes, label, origin), tagged)
    return found


# --- drawing


def dashes(points, closed, on):
    if closed:
        points = np.vstack([points, points[:1]])
    step = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0], np.cumsum(step)])
    at = lambda s: np.stack([np.interp(s, along, points[:, k]) for k in (0, 1)], -1)  # noqa: E731
    start, out = 0.0, []
    while start < along[-1]:
        end = min(start + on, along[-1])
        knots = along[(along > start) & (along < end)]
        out.append(at(np.concatenate([[start], knots, [end]])))
        start = end + on * 0.7
    return out


def draw(canvas, strokes, A, at, width):
    """Paint strokes moved by the 2x2 matrix A and then by `at`, with lines of that width; all in canvas pixels."""
    fixed = lambda p: np.round((p @ A.T + at) * 16).astype(np.int32)  # noqa: E731
    thick = max(1, int(round(width)))
    for points, closed, fill, stroked, dash in strokes:
        many = points if isinstance(points, list) else [points]
        if fill:
            cv2.fillPoly(canvas, [fixed(p) for p in many], 0 if fill == "ink" else 255, cv2.LINE_AA, 4)
        if stroked:
            for p in many:
                pieces = dashes(p, closed, dash) if dash else [p]
                for q in pieces:
                    cv2.polylines(canvas, [fixed(q)], closed and not dash, 0, thick, cv2.LINE_AA, 4)


def tile_of(strokes, A, width):
    """The symbol alone: (tile, where its origin is in it, hull of its ink); in pixels of the canvas."""
    points = every_point(strokes) @ A.T
    pad = width + 4
    low, high = np.floor(points.min(0) - pad), np.ceil(points.max(0) + pad)
    tile = np.full((int(high[1] - low[1]), int(high[0] - low[0])), 255, np.uint8)
    draw(tile, strokes, A, -low, width)
    ys, xs = np.nonzero(tile < 128)
    inside = np.stack([xs, ys], 1).astype(np.int32)
    return tile, -low, cv2.convexHull(inside)[:, 0].astype(float)


def turned(rotation, mirrored, scale):
    t = math.radians(rotation)
    c, s = round(math.cos(t)), round(math.sin(t))
    return np.array([[c, -s], [s, c]], float) @ np.diag([-1.0 if mirrored else 1.0, 1.0]) * scale


FONTS = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX]
WORDS = """FROM TO PUMP SUCTION DISCHARGE HEADER COOLING WATER SUPPLY RETURN STEAM CONDENSATE DRAIN VENT FLARE DRUM
    VESSEL COLUMN REFLUX FEED PRODUCT NITROGEN INSTRUMENT AIR FUEL GAS KNOCKOUT TANK SEE NOTE TYPICAL LOCAL PANEL HOLD
    MIN FLOW SLOPE INSULATED TRACED NORMALLY OPEN CLOSED LOCKED SPARE BLIND FLANGE SAMPLE POINT UNIT AREA""".split()

SERVICES = ["CW", "PG", "ST", "FG", "IA"]


class Sheet:
    def __init__(self, rng, symbols, args, worn):
        self.rng, self.symbols, self.worn = rng, symbols, worn
        lo, hi = args.width
        self.w = int(rng.integers(lo, hi + 1))
        self.h = int(self.w * rng.uniform(0.68, 0.715))
        self.canvas = np.full((self.h * SS, self.w * SS), 255, np.uint8)
        self.font = FONTS[rng.integers(len(FONTS))]
        self.thin = rng.uniform(*args.line_width) * rng.choice([0.75, 1.0, 1.0])
        self.line = rng.uniform(*args.line_width)
        if worn:
            self.line *= rng.choice([0.65, 0.75, 1.3, 1.5])
        self.scaled_lines = bool(rng.integers(2))  # do lines get thicker with the symbol?
        # stretch: of each symbol on some sheets, of the whole sheet on the others (then in finish)
        self.own_stretch = worn and rng.random() < 0.5
        self.taken, self.pipes, self.placed, self.texts = [], [], [], []

    # rectangles are x1, y1, x2, y2 in sheet pixels
    def free(self, r, gap=8.0, pipes=True, texts=True):
        lists = [self.taken] + ([self.pipes] if pipes else []) + ([self.texts] if texts else [])
        return all(r[2] + gap <= b[0] or b[2] + gap <= r[0] or r[3] + gap <= b[1] or b[3] + gap <= r[1]
                   for some in lists for b in some)

    def segment(self, x1, y1, x2, y2, width=None, dash=0.0):
        draw(self.canvas, [line(x1, y1, x2, y2, dash=dash)], np.eye(2) * SS, (0, 0), (width or self.line) * SS)
        self.pipes.append((min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1))

    def strokes(self, strokes, x, y, width=None, k=1.0):
        draw(self.canvas, strokes, np.eye(2) * SS * k, (x * SS, y * SS), (width or self.line) * SS)

    def extent(self, text, size):
        (w, h), _ = cv2.getTextSize(text, self.font, 1.0, 1)
        k = size / h
        return w * k, size, k

    def text(self, text, x, y, size, must=False, note=True, turned=False):
        """Text with its lower left corner there; says whether there was room."""
        w, h, k = self.extent(text, size)
        r = (x, y - w, x + h, y) if turned else (x, y - h, x + w, y)
        if not must and (r[0] < 20 or r[1] < 20 or r[2] > self.w - 20 or r[3] > self.h - 20 or not self.free(r, 3)):
            return False
        thick = max(1, int(round(size * SS * self.rng.choice([0.08, 0.1, 0.12]))))
        if turned:
            tile = np.full((int(h * SS * 1.5), int(w * SS + 8)), 255, np.uint8)
            cv2.putText(tile, text, (2, int(h * SS * 1.2)), self.font, k * SS, 0, thick, cv2.LINE_AA)
            tile = np.rot90(tile)
            x0, y0 = int(x * SS), int(y * SS) - tile.shape[0]
            part = self.canvas[max(0, y0):y0 + tile.shape[0], x0:x0 + tile.shape[1]]
            if y0 >= 0 and part.shape == tile.shape:
                np.minimum(part, tile, out=part)
        else:
            cv2.putText(self.canvas, text, (int(x * SS), int(y * SS)), self.font, k * SS, 0, thick, cv2.LINE_AA)
        if note:
            self.texts.append(r)
        return True

    def code(self):
        r = self.rng
        return str(r.choice([
            f"HV-{r.integers(100, 9999)}",
            f"{r.integers(1, 24)}\"-{r.choice(SERVICES)}-{r.integers(1000, 9999)}-A1B",
            f"P-{r.integers(100, 999)}A/B", f"E-{r.integers(100, 999)}", f"DN{r.choice([25, 40, 50, 80, 100, 150])}",
            f"{r.integers(1, 8)}x{r.integers(1, 6)}", f"NOTE {r.integers(1, 20)}", "FC", "FO", "LO", "NC", "TSO",
            f"SET @ {r.integers(2, 60)} BARG", f"XV-{r.integers(100, 999)}"]))

    def sentence(self, n):
        return " ".join(self.rng.choice(WORDS, n))

    # --- symbols
    def prepare(self, label, rotations, scale=None):
        """A symbol, drawn but not placed yet. Its box and its reach along the axes are relative to its origin."""
        r = self.rng
        group, strokes, tagged = self.symbols[label]
        scale = float(scale or math.exp(r.uniform(math.log(0.8), math.log(1.25))))
        rotation, mirrored = int(r.choice(rotations)), bool(r.random() < 0.2)
        A = turned(rotation, mirrored, scale)
        if self.own_stretch:
            k = 1 + r.uniform(0.02, 0.04)
            A = np.diag([k, 1.0] if r.random() < 0.5 else [1.0, k]) @ A
        width = self.line * (scale if self.scaled_lines else 1.0) * r.uniform(0.95, 1.05)
        tile, origin, hull = tile_of(strokes, A * SS, width * SS)
        low, high = (hull.min(0) - origin) / SS, (hull.max(0) + 1 - origin) / SS
        # where do pipes along the axes meet ink?
        ox, oy = int(origin[0]), int(origin[1])
        reach = [low[0], high[0], low[1], high[1]]
        if 0 <= oy < tile.shape[0]:
            on = np.nonzero(tile[oy] < 128)[0]
            if len(on):
                reach[:2] = (on[0] - origin[0]) / SS, (on[-1] + 1 - origin[0]) / SS
        if 0 <= ox < tile.shape[1]:
            on = np.nonzero(tile[:, ox] < 128)[0]
            if len(on):
                reach[2:] = (on[0] - origin[1]) / SS, (on[-1] + 1 - origin[1]) / SS
        return dict(label=label, scale=scale, rotation=rotation, mirrored=mirrored, tile=tile, origin=origin, hull=hull,
                    low=low, high=high, reach=reach, tagged=tagged, group=group)

    def box(self, s, x, y):
        return (x + s["low"][0], y + s["low"][1], x + s["high"][0], y + s["high"][1])

    def place(self, s, x, y):
        x0, y0 = int(round(x * SS - s["origin"][0])), int(round(y * SS - s["origin"][1]))
        part = self.canvas[y0:y0 + s["tile"].shape[0], x0:x0 + s["tile"].shape[1]]
        np.minimum(part, s["tile"], out=part)
        r = tuple(self.box(s, x, y))
        self.taken.append(r)
        s = dict(s, at=np.array([x0, y0], float), rect=r, crossed=False, x=x, y=y)
        self.placed.append(s)
        if s["tagged"] and self.rng.random() < 0.9:  # two lines of text in the middle
            top = str(self.rng.choice(["FT", "PI", "TIC", "LT", "PT", "FIC", "TE", "LSH", "PSV", "HS", "PDI", "AT", "FV"]))
            low = str(self.rng.integers(1, 9999)) if self.rng.random() < 0.8 else f"{self.rng.integers(100, 999)}A"
            size = self.rng.uniform(11, 14) * min(1.1, s["scale"])
            cx, cy = (r[0] + r[2]) / 2, (r[1] + r[3]) / 2
            for text, base in ((top, cy - 4), (low, cy + 5 + size)):
                w, h, _ = self.extent(text, size)
                k = min(1.0, 0.62 * (r[2] - r[0]) / w)
                self.text(text, cx - w * k / 2, base, size * k, must=True, note=False)
        return s

    # --- the sheet
    def frame(self):
        r, w, h = self.rng, self.w, self.h
        self.strokes([rect(26, 26, w - 52, h - 52)], 0, 0, 4)
        if r.random() < 0.6:
            self.strokes([rect(10, 10, w - 20, h - 20)], 0, 0, 1)
            for k in range(1, 8):
                for y in (10, h - 26):
                    self.strokes([line(w * k / 8, y, w * k / 8, y + 16)], 0, 0, 1)
        self.taken += [(0, 0, w, 40), (0, h - 40, w, h), (0, 0, 40, h), (w - 40, 0, w, h)]
        # title block
        bw, bh = r.uniform(560, 800), r.uniform(180, 280)
        x, y = w - 26 - bw, h - 26 - bh
        self.taken.append((x, y, w, h))
        self.strokes([rect(x, y, bw, bh)], 0, 0, 3)
        rows = int(r.integers(4, 7))
        for k in range(1, rows):
            self.strokes([line(x, y + bh * k / rows, x + bw, y + bh * k / rows)], 0, 0, 1.5)
        cuts = [0, 0.18, 0.42, 0.7, 1.0]
        for c in cuts[1:-1]:
            self.strokes([line(x + bw * c, y + bh / rows, x + bw * c, y + bh)], 0, 0, 1.5)
        self.text("PIPING AND INSTRUMENT DIAGRAM", x + 14, y + bh / rows - 10, min(22, bh / rows - 16), True)
        for row in range(1, rows):
            for k in range(4):
                cell = bw * (cuts[k + 1] - cuts[k])
                text = str(r.choice([self.sentence(2), self.code(), f"REV {r.integers(0, 9)}", "2024-03-17", "SCALE NTS"]))
                size = 14.0
                wide, _, _ = self.extent(text, size)
                size *= min(1, (cell - 12) / wide)
                self.text(text, x + bw * cuts[k] + 6, y + bh * (row + 1) / rows - 8, size, True)
        # a column of notes, and a table over the title block
        x, y = w - 40 - r.uniform(380, 520), 60.0
        n = int(r.integers(6, 22))
        self.text("NOTES:", x, y + 20, 18, True)
        for k in range(n):
            self.text(f"{k + 1}. {self.sentence(int(r.integers(3, 5)))}"[:38], x, y + 50 + 24 * k, 13, True)
        self.taken.append((x - 10, 40, w, y + 60 + 24 * n))
        if r.random() < 0.8:
            cols, rows, cw, ch = int(r.integers(3, 6)), int(r.integers(4, 10)), r.uniform(80, 130), r.uniform(26, 34)
            x, y = r.uniform(60, w * 0.4), h - 50 - rows * ch
            self.taken.append((x, y, x + cols * cw, h))
            for k in range(rows + 1):
                self.strokes([line(x, y + k * ch, x + cols * cw, y + k * ch)], 0, 0, 1.5)
            for k in range(cols + 1):
                self.strokes([line(x + k * cw, y, x + k * cw, y + rows * ch)], 0, 0, 1.5)
            for a in range(rows):
                for b in range(cols):
                    text = str(r.choice([self.code(), str(r.integers(1, 500)), str(r.choice(WORDS))]))
                    wide, _, _ = self.extent(text, 13)
                    self.text(text, x + b * cw + 6, y + a * ch + ch - 8, 13 * min(1, (cw - 12) / wide), True)

    def tanks(self):
        r = self.rng
        for _ in range(int(r.integers(2, 5))):
            for _ in range(30):
                tall = r.random() < 0.6
                w, h = (r.uniform(110, 190), r.uniform(280, 520)) if tall else (r.uniform(300, 480), r.uniform(110, 180))
                x, y = r.uniform(120, self.w - 120 - w), r.uniform(120, self.h - 120 - h)
                if not self.free((x, y, x + w, y + h), 60):
                    continue
                if tall:
                    e = w * r.uniform(0.15, 0.35)
                    body = [line(x, y, x, y + h), line(x + w, y, x + w, y + h), arc(x + w / 2, y, w / 2, e, 180, 360),
                            arc(x + w / 2, y + h, w / 2, e, 0, 180)]
                    for k in range(int(r.integers(0, 6))):  # trays
                        at = y + h * (k + 1) / 7
                        body.append(line(x if k % 2 else x + w * 0.2, at, x + w if not k % 2 else x + w * 0.8, at, dash=0))
                    r4 = (x, y - e, x + w, y + h + e)
                else:
                    e = h * r.uniform(0.15, 0.35)
                    body = [line(x, y, x + w, y), line(x, y + h, x + w, y + h), arc(x, y + h / 2, e, h / 2, 90, 270),
                            arc(x + w, y + h / 2, e, h / 2, -90, 90)]
                    r4 = (x - e, y, x + w + e, y + h)
                self.strokes(body, 0, 0, self.line * 1.3)
                self.taken.append(r4)
                self.text(f"{r.choice(['V', 'T', 'D', 'C'])}-{r.integers(100, 999)}", x + w * 0.2, y + h * 0.5, 20, True)
                self.text(self.sentence(2), x, r4[3] + 26, 14)
                break

    def run(self, queue, taps):
        """A pipe with symbols in it. Returns how many symbols were placed."""
        r = self.rng
        across = r.random() < 0.6
        rotations = [0, 0, 180] if across else [90, 90, 270]
        pipe = self.line * r.choice([0.7, 1.0, 1.0, 1.6, 2.0])
        dash = 0.0 if r.random() < 0.85 else r.uniform(7, 12)
        count = int(r.integers(1, 7))
        count = min(count, len(queue))
        x, y = r.uniform(90, self.w - 250), r.uniform(90, self.h - 150)
        along = x if across else y
        picks, pieces, boxes = [], [], []
        lead = r.uniform(30, 130)
        start, at = along, along + lead
        for k in range(count):
            s = self.prepare(queue[k], rotations if r.random() < 0.9 else [0, 90, 180, 270])
            a, b = (0, 1) if across else (2, 3)
            low, high = (s["low"][0], s["high"][0]) if across else (s["low"][1], s["high"][1])
            close = k > 0 and r.random() < 0.22
            gap = r.uniform(3, 10) if close else r.uniform(25, 170) if k else 0
            centre = at + gap - low
            px, py = (centre, y) if across else (x, centre)
            picks.append((s, px, py))
            boxes.append(self.box(s, px, py))
            if not close or r.random() < 0.5:
                pieces.append((start, centre + s["reach"][a]))
            start, at = centre + s["reach"][b], centre + high
        end = at + r.uniform(30, 130)
        pieces.append((start, end))
        whole = (x - 4, y - 4, end + 4, y + 4) if across else (x - 4, y - 4, x + 4, end + 4)
        if end > (self.w if across else self.h) - 60 or not self.free(whole, 4, pipes=False):
            return 0
        if not all(self.free(b, 14) for b in boxes):
            return 0
        for a, b in pieces:
            if b > a + 0.5:
                if across:
                    self.segment(a, y, b, y, pipe, dash)
                else:
                    self.segment(x, a, x, b, pipe, dash)
        here = [self.place(*pick) for pick in picks]
        for s in here:
            del queue[queue.index(s["label"])]
            if r.random() < 0.6:
                self.tag(s)
        self.ends += [(x, y, across, -1), (end, y, across, 1) if across else (x, end, across, 1)]
        done = count
        for a, b in pieces:  # instruments on leaders beside the pipe
            if b - a < 60 or not taps or r.random() < 0.35:
                continue
            s = self.prepare(taps[0], [0, 0, 0, 90, 180, 270])
            foot, away = r.uniform(a + 20, b - 20), r.uniform(30, 120)
            side = 1 if r.random() < 0.3 else -1
            if across:
                px, py = foot, y + side * (away + (s["high"][1] if side < 0 else -s["low"][1]))
                tip = (px, py + s["reach"][3 if side < 0 else 2])
                base = (foot, y)
            else:
                px, py = x + side * (away + (s["high"][0] if side < 0 else -s["low"][0])), foot
                tip = (px + s["reach"][1 if side < 0 else 0], py)
                base = (x, foot)
            leader = (min(tip[0], base[0]) - 2, min(tip[1], base[1]) - 2, max(tip[0], base[0]) + 2, max(tip[1], base[1]) + 2)
            if self.free(self.box(s, px, py), 12) and self.free(leader, 3, pipes=False):
                self.segment(*base, *tip, self.thin, r.choice([0.0, 8.0]))
                self.place(s, px, py)
                taps.pop(0)
                done += 1
        return done

    def alone(self, label):
        """A symbol without pipes, or beside another with a small gap."""
        r = self.rng
        for _ in range(60):
            s = self.prepare(label, [0, 90, 180, 270])
            if self.placed and r.random() < 0.3:
                near = self.placed[r.integers(len(self.placed))]["rect"]
                x = near[2] + r.uniform(3, 10) - s["low"][0]
                y = r.uniform(near[1], near[3])
                gap = 2.5
            else:
                x, y, gap = r.uniform(90, self.w - 90), r.uniform(90, self.h - 90), 14
            b = self.box(s, x, y)
            if b[0] > 45 and b[1] > 45 and b[2] < self.w - 45 and b[3] < self.h - 45 and self.free(b, gap):
                s = self.place(s, x, y)
                if r.random() < 0.6:
                    self.tag(s)
                return True
        return False

    def tag(self, s):
        r, b = self.rng, s["rect"]
        size = r.uniform(12, 18)
        text = self.code()
        w, h, _ = self.extent(text, size)
        middle = (b[0] + b[2] - w) / 2
        spots = [(middle, b[1] - 5), (middle, b[3] + 5 + h), (b[2] + 6, b[1] + h), (b[0] - 6 - w, b[3])]
        for k in r.permutation(4):
            if self.text(text, *spots[k], size):
                return

    def connect(self):
        """Join ends of pipes by bent ones that do not touch symbols; others get a flag, a cap or an arrowhead."""
        r, ends = self.rng, list(self.ends)
        r.shuffle(ends)
        ends = [(float(x), float(y), bool(a), int(d)) for x, y, a, d in ends]
        used = set()
        for i, (x1, y1, a1, _) in enumerate(ends):
            for j, (x2, y2, a2, _) in enumerate(ends):
                if i >= j or i in used or j in used or math.hypot(x1 - x2, y1 - y2) > 1200:
                    continue
                bends = [[(x1, y1), (x2, y1), (x2, y2)], [(x1, y1), (x1, y2), (x2, y2)],
                         [(x1, y1), ((x1 + x2) / 2, y1), ((x1 + x2) / 2, y2), (x2, y2)]]
                for bend in bends:
                    legs = [(min(p[0], q[0]) - 2, min(p[1], q[1]) - 2, max(p[0], q[0]) + 2, max(p[1], q[1]) + 2)
                            for p, q in zip(bend, bend[1:])]
                    if all(self.free(leg, 6, pipes=False) for leg in legs):
                        dash = 8.0 if r.random() < 0.3 else 0.0
                        width = self.thin if dash else self.line * r.choice([0.8, 1.0, 1.6])
                        for p, q in zip(bend, bend[1:]):
                            self.segment(*p, *q, width, dash)
                        used |= {i, j}
                        break
        for i, (x, y, a, d) in enumerate(ends):
            if i in used:
                continue
            kind = r.integers(3)
            if kind == 0:  # flag that leads to another sheet
                w, h = r.uniform(90, 150), r.uniform(26, 34)
                if a:
                    x0 = x if d > 0 else x - w
                    b = (x0, y - h / 2, x0 + w, y + h / 2)
                    if self.free(b, 4, pipes=False):
                        tip = h / 2
                        flag = shape(0, -h / 2, w - tip, -h / 2, w, 0, w - tip, h / 2, 0, h / 2)
                        self.strokes([flag], x0, y, self.thin)
                        self.text(self.code()[:9], x0 + 8, y + 6, 12, True)
                        self.taken.append(b)
            elif kind == 1:
                self.strokes([line(x - 8, y - 8, x + 8, y + 8)], 0, 0)
            else:
                n = r.uniform(9, 13)
                dx, dy = (d, 0) if a else (0, d)
                half = n * 0.4
                self.strokes([shape(dx * n, dy * n, -dy * half, dx * half, dy * half, -dx * half, fill="ink")], x, y, 1)

    def distract(self):
        """Shapes that are no symbols, though they look a bit like some, and text."""
        r = self.rng
        for _ in range(int(r.integers(10, 22))):
            k, n = r.integers(9), r.uniform(8, 16)
            if k == 0:
                parts, half = [circle(0, 0, n * 0.6)], n
            elif k == 1:
                parts, half = [circle(0, 0, n * 4.5)], n * 4.5
            elif k == 2:
                parts, half = [shape(0, -n * 1.6, n * 1.7, n * 1.2, -n * 1.7, n * 1.2)], n * 1.7
            elif k == 3:
                parts, half = [line(-n, -n, n, n), line(n, -n, -n, n)], n
            elif k == 4:
                parts, half = [rect(-n * 3, -n, n * 6, n * 2)], n * 3
            elif k == 5:
                parts, half = [line(-n * 2, 0, n * 2, 0), line(0, -n * 2, 0, n * 2)], n * 2
            elif k == 6:
                parts, half = [shape(-n * 2.5, -n, 0, 0, -n * 2.5, n)], n * 2.5
            elif k == 7:
                parts, half = [rect(-n * 2, -n * 2, n * 4, n * 4), rect(-n * 1.6, -n * 1.6, n * 3.2, n * 3.2)], n * 2
            else:
                parts, half = [circle(0, 0, n * 0.6), circle(0, 0, n * 1.3)], n * 1.3
            for _ in range(20):
                x, y = r.uniform(80, self.w - 80), r.uniform(80, self.h - 80)
                b = (x - half, y - half, x + half, y + half)
                if self.free(b, 10):
                    self.strokes(parts, x, y)
                    self.taken.append(b)
                    if k == 2:
                        self.text(str(r.integers(1, 9)), x - 5, y + 9, 13, True)
                    break
        for _ in range(int(r.integers(40, 90))):
            text = self.code() if r.random() < 0.6 else self.sentence(int(r.integers(1, 4)))
            x, y, size = r.uniform(60, self.w - 200), r.uniform(60, self.h - 60), r.uniform(11, 19)
            self.text(text, x, y, size, turned=r.random() < 0.25)
        for _ in range(int(r.integers(1, 4))):  # dense text
            x, y, size = r.uniform(60, self.w - 500), r.uniform(60, self.h - 300), r.uniform(11, 15)
            for k in range(int(r.integers(4, 12))):
                self.text(self.sentence(int(r.integers(3, 6))), x, y + k * size * 1.7, size)

    def wear(self):
        """Lines and text through symbols, and gaps in lines."""
        r = self.rng
        for s in self.placed:
            b = s["rect"]
            w, h = b[2] - b[0], b[3] - b[1]
            dice = r.random()
            if dice < 0.2:  # a pipe through the middle, as if the symbol was put on it
                across = s["rotation"] in (0, 180)
                width = self.line * r.choice([0.7, 1.0, 1.4])
                if across:
                    self.segment(b[0] - r.uniform(5, 90), s["y"], b[2] + r.uniform(5, 90), s["y"], width)
                else:
                    self.segment(s["x"], b[1] - r.uniform(5, 90), s["x"], b[3] + r.uniform(5, 90), width)
                s["crossed"] = True
            elif dice < 0.4:  # another line through it
                dash = r.choice([0.0, 0.0, 9.0])
                if r.random() < 0.5:
                    y = r.uniform(b[1] + 0.1 * h, b[3] - 0.1 * h)
                    ends = b[0] - r.uniform(30, 300), b[2] + r.uniform(30, 300)
                    self.segment(ends[0], y, ends[1], y, self.line * r.choice([0.6, 1.0]), dash)
                else:
                    x = r.uniform(b[0] + 0.1 * w, b[2] - 0.1 * w)
                    ends = b[1] - r.uniform(30, 200), b[3] + r.uniform(30, 200)
                    self.segment(x, ends[0], x, ends[1], self.line * r.choice([0.6, 1.0]), dash)
                s["crossed"] = True
            elif dice < 0.55:
                size = r.uniform(12, 17)
                text = self.code()
                wide, _, _ = self.extent(text, size)
                x, y = r.uniform(b[0] - wide * 0.6, b[2] - wide * 0.4), r.uniform(b[1] + size * 0.8, b[3])
                self.text(text, x, y, size, True, note=False)
                s["crossed"] = True
            if r.random() < 0.7:
                ys, xs = np.nonzero(s["tile"] < 128)
                for _ in range(int(r.integers(1, 5))):
                    k = r.integers(len(xs))
                    x, y = s["at"] + (xs[k], ys[k])
                    cv2.circle(self.canvas, (int(x), int(y)), int(r.uniform(1.2, 3.2) * SS), 255, -1, cv2.LINE_AA)
        for x1, y1, x2, y2 in self.pipes:
            for _ in range(int(r.poisson(0.5))):
                x, y = r.uniform(x1, x2 + 1e-6), r.uniform(y1, y2 + 1e-6)
                cv2.circle(self.canvas, (int(x * SS), int(y * SS)), int(r.uniform(1.5, 4) * SS), 255, -1, cv2.LINE_AA)

    def compose(self, want):
        r = self.rng
        self.ends = []
        self.frame()
        self.tanks()
        labels = sorted(self.symbols)
        inline = [l for l in labels if self.symbols[l][0] != "instruments"]
        beside = [l for l in labels if self.symbols[l][0] == "instruments"]
        share = len(beside) / len(labels)

        def many(some, n):  # all in turn, each time in another order
            return [some[k] for _ in range(n // max(1, len(some)) + 1) for k in r.permutation(len(some))][:n]

        taps = many(beside, int(want * share)) if beside else many(inline, want // 5)
        queue = many(inline, want - len(taps))
        tries = 0
        while queue and tries < 260:
            tries += 1
            self.run(queue, taps)
            if tries % 40 == 0:
                r.shuffle(queue)
        for label in (queue + taps)[:]:
            self.alone(label)
        self.connect()
        self.distract()
        if self.worn:
            self.wear()

    def finish(self, condition):
        """The picture, and the truth, after stretch, skew and scan."""
        r = self.rng
        sx = sy = 1.0
        if condition == "worn" and not self.own_stretch:
            sx, sy = (1 + r.uniform(0.02, 0.04), 1.0) if r.random() < 0.5 else (1.0, 1 + r.uniform(0.02, 0.04))
        size = (int(round(self.w * sx)), int(round(self.h * sy)))
        picture = cv2.resize(self.canvas, size, interpolation=cv2.INTER_AREA)
        # canvas pixels, edges counted, to those of the picture
        M = np.array([[size[0] / (self.w * SS), 0, 0], [0, size[1] / (self.h * SS), 0], [0, 0, 1.0]])
        if condition != "clean":
            angle = r.uniform(-1, 1) * (0.8 if condition == "scanned" else 0.4)
            T = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), angle, 1.0)
            T[:, 2] += r.uniform(-4, 4, 2)
            # warpAffine counts pixel centres: shift by a half there and back
            H = np.eye(3)
            H[:2] = T
            half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
            picture = cv2.warpAffine(picture, (np.linalg.inv(half) @ H @ half)[:2], size, flags=cv2.INTER_CUBIC,
                                     borderMode=cv2.BORDER_CONSTANT, borderValue=255)
            M = H @ M
            picture = scan(picture, r, condition == "scanned")
        truth = []
        for s in self.placed:
            # the corners of each of the hull's pixels
            p = np.concatenate([s["hull"] + s["at"] + d for d in ((0, 0), (1, 0), (0, 1), (1, 1))])
            p = p @ M[:2, :2].T + M[:2, 2]
            (x1, y1), (x2, y2) = p.min(0), p.max(0)
            box = [round(float(v), 1) for v in (x1, y1, x2, y2)]
            truth.append(dict(label=s["label"], box=box, scale=round(s["scale"], 3), rotation=s["rotation"],
                              mirrored=s["mirrored"], crossed=s["crossed"]))
        return picture, truth


def scan(picture, r, strong):
    """As a scanner sees it: blur, grey ink on grey paper, uneven light, noise and specks."""
    f = cv2.GaussianBlur(picture, (0, 0), r.uniform(0.7, 1.1) if strong else r.uniform(0.4, 0.7)).astype(np.float32) / 255
    h, w = f.shape
    ink = r.uniform(20, 80) if strong else r.uniform(10, 50)
    paper = r.uniform(222, 246) if strong else r.uniform(236, 252)
    light = cv2.resize(r.uniform(-1, 1, (3, 4)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    f = ink + (paper - ink) * f + light * (9 if strong else 4)
    noise = cv2.GaussianBlur(r.standard_normal((h, w), np.float32), (0, 0), 0.6)
    f += noise * (r.uniform(9, 20) if strong else r.uniform(4, 9))
    for _ in range(int(r.integers(100, 400)) if strong else 60):
        at, size = (int(r.integers(w)), int(r.integers(h))), int(r.integers(0, 2))
        cv2.circle(f, at, size, float(r.uniform(40, 160)), -1, cv2.LINE_AA)
    return np.clip(np.round(f), 0, 255).astype(np.uint8)


def write_templates(symbols, out, rng, width):
    for label, (group, strokes, _) in sorted(symbols.items()):
        tile, _, hull = tile_of(strokes, np.eye(2) * 4, rng.uniform(*width) * 4)
        (x1, y1), (x2, y2) = hull.min(0).astype(int), hull.max(0).astype(int) + 1
        margin = int(rng.integers(4, 9)) * 4
        full = np.full((-(-(y2 - y1) // 4) * 4 + 2 * margin, -(-(x2 - x1) // 4) * 4 + 2 * margin), 255, np.uint8)
        full[margin:margin + y2 - y1, margin:margin + x2 - x1] = tile[y1:y2, x1:x2]
        place = os.path.join(out, "templates", group)
        os.makedirs(place, exist_ok=True)
        small = cv2.resize(full, (full.shape[1] // 4, full.shape[0] // 4), interpolation=cv2.INTER_AREA)
        cv2.imwrite(os.path.join(place, label + ".png"), small)


def preview(out, file):
    """All templates on one picture."""
    files = sorted(os.path.join(p, f) for p, _, names in os.walk(os.path.join(out, "templates")) for f in names)
    page = np.full((-(-len(files) // 8) * 160, 8 * 160), 255, np.uint8)
    for k, f in enumerate(files):
        t = cv2.imread(f, 0)[:130, :160]
        y, x = k // 8 * 160, k % 8 * 160
        page[y:y + t.shape[0], x:x + t.shape[1]] = t
        label = os.path.splitext(os.path.basename(f))[0][:24]
        cv2.putText(page, label, (x + 2, y + 150), cv2.FONT_HERSHEY_SIMPLEX, 0.36, 90, 1, cv2.LINE_AA)
    cv2.imwrite(file, page)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--symbols", metavar="FOLDER", help="read symbols from these files instead of drawing own ones")
    parser.add_argument("--sheets", type=int, default=4, help="of each condition")
    parser.add_argument("--width", type=int, nargs=2, default=(2400, 3300), help="of sheets, in pixels, least and most")
    parser.add_argument("--line-width", type=float, nargs=2, default=(2.0, 3.0), help="of templates and sheets")
    parser.add_argument("--count", type=int, nargs=2, default=(35, 60), help="of symbols on a sheet")
    parser.add_argument("--preview", metavar="FILE", help="write a picture of all templates there")
    args = parser.parse_args()

    symbols = read_symbols(args.symbols) if args.symbols else own_symbols()
    if not symbols:
        parser.error("no symbols found")
    write_templates(symbols, args.out, np.random.default_rng([args.seed, 9]), args.line_width)
    if args.preview:
        preview(args.out, args.preview)
    truth = {}
    for c, condition in enumerate(("clean", "scanned", "worn")):
        os.makedirs(os.path.join(args.out, condition), exist_ok=True)
        for k in range(args.sheets):
            rng = np.random.default_rng([args.seed, c, k])
            sheet = Sheet(rng, symbols, args, condition == "worn")
            sheet.compose(int(rng.integers(args.count[0], args.count[1] + 1)))
            picture, found = sheet.finish(condition)
            jpeg = condition == "scanned" or (condition == "worn" and k % 2)
            name = f"{condition}/sheet_{k:02}.{'jpg' if jpeg else 'png'}"
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 86))] if jpeg else []
            cv2.imwrite(os.path.join(args.out, name), picture, quality)
            truth[name] = found
            print(f"{name}: {picture.shape[1]}x{picture.shape[0]}, {len(found)} symbols", flush=True)
    with open(os.path.join(args.out, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1)
    print(f"{len(symbols)} templates, {sum(map(len, truth.values()))} symbols on {len(truth)} sheets")


if __name__ == "__main__":
    main()
