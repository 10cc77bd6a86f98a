//! Pieces of a look at a picture. What is computed on a piece stays in the processor's cache, and a large drawing gives
//! many steps instead of one.

use super::{MULTIPLE, Sample};
use crate::error::Result;
use crate::geometry::Rect;
use crate::tensor::Tensor;

/// The longest side of pieces in units of [`MULTIPLE`] input pixels: so large that what the head sees beyond a border, nothing,
/// is a small part.
const SIDE: u32 = 25;

/// A piece in units of [`MULTIPLE`] input pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column and row.
    pub origin: [u32; 2],
    /// Columns and rows.
    pub size: [u32; 2],
}

impl Window {
    /// How many pieces have about the area of an input of `size` pixels.
    pub fn count(size: [u32; 2]) -> usize {
        let share = |s: u32| f64::from(s / MULTIPLE) / f64::from((s / MULTIPLE).min(SIDE));
        (share(size[0]) * share(size[1])).round() as usize
    }

    /// A piece of an input of `size` pixels, anywhere.
    pub fn random(size: [u32; 2], random: &mut fastrand::Rng) -> Window {
        let whole = size.map(|s| s / MULTIPLE);
        let size = whole.map(|s| s.min(SIDE));
        Window { origin: [0, 1].map(|axis| random.u32(0..=whole[axis] - size[axis])), size }
    }

    /// Width and height in input pixels.
    pub fn pixels(&self) -> [u32; 2] {
        self.size.map(|s| s * MULTIPLE)
    }

    /// What is seen of `sample` in it.
    pub fn of(&self, sample: &Sample) -> Result<Sample> {
        // Of the maps at /8, /16 and /32.
        let maps = sample.maps.iter().zip([4, 2, 1]).map(|(map, scale)| self.cut(map, scale)).collect::<Result<_>>()?;
        let [x, y] = self.origin.map(|o| (o * MULTIPLE) as f32);
        let [w, h] = self.pixels();
        // Boxes go on beyond the border: the trunk has seen the whole, and nothing in its maps tells where this piece ends.
        let seen = sample.boxes.iter().zip(&sample.classes).filter_map(|(rect, class)| {
            let moved = rect.moved(-x, -y);
            (moved.clip(w, h).area() > 0.0).then_some((moved, *class))
        });
        let (boxes, classes): (Vec<Rect>, Vec<usize>) = seen.unzip();
        Ok(Sample { maps, boxes, classes })
    }

    /// The part of a map with `scale` cells a unit.
    fn cut(&self, map: &Tensor, scale: usize) -> Result<Tensor> {
        let (channels, rows, columns) = map.chw()?;
        let [x, y] = self.origin.map(|o| o as usize * scale);
        let [w, h] = self.size.map(|s| s as usize * scale);
        let mut data = Vec::with_capacity(channels * w * h);
        for plane in map.data().chunks_exact(rows * columns) {
            for row in plane.chunks_exact(columns).skip(y).take(h) {
                data.extend_from_slice(&row[x..x + w]);
            }
        }
        Tensor::new(vec![1, channels, h, w], data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_in_the_input() {
        let mut random = fastrand::Rng::with_seed(1);
        for (size, count) in [([2048, 1440], 5), ([800, 640], 1), ([64, 3200], 4), ([32, 32], 1)] {
            assert_eq!(Window::count(size), count, "{size:?}");
            let mut seen = [0, 0];
            for _ in 0..200 {
                let w = Window::random(size, &mut random);
                let end = [0, 1].map(|axis| (w.origin[axis] + w.size[axis]) * MULTIPLE);
                assert!(end[0] <= size[0] && end[1] <= size[1], "{size:?} {w:?}");
                assert_eq!(w.pixels(), size.map(|s| s.min(800)));
                seen = [0, 1].map(|axis| end[axis].max(seen[axis]));
            }
            // Up to the border.
            assert_eq!(seen, size);
        }
    }

    #[test]
    fn maps_and_boxes_are_cut_alike() {
        let map = |scale: usize| {
            let (w, h) = (3 * scale, 2 * scale);
            let data = (0..2 * w * h).map(|i| i as f32).collect();
            Tensor::new(vec![1, 2, h, w], data).unwrap()
        };
        let boxes = vec![Rect::from_xywh(40.0, 40.0, 8.0, 8.0), Rect::from_xywh(20.0, 40.0, 20.0, 8.0)];
        let sample = Sample { maps: [4, 2, 1].map(map).to_vec(), boxes, classes: vec![3, 4] };
        let cut = Window { origin: [1, 1], size: [2, 1] }.of(&sample).unwrap();
        assert_eq!(cut.maps[2], Tensor::new(vec![1, 2, 1, 2], vec![4.0, 5.0, 10.0, 11.0]).unwrap());
        assert_eq!(cut.maps[0].shape(), [1, 2, 4, 8]);
        assert_eq!(cut.maps[1].data()[0], (2 * 6 + 2) as f32);
        // The second goes on beyond the border.
        assert_eq!(cut.boxes, [Rect::from_xywh(8.0, 8.0, 8.0, 8.0), Rect::from_xywh(-12.0, 8.0, 20.0, 8.0)]);
        assert_eq!(cut.classes, [3, 4]);
    }
}
