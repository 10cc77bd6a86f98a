//! The coarse search: every size, turn and mirror image of every template at every place of a reduced picture.

use super::edges::{self, Edges};
use super::template::{COARSE, Linear, Point, quantised};
use crate::image::Gray;
use crate::preprocess::filters::halve;
use std::collections::HashSet;

/// How the response of an edge fades, a pixel of the reduced picture a step.
const FADING: [u8; 2] = [60, 100];
/// Responses have this many levels above none, so that [`COARSE`] of them add up within a byte.
const LEVELS: u8 = 3;
/// Columns worked on at a time: their sums stay in the registers or the first cache.
const BLOCK: usize = 128;
/// After so many points a block whose best place has less than this share of them is given up.
const FIRST: usize = 16;
const HOPELESS: f32 = 0.34;

/// Nothing is looked for in a reduced picture with a shorter side.
const LEAST_SIDE: usize = 4;
/// One in so many places may be promising for one look of a template; where more are, it fits anything.
const ANYWHERE: usize = 12;

/// A picture reduced `1 << halvings` times.
pub(super) struct Level {
    pub halvings: u32,
    width: usize,
    height: usize,
    /// For each direction how near an edge is, 0 to [`LEVELS`].
    maps: Vec<Vec<u8>>,
}

/// A place where a template may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The template's centre in pixels of the whole picture.
    pub x: f32,
    pub y: f32,
    /// Share of the coarse points that have an edge of their direction near, 0 to 1.
    pub score: f32,
}

impl Level {
    /// `gray`, part of a picture of this contrast, reduced by that many halvings.
    pub fn new(gray: &Gray, contrast: f32, halvings: u32) -> Self {
        let mut small = None;
        for _ in 0..halvings {
            small = Some(halve(small.as_ref().unwrap_or(gray)));
        }
        let small = small.as_ref().unwrap_or(gray);
        if small.width < LEAST_SIDE || small.height < LEAST_SIDE {
            return Level { halvings, width: 0, height: 0, maps: Vec::new() };
        }
        let edges = Edges::new(small, contrast);
        let quantised = |v: u8| match v {
            0..50 => 0,
            50..100 => 1,
            100..170 => 2,
            _ => LEVELS,
        };
        let mut maps = edges.responses(&FADING);
        maps.iter_mut().flatten().for_each(|v| *v = quantised(*v));
        Level { halvings, width: edges.width, height: edges.height, maps }
    }

    /// Rows of the reduced picture.
    pub fn rows(&self) -> usize {
        self.height
    }

    /// The places in `rows` where at least the share `least` of the template's points is found, none of them beside a
    /// better one.
    pub fn search(&self, points: &[Point], map: &Linear, rows: std::ops::Range<usize>, least: f32) -> Vec<Place> {
        let unit = (1u32 << self.halvings) as f32;
        let steps: Vec<(usize, isize, isize)> = points
            .iter()
            .take(COARSE)
            .map(|p| {
                let (x, y) = map.apply(p.x, p.y);
                let bin = edges::bin(quantised(map.turn(p.angle)));
                (bin, (x / unit).round() as isize, (y / unit).round() as isize)
            })
            .collect();
        let reach = |pick: fn(&(usize, isize, isize)) -> isize| {
            let low = steps.iter().map(pick).min().unwrap_or(0);
            let high = steps.iter().map(pick).max().unwrap_or(0);
            ((-low).max(0) as usize, high.max(0) as usize)
        };
        let (left, right) = reach(|s| s.1);
        let (up, down) = reach(|s| s.2);
        if left + right >= self.width || up + down >= self.height {
            return Vec::new();
        }
        let full = (steps.len() * usize::from(LEVELS)) as f32;
        let least = (least * full).ceil() as u8;
        let hopeless = (HOPELESS * (FIRST.min(steps.len()) * usize::from(LEVELS)) as f32) as u8;
        let end = self.width - right;
        let mut sums = [0u8; BLOCK];
        let mut hits: Vec<(usize, usize, u8)> = Vec::new();
        for y in rows.start.max(up)..rows.end.min(self.height - down) {
            let mut x = left;
            while x < end {
                let n = BLOCK.min(end - x);
                let sums = &mut sums[..n];
                sums.fill(0);
                let (first, rest) = steps.split_at(FIRST.min(steps.len()));
                self.add(first, x, y, sums);
                if sums.iter().copied().max().unwrap_or(0) >= hopeless {
                    self.add(rest, x, y, sums);
                    for (i, &sum) in sums.iter().enumerate().filter(|(_, s)| **s >= least) {
                        hits.push((x + i, y, sum));
                    }
                }
                x += n;
            }
        }
        if hits.len() > rows.len() * self.width / ANYWHERE {
            return Vec::new();
        }
        // The best first; what lies beside a better one is the same place.
        hits.sort_by_key(|h| std::cmp::Reverse(h.2));
        let mut taken: HashSet<(usize, usize)> = HashSet::new();
        let mut found = Vec::new();
        for (x, y, sum) in hits {
            let near =
                (y.saturating_sub(2)..=y + 2).any(|v| (x.saturating_sub(2)..=x + 2).any(|u| taken.contains(&(u, v))));
            if !near {
                taken.insert((x, y));
                let place = |v: usize| (v as f32 + 0.5) * unit;
                found.push(Place { x: place(x), y: place(y), score: f32::from(sum) / full });
            }
        }
        found
    }

    /// Adds the responses at `steps` from the places that begin at (`x`, `y`) to `sums`.
    fn add(&self, steps: &[(usize, isize, isize)], x: usize, y: usize, sums: &mut [u8]) {
        for &(bin, dx, dy) in steps {
            let start = (y as isize + dy) * self.width as isize + x as isize + dx;
            let row = &self.maps[bin][start as usize..][..sums.len()];
            for (s, v) in sums.iter_mut().zip(row) {
                *s = s.saturating_add(*v);
            }
        }
    }
}
