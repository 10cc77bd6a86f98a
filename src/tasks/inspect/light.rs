//! Light: simulating other light and noise on good parts, and taking the light off a new one.

use crate::error::Result;
use crate::image::{Gray, Image};
use crate::preprocess::filters::box_mean;
use fastrand::Rng;

/// `view` as another session might have taken it: exposure, gamma, colour temperature, a gradient across the picture,
/// vignetting, defocus, sensor noise. All drawn from `rng`.
///
/// The ranges are those between two shifts of a line with fixed exposure: a third of a stop, 9 % of colour, 18 % of
/// gradient, noise from 1 to 8 grey levels a pixel of the photograph. The view has averaged `shrunk` x `shrunk` of
/// those into one of its own, which takes as much off the noise.
pub(crate) fn relight(view: &Image, shrunk: f32, rng: &mut Rng) -> Result<Image> {
    let mut between = |low: f32, high: f32| low + (high - low) * rng.f32();
    let gamma = between(-0.15, 0.15).exp();
    let exposure = between(-0.22, 0.22).exp();
    let warmth = between(-0.09, 0.09);
    let green = between(-0.02, 0.02);
    let (direction, slope) = (between(0.0, std::f32::consts::TAU), between(0.0, 0.18));
    let vignette = between(-0.03, 0.10);
    let blur = between(0.0, 0.8);
    let noise = between(1.0, 8.0) / 255.0 / shrunk;
    let (width, height) = (view.width() as usize, view.height() as usize);
    let balance = [1.0 + warmth, 1.0 + green, 1.0 - warmth];
    let (dx, dy) = (direction.cos() * slope, direction.sin() * slope);
    let mut values = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let v = 2.0 * (y as f32 + 0.5) / height as f32 - 1.0;
        for x in 0..width {
            let u = 2.0 * (x as f32 + 0.5) / width as f32 - 1.0;
            let gain = exposure * (1.0 + dx * u + dy * v - vignette * (u * u + v * v) / 2.0);
            let pixel = &view.data()[(y * width + x) * 3..][..3];
            values.extend((0..3).map(|c| (pixel[c].max(1) as f32 / 255.0).powf(gamma) * gain * balance[c]));
        }
    }
    // Defocus of a fraction of a pixel: a three-tap kernel of the same variance.
    let side = (blur * blur / 2.0).min(0.25);
    if blur > 0.25 {
        values = smooth(&values, width, height, side);
    }
    let mut data = Vec::with_capacity(values.len());
    for pixel in values.chunks_exact(3) {
        let shared = 0.6 * normal(rng);
        for &value in pixel {
            // Shot noise grows with the light: the variance is half at black and three halves at white.
            let spread = noise * (0.5 + value.clamp(0.0, 1.0)).sqrt();
            let noisy = value + spread * (0.8 * normal(rng) + shared);
            data.push((noisy * 255.0 + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    Image::new(view.width(), view.height(), data)
}

/// A normal deviate: the sum of four uniform ones is close enough for sensor noise.
fn normal(rng: &mut Rng) -> f32 {
    let sum = rng.f32() + rng.f32() + rng.f32() + rng.f32();
    (sum - 2.0) * 3f32.sqrt()
}

/// The kernel (side, 1 - 2 side, side) along rows, then along columns, of interleaved RGB.
fn smooth(values: &[f32], width: usize, height: usize, side: f32) -> Vec<f32> {
    let pass = |values: &[f32], before: &dyn Fn(usize, usize) -> usize, after: &dyn Fn(usize, usize) -> usize| {
        let mut out = Vec::with_capacity(values.len());
        for y in 0..height {
            for x in 0..width {
                let (b, a, m) = (before(x, y) * 3, after(x, y) * 3, (y * width + x) * 3);
                out.extend((0..3).map(|c| side * (values[b + c] + values[a + c]) + (1.0 - 2.0 * side) * values[m + c]));
            }
        }
        out
    };
    let rows = pass(values, &|x, y| y * width + x.saturating_sub(1), &|x, y| y * width + (x + 1).min(width - 1));
    pass(&rows, &|x, y| y.saturating_sub(1) * width + x, &|x, y| (y + 1).min(height - 1) * width + x)
}

/// Cells along the long side of a light field.
const FIELD_CELLS: usize = 32;
/// Radius of the blur in cells; three passes of it are close to a Gaussian of a seventh of the picture.
const FIELD_RADIUS: usize = 4;
/// Added to both sides of the ratio in grey levels, so that black is not divided by black.
const FIELD_FLOOR: f32 = 2.0;

/// The slow part of a picture's light, channel by channel on a coarse grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LightField {
    channels: [Gray; 3],
}

impl LightField {
    /// Measures the light of `view`.
    pub fn of(view: &Image) -> Self {
        let (w, h) = (view.width() as usize, view.height() as usize);
        let cells = |side: usize| (side * FIELD_CELLS).div_ceil(w.max(h)).clamp(2, side.max(2));
        let (columns, rows) = (cells(w), cells(h));
        let mut sums = [(); 3].map(|()| Gray::filled(columns, rows, 0.0));
        let mut counts = vec![0f32; columns * rows];
        let column: Vec<usize> = (0..w).map(|x| x * columns / w).collect();
        for (y, line) in view.data().chunks_exact(w * 3).enumerate() {
            let row = y * rows / h * columns;
            for (pixel, &x) in line.chunks_exact(3).zip(&column) {
                counts[row + x] += 1.0;
                for c in 0..3 {
                    sums[c].data[row + x] += pixel[c] as f32;
                }
            }
        }
        for channel in &mut sums {
            channel.data.iter_mut().zip(&counts).for_each(|(v, n)| *v /= n.max(1.0));
            for _ in 0..3 {
                *channel = box_mean(channel, FIELD_RADIUS);
            }
        }
        LightField { channels: sums }
    }

    /// The light that views of good parts share. Textures show another place each time, so they share none.
    pub fn common<'a>(views: impl Iterator<Item = &'a Image>, posed: bool) -> Option<Self> {
        if posed { LightField::mean(&views.map(LightField::of).collect::<Vec<_>>()) } else { None }
    }

    /// The mean of several fields of the same size.
    fn mean(fields: &[LightField]) -> Option<Self> {
        let mut sum = fields.first()?.clone();
        for c in 0..3 {
            for (i, v) in sum.channels[c].data.iter_mut().enumerate() {
                *v = fields.iter().map(|f| f.channels[c].data[i]).sum::<f32>() / fields.len() as f32;
            }
        }
        Some(sum)
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        (self.channels[0].width, self.channels[0].height)
    }

    /// The three channels one after the other, row by row.
    pub fn values(&self) -> Vec<f32> {
        self.channels.iter().flat_map(|c| c.data.iter().copied()).collect()
    }

    /// Restored from the values that [`LightField::values`] gave; `None` if their number is not that of the size.
    pub fn from_values(columns: usize, rows: usize, values: &[f32]) -> Option<Self> {
        if columns * rows == 0 || values.len() != 3 * columns * rows {
            return None;
        }
        let channel = |c: usize| Gray {
            width: columns,
            height: rows,
            data: values[c * columns * rows..][..columns * rows].to_vec(),
        };
        Some(LightField { channels: [channel(0), channel(1), channel(2)] })
    }

    /// `view` as it would look under this light instead of its own.
    pub fn transfer(&self, view: &Image) -> Result<Image> {
        let own = LightField::of(view);
        let mut data = vec![0u8; view.data().len()];
        let (w, h) = (view.width() as usize, view.height() as usize);
        let (columns, rows) = self.size();
        for c in 0..3 {
            // The ratio is smooth: taken on the grid and interpolated, not computed for every pixel.
            let ratio = Gray {
                width: columns,
                height: rows,
                data: self.channels[c]
                    .data
                    .iter()
                    .zip(&own.channels[c].data)
                    .map(|(want, have)| (want + FIELD_FLOOR) / (have + FIELD_FLOOR))
                    .collect(),
            };
            let mut line = vec![0f32; w];
            for y in 0..h {
                interpolate(&ratio, (y as f32 + 0.5) * rows as f32 / h as f32, &mut line);
                for (x, gain) in line.iter().enumerate() {
                    let at = (y * w + x) * 3 + c;
                    data[at] = (view.data()[at] as f32 * gain + 0.5).min(255.0) as u8;
                }
            }
        }
        Image::new(view.width(), view.height(), data)
    }
}

/// The view in the light of the good parts, if they have one.
pub(super) fn even(light: &Option<LightField>, view: &Image) -> Result<Image> {
    light.as_ref().map_or_else(|| Ok(view.clone()), |l| l.transfer(view))
}

/// One line of a coarse grid, at row `y` in cells, stretched to the length of `line`.
fn interpolate(grid: &Gray, y: f32, line: &mut [f32]) {
    let fy = (y - 0.5).clamp(0.0, (grid.height - 1) as f32);
    let (top, bottom) = (fy as usize, (fy as usize + 1).min(grid.height - 1));
    let share = fy - top as f32;
    let cells: Vec<f32> =
        (0..grid.width).map(|x| grid.at(x, top) * (1.0 - share) + grid.at(x, bottom) * share).collect();
    let step = grid.width as f32 / line.len() as f32;
    for (x, value) in line.iter_mut().enumerate() {
        let fx = ((x as f32 + 0.5) * step - 0.5).clamp(0.0, (grid.width - 1) as f32);
        let left = fx as usize;
        let right = (left + 1).min(grid.width - 1);
        *value = cells[left] + (cells[right] - cells[left]) * (fx - left as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(gain: f32) -> Image {
        let value = |x: u32, y: u32| (60 + (x * 7 + y * 13) % 100) as f32 * gain;
        let data = (0..64).flat_map(|y| (0..96).flat_map(move |x| [value(x, y) as u8; 3])).collect();
        Image::new(96, 64, data).unwrap()
    }

    #[test]
    fn a_darker_picture_is_brought_back() {
        let (bright, dark) = (picture(1.0), picture(0.7));
        let back = LightField::of(&bright).transfer(&dark).unwrap();
        let worst = back.data().iter().zip(bright.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 3, "{worst}");
        let field = LightField::of(&bright);
        let (columns, rows) = field.size();
        assert_eq!(LightField::from_values(columns, rows, &field.values()), Some(field));
    }

    #[test]
    fn relighting_is_reproducible() {
        let view = picture(1.0);
        let one = relight(&view, 1.0, &mut Rng::with_seed(5)).unwrap();
        assert_eq!(one, relight(&view, 1.0, &mut Rng::with_seed(5)).unwrap());
        assert_ne!(one, relight(&view, 1.0, &mut Rng::with_seed(6)).unwrap());
    }
}
