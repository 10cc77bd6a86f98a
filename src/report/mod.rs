//! How results look: JSON Lines, text, pictures, NumPy files. Pure: nothing here writes a file.

pub mod applied;
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
pub mod training;
