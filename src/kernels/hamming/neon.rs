//! NEON kernel: VCNT counts the bits of sixteen bytes in one instruction, pairwise sums make distances of them.

use super::{CodesView, Hit, Scope};
use std::arch::aarch64::*;

/// Codes per step: eight 16-bit distances fill one register.
const LANES: usize = 8;

/// Queries that share one load of codes.
const ROWS: usize = 4;

/// See [`Kernel::near`](super::Kernel::near) and [`Kernel::near_within`](super::Kernel::near_within).
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
#[inline]
fn near_rows<const W: usize, const Q: usize>(
    row: usize,
    queries: [[u64; W]; Q],
    codes: CodesView<'_, W>,
    scope: Scope,
    threshold: u32,
    hits: &mut Vec<Hit>,
) {
    let limit = vdupq_n_u16(threshold.min(u32::from(u16::MAX)) as u16);
    let first = scope.first_code(row).min(codes.len());
    let whole = codes.len() - (codes.len() - first) % LANES;
    for start in (first..whole).step_by(LANES) {
        // Hits are rare: one comparison of the least distances tells whether there is any among the Q queries.
        let mut found = [vdupq_n_u16(0); Q];
        let mut least = vdupq_n_u16(u16::MAX);
        for (distances, query) in found.iter_mut().zip(&queries) {
            *distances = distances_from(query, codes, start);
            least = vminq_u16(least, *distances);
        }
        if vmaxvq_u16(vcleq_u16(least, limit)) == 0 {
            continue;
        }
        for (offset, distances) in found.into_iter().enumerate() {
            let mut bits = [0u16; LANES];
            // SAFETY: `bits` has room for the eight distances of a register.
            unsafe { vst1q_u16(bits.as_mut_ptr(), distances) };
            for (lane, distance) in bits.into_iter().map(u32::from).enumerate() {
                if distance <= threshold {
                    scope.push(row + offset, start + lane, distance, hits);
                }
            }
        }
    }
    for code in whole..codes.len() {
        for (offset, query) in queries.iter().enumerate() {
            let distance = super::distance(query, &codes.get(code));
            if distance <= threshold {
                scope.push(row + offset, code, distance, hits);
            }
        }
    }
}

/// Hamming distances of one query to the eight codes from `start`, which all exist.
#[target_feature(enable = "neon")]
#[inline]
fn distances_from<const W: usize>(query: &[u64; W], codes: CodesView<'_, W>, start: usize) -> uint16x8_t {
    const { assert!(W < 1024, "16 bits hold distances below 65,536") };
    // Two codes a register: four partial sums of 16 bits for each.
    let mut sums = [vdupq_n_u16(0); LANES / 2];
    for (word, column) in query.iter().zip(codes.columns) {
        let run = &column[start..start + LANES];
        let query = vdupq_n_u64(*word);
        for (pair, sum) in run.chunks_exact(2).zip(&mut sums) {
            // SAFETY: `pair` has the two words of a register.
            let codes = unsafe { vld1q_u64(pair.as_ptr()) };
            *sum = vpadalq_u8(*sum, vcntq_u8(vreinterpretq_u8_u64(veorq_u64(query, codes))));
        }
    }
    vpaddq_u16(vpaddq_u16(sums[0], sums[1]), vpaddq_u16(sums[2], sums[3]))
}
