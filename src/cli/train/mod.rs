//! What the commands that train share: features kept on disk, states to go on from, progress.

pub mod cells;
pub mod progress;
pub mod store;
