//! Lanczos resampling as Pillow does it (`Image.resize` with `LANCZOS`): the filter grows with the reduction, so every
//! source pixel has its share. Perceptual hashes are defined on pictures that were made small this way.

use crate::error::Result;
use crate::image::{Gray, Image};
use std::f64::consts::PI;

/// Lobes on each side of the Lanczos window.
const LOBES: f64 = 3.0;

/// Pillow's 8-bit pictures are weighed by whole numbers with this many binary places: 32 bits, less 8 of the pixel, less
/// 2 for sums outside of 0 to 255.
const PLACES: u32 = 32 - 8 - 2;

/// The source pixels that one output pixel is made of.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

impl Taps {
    /// The weights in whole numbers of [`PLACES`] binary places.
    fn whole(&self) -> impl Iterator<Item = i32> + '_ {
        self.weights.iter().map(|w| (w * f64::from(1u32 << PLACES)).round() as i32)
    }
}

/// The taps of `to` output pixels over the first `extent` (of `size`) source pixels of a row or column.
fn taps(size: usize, extent: f64, to: usize) -> Vec<Taps> {
    let scale = extent / to as f64;
    let stretch = scale.max(1.0);
    let (support, shrink) = (LOBES * stretch, 1.0 / stretch);
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    let lanczos = |x: f64| if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 };
    let one = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(size);
        let weights: Vec<f64> = (first..end).map(|x| lanczos((x as f64 - centre + 0.5) * shrink)).collect();
        let sum: f64 = weights.iter().sum();
        Taps { first, weights: weights.iter().map(|w| w / sum).collect() }
    };
    (0..to).map(one).collect()
}

/// `image` at `width` x `height` pixels, to the bit what Pillow gives: rows first, rounded to 8 bits, then columns.
pub fn lanczos(image: &Image, width: usize, height: usize) -> Result<Image> {
    let (from_w, from_h) = (image.width() as usize, image.height() as usize);
    let rows: Vec<u8> = if width == from_w {
        image.data().to_vec()
    } else {
        let taps: Vec<WholeTaps> = taps(from_w, from_w as f64, width).iter().map(WholeTaps::new).collect();
        let mut rows = Vec::with_capacity(3 * width * from_h);
        let mut planes = [const { Vec::new() }; 3];
        for line in image.data().chunks_exact(3 * from_w) {
            for (channel, plane) in planes.iter_mut().enumerate() {
                plane.clear();
                plane.extend(line.iter().skip(channel).step_by(3).map(|&v| i16::from(v)));
            }
            rows.extend(taps.iter().flat_map(|t| [0, 1, 2].map(|channel| clip(t.sum(&planes[channel])))));
        }
        rows
    };
    if height == from_h {
        return Image::new(width as u32, height as u32, rows);
    }
    let mut data = Vec::with_capacity(3 * width * height);
    for t in taps(from_h, from_h as f64, height) {
        let mut sums = vec![1i32 << (PLACES - 1); 3 * width];
        for (line, w) in rows[3 * width * t.first..].chunks_exact(3 * width).zip(t.whole()) {
            sums.iter_mut().zip(line).for_each(|(s, &v)| *s += i32::from(v) * w);
        }
        data.extend(sums.into_iter().map(clip));
    }
    Image::new(width as u32, height as u32, data)
}

/// Whole weights in two parts of 16 bits, which the compiler multiplies eight at a time.
struct WholeTaps {
    first: usize,
    high: Vec<i16>,
    low: Vec<i16>,
}

impl WholeTaps {
    /// Bits of the low part; the high one, of weights up to 1, has as many.
    const LOW: u32 = PLACES / 2;

    fn new(taps: &Taps) -> Self {
        let high = taps.whole().map(|w| (w >> Self::LOW) as i16).collect();
        let low = taps.whole().map(|w| (w & ((1 << Self::LOW) - 1)) as i16).collect();
        WholeTaps { first: taps.first, high, low }
    }

    /// The weighted sum of `plane` and the half that rounds it.
    fn sum(&self, plane: &[i16]) -> i32 {
        let source = &plane[self.first..self.first + self.high.len()];
        let dot = |weights: &[i16]| source.iter().zip(weights).map(|(&v, &w)| i32::from(v) * i32::from(w)).sum::<i32>();
        (1 << (PLACES - 1)) + (dot(&self.high) << Self::LOW) + dot(&self.low)
    }
}

fn clip(sum: i32) -> u8 {
    (sum >> PLACES).clamp(0, 255) as u8
}

/// The top left `extent_w` x `extent_h` of `gray` at `width` x `height` pixels, in floats and not rounded. The extent
/// may end within a pixel.
pub fn lanczos_gray(gray: &Gray, (extent_w, extent_h): (f64, f64), width: usize, height: usize) -> Gray {
    // Columns first: whole rows are added up, which the compiler turns into SIMD.
    let mut tall = Gray::filled(gray.width, height, 0.0);
    for (out, t) in tall.data.chunks_exact_mut(gray.width).zip(taps(gray.height, extent_h, height)) {
        for (line, w) in gray.data[t.first * gray.width..].chunks_exact(gray.width).zip(t.weights) {
            let w = w as f32;
            out.iter_mut().zip(line).for_each(|(o, v)| *o += w * v);
        }
    }
    let taps = taps(gray.width, extent_w, width);
    let row = |line: &[f32]| {
        let pixel = |t: &Taps| line[t.first..].iter().zip(&t.weights).map(|(v, &w)| v * w as f32).sum::<f32>();
        taps.iter().map(pixel).collect::<Vec<f32>>()
    };
    Gray { width, height, data: tall.data.chunks_exact(gray.width).flat_map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_stays_a_plane() {
        let gray = Gray { width: 40, height: 30, data: (0..1200).map(|i| (i % 40) as f32 * 4.0).collect() };
        let small = lanczos_gray(&gray, (40.0, 30.0), 10, 6);
        for (i, v) in small.data.iter().enumerate().filter(|(i, _)| (2..8).contains(&(i % 10))) {
            let expected = ((i % 10) as f32 * 4.0 + 1.5) * 4.0;
            assert!((v - expected).abs() < 0.5, "{i}: {v} for {expected}");
        }
        // An extent that ends within a pixel: the same picture, a little less of it.
        let cut = lanczos_gray(&gray, (39.5, 30.0), 10, 6);
        assert!(cut.at(9, 3) < small.at(9, 3) && cut.at(9, 3) > small.at(9, 3) - 4.0);
    }

    #[test]
    fn bytes_and_floats_agree() {
        let mut rng = fastrand::Rng::with_seed(3);
        let data: Vec<u8> = (0..61 * 47).flat_map(|_| [rng.u8(..); 3]).collect();
        let image = Image::new(61, 47, data).unwrap();
        let small = lanczos(&image, 9, 8).unwrap();
        let gray = lanczos_gray(&image.to_gray(), (61.0, 47.0), 9, 8);
        for (byte, float) in small.data().chunks_exact(3).zip(&gray.data) {
            assert!((f32::from(byte[0]) - float).abs() < 1.1, "{byte:?} {float}");
        }
    }
}
