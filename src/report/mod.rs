//! How results look: JSON Lines, text, pictures, NumPy files. Pure: nothing here writes a file.

pub mod applied;
pub mod bench;
pub mod classes;
pub mod detections;
pub mod draw;
pub mod duplicates;
pub mod hazards;
pub mod heat;
pub mod json;
pub mod labels;
pub mod lines;
pub mod npy;
pub mod overlay;
pub mod review;
pub mod sheet;
pub mod text;
#[cfg(feature = "train")]
pub mod trained_classes;
#[cfg(feature = "train")]
pub mod trained_detector;
pub mod training;
