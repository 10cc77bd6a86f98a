use super::*;
use proptest::prelude::*;

/// Codes that differ from a common centre in a few bits, so that every threshold has hits.
fn codes<const W: usize>(max_len: usize) -> impl Strategy<Value = Vec<[u64; W]>> {
    let word = prop_oneof![Just(0), Just(u64::MAX), any::<u64>().prop_map(|word| word & (word >> 1)), any::<u64>()];
    prop::collection::vec(prop::array::uniform::<_, W>(word), 0..max_len)
}

fn hits<const W: usize>(isa: Isa, queries: &[[u64; W]], codes: &[[u64; W]], threshold: u32) -> Vec<Hit> {
    let queries: Codes<W> = queries.iter().copied().collect();
    let codes: Codes<W> = codes.iter().copied().collect();
    let mut hits = Vec::new();
    Kernel::new(isa).near(queries.view(), codes.view(), threshold, &mut hits);
    hits.sort_unstable();
    hits
}

fn hits_within<const W: usize>(isa: Isa, codes: &[[u64; W]], threshold: u32) -> Vec<Hit> {
    let codes: Codes<W> = codes.iter().copied().collect();
    let mut hits = Vec::new();
    Kernel::new(isa).near_within(codes.view(), threshold, &mut hits);
    hits.sort_unstable();
    hits
}

fn naive<const W: usize>(queries: &[[u64; W]], codes: &[[u64; W]], threshold: u32) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (query, a) in queries.iter().enumerate() {
        for (code, b) in codes.iter().enumerate() {
            let distance = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
            if distance <= threshold {
                hits.push(Hit { query: query as u32, code: code as u32, distance });
            }
        }
    }
    hits
}

fn every_isa_agrees<const W: usize>(queries: &[[u64; W]], codes: &[[u64; W]], threshold: u32) {
    let expected = naive(queries, codes, threshold);
    let mut within = naive(codes, codes, threshold);
    within.retain(|hit| hit.query < hit.code);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        assert_eq!(hits(isa, queries, codes, threshold), expected, "{isa:?}, {threshold} of {W} words");
        assert_eq!(hits_within(isa, codes, threshold), within, "{isa:?}, {threshold} of {W} words");
    }
}

proptest! {
    #[test]
    fn every_isa_finds_the_hits_of_64_bits(queries in codes::<1>(40), codes in codes::<1>(70), threshold in 0u32..=65) {
        every_isa_agrees(&queries, &codes, threshold);
    }

    #[test]
    fn every_isa_finds_the_hits_of_256_bits(queries in codes::<4>(40), codes in codes::<4>(70), threshold in 0u32..=257) {
        every_isa_agrees(&queries, &codes, threshold);
    }

    #[test]
    fn other_widths_work_too(queries in codes::<3>(20), codes in codes::<3>(40), threshold in 0u32..=u32::MAX) {
        every_isa_agrees(&queries, &codes, threshold % 193);
        every_isa_agrees(&queries, &codes, threshold);
    }
}

#[test]
fn every_length_around_the_vector_widths() {
    let all: Vec<[u64; 4]> = (0..40u64).map(|i| [i, i.wrapping_mul(i) << 20, !i, i << 60]).collect();
    for queries in 0..=18 {
        for codes in 0..=all.len() {
            every_isa_agrees(&all[..queries], &all[..codes], 14);
        }
    }
}

#[test]
fn complements_are_as_far_as_can_be() {
    // 256 does not fit a byte: a kernel that summed in bytes would take complements for copies.
    every_isa_agrees(&[[0u64; 4]; 9], &[[u64::MAX; 4]; 9], 255);
    every_isa_agrees(&[[0u64; 4]; 9], &[[u64::MAX; 4]; 9], 256);
}
