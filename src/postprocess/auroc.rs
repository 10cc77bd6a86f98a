//! Area under the receiver operating characteristic: the chance that a bad one scores above a good one.

/// AUROC of `bad` scores against `good` ones, 0 to 1, ties counted half; `None` if one of them is empty.
pub fn auroc(good: &[f32], bad: &[f32]) -> Option<f64> {
    let mut all: Vec<(f32, bool)> = good.iter().map(|&s| (s, false)).chain(bad.iter().map(|&s| (s, true))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut counts: Vec<[u64; 2]> = Vec::new();
    let mut last = None;
    for (score, is_bad) in all {
        if last != Some(score) {
            counts.push([0, 0]);
            last = Some(score);
        }
        if let Some(level) = counts.last_mut() {
            level[usize::from(is_bad)] += 1;
        }
    }
    area(&counts)
}

/// Counts of scores of 0 and above by their leading 16 bits (8 of them mantissa: steps of 0.4 %), good and bad apart:
/// the pixels of a whole test set fit into half a megabyte.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<[u64; 2]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![[0, 0]; 1 << 16] }
    }
}

impl Histogram {
    /// Counts one score; negative ones count as 0.
    pub fn add(&mut self, score: f32, bad: bool) {
        let level = (score.max(0.0).to_bits() >> 15) as usize;
        self.counts[level][usize::from(bad)] += 1;
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Histogram) {
        for (own, theirs) in self.counts.iter_mut().zip(&other.counts) {
            own[0] += theirs[0];
            own[1] += theirs[1];
        }
    }

    /// AUROC of what was counted; `None` without both kinds.
    pub fn auroc(&self) -> Option<f64> {
        area(&self.counts)
    }
}

/// From counts (good, bad) at ascending scores.
fn area(counts: &[[u64; 2]]) -> Option<f64> {
    let (mut below, mut wins, mut bad) = (0u64, 0f64, 0u64);
    for &[g, b] in counts {
        wins += b as f64 * (below as f64 + g as f64 / 2.0);
        below += g;
        bad += b;
    }
    (below > 0 && bad > 0).then(|| wins / (below as f64 * bad as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(auroc(&[1.0, 2.0], &[3.0, 4.0]), Some(1.0));
        assert_eq!(auroc(&[3.0, 4.0], &[1.0, 2.0]), Some(0.0));
        assert_eq!(auroc(&[1.0, 3.0], &[2.0, 3.0]), Some(0.625));
        assert_eq!(auroc(&[], &[2.0]), None);
    }

    proptest! {
        /// Only pairs that share a level may count differently, each by a half at most.
        #[test]
        fn histogram_is_close(good in prop::collection::vec(0f32..5.0, 1..60), bad in prop::collection::vec(1f32..6.0, 1..60)) {
            let mut histogram = Histogram::default();
            good.iter().for_each(|&s| histogram.add(s, false));
            bad.iter().for_each(|&s| histogram.add(s, true));
            let same = |g: f32| bad.iter().filter(|b| (b.to_bits() ^ g.to_bits()) >> 15 == 0).count();
            let shared: usize = good.iter().map(|&g| same(g)).sum();
            let tolerance = shared as f64 / 2.0 / (good.len() * bad.len()) as f64 + 1e-9;
            let (a, b) = (auroc(&good, &bad).unwrap(), histogram.auroc().unwrap());
            prop_assert!((a - b).abs() <= tolerance, "{} {} {}", a, b, tolerance);
        }
    }
}
