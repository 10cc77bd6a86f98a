//! Pieces of a large picture, as slicing-aided inference cuts them (SAHI, Akyon et al. 2022).

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

    fn starts(&self, side: u32) -> Vec<u32> {
        let step = ((self.size as f32 * (1.0 - self.overlap)) as u32).max(1);
        let last = side.saturating_sub(self.size);
        (0..last.div_ceil(step)).map(|i| i * step).chain([last]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
