//! Networks of one's own: heads trained on features of an embedded network, whose weights stay as they are. Only this module
//! names the autodiff library.

mod adamw;
pub mod cells;
mod checkpoint;

