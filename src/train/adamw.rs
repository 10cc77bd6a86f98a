//! AdamW (Loshchilov and Hutter 2019): Adam with weight decay apart from the gradient.

use candle_core::{Result, Tensor, Var, backprop::GradStore};

/// Kingma and Ba 2015.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// The optimiser with its moments, in the order of the weights.
#[derive(Debug)]
pub struct AdamW {
    /// Share of a weight that a step at rate 1 takes off. Vectors and single rows, biases and the like, are left alone.
    pub decay: f64,
    /// Steps done.
    pub steps: u32,
    /// Means of the gradients.
    pub first: Vec<Tensor>,
    /// Means of their squares.
    pub second: Vec<Tensor>,
}

impl AdamW {
    /// For `weights`.
    pub fn new(weights: &[Var], decay: f64) -> Result<Self> {
        let zeros = || weights.iter().map(|w| w.as_tensor().zeros_like()).collect::<Result<Vec<_>>>();
        Ok(AdamW { decay, steps: 0, first: zeros()?, second: zeros()? })
    }

    /// A step of `rate` against `gradients`; `decayed` tells by its number whether a weight decays.
    pub fn step(&mut self, weights: &[Var], gradients: &GradStore, rate: f64, decayed: impl Fn(usize) -> bool) -> Result<()> {
        self.steps += 1;
        let power = self.steps.min(1 << 20) as i32;
        let (fair_first, fair_second) = (1.0 - BETAS.0.powi(power), 1.0 - BETAS.1.powi(power));
        for (i, weight) in weights.iter().enumerate() {
            let (Some(gradient), Some(first), Some(second)) =
                (gradients.get(weight), self.first.get_mut(i), self.second.get_mut(i))
            else {
                continue;
            };
            // Detached: the moments must not hold on to the graph that made the gradient.
            *first = ((&*first * BETAS.0)? + (gradient * (1.0 - BETAS.0))?)?.detach();
            *second = ((&*second * BETAS.1)? + (gradient.sqr()? * (1.0 - BETAS.1))?)?.detach();
            let spread = ((&*second / fair_second)?.sqrt()? + EPSILON)?;
            let step = ((&*first / fair_first)? / spread)?;
            let kept = if decayed(i) { 1.0 - rate * self.decay } else { 1.0 };
            weight.set(&((weight.as_tensor() * kept)? - (step * rate)?)?.detach())?;
        }
        Ok(())
    }
}
