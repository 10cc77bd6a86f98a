//! What the commands of `ocellus train` share, and their work.

pub mod classes;
pub mod folders;
