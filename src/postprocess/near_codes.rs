//! All pairs of binary codes within a Hamming threshold: near-duplicate pictures by their perceptual hashes.
//!
//! Two ways with the same result. Brute force compares all pairs in tiles that stay in the first-level cache. The
//! index rests on the pigeonhole principle: two codes that differ in at most `t` bits, cut in `m` blocks, agree in at
//! least `m - t` of them; so it is enough to compare codes that share the bits of some choice of blocks. That is the
//! multi-index hashing of Greene, Parnas and Yao ("Multi-index hashing for information retrieval", FOCS 1994) and of
//! Norouzi, Punjani and Fleet ("Fast search in Hamming space with multi-index hashing", CVPR 2012), with tables that
//! are sorted rather than hashed and with choices of several blocks as in Manku, Jain and Das Sarma ("Detecting
//! near-duplicates for web crawling", WWW 2007). A cost model picks the way and the blocks, see [`Plan`].

mod blocks;
mod buckets;
mod index;
mod plan;
#[cfg(test)]
mod tests;

use crate::kernels::hamming::{Codes, Kernel};
use blocks::Blocks;
use buckets::Comparison;
use rayon::prelude::*;

pub use plan::Plan;

/// Two codes within the threshold of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Position of one code in the input; below `b` within one set, that of the query between two sets.
    pub a: u32,
    /// Position of the other code in the input.
    pub b: u32,
    /// Hamming distance: the number of bits in which they differ, `0..=threshold`.
    pub distance: u32,
}

/// The distinct codes in ascending order, and for each input code its position among them.
pub fn collapse<const W: usize>(codes: &[[u64; W]]) -> (Vec<[u64; W]>, Vec<u32>) {
    let mut order: Vec<u32> = (0..codes.len() as u32).collect();
    order.par_sort_unstable_by_key(|&input| codes[input as usize]);
    let mut distinct: Vec<[u64; W]> = Vec::new();
    let mut positions = vec![0; codes.len()];
    for input in order.into_iter().map(|input| input as usize) {
        if distinct.last() != Some(&codes[input]) {
            distinct.push(codes[input]);
        }
        positions[input] = (distinct.len() - 1) as u32;
    }
    (distinct, positions)
}

/// All pairs among `codes` with a Hamming distance of at most `threshold` bits, sorted by (`a`, `b`).
///
/// The codes should be distinct, see [`collapse`]: `c` copies of one would make `c * c / 2` pairs. There are fewer
/// than 2^32 of them.
pub fn pairs<const W: usize>(codes: &[[u64; W]], threshold: u32) -> Vec<Pair> {
    search(Kernel::default(), &[], codes, threshold, None)
}

/// [`pairs`] found in a given way. A plan that could miss pairs at this threshold falls back to [`Plan::Brute`].
pub fn pairs_with<const W: usize>(codes: &[[u64; W]], threshold: u32, plan: Plan) -> Vec<Pair> {
    search(Kernel::default(), &[], codes, threshold, Some(plan))
}

/// All pairs of a query (`a`) and a code (`b`) with a Hamming distance of at most `threshold` bits, sorted by
/// (`a`, `b`). Queries are, for example, the codes of the same pictures turned or mirrored. Both sets together hold
/// fewer than 2^32 codes.
pub fn cross_pairs<const W: usize>(queries: &[[u64; W]], codes: &[[u64; W]], threshold: u32) -> Vec<Pair> {
    if queries.is_empty() { Vec::new() } else { search(Kernel::default(), queries, codes, threshold, None) }
}

/// Pairs between `queries` and `codes`, or among `codes` where there are no queries.
fn search<const W: usize>(
    kernel: Kernel,
    queries: &[[u64; W]],
    codes: &[[u64; W]],
    threshold: u32,
    plan: Option<Plan>,
) -> Vec<Pair> {
    // Both sets in one, codes first: sorting by blocks is stable, so they come first in every bucket too.
    let all: Codes<W> = codes.iter().chain(queries).copied().collect();
    let first_query = if queries.is_empty() { None } else { Some(codes.len() as u32) };
    let comparison = Comparison { kernel, threshold, first_query };
    let plan = plan.unwrap_or_else(|| plan::choose(&comparison, all.view()));
    let mut pairs = match plan {
        Plan::Index { blocks, chosen } if plan.is_complete(64 * W as u32, threshold) => {
            index::pairs(&comparison, &all, &Blocks::even(blocks), chosen)
        }
        _ => {
            let mut pairs = Vec::new();
            let ids: Vec<u32> = (0..all.len() as u32).collect();
            comparison.bucket(all.view(), &ids, &|_| true, &mut Vec::new(), &mut pairs);
            pairs
        }
    };
    pairs.par_sort_unstable_by_key(|pair| u64::from(pair.a) << 32 | u64::from(pair.b));
    pairs
}
