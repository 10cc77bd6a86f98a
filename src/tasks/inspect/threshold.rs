//! The threshold of a region, from good parts alone.

/// This many standard deviations above the mean. Scores are maxima over many places; their logarithm is close to normal.
const DEVIATIONS: f32 = 3.0;

/// No further above the largest of them than this: a few scores near 0 widen the spread, but say nothing of bad parts.
const REACH: f32 = 1.5;

/// A score that few good parts exceed, from scores of good parts that were held against a memory without them.
pub(super) fn of(held_out: &[f32]) -> f32 {
    let logs: Vec<f32> = held_out.iter().map(|s| s.max(1e-6).ln()).collect();
    let mean = logs.iter().sum::<f32>() / logs.len() as f32;
    let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f32>() / logs.len() as f32;
    let largest = held_out.iter().copied().fold(0.0, f32::max);
    (mean + DEVIATIONS * variance.sqrt()).exp().min(REACH * largest.max(1e-6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_above_the_good_ones() {
        assert!((of(&[2.0, 2.0, 2.0]) - 2.0).abs() < 1e-5);
        let spread = [1.0, 1.1, 1.3, 0.9, 1.2];
        assert!(of(&spread) > 1.3 && of(&spread) < 2.5);
    }
}
