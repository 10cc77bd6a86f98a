//! The kernels of ../../src/kernels that networks run on, for `tools/arm-test.sh`.

#[path = "../../src/kernels/isa.rs"]
pub mod isa;
#[path = "../../src/kernels/nchwc/mod.rs"]
pub mod nchwc;
