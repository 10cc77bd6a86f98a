//! Masks of single objects from the maps of a network.

use crate::error::{Error, Result};
use crate::geometry::Rect;
use crate::image::Gray;
use crate::preprocess::Placement;
use crate::tensor::Tensor;

/// The pixels of one object: a rectangle of the picture, one truth a pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Cutout {
    /// Column of its first pixel.
    pub left: u32,
    /// Row of its first pixel.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row by row, whether the pixel belongs to the object.
    pub inside: Vec<bool>,
}

impl Cutout {
    /// Number of pixels that belong to the object.
    pub fn area(&self) -> usize {
        self.inside.iter().filter(|&&i| i).count()
    }

    /// The pixels of `rect` whose value in `map` exceeds `threshold`. The map covers `extent` of a picture of
    /// `picture` (width, height) pixels and is read between its cells (bilinear, cell centres at half-integers), so that
    /// edges come out smooth at the picture's resolution.
    pub fn above(map: &Gray, extent: &Rect, rect: &Rect, picture: (u32, u32), threshold: f32) -> Cutout {
        let window = Window::new(map, extent, rect, picture);
        let mut inside = Vec::with_capacity(window.columns.len() * window.rows.len());
        sample(map, &window.columns, &window.rows, |v| {
            inside.push(v > threshold);
            true
        });
        let (width, height) = (window.columns.len() as u32, window.rows.len() as u32);
        Cutout { left: window.left, top: window.top, width, height, inside }
    }
}

/// The pixels of a box and where each lies in a map.
struct Window {
    left: u32,
    top: u32,
    columns: Vec<Between>,
    rows: Vec<Between>,
}

impl Window {
    fn new(map: &Gray, extent: &Rect, rect: &Rect, picture: (u32, u32)) -> Self {
        // A pixel belongs to a box that holds its upper left corner, as in the networks' original code.
        let [x1, y1, x2, y2] = <[f32; 4]>::from(rect.clip(picture.0, picture.1)).map(|v| v.ceil().max(0.0) as u32);
        let cells = |from: u32, to: u32, start: f32, length: f32, count: usize| -> Vec<Between> {
            (from..to).map(|p| Between::of((p as f32 + 0.5 - start) / length * count as f32, count)).collect()
        };
        let columns = cells(x1, x2, extent.x1, extent.width(), map.width);
        let rows = cells(y1, y2, extent.y1, extent.height(), map.height);
        Window { left: x1, top: y1, columns, rows }
    }
}

/// Reads `map` at every crossing of `rows` and `columns`, row by row, as long as `each` says true.
fn sample(map: &Gray, columns: &[Between], rows: &[Between], mut each: impl FnMut(f32) -> bool) {
    let mut line = vec![0f32; map.width];
    for row in rows {
        let (a, b) = (&map.data[row.first * map.width..], &map.data[row.second * map.width..]);
        line.iter_mut().zip(a.iter().zip(b)).for_each(|(v, (a, b))| *v = a + (b - a) * row.share);
        if !columns.iter().all(|c| each(line[c.first] + (line[c.second] - line[c.first]) * c.share)) {
            return;
        }
    }
}

/// Two neighbouring cells and the share of the second.
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

impl Between {
    fn of(at: f32, cells: usize) -> Self {
        let at = (at - 0.5).clamp(0.0, (cells - 1) as f32);
        let first = at as usize;
        Between { first, second: (first + 1).min(cells - 1), share: at - first as f32 }
    }
}

/// A network's prototypes, and where the picture lies in them.
#[derive(Debug)]
pub struct Prototypes<'a> {
    maps: &'a Tensor,
    /// Each cell is first split into so many, across and down, that the letterbox's border ends between two.
    finer: usize,
    /// Columns and rows of the split cells.
    across: Span,
    down: Span,
    picture: (u32, u32),
}

/// The cells that a side of the picture takes.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: usize,
    count: usize,
    /// Cells per pixel of the picture.
    scale: f32,
}

impl Span {
    /// `pad` pixels of the network's input, then `side` pixels of the picture at `scale`; `cells` per input pixel.
    fn new(pad: f32, side: u32, scale: f32, cells: f32, limit: usize) -> Self {
        let first = ((pad * cells).round() as usize).min(limit - 1);
        let count = ((side as f32 * scale * cells).round() as usize).clamp(1, limit - first);
        Span { first, count, scale: count as f32 / side as f32 }
    }

    /// The cells under the pixels of a box from `from` to `to`, and one around for the interpolation. The last pixel has its
    /// corner in the box, and its centre, which is what is looked up, may lie outside.
    fn under(&self, from: f32, to: f32) -> std::ops::Range<usize> {
        let first = ((from * self.scale - 1.5).max(0.0) as usize).min(self.count - 1);
        let last = (((to.ceil() - 0.5) * self.scale + 2.5).max(0.0) as usize).clamp(first + 1, self.count);
        self.first + first..self.first + last
    }

    /// The pixel of the picture at which cell `cell` begins.
    fn pixel(&self, cell: usize) -> f32 {
        (cell as f32 - self.first as f32) / self.scale
    }
}

impl<'a> Prototypes<'a> {
    /// `maps` is `1 x coefficients x rows x columns` and covers the network's input of `input` (width, height) pixels, in
    /// which the picture lies at `placement`.
    pub fn new(maps: &'a Tensor, input: (u32, u32), placement: &Placement) -> Result<Self> {
        let &[1, _, rows, columns] = maps.shape() else {
            let found = maps.shape();
            return Err(Error::Input(format!("mask prototypes have the shape {found:?}, expected 1 x C x H x W")));
        };
        let (width, height) = (placement.src_w, placement.src_h);
        let free = |input: u32, side: u32, scale: f32| input.saturating_sub((side as f32 * scale).round() as u32);
        let pad = free(input.0, width, placement.scale_x) | free(input.1, height, placement.scale_y);
        // Ultralytics' choice, for cells of four input pixels: the half of every border falls between two cells.
        let finer = 4 >> (pad | (pad / 2)).trailing_zeros().min(2);
        let cells = |count: usize, input: u32| (count * finer) as f32 / input as f32;
        let (across, down) = (cells(columns, input.0), cells(rows, input.1));
        Ok(Prototypes {
            maps,
            finer,
            across: Span::new(placement.pad_left, width, placement.scale_x, across, columns * finer),
            down: Span::new(placement.pad_top, height, placement.scale_y, down, rows * finer),
            picture: (width, height),
        })
    }

    /// The mask of an object: the prototypes added up with its coefficients, inside its box (source pixels), where the sum
    /// is positive (a probability above one half).
    pub fn assemble(&self, coefficients: &[f32], rect: &Rect) -> Result<Cutout> {
        let (map, extent) = self.under(coefficients, rect)?;
        Ok(Cutout::above(&map, &extent, rect, self.picture, 0.0))
    }

    /// Whether an object has a pixel at all: what [`Prototypes::assemble`] would show, without making it.
    pub fn shows(&self, coefficients: &[f32], rect: &Rect) -> Result<bool> {
        let (map, extent) = self.under(coefficients, rect)?;
        let window = Window::new(&map, &extent, rect, self.picture);
        let mut found = false;
        sample(&map, &window.columns, &window.rows, |v| {
            found = v > 0.0;
            !found
        });
        Ok(found)
    }

    /// The prototypes added up under a box, and the part of the picture that they cover.
    fn under(&self, coefficients: &[f32], rect: &Rect) -> Result<(Gray, Rect)> {
        let &[_, count, rows, columns] = self.maps.shape() else { return Err(Error::Internal("prototypes".into())) };
        if coefficients.len() != count {
            return Err(Error::Input(format!("{} mask coefficients for {count} prototypes", coefficients.len())));
        }
        let (fine_x, fine_y) = (self.across.under(rect.x1, rect.x2), self.down.under(rect.y1, rect.y2));
        // The whole cells that these are split from, and one around.
        let whole = |fine: &std::ops::Range<usize>, limit: usize| {
            (fine.start / self.finer).saturating_sub(1)..(fine.end.div_ceil(self.finer) + 1).min(limit)
        };
        let (x, y) = (whole(&fine_x, columns), whole(&fine_y, rows));
        let mut sum = Gray::filled(x.len(), y.len(), 0.0);
        for (map, coefficient) in self.maps.data().chunks_exact(rows * columns).zip(coefficients) {
            for (row, line) in y.clone().zip(sum.data.chunks_exact_mut(x.len())) {
                let cells = &map[row * columns..][x.clone()];
                line.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += coefficient * cell);
            }
        }
        let split = |fine: &std::ops::Range<usize>, whole: &std::ops::Range<usize>| -> Vec<Between> {
            let at = |cell: usize| (cell as f32 + 0.5) / self.finer as f32 - whole.start as f32;
            fine.clone().map(|cell| Between::of(at(cell), whole.len())).collect()
        };
        let mut fine = Gray { width: fine_x.len(), height: fine_y.len(), data: Vec::new() };
        sample(&sum, &split(&fine_x, &x), &split(&fine_y, &y), |v| {
            fine.data.push(v);
            true
        });
        let extent = Rect {
            x1: self.across.pixel(fine_x.start),
            y1: self.down.pixel(fine_y.start),
            x2: self.across.pixel(fine_x.end),
            y2: self.down.pixel(fine_y.end),
        };
        Ok((fine, extent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a picture comes to lie in an input of 160x160 pixels.
    fn letterboxed(w: u32, h: u32) -> (Placement, (u32, u32)) {
        let gain = 160.0 / w.max(h) as f32;
        let (inner_w, inner_h) = ((w as f32 * gain).round(), (h as f32 * gain).round());
        let placement = Placement {
            scale_x: inner_w / w as f32,
            scale_y: inner_h / h as f32,
            pad_left: ((160.0 - inner_w) / 2.0).floor(),
            pad_top: ((160.0 - inner_h) / 2.0).floor(),
            src_w: w,
            src_h: h,
        };
        (placement, (160, 160))
    }

    /// How many pixels differ between a mask assembled for its box and the same part of one assembled for the picture, and of
    /// how many.
    fn differences((w, h): (u32, u32), x: f32, y: f32, s: f32, seed: u64) -> (usize, usize) {
        let mut random = fastrand::Rng::with_seed(seed);
        let maps = Tensor::new(vec![1, 3, 40, 40], (0..4800).map(|_| random.f32() - 0.5).collect()).unwrap();
        let (placement, input) = letterboxed(w, h);
        let prototypes = Prototypes::new(&maps, input, &placement).unwrap();
        let rect = Rect::from_xywh(x * w as f32, y * h as f32, s * w as f32, s * h as f32);
        let cut = prototypes.assemble(&[1.0, -2.0, 0.5], &rect).unwrap();
        let whole = prototypes.assemble(&[1.0, -2.0, 0.5], &Rect::from_xywh(0.0, 0.0, w as f32, h as f32)).unwrap();
        assert!(cut.left + cut.width <= w && cut.top + cut.height <= h);
        let mut different = 0;
        for row in 0..cut.height {
            for column in 0..cut.width {
                let at = ((cut.top + row) * w + cut.left + column) as usize;
                different += usize::from(whole.inside[at] != cut.inside[(row * cut.width + column) as usize]);
            }
        }
        (different, cut.inside.len())
    }

    /// In a picture smaller than the maps, half a pixel is several cells.
    #[test]
    fn a_pixel_may_hang_over_its_box() {
        assert_eq!(differences((20, 22), 0.6335442, 0.0, 0.31976575, 318806403010).0, 0);
    }

    proptest! {
        /// Cutting the prototypes to the box first gives what the whole map would.
        #[test]
        fn a_window_is_enough(w in 20u32..300, h in 20u32..300, x in 0f32..0.9, y in 0f32..0.9, s in 0.02f32..1.0, seed in any::<u64>()) {
            let (different, pixels) = differences((w, h), x, y, s, seed);
            // Sums that are zero but for rounding may fall on either side.
            prop_assert!(different <= 1 + pixels / 1000, "{} of {}", different, pixels);
        }
    }

    #[test]
    fn letterbox_borders_are_cut_off() {
        // 100x50 in a square: the picture covers rows 10 to 30 of 40.
        let mut data = vec![1.0; 1600];
        data[..400].fill(-1.0);
        data[1200..].fill(-1.0);
        let maps = Tensor::new(vec![1, 1, 40, 40], data).unwrap();
        let all = Rect::from_xywh(0.0, 0.0, 100.0, 50.0);
        let (placement, input) = letterboxed(100, 50);
        let cut = Prototypes::new(&maps, input, &placement).unwrap().assemble(&[1.0], &all).unwrap();
        assert_eq!((cut.width, cut.height, cut.area()), (100, 50, 5000));
    }

    #[test]
    fn edges_are_smooth() {
        let map = Gray { width: 2, height: 1, data: vec![1.0, 0.0] };
        let all = Rect::from_xywh(0.0, 0.0, 100.0, 10.0);
        let cut = Cutout::above(&map, &all, &all, (100, 10), 0.5);
        assert_eq!(cut.inside[..100].iter().filter(|&&i| i).count(), 50);
    }
}
