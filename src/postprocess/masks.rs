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
        // A pixel belongs to a box that holds its upper left corner, as in the networks' original code.
        let [x1, y1, x2, y2] = <[f32; 4]>::from(rect.clip(picture.0, picture.1)).map(|v| v.ceil().max(0.0) as u32);
        let (x2, y2) = (x2.max(x1), y2.max(y1));
        let columns: Vec<Between> = (x1..x2)
            .map(|x| Between::of((x as f32 + 0.5 - extent.x1) / extent.width() * map.width as f32, map.width))
            .collect();
        let mut inside = Vec::with_capacity(columns.len() * (y2 - y1) as usize);
        let mut line = vec![0f32; map.width];
        for y in y1..y2 {
            let row = Between::of((y as f32 + 0.5 - extent.y1) / extent.height() * map.height as f32, map.height);
            let (a, b) = (&map.data[row.first * map.width..], &map.data[row.second * map.width..]);
            line.iter_mut().zip(a.iter().zip(b)).for_each(|(v, (a, b))| *v = a + (b - a) * row.share);
            inside
                .extend(columns.iter().map(|c| line[c.first] + (line[c.second] - line[c.first]) * c.share > threshold));
        }
        Cutout { left: x1, top: y1, width: x2 - x1, height: y2 - y1, inside }
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
    /// Prototype cells per picture pixel, across and down.
    scale: (f32, f32),
    /// The cells that the letterbox's border takes left and above; it may end between two.
    border: (f32, f32),
    picture: (u32, u32),
}

impl<'a> Prototypes<'a> {
    /// `maps` is `1 x coefficients x rows x columns` and covers the network's input of `input` (width, height) pixels, in
    /// which the picture lies at `placement`.
    pub fn new(maps: &'a Tensor, input: (u32, u32), placement: &Placement) -> Result<Self> {
        let &[1, _, rows, columns] = maps.shape() else {
            let found = maps.shape();
            return Err(Error::Input(format!("mask prototypes have the shape {found:?}, expected 1 x C x H x W")));
        };
        let (across, down) = (columns as f32 / input.0 as f32, rows as f32 / input.1 as f32);
        Ok(Prototypes {
            maps,
            scale: (placement.scale_x * across, placement.scale_y * down),
            border: (placement.pad_left * across, placement.pad_top * down),
            picture: (placement.src_w, placement.src_h),
        })
    }

    /// The mask of an object: the prototypes added up with its coefficients, inside its box (source pixels), where the sum
    /// is positive (a probability above one half).
    pub fn assemble(&self, coefficients: &[f32], rect: &Rect) -> Result<Cutout> {
        let &[_, count, rows, columns] = self.maps.shape() else { return Err(Error::Internal("prototypes".into())) };
        if coefficients.len() != count {
            return Err(Error::Input(format!("{} mask coefficients for {count} prototypes", coefficients.len())));
        }
        // Only the cells under the box, and one around for the interpolation.
        let span = |from: f32, to: f32, cells: usize| {
            let first = ((from - 1.5).max(0.0) as usize).min(cells - 1);
            (first, ((to + 2.5).max(0.0) as usize).clamp(first + 1, cells))
        };
        let ((sx, sy), (left, top)) = (self.scale, self.border);
        let (x1, x2) = span(left + rect.x1 * sx, left + rect.x2 * sx, columns);
        let (y1, y2) = span(top + rect.y1 * sy, top + rect.y2 * sy, rows);
        let mut sum = Gray::filled(x2 - x1, y2 - y1, 0.0);
        for (map, coefficient) in self.maps.data().chunks_exact(rows * columns).zip(coefficients) {
            for (y, line) in (y1..y2).zip(sum.data.chunks_exact_mut(x2 - x1)) {
                let cells = &map[y * columns + x1..y * columns + x2];
                line.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += coefficient * cell);
            }
        }
        let (across, down) = (|cell: usize| (cell as f32 - left) / sx, |cell: usize| (cell as f32 - top) / sy);
        let extent = Rect { x1: across(x1), y1: down(y1), x2: across(x2), y2: down(y2) };
        Ok(Cutout::above(&sum, &extent, rect, self.picture, 0.0))
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

    proptest! {
        /// Cutting the prototypes to the box first gives what the whole map would.
        #[test]
        fn a_window_is_enough(w in 20u32..300, h in 20u32..300, x in 0f32..0.9, y in 0f32..0.9, s in 0.02f32..1.0, seed in any::<u64>()) {
            let mut random = fastrand::Rng::with_seed(seed);
            let maps = Tensor::new(vec![1, 3, 40, 40], (0..4800).map(|_| random.f32() - 0.5).collect()).unwrap();
            let (placement, input) = letterboxed(w, h);
            let prototypes = Prototypes::new(&maps, input, &placement).unwrap();
            let rect = Rect::from_xywh(x * w as f32, y * h as f32, s * w as f32, s * h as f32);
            let cut = prototypes.assemble(&[1.0, -2.0, 0.5], &rect).unwrap();
            let whole = prototypes.assemble(&[1.0, -2.0, 0.5], &Rect::from_xywh(0.0, 0.0, w as f32, h as f32)).unwrap();
            prop_assert!(cut.left + cut.width <= w && cut.top + cut.height <= h);
            let mut different = 0;
            for row in 0..cut.height {
                for column in 0..cut.width {
                    let at = ((cut.top + row) * w + cut.left + column) as usize;
                    different += usize::from(whole.inside[at] != cut.inside[(row * cut.width + column) as usize]);
                }
            }
            // Sums that are zero but for rounding may fall on either side.
            prop_assert!(different * 1000 <= cut.inside.len(), "{} of {}", different, cut.inside.len());
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
