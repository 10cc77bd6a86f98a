//! Pure functions from tensors and maps to values.

pub mod auroc;
pub mod blobs;
pub mod detection;
pub mod masks;
pub mod nanodet;
pub mod nms;
pub mod yolo;
