//! Bringing components of reduced resolution to that of the picture, as libjpeg-turbo does.

use super::JpegError::{self, Unsupported};
use super::full::Plane;
use super::header::Frame;

/// How a component becomes as wide and high as the picture.
#[derive(Clone, Copy)]
enum Method {
    /// It is so already.
    None,
    /// Triangle filter (weights 3/4 and 1/4) in the directions named, twofold.
    TriangleH,
    TriangleV,
    TriangleHV,
    /// Repetition of each sample so many times across and down.
    Repeat(usize, usize),
}

/// Makes rows of a plane in full resolution.
pub(super) struct Upsampler<'a> {
    plane: &'a Plane,
    method: Method,
    /// The columns of a row after vertical filtering, times 4.
    columns: Vec<u16>,
    row: Vec<u8>,
}

impl<'a> Upsampler<'a> {
    pub fn new(frame: &Frame, plane: &'a Plane) -> Result<Self, JpegError> {
        if !frame.h_max.is_multiple_of(plane.h) || !frame.v_max.is_multiple_of(plane.v) {
            return Err(Unsupported("sampling factors of a broken ratio"));
        }
        // libjpeg does without the horizontal filter in planes of one or two columns.
        let method = match (frame.h_max / plane.h, frame.v_max / plane.v) {
            (1, 1) => Method::None,
            (2, 1) if plane.width > 2 => Method::TriangleH,
            (2, 2) if plane.width > 2 => Method::TriangleHV,
            (1, 2) => Method::TriangleV,
            (h, v) => Method::Repeat(h, v),
        };
        let row = vec![0; plane.width * (frame.h_max / plane.h)];
        Ok(Self { plane, method, columns: vec![0; plane.width], row })
    }

    /// Row `y` of the picture, at least as long as the picture is wide.
    pub fn row(&mut self, y: usize) -> &[u8] {
        let (near, far) = (y / 2, if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 });
        match self.method {
            Method::None => return self.plane.row(y),
            Method::TriangleH => {
                for (column, &sample) in self.columns.iter_mut().zip(self.plane.row(y)) {
                    *column = u16::from(sample);
                }
                // The sides are rounded differently so that rounding does not shift the brightness.
                triangle(&self.columns, &mut self.row, 2, [1, 2]);
            }
            Method::TriangleV => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, &near), &far) in self.row.iter_mut().zip(self.plane.row(near)).zip(self.plane.row(far)) {
                    *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Method::TriangleHV => {
                let rows = self.plane.row(near).iter().zip(self.plane.row(far));
                for (column, (&near, &far)) in self.columns.iter_mut().zip(rows) {
                    *column = 3 * u16::from(near) + u16::from(far);
                }
                triangle(&self.columns, &mut self.row, 4, [8, 7]);
            }
            Method::Repeat(h, v) => {
                for (out, &sample) in self.row.chunks_exact_mut(h).zip(self.plane.row(y / v)) {
                    out.fill(sample);
                }
            }
        }
        &self.row
    }
}

/// Doubles the width of a row: each two new samples lie a quarter left and right of an old one. The result is divided
/// by 2 to the power of `shift`, after adding the bias for the left or right one.
fn triangle(columns: &[u16], row: &mut [u8], shift: u32, bias: [u16; 2]) {
    let (pairs, _) = row.as_chunks_mut::<2>();
    let blend = |near: u16, far: u16, bias: u16| ((3 * near + far + bias) >> shift) as u8;
    for (pair, window) in pairs.iter_mut().skip(1).zip(columns.windows(3)) {
        let &[left, middle, right] = window else { continue };
        *pair = [blend(middle, left, bias[0]), blend(middle, right, bias[1])];
    }
    // At the edges the outermost sample stands in for its missing neighbour.
    if let ([first, second, ..], [.., before_last, last], [first_pair, .., last_pair]) = (columns, columns, pairs) {
        *first_pair = [blend(*first, *first, bias[0]), blend(*first, *second, bias[1])];
        *last_pair = [blend(*last, *before_last, bias[0]), blend(*last, *last, bias[1])];
    }
}

impl Plane {
    /// The samples of row `y`, or of the last one where `y` is beyond it.
    fn row(&self, y: usize) -> &[u8] {
        let start = self.stride * y.min(self.height - 1);
        &self.samples[start..start + self.width]
    }
}
