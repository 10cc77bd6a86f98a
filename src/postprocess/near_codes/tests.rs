use super::*;
use crate::kernels::hamming::distance;
use crate::kernels::isa::Isa;
use proptest::prelude::*;

/// Random codes, most of them a few flipped bits away from one of a few centres.
fn clustered<const W: usize>(max_len: usize) -> impl Strategy<Value = Vec<[u64; W]>> {
    let centres = prop::collection::vec(prop::array::uniform::<_, W>(any::<u64>()), 1..4);
    let flips = prop::collection::vec(0..64 * W, 0..12);
    let members = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<u64>(), flips), 0..max_len);
    (centres, members).prop_map(|(centres, members)| {
        members
            .into_iter()
            .map(|(centre, is_random, seed, flips)| {
                let mut code = *centre.get(&centres);
                if is_random {
                    let mut random = fastrand::Rng::with_seed(seed);
                    code = std::array::from_fn(|_| random.u64(..));
                }
                flips.into_iter().for_each(|bit| code[bit / 64] ^= 1 << (bit % 64));
                code
            })
            .collect()
    })
}

fn naive<const W: usize>(codes: &[[u64; W]], threshold: u32) -> Vec<Pair> {
    let every = (0..codes.len()).flat_map(|a| (a + 1..codes.len()).map(move |b| (a, b)));
    let pairs = every.map(|(a, b)| Pair { a: a as u32, b: b as u32, distance: distance(&codes[a], &codes[b]) });
    pairs.filter(|pair| pair.distance <= threshold).collect()
}

fn naive_cross<const W: usize>(queries: &[[u64; W]], codes: &[[u64; W]], threshold: u32) -> Vec<Pair> {
    let every = (0..queries.len()).flat_map(|a| (0..codes.len()).map(move |b| (a, b)));
    let pairs = every.map(|(a, b)| Pair { a: a as u32, b: b as u32, distance: distance(&queries[a], &codes[b]) });
    pairs.filter(|pair| pair.distance <= threshold).collect()
}

/// Every way and every instruction set gives what the double loop gives.
fn all_agree<const W: usize>(codes: &[[u64; W]], threshold: u32, spare: u32, chosen: u32) {
    let expected = naive(codes, threshold);
    let chosen = chosen.min(spare);
    let index = Plan::Index { blocks: threshold + spare, chosen };
    assert!(index.is_complete(64 * W as u32, threshold));
    assert_eq!(pairs(codes, threshold), expected);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for plan in [Plan::Brute, index] {
            assert_eq!(search(Kernel::new(isa), &[], codes, threshold, Some(plan)), expected, "{isa:?} {plan:?}");
        }
    }
}

fn cross_agrees<const W: usize>(queries: &[[u64; W]], codes: &[[u64; W]], threshold: u32, spare: u32) {
    let expected = naive_cross(queries, codes, threshold);
    assert_eq!(cross_pairs(queries, codes, threshold), expected);
    if !queries.is_empty() {
        let index = Plan::Index { blocks: threshold + spare, chosen: spare };
        assert_eq!(search(Kernel::default(), queries, codes, threshold, Some(index)), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn index_and_brute_force_find_what_the_double_loop_finds_in_64_bits(
        codes in clustered::<1>(400), threshold in 0u32..=20, spare in 1u32..=3, chosen in 1u32..=3,
    ) {
        all_agree(&codes, threshold, spare, chosen);
    }

    #[test]
    fn index_and_brute_force_find_what_the_double_loop_finds_in_256_bits(
        codes in clustered::<4>(400), threshold in 0u32..=60, spare in 1u32..=2, chosen in 1u32..=2,
    ) {
        all_agree(&codes, threshold, spare, chosen);
    }

    #[test]
    fn cross_pairs_are_those_of_the_double_loop(
        queries in clustered::<1>(200), codes in clustered::<1>(200), threshold in 0u32..=20, spare in 1u32..=2,
    ) {
        cross_agrees(&queries, &codes, threshold, spare);
        cross_agrees(&codes, &codes, threshold, spare);
    }

    #[test]
    fn cross_pairs_of_256_bits_are_those_of_the_double_loop(
        queries in clustered::<4>(120), codes in clustered::<4>(120), threshold in 0u32..=60,
    ) {
        cross_agrees(&queries, &codes, threshold, 1);
    }

    #[test]
    fn collapse_keeps_each_code_once(codes in clustered::<1>(200)) {
        let (distinct, positions) = collapse(&codes);
        prop_assert!(distinct.windows(2).all(|two| two[0] < two[1]));
        prop_assert_eq!(positions.len(), codes.len());
        prop_assert!(codes.iter().zip(&positions).all(|(code, &position)| distinct[position as usize] == *code));
        prop_assert!(distinct.iter().all(|code| codes.contains(code)));
    }
}

/// `len` random codes, every other one within `bits` flips of the one before it.
fn random_codes<const W: usize>(len: usize, bits: usize) -> Vec<[u64; W]> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut codes: Vec<[u64; W]> = (0..len).map(|_| std::array::from_fn(|_| random.u64(..))).collect();
    for at in (1..len).step_by(2) {
        codes[at] = codes[at - 1];
        for _ in 0..bits {
            let bit = random.usize(0..64 * W);
            codes[at][bit / 64] ^= 1 << (bit % 64);
        }
    }
    codes
}

#[test]
fn large_sets_in_parallel_give_the_same_as_one_thread() {
    let codes = random_codes::<1>(20_000, 5);
    let plans = [Plan::Brute, Plan::Index { blocks: 6, chosen: 1 }, Plan::Index { blocks: 7, chosen: 2 }];
    let expected = pairs_with(&codes, 5, Plan::Brute);
    assert!(expected.len() >= 9_000);
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for plan in plans {
            assert_eq!(pool.install(|| pairs_with(&codes, 5, plan)), expected, "{threads} threads, {plan:?}");
        }
        assert_eq!(pool.install(|| pairs(&codes, 5)), expected);
    }
}

#[test]
fn a_large_bucket_is_shared_between_threads() {
    // All codes agree in the upper half, so one bucket holds them all.
    let codes: Vec<[u64; 1]> = random_codes::<1>(6_000, 4).into_iter().map(|[word]| [word >> 32]).collect();
    let (codes, _) = collapse(&codes);
    let expected = naive(&codes, 4);
    for plan in [Plan::Brute, Plan::Index { blocks: 5, chosen: 1 }, Plan::Index { blocks: 6, chosen: 2 }] {
        assert_eq!(pairs_with(&codes, 4, plan), expected, "{plan:?}");
    }
}

#[test]
fn plans_that_could_miss_pairs_fall_back_to_brute_force() {
    let codes = random_codes::<1>(300, 6);
    let expected = naive(&codes, 6);
    for (blocks, chosen) in [(0, 0), (6, 1), (7, 0), (7, 2), (65, 1), (u32::MAX, 1)] {
        let plan = Plan::Index { blocks, chosen };
        assert!(!plan.is_complete(64, 6));
        assert_eq!(pairs_with(&codes, 6, plan), expected, "{plan:?}");
    }
}

#[test]
fn empty_sets_and_extreme_thresholds() {
    assert!(pairs::<1>(&[], 5).is_empty());
    assert!(pairs(&[[1u64]], 64).is_empty());
    assert!(cross_pairs::<4>(&[], &[[0; 4]], 5).is_empty());
    assert!(cross_pairs::<4>(&[[0; 4]], &[], 5).is_empty());
    assert_eq!(pairs(&[[0u64], [u64::MAX]], u32::MAX), [Pair { a: 0, b: 1, distance: 64 }]);
    assert_eq!(cross_pairs(&[[0u64; 4]], &[[u64::MAX; 4]], 256), [Pair { a: 0, b: 0, distance: 256 }]);
    assert!(cross_pairs(&[[0u64; 4]], &[[u64::MAX; 4]], 255).is_empty());
}
