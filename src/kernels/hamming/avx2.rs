//! AVX2 kernel: bits are counted by nibble in a 16-entry table (VPSHUFB), then summed by VPSADBW.
//!
//! Muła, Kurz, Lemire, "Faster population counts using AVX2 instructions", 2018.

use super::{CodesView, Hit, Scope};
use std::arch::x86_64::*;

/// Codes per register: one 64-bit word of each.
const LANES: usize = 4;

/// Queries that share one load of codes.
const ROWS: usize = 4;

/// See [`Kernel::near`](super::Kernel::near) and [`Kernel::near_within`](super::Kernel::near_within).
#[target_feature(enable = "avx2")]
pub(super) fn near<const W: usize>(
    queries: CodesView<'_, W>,
    codes: CodesView<'_, W>,
    scope: Scope,
    threshold: u32,
    hits: &mut Vec<Hit>,
) {
    let whole = queries.len() - queries.len() % ROWS;
    for row in (0..whole).step_by(ROWS) {
        near_rows::<W, ROWS>(row, queries.block(row), codes, scope, threshold, hits);
    }
    for row in whole..queries.len() {
        near_rows::<W, 1>(row, queries.block(row), codes, scope, threshold, hits);
    }
}

/// The hits of the `Q` queries that start at position `row`.
#[target_feature(enable = "avx2")]
#[inline]
fn near_rows<const W: usize, const Q: usize>(
    row: usize,
    queries: [[u64; W]; Q],
    codes: CodesView<'_, W>,
    scope: Scope,
    threshold: u32,
    hits: &mut Vec<Hit>,
) {
    let mut broadcast = [[_mm256_setzero_si256(); W]; Q];
    for (lanes, query) in broadcast.iter_mut().zip(queries) {
        for (lane, word) in lanes.iter_mut().zip(query) {
            *lane = _mm256_set1_epi64x(word as i64);
        }
    }
    let beyond = _mm256_set1_epi64x(i64::from(threshold) + 1);
    let lane_numbers = _mm256_setr_epi64x(0, 1, 2, 3);
    for start in (scope.first_code(row)..codes.len()).step_by(LANES) {
        let left = _mm256_set1_epi64x((codes.len() - start) as i64);
        let present = _mm256_cmpgt_epi64(left, lane_numbers);
        let mut words = [beyond; W];
        for (word, column) in words.iter_mut().zip(codes.columns) {
            // SAFETY: `present` masks out the lanes past the end of the column; all columns have `codes.len()` words.
            *word = unsafe { _mm256_maskload_epi64(column.as_ptr().add(start).cast(), present) };
        }
        // Hits are rare: one comparison of the least distances tells whether there is any among the Q queries.
        let mut least = distances(&broadcast[0], &words);
        for lanes in &broadcast[1..] {
            least = _mm256_min_epu32(least, distances(lanes, &words));
        }
        if near_lanes(least, beyond, present) != 0 {
            for (offset, lanes) in broadcast.iter().enumerate() {
                let found = distances(lanes, &words);
                let near = near_lanes(found, beyond, present);
                push_hits(row + offset, start, found, near, scope, hits);
            }
        }
    }
}

/// Appends the codes from position `start` whose bit in `near` is set. Out of line, so that the loop around it keeps
/// the queries in registers.
#[target_feature(enable = "avx2")]
#[cold]
#[inline(never)]
fn push_hits(query: usize, start: usize, distances: __m256i, mut near: u32, scope: Scope, hits: &mut Vec<Hit>) {
    let mut bits = [0u64; LANES];
    // SAFETY: `bits` has room for the four words of a register.
    unsafe { _mm256_storeu_si256(bits.as_mut_ptr().cast(), distances) };
    while near != 0 {
        let lane = near.trailing_zeros() as usize;
        scope.push(query, start + lane, bits[lane] as u32, hits);
        near &= near - 1;
    }
}

/// One bit for each lane that is present and whose distance is below `beyond`.
#[target_feature(enable = "avx2")]
#[inline]
fn near_lanes(distances: __m256i, beyond: __m256i, present: __m256i) -> u32 {
    let near = _mm256_and_si256(_mm256_cmpgt_epi64(beyond, distances), present);
    _mm256_movemask_pd(_mm256_castsi256_pd(near)) as u32
}

/// Hamming distances of one query to four codes.
#[target_feature(enable = "avx2")]
#[inline]
fn distances<const W: usize>(query: &[__m256i; W], words: &[__m256i; W]) -> __m256i {
    const { assert!(W < 32, "a byte holds the counts of at most 31 words") };
    let bits_of_nibble = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    let low_nibbles = _mm256_set1_epi8(0x0f);
    let mut bytes = _mm256_setzero_si256();
    for (query, word) in query.iter().zip(words) {
        let difference = _mm256_xor_si256(*query, *word);
        let low = _mm256_and_si256(difference, low_nibbles);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(difference), low_nibbles);
        bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(bits_of_nibble, low));
        bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(bits_of_nibble, high));
    }
    _mm256_sad_epu8(bytes, _mm256_setzero_si256())
}
