//! Which way to take: a cost model.

use super::blocks::{Blocks, Choice};
use super::buckets::Comparison;
use super::index;
use crate::kernels::hamming::{self, Codes, CodesView, Hit};
use crate::kernels::isa::Isa;
use rayon::prelude::*;

/// A way to find all pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Compare every code with every other.
    Brute,
    /// Cut the codes in blocks and compare those that agree in some choice of them.
    Index {
        /// Number of blocks, `1..=64 * W`.
        blocks: u32,
        /// Blocks of a choice, `1..=blocks - threshold`.
        chosen: u32,
    },
}

impl Plan {
    /// Whether it finds every pair of codes of `bits` bits within `threshold`: the differing bits spoil at most
    /// `threshold` blocks, so `blocks - threshold` are left to choose from.
    pub fn is_complete(self, bits: u32, threshold: u32) -> bool {
        match self {
            Plan::Brute => true,
            Plan::Index { blocks, chosen } => {
                (1..=bits).contains(&blocks) && chosen >= 1 && chosen <= blocks.saturating_sub(threshold)
            }
        }
    }
}

/// Most codes that stand for all in the estimate of bucket sizes.
const SAMPLE: usize = 8192;

/// Most of them whose near pairs are counted: all of these are compared with each other.
const NEAR_SAMPLE: usize = 2048;

/// Most choices of blocks that stand for all of a plan.
const SAMPLED_CHOICES: usize = 3;

/// Brute force below this many nanoseconds of one core needs no estimate, which takes about as long.
const AT_ONCE: f64 = 2e6;

/// Nanoseconds of one core for one comparison: part of it for any code, part for each word.
///
/// Measured on a Zen 4 server at 87,500 codes of 64 and 256 bits, except NEON, which is a guess. Only the ratio to
/// [`sorting`] matters, so they need not fit other machines well.
fn comparing(isa: Isa, words: usize) -> f64 {
    let (any, word) = match isa {
        Isa::Avx512 => (0.06, 0.10),
        Isa::Avx2 => (0.07, 0.22),
        Isa::Neon => (0.10, 0.30),
        Isa::Scalar => (0.90, 0.60),
    };
    any + word * words as f64
}

/// Nanoseconds of one core to sort one code for one choice and visit its bucket, measured likewise.
fn sorting(words: usize) -> f64 {
    12.0 + 6.0 * words as f64
}

/// Nanoseconds of one core for a hit: handing it on and asking whether its choice is the first in which it agrees.
const HIT: f64 = 12.0;

/// The cheapest plan for these codes.
///
/// Brute force costs all comparisons. A plan with `k` of `m` blocks costs `C(m, k)` times the sorting of all codes,
/// the comparisons within buckets, and a hit in each choice in which a near pair agrees. Real codes have biased and
/// correlated bits, and so much larger buckets and many more near pairs than fair coins would give; how many is
/// counted in a sample of the codes for a sample of the choices. More blocks of a choice make smaller buckets for more
/// sorting, so the search ends when the sorting alone costs too much.
pub(super) fn choose<const W: usize>(comparison: &Comparison, codes: CodesView<'_, W>) -> Plan {
    let count = comparison.count(codes.len());
    let compare = comparing(comparison.kernel.isa(), W);
    let mut best = Plan::Brute;
    if count * compare < AT_ONCE {
        return best;
    }
    let sample = Sample::new(comparison, codes);
    let mut least = count * (compare + sample.near_share * HIT);
    let mut choices = 1.0;
    for chosen in 1.. {
        let blocks = comparison.threshold.saturating_add(chosen);
        let plan = Plan::Index { blocks, chosen };
        // C(m + 1, k + 1) from C(m, k).
        choices *= f64::from(blocks) / f64::from(chosen);
        let sort = choices * sorting(W) * codes.len() as f64;
        if !plan.is_complete(64 * W as u32, comparison.threshold) || sort >= least {
            break;
        }
        let (compared, hits) = sample.shares(&Blocks::even(blocks).choices(chosen, index::key_bits(codes.len())));
        let cost = sort + choices * count * (compared * compare + hits * HIT);
        if cost < least {
            (best, least) = (plan, cost);
        }
    }
    best
}

/// Some of the codes, to estimate shares of all pairs.
struct Sample<const W: usize> {
    codes: Vec<[u64; W]>,
    /// Differences of the near pairs among a part of them.
    near: Vec<[u64; W]>,
    /// How many of all pairs are near.
    near_share: f64,
}

impl<const W: usize> Sample<W> {
    fn new(comparison: &Comparison, codes: CodesView<'_, W>) -> Self {
        // Evenly spread, so that the order of the codes does not matter.
        let sample: Vec<[u64; W]> = codes.iter().step_by(codes.len().div_ceil(SAMPLE)).collect();
        let few: Vec<[u64; W]> = sample.iter().copied().step_by(sample.len().div_ceil(NEAR_SAMPLE)).collect();
        let columns: Codes<W> = few.iter().copied().collect();
        let mut hits = Vec::new();
        comparison.kernel.near_within(columns.view(), comparison.threshold, &mut hits);
        let difference = |hit: &Hit| hamming::difference(&few[hit.query as usize], &few[hit.code as usize]);
        let near: Vec<_> = hits.iter().map(difference).collect();
        Self { near_share: near.len() as f64 / pairs(few.len()), near, codes: sample }
    }

    /// The shares of all pairs that are compared in a choice and that are hits in it, on average over some choices.
    fn shares(&self, choices: &[Choice<W>]) -> (f64, f64) {
        let sampled: Vec<_> = choices.iter().step_by(choices.len().div_ceil(SAMPLED_CHOICES)).collect();
        let shares = sampled.par_iter().map(|choice| (self.same_key(choice), self.agreeing(choice)));
        let (compared, hits) = shares.reduce(|| (0.0, 0.0), |one, other| (one.0 + other.0, one.1 + other.1));
        (compared / sampled.len() as f64, hits / sampled.len() as f64)
    }

    /// The share of pairs that have the same key.
    fn same_key(&self, choice: &Choice<W>) -> f64 {
        let mut keys: Vec<u32> = self.codes.iter().map(|code| choice.key(code)).collect();
        keys.sort_unstable();
        keys.chunk_by(|one, next| one == next).map(|bucket| pairs(bucket.len())).sum::<f64>() / pairs(keys.len())
    }

    /// The share of pairs that are near and have the same key.
    fn agreeing(&self, choice: &Choice<W>) -> f64 {
        let agreeing = self.near.iter().filter(|difference| choice.key(difference) == 0).count();
        self.near_share * agreeing as f64 / self.near.len().max(1) as f64
    }
}

/// Number of pairs among so many codes.
fn pairs(codes: usize) -> f64 {
    codes as f64 * codes.saturating_sub(1) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::hamming::Kernel;

    fn plan(codes: impl Iterator<Item = [u64; 1]>, threshold: u32, isa: Isa) -> Plan {
        let codes: Codes<1> = codes.collect();
        let comparison = Comparison { kernel: Kernel::new(isa), threshold, first_query: None };
        choose(&comparison, codes.view())
    }

    fn random(len: usize) -> impl Iterator<Item = [u64; 1]> {
        let mut random = fastrand::Rng::with_seed(3);
        (0..len).map(move |_| [random.u64(..)])
    }

    #[test]
    fn few_codes_and_wide_thresholds_go_to_brute_force() {
        assert_eq!(plan(random(1_000), 5, Isa::Scalar), Plan::Brute);
        assert_eq!(plan(random(20_000), 20, Isa::best()), Plan::Brute);
        assert_eq!(plan(random(20_000), 64, Isa::best()), Plan::Brute);
        assert_eq!(plan(random(20_000), u32::MAX, Isa::best()), Plan::Brute);
    }

    #[test]
    fn many_codes_and_narrow_thresholds_go_to_the_index() {
        for isa in Isa::ALL {
            assert!(matches!(plan(random(100_000), 5, isa), Plan::Index { .. }), "{isa:?}");
        }
    }

    #[test]
    fn codes_in_few_large_buckets_go_to_brute_force() {
        // Bits that never vary sort nothing: 16 bits of every 64 carry all the codes.
        let stuck = random(60_000).map(|[word]| [word & 0xffff]);
        assert_eq!(plan(stuck, 12, Isa::best()), Plan::Brute);
    }
}
