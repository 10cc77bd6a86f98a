//! Training on the box: small heads on the frozen features of an embedded network. Values in, values out: what is read and
//! written is the caller's business. The only module that names candle, which differentiates.
//!
//! A run is a function of its data, its options and its seed: the same machine gives the same bits, whatever the number of
//! threads.

pub mod augment;
pub mod cells;
pub mod classes;
pub mod detect;
pub mod figures;
pub mod logistic;
pub mod weights;

use crate::error::{Cause, Error};

/// One pass over the training data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Counted from 1.
    pub number: usize,
    /// The most that there will be.
    pub of: usize,
    /// Mean loss over the training data.
    pub loss: f64,
    /// What is measured on the validation data, 0 to 1, greater is better.
    pub metric: f64,
    /// Whether no epoch before was better: its weights are kept.
    pub best: bool,
}

/// What went wrong in the arithmetic; data of users cannot cause it.
fn internal(error: candle_core::Error) -> Error {
    Error::Internal(format!("training: {:#}", Cause::from(error)))
}
