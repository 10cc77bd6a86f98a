//! Bilinear resizing without antialiasing, to the bit as OpenCV's `resize` with `INTER_LINEAR` on 8-bit pixels: networks
//! trained on its output score a little differently on any other.

use crate::error::Result;
use crate::image::Image;

/// Weights are whole numbers of 1/2048, as in OpenCV (`INTER_RESIZE_COEF_BITS`).
const BITS: u32 = 11;

/// Two neighbouring pixels and their weights, which add up to 2048.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    first: usize,
    second: usize,
    weights: [i32; 2],
}

/// The pairs for `target` pixels out of `source`, pixel centres at half-integers. OpenCV leaves columns beyond the border
/// their border pixel alone; rows keep their weights and take the border row twice (`rows`).
fn pairs(source: usize, target: usize, rows: bool) -> Vec<Pair> {
    let scale = source as f64 / target as f64;
    let last = source as i64 - 1;
    let pair = |i: usize| {
        let at = ((i as f64 + 0.5) * scale - 0.5) as f32;
        let first = at.floor() as i64;
        let outside = !rows && (first < 0 || first >= last);
        let share = if outside { 0.0 } else { at - at.floor() };
        let weight = |share: f32| (share * (1 << BITS) as f32).round_ties_even() as i32;
        Pair {
            first: first.clamp(0, last) as usize,
            second: (first + 1).clamp(0, last) as usize,
            weights: [weight(1.0 - share), weight(share)],
        }
    };
    (0..target).map(pair).collect()
}

/// `image` at `width` x `height`.
pub(super) fn resize(image: &Image, width: u32, height: u32) -> Result<Image> {
    let row_length = image.width() as usize * 3;
    let columns = pairs(image.width() as usize, width as usize, false);
    let across = |row: usize, line: &mut [i32]| {
        let source = &image.data()[row * row_length..][..row_length];
        for (target, pair) in line.chunks_exact_mut(3).zip(&columns) {
            let (a, b) = (&source[pair.first * 3..][..3], &source[pair.second * 3..][..3]);
            for channel in 0..3 {
                target[channel] = i32::from(a[channel]) * pair.weights[0] + i32::from(b[channel]) * pair.weights[1];
            }
        }
    };
    let mut data = Vec::with_capacity(width as usize * height as usize * 3);
    // The two source rows in use, resized across; growing pictures use them several times.
    let mut lines = [vec![0i32; width as usize * 3], vec![0i32; width as usize * 3]];
    let mut held = [usize::MAX; 2];
    for pair in pairs(image.height() as usize, height as usize, true) {
        if held[1] == pair.first {
            lines.swap(0, 1);
            held.swap(0, 1);
        }
        for (i, row) in [pair.first, pair.second].into_iter().enumerate() {
            if held[i] != row {
                across(row, &mut lines[i]);
                held[i] = row;
            }
        }
        // 22 bits of fraction are shed in three steps, as OpenCV's vector code does.
        let [upper, lower] = pair.weights;
        let blend = |(a, b): (&i32, &i32)| ((((a >> 4) * upper) >> 16) + (((b >> 4) * lower) >> 16) + 2) >> 2;
        data.extend(lines[0].iter().zip(&lines[1]).map(|l| blend(l) as u8));
    }
    Image::new(width, height, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pixel is OpenCV's (tools/reference_resize.py).
    #[test]
    fn as_opencv() {
        let value = |x: usize, y: usize, c: usize| ((x * 37 + y * 91 + c * 53 + x * y * 7) % 256) as u8;
        let data = (0..17).flat_map(|y| (0..23).flat_map(move |x| (0..3).map(move |c| value(x, y, c)))).collect();
        let picture = Image::new(23, 17, data).unwrap();
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/reference/resize.json")).unwrap();
        for expected in reference["resized"].as_array().unwrap() {
            let side = |name: &str| expected[name].as_u64().unwrap() as u32;
            let found = resize(&picture, side("width"), side("height")).unwrap();
            let pixels: Vec<u64> = expected["pixels"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap()).collect();
            assert_eq!(found.data().iter().map(|&v| u64::from(v)).collect::<Vec<_>>(), pixels);
        }
    }
}
