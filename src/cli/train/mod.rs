//! What the commands that train share: features kept on disk, states to go on from, progress; and their work.

pub mod classes;
pub mod folders;
pub mod progress;
pub mod store;
