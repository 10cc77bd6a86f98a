//! The weights of a head with the state of their optimiser, AdamW (Loshchilov and Hutter 2019).

use super::internal;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use candle_core::backprop::GradStore;
use candle_core::{Device, Var};
use std::collections::BTreeMap;

/// How much of the running mean of gradients stays a step, and of their squares: the values of the paper.
const KEPT: (f64, f64) = (0.9, 0.999);
/// Keeps the division by the root of the mean square finite.
const EPSILON: f64 = 1e-8;
/// How much of the running mean of the weights stays a step, in the long run: the mean of a hundred steps is a better network than the
/// last one (Polyak and Juditsky 1992).
const AVERAGED: f64 = 0.99;
/// The key of the number of steps among the tensors of a state.
const STEPS: &str = "steps";

/// Weights by name.
#[derive(Debug, Default)]
pub struct Weights {
    vars: BTreeMap<String, Weight>,
    steps: u32,
}

#[derive(Debug)]
struct Weight {
    var: Var,
    /// Running means of the gradient and of its square.
    moments: (Vec<f32>, Vec<f32>),
    /// Running mean of the values.
    average: Vec<f32>,
    /// Biases are not pulled to zero.
    decays: bool,
}

/// Gradients of all weights, summed over samples, by name.
pub type Gradients = BTreeMap<String, Vec<f32>>;

impl Weights {
    /// Adds a weight and returns what to compute with. Those whose name ends in `bias` do not decay.
    pub fn add(&mut self, name: &str, shape: &[usize], data: Vec<f32>) -> Result<candle_core::Tensor> {
        let (count, average) = (data.len(), data.clone());
        let var = Var::from_vec(data, shape, &Device::Cpu).map_err(internal)?;
        let tensor = var.as_tensor().clone();
        let decays = !name.ends_with("bias");
        self.vars
            .insert(name.to_string(), Weight { var, moments: (vec![0.0; count], vec![0.0; count]), average, decays });
        Ok(tensor)
    }

    /// A weight of normally distributed values of deviation `deviation`.
    pub fn random(
        &mut self,
        name: &str,
        shape: &[usize],
        deviation: f64,
        random: &mut fastrand::Rng,
    ) -> Result<candle_core::Tensor> {
        let data = (0..shape.iter().product()).map(|_| (normal(random) * deviation) as f32).collect();
        self.add(name, shape, data)
    }

    /// The gradients of all weights in `store`; zero for those that the loss did not touch.
    pub fn gradients(&self, store: &GradStore) -> Result<Gradients> {
        let one = |(name, weight): (&String, &Weight)| {
            let flat = match store.get(weight.var.as_tensor()) {
                Some(grad) => grad.flatten_all().and_then(|g| g.to_vec1::<f32>()).map_err(internal)?,
                None => vec![0.0; weight.moments.0.len()],
            };
            Ok((name.clone(), flat))
        };
        self.vars.iter().map(one).collect()
    }

    /// One step of AdamW against `gradients`, which are first scaled down to a common length of at most `longest`.
    pub fn step(&mut self, gradients: &Gradients, rate: f64, decay: f64, longest: f64) -> Result<()> {
        let square: f64 = gradients.values().flatten().map(|&g| f64::from(g) * f64::from(g)).sum();
        if !square.is_finite() {
            return Err(Error::Internal("training: a gradient is not finite".into()));
        }
        let scale = (longest / square.sqrt().max(1e-12)).min(1.0);
        self.steps += 1;
        let age = f64::from(self.steps);
        // The first steps are soon forgotten.
        let kept = AVERAGED.min((1.0 + age) / (10.0 + age));
        let warm = (1.0 - KEPT.0.powf(age), 1.0 - KEPT.1.powf(age));
        for (name, weight) in &mut self.vars {
            let Some(gradient) = gradients.get(name) else { continue };
            let mut values = flat(&weight.var)?;
            let (means, squares) = (&mut weight.moments.0, &mut weight.moments.1);
            for (((value, mean), square), &g) in values.iter_mut().zip(means).zip(squares).zip(gradient) {
                let g = f64::from(g) * scale;
                *mean = (KEPT.0 * f64::from(*mean) + (1.0 - KEPT.0) * g) as f32;
                *square = (KEPT.1 * f64::from(*square) + (1.0 - KEPT.1) * g * g) as f32;
                let shrunk = f64::from(*value) * if weight.decays { 1.0 - rate * decay } else { 1.0 };
                let step = (f64::from(*mean) / warm.0) / ((f64::from(*square) / warm.1).sqrt() + EPSILON);
                *value = (shrunk - rate * step) as f32;
            }
            for (mean, value) in weight.average.iter_mut().zip(&values) {
                *mean = (kept * f64::from(*mean) + (1.0 - kept) * f64::from(*value)) as f32;
            }
            assign(&weight.var, values)?;
        }
        Ok(())
    }

    /// The values of all weights.
    pub fn values(&self) -> Result<BTreeMap<String, Tensor>> {
        self.vars
            .iter()
            .map(|(name, w)| Ok((name.clone(), Tensor::new(w.var.dims().to_vec(), flat(&w.var)?)?)))
            .collect()
    }

    /// Running means of all weights over the last steps.
    pub fn averages(&self) -> Result<BTreeMap<String, Tensor>> {
        let average =
            |(name, w): (&String, &Weight)| Ok((name.clone(), Tensor::new(w.var.dims().to_vec(), w.average.clone())?));
        self.vars.iter().map(average).collect()
    }

    /// Sets all weights.
    ///
    /// # Errors
    /// A weight that is missing among `values` or has another shape.
    pub fn set_values(&mut self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        self.vars.iter().try_for_each(|(name, w)| assign(&w.var, stored(values, name, w.var.dims())?.to_vec()))
    }

    /// Weights and optimiser, for a later run to go on from.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = self.values()?;
        for (name, w) in &self.vars {
            for (kind, moments) in [("mean", &w.moments.0), ("square", &w.moments.1), ("average", &w.average)] {
                state.insert(format!("{name}/{kind}"), Tensor::new(w.var.dims().to_vec(), moments.clone())?);
            }
        }
        state.insert(STEPS.into(), Tensor::new(vec![1], vec![self.steps as f32])?);
        Ok(state)
    }

    /// Goes on from a [`Weights::state`].
    ///
    /// # Errors
    /// A state of other weights.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.set_values(state)?;
        for (name, w) in &mut self.vars {
            w.moments.0 = stored(state, &format!("{name}/mean"), w.var.dims())?.to_vec();
            w.moments.1 = stored(state, &format!("{name}/square"), w.var.dims())?.to_vec();
            w.average = stored(state, &format!("{name}/average"), w.var.dims())?.to_vec();
        }
        self.steps = stored(state, STEPS, &[1])?[0] as u32;
        Ok(())
    }
}

fn stored<'a>(state: &'a BTreeMap<String, Tensor>, name: &str, shape: &[usize]) -> Result<&'a [f32]> {
    match state.get(name) {
        Some(tensor) if tensor.shape() == shape => Ok(tensor.data()),
        _ => Err(Error::Input(format!("the state of a training lacks {name:?} of the shape {shape:?}"))),
    }
}

fn flat(var: &Var) -> Result<Vec<f32>> {
    var.flatten_all().and_then(|t| t.to_vec1()).map_err(internal)
}

fn assign(var: &Var, values: Vec<f32>) -> Result<()> {
    candle_core::Tensor::from_vec(values, var.dims(), &Device::Cpu).and_then(|t| var.set(&t)).map_err(internal)
}

/// A normally distributed number of deviation 1 (Box and Muller 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (radius, angle) = (1.0 - random.f64(), random.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least of (w - 3)^2 is found, and a run that is taken up again takes the same steps.
    #[test]
    fn finds_the_least_and_resumes() {
        let begin = || {
            let mut weights = Weights::default();
            let w = weights.add("w", &[1], vec![0.0]).unwrap();
            (weights, w)
        };
        let run = |weights: &mut Weights, w: &candle_core::Tensor, steps| {
            for _ in 0..steps {
                let loss = (w - 3.0).unwrap().sqr().unwrap().sum_all().unwrap();
                let gradients = weights.gradients(&loss.backward().unwrap()).unwrap();
                weights.step(&gradients, 0.1, 0.0, 10.0).unwrap();
            }
        };
        let (mut whole, w) = begin();
        run(&mut whole, &w, 60);
        let state = whole.state().unwrap();
        run(&mut whole, &w, 140);
        let found = w.to_vec1::<f32>().unwrap()[0];
        assert!((found - 3.0).abs() < 0.05, "{found}");
        let (mut later, w) = begin();
        later.restore(&state).unwrap();
        run(&mut later, &w, 140);
        assert_eq!(w.to_vec1::<f32>().unwrap()[0], found);
        assert!(later.restore(&BTreeMap::new()).is_err());
    }
}
