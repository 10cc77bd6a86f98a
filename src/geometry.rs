//! Rectangles, poses and points, always in pixels of the source image: x to the right, y down, the origin at the
//! top-left corner of the top-left pixel.

use serde::{Deserialize, Serialize};

/// An axis-parallel box `[x1, y1, x2, y2]` in source pixels; the right and lower edges lie outside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 4]", into = "[f32; 4]")]
pub struct Rect {
    /// Left edge.
    pub x1: f32,
    /// Upper edge.
    pub y1: f32,
    /// Right edge.
    pub x2: f32,
    /// Lower edge.
    pub y2: f32,
}

impl From<[f32; 4]> for Rect {
    fn from([x1, y1, x2, y2]: [f32; 4]) -> Self {
        Rect { x1, y1, x2, y2 }
    }
}

impl From<Rect> for [f32; 4] {
    fn from(r: Rect) -> Self {
        [r.x1, r.y1, r.x2, r.y2]
    }
}

impl Rect {
    /// A box from its corner and size.
    pub fn from_xywh(x: f32, y: f32, w: f32, h: f32) -> Self {
        Rect { x1: x, y1: y, x2: x + w, y2: y + h }
    }

    /// Width in pixels, never negative.
    pub fn width(&self) -> f32 {
        (self.x2 - self.x1).max(0.0)
    }

    /// Height in pixels, never negative.
    pub fn height(&self) -> f32 {
        (self.y2 - self.y1).max(0.0)
    }

    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// The common part of two boxes, empty (zero area) where they do not meet.
    pub fn intersect(&self, other: &Rect) -> Rect {
        Rect {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        }
    }

    /// The box cut to an image of `width` x `height` pixels.
    pub fn clip(&self, width: u32, height: u32) -> Rect {
        self.intersect(&Rect::from_xywh(0.0, 0.0, width as f32, height as f32))
    }

    /// The box moved to the right and down.
    pub fn moved(&self, x: f32, y: f32) -> Rect {
        Rect { x1: self.x1 + x, y1: self.y1 + y, x2: self.x2 + x, y2: self.y2 + y }
    }

    /// The box with `by` more pixels on each side.
    pub fn grown(&self, by: f32) -> Rect {
        Rect { x1: self.x1 - by, y1: self.y1 - by, x2: self.x2 + by, y2: self.y2 + by }
    }

    /// The largest distance in pixels between a side and the other box's same side.
    pub fn side_distance(&self, other: &Rect) -> f32 {
        let (a, b) = (<[f32; 4]>::from(*self), <[f32; 4]>::from(*other));
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// Intersection over union, 0 to 1; 0 for empty boxes.
    pub fn iou(&self, other: &Rect) -> f32 {
        let common = self.intersect(other).area();
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }

    /// The smallest box around `points`.
    pub fn around(points: impl IntoIterator<Item = (f32, f32)>) -> Rect {
        let empty = Rect { x1: f32::INFINITY, y1: f32::INFINITY, x2: f32::NEG_INFINITY, y2: f32::NEG_INFINITY };
        points.into_iter().fold(empty, |r, (x, y)| Rect {
            x1: r.x1.min(x),
            y1: r.y1.min(y),
            x2: r.x2.max(x),
            y2: r.y2.max(y),
        })
    }

    /// The four corners, clockwise from the top left.
    pub fn corners(&self) -> [(f32, f32); 4] {
        [(self.x1, self.y1), (self.x2, self.y1), (self.x2, self.y2), (self.x1, self.y2)]
    }
}

/// A similarity transform: `(x, y) -> (a x - b y + tx, b x + a y + ty)`. It takes points of the golden image to where
/// they lie in a photograph; `a + bi` is the scale times the rotation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale times the cosine of the angle.
    pub a: f32,
    /// Scale times the sine of the angle.
    pub b: f32,
    /// Shift to the right in pixels.
    pub tx: f32,
    /// Shift downwards in pixels.
    pub ty: f32,
}

impl Similarity {
    /// The transform that moves nothing.
    pub const IDENTITY: Similarity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// Turn by `degrees` (clockwise on the screen, as y points down) and scale by `scale` about `centre`, then shift.
    pub fn about(centre: (f32, f32), degrees: f32, scale: f32, shift: (f32, f32)) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (a, b) = (scale * cos, scale * sin);
        let (cx, cy) = centre;
        Similarity { a, b, tx: cx - a * cx + b * cy + shift.0, ty: cy - b * cx - a * cy + shift.1 }
    }

    /// Where the point lies after the transform.
    pub fn apply(&self, (x, y): (f32, f32)) -> (f32, f32) {
        (self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty)
    }

    /// `self` after `first`.
    pub fn after(&self, first: &Similarity) -> Similarity {
        let (tx, ty) = self.apply((first.tx, first.ty));
        Similarity { a: self.a * first.a - self.b * first.b, b: self.a * first.b + self.b * first.a, tx, ty }
    }

    /// The way back. A transform of scale 0 has none; it cannot be built by [`Similarity::about`] with a positive scale.
    pub fn inverse(&self) -> Similarity {
        let norm = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / norm, -self.b / norm);
        Similarity { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }

    /// The same motion seen in an image that is `factor` times as large, pixel centres at half-integers.
    pub fn rescaled(&self, factor: f32) -> Similarity {
        Similarity { tx: self.tx * factor, ty: self.ty * factor, ..*self }
    }

    /// Length ratio, 1 for none.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }

    /// Angle in degrees, clockwise on the screen, -180 to 180.
    pub fn degrees(&self) -> f32 {
        self.b.atan2(self.a).to_degrees()
    }

    /// The box around the transformed corners of `rect`.
    pub fn map_rect(&self, rect: &Rect) -> Rect {
        Rect::around(rect.corners().map(|p| self.apply(p)))
    }
}

/// Four corners, clockwise from the top left of what they surround (a line of text: of its first letter), in source pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quad(pub [(f32, f32); 4]);

impl From<Rect> for Quad {
    fn from(rect: Rect) -> Self {
        Quad(rect.corners())
    }
}

impl Quad {
    /// Length of the longer one of the upper and the lower side.
    pub fn width(&self) -> f32 {
        self.side(0, 1).max(self.side(2, 3))
    }

    /// Length of the longer one of the left and the right side.
    pub fn height(&self) -> f32 {
        self.side(0, 3).max(self.side(1, 2))
    }

    fn side(&self, a: usize, b: usize) -> f32 {
        let (a, b) = (self.0[a], self.0[b]);
        (a.0 - b.0).hypot(a.1 - b.1)
    }

    /// Every corner changed.
    pub fn map(&self, change: impl Fn((f32, f32)) -> (f32, f32)) -> Quad {
        Quad(self.0.map(change))
    }

    /// The box around it.
    pub fn bounds(&self) -> Rect {
        Rect::around(self.0)
    }

    /// The perspective map that takes the rectangle from (0, 0) to (`width`, `height`) to this quad, corner to corner
    /// (Heckbert 1989, "Fundamentals of Texture Mapping and Image Warping").
    pub fn projection(&self, width: f32, height: f32) -> Projection {
        let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = self.0.map(|(x, y)| (f64::from(x), f64::from(y)));
        let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
        let (ax, ay, bx, by) = (x1 - x2, y1 - y2, x3 - x2, y3 - y2);
        let det = ax * by - bx * ay;
        // A quad without area has no perspective.
        let (g, h) = if det == 0.0 { (0.0, 0.0) } else { ((sx * by - bx * sy) / det, (ax * sy - sx * ay) / det) };
        let (w, v) = (f64::from(width), f64::from(height));
        let across = [(x1 - x0 + g * x1) / w, (y1 - y0 + g * y1) / w, g / w];
        let down = [(x3 - x0 + h * x3) / v, (y3 - y0 + h * y3) / v, h / v];
        Projection { across, down, origin: [x0, y0] }
    }
}

/// A perspective map of the plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projection {
    across: [f64; 3],
    down: [f64; 3],
    origin: [f64; 2],
}

impl Projection {
    /// Where the point lies after the map.
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let of = |i: usize| self.across[i] * x + self.down[i] * y;
        let scale = of(2) + 1.0;
        ((of(0) + self.origin[0]) / scale, (of(1) + self.origin[1]) / scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn iou_of_known_boxes() {
        let a = Rect::from_xywh(0.0, 0.0, 10.0, 10.0);
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(a.iou(&Rect::from_xywh(20.0, 0.0, 5.0, 5.0)), 0.0);
        assert!((a.iou(&Rect::from_xywh(5.0, 0.0, 10.0, 10.0)) - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn corners_go_to_corners() {
        let quad = Quad([(10.0, 5.0), (90.0, 12.0), (80.0, 60.0), (4.0, 40.0)]);
        let map = quad.projection(200.0, 50.0);
        for ((x, y), (u, v)) in [(0.0, 0.0), (200.0, 0.0), (200.0, 50.0), (0.0, 50.0)].into_iter().zip(quad.0) {
            let (p, q) = map.apply(x, y);
            assert!((p - f64::from(u)).abs() < 1e-4 && (q - f64::from(v)).abs() < 1e-4, "{p} {q} for {u} {v}");
        }
    }

    proptest! {
        #[test]
        fn inverse_undoes(deg in -180f32..180.0, scale in 0.5f32..2.0, tx in -50f32..50.0, ty in -50f32..50.0,
                          x in 0f32..500.0, y in 0f32..500.0) {
            let t = Similarity::about((100.0, 80.0), deg, scale, (tx, ty));
            let (u, v) = t.apply((x, y));
            let (p, q) = t.inverse().apply((u, v));
            prop_assert!((p - x).abs() < 0.01 && (q - y).abs() < 0.01);
            let (p, q) = t.inverse().after(&t).apply((x, y));
            prop_assert!((p - x).abs() < 0.01 && (q - y).abs() < 0.01);
        }

        #[test]
        fn angle_and_scale_come_back(deg in -170f32..170.0, scale in 0.5f32..2.0) {
            let t = Similarity::about((10.0, 20.0), deg, scale, (1.0, 2.0));
            prop_assert!((t.degrees() - deg).abs() < 1e-2);
            prop_assert!((t.scale() - scale).abs() < 1e-4);
        }
    }
}
