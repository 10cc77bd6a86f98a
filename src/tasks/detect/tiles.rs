//! Pieces of a large picture, as slicing-aided inference cuts them (SAHI, Akyon et al. 2022).

use crate::geometry::Rect;
use crate::postprocess::detection::Detection;
use crate::postprocess::nms::{Overlap, better_first};

/// Boxes of neighbouring tiles show one object if they share this much of the smaller.
pub(in crate::tasks) const SAME_ACROSS_TILES: f32 = 0.5;
/// A box that ends so close to the border of a tile, in pixels, is taken for cut by it.
const AT_BORDER: f32 = 3.0;

/// How a picture is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tiles {
    /// Side of a piece in source pixels.
    pub size: u32,
    /// Share of a piece that its neighbour covers too, 0 up to 0.9.
    pub overlap: f32,
}

impl Tiles {
    /// Pieces `(x, y, width, height)` that cover a picture; none if one piece covers it. The last ones move back so that
    /// each piece lies inside and has the full size wherever the picture does.
    pub fn cover(&self, width: u32, height: u32) -> Vec<(u32, u32, u32, u32)> {
        let (xs, ys) = (self.starts(width), self.starts(height));
        if xs.len() * ys.len() < 2 {
            return Vec::new();
        }
        let (w, h) = (self.size.min(width), self.size.min(height));
        ys.iter().flat_map(|&y| xs.iter().map(move |&x| (x, y, w, h))).collect()
    }

    /// How many pieces cover a picture.
    pub fn count(&self, width: u32, height: u32) -> u64 {
        let along = |side: u32| u64::from(side.saturating_sub(self.size).div_ceil(self.step())) + 1;
        along(width) * along(height)
    }

    fn step(&self) -> u32 {
        ((self.size as f32 * (1.0 - self.overlap)) as u32).max(1)
    }

    /// Whether a box in the pixels of the tile `(x, y, width, height)` is cut by a border that is not the picture's.
    pub fn cuts(rect: &Rect, tile: (u32, u32, u32, u32), picture: (u32, u32)) -> bool {
        let (x, y, w, h) = tile;
        (x > 0 && rect.x1 < AT_BORDER)
            || (y > 0 && rect.y1 < AT_BORDER)
            || (x + w < picture.0 && rect.x2 > w as f32 - AT_BORDER)
            || (y + h < picture.1 && rect.y2 > h as f32 - AT_BORDER)
    }

    fn starts(&self, side: u32) -> Vec<u32> {
        let step = self.step();
        let last = side.saturating_sub(self.size);
        (0..last.div_ceil(step)).map(|i| i * step).chain([last]).collect()
    }
}

/// One object for what several looks saw of it, the best `max`. Boxes that no tile cuts come first: a part never replaces
/// the whole, however sure the network is of it. Parts of one object that nobody saw whole grow together.
pub(in crate::tasks) fn merge(mut seen: Vec<(Detection, bool)>, agnostic: bool, max: usize) -> Vec<Detection> {
    seen.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| better_first(&a.0, &b.0)));
    let mut kept: Vec<(Detection, bool)> = Vec::new();
    for (d, cut) in seen {
        let same = |k: &&mut (Detection, bool)| {
            (agnostic || k.0.class == d.class) && Overlap::Smaller.of(&k.0.rect, &d.rect) > SAME_ACROSS_TILES
        };
        match kept.iter_mut().find(same) {
            Some((whole, true)) if cut => {
                whole.rect = Rect::around([whole.rect, d.rect].iter().flat_map(Rect::corners))
            }
            Some(_) => {}
            None => kept.push((d, cut)),
        }
    }
    let mut objects: Vec<Detection> = kept.into_iter().map(|(d, _)| d).collect();
    objects.sort_by(better_first);
    objects.truncate(max);
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_never_replace_the_whole() {
        let box_at = |score, x, w| Detection { class: 0, score, rect: Rect::from_xywh(x, 0.0, w, 50.0) };
        let whole = box_at(0.5, 0.0, 200.0);
        let parts = [(box_at(0.9, 0.0, 110.0), true), (whole, false), (box_at(0.8, 90.0, 110.0), true)];
        assert_eq!(merge(parts.to_vec(), false, 9), [whole]);
        // Nobody saw it whole, and the parts overlap by most of the smaller.
        let parts = vec![(box_at(0.9, 0.0, 110.0), true), (box_at(0.8, 40.0, 100.0), true)];
        assert_eq!(merge(parts, false, 9), [box_at(0.9, 0.0, 140.0)]);
    }

    #[test]
    fn inner_borders_cut() {
        let picture = (1000, 500);
        let at_left = Rect::from_xywh(0.0, 100.0, 50.0, 50.0);
        assert!(!Tiles::cuts(&at_left, (0, 0, 500, 500), picture));
        assert!(Tiles::cuts(&at_left, (400, 0, 500, 500), picture));
        assert!(Tiles::cuts(&Rect::from_xywh(460.0, 0.0, 40.0, 50.0), (0, 0, 500, 500), picture));
        assert!(!Tiles::cuts(&Rect::from_xywh(460.0, 0.0, 40.0, 50.0), (500, 0, 500, 500), picture));
    }

    proptest! {
        #[test]
        fn every_pixel_is_covered(w in 1u32..3000, h in 1u32..300, size in 32u32..900, overlap in 0f32..0.9) {
            let parts = Tiles { size, overlap }.cover(w, h);
            prop_assert_eq!(parts.is_empty(), w <= size && h <= size);
            let mut reached = 0;
            for (x, y, pw, ph) in parts.into_iter().filter(|p| p.1 == 0) {
                prop_assert!(x + pw <= w && y + ph <= h && x <= reached);
                reached = reached.max(x + pw);
            }
            prop_assert!(reached == w || (w <= size && h <= size));
        }
    }
}
