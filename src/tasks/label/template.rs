//! A template: the picture of a symbol or an object as points on its edges, in any size, turn and mirror image.

use super::edges::{self, Edges};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::{Gray, Image};
use crate::preprocess::filters::halve;

/// White or repeated pixels around a template, so that edges at its border have a neighbourhood.
const MARGIN: usize = 8;
/// Most points of a template that are compared one by one.
const FINE: usize = 360;
/// Points of the coarse search: four of a weight of 3 still fit a byte.
pub(super) const COARSE: usize = 64;
/// Share of middle tones from which a template is a photograph: those of a drawing are the rims of its lines.
const TEXTURED: f32 = 0.4;
/// How the response of a template's own edges fades, a pixel a step.
pub(super) const FADING: [u8; 3] = [20, 60, 90];
/// Share of a template's points that may have no counterpart in its own turned or mirrored picture, for the two to be
/// the same to the eye.
const ASYMMETRY: f32 = 0.015;

/// A point on an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Right of the template's centre, in pixels.
    pub x: f32,
    /// Below the template's centre, in pixels.
    pub y: f32,
    /// Direction of the gradient, in radians modulo pi.
    pub angle: f32,
}

/// A linear map of the plane: x' = a x + b y, y' = c x + d y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Linear {
    pub a: f32,
    pub b: f32,
    pub c: f32,
    pub d: f32,
}

impl Linear {
    /// Mirrored left to right if `mirrored`, then turned clockwise, then scaled.
    pub fn new(scale: f32, degrees: f32, mirrored: bool) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let m = if mirrored { -1.0 } else { 1.0 };
        Linear { a: scale * cos * m, b: -scale * sin, c: scale * sin * m, d: scale * cos }
    }

    pub fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (self.a * x + self.b * y, self.c * x + self.d * y)
    }

    pub fn determinant(&self) -> f32 {
        self.a * self.d - self.b * self.c
    }

    pub fn inverse(&self) -> Linear {
        let k = 1.0 / self.determinant();
        Linear { a: self.d * k, b: -self.b * k, c: -self.c * k, d: self.a * k }
    }

    /// This map, everything `by` times as large.
    pub fn scaled(&self, by: f32) -> Linear {
        Linear { a: self.a * by, b: self.b * by, c: self.c * by, d: self.d * by }
    }

    /// The direction of a gradient, modulo pi, after the map: gradients go with the inverse transpose.
    pub fn turn(&self, angle: f32) -> f32 {
        let (sin, cos) = angle.sin_cos();
        let (x, y) = (self.d * cos - self.c * sin, -self.b * cos + self.a * sin);
        y.atan2(x)
    }
}

/// An angle in radians as 256ths of half a turn.
pub(super) fn quantised(angle: f32) -> u8 {
    ((angle * (256.0 / std::f32::consts::PI)).round() as i32).rem_euclid(256) as u8
}

/// The picture of one symbol, ready to be looked for.
pub struct Template {
    /// Width and height of what is drawn, in pixels.
    pub size: (f32, f32),
    /// Points on its edges, the first [`COARSE`] spread over all of it.
    pub(super) points: Vec<Point>,
    /// Number of its edge pixels.
    pub(super) length: f32,
    /// How near each pixel of its own picture is to an edge of each direction.
    responses: Vec<Vec<u8>>,
    /// The pixels that lie between its edges both along their row and along their column.
    footprint: Vec<bool>,
    /// Its luma with the margin.
    gray: Gray,
    /// Its centre in the picture with the margin.
    centre: (f32, f32),
    contrast: f32,
    /// A photograph rather than a drawing: its tones are not just paper and ink.
    pub(super) textured: bool,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template({:?}, {} points)", self.size, self.points.len())
    }
}

impl Template {
    /// The template that `picture` shows. An error if nothing can be seen in it.
    pub fn new(picture: &Image) -> Result<Self> {
        let gray = picture.to_gray();
        let ink = ink_box(&gray).ok_or_else(|| Error::Input("the template is blank".into()))?;
        let contrast = super::contrast(picture);
        let padded = padded(&gray, MARGIN);
        let edges = Edges::new(&padded, contrast);
        let shift = MARGIN as f32;
        let centre = ((ink.x1 + ink.x2) / 2.0 + shift, (ink.y1 + ink.y2) / 2.0 + shift);
        let points = points(&edges, (gray.width, gray.height), MARGIN, centre, 1.0);
        if points.len() < 12 {
            return Err(Error::Input("the template has next to no lines or edges".into()));
        }
        let length = points.len() as f32;
        let points = spread_out(points, FINE);
        let responses = edges.responses(&FADING);
        let footprint = footprint(&edges);
        let size = (ink.width(), ink.height());
        Ok(Template {
            size,
            points,
            length,
            responses,
            footprint,
            gray: padded,
            centre,
            contrast,
            textured: is_textured(&gray),
        })
    }

    /// [`COARSE`] points on the edges that are left when the picture is halved so often, in pixels of the whole one: what is
    /// fine in a photograph's texture is gone then.
    pub(super) fn coarse(&self, halvings: u32) -> Vec<Point> {
        let mut small = None;
        for _ in 0..halvings {
            small = Some(halve(small.as_ref().unwrap_or(&self.gray)));
        }
        let Some(small) = small else { return self.points[..COARSE.min(self.points.len())].to_vec() };
        let unit = (1u32 << halvings) as f32;
        let edges = Edges::new(&small, self.contrast);
        let side = |n: usize| (n - 2 * MARGIN) >> halvings;
        let own = (side(self.gray.width), side(self.gray.height));
        let found = points(&edges, own, MARGIN >> halvings, self.centre, unit);
        // Too thin to be seen in so small a picture: the points of the whole one then.
        match found.len() < COARSE / 4 {
            true => self.points[..COARSE.min(self.points.len())].to_vec(),
            false => spread_out(found, COARSE),
        }
    }

    /// How well an edge of direction `angle` at (`x`, `y`) from the centre is explained, 0 to 255, and whether that is within the
    /// template's own area.
    pub(super) fn explains(&self, x: f32, y: f32, angle: u8) -> (u8, bool) {
        match self.place(x, y) {
            Some(i) => (self.responses[edges::bin(angle)][i], self.footprint[i]),
            None => (0, false),
        }
    }

    /// The luma at (`x`, `y`) from the centre.
    pub(super) fn luma(&self, x: f32, y: f32) -> f32 {
        self.gray.sample(x + self.centre.0, y + self.centre.1)
    }

    /// Normalised cross-correlation of the template's luma, over its box, with `other`, the luma that lies at a place from
    /// the centre. Places without one do not count.
    pub(super) fn correlation(&self, other: impl Fn(f32, f32) -> Option<f32>) -> f32 {
        let (w, h) = self.size;
        // 1600 places are enough to tell.
        let step = (w * h / 1600.0).sqrt().max(1.0);
        let (across, down) = ((w / step) as usize, (h / step) as usize);
        let (mut n, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0f64, 0f64, 0f64, 0f64, 0f64, 0f64);
        for i in 0..across * down {
            let x = ((i % across) as f32 + 0.5) * step - w / 2.0;
            let y = ((i / across) as f32 + 0.5) * step - h / 2.0;
            let Some(b) = other(x, y) else { continue };
            let (a, b) = (f64::from(self.luma(x, y)), f64::from(b));
            n += 1.0;
            (sa, sb, saa, sbb, sab) = (sa + a, sb + b, saa + a * a, sbb + b * b, sab + a * b);
        }
        let (va, vb) = (saa - sa * sa / n.max(1.0), sbb - sb * sb / n.max(1.0));
        if n < 16.0 || va <= 1e-6 || vb <= 1e-6 { 0.0 } else { ((sab - sa * sb / n) / (va * vb).sqrt()) as f32 }
    }

    fn place(&self, x: f32, y: f32) -> Option<usize> {
        let (x, y) = ((x + self.centre.0).floor(), (y + self.centre.1).floor());
        let inside = x >= 0.0 && y >= 0.0 && x < self.gray.width as f32 && y < self.gray.height as f32;
        inside.then(|| y as usize * self.gray.width + x as usize)
    }

    /// Whether the template's edges lie on those of `other` after `map`.
    pub(super) fn resembles(&self, other: &Template, map: &Linear) -> bool {
        let missing = self.points.iter().filter(|p| {
            let (x, y) = map.apply(p.x, p.y);
            let bin = edges::bin(quantised(map.turn(p.angle)));
            other.place(x, y).is_none_or(|i| other.responses[bin][i] < 120)
        });
        (missing.count() as f32) < ASYMMETRY * self.points.len() as f32
    }
}

/// The smallest box of all that differs from the paper around it: the commonest value of its rim.
fn ink_box(g: &Gray) -> Option<Rect> {
    let border = |i: usize| {
        let (x, y) = (i % g.width, i / g.width);
        x == 0 || y == 0 || x + 1 == g.width || y + 1 == g.height
    };
    let mut rim: Vec<f32> = (0..g.data.len()).filter(|&i| border(i)).map(|i| g.data[i]).collect();
    rim.sort_by(f32::total_cmp);
    let paper = rim[rim.len() / 2];
    let most = g.data.iter().map(|v| (v - paper).abs()).fold(0f32, f32::max);
    if most < 24.0 {
        return None;
    }
    let (mut x1, mut y1, mut x2, mut y2) = (g.width, g.height, 0, 0);
    for (i, _) in g.data.iter().enumerate().filter(|(_, v)| (**v - paper).abs() > 0.4 * most) {
        let (x, y) = (i % g.width, i / g.width);
        (x1, y1, x2, y2) = (x1.min(x), y1.min(y), x2.max(x + 1), y2.max(y + 1));
    }
    Some(Rect { x1: x1 as f32, y1: y1 as f32, x2: x2 as f32, y2: y2 as f32 })
}

/// Whether many pixels are neither near the lightest nor near the darkest tone.
fn is_textured(g: &Gray) -> bool {
    let (low, high) = g.data.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    let fifth = (high - low) / 5.0;
    let between = g.data.iter().filter(|v| (low + fifth..high - fifth).contains(v)).count();
    between as f32 > TEXTURED * g.data.len() as f32
}

/// `g` with `margin` more pixels on each side, the border repeated.
fn padded(g: &Gray, margin: usize) -> Gray {
    let (width, height) = (g.width + 2 * margin, g.height + 2 * margin);
    let from = |v: usize, n: usize| v.saturating_sub(margin).min(n - 1);
    let data = (0..width * height).map(|i| g.at(from(i % width, g.width), from(i / width, g.height))).collect();
    Gray { width, height, data }
}

/// The crests of `edges` that lie within the picture of `size` in the middle of it, `margin` pixels from its border, or one
/// pixel beyond; relative to `centre`, in units of which a pixel has `unit`.
fn points(edges: &Edges, size: (usize, usize), margin: usize, centre: (f32, f32), unit: f32) -> Vec<Point> {
    let within = |v: usize, n: usize| v + 1 >= margin && v <= n + margin;
    let mut points = Vec::new();
    for (i, _) in edges.crest.iter().enumerate().filter(|(i, c)| **c && edges.strength[*i] > 100) {
        let (x, y) = (i % edges.width, i / edges.width);
        if within(x, size.0) && within(y, size.1) {
            let angle = f32::from(edges.angle[i]) * (std::f32::consts::PI / 256.0);
            let at = |v: usize, centre: f32| (v as f32 + 0.5) * unit - centre;
            points.push(Point { x: at(x, centre.0), y: at(y, centre.1), angle });
        }
    }
    points
}

/// The points in an order in which each lies far from all before it, for the first [`COARSE`]; then evenly thinned to
/// `most` in all.
fn spread_out(mut points: Vec<Point>, most: usize) -> Vec<Point> {
    let mut far = vec![f32::MAX; points.len()];
    for n in 0..COARSE.min(points.len()) {
        // The first one is any; a point of another direction counts as lying apart.
        let next = (n..points.len()).max_by(|&a, &b| far[a].total_cmp(&far[b])).unwrap_or(n);
        points.swap(n, next);
        far.swap(n, next);
        let chosen = points[n];
        for (p, d) in points.iter().zip(&mut far) {
            let turn = (p.angle - chosen.angle).sin().abs() * 4.0;
            *d = d.min((p.x - chosen.x).powi(2) + (p.y - chosen.y).powi(2) + turn * turn);
        }
    }
    let rest = points.split_off(COARSE.min(points.len()));
    if most <= COARSE {
        return points;
    }
    let step = (rest.len() as f32 / (most - COARSE) as f32).max(1.0);
    let mut at = 0.0;
    while (at as usize) < rest.len() {
        points.push(rest[at as usize]);
        at += step;
    }
    points
}

/// The pixels between the first and the last edge both of their row and of their column: pipes end there, and what the
/// template shows as empty is to be empty.
fn footprint(edges: &Edges) -> Vec<bool> {
    let (w, h) = (edges.width, edges.height);
    let solid = |i: usize| edges.crest[i] && edges.strength[i] > 100;
    let span = |places: &mut dyn Iterator<Item = usize>| -> (usize, usize) {
        places.fold((usize::MAX, 0), |(first, last), v| (first.min(v), last.max(v)))
    };
    let rows: Vec<_> = (0..h).map(|y| span(&mut (0..w).filter(|x| solid(y * w + x)))).collect();
    let columns: Vec<_> = (0..w).map(|x| span(&mut (0..h).filter(|y| solid(y * w + x)))).collect();
    let between = |(first, last): (usize, usize), v: usize| first <= v && v <= last;
    (0..w * h).map(|i| between(rows[i / w], i % w) && between(columns[i % w], i / w)).collect()
}
