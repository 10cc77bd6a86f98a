//! ocellus: vision pipelines with their networks inside, for boxes without a GPU, a network or Python.
//!
//! # Layers
//!
//! `cli -> report -> tasks -> {preprocess, engine, models, postprocess, recipe, dataset,
//! ontology, cells, zones, remote, kernels} -> {image, geometry, tensor,
//! error}`: a module uses those to its right and nothing to its left. `input` reads files and is used by `cli` alone, so a
//! task never opens one. `train` stands beside `tasks`. `tract` is named under `engine` only, candle under `train` only, and
//! only `kernels` has unsafe code. `tests/layers.rs` holds
//! the project to it.

pub mod cells;
pub mod cli;
pub mod dataset;
pub mod engine;
pub mod error;
pub mod geometry;
pub mod image;
pub mod input;
pub mod kernels;
pub mod models;
pub mod ontology;
pub mod postprocess;
pub mod preprocess;
pub mod recipe;
pub mod remote;
pub mod report;
pub mod tasks;
pub mod tensor;
#[cfg(feature = "train")]
pub mod train;
pub mod zones;

pub use error::{Error, Result};
pub use geometry::{Rect, Similarity};
pub use image::{Gray, Image};
pub use tensor::Tensor;
