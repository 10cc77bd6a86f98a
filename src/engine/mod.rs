//! Runs networks on tract. The only module that names it.

mod graph;
mod session;

pub use session::Session;
