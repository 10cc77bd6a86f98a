//! Which hashes are near each other.

use super::hash::{Bits, Hash};
use crate::postprocess::near_codes::{collapse, cross_pairs, pairs};
use std::collections::HashMap;

/// Two photographs whose hashes are near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Near {
    /// The first, by its place in the input.
    pub a: u32,
    /// The second; larger than `a`.
    pub b: u32,
    /// Bits in which the hashes differ.
    pub distance: u32,
    /// How `a` is turned to look like `b`: a place in [`crate::preprocess::overview::TURNS`].
    pub turn: u8,
}

/// All pairs whose hashes differ in at most `threshold` bits, sorted. Each item has one hash, or one for each turn of the
/// picture; of several turns that fit, the first with the smallest distance counts.
pub fn near(hashes: &[&[Hash]], bits: Bits, threshold: u32) -> Vec<Near> {
    match bits {
        Bits::B64 => search::<1>(hashes, threshold),
        Bits::B256 => search::<4>(hashes, threshold),
    }
}

fn search<const W: usize>(hashes: &[&[Hash]], threshold: u32) -> Vec<Near> {
    let code = |hash: &Hash| -> [u64; W] { std::array::from_fn(|i| hash.0[i]) };
    let upright: Vec<[u64; W]> = hashes.iter().filter_map(|h| h.first().map(code)).collect();
    let (codes, which) = collapse(&upright);
    let items = Members::new(&which, codes.len());
    let mut found = Vec::new();
    let mut add = |a: u32, b: u32, distance, turn| {
        if a != b {
            found.push(Near {
                a: a.min(b),
                b: a.max(b),
                distance,
                turn: if a < b { turn } else { INVERSE[turn as usize] },
            });
        }
    };
    for same in (0..codes.len()).map(|code| items.of(code)) {
        for (i, &a) in same.iter().enumerate() {
            same[i + 1..].iter().for_each(|&b| add(a, b, 0, 0));
        }
    }
    for pair in pairs(&codes, threshold) {
        for &a in items.of(pair.a as usize) {
            items.of(pair.b as usize).iter().for_each(|&b| add(a, b, pair.distance, 0));
        }
    }
    let turns = hashes.iter().map(|h| h.len()).max().unwrap_or(0);
    for turn in 1..turns {
        let turned: Vec<[u64; W]> = hashes.iter().filter_map(|h| h.get(turn).map(code)).collect();
        for pair in cross_pairs(&turned, &codes, threshold) {
            items.of(pair.b as usize).iter().for_each(|&b| add(pair.a, b, pair.distance, turn as u8));
        }
    }
    if turns > 1 {
        let mut best: HashMap<(u32, u32), Near> = HashMap::new();
        for near in found {
            let kept = best.entry((near.a, near.b)).or_insert(near);
            if (near.distance, near.turn) < (kept.distance, kept.turn) {
                *kept = near;
            }
        }
        found = best.into_values().collect();
    }
    found.sort_unstable();
    found
}

/// The turn that undoes each of `TURNS`.
const INVERSE: [u8; 8] = [0, 3, 2, 1, 4, 5, 6, 7];

/// For each code the items that have it, in their order.
#[derive(Debug)]
pub struct Members {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Members {
    fn new(which: &[u32], codes: usize) -> Self {
        let mut items: Vec<u32> = (0..which.len() as u32).collect();
        items.sort_by_key(|&item| which[item as usize]);
        let mut starts = vec![0; codes + 1];
        which.iter().for_each(|&code| starts[code as usize + 1] += 1);
        (0..codes).for_each(|code| starts[code + 1] += starts[code]);
        Members { starts, items }
    }

    /// The items that have `code`.
    pub fn of(&self, code: usize) -> &[u32] {
        &self.items[self.starts[code] as usize..self.starts[code + 1] as usize]
    }
}

/// The distinct ones of `hashes`, and for each the items that have it.
pub fn distinct(hashes: &[Hash]) -> (Vec<Hash>, Members) {
    let codes: Vec<[u64; 4]> = hashes.iter().map(|h| h.0).collect();
    let (codes, which) = collapse(&codes);
    let members = Members::new(&which, codes.len());
    (codes.into_iter().map(Hash).collect(), members)
}
