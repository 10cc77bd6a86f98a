//! Groups of duplicates around the photograph that is kept.
//!
//! A group is a star: every member is near the one that is kept, by its hash and by the second look. Members that are only
//! near each other do not chain: a series of photographs, each like the one before, never becomes one group whose ends
//! have nothing in common, and nothing is suggested for removal but what the kept photograph shows as well.

use std::cmp::Reverse;

/// What decides which photograph of a group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Merit {
    /// Lies in a reference directory: never removed, so kept before others.
    reference: Reverse<bool>,
    /// Width times height.
    pixels: Reverse<u64>,
    /// Bytes of the file.
    bytes: Reverse<u64>,
    /// Last change, nanoseconds since 1970.
    modified: i64,
}

impl Merit {
    /// The order of what is kept: reference, most pixels, most bytes, oldest.
    pub fn new(reference: bool, pixels: u64, bytes: u64, modified: i64) -> Self {
        Merit { reference: Reverse(reference), pixels: Reverse(pixels), bytes: Reverse(bytes), modified }
    }
}

/// A kept photograph and what is near it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Star<E> {
    /// The photograph that is kept, by its place in the input.
    pub keep: usize,
    /// The others with their edge to it, in the order of merit.
    pub others: Vec<(usize, E)>,
}

/// Makes stars of `edges` (two different items and what is known of their pair): the best photograph takes all that is
/// near it, then the best of the rest, and so on. Items without a partner are left out. Ties of merit go by place.
pub fn stars<E: Clone>(merits: &[Merit], edges: &[(usize, usize, E)]) -> Vec<Star<E>> {
    let mut neighbours: Vec<Vec<(usize, &E)>> = vec![Vec::new(); merits.len()];
    for (a, b, edge) in edges {
        neighbours[*a].push((*b, edge));
        neighbours[*b].push((*a, edge));
    }
    let mut order: Vec<usize> = (0..merits.len()).collect();
    order.sort_by_key(|&i| (merits[i], i));
    let mut free = vec![true; merits.len()];
    let mut stars = Vec::new();
    for keep in order {
        if !std::mem::take(&mut free[keep]) {
            continue;
        }
        let mut others: Vec<(usize, E)> = neighbours[keep]
            .iter()
            .filter(|(i, _)| std::mem::take(&mut free[*i]))
            .map(|(i, e)| (*i, (*e).clone()))
            .collect();
        if !others.is_empty() {
            others.sort_by_key(|(i, _)| (merits[*i], *i));
            stars.push(Star { keep, others });
        }
    }
    stars.sort_by_key(|s| s.keep);
    stars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merit(pixels: u64) -> Merit {
        Merit::new(false, pixels, 1, 0)
    }

    #[test]
    fn a_chain_does_not_become_one_group() {
        // A burst: each near the next. The largest takes its two neighbours; its ends stay apart.
        let merits: Vec<Merit> = [1, 1, 9, 1, 1, 1].map(merit).to_vec();
        let edges: Vec<(usize, usize, ())> = (0..5).map(|i| (i, i + 1, ())).collect();
        let found: Vec<(usize, Vec<usize>)> =
            stars(&merits, &edges).into_iter().map(|s| (s.keep, s.others.iter().map(|o| o.0).collect())).collect();
        assert_eq!(found, [(2, vec![1, 3]), (4, vec![5])]);
    }

    #[test]
    fn what_is_kept() {
        let merits = [
            Merit::new(false, 100, 50, 7),
            Merit::new(false, 100, 60, 9),
            Merit::new(false, 100, 60, 8),
            Merit::new(true, 10, 10, 99),
        ];
        let all = |n: usize| -> Vec<(usize, usize, ())> {
            (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b, ()))).collect()
        };
        let keep = |n: usize| stars(&merits[..n], &all(n))[0].keep;
        // More bytes, then the older; a reference before all.
        assert_eq!((keep(2), keep(3), keep(4)), (1, 2, 3));
    }
}
