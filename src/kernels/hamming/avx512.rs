//! AVX-512 kernel: VPOPCNTQ counts the bits of eight words in one instruction.

use super::{CodesView, Hit, Scope};
use std::arch::x86_64::*;

/// Codes per register: one 64-bit word of each.
const LANES: usize = 8;

/// See [`Kernel::near`](super::Kernel::near) and [`Kernel::near_within`](super::Kernel::near_within).
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub(super) fn near<const W: usize>(
    queries: CodesView<'_, W>,
    codes: CodesView<'_, W>,
    scope: Scope,
    threshold: u32,
    hits: &mut Vec<Hit>,
) {
    // As many queries at a time as fit the 32 registers beside the codes, so that one load of codes serves them all.
    if W == 1 {
        near_by::<W, 8>(queries, codes, scope, threshold, hits);
    } else {
        near_by::<W, 4>(queries, codes, scope, threshold, hits);
    }
}

#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn near_by<const W: usize, const Q: usize>(
    queries: CodesView<'_, W>,
    codes: CodesView<'_, W>,
    scope: Scope,
    threshold: u32,
    hits: &mut Vec<Hit>,
) {
    let whole = queries.len() - queries.len() % Q;
    for row in (0..whole).step_by(Q) {
        near_rows::<W, Q>(row, queries.block(row), codes, scope, threshold, hits);
    }
    for row in whole..queries.len() {
        near_rows::<W, 1>(row, queries.block(row), codes, scope, threshold, hits);
    }
}

/// The hits of the `Q` queries that start at position `row`.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
#[inline]
fn near_rows<const W: usize, const Q: usize>(
    row: usize,
    queries: [[u64; W]; Q],
    codes: CodesView<'_, W>,
    scope: Scope,
    threshold: u32,
    hits: &mut Vec<Hit>,
) {
    let mut broadcast = [[_mm512_setzero_si512(); W]; Q];
    for (lanes, query) in broadcast.iter_mut().zip(queries) {
        for (lane, word) in lanes.iter_mut().zip(query) {
            *lane = _mm512_set1_epi64(word as i64);
        }
    }
    let limit = _mm512_set1_epi64(i64::from(threshold));
    for start in (scope.first_code(row)..codes.len()).step_by(LANES) {
        let left = codes.len() - start;
        let present: __mmask8 = if left < LANES { (1 << left) - 1 } else { !0 };
        let mut words = [limit; W];
        for (word, column) in words.iter_mut().zip(codes.columns) {
            // SAFETY: `present` masks out the lanes past the end of the column; all columns have `codes.len()` words.
            *word = unsafe { _mm512_maskz_loadu_epi64(present, column.as_ptr().add(start).cast()) };
        }
        // Hits are rare: one comparison of the least distances tells whether there is any among the Q queries.
        let mut least = distances(&broadcast[0], &words);
        for lanes in &broadcast[1..] {
            least = _mm512_min_epu32(least, distances(lanes, &words));
        }
        if _mm512_mask_cmple_epu64_mask(present, least, limit) != 0 {
            for (offset, lanes) in broadcast.iter().enumerate() {
                let found = distances(lanes, &words);
                let near = _mm512_mask_cmple_epu64_mask(present, found, limit);
                push_hits(row + offset, start, found, near, scope, hits);
            }
        }
    }
}

/// Appends the codes from position `start` whose bit in `near` is set. Out of line, so that the loop around it keeps
/// the queries in registers.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
#[cold]
#[inline(never)]
fn push_hits(query: usize, start: usize, distances: __m512i, mut near: __mmask8, scope: Scope, hits: &mut Vec<Hit>) {
    let mut bits = [0u64; LANES];
    // SAFETY: `bits` has room for the eight words of a register.
    unsafe { _mm512_storeu_epi64(bits.as_mut_ptr().cast(), distances) };
    while near != 0 {
        let lane = near.trailing_zeros() as usize;
        scope.push(query, start + lane, bits[lane] as u32, hits);
        near &= near - 1;
    }
}

/// Hamming distances of one query to eight codes.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
#[inline]
fn distances<const W: usize>(query: &[__m512i; W], words: &[__m512i; W]) -> __m512i {
    let mut sum = _mm512_setzero_si512();
    for (query, word) in query.iter().zip(words) {
        sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(*query, *word)));
    }
    sum
}
