//! Lays one small picture over another: robust Gauss-Newton steps (the inverse compositional form; Baker and Matthews,
//! "Lucas-Kanade 20 Years On", IJCV 2004; Geman-McClure weights, so that a mark does not pull).

use super::look::SIDE;
use crate::image::Gray;
use crate::tasks::normal_equations::invert;

/// Gauss-Newton steps at most, on the coarse levels and on the finest, where little is left to do.
const STEPS: usize = 8;
const FINE_STEPS: usize = 2;
/// A step that moves nothing by more than this share of a pixel is the last.
const SETTLED: f32 = 0.02;
/// Differences of normalised contrast beyond this are doubted to belong to the match; beyond twice this they are changes.
pub(super) const DOUBT: f32 = 0.5;

/// Where the frame of one picture lies over another's: the place (x, y) of the first, -1 to 1 from side to side, is at
/// `(x[0] * x + x[1] * y + x[2], y[0] * x + y[1] * y + y[2])` in the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) x: [f32; 3],
    pub(super) y: [f32; 3],
}

impl Frame {
    /// Both frames are the same.
    pub(super) const WHOLE: Frame = Frame { x: [1.0, 0.0, 0.0], y: [0.0, 1.0, 0.0] };

    fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x[0] * x + self.x[1] * y + self.x[2], self.y[0] * x + self.y[1] * y + self.y[2])
    }

    /// This frame behind the inverse of the small step to `(x + s[0] x + s[1] y + s[2], y + s[3] x + s[4] y + s[5])`.
    fn step_back(&self, s: &[f32; 6]) -> Frame {
        let (a, b, c, d) = (1.0 + s[0], s[1], s[3], 1.0 + s[4]);
        let determinant = (a * d - b * c).max(0.25);
        let (ia, ib, ic, id) = (d / determinant, -b / determinant, -c / determinant, a / determinant);
        let (ix, iy) = (-(ia * s[2] + ib * s[5]), -(ic * s[2] + id * s[5]));
        let row = |r: &[f32; 3]| [r[0] * ia + r[1] * ic, r[0] * ib + r[1] * id, r[0] * ix + r[1] * iy + r[2]];
        Frame { x: row(&self.x), y: row(&self.y) }
    }

    /// Near enough to [`Frame::WHOLE`] for the search to make sense.
    fn is_sane(&self) -> bool {
        let near = |v: f32, to: f32| (v - to).abs() < 0.4;
        let [x, y] = [self.x, self.y];
        near(x[0], 1.0) && near(y[1], 1.0) && [x[1], x[2], y[0], y[2]].iter().all(|&v| near(v, 0.0))
    }

    /// How far the frame lies beyond the other on some side while it falls short of it on another (the smaller of both), as
    /// a share of the side: 0 if one frame holds the other.
    pub(super) fn astray(&self) -> f32 {
        // Beyond the right or lower side, then the left or upper one.
        let over = |scale: f32, shift: f32| [(scale + shift - 1.0) / 2.0, (scale - shift - 1.0) / 2.0];
        let sides = [over(self.x[0], self.x[2]), over(self.y[1], self.y[2])].concat();
        let most = |sign: f32| sides.iter().map(|s| s * sign).fold(0.0, f32::max);
        most(1.0).min(most(-1.0))
    }

    /// Share of the side by which one frame is smaller than the other, the larger of both axes.
    pub(super) fn cropped(&self) -> f32 {
        let axis = |scale: f32| 1.0 - scale.min(1.0 / scale);
        axis(self.x[0]).max(axis(self.y[1]))
    }
}

/// What may differ between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freedom {
    /// Scale and shift of each axis.
    Axes,
    /// Rotation and skew as well.
    Affine,
}

/// Gauss-Newton from `start`: the frame under which `b` differs least from `a`.
pub(super) fn register(a: &Gray, b: &Gray, start: Frame, freedom: Freedom) -> Frame {
    let n = a.width;
    let (across, down) = slopes(a);
    let settled = SETTLED * 2.0 / n as f32;
    let steps = if n == SIDE { FINE_STEPS } else { STEPS };
    let mut frame = start;
    for _ in 0..steps {
        let mut hessian = [[0f32; 6]; 6];
        let mut gradient = [0f32; 6];
        for (y, row) in warp(b, &frame).chunks_exact(n).enumerate() {
            // Sums over the row of the products of slopes (across across, across down, down down) by x^0, x^1, x^2, and of
            // the slopes by the difference by x^0, x^1. The six unknowns are the slopes by (x, y, 1).
            let (mut moments, mut right) = ([[0f32; 3]; 3], [[0f32; 2]; 2]);
            for (x, &value) in row.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
                let i = y * n + x;
                let (gx, gy, px) = (across[i], down[i], place(x, n));
                let difference = value - a.data[i];
                let doubt = 1.0 + (difference / DOUBT) * (difference / DOUBT);
                let weight = 1.0 / (doubt * doubt);
                for (sums, product) in moments.iter_mut().zip([gx * gx, gx * gy, gy * gy]) {
                    let first = weight * product;
                    *sums = [sums[0] + first, sums[1] + first * px, sums[2] + first * px * px];
                }
                for (sums, slope) in right.iter_mut().zip([gx, gy]) {
                    let first = weight * slope * difference;
                    *sums = [sums[0] + first, sums[1] + first * px];
                }
            }
            let py = place(y, n);
            for (j, k, [s0, s1, s2]) in [(0, 0, moments[0]), (0, 3, moments[1]), (3, 0, moments[1]), (3, 3, moments[2])]
            {
                let block = [[s2, py * s1, s1], [py * s1, py * py * s0, py * s0], [s1, py * s0, s0]];
                for (jj, line) in block.iter().enumerate() {
                    line.iter().enumerate().for_each(|(kk, v)| hessian[j + jj][k + kk] += v);
                }
            }
            for (j, [g0, g1]) in [(0, right[0]), (3, right[1])] {
                [g1, py * g0, g0].iter().enumerate().for_each(|(jj, v)| gradient[j + jj] += v);
            }
        }
        if freedom == Freedom::Axes {
            // x by y and y by x stay as they are.
            for bend in [1, 3] {
                gradient[bend] = 0.0;
                hessian[bend] = [0.0; 6];
                hessian.iter_mut().for_each(|row| row[bend] = 0.0);
            }
        }
        let inverse = invert(hessian.map(|row| row.map(f64::from)));
        let step = inverse.map(|row| row.iter().zip(gradient).map(|(h, g)| h * g).sum::<f32>());
        frame = frame.step_back(&step);
        if !frame.is_sane() {
            return start;
        }
        if step.iter().all(|s| s.abs() < settled) {
            break;
        }
    }
    frame
}

/// The slopes of a level along x and y, per unit of the frame: a pixel is 2 / side wide, a central difference spans two.
fn slopes(a: &Gray) -> (Vec<f32>, Vec<f32>) {
    let (n, unit) = (a.width, a.width as f32 / 4.0);
    let line = |y: usize| &a.data[y * n..(y + 1) * n];
    let across = |y: usize| {
        let row = line(y);
        (0..n).map(move |x| (row[(x + 1).min(n - 1)] - row[x.saturating_sub(1)]) * unit)
    };
    let down = |y: usize| {
        let (above, below) = (line(y.saturating_sub(1)), line((y + 1).min(n - 1)));
        above.iter().zip(below).map(move |(a, b)| (b - a) * unit)
    };
    ((0..n).flat_map(across).collect(), (0..n).flat_map(down).collect())
}

/// The coordinate of the middle of pixel `i` of `n`, -1 to 1 from side to side.
fn place(i: usize, n: usize) -> f32 {
    (2.0 * i as f32 + 1.0) / n as f32 - 1.0
}

/// The values of `b` where `frame` puts the pixels of the first picture; NaN for those that it puts outside.
pub(super) fn warp(b: &Gray, frame: &Frame) -> Vec<f32> {
    let n = b.width;
    let pixel = |p: f32| (p + 1.0) / 2.0 * n as f32;
    if frame.x[1] == 0.0 && frame.y[0] == 0.0 {
        return stretch(b, frame);
    }
    let mut out = Vec::with_capacity(n * n);
    for y in 0..n {
        for x in 0..n {
            let (qx, qy) = frame.apply(place(x, n), place(y, n));
            let inside = qx.abs() <= 1.0 && qy.abs() <= 1.0;
            out.push(if inside { b.sample(pixel(qx), pixel(qy)) } else { f32::NAN });
        }
    }
    out
}

/// [`warp`] without rotation or skew: rows and columns are interpolated one after the other.
fn stretch(b: &Gray, frame: &Frame) -> Vec<f32> {
    let n = b.width;
    // Both neighbours and the share of the second; None outside.
    let between = |scale: f32, shift: f32| -> Vec<Option<(usize, usize, f32)>> {
        let one = |i: usize| {
            let q = scale * place(i, n) + shift;
            let at = ((q + 1.0) / 2.0 * n as f32 - 0.5).clamp(0.0, (n - 1) as f32);
            (q.abs() <= 1.0).then(|| (at as usize, (at as usize + 1).min(n - 1), at.fract()))
        };
        (0..n).map(one).collect()
    };
    let (columns, rows) = (between(frame.x[0], frame.x[2]), between(frame.y[1], frame.y[2]));
    let mut out = Vec::with_capacity(n * n);
    let mut line = vec![0f32; n];
    for row in rows {
        let Some((above, below, share)) = row else {
            out.extend(std::iter::repeat_n(f32::NAN, n));
            continue;
        };
        let (above, below) = (&b.data[above * n..][..n], &b.data[below * n..][..n]);
        for ((v, a), b) in line.iter_mut().zip(above).zip(below) {
            *v = a + (b - a) * share;
        }
        let value = |&(left, right, share): &(usize, usize, f32)| line[left] + (line[right] - line[left]) * share;
        out.extend(columns.iter().map(|c| c.as_ref().map_or(f32::NAN, value)));
    }
    out
}

/// Correlation of two levels where they overlap.
pub(super) fn correlation(a: &Gray, b: &Gray, frame: &Frame) -> f32 {
    let (mut aa, mut bb, mut ab) = (0f32, 0f32, 0f32);
    let mut add = |x: f32, y: f32| (aa, bb, ab) = (aa + x * x, bb + y * y, ab + x * y);
    if *frame == Frame::WHOLE {
        a.data.iter().zip(&b.data).for_each(|(&x, &y)| add(x, y));
    } else {
        let warped = warp(b, frame);
        a.data.iter().zip(&warped).filter(|(_, y)| !y.is_nan()).for_each(|(&x, &y)| add(x, y));
    }
    ab / (aa * bb).sqrt().max(1e-6)
}
