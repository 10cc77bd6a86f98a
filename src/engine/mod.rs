//! Runs networks on tract. The only module that names it.

mod describe;
mod graph;
mod session;

pub use describe::{Description, Value, describe};
pub use session::Session;
