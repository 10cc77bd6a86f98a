#!/usr/bin/env python3
"""Make sets of pictures with known text, to measure `ocellus ocr` with.

    make_ocr_set.py OUT --fonts DIR .. [--seed N] [--count 9] [--photos DIR ..] [--sheets]
    make_ocr_set.py OUT --fonts DIR .. --codes [--seed N] [--count 120] [--sheets]

The first writes --count pictures of each of fifteen kinds, OUT/<kind>_<n>.png or .jpg, and
    OUT/truth.json   {"seed", "images": [{"file", "kind", "lines": [{"text", "quad"}]}]}
lines in reading order, a quad's corners in the order of the text (top left of the first letter first).
The second makes hard codes to be read with a pattern: three fifths of the pictures are a single line cut
out ("line": true), the others small labels with other lines round the code.  Each image of truth.json then has also
    "text" (the code), "pattern" (a regular expression that it matches as a whole), "check" ("ean13", "luhn", null).

All is a function of --seed, the kind and the number: no picture depends on which others are made.

Needs numpy 1.26.4, opencv-python-headless 4.11.0.86, pillow 13.0.0.  Fonts are looked for by file name in
the folders of --fonts (nothing is downloaded); they lie in the Debian packages (`apt download`, `dpkg -x`):
    fonts-dejavu-core, fonts-dejavu-extra (Bitstream Vera licence), fonts-liberation (OFL-1.1),
    fonts-roboto-unhinted (Apache-2.0), fonts-open-sans (Apache-2.0), fonts-lato (OFL-1.1), fonts-inconsolata (OFL-1.1),
    fonts-dseg (OFL-1.1), fonts-dotgothic16 (OFL-1.1), fonts-wqy-microhei (Apache-2.0 or GPL-3 with font exception),
    fonts-wqy-zenhei (GPL-2 with font exception), fonts-ocr-b (public domain)
Photographs for the pictures without text are optional: coffee.png, gravel.png, brick.png, coins.png (scikit-image's data),
flower.jpg, china.jpg (scikit-learn's images).
"""
import argparse, json, math, os, zlib
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

cv2.setNumThreads(1)

SANS = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf", "Roboto-Regular.ttf",
        "Roboto-Medium.ttf", "Roboto-Bold.ttf", "OpenSans-Regular.ttf", "OpenSans-Semibold.ttf", "Lato-Regular.ttf", "Lato-Bold.ttf",
        "RobotoCondensed-Regular.ttf", "LiberationSansNarrow-Bold.ttf", "LiberationSerif-Regular.ttf", "DejaVuSerif.ttf",
        "DejaVuSansCondensed.ttf"]
MONO = ["DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf", "Inconsolata.otf", "OCRB.otf"]
WIDE = ["DejaVuSans.ttf", "DejaVuSerif.ttf", "Roboto-Regular.ttf", "Roboto-Medium.ttf", "OpenSans-Regular.ttf", "OpenSans-Semibold.ttf"]
HAN = ["wqy-microhei.ttc", "wqy-zenhei.ttc"]
SEGMENTS = ["DSEG7Classic-Regular.ttf", "DSEG7Classic-Bold.ttf", "DSEG7Classic-Italic.ttf", "DSEG7Modern-Regular.ttf",
            "DSEG7Modern-Bold.ttf", "DSEG7ClassicMini-Bold.ttf", "DSEG7ModernMini-Italic.ttf"]

# ---------------------------------------------------------------- what is written
ENGLISH = """pressure valve bearing housing gasket filter sensor relay torque sealed storage handle carefully before opening
check the oil level every week replace cartridge after hours of use maximum load supply voltage indoor only dispose
properly recycle packaging warranty void if seal is broken store below keep away from direct sunlight and moisture rinse
with clean water do not exceed stated dose apply evenly wait ten minutes then wipe dry fragile glass this side up
inspected assembled by operator line three shift night quality passed sample retained""".split()
LATIN = {
    "german": """Prüfgerät Öffnung schließen Größe Wärmedämmung Übergröße Straße für Kühlwasser nächste Überprüfung Gehäuse
        ölfrei Schlüssel über Türöffner weiß Maßstab können gemäß Lüftung Rückseite Befüllung täglich außen Ausführung""".split(),
    "french": """Contrôle qualité réservé à l'opérateur après déballage pièce détachée fermé étanchéité sécurité élevée dès août
        préparé façade reçu côté hauteur réglée très fragile débit maîtrisé forêt goûter être conservé régulièrement où""".split(),
    "polish": """Łożysko część żółty przewód ciśnienie źródło zasilania następny przegląd święto wyłącznik główny późno śruba
        dźwignia łączyć napięcie gęstość ćwiczenie powyżej zużyć książka mąka sól ziół świeży należy przechowywać""".split(),
    "vietnamese": """Sản phẩm được kiểm tra chất lượng bảo quản nơi khô ráo thoáng mát hạn sử dụng ngày sản xuất nhiệt độ
        áp suất nguồn điện cảnh báo nguy hiểm không mở nắp khi đang chạy Việt Nam đường sữa nước trà cà phê người dùng""".split(),
}
CHINESE = """产品合格证 生产日期 保质期十二个月 请置于阴凉干燥处 小心轻放 防潮 防晒 额定电压 检验员 型号规格 净含量 执行标准 有限公司 上海市浦东新区 广州 北京
    电源开关 高压危险 请勿触摸 禁止吸烟 安全出口 操作说明 质量检测 批号 配料表 白砂糖 食用盐 植物油 客服热线 使用前请仔细阅读说明书 开启后请冷藏
    设备编号 维修记录 温度过高 压力正常 自动控制 手动模式 轴承 齿轮 电动机 中华人民共和国 机械制造 科技发展 物流中心 仓库管理 数量 重量 绿色食品""".split()
GOODS = """MILK BREAD BUTTER EGGS COFFEE APPLES CHEESE TOMATO WATER JUICE RICE PASTA YOGURT SUGAR TEA SALMON ONIONS BANANA
    FLOUR SOAP PEPPER HONEY""".split()
FIRMS = """ACME Tools|Nordwind GmbH|Kessler & Sons|Blue River Foods|Orion Electric|Helvetia Pumps|Pacific Seal Co.|Delta Bearings|
    Summit Medical|Alpine Optics|Redstone Supply|Marine Filters Ltd""".replace("\n    ", "").split("|")
LETTERS, DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"


def some(rng, letters, n):
    return "".join(letters[int(k)] for k in rng.integers(0, len(letters), n))


def words(rng, source, n):
    return " ".join(source[int(k)] for k in rng.integers(0, len(source), n))


def sentence(rng, low, high):
    return words(rng, ENGLISH, int(rng.integers(low, high + 1))).capitalize()


def date(rng):
    y, m, d = int(rng.integers(2024, 2031)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    return [f"{y}-{m:02}-{d:02}", f"{d:02}.{m:02}.{y}", f"{d:02}/{m:02}/{y}", f"{m:02}/{y}"][int(rng.integers(4))]


def field(rng):
    return [lambda: f"Part No: {some(rng, DIGITS, 4)}-{some(rng, DIGITS, 3)}", lambda: f"Lot: {some(rng, LETTERS, 2)}{some(rng, DIGITS, 5)}",
            lambda: f"Qty: {int(rng.integers(2, 500))} pcs", lambda: f"MFG {date(rng)}", lambda: f"EXP {date(rng)}",
            lambda: f"Net weight {rng.uniform(.2, 40):.1f} kg", lambda: f"S/N {some(rng, DIGITS, 8)}",
            lambda: f"Input {int(rng.integers(100, 241))} V, {int(rng.integers(1, 16))} A", lambda: f"Order {some(rng, DIGITS, 6)}",
            lambda: f"Model {some(rng, LETTERS, 2)}-{int(rng.integers(100, 990))}",
            lambda: "Made in " + words(rng, ["Germany", "Japan", "Italy", "Poland", "Korea"], 1),
            lambda: sentence(rng, 2, 4), lambda: f"Tel. +49 {some(rng, '123456789', 3)} {some(rng, DIGITS, 6)}",
            lambda: f"IP{int(rng.integers(54, 69))}  max. {int(rng.integers(40, 125))} bar".replace("  ", " "),
            ][int(rng.integers(14))]()


def dot_code(rng):
    return [lambda: f"LOT {some(rng, LETTERS, 1)}{some(rng, DIGITS, 5)}", lambda: f"EXP {date(rng)}",
            lambda: f"L{some(rng, DIGITS, 4)} {int(rng.integers(0, 24)):02}:{int(rng.integers(0, 60)):02}",
            lambda: f"BEST BEFORE {date(rng)}", lambda: f"PROD {date(rng)}", lambda: f"{some(rng, LETTERS, 2)}{some(rng, DIGITS, 6)}",
            lambda: f"BATCH {some(rng, DIGITS, 6)}", lambda: date(rng), lambda: f"MHD {date(rng)}"][int(rng.integers(9))]()


def ean13(rng):
    d = some(rng, "123456789", 1) + some(rng, DIGITS, 11)
    return d + str(-sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(d)) % 10)


def luhn(rng, n):
    d = some(rng, "123456789", 1) + some(rng, DIGITS, n - 2)
    total = sum((int(c) * 2 - 9 if int(c) > 4 else int(c) * 2) if i % 2 == 0 else int(c) for i, c in enumerate(reversed(d)))
    return d + str(-total % 10)


# ---------------------------------------------------------------- surfaces, RGB float 0..1
def soft(rng, h, w, sigma):
    """Blurred white noise with unit standard deviation."""
    k = max(1, int(sigma / 3))
    x = cv2.GaussianBlur(rng.standard_normal((h // k + 2, w // k + 2)).astype(np.float32), (0, 0), sigma / k)
    x = cv2.resize(x, (w, h), interpolation=cv2.INTER_CUBIC) if k > 1 else x[:h, :w]
    return x / (x.std() + 1e-9)


def paper(rng, h, w, tone=None):
    tone = rng.uniform(.82, .95) if tone is None else tone
    g = tone + .008 * soft(rng, h, w, 1.2) + .012 * soft(rng, h, w, 20)
    return np.clip(g[:, :, None] * np.array([1, rng.uniform(.97, 1), rng.uniform(.9, .99)], np.float32), 0, 1)


def cardboard(rng, h, w):
    fibre = cv2.GaussianBlur(rng.standard_normal((h, w)).astype(np.float32), (0, 0), sigmaX=4, sigmaY=.6)
    flute = np.cos(np.arange(h) * 2 * np.pi / rng.uniform(12, 22))[:, None]
    g = 1 + .12 * fibre / (fibre.std() * 4) + .02 * soft(rng, h, w, 25) + .012 * flute
    return np.clip(g[:, :, None] * np.array([.72, .57, .40], np.float32) * rng.uniform(.85, 1.1), 0, 1)


def metal(rng, h, w):
    brush = cv2.GaussianBlur(rng.standard_normal((h, w)).astype(np.float32), (0, 0), sigmaX=14, sigmaY=.5)
    x = np.linspace(-1, 1, w, dtype=np.float32)[None, :]
    g = rng.uniform(.5, .7) + .03 * brush / brush.std() + .12 * np.exp(-((x - rng.uniform(-1, 1)) / .4) ** 2)
    return np.clip(g[:, :, None] * np.array([1, .99, .96], np.float32), 0, 1)


def plastic(rng, h, w):
    base = rng.uniform(.1, .9, 3) * .5 + rng.uniform(.1, .45)
    return np.clip((1 + .015 * soft(rng, h, w, 30) + .004 * soft(rng, h, w, 1))[:, :, None] * base, 0, 1).astype(np.float32)


SURFACES = [paper, cardboard, metal, plastic]


def surface(rng, h, w):
    return SURFACES[int(rng.integers(4))](rng, h, w).astype(np.float32)


def ink_for(rng, im, strong=True):
    """A colour that stands out of the picture's middle tone."""
    mid = float(np.median(im))
    c = rng.uniform(.02, .16, 3) if mid > .42 else rng.uniform(.82, .97, 3)
    if strong and rng.random() < .25 and mid > .55:
        c[int(rng.integers(3))] += .35
    return c.astype(np.float32)


# ---------------------------------------------------------------- writing on a page
FONTS = {}


def font(name, size):
    if (name, size) not in FONTS:
        if name not in FONTS and not os.path.isfile(name):
            raise SystemExit(f"font {name} not found in the folders of --fonts")
        FONTS[name, size] = ImageFont.truetype(FONTS.get(name, name), size)
    return FONTS[name, size]


def pick(rng, names):
    return str(names[int(rng.integers(len(names)))])


class Page:
    """A flat surface and the lines written on it."""

    def __init__(self, im):
        self.im, self.lines = im.astype(np.float32), []

    def stamp(self, mask, x, y, ink):
        """Blend `ink` in, as much as `mask` says; the page ends where it ends."""
        h, w = self.im.shape[:2]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + mask.shape[1], w), min(y + mask.shape[0], h)
        if x1 > x0 and y1 > y0:
            m = mask[y0 - y:y1 - y, x0 - x:x1 - x, None]
            self.im[y0:y1, x0:x1] = self.im[y0:y1, x0:x1] * (1 - m) + m * np.asarray(ink, np.float32)

    def note(self, text, x0, y0, x1, y1):
        self.lines.append((text, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)))

    def put(self, text, f, x, y, ink, noted=True, slashed=False):
        """Write a line, its ink's top left at (x, y), drawn at four times the size (no hinting); gives its width and height."""
        k = 4
        big = font(f.path, f.size * k)
        b = big.getbbox(text)
        w, h = int(math.ceil((b[2] - b[0]) / k)), int(math.ceil((b[3] - b[1]) / k))
        im = Image.new("L", ((w + 8) * k, (h + 8) * k))
        draw, x0, y0 = ImageDraw.Draw(im), 4 * k - b[0], 4 * k - b[1]
        draw.text((x0, y0), text, font=big, fill=255)
        for i in (i for i, c in enumerate(text) if slashed and c == "0"):
            z, at = big.getbbox("0"), x0 + big.getlength(text[:i])
            draw.line([at + z[0] + k, y0 + z[3] - 2 * k, at + z[2] - k, y0 + z[1] + 2 * k], fill=255, width=big.size // 12)
        self.stamp(cv2.resize(np.asarray(im, np.float32) / 255, (w + 8, h + 8), interpolation=cv2.INTER_AREA), x - 4, y - 4, ink)
        if noted:
            self.note(text, x - 1, y - 1, x + w + 1, y + h + 1)
        return w, h

    def dots(self, text, rng, x, y, pitch, ink, missing=.01, slashed=False, rows="5x7", gap=1):
        """Write a line as an ink-jet printer does: round dots on a grid, a little out of place."""
        grid = dot_grid(text, slashed, rows, gap)
        n, m = grid.shape
        k = 4                                            # drawn at four times the size
        h, w = int((n + 1.5) * pitch), int((m + 1.5) * pitch)
        im = np.zeros((h * k, w * k), np.float32)
        slant = rng.uniform(-.05, .12)
        r = rng.uniform(.42, .66) * pitch
        for i, j in zip(*np.nonzero(grid)):
            if rng.random() < missing:
                continue
            cx = (j + 1 + slant * (n - i) / 2) * pitch + rng.normal(0, .05) * pitch
            cy = (i + 1) * pitch + rng.normal(0, .05) * pitch
            cv2.circle(im, (int(cx * k), int(cy * k)), max(1, int(r * rng.uniform(.85, 1.12) * k)), 1.0, -1)
        im = cv2.resize(im, (w, h), interpolation=cv2.INTER_AREA)
        im = cv2.GaussianBlur(im, (0, 0), .4) * rng.uniform(.82, .97)
        self.stamp(im, x, y, ink)
        self.note(text, x, y, x + w, y + h)
        return w, h


DOTS = {  # columns of 5 x 7 dots, lowest bit on top
    " ": "0000000000", "-": "0808080808", ".": "0060600000", "/": "2010080402", ":": "0036360000", "0": "3E4141413E", "1": "00427F4000",
    "2": "4261514946", "3": "2141454B31", "4": "1814127F10", "5": "2745454539", "6": "3C4A494930", "7": "0171090503", "8": "3649494936",
    "9": "064949291E", "A": "7E1111117E", "B": "7F49494936", "C": "3E41414122", "D": "7F4141221C", "E": "7F49494941", "F": "7F09090901",
    "G": "3E4149497A", "H": "7F0808087F", "I": "00417F4100", "J": "2040413F01", "K": "7F08142241", "L": "7F40404040", "M": "7F020C027F",
    "N": "7F0408107F", "O": "3E4141413E", "P": "7F09090906", "Q": "3E4151215E", "R": "7F09192946", "S": "4649494931", "T": "01017F0101",
    "U": "3F4040403F", "V": "1F2040201F", "W": "3F4038403F", "X": "6314081463", "Y": "0708700807", "Z": "6151494543", "0/": "3E5149453E",
}


def dot_grid(text, slashed, rows, gap=1):
    if rows == "16":                                     # a bitmap font, 16 dots high
        f = font("DotGothic16-Regular.ttf", 16)
        b = f.getbbox(text)
        im = Image.new("1", (int(b[2]) + 1, 20))
        ImageDraw.Draw(im).text((0, 0), text, font=f, fill=1)
        g = np.asarray(im)
        ys, xs = np.nonzero(g)
        return g[ys.min():ys.max() + 1, xs.min():xs.max() + 1]
    columns = []
    for c in text:
        for v in bytes.fromhex(DOTS["0/" if c == "0" and slashed else c]):
            columns.append([v >> i & 1 for i in range(7)])
        columns += [[0] * 7] * gap
    return np.array(columns[:-gap]).T


def lay(back, page, m, rng, shadow=True):
    """Put a page on a background under the homography m; gives a Page as large as the background."""
    h, w = back.shape[:2]
    ones = np.ones(page.im.shape[:2], np.float32)
    im = cv2.warpPerspective(page.im, m, (w, h), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    a = cv2.warpPerspective(ones, m, (w, h), flags=cv2.INTER_LINEAR)
    if shadow:
        back = back * (1 - .35 * cv2.GaussianBlur(np.roll(a, (5, 4), (0, 1)), (0, 0), 5)[:, :, None])
    out = Page(back * (1 - a[:, :, None]) + im * a[:, :, None])
    out.lines = [(t, cv2.perspectiveTransform(q[None], m.astype(np.float64))[0]) for t, q in page.lines]
    return out


def placed(rng, page, deg, back=None, margin=.08, squeeze=0.0):
    """The page on a surface large enough for it, turned by `deg`, its corners pushed by up to `squeeze` of its size."""
    h, w = page.im.shape[:2]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    t = math.radians(deg)
    c = (corners - [w / 2, h / 2]) @ np.array([[math.cos(t), math.sin(t)], [-math.sin(t), math.cos(t)]])
    if squeeze:
        c = c + rng.uniform(-squeeze, squeeze, (4, 2)) * [w, h]
    c -= c.min(0)
    gap = margin * np.array([w, h]) * rng.uniform(.5, 1.5, 2) + 6
    size = np.ceil(c.max(0) + 2 * gap).astype(int)
    m = cv2.getPerspectiveTransform(corners, (c + gap).astype(np.float32))
    return lay(surface(rng, size[1], size[0]) if back is None else back(rng, size[1], size[0]), page, m, rng)


# ---------------------------------------------------------------- pages
def label_page(rng, size=None, contrast=None, digits=.8):
    """A printed label: a firm, fields, perhaps a bar code with its digits."""
    size = int(rng.integers(20, 31)) if size is None else size
    rows = int(rng.integers(3, 6))
    w, h = int(size * rng.uniform(17, 22)), int(size * (2.9 + 1.75 * rows + 3.6))
    page = Page(paper(rng, h, w) if rng.random() < .8 else plastic(rng, h, w))
    ink = ink_for(rng, page.im)
    if contrast is not None:
        mid = np.median(page.im, (0, 1))
        ink = mid + (contrast if mid.mean() < .5 else -contrast)
    name = pick(rng, SANS)
    x, y = int(size * .9), int(size * .8)
    _, lh = page.put(pick(rng, FIRMS), font(pick(rng, SANS), int(size * 1.35)), x, y, ink)
    y += lh + int(size * .6)
    if rng.random() < .5:
        page.im[y - int(size * .25):y - int(size * .25) + 2, x:w - x] = ink
    f = font(name, size)
    for _ in range(rows):
        text = field(rng)
        while f.getlength(text) > w - 2 * x:
            text = field(rng)
        page.put(text, f, x, y + int(f.getbbox(text)[1] - f.getbbox("H")[1]), ink)
        y += int(size * 1.75)
    if rng.random() < .6:                                # a bar code with its digits
        bx, bh = x, int(size * 1.7)
        while bx < x + size * 9:
            bw = int(rng.choice([2, 2, 4, 6]))
            page.im[y:y + bh, bx:bx + bw] = ink
            bx += bw + int(rng.choice([2, 4, 6]))
        page.put(ean13(rng), font(pick(rng, MONO), max(14, int(size * digits))), x, y + bh + int(size * .3), ink)
        y += bh + int(size * (digits + .6))
    page.im = page.im[:min(h, y + int(size * .7))]
    if rng.random() < .4:
        page.im[:3], page.im[-3:], page.im[:, :3], page.im[:, -3:] = ink, ink, ink, ink
    return page


def text_page(rng, texts, names, size, gap=1.9, slashed=False):
    """Lines of given text one below the other on paper."""
    f, x = font(pick(rng, names), size), size
    w = int(max(f.getlength(t) for t in texts) + 2 * x + rng.uniform(0, 2) * size)
    h = int(size * (gap * len(texts) + 1.2))
    page = Page((paper if rng.random() < .7 else surface)(rng, h, w))
    ink = ink_for(rng, page.im)
    y = int(size * .9)
    for t in texts:
        page.put(t, f, x, y + int(f.getbbox(t)[1] - f.getbbox("H")[1]), ink, slashed=slashed)
        y += int(size * gap)
    return page


def dots_page(rng, texts, pitch, slashed, missing=.01, contrast=None):
    """Lines in dot print on an otherwise bare surface."""
    rows, gap = "16" if rng.random() < .2 else "5x7", int(rng.integers(1, 3))
    p = pitch * (.62 if rows == "16" else 1)
    high = 16 if rows == "16" else 7
    grids = [dot_grid(t, slashed, rows, gap).shape[1] for t in texts]
    w, h = int((max(grids) + 12) * p), int(p * ((high + 6) * len(texts) + 8))
    page = Page(surface(rng, h, w))
    ink = ink_for(rng, page.im, strong=False)
    if contrast is not None:
        mid = np.median(page.im, (0, 1))
        ink = mid + (contrast if mid.mean() < .45 else -contrast)
    y, x = int(5 * p), int(rng.uniform(3, 6) * p)
    for t in texts:
        page.dots(t, rng, x, y, p, ink, missing, slashed, rows, gap)
        y += int((high + 6) * p)
    return page


def display_page(rng):
    """A seven-segment display, LED or LCD, often with a small caption."""
    size, name = int(rng.integers(44, 96)), pick(rng, SEGMENTS)
    f = font(name, size)
    texts = [[lambda: f"{int(rng.integers(0, 24)):02}:{int(rng.integers(0, 60)):02}", lambda: f"{rng.uniform(0, 100):.1f}",
              lambda: f"{int(rng.integers(0, 100000)):05}", lambda: f"-{rng.uniform(1, 40):.1f}", lambda: f"{rng.uniform(0, 10):.3f}",
              lambda: f"{int(rng.integers(100, 10000))}"][int(rng.integers(6))]() for _ in range(int(rng.integers(1, 3)))]
    w, h = int(max(f.getlength(t) for t in texts) + size * rng.uniform(1.2, 2.2)), int(size * (1.9 * len(texts) + .7))
    lcd = rng.random() < .4
    if lcd:
        page = Page(np.ones((h, w, 3), np.float32) * np.array([.62, .68, .55]) * rng.uniform(.9, 1.15) + .006 * soft(rng, h, w, 3)[:, :, None])
        ink = np.array([.1, .12, .1])
    else:
        page = Page(np.ones((h, w, 3), np.float32) * rng.uniform(.02, .08))
        ink = np.array([[1, .12, .08], [.15, 1, .35], [.3, .6, 1], [1, .65, .1], [.9, .95, 1]][int(rng.integers(5))])
    y = int(size * .7)
    captions = ["TEMP", "SPEED", "kg", "PRESSURE", "TIMER", "COUNT", "RPM", "SET", "FLOW"]
    for t in texts:
        if rng.random() < .5:                            # above the figures: earlier in reading order
            page.put(pick(rng, captions), font(pick(rng, SANS[:4]), max(15, size // 4)), int(size * .5), y - int(size * .45),
            ink if lcd else np.array([.85, .85, .85]))
        x = int(size * .5)
        if rng.random() < .5:                            # the unlit segments are seen a little
            ghost = page.im[0, 0] * .93 if lcd else page.im[0, 0] + ink * .06
            page.put("".join("8" if c.isdigit() else c for c in t), f, x, y, ghost, noted=False)
        if not lcd:                                      # the glow round a lit segment
            lit = Page(np.zeros_like(page.im))
            lit.put(t, f, x, y, ink)
            page.im = page.im + .35 * cv2.GaussianBlur(lit.im, (0, 0), size * .08)
        page.put(t, f, x, y, ink)
        y += int(size * 1.9)
    page.im = np.clip(page.im, 0, 1)
    return page


def receipt_page(rng):
    size = int(rng.integers(14, 21))
    name = pick(rng, MONO[:5])
    f, rows = font(name, size), int(rng.integers(3, 8))
    w = int(f.getlength("0") * rng.integers(30, 36))
    h = int(size * 1.5 * (rows + 10))
    page = Page(paper(rng, h, w, rng.uniform(.86, .95)))
    y0 = rng.uniform(.1, .9) * h
    page.im *= (1 - .06 * np.exp(-((np.arange(h) - y0) / 12) ** 2))[:, None, None]   # a fold
    ink = np.full(3, rng.uniform(.08, .55)) + [0, 0, rng.uniform(0, .1)]
    x, y, step = int(size * .9), size, int(size * 1.5)

    def middle(t):
        nonlocal y
        page.put(t, f, int((w - f.getlength(t)) / 2), y + int(f.getbbox(t)[1] - f.getbbox("H")[1]), ink)
        y += step

    def pair(a, b):
        nonlocal y
        page.put(a, f, x, y + int(f.getbbox(a)[1] - f.getbbox("H")[1]), ink)
        page.put(b, f, int(w - x - f.getlength(b)), y + int(f.getbbox(b)[1] - f.getbbox("H")[1]), ink)
        y += step
    middle(words(rng, ["CITY MARKET", "GREEN GROCER", "CORNER SHOP", "SUPER STORE", "HARBOUR CAFE"], 1))
    middle(f"{int(rng.integers(1, 99))} {pick(rng, ['Main Street', 'Station Road', 'Mill Lane', 'King Street'])}")
    middle(f"{date(rng)} {int(rng.integers(8, 22)):02}:{int(rng.integers(0, 60)):02}")
    y += step // 2
    total = 0
    for _ in range(rows):
        p = int(rng.integers(49, 2999))
        total += p
        pair(words(rng, GOODS, int(rng.integers(1, 3))), f"{p / 100:.2f}")
    y += step // 2
    pair("TOTAL", f"{total / 100:.2f}")
    pair(pick(rng, ["CASH", "CARD", "VISA"]), f"{total / 100:.2f}")
    y += step // 2
    middle(pick(rng, ["THANK YOU", "Thank you for shopping", "HAVE A NICE DAY"]))
    page.im = page.im[:y + size]
    return page


def chinese_texts(rng, n):
    out = []
    for _ in range(n):
        t = pick(rng, CHINESE)
        k = rng.random()
        if k < .3:
            t += "：" + [some(rng, DIGITS, 6), f"{int(rng.integers(2024, 2030))}年{int(rng.integers(1, 13))}月{int(rng.integers(1, 29))}日",
            f"{int(rng.integers(2, 900))}克"][int(rng.integers(3))]
        elif k < .5:
            t += pick(rng, CHINESE)
        out.append(t)
    return out


# ---------------------------------------------------------------- the camera
def exposed(page, rng, noise=None, blur=None, light=True):
    """Uneven light, a lens, a sensor."""
    im = page.im
    h, w = im.shape[:2]
    if light:
        y, x = np.mgrid[-1:1:h * 1j, -1:1:w * 1j].astype(np.float32)
        t = rng.uniform(0, 2 * np.pi)
        im = im * (1 + rng.uniform(0, .16) * (math.cos(t) * x + math.sin(t) * y) - rng.uniform(0, .1) * (x * x + y * y) / 2)[:, :,
                None] * rng.uniform(.86, 1.02)
    im = cv2.GaussianBlur(im, (0, 0), rng.uniform(.35, .75) if blur is None else blur)
    im = im + rng.normal(0, rng.uniform(.004, .016) if noise is None else noise, im.shape)
    page.im = np.clip(im, 0, 1)
    return page


def glare(page, rng, peak):
    """One or two bright spots or streaks; what lies below keeps a rest of its contrast."""
    h, w = page.im.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    for _ in range(int(rng.integers(1, 3))):
        cx, cy, t = rng.uniform(.2, .8) * w, rng.uniform(.2, .8) * h, rng.uniform(0, np.pi)
        a, b = rng.uniform(.16, .5) * w, rng.uniform(.08, .2) * h
        u, v = (x - cx) * math.cos(t) + (y - cy) * math.sin(t), -(x - cx) * math.sin(t) + (y - cy) * math.cos(t)
        g = (peak * np.exp(-((u / a) ** 2 + (v / b) ** 2)))[:, :, None]
        page.im = page.im * (1 - g) + g
    return page


def motion(im, length, deg):
    n = int(length) | 1
    k = np.zeros((n, n), np.float32)
    d = np.array([math.cos(math.radians(deg)), math.sin(math.radians(deg))]) * n / 2
    cv2.line(k, tuple(int(round(v)) for v in n / 2 - .5 - d), tuple(int(round(v)) for v in n / 2 - .5 + d), 1.0, 1)
    return cv2.filter2D(im, -1, k / k.sum(), borderType=cv2.BORDER_REPLICATE)


# ---------------------------------------------------------------- the kinds
def k_label(rng, i):
    return exposed(placed(rng, label_page(rng), rng.uniform(-1.2, 1.2)), rng)


def k_dots(rng, i):
    texts = [dot_code(rng) for _ in range(int(rng.integers(1, 4)))]
    return exposed(dots_page(rng, texts, rng.uniform(2.6, 5.6), slashed=i % 3 == 0), rng)


def k_display(rng, i):
    return exposed(placed(rng, display_page(rng), rng.uniform(-1.5, 1.5), back=plastic, margin=.15), rng)


def k_small(rng, i):
    size = int(rng.integers(9, 13))
    texts = [sentence(rng, 5, 9) for _ in range(int(rng.integers(5, 9)))]
    return exposed(text_page(rng, texts, SANS, size, gap=1.8), rng, blur=rng.uniform(.3, .5), noise=rng.uniform(.003, .009))


def k_rotated(rng, i):
    page = label_page(rng) if i % 2 else text_page(rng, [sentence(rng, 2, 4) for _ in range(int(rng.integers(2, 5)))], SANS,
            int(rng.integers(22, 34)))
    deg = rng.uniform(-3, 3) + 180 if i % 3 == 2 else rng.uniform(3, 14) * rng.choice([-1, 1])
    return exposed(placed(rng, page, deg), rng)


def k_perspective(rng, i):
    return exposed(placed(rng, label_page(rng, size=int(rng.integers(20, 32))), rng.uniform(-4, 4), squeeze=.16), rng)


def k_blur(rng, i):
    size = int(rng.integers(22, 32))
    page = placed(rng, label_page(rng, size=size, digits=1), rng.uniform(-1, 1))
    if i % 2:
        page.im = motion(page.im, size * rng.uniform(.16, .30), rng.uniform(0, 180))
        return exposed(page, rng, noise=rng.uniform(.004, .01))
    return exposed(page, rng, noise=rng.uniform(.003, .008), blur=size * rng.uniform(.07, .125))


def k_glare(rng, i):
    return exposed(glare(placed(rng, label_page(rng), rng.uniform(-2, 2)), rng, rng.uniform(.8, .96)), rng, noise=rng.uniform(.003, .008),
            light=False)


def k_low_contrast(rng, i):
    return exposed(placed(rng, label_page(rng, contrast=rng.uniform(.075, .15), digits=1), rng.uniform(-1, 1)), rng, noise=rng.uniform(.005, .013))


def k_receipt(rng, i):
    return exposed(placed(rng, receipt_page(rng), rng.uniform(-1.5, 1.5), squeeze=.012), rng)


def k_chinese(rng, i):
    page = text_page(rng, chinese_texts(rng, int(rng.integers(3, 6))), HAN, int(rng.integers(15, 36)))
    return exposed(placed(rng, page, rng.uniform(-2, 2)), rng)


def k_latin(rng, i):
    source = LATIN[sorted(LATIN)[i % 4]]
    page = text_page(rng, [words(rng, source, int(rng.integers(2, 6))) for _ in range(int(rng.integers(4, 7)))], WIDE, int(rng.integers(20, 34)))
    return exposed(placed(rng, page, rng.uniform(-1.5, 1.5)), rng)


def k_vertical(rng, i):
    texts = [field(rng) if rng.random() < .6 else sentence(rng, 2, 4) for _ in range(int(rng.integers(1, 4)))]
    page = text_page(rng, texts, SANS, int(rng.integers(22, 34)), gap=2.2)
    return exposed(placed(rng, page, (90 if i % 2 else -90) + rng.uniform(-1.5, 1.5)), rng)


def k_strip(rng, i):
    size, mono = int(rng.integers(18, 40)), i % 3 == 0
    n = int(rng.integers(5, 16))
    text = " ".join(f"{some(rng, LETTERS, 2)}{some(rng, DIGITS, 4)}" for _ in range(n)) if mono else sentence(rng, n, n + 3)
    page = text_page(rng, [text], MONO if mono else SANS, size, gap=1.0)
    return exposed(page, rng)


def k_no_text(rng, i, photos=()):
    h, w = int(rng.integers(360, 620)), int(rng.integers(420, 820))
    names = ["coffee.png", "gravel.png", "flower.jpg", "brick.png", "coins.png", "china.jpg"]
    if i % 2 and photos and (path := find(names[i // 2 % 6], photos)):
        im = cv2.imread(path)[:, :, ::-1].astype(np.float32) / 255
        return exposed(Page(cv2.resize(im, (w, int(w * im.shape[0] / im.shape[1])), interpolation=cv2.INTER_AREA)), rng)
    page = Page(surface(rng, h, w))
    for _ in range(int(rng.integers(0, 9))):             # holes, bolts, bars, scratches
        c, p, q = tuple(float(v) for v in rng.uniform(.05, .9, 3)), rng.integers(0, [w, h]), rng.integers(0, [w, h])
        p, q = tuple(int(v) for v in p), tuple(int(v) for v in q)
        k = int(rng.integers(3))
        if k == 0:
            r = int(rng.integers(12, 90))
            cv2.circle(page.im, p, r, c, -1, cv2.LINE_AA)
            cv2.circle(page.im, p, r // 2, (.08, .08, .09), -1, cv2.LINE_AA)
        elif k == 1:
            cv2.rectangle(page.im, p, (p[0] + int(rng.integers(30, 220)), p[1] + int(rng.integers(20, 160))), c, -1)
        else:
            cv2.line(page.im, p, q, c, int(rng.integers(1, 14)), cv2.LINE_AA)
    return exposed(page, rng)


KINDS = {"label": k_label, "dots": k_dots, "display": k_display, "small": k_small, "rotated": k_rotated, "perspective": k_perspective,
         "blur": k_blur, "glare": k_glare, "low_contrast": k_low_contrast, "receipt": k_receipt, "chinese": k_chinese, "latin": k_latin,
         "vertical": k_vertical, "strip": k_strip, "no_text": k_no_text}


# ---------------------------------------------------------------- codes
YEAR, MONTH, DAY = "20[0-9]{2}", "(0[1-9]|1[0-2])", "(0[1-9]|[12][0-9]|3[01])"


def code(rng):
    """(text, pattern, check digit)"""
    y, m, d = int(rng.integers(2024, 2031)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    zero = lambda n: some(rng, "0001234567898", n)       # zeros more often than by chance
    return [lambda: (f"LOT-{zero(6)}", "LOT-[0-9]{6}", None),
            lambda: (f"{y}-{m:02}-{d:02}", f"{YEAR}-{MONTH}-{DAY}", None),
            lambda: (f"EXP {m:02}/{y % 100}", f"EXP {MONTH}/[0-9]{{2}}", None),
            lambda: (f"SN: {some(rng, LETTERS + 'OIQ', 2)}{zero(2)}-{zero(4)}", "SN: [A-Z]{2}[0-9]{2}-[0-9]{4}", None),
            lambda: (ean13(rng), "[0-9]{13}", "ean13"),
            lambda: (luhn(rng, 10), "[0-9]{10}", "luhn"),
            lambda: (f"L{zero(4)}{some(rng, LETTERS, 1)}", "L[0-9]{4}[A-Z]", None),
            lambda: (f"P/N {zero(3)}-{zero(4)}-{some(rng, LETTERS + 'O', 2)}", "P/N [0-9]{3}-[0-9]{4}-[A-Z]{2}", None),
            lambda: (f"BATCH {some(rng, LETTERS, 1)}{zero(5)}", "BATCH [A-Z][0-9]{5}", None),
            lambda: (f"{d:02}.{m:02}.{y} {int(rng.integers(0, 24)):02}:{int(rng.integers(0, 60)):02}",
            f"{DAY}\\.{MONTH}\\.{YEAR} ([01][0-9]|2[0-3]):[0-5][0-9]", None),
            ][int(rng.integers(10))]()


CODE_KINDS = ["blur", "dots", "slashed", "low_contrast", "mixed"]


def code_picture(rng, i):
    """A hard code; gives the page, its record."""
    kind, line = CODE_KINDS[i % 5], i // 5 % 5 < 3
    text, pattern, check = code(rng)
    size = int(rng.integers(15, 26))
    dotted = kind == "dots" or kind == "mixed" and rng.random() < .5
    slashed = kind in ("slashed", "mixed") or dotted and rng.random() < .5
    contrast = rng.uniform(*((.03, .065) if line else (.08, .13))) if kind == "low_contrast" else rng.uniform(.14, .28) if kind == "mixed" else None
    names, missing = MONO + SANS[:8], rng.uniform(.06, .14)
    pitch = rng.uniform(2.4, 3.6)
    if line:
        if dotted:
            page = dots_page(rng, [text], pitch, slashed, missing=missing, contrast=contrast)
        else:
            page = text_page(rng, [text], names, size, gap=1.0, slashed=slashed)
    else:
        texts = [pick(rng, FIRMS), text, sentence(rng, 2, 4)]
        if dotted:
            top = text_page(rng, texts[:1], SANS, size, gap=1.4)
            low = dots_page(rng, texts[1:2], pitch, slashed, missing=missing, contrast=contrast)
            w = max(top.im.shape[1], low.im.shape[1])
            wide = lambda p: cv2.copyMakeBorder(p.im, 0, 0, 0, w - p.im.shape[1], cv2.BORDER_REPLICATE)
            page = Page(np.vstack([wide(top), wide(low)]))
            page.lines = top.lines + [(t, q + [0, top.im.shape[0]]) for t, q in low.lines]
        else:
            page = text_page(rng, texts, names, size, slashed=slashed)
    if contrast is not None and not dotted:
        page.im = np.median(page.im, (0, 1)) + (page.im - np.median(page.im, (0, 1))) * min(1,
                contrast / max(.05, float(np.ptp(cv2.GaussianBlur(page.im, (0, 0), .5).mean(2)))))
    if not line:
        page = placed(rng, page, rng.uniform(-3, 3))
    cap = 7 * pitch if dotted else size * .72
    if kind == "blur":
        if rng.random() < .5:
            page.im = motion(page.im, cap * rng.uniform(.36, .62), rng.uniform(0, 180))
            page = exposed(page, rng, noise=rng.uniform(.006, .015))
        else:
            page = exposed(page, rng, noise=rng.uniform(.006, .015), blur=cap * rng.uniform(.17, .25))
    elif kind == "dots":
        page = exposed(page, rng, noise=rng.uniform(.01, .035), blur=rng.uniform(.4, .9))
    elif kind == "slashed":
        page = exposed(page, rng, noise=rng.uniform(.015, .05), blur=cap * rng.uniform(.09, .17))
    elif kind == "low_contrast":
        page = exposed(page, rng, noise=rng.uniform(.015, .03), blur=rng.uniform(.5, .9))
    else:
        page = exposed(page, rng, noise=rng.uniform(.01, .022), blur=cap * rng.uniform(.05, .1))
    return page, dict(kind=kind, text=text, pattern=pattern, check=check, line=line)


# ---------------------------------------------------------------- main
def find(name, folders):
    for folder in folders:
        for at, _, files in os.walk(folder):
            if name in files:
                return os.path.join(at, name)
    return None


def save(folder, stem, page, rng):
    im = (np.clip(page.im, 0, 1) * 255 + .5).astype(np.uint8)[:, :, ::-1]
    if rng.random() < .5:
        name = stem + ".jpg"
        cv2.imwrite(os.path.join(folder, name), im, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(62, 95))])
    else:
        name = stem + ".png"
        cv2.imwrite(os.path.join(folder, name), im)
    return name


def contact_sheet(folder, images, out, width=1500):
    """The pictures with their quads, in rows; what is too large is made smaller."""
    rows, row, x = [], [], 0
    for r in images:
        im = cv2.imread(os.path.join(folder, r["file"]))
        k = min(1.0, 490 / im.shape[1] if im.shape[1] < 5 * im.shape[0] else 1490 / im.shape[1], 420 / im.shape[0])
        for line in r["lines"]:
            q = np.array(line["quad"])
            cv2.polylines(im, [q.astype(int)], True, (255, 0, 255), 1)
            cv2.circle(im, tuple(int(v) for v in q[0]), 3, (0, 255, 255), -1)
        im = cv2.resize(im, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
        if x + im.shape[1] > width and row:
            rows.append(row)
            row, x = [], 0
        row.append(im)
        x += im.shape[1] + 6
    rows.append(row)
    tall = [max(im.shape[0] for im in r) + 6 for r in rows]
    sheet, y = np.full((sum(tall), width, 3), 90, np.uint8), 0
    for r, t in zip(rows, tall):
        x = 0
        for im in r:
            w = min(im.shape[1], width - x)
            sheet[y:y + im.shape[0], x:x + w] = im[:, :w]
            x += im.shape[1] + 6
        y += t
    cv2.imwrite(out, sheet)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("out")
    ap.add_argument("--fonts", nargs="+", required=True, metavar="DIR")
    ap.add_argument("--photos", nargs="*", default=[], metavar="DIR")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--count", type=int, help="pictures a kind (9), with --codes in all (120)")
    ap.add_argument("--codes", action="store_true")
    ap.add_argument("--sheets", action="store_true", help="contact sheets with the quads drawn in: sheet_<kind>.png")
    o = ap.parse_args()
    for folder in o.fonts:
        for at, _, files in os.walk(folder):
            FONTS.update({f: os.path.join(at, f) for f in files if f.endswith((".ttf", ".otf", ".ttc"))})
    os.makedirs(o.out, exist_ok=True)
    images = []

    def keep(stem, page, rng, **more):
        lines = [dict(text=t, quad=[[round(float(x), 1), round(float(y), 1)] for x, y in q]) for t, q in page.lines]
        images.append(dict(file=save(o.out, stem, page, rng), **more, lines=lines))

    stream = lambda what, i: np.random.default_rng([o.seed, zlib.crc32(what.encode()), i])
    if o.codes:
        for i in range(o.count or 120):
            rng = stream("codes", i)
            page, record = code_picture(rng, i)
            keep(f"{record['kind']}_{i:03}", page, rng, **record)
    else:
        for kind, make in KINDS.items():
            for i in range(o.count or 9):
                rng = stream(kind, i)
                keep(f"{kind}_{i:02}", make(rng, i, o.photos) if kind == "no_text" else make(rng, i), rng, kind=kind)
    with open(os.path.join(o.out, "truth.json"), "w") as f:
        json.dump(dict(seed=o.seed, images=images), f, indent=1, ensure_ascii=False)
    if o.sheets:
        for kind in dict.fromkeys(r["kind"] for r in images):
            contact_sheet(o.out, [r for r in images if r["kind"] == kind], os.path.join(o.out, f"sheet_{kind}.png"))
    print(f"{len(images)} pictures, {sum(len(r['lines']) for r in images)} lines in {o.out}")


if __name__ == "__main__":
    main()
