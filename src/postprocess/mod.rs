//! Pure functions from tensors and maps to values.

pub mod auroc;
pub mod blobs;
