//! Runs networks on tract. The only module that names it.

mod compose;
mod describe;
mod fake_quantize;
mod graph;
mod instructions;
mod regions;
mod session;
mod simplify;
mod stored_weights;

pub use compose::{Attribute, INPUT, Network};
pub use describe::{Description, Value, describe};
pub use instructions::instructions;
pub use session::{OperatorTime, Session};
