//! The edges of a picture: where, how strong, in which direction; and maps that tell how near an edge of a given
//! direction is.
//!
//! A thin stroke of a drawing has an edge on each side and an object in a photograph has one all around: in terms of edges
//! both are the same kind of thing, and so the matching is the same. Directions count modulo 180 degrees, as in LINE-MOD
//! (Hinterstoisser et al. 2012), whose spread response maps these are.

use crate::image::Gray;

/// Directions are told apart in this many bins over 180 degrees.
pub(super) const BINS: usize = 8;
/// Side of the window in which contrast is compared with the strongest, in pixels.
const WINDOW: usize = 48;
/// Share of a picture's contrast below which a gradient is noise, whatever surrounds it. An edge between black and white
/// has a gradient of 0.6 times the contrast.
const NOISE: f32 = 0.1;
/// Share of the strongest contrast around it at which an edge counts in full, and that below which it does not count.
const FULL: f32 = 0.55;
const LEAST: f32 = 0.22;

/// The edges of a picture.
pub(super) struct Edges {
    pub width: usize,
    pub height: usize,
    /// Strength of each pixel's edge, 0 to 255; on the crest of an edge and beside it.
    pub strength: Vec<u8>,
    /// Direction of the gradient of each pixel modulo 180 degrees, in 256ths of 180 degrees.
    pub angle: Vec<u8>,
    /// Whether the pixel is on the crest: the edges, one pixel wide.
    pub crest: Vec<bool>,
}

impl Edges {
    /// The edges of `gray`.
    ///
    /// `contrast` is that of the whole picture, of which `gray` may be a part.
    pub fn new(gray: &Gray, contrast: f32) -> Self {
        let (width, height) = (gray.width, gray.height);
        let smooth = smoothed(gray);
        let (mut gx, mut gy) = (vec![0f32; width * height], vec![0f32; width * height]);
        let at = |x: usize, y: usize| smooth.data[y * width + x];
        for y in 0..height {
            let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
            for x in 0..width {
                let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
                gx[y * width + x] = at(right, y) - at(left, y);
                gy[y * width + x] = at(x, down) - at(x, up);
            }
        }
        let magnitude: Vec<f32> = gx.iter().zip(&gy).map(|(x, y)| x.hypot(*y)).collect();
        let around = window_max(&magnitude, width, height);
        let floor = NOISE * contrast;
        let mut strength = vec![0u8; width * height];
        let mut angle = vec![0u8; width * height];
        let mut crest = vec![false; width * height];
        for i in 0..width * height {
            let share = magnitude[i] / around[i].max(floor).max(1e-3);
            if share < LEAST {
                continue;
            }
            strength[i] = (255.0 * (share / FULL).min(1.0)) as u8;
            // Half a turn is 256 units.
            let turn = gy[i].atan2(gx[i]) * (256.0 / std::f32::consts::PI);
            angle[i] = (turn.round() as i32).rem_euclid(256) as u8;
            let (x, y) = (i % width, i / width);
            if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
                continue;
            }
            let (dx, dy) = (gx[i].abs(), gy[i].abs());
            let same_sign = (gx[i] > 0.0) == (gy[i] > 0.0);
            let (before, after) = if dx > 2.414 * dy {
                (i - 1, i + 1)
            } else if dy > 2.414 * dx {
                (i - width, i + width)
            } else if same_sign {
                (i - width - 1, i + width + 1)
            } else {
                (i - width + 1, i + width - 1)
            };
            crest[i] = magnitude[i] >= magnitude[before] && magnitude[i] > magnitude[after];
        }
        Edges { width, height, strength, angle, crest }
    }

    /// For each direction a map of how near an edge of about that direction is: 255 on it, less by `fading[0]` one pixel
    /// away, by `fading[1]` more two pixels away and so on, 0 beyond.
    pub fn responses(&self, fading: &[u8]) -> Vec<Vec<u8>> {
        (0..BINS).map(|bin| self.response(bin, fading)).collect()
    }

    fn response(&self, bin: usize, fading: &[u8]) -> Vec<u8> {
        let centre = (bin * 256 / BINS) as u8;
        let weights: Vec<u16> = (0..=255u8).map(|a| likeness(a, centre)).collect();
        let mut map = vec![0u8; self.strength.len()];
        for (i, value) in map.iter_mut().enumerate() {
            if self.crest[i] {
                *value = (u16::from(self.strength[i]) * weights[usize::from(self.angle[i])] / 255) as u8;
            }
        }
        for &loss in fading {
            spread(&mut map, self.width, loss);
        }
        map
    }
}

/// How alike two directions are, 0 to 255: in full up to 17 degrees, not at all from 40.
pub(super) fn likeness(a: u8, b: u8) -> u16 {
    let apart = f32::from(a.wrapping_sub(b).min(b.wrapping_sub(a))) * (180.0 / 256.0);
    (255.0 * ((40.0 - apart) / 23.0).clamp(0.0, 1.0)) as u16
}

/// The bin of a direction in 256ths of half a turn.
pub(super) fn bin(angle: u8) -> usize {
    (usize::from(angle) + 128 / BINS) * BINS / 256 % BINS
}

/// Binomial smoothing over five pixels.
fn smoothed(g: &Gray) -> Gray {
    let (w, h) = (g.width, g.height);
    let mut rows = vec![0f32; w * h];
    for y in 0..h {
        let row = &g.data[y * w..][..w];
        for x in 0..w {
            let at = |d: isize| row[(x as isize + d).clamp(0, w as isize - 1) as usize];
            rows[y * w + x] = (at(-2) + at(2) + 4.0 * (at(-1) + at(1)) + 6.0 * at(0)) / 16.0;
        }
    }
    let mut data = vec![0f32; w * h];
    for y in 0..h {
        let row = |d: isize| &rows[(y as isize + d).clamp(0, h as isize - 1) as usize * w..][..w];
        let (a, b, c, d, e) = (row(-2), row(-1), row(0), row(1), row(2));
        for (x, value) in data[y * w..][..w].iter_mut().enumerate() {
            *value = (a[x] + e[x] + 4.0 * (b[x] + d[x]) + 6.0 * c[x]) / 16.0;
        }
    }
    Gray { width: w, height: h, data }
}

/// The largest value near each pixel: over the blocks of half a [`WINDOW`] that its own touches.
fn window_max(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    let side = WINDOW / 2;
    let (across, down) = (width.div_ceil(side), height.div_ceil(side));
    let mut blocks = vec![0f32; across * down];
    for (i, &v) in values.iter().enumerate() {
        let block = &mut blocks[i / width / side * across + i % width / side];
        *block = block.max(v);
    }
    let near = |bx: usize, by: usize| {
        let mut best = 0f32;
        for y in by.saturating_sub(1)..(by + 2).min(down) {
            for x in bx.saturating_sub(1)..(bx + 2).min(across) {
                best = best.max(blocks[y * across + x]);
            }
        }
        best
    };
    let wide: Vec<f32> = (0..across * down).map(|b| near(b % across, b / across)).collect();
    (0..width * height).map(|i| wide[i / width / side * across + i % width / side]).collect()
}

/// Each pixel becomes the largest of its eight neighbours less `loss`, if that is more than it is.
fn spread(map: &mut [u8], width: usize, loss: u8) {
    let mut rows = map.to_vec();
    for (out, row) in rows.chunks_exact_mut(width).zip(map.chunks_exact(width)) {
        for (o, v) in out[1..].iter_mut().zip(row) {
            *o = (*o).max(*v);
        }
        for (o, v) in out.iter_mut().zip(&row[1..]) {
            *o = (*o).max(*v);
        }
    }
    for (y, out) in map.chunks_exact_mut(width).enumerate() {
        for near in [y.wrapping_sub(1), y, y + 1] {
            let Some(row) = rows.get(near.wrapping_mul(width)..).and_then(|r| r.get(..width)) else { continue };
            for (o, v) in out.iter_mut().zip(row) {
                *o = (*o).max(v.saturating_sub(loss));
            }
        }
    }
}
