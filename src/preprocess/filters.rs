//! Filters on one channel.

use crate::image::Gray;

/// Means of 2 x 2 pixels; an odd last column or row is dropped.
pub fn halve(g: &Gray) -> Gray {
    let (width, height) = (g.width / 2, g.height / 2);
    let at = |x: usize, y: usize| {
        (g.at(2 * x, 2 * y) + g.at(2 * x + 1, 2 * y) + g.at(2 * x, 2 * y + 1) + g.at(2 * x + 1, 2 * y + 1)) / 4.0
    };
    let data = (0..width * height).map(|i| at(i % width, i / width)).collect();
    Gray { width, height, data }
}

/// Smooths a little, takes off the local mean and divides by the local standard deviation, both over squares of
/// `2 radius + 1` pixels. Contrast of less than about `flat` grey levels stays low: noise must not be blown up to structure.
pub fn normalise_contrast(g: &Gray, radius: usize, flat: f32) -> Gray {
    let smooth = box_mean(g, 1);
    let mean = box_mean(&smooth, radius);
    let mut out = smooth;
    for (v, m) in out.data.iter_mut().zip(&mean.data) {
        *v -= m;
    }
    let squares = Gray { data: out.data.iter().map(|v| v * v).collect(), ..out };
    let variance = box_mean(&squares, radius);
    for (v, s) in out.data.iter_mut().zip(&variance.data) {
        *v /= (s + flat * flat).sqrt();
    }
    out
}

/// Mean over a square of `2 radius + 1` pixels, cut at the borders.
pub fn box_mean(g: &Gray, radius: usize) -> Gray {
    let mut rows = Gray { data: Vec::with_capacity(g.data.len()), ..*g };
    for row in g.data.chunks_exact(g.width) {
        let mut sum: f32 = row[..radius.min(g.width)].iter().sum();
        for x in 0..g.width {
            if x + radius < g.width {
                sum += row[x + radius];
            }
            if x > radius {
                sum -= row[x - radius - 1];
            }
            let count = (x + radius).min(g.width - 1) + 1 - x.saturating_sub(radius);
            rows.data.push(sum / count as f32);
        }
    }
    let mut out = Gray { data: Vec::with_capacity(g.data.len()), ..*g };
    let mut sums = vec![0f32; g.width];
    for row in rows.data.chunks_exact(g.width).take(radius) {
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
    for y in 0..g.height {
        if y + radius < g.height {
            let entering = &rows.data[(y + radius) * g.width..][..g.width];
            sums.iter_mut().zip(entering).for_each(|(s, v)| *s += v);
        }
        if y > radius {
            let leaving = &rows.data[(y - radius - 1) * g.width..][..g.width];
            sums.iter_mut().zip(leaving).for_each(|(s, v)| *s -= v);
        }
        let count = ((y + radius).min(g.height - 1) + 1 - y.saturating_sub(radius)) as f32;
        out.data.extend(sums.iter().map(|s| s / count));
    }
    out
}
