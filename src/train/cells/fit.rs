//! The training of a head, an epoch at a time.

use super::figures::Figures;
use super::head::{Head, NAMES, Sizes, defect, flat, tensor};
use super::layout;
use super::look::{Seen, Trunk};
use super::network;
use crate::cells::Cells;
use crate::error::{Error, Result};
use crate::postprocess::yolic::{self, Rule};
use crate::train::adamw::AdamW;
use crate::train::checkpoint;
use candle_core::Tensor;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Share of the pictures that is not learned from but tells when to stop.
const HELD_BACK: f64 = 0.15;
/// Fewer pictures than this cannot be divided sensibly.
pub const LEAST_PICTURES: usize = 8;
/// Pictures a step.
const BATCH: usize = 32;
/// Rate of the first step; it falls to zero along a half cosine.
const RATE: f64 = 2e-3;
const DECAY: f64 = 1e-2;
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// What the head says of a picture held back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Number of the picture among the examples.
    pub example: usize,
    /// N x (M + 1) scores, 0 to 1.
    pub scores: Vec<f32>,
}

/// What is noted beside the arrays of a saved state.
#[derive(Debug, Serialize, Deserialize)]
struct Notes {
    about: String,
    steps: u32,
    epochs: Vec<Epoch>,
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
    optimiser: AdamW,
    best: Vec<Vec<f32>>,
    epochs: Vec<Epoch>,
    most_epochs: usize,
    seed: u64,
}

impl<'a> Fit<'a> {
    /// A training of `epochs` epochs at most. The same examples and the same seed give the same head on the same machine.
    ///
    /// # Errors
    /// Fewer than [`LEAST_PICTURES`] examples.
    pub fn new(trunk: &'a Trunk, cells: &'a Cells, examples: &'a [Example], epochs: usize, seed: u64) -> Result<Self> {
        let first = examples.first().and_then(|e| e.looks.first());
        let Some((first, _)) = first.filter(|_| examples.len() >= LEAST_PICTURES) else {
            let found = examples.len();
            return Err(Error::Input(format!("{found} labelled pictures, expected {LEAST_PICTURES} or more")));
        };
        let mut rng = Rng::with_seed(seed);
        let mut order: Vec<usize> = (0..examples.len()).collect();
        rng.shuffle(&mut order);
        let held = ((examples.len() as f64 * HELD_BACK).round() as usize).max(1);
        let (held_back, learned) = order.split_at(held);
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
            optimiser: AdamW::new(&head.weights, DECAY).map_err(defect)?,
            best: head.values()?,
            trunk,
            cells,
            examples,
            learned: learned.to_vec(),
            held_back: held_back.to_vec(),
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

    /// The epoch whose head is kept: the first with the best F1.
    pub fn best(&self) -> Option<Epoch> {
        let better = |a: Epoch, b: Epoch| if b.f1 > a.f1 { b } else { a };
        self.epochs.iter().copied().reduce(better)
    }

    /// Whether all epochs are done, or no better one has come for long.
    pub fn is_done(&self) -> bool {
        let stale = self.best().is_some_and(|best| self.epochs.len() >= best.epoch + PATIENCE);
        self.epochs.len() >= self.most_epochs || stale
    }

    /// Learns from each picture once, in one of its looks.
    pub fn epoch(&mut self) -> Result<Epoch> {
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
            let loss = loss(&logits, &truth).map_err(defect)?;
            let gradients = loss.backward().map_err(defect)?;
            let decayed = |i: usize| NAMES.get(i).is_some_and(|name| !name.ends_with("bias"));
            self.optimiser.step(&self.head.weights, &gradients, rate, decayed).map_err(defect)?;
            sum += f64::from(loss.to_scalar::<f32>().map_err(defect)?) * seen.len() as f64;
        }
        let (held_back_loss, figures) = self.judge()?;
        let loss = sum / order.len().max(1) as f64;
        let epoch = Epoch { epoch: number + 1, loss, held_back_loss, f1: figures.micro_f1() };
        if self.best().is_none_or(|best| epoch.f1 > best.f1) {
            self.best = self.head.values()?;
        }
        self.epochs.push(epoch);
        Ok(epoch)
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
            sum += f64::from(loss.map_err(defect)?) * part.len() as f64;
            for ((_, example, _), scores) in part.iter().zip(self.head.scores(&seen)?) {
                figures.add(&read(&scores, self.cells), &example.bits);
            }
        }
        Ok((sum / self.held_back.len().max(1) as f64, figures))
    }

    /// Goes back to the best head and tells how well it does on the pictures held back.
    pub fn finish(&mut self) -> Result<(Figures, Vec<Answer>)> {
        self.head.set(&self.best)?;
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

    /// The state after the last epoch. `about` tells what it belongs to: see [`Fit::restore`].
    pub fn save(&self, about: &str) -> Result<Vec<u8>> {
        let notes = Notes { about: about.into(), steps: self.optimiser.steps, epochs: self.epochs.clone() };
        let notes = serde_json::to_string(&notes).map_err(|e| Error::Internal(format!("a training's state: {e}")))?;
        let mut arrays = Vec::new();
        for (i, name) in NAMES.iter().enumerate() {
            let tensors = [
                ("weight", self.head.weights.get(i).map(|w| w.as_tensor())),
                ("first", self.optimiser.first.get(i)),
                ("second", self.optimiser.second.get(i)),
            ];
            for (kind, tensor) in tensors.into_iter().filter_map(|(kind, t)| t.map(|t| (kind, t))) {
                arrays.push((format!("{kind}.{name}"), flat(tensor)?));
            }
            arrays.extend(self.best.get(i).map(|best| (format!("best.{name}"), best.clone())));
        }
        checkpoint::encode(notes, &arrays)
    }

    /// Goes on from a state that [`Fit::save`] wrote about the same thing.
    ///
    /// # Errors
    /// Why the state cannot be used; the training is then as it was.
    pub fn restore(&mut self, state: &[u8], about: &str) -> Result<(), String> {
        let (notes, mut arrays) = checkpoint::decode(state)?;
        let notes: Notes = serde_json::from_str(&notes).map_err(|e| format!("damaged: {e}"))?;
        if notes.about != about {
            return Err("it is of a training with other pictures, labels, cells or options".into());
        }
        let shapes: Vec<Vec<usize>> = self.head.weights.iter().map(|w| w.dims().to_vec()).collect();
        let mut all = |kind: &str| {
            let array = |(name, shape): (&&str, &Vec<usize>)| {
                let key = format!("{kind}.{name}");
                let found = arrays.remove(&key).filter(|a| a.len() == shape.iter().product::<usize>());
                found.ok_or_else(|| format!("its array {key} is missing or of another size"))
            };
            NAMES.iter().zip(&shapes).map(array).collect::<Result<Vec<_>, String>>()
        };
        let (weights, first, second, best) = (all("weight")?, all("first")?, all("second")?, all("best")?);
        let tensors = |values: Vec<Vec<f32>>| {
            values.into_iter().zip(&shapes).map(|(v, s)| tensor(v, s)).collect::<Result<Vec<_>>>()
        };
        let moments = tensors(first).and_then(|first| Ok((first, tensors(second)?))).map_err(|e| e.one_line())?;
        self.head.set(&weights).map_err(|e| e.one_line())?;
        (self.optimiser.first, self.optimiser.second) = moments;
        self.optimiser.steps = notes.steps;
        (self.best, self.epochs) = (best, notes.epochs);
        Ok(())
    }
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
