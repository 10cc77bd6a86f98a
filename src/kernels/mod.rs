//! Inner loops written once per instruction set, and the memory under all; the only place with `unsafe`.

pub mod hamming;
pub mod isa;
pub mod memory;
pub mod nchwc;
