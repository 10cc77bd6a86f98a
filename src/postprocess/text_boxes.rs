//! From a map of how much each pixel is text to a quad around each line (Differentiable Binarization, Liao et al. 2020),
//! with the steps and constants of RapidOCR 3.10.

use super::min_area_rect::{TurnedRect, min_area_rect};
use crate::geometry::Quad;
use crate::image::Gray;

/// What counts as text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// A pixel is text above this probability.
    pub pixel: f32,
    /// A line is one if the mean probability in its box reaches this.
    pub line: f32,
    /// Boxes grow by area x this / perimeter: the network marks the middle of a line only.
    pub unclip_ratio: f32,
}

impl Default for Params {
    /// RapidOCR's `config.yaml`.
    fn default() -> Self {
        Params { pixel: 0.3, line: 0.5, unclip_ratio: 1.6 }
    }
}

/// At most so many connected regions are looked at.
const MAX_REGIONS: usize = 1000;
/// Regions whose shorter side has fewer pixels are dropped, and grown boxes of fewer than two more.
const LEAST_SIDE: f32 = 3.0;

/// The quads of the lines in `map` (probabilities), in its pixels, with their scores, in no order.
pub fn find(map: &Gray, params: &Params) -> Vec<(Quad, f32)> {
    let mut quads = Vec::new();
    for points in regions(map, params.pixel).into_iter().take(MAX_REGIONS) {
        let Some(rect) = min_area_rect(&points) else { continue };
        if rect.width.min(rect.height) < LEAST_SIDE {
            continue;
        }
        let score = mean_inside(map, &ordered(&rect));
        if score < params.line {
            continue;
        }
        let grown = rect.grown(rect.width * rect.height * params.unclip_ratio / (2.0 * (rect.width + rect.height)));
        if grown.width.min(grown.height) >= LEAST_SIDE + 2.0 {
            quads.push((Quad(ordered(&grown)), score));
        }
    }
    quads
}

/// The corners clockwise from the upper left: of the two on the left the upper one is first.
fn ordered(rect: &TurnedRect) -> [(f32, f32); 4] {
    let mut corners = rect.corners();
    corners.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let [a, b, c, d] = corners;
    let ((top_left, bottom_left), (top_right, bottom_right)) =
        (if a.1 <= b.1 { (a, b) } else { (b, a) }, if c.1 <= d.1 { (c, d) } else { (d, c) });
    [top_left, top_right, bottom_right, bottom_left]
}

/// The 8-connected regions above `threshold`, grown by a pixel to the right and down: of each row of a region its first
/// and last pixel, which is all that a hull needs.
fn regions(map: &Gray, threshold: f32) -> Vec<Vec<(f32, f32)>> {
    let (width, height) = (map.width, map.height);
    let mut text: Vec<bool> = map.data.iter().map(|&v| v > threshold).collect();
    // OpenCV's dilation with a 2x2 element, in place from the far end: a pixel is set by itself and its three neighbours
    // to the left and above.
    for y in (0..height).rev() {
        for x in (0..width).rev() {
            let left = x > 0 && text[y * width + x - 1];
            let above = y > 0 && (text[(y - 1) * width + x] || x > 0 && text[(y - 1) * width + x - 1]);
            text[y * width + x] |= left || above;
        }
    }
    let mut found = Vec::new();
    let mut open = Vec::new();
    for start in 0..text.len() {
        if !text[start] {
            continue;
        }
        let top = start / width;
        let mut rows: Vec<(usize, usize)> = Vec::new();
        text[start] = false;
        open.push(start);
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            if y - top >= rows.len() {
                rows.resize(y - top + 1, (usize::MAX, 0));
            }
            let row = &mut rows[y - top];
            *row = (row.0.min(x), row.1.max(x));
            for ny in y.saturating_sub(1)..(y + 2).min(height) {
                for nx in x.saturating_sub(1)..(x + 2).min(width) {
                    let next = ny * width + nx;
                    if text[next] {
                        text[next] = false;
                        open.push(next);
                    }
                }
            }
        }
        let ends = rows.iter().enumerate().flat_map(|(i, &(first, last))| {
            let y = (top + i) as f32;
            [(first as f32, y), (last as f32, y)]
        });
        found.push(ends.collect());
    }
    found
}

/// The mean of `map` over the pixels in a convex quad, its corners cut to whole pixels.
fn mean_inside(map: &Gray, corners: &[(f32, f32); 4]) -> f32 {
    let corners = corners.map(|(x, y)| (x.trunc(), y.trunc()));
    let (top, bottom) = corners.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(t, b), c| (t.min(c.1), b.max(c.1)));
    let (mut sum, mut count) = (0.0, 0u32);
    for y in top.max(0.0) as usize..=(bottom.max(0.0) as usize).min(map.height - 1) {
        let (mut left, mut right) = (f32::INFINITY, f32::NEG_INFINITY);
        for i in 0..4 {
            let (a, b) = (corners[i], corners[(i + 1) % 4]);
            let level = y as f32;
            if level < a.1.min(b.1) || level > a.1.max(b.1) {
                continue;
            }
            let ends = if a.1 == b.1 { [a.0, b.0] } else { [a.0 + (b.0 - a.0) * (level - a.1) / (b.1 - a.1); 2] };
            (left, right) = (left.min(ends[0]).min(ends[1]), right.max(ends[0]).max(ends[1]));
        }
        if left > right {
            continue;
        }
        let (left, right) = (left.round().max(0.0) as usize, (right.round().max(0.0) as usize).min(map.width - 1));
        for x in left..=right {
            sum += map.at(x, y);
            count += 1;
        }
    }
    if count == 0 { 0.0 } else { sum / count as f32 }
}

/// The numbers of `quads` in reading order: rows from above, each from the left. A quad belongs to the row of the one before
/// it if its first corner lies less than 10 pixels lower, as in RapidOCR.
pub fn reading_order(quads: &[Quad]) -> Vec<usize> {
    const SAME_ROW: f32 = 10.0;
    let mut order: Vec<usize> = (0..quads.len()).collect();
    order.sort_by(|&a, &b| quads[a].0[0].1.total_cmp(&quads[b].0[0].1));
    let top = |i: usize| quads[i].0[0].1;
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match rows.last_mut() {
            Some(row) if row.last().is_some_and(|&last| top(i) - top(last) < SAME_ROW) => row.push(i),
            _ => rows.push(vec![i]),
        }
    }
    for row in &mut rows {
        row.sort_by(|&a, &b| quads[a].0[0].0.total_cmp(&quads[b].0[0].0));
    }
    rows.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(bars: &[(usize, usize, usize, usize)]) -> Gray {
        let mut map = Gray::filled(200, 100, 0.05);
        for &(x, y, w, h) in bars {
            for row in y..y + h {
                map.data[row * 200 + x..row * 200 + x + w].fill(0.9);
            }
        }
        map
    }

    #[test]
    fn a_bar_is_a_line() {
        let found = find(&drawn(&[(20, 30, 100, 10)]), &Params::default());
        assert_eq!(found.len(), 1);
        let (quad, score) = found[0];
        assert!(score > 0.8, "{score}");
        // 100 x 10 pixels are 100 x 10 between the centres of the first and the last after the dilation; the offset is
        // 1000 * 1.6 / 220.
        let offset = 1000.0 * 1.6 / 220.0;
        let bounds = quad.bounds();
        for (found, wanted) in [
            (bounds.x1, 20.0 - offset),
            (bounds.x2, 120.0 + offset),
            (bounds.y1, 30.0 - offset),
            (bounds.y2, 40.0 + offset),
        ] {
            assert!((found - wanted).abs() < 0.01, "{bounds:?}");
        }
        assert_eq!(quad.0[0], (bounds.x1, bounds.y1));
    }

    #[test]
    fn specks_and_faint_regions_are_none() {
        assert!(find(&drawn(&[(20, 30, 2, 1)]), &Params::default()).is_empty());
        assert!(find(&drawn(&[(20, 30, 50, 10)]), &Params { line: 0.95, ..Params::default() }).is_empty());
        assert!(find(&Gray::filled(1, 1, 1.0), &Params::default()).is_empty());
    }

    #[test]
    fn rows_then_columns() {
        let quad = |x, y| Quad::from(crate::geometry::Rect::from_xywh(x, y, 10.0, 10.0));
        let quads = [quad(50.0, 4.0), quad(0.0, 40.0), quad(0.0, 0.0), quad(100.0, 9.0)];
        assert_eq!(reading_order(&quads), [2, 0, 3, 1]);
    }

    proptest! {
        #[test]
        fn every_line_is_there_once(data in prop::collection::vec(0f32..1.0, 600)) {
            let map = Gray { width: 30, height: 20, data };
            for (quad, score) in find(&map, &Params::default()) {
                prop_assert!((0.5..=1.0).contains(&score));
                prop_assert!(quad.0.iter().all(|p| p.0.is_finite() && p.1.is_finite()));
            }
            let quads: Vec<Quad> = find(&map, &Params { line: 0.0, ..Params::default() }).iter().map(|f| f.0).collect();
            let mut order = reading_order(&quads);
            order.sort_unstable();
            prop_assert_eq!(order, (0..quads.len()).collect::<Vec<_>>());
        }
    }
}
