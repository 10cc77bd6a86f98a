//! Training, validation and test parts: near-duplicates stay together, rare classes are learned from first.

use super::Split;
use std::cmp::Reverse;

/// A group of this share of all pictures is placed before others: what comes later can make up for it.
const LARGE: usize = 20;

/// The part of each of `count` pictures. The pictures of one of `groups` (their places; in no more than one group each)
/// come into the same part. `classes` holds, for each picture, the classes of the objects in it; it may be shorter.
/// `shares` are those of [`Split::ALL`], in any scale. The same seed gives the same parts.
///
/// Train is never empty; there is a val if its share is not zero and there are two groups or pictures apart.
pub fn split(groups: &[Vec<usize>], count: usize, classes: &[Vec<usize>], shares: [f64; 3], seed: u64) -> Vec<Split> {
    let units = units(groups, count, classes, seed);
    let whole = shares.iter().map(|s| s.max(0.0)).sum::<f64>();
    let shares = if whole > 0.0 { shares.map(|s| s.max(0.0) / whole) } else { [1.0, 0.0, 0.0] };
    let kinds = units.iter().flat_map(|u| &u.classes).map(|c| c + 1).max().unwrap_or(0);
    let mut total = vec![0.0f64; kinds];
    units.iter().flat_map(|u| &u.classes).for_each(|&c| total[c] += 1.0);
    let rarity = |unit: &Unit| unit.classes.iter().copied().min_by(|&a, &b| total[a].total_cmp(&total[b]));

    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&i| {
        let size = units[i].pictures.len();
        let large = if size * LARGE > count { size } else { 0 };
        let rare = rarity(&units[i]).map_or(usize::MAX, |c| total[c] as usize);
        (Reverse(large), rare)
    });
    // What each part still lacks, in pictures, and in units of each class.
    let mut lacks = shares.map(|s| s * count as f64);
    let mut lacks_class: Vec<[f64; 3]> = total.iter().map(|t| shares.map(|s| s * t)).collect();
    let mut parts = vec![0; units.len()];
    for i in order {
        let size = units[i].pictures.len() as f64;
        let room = |p: &usize| shares[*p] > 0.0 && lacks[*p] >= size / 2.0;
        let wanting = |a: &usize, b: &usize| lacks[*a].total_cmp(&lacks[*b]).then(b.cmp(a));
        let by_class = rarity(&units[i]).and_then(|c| {
            let more =
                |a: &usize, b: &usize| lacks_class[c][*a].total_cmp(&lacks_class[c][*b]).then_with(|| wanting(a, b));
            (0..3).filter(room).max_by(more)
        });
        let part = by_class.or_else(|| (0..3).filter(|p| shares[*p] > 0.0).max_by(wanting)).unwrap_or(0);
        parts[i] = part;
        lacks[part] -= size;
        units[i].classes.iter().for_each(|&c| lacks_class[c][part] -= 1.0);
    }
    mend(&mut parts, &units, &total, shares);
    let mut found = vec![Split::Train; count];
    for (unit, part) in units.iter().zip(parts) {
        unit.pictures.iter().for_each(|&p| found[p] = Split::ALL[part]);
    }
    found
}

/// Pictures that stay together, and the classes in them, each once.
struct Unit {
    pictures: Vec<usize>,
    classes: Vec<usize>,
}

/// All groups and the pictures in none, in an order that `seed` makes.
fn units(groups: &[Vec<usize>], count: usize, classes: &[Vec<usize>], seed: u64) -> Vec<Unit> {
    let mut free = vec![true; count];
    let mut take = |p: &usize| free.get_mut(*p).is_some_and(std::mem::take);
    let mut together: Vec<Vec<usize>> = groups
        .iter()
        .map(|g| g.iter().copied().filter(|p| take(p)).collect())
        .filter(|g: &Vec<_>| !g.is_empty())
        .collect();
    together.extend((0..count).filter(|&p| free[p]).map(|p| vec![p]));
    fastrand::Rng::with_seed(seed).shuffle(&mut together);
    let unit = |pictures: Vec<usize>| {
        let mut found: Vec<usize> = pictures.iter().filter_map(|&p| classes.get(p)).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        Unit { pictures, classes: found }
    };
    together.into_iter().map(unit).collect()
}

/// Gives train and val a group each, where there are so many.
fn mend(parts: &mut [usize], units: &[Unit], total: &[f64], shares: [f64; 3]) {
    let size = |i: &usize| units[*i].pictures.len();
    if !parts.contains(&0)
        && let Some(largest) = (0..units.len()).max_by_key(size)
    {
        parts[largest] = 0;
    }
    if shares[1] > 0.0 && units.len() > 1 && !parts.contains(&1) {
        // The smallest without a class that nothing else shows, from train unless it has only one.
        let spare = parts.iter().filter(|p| **p == 0).count() > 1;
        let from = |i: &usize| parts[*i] == if spare { 0 } else { 2 };
        let only = |i: &usize| units[*i].classes.iter().any(|&c| total[c] < 2.0);
        if let Some(chosen) = (0..units.len()).filter(from).min_by_key(|i| (only(i), size(i))) {
            parts[chosen] = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARES: [f64; 3] = [0.8, 0.1, 0.1];

    fn counts(parts: &[Split]) -> [usize; 3] {
        Split::ALL.map(|s| parts.iter().filter(|p| **p == s).count())
    }

    #[test]
    fn shares_are_kept_and_seeded() {
        let parts = split(&[], 100, &[], SHARES, 7);
        assert_eq!(counts(&parts), [80, 10, 10]);
        assert_eq!(parts, split(&[], 100, &[], SHARES, 7));
        assert_ne!(parts, split(&[], 100, &[], SHARES, 8));
        assert_eq!(counts(&split(&[], 10, &[], [70.0, 30.0, 0.0], 1)), [7, 3, 0]);
        assert_eq!(counts(&split(&[], 5, &[], SHARES, 1))[0], 4);
    }

    #[test]
    fn groups_stay_together() {
        let groups: Vec<Vec<usize>> = (0..20).map(|g| (g * 5..g * 5 + 5).collect()).collect();
        let parts = split(&groups, 100, &[], SHARES, 3);
        for group in &groups {
            assert!(group.iter().all(|&p| parts[p] == parts[group[0]]));
        }
        assert_eq!(counts(&parts), [80, 10, 10]);
    }

    #[test]
    fn few_pictures() {
        assert_eq!(split(&[], 0, &[], SHARES, 1), []);
        assert_eq!(split(&[], 1, &[], SHARES, 1), [Split::Train]);
        assert_eq!(split(&[], 1, &[], [0.0, 1.0, 0.0], 1), [Split::Train]);
        assert_eq!(split(&[vec![0, 1, 2]], 3, &[], SHARES, 1), [Split::Train; 3]);
        for seed in 0..20 {
            assert_eq!(counts(&split(&[], 2, &[], SHARES, seed)), [1, 1, 0]);
            assert_eq!(counts(&split(&[vec![0, 1, 2, 3]], 5, &[], SHARES, seed)), [4, 1, 0]);
            assert_eq!(counts(&split(&[], 2, &[], [1.0, 0.0, 0.0], seed)), [2, 0, 0]);
            let all = counts(&split(&[], 3, &[], [0.0, 0.5, 0.5], seed));
            assert!(all[0] >= 1 && all[1] >= 1, "{all:?}");
        }
    }

    #[test]
    fn classes_are_spread() {
        // Class 1 in a tenth of the pictures, class 2 in one.
        let classes: Vec<Vec<usize>> = (0..200)
            .map(|i| {
                if i == 11 {
                    vec![0, 2]
                } else if i % 10 == 0 {
                    vec![0, 1]
                } else {
                    vec![0]
                }
            })
            .collect();
        for seed in 0..20 {
            let parts = split(&[], 200, &classes, SHARES, seed);
            assert_eq!(counts(&parts), [160, 20, 20]);
            let with =
                |c: usize| counts(&(0..200).filter(|&i| classes[i].contains(&c)).map(|i| parts[i]).collect::<Vec<_>>());
            assert_eq!(with(1), [16, 2, 2]);
            assert_eq!(with(2), [1, 0, 0]);
        }
    }

    proptest! {
        #[test]
        fn always_sound(sizes in proptest::collection::vec(1usize..9, 0..12), singles in 0usize..30, seed: u64,
                        shares in [0f64..1.0, 0f64..1.0, 0f64..1.0], kinds in proptest::collection::vec(0usize..5, 0..90)) {
            let mut at = 0;
            let groups: Vec<Vec<usize>> = sizes.iter().map(|s| { at += s; (at - s..at).collect() }).collect();
            let count = at + singles;
            let classes: Vec<Vec<usize>> = kinds.into_iter().map(|k| vec![k]).collect();
            let parts = split(&groups, count, &classes, shares, seed);
            prop_assert_eq!(parts.len(), count);
            for group in &groups {
                prop_assert!(group.iter().all(|&p| parts[p] == parts[group[0]]));
            }
            let n = counts(&parts);
            prop_assert!(count == 0 || n[0] > 0);
            prop_assert!(groups.len() + singles < 2 || shares[1] == 0.0 || n[1] > 0);
            // No part is further from its share than the largest group, or the one that was moved to mend it.
            let largest = sizes.iter().copied().max().unwrap_or(1) as f64;
            let whole: f64 = shares.iter().sum();
            if whole > 0.0 {
                for (n, share) in n.iter().zip(shares) {
                    prop_assert!((*n as f64 - share / whole * count as f64).abs() <= 2.0 * largest + 1.0, "{n} {share}");
                }
            }
        }
    }
}
