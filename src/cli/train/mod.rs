//! What the commands of `ocellus train` share.

pub mod cells;
