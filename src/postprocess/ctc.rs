//! Text from the columns of a recogniser (Connectionist Temporal Classification, Graves et al. 2006).

/// The class that stands for no character.
pub const BLANK: usize = 0;

/// What a recogniser says of a line: `columns` x `classes` logits, before the softmax.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    logits: &'a [f32],
    classes: usize,
}

/// Text that was read: the class of each character and how probable it is, 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// Classes, none of them the blank.
    pub classes: Vec<usize>,
    /// Of each class, after a softmax in f32 over the column where it first appears.
    pub scores: Vec<f32>,
}

impl Reading {
    /// The mean over the characters; 0 if there are none.
    pub fn score(&self) -> f32 {
        if self.scores.is_empty() { 0.0 } else { self.scores.iter().sum::<f32>() / self.scores.len() as f32 }
    }
}

impl<'a> Columns<'a> {
    /// `logits` are one column after the other, `classes` (at least 1) values each.
    pub fn new(logits: &'a [f32], classes: usize) -> Self {
        Columns { logits, classes }
    }

    /// The columns from the left.
    pub fn iter(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        self.logits.chunks_exact(self.classes)
    }

    /// The best class of each column, repetitions joined, blanks dropped. With `allowed`, as long as there are classes, only
    /// these are read (the blank always is).
    pub fn greedy(&self, allowed: Option<&[bool]>) -> Reading {
        let mut reading = Reading::default();
        let mut last = BLANK;
        for column in self.iter() {
            let class = best(column, allowed);
            if class != BLANK && class != last {
                reading.classes.push(class);
                reading.scores.push((column[class] - log_sum_exp(column)).exp());
            }
            last = class;
        }
        reading
    }
}

/// The class of the greatest logit, the first of equal ones.
fn best(column: &[f32], allowed: Option<&[bool]>) -> usize {
    match allowed {
        None => {
            let greatest = max(column);
            column.iter().position(|&v| v == greatest).unwrap_or(BLANK)
        }
        Some(allowed) => (1..column.len())
            .filter(|&c| allowed[c])
            .fold(BLANK, |best, c| if column[c] > column[best] { c } else { best }),
    }
}

/// The greatest value, in lanes that compilers turn into vector instructions.
fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane = if v > *lane { v } else { *lane });
    }
    lanes.into_iter().fold(rest, f32::max)
}

/// The logarithm of the sum of the exponentials: what a logit must be less by to be the logarithm of a probability.
pub fn log_sum_exp(column: &[f32]) -> f32 {
    let greatest = max(column);
    let mut lanes = [0f32; 16];
    let chunks = column.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|v| exp(v - greatest)).sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += exp(v - greatest));
    }
    greatest + (lanes.into_iter().sum::<f32>() + rest).ln()
}

/// The exponential of a number of 0 or less, to a relative error below 1e-5, as good as 0 below -87: without branches, so that
/// compilers turn it into vector instructions. 18,710 of them a character took longer than the rest of the reading.
fn exp(x: f32) -> f32 {
    // 2^(x log2 e): the whole part goes into the exponent's bits, the rest (-0.5 to 0.5) into its Taylor series.
    let scaled = x.max(-87.0) * std::f32::consts::LOG2_E;
    let whole = scaled.round_ties_even();
    let t = (scaled - whole) * std::f32::consts::LN_2;
    let series = 1.0 + t * (1.0 + t * (1.0 / 2.0 + t * (1.0 / 6.0 + t * (1.0 / 24.0 + t * (1.0 / 120.0 + t / 720.0)))));
    series * f32::from_bits(((whole as i32 + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repetitions_are_one_and_blanks_part() {
        let path = [0, 2, 2, 0, 2, 1, 1, 0];
        let logits: Vec<f32> = path.iter().flat_map(|&c| (0..3).map(move |k| if k == c { 5.0 } else { 0.0 })).collect();
        let reading = Columns::new(&logits, 3).greedy(None);
        assert_eq!(reading.classes, [2, 2, 1]);
        let expected = 5f32.exp() / (5f32.exp() + 2.0);
        assert!(
            reading.scores.iter().all(|s| (s - expected).abs() < 1e-6) && (reading.score() - expected).abs() < 1e-6
        );
        let without = Columns::new(&logits, 3).greedy(Some(&[true, true, false]));
        assert_eq!(without.classes, [1]);
    }

    proptest! {
        #[test]
        fn exponentials(x in -87f32..0.0) {
            prop_assert!((exp(x) / x.exp() - 1.0).abs() < 1e-5, "{} {}", exp(x), x.exp());
            prop_assert!(exp(x * 1e6) >= 0.0);
        }

        #[test]
        fn scores_are_probabilities(logits in prop::collection::vec(-30f32..30.0, 40 * 7)) {
            let reading = Columns::new(&logits, 7).greedy(None);
            prop_assert_eq!(reading.classes.len(), reading.scores.len());
            prop_assert!(reading.scores.iter().all(|s| (0.0..=1.0001).contains(s)));
            prop_assert!(reading.classes.iter().all(|&c| c != BLANK && c < 7));
            let total: f32 = logits[..7].iter().map(|v| (v - log_sum_exp(&logits[..7])).exp()).sum();
            prop_assert!((total - 1.0).abs() < 1e-4);
        }
    }
}
