//! The head: from what the trunk says to N x (M + 1) logits.
//!
//! A layer with a ReLU on each square of the maps at 1/8 and 1/16, whose outputs are averaged over each cell: how much of
//! the cell looks like what. Beside it the map at 1/32 averaged over the cell, and a layer on the pooled features of the
//! whole picture. One more layer and the last one are the same for all cells, but for what is added for each.

use super::layout::Pooling;
use super::look::{Channels, Seen};
use crate::error::Result;
use crate::tensor::Tensor as Values;
use crate::train::internal;
use crate::train::weights::Weights;
use candle_core::{Device, Tensor};
use fastrand::Rng;
use half::f16;
use std::collections::BTreeMap;

/// Outputs of the layer on squares; chosen on made sets, as the sizes below.
const SQUARE_WIDTH: usize = 96;
/// Outputs of the layer on the pooled features.
const WHOLE_WIDTH: usize = 32;
/// Outputs of the layer on cells.
const CELL_WIDTH: usize = 64;
/// A channel that hardly varies is divided by no less than this.
const LEAST_SPREAD: f32 = 1e-3;

/// Mean and standard deviation of each channel: (value - mean) / spread goes into the head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub mean: Vec<f32>,
    pub spread: Vec<f32>,
}

impl Scale {
    /// Of rows of `channels` values.
    fn of<'a>(channels: usize, rows: impl Iterator<Item = &'a [f16]> + Clone) -> Self {
        let mut sums = vec![(0f64, 0f64); channels];
        let mut count = 0f64;
        for row in rows.flat_map(|r| r.chunks_exact(channels.max(1))) {
            count += 1.0;
            for ((sum, squares), value) in sums.iter_mut().zip(row) {
                let value = value.to_f64();
                *sum += value;
                *squares += value * value;
            }
        }
        let count = count.max(1.0);
        let mean: Vec<f32> = sums.iter().map(|s| (s.0 / count) as f32).collect();
        let spread = |s: &(f64, f64)| (s.1 / count - (s.0 / count).powi(2)).max(0.0).sqrt() as f32;
        Scale { mean, spread: sums.iter().map(|s| spread(s).max(LEAST_SPREAD)).collect() }
    }

    /// Appends the scaled values of `values` to `out`.
    fn push(&self, values: &[f16], out: &mut Vec<f32>) {
        for row in values.chunks_exact(self.mean.len().max(1)) {
            let scaled = row.iter().zip(&self.mean).zip(&self.spread).map(|((v, m), s)| (v.to_f32() - m) / s);
            out.extend(scaled);
        }
    }
}

/// Names of the weights.
pub(super) const NAMES: [&str; 10] = [
    "square.weight",
    "square.bias",
    "whole.weight",
    "whole.bias",
    "cell.from_squares",
    "cell.from_deep",
    "cell.from_whole",
    "cell.bias",
    "last.weight",
    "last.bias",
];

/// Sizes that the head is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub channels: Channels,
    pub squares: usize,
    pub cells: usize,
    /// M + 1.
    pub width: usize,
}

impl Sizes {
    /// Shapes of the weights, in the order of [`NAMES`]. The biases of the last two layers are each cell's own.
    pub fn shapes(&self) -> [Vec<usize>; 10] {
        let Channels { square, deep, whole } = self.channels;
        [
            vec![square, SQUARE_WIDTH],
            vec![1, SQUARE_WIDTH],
            vec![whole, WHOLE_WIDTH],
            vec![1, WHOLE_WIDTH],
            vec![SQUARE_WIDTH, CELL_WIDTH],
            vec![deep, CELL_WIDTH],
            vec![WHOLE_WIDTH, CELL_WIDTH],
            vec![self.cells, CELL_WIDTH],
            vec![CELL_WIDTH, self.width],
            vec![self.cells, self.width],
        ]
    }
}

/// The head with its weights.
#[derive(Debug)]
pub(super) struct Head {
    pub sizes: Sizes,
    pub squares: Scale,
    pub deep: Scale,
    pub whole: Scale,
    pub weights: Weights,
    /// What the weights are computed with, in the order of [`NAMES`].
    parts: Vec<Tensor>,
    pooling: Tensor,
}

impl Head {
    /// A new head, its weights random from `rng`, its scales those of `examples`.
    pub fn new(sizes: Sizes, pooling: &Pooling, examples: &[&Seen], rng: &mut Rng) -> Result<Self> {
        let Channels { square, deep, whole } = sizes.channels;
        let shapes = sizes.shapes();
        let last = shapes.len() - 1;
        let (mut weights, mut parts) = (Weights::default(), Vec::new());
        for (i, shape) in shapes.into_iter().enumerate() {
            // He et al. 2015 for layers with a ReLU behind them; biases begin at zero. The three parts of the cell layer add up.
            let inputs = match NAMES[i] {
                name if name.ends_with("bias") => 0,
                name if name.starts_with("cell") => SQUARE_WIDTH + deep + WHOLE_WIDTH,
                _ => shape[0],
            };
            let bound =
                if inputs == 0 { 0.0 } else { (6.0 / inputs as f32).sqrt() * if i + 1 >= last { 0.5 } else { 1.0 } };
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| bound * (2.0 * rng.f32() - 1.0)).collect();
            parts.push(weights.add(NAMES[i], &shape, values)?);
        }
        Ok(Head {
            sizes,
            squares: Scale::of(square, examples.iter().map(|s| &s.squares[..])),
            deep: Scale::of(deep, examples.iter().map(|s| &s.deep[..])),
            whole: Scale::of(whole, examples.iter().map(|s| &s.whole[..])),
            weights,
            parts,
            pooling: tensor(pooling.weights.clone(), &[sizes.cells, sizes.squares])?,
        })
    }

    /// Logits of a batch: batch x cells x (M + 1). `drop` has a factor for each output of the cell layer, for dropout.
    pub fn logits(&self, batch: &[&Seen], drop: Option<&Tensor>) -> Result<Tensor> {
        let Sizes { channels, squares, cells, width } = self.sizes;
        let (mut fine, mut deep, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for seen in batch {
            self.squares.push(&seen.squares, &mut fine);
            self.deep.push(&seen.deep, &mut deep);
            self.whole.push(&seen.whole, &mut whole);
        }
        let b = batch.len();
        let fine = tensor(fine, &[b * squares, channels.square])?;
        let deep = tensor(deep, &[b * cells, channels.deep])?;
        let whole = tensor(whole, &[b, channels.whole])?;
        let w: Vec<&Tensor> = self.parts.iter().collect();
        let run = || {
            let fine = fine.matmul(w[0])?.broadcast_add(w[1])?.relu()?.reshape((b, squares, SQUARE_WIDTH))?;
            let pooling = self.pooling.broadcast_as((b, cells, squares))?.contiguous()?;
            let pooled = pooling.matmul(&fine)?.reshape((b * cells, SQUARE_WIDTH))?;
            let whole = whole.matmul(w[2])?.broadcast_add(w[3])?.relu()?.matmul(w[6])?.reshape((b, 1, CELL_WIDTH))?;
            let own = (pooled.matmul(w[4])? + deep.matmul(w[5])?)?.reshape((b, cells, CELL_WIDTH))?;
            let mut hidden = own.broadcast_add(&whole)?.broadcast_add(w[7])?.relu()?;
            if let Some(drop) = drop {
                hidden = (hidden * drop)?;
            }
            hidden.reshape((b * cells, CELL_WIDTH))?.matmul(w[8])?.reshape((b, cells, width))?.broadcast_add(w[9])
        };
        run().map_err(internal)
    }

    /// Random factors for `logits`: 0 for a share of `rate`, the others so that the mean stays 1.
    pub fn dropout(&self, batch: usize, rate: f32, rng: &mut Rng) -> Result<Tensor> {
        let count = batch * self.sizes.cells * CELL_WIDTH;
        let factors = (0..count).map(|_| if rng.f32() < rate { 0.0 } else { 1.0 / (1.0 - rate) }).collect();
        tensor(factors, &[batch, self.sizes.cells, CELL_WIDTH])
    }

    /// The scores of pictures, 0 to 1: for each N x (M + 1) values.
    pub fn scores(&self, batch: &[&Seen]) -> Result<Vec<Vec<f32>>> {
        let logits = self.logits(batch, None)?.flatten_from(1).and_then(|t| t.to_vec2::<f32>()).map_err(internal)?;
        let sigmoid = |row: Vec<f32>| row.into_iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect();
        Ok(logits.into_iter().map(sigmoid).collect())
    }

    /// The values of a weight, rows first.
    pub fn value(values: &BTreeMap<String, Values>, name: &str) -> Vec<f32> {
        values.get(name).map(|v| v.data().to_vec()).unwrap_or_default()
    }
}

/// A tensor of f32 values.
pub(super) fn tensor(values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu).map_err(internal)
}
