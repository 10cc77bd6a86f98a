//! All pairs within one bucket of codes, large or small.

use super::Pair;
use crate::kernels::hamming::{self, CodesView, Hit, Kernel};
use rayon::prelude::*;

/// Queries per call of the kernel: enough to make up for the call.
const ROWS: usize = 64;

/// Bytes of codes per call of the kernel: half a first-level cache of 32 KiB, as all rows go over them.
const TILE_BYTES: usize = 16 << 10;

/// Comparisons from which a bucket is worth all cores: about a millisecond.
const PARALLEL: usize = 1 << 22;

/// What is compared and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) kernel: Kernel,
    pub(super) threshold: u32,
    /// The codes from this position on are queries to those before it; `None`: all codes among each other.
    pub(super) first_query: Option<u32>,
}

/// Codes, their positions in the input, and which differences count.
struct Bucket<'a, const W: usize, K> {
    codes: CodesView<'a, W>,
    ids: &'a [u32],
    keep: &'a K,
}

/// Codes per call of the kernel.
const fn tile<const W: usize>() -> usize {
    TILE_BYTES / (8 * W)
}

impl Comparison {
    /// Number of comparisons among this many codes, queries included.
    pub(super) fn count(&self, codes: usize) -> f64 {
        let all = codes as f64;
        match self.first_query.map(f64::from) {
            Some(first) => (all - first) * first,
            None => all * (all - 1.0) / 2.0,
        }
    }

    /// Appends the pairs within a bucket whose difference passes `keep`. `ids` are the positions of the bucket's
    /// codes in the input, ascending; `hits` is a buffer.
    pub(super) fn bucket<const W: usize>(
        &self,
        codes: CodesView<'_, W>,
        ids: &[u32],
        keep: &(impl Fn(&[u64; W]) -> bool + Sync),
        hits: &mut Vec<Hit>,
        pairs: &mut Vec<Pair>,
    ) {
        let split = self.first_query.map(|first| ids.partition_point(|&id| id < first));
        let queries = split.unwrap_or(0)..codes.len();
        let bucket = Bucket { codes, ids, keep };
        let rows = |start: usize, hits: &mut Vec<Hit>, pairs: &mut Vec<Pair>| {
            let rows = start..queries.end.min(start + ROWS);
            if split.is_none() {
                self.kernel.near_within(codes.slice(rows.clone()), self.threshold, hits);
                self.take(&bucket, rows.start, rows.start, hits, pairs);
            }
            let others = split.map_or(rows.end..codes.len(), |split| 0..split);
            for start in others.clone().step_by(tile::<W>()) {
                let others = codes.slice(start..others.end.min(start + tile::<W>()));
                self.kernel.near(codes.slice(rows.clone()), others, self.threshold, hits);
                self.take(&bucket, rows.start, start, hits, pairs);
            }
        };
        if queries.len().saturating_mul(split.unwrap_or(queries.len())) < PARALLEL {
            queries.clone().step_by(ROWS).for_each(|start| rows(start, hits, pairs));
            return;
        }
        let found = (0..queries.len().div_ceil(ROWS)).into_par_iter().fold(
            || (Vec::new(), Vec::new()),
            |(mut hits, mut pairs), block| {
                rows(queries.start + block * ROWS, &mut hits, &mut pairs);
                (hits, pairs)
            },
        );
        pairs.append(&mut found.map(|(_, pairs)| pairs).reduce(Vec::new, concatenate));
    }

    /// Makes pairs of the hits that pass `keep`; the first query and the first code have these positions.
    fn take<const W: usize>(
        &self,
        bucket: &Bucket<'_, W, impl Fn(&[u64; W]) -> bool>,
        first_query: usize,
        first_code: usize,
        hits: &mut Vec<Hit>,
        pairs: &mut Vec<Pair>,
    ) {
        for Hit { query, code, distance } in hits.drain(..) {
            let (query, code) = (first_query + query as usize, first_code + code as usize);
            if (bucket.keep)(&hamming::difference(&bucket.codes.get(query), &bucket.codes.get(code))) {
                pairs.push(self.pair(bucket.ids[query], bucket.ids[code], distance));
            }
        }
    }

    fn pair(&self, query: u32, code: u32, distance: u32) -> Pair {
        match self.first_query {
            Some(first) => Pair { a: query - first, b: code, distance },
            None => Pair { a: query, b: code, distance },
        }
    }
}

/// Both lists in one.
pub(super) fn concatenate(mut one: Vec<Pair>, mut other: Vec<Pair>) -> Vec<Pair> {
    one.append(&mut other);
    one
}
