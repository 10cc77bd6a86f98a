//! Connected components of a score map: where a defect begins and ends.

use crate::geometry::Rect;
use crate::image::Gray;

/// A connected set of map cells above a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blob {
    /// The box around it in cells of the map.
    pub rect: Rect,
    /// Its largest value.
    pub score: f32,
    /// How many cells it has.
    pub cells: usize,
}

/// The 8-connected components of the cells above `threshold`, the highest score first.
pub fn above(map: &Gray, threshold: f32) -> Vec<Blob> {
    let mut seen = vec![false; map.data.len()];
    let mut blobs = Vec::new();
    for start in 0..map.data.len() {
        if seen[start] || map.data[start] <= threshold || map.data[start].is_nan() {
            continue;
        }
        seen[start] = true;
        let mut open = vec![start];
        let mut score = f32::NEG_INFINITY;
        let mut cells = 0;
        let (mut x1, mut y1, mut x2, mut y2) = (usize::MAX, usize::MAX, 0, 0);
        while let Some(at) = open.pop() {
            let (x, y) = (at % map.width, at / map.width);
            (x1, y1, x2, y2) = (x1.min(x), y1.min(y), x2.max(x + 1), y2.max(y + 1));
            score = score.max(map.data[at]);
            cells += 1;
            for ny in y.saturating_sub(1)..(y + 2).min(map.height) {
                for nx in x.saturating_sub(1)..(x + 2).min(map.width) {
                    let next = ny * map.width + nx;
                    if !seen[next] && map.data[next] > threshold {
                        seen[next] = true;
                        open.push(next);
                    }
                }
            }
        }
        let rect = Rect { x1: x1 as f32, y1: y1 as f32, x2: x2 as f32, y2: y2 as f32 };
        blobs.push(Blob { rect, score, cells });
    }
    blobs.sort_by(|a, b| b.score.total_cmp(&a.score));
    blobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn diagonal_cells_are_one_blob() {
        #[rustfmt::skip]
        let data = vec![
            5.0, 0.0, 0.0, 0.0,
            0.0, 7.0, 0.0, 2.0,
            0.0, 0.0, 0.0, 2.0,
        ];
        let blobs = above(&Gray { width: 4, height: 3, data }, 1.0);
        assert_eq!(blobs.len(), 2);
        assert_eq!((blobs[0].score, blobs[0].cells), (7.0, 2));
        assert_eq!(blobs[0].rect, Rect::from([0.0, 0.0, 2.0, 2.0]));
        assert_eq!(blobs[1].rect, Rect::from([3.0, 1.0, 4.0, 3.0]));
    }

    proptest! {
        #[test]
        fn every_cell_is_in_one_blob(data in prop::collection::vec(0f32..1.0, 48)) {
            let map = Gray { width: 8, height: 6, data };
            let blobs = above(&map, 0.5);
            let cells: usize = blobs.iter().map(|b| b.cells).sum();
            prop_assert_eq!(cells, map.data.iter().filter(|v| **v > 0.5).count());
            prop_assert!(blobs.iter().all(|b| b.score > 0.5 && b.rect.x2 <= 8.0 && b.rect.y2 <= 6.0));
        }
    }
}
