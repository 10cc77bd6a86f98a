//! A network for YOLIC's cells: EfficientNet-Lite0 as it is, and a head on its maps, pooled over each cell.
//!
//! The method differs from its authors': they put one linear layer on the pooled features of the whole picture and train
//! everything, on a GPU. Here the trunk stays as it is, so that pictures pass through it once, and the head looks where the
//! cell is; the network that comes out has the same input and output.

mod figures;
mod fit;
mod head;
mod layout;
mod look;
mod network;

pub use figures::Figures;
pub use fit::{Answer, Epoch, Example, Fit, LEAST_PICTURES, read};
pub use layout::mirrored as mirrored_cells;
pub use look::{Channels, Seen, Trunk};
