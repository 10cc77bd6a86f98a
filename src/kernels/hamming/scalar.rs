//! Portable kernel: plain bit counts, in runs short enough for the compiler to vectorise.

use super::{CodesView, Hit, Scope};

/// Codes per run: the run is searched for hits only if its nearest code is near enough.
const RUN: usize = 16;

/// See [`Kernel::near`](super::Kernel::near) and [`Kernel::near_within`](super::Kernel::near_within).
pub(super) fn near<const W: usize>(
    queries: CodesView<'_, W>,
    codes: CodesView<'_, W>,
    scope: Scope,
    threshold: u32,
    hits: &mut Vec<Hit>,
) {
    for (row, query) in queries.iter().enumerate() {
        let mut push = |code: usize, distance: u64| {
            if distance <= u64::from(threshold) {
                scope.push(row, code, distance as u32, hits);
            }
        };
        let first = scope.first_code(row).min(codes.len());
        let whole = codes.len() - (codes.len() - first) % RUN;
        for start in (first..whole).step_by(RUN) {
            let mut distances = [0; RUN];
            for (column, word) in codes.columns.iter().zip(query) {
                for (distance, other) in distances.iter_mut().zip(&column[start..start + RUN]) {
                    *distance += u64::from((word ^ other).count_ones());
                }
            }
            let nearest = distances.iter().fold(u64::MAX, |least, &distance| least.min(distance));
            if nearest <= u64::from(threshold) {
                distances.into_iter().enumerate().for_each(|(offset, distance)| push(start + offset, distance));
            }
        }
        for code in whole..codes.len() {
            push(code, u64::from(super::distance(&query, &codes.get(code))));
        }
    }
}
