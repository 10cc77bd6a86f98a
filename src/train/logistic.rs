//! Multinomial logistic regression with an L2 penalty, minimised by L-BFGS: the problem that scikit-learn's
//! `LogisticRegression` solves, with the same meaning of C.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};
use std::collections::VecDeque;

/// Rows of features with their classes.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// One row each.
    pub features: ArrayView2<'a, f64>,
    /// The class of each, below `count`.
    pub classes: &'a [usize],
    /// How much each counts.
    pub weights: &'a [f64],
    /// Number of classes, at least 2.
    pub count: usize,
}

/// A linear head: the scores of the classes are `features . weights + bias`, their probabilities the softmax of these.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Features x classes.
    pub weights: Array2<f64>,
    /// One a class.
    pub bias: Array1<f64>,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// After so many iterations.
    pub iterations: usize,
    /// When no part of the gradient (of the mean loss with its penalty) is greater.
    pub gradient: f64,
}

/// How far the minimisation has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Iterations done.
    pub iteration: usize,
    /// Mean loss with the penalty, in nats.
    pub loss: f64,
    /// The greatest part of the gradient.
    pub gradient: f64,
    /// Whether that is small enough.
    pub converged: bool,
}

/// Pairs of steps and changes of the gradient that L-BFGS remembers (Nocedal and Wright 2006, section 7.2: 3 to 20).
const MEMORY: usize = 10;
/// The share of the promised decrease that a step must bring (Armijo), and of the slope that may be left (Wolfe); as in
/// Nocedal and Wright for quasi-Newton methods.
const DECREASE: f64 = 1e-4;
const SLOPE: f64 = 0.9;
/// Bisections of a step before it is taken as it is: beyond, rounding is all that is left.
const BISECTIONS: usize = 40;

impl Linear {
    /// A head that gives every class the same probability.
    pub fn zero(features: usize, classes: usize) -> Self {
        Linear { weights: Array2::zeros((features, classes)), bias: Array1::zeros(classes) }
    }

    /// The probabilities of the classes for each row of `features`.
    pub fn probabilities(&self, features: ArrayView2<f64>) -> Array2<f64> {
        let mut scores = features.dot(&self.weights) + &self.bias;
        for mut row in scores.rows_mut() {
            let most = row.fold(f64::NEG_INFINITY, |m, &v| m.max(v));
            row.mapv_inplace(|v| (v - most).exp());
            let sum = row.sum();
            row /= sum;
        }
        scores
    }

    /// Minimises, from this head on, the sum of the weighted log losses of `rows` times `c` plus half the squared weights; the
    /// bias is free. `listen` hears of every iteration.
    ///
    /// With two classes scikit-learn has one vector of weights, the difference of the two here; to penalise that difference
    /// as it does, C is halved.
    pub fn fit(mut self, rows: &Rows, c: f64, until: Until, mut listen: impl FnMut(Step)) -> (Linear, Step) {
        let c = if rows.count == 2 { c / 2.0 } else { c };
        let penalty = 1.0 / (c * rows.weights.iter().sum::<f64>());
        let (mut loss, mut gradient) = self.loss(rows, penalty);
        let mut memory: VecDeque<(Array2<f64>, Array2<f64>, f64)> = VecDeque::new();
        let mut iteration = 0;
        loop {
            let most = gradient.fold(0.0, |m: f64, v| m.max(v.abs()));
            let step = Step { iteration, loss, gradient: most, converged: most <= until.gradient };
            listen(step);
            if step.converged || iteration >= until.iterations {
                return (self, step);
            }
            let direction = direction(&gradient, &memory);
            let Some((next, next_loss, next_gradient)) = self.search(rows, penalty, loss, &gradient, &direction) else {
                // The loss does not fall any further in f64.
                return (self, step);
            };
            let moved = next.joined() - self.joined();
            let turned = &next_gradient - &gradient;
            let curvature = (&moved * &turned).sum();
            if curvature > 1e-12 * (&turned * &turned).sum() {
                if memory.len() == MEMORY {
                    memory.pop_front();
                }
                memory.push_back((moved, turned, 1.0 / curvature));
            }
            (self, loss, gradient) = (next, next_loss, next_gradient);
            iteration += 1;
        }
    }

    /// Mean loss with the penalty, and its gradient: features + 1 rows, the last of the bias.
    fn loss(&self, rows: &Rows, penalty: f64) -> (f64, Array2<f64>) {
        let total: f64 = rows.weights.iter().sum();
        let mut off = self.probabilities(rows.features);
        let mut loss = 0.0;
        for ((mut row, &class), &weight) in off.rows_mut().into_iter().zip(rows.classes).zip(rows.weights) {
            loss -= weight / total * row[class].max(f64::MIN_POSITIVE).ln();
            row[class] -= 1.0;
            row *= weight / total;
        }
        let (features, classes) = self.weights.dim();
        let mut gradient = Array2::zeros((features + 1, classes));
        gradient.slice_mut(s![..features, ..]).assign(&rows.features.t().dot(&off));
        Zip::from(gradient.slice_mut(s![..features, ..])).and(&self.weights).for_each(|g, &w| *g += penalty * w);
        gradient.row_mut(features).assign(&off.sum_axis(Axis(0)));
        (loss + penalty / 2.0 * self.weights.fold(0.0, |sum, w| sum + w * w), gradient)
    }

    /// Weights and bias as one array of features + 1 rows.
    fn joined(&self) -> Array2<f64> {
        let (features, classes) = self.weights.dim();
        let mut all = Array2::zeros((features + 1, classes));
        all.slice_mut(s![..features, ..]).assign(&self.weights);
        all.row_mut(features).assign(&self.bias);
        all
    }

    fn moved(&self, direction: &Array2<f64>, length: f64) -> Linear {
        let features = self.weights.nrows();
        Linear {
            weights: &self.weights + &(&direction.slice(s![..features, ..]) * length),
            bias: &self.bias + &(&direction.row(features) * length),
        }
    }

    /// A step along `direction` that meets the weak Wolfe conditions, found by bisection (Lewis and Overton 2013); none if the
    /// loss does not fall.
    fn search(
        &self,
        rows: &Rows,
        penalty: f64,
        loss: f64,
        gradient: &Array2<f64>,
        direction: &Array2<f64>,
    ) -> Option<(Linear, f64, Array2<f64>)> {
        let slope = (gradient * direction).sum();
        let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
        for _ in 0..BISECTIONS {
            let next = self.moved(direction, length);
            let (next_loss, next_gradient) = next.loss(rows, penalty);
            if next_loss > loss + DECREASE * length * slope || !next_loss.is_finite() {
                high = length;
            } else if (&next_gradient * direction).sum() < SLOPE * slope {
                low = length;
            } else {
                return (next_loss < loss).then_some((next, next_loss, next_gradient));
            }
            length = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * low };
        }
        None
    }
}

/// Minus the gradient times the inverse Hessian as the last steps show it (Nocedal 1980, the two-loop recursion).
fn direction(gradient: &Array2<f64>, memory: &VecDeque<(Array2<f64>, Array2<f64>, f64)>) -> Array2<f64> {
    let mut q = gradient.clone();
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, turned, inverse) in memory.iter().rev() {
        let share = inverse * (moved * &q).sum();
        q.scaled_add(-share, turned);
        shares.push(share);
    }
    match memory.back() {
        Some((_, turned, inverse)) => q /= inverse * (turned * turned).sum(),
        // The first step: no longer than 1, whatever the features' scale.
        None => q /= q.fold(0.0, |sum: f64, v| sum + v * v).sqrt().max(1.0),
    }
    for ((moved, turned, inverse), share) in memory.iter().zip(shares.iter().rev()) {
        let back = inverse * (turned * &q).sum();
        q.scaled_add(share - back, moved);
    }
    -q
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn table(value: &Value) -> Array2<f64> {
        let numbers = |row: &Value| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
        let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    }

    fn row(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn near(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64) {
        assert_eq!(found.dim(), expected.dim());
        let most = (found - expected).fold(0.0, |m: f64, v| m.max(v.abs()));
        assert!(most < tolerance, "off by {most}: {found} instead of {expected}");
    }

    /// Weights, biases and probabilities are scikit-learn's (tools/reference_logistic.py).
    #[test]
    fn as_scikit_learn() {
        let reference: Value = serde_json::from_str(include_str!("../../tests/reference/logistic.json")).unwrap();
        let mut seen = 0;
        for problem in reference["problems"].as_array().unwrap() {
            let features = table(&problem["features"]);
            let classes: Vec<usize> = row(&problem["classes"]).iter().map(|&c| c as usize).collect();
            let weights = row(&problem["weights"]);
            let count = classes.iter().max().unwrap() + 1;
            let rows = Rows { features: features.view(), classes: &classes, weights: &weights, count };
            for fit in problem["fits"].as_array().unwrap() {
                let until = Until { iterations: 10_000, gradient: 1e-8 };
                let mut steps = 0;
                let (head, end) = Linear::zero(6, count).fit(&rows, fit["c"].as_f64().unwrap(), until, |_| steps += 1);
                assert!(end.gradient < 1e-7 && steps == end.iteration + 1, "{end:?}");
                near(&head.probabilities(features.view()), &table(&fit["probabilities"]), 1e-6);
                let (coef, intercept) = (table(&fit["coef"]), row(&fit["intercept"]));
                // scikit-learn holds one vector for two classes, the difference of ours; a bias common to all changes nothing.
                let (weights, bias) = if count == 2 {
                    let w = &head.weights.column(1) - &head.weights.column(0);
                    (w.insert_axis(Axis(0)), vec![head.bias[1] - head.bias[0]])
                } else {
                    let mean = head.bias.sum() / count as f64;
                    (head.weights.t().to_owned(), head.bias.iter().map(|b| b - mean).collect())
                };
                near(&weights, &coef, 1e-5);
                let mean = if count == 2 { 0.0 } else { intercept.iter().sum::<f64>() / count as f64 };
                for (b, i) in bias.iter().zip(&intercept) {
                    assert!((b - (i - mean)).abs() < 1e-5, "{bias:?} {intercept:?}");
                }
                seen += 1;
            }
        }
        assert_eq!(seen, 6);
    }

    #[test]
    fn stops_where_it_is_told() {
        let features = Array2::from_shape_vec((4, 1), vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        let rows = Rows { features: features.view(), classes: &[0, 0, 1, 1], weights: &[1.0; 4], count: 2 };
        let (_, end) = Linear::zero(1, 2).fit(&rows, 1e6, Until { iterations: 3, gradient: 0.0 }, |_| {});
        assert_eq!((end.iteration, end.converged), (3, false));
    }
}
