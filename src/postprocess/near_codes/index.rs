//! The index: for each choice of blocks the codes are sorted by the bits of these blocks, and only codes that share
//! them all are compared.

use super::Pair;
use super::blocks::{Blocks, Choice};
use super::buckets::{Comparison, concatenate};
use crate::kernels::hamming::{Codes, CodesView, Hit};
use rayon::prelude::*;

/// Longest sorting key. More bits would make buckets that are empty or hold one code.
pub(super) const MAX_KEY_BITS: u32 = 20;

/// Key bits of the first sorting pass: its write positions, a cache line each, stay within the second-level cache.
const MAX_PART_BITS: u32 = 10;

/// Longest useful key for this number of codes: a handful a bucket, were the bits fair coins.
pub(super) fn key_bits(codes: usize) -> u32 {
    codes.max(2).ilog2().min(MAX_KEY_BITS)
}

/// The pairs that agree in at least `chosen` blocks, each found in the first choice of blocks in which it agrees.
pub(super) fn pairs<const W: usize>(
    comparison: &Comparison,
    codes: &Codes<W>,
    blocks: &Blocks<W>,
    chosen: u32,
) -> Vec<Pair> {
    let choices = blocks.choices(chosen, key_bits(codes.len()));
    let threads = rayon::current_num_threads();
    let mut sorted: Vec<Sorted<W>> = choices.iter().take(threads).map(|_| Sorted::default()).collect();
    let mut pairs = Vec::new();
    // One sorted copy of the codes a thread; the parts of all of them are shared out, as one may hold most pairs.
    for wave in choices.chunks(threads) {
        sorted.par_iter_mut().zip(wave).for_each(|(parts, choice)| {
            let (first, second) = passes(choice);
            parts.fill(codes.view(), 0.., first, |code| choice.key(code) >> second);
        });
        let found = wave
            .par_iter()
            .zip(&sorted)
            .flat_map(|(choice, parts)| (0..parts.len()).into_par_iter().map(move |part| (choice, parts.bucket(part))))
            .fold(Worker::default, |mut worker, (choice, (codes, ids))| {
                worker.part(comparison, choice, codes, ids);
                worker
            });
        pairs.append(&mut found.map(|worker| worker.pairs).reduce(Vec::new, concatenate));
    }
    pairs
}

/// How the bits of a choice's keys are shared between the two sorting passes: (first, second).
fn passes<const W: usize>(choice: &Choice<W>) -> (u32, u32) {
    let bits = choice.key_bits();
    let first = if bits <= MAX_PART_BITS { bits } else { bits / 2 };
    (first, bits - first)
}

/// One thread's buffers and results.
#[derive(Default)]
struct Worker<const W: usize> {
    buckets: Sorted<W>,
    hits: Vec<Hit>,
    pairs: Vec<Pair>,
}

impl<const W: usize> Worker<W> {
    /// Sorts the codes of a part by the rest of their keys and compares those of each bucket.
    fn part(&mut self, comparison: &Comparison, choice: &Choice<W>, codes: CodesView<'_, W>, ids: &[u32]) {
        let Self { buckets, hits, pairs } = self;
        let is_first = |difference: &[u64; W]| choice.is_first(difference);
        let (_, second) = passes(choice);
        if second == 0 {
            comparison.bucket(codes, ids, &is_first, hits, pairs);
            return;
        }
        buckets.fill(codes, ids.iter().copied(), second, |code| choice.key(code) & ((1 << second) - 1));
        for (codes, ids) in (0..buckets.len()).map(|key| buckets.bucket(key)).filter(|(_, ids)| ids.len() > 1) {
            comparison.bucket(codes, ids, &is_first, hits, pairs);
        }
    }
}

/// Codes in the order of some bits of their keys.
#[derive(Default)]
struct Sorted<const W: usize> {
    codes: Codes<W>,
    /// Positions in the input.
    ids: Vec<u32>,
    /// Where the codes of each key start, and the end of the last.
    starts: Vec<u32>,
    /// Buffer: the keys in the order of the input.
    keys: Vec<u16>,
}

impl<const W: usize> Sorted<W> {
    /// Stable counting sort of codes and their `ids` by a key of `key_bits` bits, at most 16.
    fn fill(
        &mut self,
        codes: CodesView<'_, W>,
        ids: impl Iterator<Item = u32>,
        key_bits: u32,
        key: impl Fn(&[u64; W]) -> u32,
    ) {
        self.codes.resize(codes.len());
        self.ids.resize(codes.len(), 0);
        self.keys.clear();
        self.keys.extend(codes.iter().map(|code| key(&code) as u16));
        // Counts go two places up and starts one: when every code has moved its key's start on, that of the next key
        // is left.
        self.starts.clear();
        self.starts.resize((1 << key_bits) + 2, 0);
        for &key in &self.keys {
            self.starts[usize::from(key) + 2] += 1;
        }
        let mut before = 0;
        for start in &mut self.starts {
            before += *start;
            *start = before;
        }
        for ((code, id), &key) in codes.iter().zip(ids).zip(&self.keys) {
            let next = &mut self.starts[usize::from(key) + 1];
            self.codes.set(*next as usize, code);
            self.ids[*next as usize] = id;
            *next += 1;
        }
        self.starts.pop();
    }

    /// Number of keys, with codes or without.
    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The codes with the key `key` and their positions in the input.
    fn bucket(&self, key: usize) -> (CodesView<'_, W>, &[u32]) {
        let range = self.starts[key] as usize..self.starts[key + 1] as usize;
        (self.codes.view().slice(range.clone()), &self.ids[range])
    }
}
