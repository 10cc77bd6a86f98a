//! Pieces of a look at a picture. What is computed on a piece stays in the processor's cache, and a large drawing gives
//! many steps instead of one.

use super::{MULTIPLE, Sample};
use crate::error::Result;
use crate::geometry::Rect;
use crate::tensor::Tensor;

/// The side that pieces have about, in units of [`MULTIPLE`] input pixels.
const SIDE: u32 = 16;

/// A piece in units of [`MULTIPLE`] input pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column and row.
    pub origin: [u32; 2],
    /// Columns and rows.
    pub size: [u32; 2],
}

impl Window {
    /// Pieces that cover an input of `size` pixels; `shifted` ones have their borders where the others have their middles, so
    /// that what lies on a border now is whole the next time.
    pub fn cover(size: [u32; 2], shifted: bool) -> Vec<Window> {
        let [columns, rows] = size.map(|s| cuts(s / MULTIPLE, shifted));
        let spans = |cuts: &[u32]| cuts.windows(2).map(|c| (c[0], c[1] - c[0])).collect::<Vec<_>>();
        let (across, down) = (spans(&columns), spans(&rows));
        let window = |&(y, h): &(u32, u32), &(x, w): &(u32, u32)| Window { origin: [x, y], size: [w, h] };
        down.iter().flat_map(|d| across.iter().map(move |a| window(d, a))).collect()
    }

    /// Width and height in input pixels.
    pub fn pixels(&self) -> [u32; 2] {
        self.size.map(|s| s * MULTIPLE)
    }

    /// What is seen of `sample` in it.
    pub fn of(&self, sample: &Sample) -> Result<Sample> {
        // Of the maps at /4, /8, /16 and /32.
        let maps =
            sample.maps.iter().zip([8, 4, 2, 1]).map(|(map, scale)| self.cut(map, scale)).collect::<Result<_>>()?;
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

fn cuts(units: u32, shifted: bool) -> Vec<u32> {
    let count = ((units as f32 / SIDE as f32).round() as u32).max(1);
    let at = |i: f32| (units as f32 * i / count as f32).round() as u32;
    let mut cuts: Vec<u32> = match shifted && count > 1 {
        false => (0..=count).map(|i| at(i as f32)).collect(),
        true => std::iter::once(0).chain((0..count).map(|i| at(i as f32 + 0.5))).chain([units]).collect(),
    };
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_input_once() {
        for (size, shifted) in [([1280, 928], false), ([1280, 928], true), ([64, 320], true), ([32, 32], false)] {
            let mut seen = vec![0; (size[0] / 32 * size[1] / 32) as usize];
            for w in Window::cover(size, shifted) {
                for y in w.origin[1]..w.origin[1] + w.size[1] {
                    (w.origin[0]..w.origin[0] + w.size[0]).for_each(|x| seen[(y * size[0] / 32 + x) as usize] += 1);
                }
            }
            assert!(seen.iter().all(|&n| n == 1), "{size:?} {shifted}");
        }
        assert_eq!(Window::cover([1280, 928], false).len(), 6);
    }

    #[test]
    fn maps_and_boxes_are_cut_alike() {
        let map = |scale: usize| {
            let (w, h) = (3 * scale, 2 * scale);
            let data = (0..2 * w * h).map(|i| i as f32).collect();
            Tensor::new(vec![1, 2, h, w], data).unwrap()
        };
        let boxes = vec![Rect::from_xywh(40.0, 40.0, 8.0, 8.0), Rect::from_xywh(20.0, 40.0, 20.0, 8.0)];
        let sample = Sample { maps: [8, 4, 2, 1].map(map).to_vec(), boxes, classes: vec![3, 4] };
        let cut = Window { origin: [1, 1], size: [2, 1] }.of(&sample).unwrap();
        assert_eq!(cut.maps[3], Tensor::new(vec![1, 2, 1, 2], vec![4.0, 5.0, 10.0, 11.0]).unwrap());
        assert_eq!(cut.maps[0].shape(), [1, 2, 8, 16]);
        assert_eq!(cut.maps[2].data()[0], (2 * 6 + 2) as f32);
        // The second goes on beyond the border.
        assert_eq!(cut.boxes, [Rect::from_xywh(8.0, 8.0, 8.0, 8.0), Rect::from_xywh(-12.0, 8.0, 20.0, 8.0)]);
        assert_eq!(cut.classes, [3, 4]);
    }
}
