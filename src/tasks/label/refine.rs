//! The fine search: a template is laid onto the edges of the whole picture, and what speaks for and against it is counted.

use super::edges::{self, Edges};
use super::template::{self, FADING, Linear, Point, Template, quantised};
use crate::geometry::Rect;
use crate::image::Gray;
use crate::tasks::normal_equations::invert;

/// Pixels on each side in which an edge is looked for, step by step.
const REACH: [i32; 5] = [5, 4, 3, 3, 2];
/// Points that take part in the fit.
const FITTED: usize = 200;
/// Standard deviations of what is expected of a drawing beside the coarse pose: size, turn (radians), stretch, shear.
const EXPECTED: [f64; 4] = [0.05, 0.03, 0.025, 0.015];
/// Weight of a point against these: neighbouring points are no independent witnesses.
const WITNESS: f64 = 0.15;
/// Share of its points below which a template is given up: on the way, and in the end.
const LOST: f32 = 0.5;
const HOPELESS: f32 = 0.65;
/// Pixels around a template's box in which edges may still be its own.
const AROUND: f32 = 3.0;
/// Response (0 to 255) from which an edge counts as explained.
const EXPLAINED: u8 = 110;
/// Strength (0 to 255) from which an edge wants to be explained.
const DISTINCT: u8 = 120;

/// A picture in full resolution.
pub(super) struct Fine<'a> {
    pub gray: &'a Gray,
    pub edges: Edges,
    responses: Vec<Vec<u8>>,
}

/// Where a template lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    pub map: Linear,
    /// Its centre in pixels of the picture.
    pub x: f32,
    pub y: f32,
}

impl Pose {
    pub fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        let (u, v) = self.map.apply(x, y);
        (u + self.x, v + self.y)
    }

    /// The box around a template of this size.
    pub fn rect(&self, (w, h): (f32, f32)) -> Rect {
        let half = |m: f32, n: f32| (m.abs() * w + n.abs() * h) / 2.0;
        let (rx, ry) = (half(self.map.a, self.map.b), half(self.map.c, self.map.d));
        Rect { x1: self.x - rx, y1: self.y - ry, x2: self.x + rx, y2: self.y + ry }
    }
}

/// What speaks for and against a template at its place.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// Whether the template has texture.
    pub textured: bool,
    /// Share of the template's edges that are there.
    pub recall: f32,
    /// Edges that should be there, in pixels.
    pub expected: f32,
    /// Edges within the template's area that it does not explain, in pixels.
    pub foreign: f32,
    /// Correlation of luma, -1 to 1.
    pub correlation: f32,
    /// The edge pixels that it explains, by their place in the picture.
    pub claimed: Vec<u32>,
}

impl<'a> Fine<'a> {
    pub fn new(gray: &'a Gray, contrast: f32) -> Self {
        let edges = Edges::new(gray, contrast);
        let responses = edges.responses(&FADING);
        Fine { gray, edges, responses }
    }

    fn place(&self, x: f32, y: f32) -> Option<usize> {
        let (x, y) = (x.floor(), y.floor());
        let inside = x >= 0.0 && y >= 0.0 && x < self.edges.width as f32 && y < self.edges.height as f32;
        inside.then(|| y as usize * self.edges.width + x as usize)
    }

    /// Moves, scales, turns, stretches `template` a little so that its edges fall on those of the picture: point to line,
    /// iterated (Chen and Medioni 1991), held near to a similarity by what is expected of drawings. `None` if
    /// too little of it is there.
    pub fn refine(&self, template: &Template, mut pose: Pose) -> Option<Pose> {
        let points = &template.points[..FITTED.min(template.points.len())];
        let mut total = [0f64; 6];
        for (step, reach) in REACH.into_iter().enumerate() {
            if step == 2 && self.recall(template, &pose, template::COARSE) < LOST * patience(template) {
                return None;
            }
            let mut normal = [[0f64; 6]; 6];
            let mut right = [0f64; 6];
            for p in points {
                let (x, y) = pose.map.apply(p.x, p.y);
                let angle = pose.map.turn(p.angle);
                let (ny, nx) = angle.sin_cos();
                let Some((d, weight)) = self.nearest(pose.x + x, pose.y + y, (nx, ny), quantised(angle), reach) else {
                    continue;
                };
                let row = [nx * x + ny * y, -nx * y + ny * x, nx * x - ny * y, nx * y + ny * x, nx, ny].map(f64::from);
                let weight = f64::from(weight) * WITNESS;
                for i in 0..6 {
                    for j in 0..6 {
                        normal[i][j] += weight * row[i] * row[j];
                    }
                    right[i] += weight * row[i] * f64::from(d);
                }
            }
            for (i, sd) in EXPECTED.iter().enumerate() {
                normal[i][i] += 1.0 / (sd * sd);
                right[i] -= total[i] / (sd * sd);
            }
            normal[4][4] += 0.05;
            normal[5][5] += 0.05;
            let inverse = invert(normal);
            let step: [f64; 6] =
                std::array::from_fn(|i| (0..6).map(|j| f64::from(inverse[i][j]) * right[j]).sum::<f64>());
            total.iter_mut().zip(step).for_each(|(t, s)| *t += s);
            let [scale, turn, stretch, shear, dx, dy] = step.map(|s| s as f32);
            let m = pose.map;
            let (e, f, g, h) = (1.0 + scale + stretch, shear - turn, shear + turn, 1.0 + scale - stretch);
            pose.map =
                Linear { a: e * m.a + f * m.c, b: e * m.b + f * m.d, c: g * m.a + h * m.c, d: g * m.b + h * m.d };
            pose.x += dx;
            pose.y += dy;
        }
        Some(pose)
    }

    /// How far along the normal the nearest edge of about that direction lies, and how much it counts.
    fn nearest(&self, x: f32, y: f32, normal: (f32, f32), angle: u8, reach: i32) -> Option<(f32, f32)> {
        let mut best: Option<(f32, f32)> = None;
        for t in -reach..=reach {
            let t = t as f32;
            let Some(i) = self.place(x + t * normal.0, y + t * normal.1) else { continue };
            if !self.edges.crest[i] {
                continue;
            }
            let alike = f32::from(edges::likeness(self.edges.angle[i], angle)) / 255.0;
            let weight = alike * f32::from(self.edges.strength[i]) / 255.0 / (1.0 + 0.15 * t * t);
            if weight > 0.05 && best.is_none_or(|(_, w)| weight > w) {
                // The crest runs through the middle of the pixel.
                let (cx, cy) = ((x + t * normal.0).floor() + 0.5, (y + t * normal.1).floor() + 0.5);
                best = Some(((cx - x) * normal.0 + (cy - y) * normal.1, weight));
            }
        }
        best
    }

    /// Share of the first `count` points of `template` that have an edge of their direction near.
    fn recall(&self, template: &Template, pose: &Pose, count: usize) -> f32 {
        let points = &template.points[..count.min(template.points.len())];
        points.iter().map(|p| self.found(p, pose)).sum::<f32>() / points.len() as f32
    }

    /// How near an edge of its direction is to a point, 0 to 1.
    fn found(&self, p: &Point, pose: &Pose) -> f32 {
        let (x, y) = pose.apply(p.x, p.y);
        let bin = edges::bin(quantised(pose.map.turn(p.angle)));
        self.place(x, y).map_or(0.0, |i| f32::from(self.responses[bin][i]) / 235.0).min(1.0)
    }

    /// Counts what speaks for and against `template` at `pose`; `None` if too little of it is there.
    pub fn judge(&self, template: &Template, pose: &Pose) -> Option<Evidence> {
        let recall = self.recall(template, pose, template.points.len());
        if recall < HOPELESS * patience(template) {
            return None;
        }
        let back = pose.map.inverse();
        let area = pose.rect(template.size).grown(AROUND);
        let (mut foreign, mut claimed) = (0.0, Vec::new());
        let clip = |v: f32, n: usize| v.clamp(0.0, n as f32) as usize;
        for y in clip(area.y1, self.edges.height)..clip(area.y2, self.edges.height) {
            for x in clip(area.x1, self.edges.width)..clip(area.x2, self.edges.width) {
                let i = y * self.edges.width + x;
                if !self.edges.crest[i] || self.edges.strength[i] < DISTINCT {
                    continue;
                }
                let (u, v) = back.apply(x as f32 + 0.5 - pose.x, y as f32 + 0.5 - pose.y);
                let angle = back.turn(f32::from(self.edges.angle[i]) * (std::f32::consts::PI / 256.0));
                let (explained, inside) = template.explains(u, v, quantised(angle));
                if explained >= EXPLAINED {
                    claimed.push(i as u32);
                } else if inside {
                    foreign += 1.0 - f32::from(explained) / f32::from(EXPLAINED);
                }
            }
        }
        let expected = template.length * pose.map.determinant().abs().sqrt();
        let correlation = template.correlation(|u, v| {
            let (x, y) = pose.apply(u, v);
            self.place(x, y).map(|_| self.gray.sample(x, y))
        });
        Some(Evidence { textured: template.textured, recall, expected, foreign, correlation, claimed })
    }
}

/// How much less of a template with texture has to be there.
fn patience(template: &Template) -> f32 {
    if template.textured { 0.65 } else { 1.0 }
}
