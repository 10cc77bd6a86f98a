//! Inner loops written once per instruction set; the only place with `unsafe`.

pub mod hamming;
pub mod isa;
