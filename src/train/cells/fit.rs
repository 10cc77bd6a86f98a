//! The training of a head, an epoch at a time.

use super::figures::Figures;
use super::head::{Head, Sizes, tensor};
use super::layout;
use super::look::{Seen, Trunk};
use super::network;
use crate::cells::Cells;
use crate::error::{Error, Result};
use crate::postprocess::yolic::{self, Rule};
use crate::tensor::Tensor as Values;
use crate::train::{Epoch as Told, internal};
use candle_core::Tensor;
use fastrand::Rng;
use std::collections::BTreeMap;

/// Share of the pictures that is not learned from but tells when to stop.
const HELD_BACK: f64 = 0.15;
/// Fewer pictures than this cannot be divided sensibly.
pub const LEAST_PICTURES: usize = 8;
/// Pictures a step.
const BATCH: usize = 32;
/// Rate of the first step; it falls to zero along a half cosine.
const RATE: f64 = 2e-3;
const DECAY: f64 = 1e-2;
/// Longest gradient of a step.
const LONGEST: f64 = 10.0;
/// Keys of the best weights and of the epochs in a state.
const BEST: &str = "best/";
const EPOCHS: &str = "epochs";
/// Share of the cell layer's outputs left out at a step.
const DROPOUT: f32 = 0.1;
/// How much more a label that is there counts than one that is not: most cells are empty.
const WEIGHT: f64 = 1.5;
/// Epochs without a better F1 after which no more is expected.
const PATIENCE: usize = 20;

/// A labelled picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What the trunk says of the picture as it is; then of other looks of it, each with whether it is mirrored.
    pub looks: Vec<(Seen, bool)>,
    /// N x (M + 1) bits.
    pub bits: Vec<bool>,
}

/// What an epoch came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: usize,
    /// Mean loss a value over the pictures learned from.
    pub loss: f64,
    /// Mean loss a value over the pictures held back.
    pub held_back_loss: f64,
    /// Micro F1 over the labels of the pictures held back.
    pub f1: f64,
}

impl Epoch {
    fn is_better(&self, other: &Epoch) -> bool {
        self.f1 > other.f1 || self.f1 == other.f1 && self.held_back_loss < other.held_back_loss
    }
}

/// What the head says of a picture held back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Number of the picture among the examples.
    pub example: usize,
    /// N x (M + 1) scores, 0 to 1.
    pub scores: Vec<f32>,
}

/// A training under way.
#[derive(Debug)]
pub struct Fit<'a> {
    trunk: &'a Trunk,
    cells: &'a Cells,
    examples: &'a [Example],
    /// Numbers of the pictures that are learned from, and of those held back.
    learned: Vec<usize>,
    held_back: Vec<usize>,
    mirror: Option<Vec<usize>>,
    head: Head,
    best: BTreeMap<String, Values>,
    epochs: Vec<Epoch>,
    most_epochs: usize,
    seed: u64,
}

impl<'a> Fit<'a> {
    /// A training of `epochs` epochs at most. The same examples and the same seed give the same head on the same machine.
    ///
    /// # Errors
    /// Fewer than [`LEAST_PICTURES`] examples; fewer than two that show anything.
    pub fn new(trunk: &'a Trunk, cells: &'a Cells, examples: &'a [Example], epochs: usize, seed: u64) -> Result<Self> {
        let first = examples.first().and_then(|e| e.looks.first());
        let Some((first, _)) = first.filter(|_| examples.len() >= LEAST_PICTURES) else {
            let found = examples.len();
            return Err(Error::Input(format!("{found} labelled pictures, expected {LEAST_PICTURES} or more")));
        };
        let mut rng = Rng::with_seed(seed);
        let (held_back, learned) = divided(examples, cells.width(), &mut rng)?;
        let sizes = Sizes {
            channels: trunk.channels(first),
            squares: trunk.fine.used.len(),
            cells: cells.areas.len(),
            width: cells.width(),
        };
        let plain: Vec<&Seen> =
            learned.iter().filter_map(|&i| examples.get(i)?.looks.first()).map(|(seen, _)| seen).collect();
        let head = Head::new(sizes, &trunk.fine, &plain, &mut rng)?;
        Ok(Fit {
            best: head.weights.values()?,
            trunk,
            cells,
            examples,
            learned,
            held_back,
            mirror: layout::mirrored(cells),
            head,
            epochs: Vec::new(),
            most_epochs: epochs,
            seed,
        })
    }

    /// The epochs so far.
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The epoch whose head is kept: the one with the best F1, of equals the one with the least loss.
    pub fn best(&self) -> Option<Epoch> {
        self.epochs.iter().copied().reduce(|a, b| if b.is_better(&a) { b } else { a })
    }

    /// Whether all epochs are done, or no better F1 has come for long.
    pub fn is_done(&self) -> bool {
        let higher = |a: Epoch, b: Epoch| if b.f1 > a.f1 { b } else { a };
        let last = self.epochs.iter().copied().reduce(higher);
        let stale = last.is_some_and(|last| last.f1 > 0.0 && self.epochs.len() >= last.epoch + PATIENCE);
        self.epochs.len() >= self.most_epochs || stale
    }

    /// Learns from each picture once, in one of its looks.
    pub fn epoch(&mut self) -> Result<Told> {
        let number = self.epochs.len();
        // Of its own for each epoch: a training that goes on draws what it would have drawn.
        let mut rng = Rng::with_seed(self.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut order = self.learned.clone();
        rng.shuffle(&mut order);
        let done = number as f64 / self.most_epochs.max(1) as f64;
        let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        let mut sum = 0.0;
        for batch in order.chunks(BATCH) {
            let mut seen = Vec::new();
            let mut bits = Vec::new();
            for example in batch.iter().filter_map(|&i| self.examples.get(i)) {
                if let Some((look, mirrored)) = example.looks.get(rng.usize(0..example.looks.len().max(1))) {
                    seen.push(look);
                    bits.extend(self.truth(example, *mirrored));
                }
            }
            let drop = self.head.dropout(seen.len(), DROPOUT, &mut rng)?;
            let logits = self.head.logits(&seen, Some(&drop))?;
            let truth = self.target(bits, seen.len())?;
            let loss = loss(&logits, &truth).map_err(internal)?;
            let gradients = loss.backward().map_err(internal)?;
            let gradients = self.head.weights.gradients(&gradients)?;
            self.head.weights.step(&gradients, rate, DECAY, LONGEST)?;
            sum += f64::from(loss.to_scalar::<f32>().map_err(internal)?) * seen.len() as f64;
        }
        let (held_back_loss, figures) = self.judge()?;
        let loss = sum / order.len().max(1) as f64;
        // As a state keeps them: a training that goes on must compare the same numbers.
        let kept = |v: f64| f64::from(v as f32);
        let f1 = kept(figures.micro_f1());
        let epoch = Epoch { epoch: number + 1, loss: kept(loss), held_back_loss: kept(held_back_loss), f1 };
        let best = self.best().is_none_or(|best| epoch.is_better(&best));
        if best {
            self.best = self.head.weights.values()?;
        }
        self.epochs.push(epoch);
        Ok(Told { number: epoch.epoch, of: self.most_epochs, loss: epoch.loss, metric: epoch.f1, best })
    }

    fn truth(&self, example: &Example, mirrored: bool) -> Vec<bool> {
        match &self.mirror {
            Some(order) if mirrored => layout::mirror_bits(&example.bits, order, self.cells.width()),
            _ => example.bits.clone(),
        }
    }

    fn target(&self, bits: Vec<bool>, pictures: usize) -> Result<Tensor> {
        let values = bits.into_iter().map(|b| f32::from(u8::from(b))).collect();
        tensor(values, &[pictures, self.cells.areas.len(), self.cells.width()])
    }

    /// The pictures held back, in parts: their numbers and what the trunk says of them.
    fn held_back(&self) -> impl Iterator<Item = Vec<(usize, &'a Example, &'a Seen)>> + '_ {
        let examples: &'a [Example] = self.examples;
        let plain = move |&i: &usize| {
            let example = examples.get(i)?;
            Some((i, example, &example.looks.first()?.0))
        };
        self.held_back.chunks(BATCH).map(move |part| part.iter().filter_map(plain).collect())
    }

    /// Mean loss and figures over the pictures held back.
    fn judge(&self) -> Result<(f64, Figures)> {
        let mut figures = Figures::new(self.cells.width());
        let mut sum = 0.0;
        for part in self.held_back() {
            let seen: Vec<&Seen> = part.iter().map(|(_, _, seen)| *seen).collect();
            let truth = self.target(part.iter().flat_map(|(_, e, _)| e.bits.clone()).collect(), part.len())?;
            let loss = loss(&self.head.logits(&seen, None)?, &truth).and_then(|l| l.to_scalar::<f32>());
            sum += f64::from(loss.map_err(internal)?) * part.len() as f64;
            for ((_, example, _), scores) in part.iter().zip(self.head.scores(&seen)?) {
                figures.add(&read(&scores, self.cells), &example.bits);
            }
        }
        Ok((sum / self.held_back.len().max(1) as f64, figures))
    }

    /// Goes back to the best head and tells how well it does on the pictures held back.
    pub fn finish(&mut self) -> Result<(Figures, Vec<Answer>)> {
        self.head.weights.set_values(&self.best)?;
        let (_, figures) = self.judge()?;
        let mut answers = Vec::new();
        for part in self.held_back() {
            let seen: Vec<&Seen> = part.iter().map(|(_, _, seen)| *seen).collect();
            let scores = self.head.scores(&seen)?;
            answers.extend(part.iter().zip(scores).map(|((i, _, _), scores)| Answer { example: *i, scores }));
        }
        Ok((figures, answers))
    }

    /// Trunk and head as one ONNX file; after [`Fit::finish`], the best head.
    pub fn onnx(&self) -> Result<Vec<u8>> {
        network::onnx(self.trunk, &self.head, self.cells)
    }

    /// The state after the last epoch.
    pub fn state(&self) -> Result<BTreeMap<String, Values>> {
        let mut state = self.head.weights.state()?;
        state.extend(self.best.iter().map(|(name, value)| (format!("{BEST}{name}"), value.clone())));
        let rows = self.epochs.iter().flat_map(|e| [e.loss as f32, e.held_back_loss as f32, e.f1 as f32]).collect();
        state.insert(EPOCHS.into(), Values::new(vec![self.epochs.len(), 3], rows)?);
        Ok(state)
    }

    /// Goes on from a [`Fit::state`] of a training with the same examples and settings.
    ///
    /// # Errors
    /// A state of something else.
    pub fn restore(&mut self, state: &BTreeMap<String, Values>) -> Result<()> {
        self.head.weights.restore(state)?;
        let best = state.iter().filter_map(|(name, value)| Some((name.strip_prefix(BEST)?.to_string(), value.clone())));
        self.best = best.collect();
        let rows = state.get(EPOCHS).map(|v| v.data()).unwrap_or_default();
        let row = |(i, row): (usize, &[f32])| match *row {
            [loss, held_back, f1] => {
                Some(Epoch { epoch: i + 1, loss: loss.into(), held_back_loss: held_back.into(), f1: f1.into() })
            }
            _ => None,
        };
        self.epochs = rows.chunks(3).enumerate().filter_map(row).collect();
        Ok(())
    }
}

/// Numbers of the examples that are held back, and of those that are learned from. Both have some that show anything: without
/// them no epoch could be told from another.
fn divided(examples: &[Example], width: usize, rng: &mut Rng) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    rng.shuffle(&mut order);
    let shows = |bits: &[bool]| bits.chunks(width).any(|cell| cell.iter().take(width - 1).any(|&bit| bit));
    let (with, without): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|&i| shows(&examples[i].bits));
    if with.len() < 2 {
        return Err(Error::Input(format!("{} labelled pictures show anything, expected 2 or more", with.len())));
    }
    let share = |of: &[usize]| (of.len() as f64 * HELD_BACK).round() as usize;
    let (some, most) = with.split_at(share(&with).max(1));
    let (empty, others) = without.split_at(share(&without));
    Ok(([some, empty].concat(), [most, others].concat()))
}

/// The bits that scores stand for, as YOLIC's authors read them.
pub fn read(scores: &[f32], cells: &Cells) -> Vec<bool> {
    let labels = cells.labels.len();
    let bits = |seen: Vec<yolic::Seen>| {
        let mut bits = vec![false; labels + 1];
        bits[labels] = seen.is_empty();
        seen.iter().for_each(|s| bits[s.label] = true);
        bits
    };
    yolic::decode(scores, labels, Rule::default()).into_iter().flat_map(bits).collect()
}

/// Mean binary cross-entropy; a label that is there counts [`WEIGHT`] times, the background once.
fn loss(logits: &Tensor, truth: &Tensor) -> candle_core::Result<Tensor> {
    // ln(1 + e^-|x|) + max(-x, 0) is ln(1 + e^-x) without overflow.
    let softplus = ((logits.abs()?.neg()?.exp()? + 1.0)?.log()? + logits.neg()?.relu()?)?;
    let width = logits.dim(2)?;
    let mut extra = vec![(WEIGHT - 1.0) as f32; width];
    if let Some(background) = extra.last_mut() {
        *background = 0.0;
    }
    let weight = (truth.broadcast_mul(&Tensor::new(extra, logits.device())?)? + 1.0)?;
    (((1.0 - truth)? * logits)? + (weight * softplus)?)?.mean_all()
}
