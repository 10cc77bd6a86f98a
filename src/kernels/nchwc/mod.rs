//! Convolutions and what stands between them on feature maps in blocks of channels (NCHWc): 16 with AVX-512, 8 with AVX2,
//! 4 with NEON and without any.
//!
//! The layout is that of oneDNN and of ONNX Runtime's MLAS: `[block][row][column][channel of the block]`. A register then
//! holds one pixel of a block; a sum over the input channels needs no gathering, and a window no unrolled copy (im2col).
//! Around every map lies a border of zeros as wide as the windows that will look at it, so that no loop asks whether a
//! pixel exists.

#![allow(unsafe_code)] // vector loads, and calls of functions compiled for an instruction set that was detected

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blockwise;
mod buffer;
mod conv;
mod int8;
mod lines;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod simd;
mod team;
#[cfg(test)]
mod tests;
mod tiles;
mod winograd;

pub use blockwise::{Depthwise, MaxPool, encode};
pub use buffer::{Buffer, Layout, bytes, bytes_mut};
pub use conv::{Conv, Source};
pub use int8::{Codes, Quantization};
pub use lines::{Epilogue, Maps, Operand, Window};
pub use team::Team;
pub use winograd::Winograd;

use super::isa::Isa;
use int8::QuantizedKernels;
use tiles::{AcrossFn, AlongFn, ApplyFn, MAX_BLOCKS, MAX_PIXELS, TileFn, TotalFn};
use winograd::{InputTransformFn, OutputTransformFn};

/// Channels of a block at most.
pub(crate) const MAX_LANES: usize = 16;

/// An operation on single values, in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Elementwise {
    /// `scale * x + offset`
    Affine {
        /// Times this,
        scale: f32,
        /// plus this.
        offset: f32,
    },
    /// `min(max(x, low), high)`
    Clamp {
        /// The smallest result.
        low: f32,
        /// The largest.
        high: f32,
    },
    /// `x`, or `slope * x` where it is negative.
    LeakyRelu {
        /// Times this below zero.
        slope: f32,
    },
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `x * sigmoid(x)`
    Silu,
    /// `x * clamp(x / 6 + 1/2, 0, 1)`
    HardSwish,
    /// `x / 2 * (1 + erf(x / sqrt 2))`
    Gelu,
    /// `scale * (code - zero_point)` of the code that `x` has
    FakeQuantize(Quantization),
    /// `x + y`
    Add,
    /// `x - y`
    Subtract,
    /// `x * y`
    Multiply,
}

impl Elementwise {
    const AFFINE: u8 = 0;
    const CLAMP: u8 = 1;
    const LEAKY_RELU: u8 = 2;
    const SIGMOID: u8 = 3;
    const SILU: u8 = 4;
    const HARD_SWISH: u8 = 5;
    const GELU: u8 = 6;
    const FAKE_QUANTIZE: u8 = 7;
    // From here on, there is a second value.
    const ADD: u8 = 8;
    const SUBTRACT: u8 = 9;
    const MULTIPLY: u8 = 10;

    /// A number for the compiler to choose by.
    fn kind(self) -> u8 {
        match self {
            Elementwise::Affine { .. } => Self::AFFINE,
            Elementwise::Clamp { .. } => Self::CLAMP,
            Elementwise::LeakyRelu { .. } => Self::LEAKY_RELU,
            Elementwise::Sigmoid => Self::SIGMOID,
            Elementwise::Silu => Self::SILU,
            Elementwise::HardSwish => Self::HARD_SWISH,
            Elementwise::Gelu => Self::GELU,
            Elementwise::FakeQuantize(_) => Self::FAKE_QUANTIZE,
            Elementwise::Add => Self::ADD,
            Elementwise::Subtract => Self::SUBTRACT,
            Elementwise::Multiply => Self::MULTIPLY,
        }
    }

    fn parameters(self) -> (f32, f32) {
        match self {
            Elementwise::Affine { scale, offset } => (scale, offset),
            Elementwise::Clamp { low, high } => (low, high),
            Elementwise::LeakyRelu { slope } => (slope, 0.0),
            Elementwise::FakeQuantize(Quantization { scale, zero_point }) => (scale, f32::from(zero_point)),
            _ => (0.0, 0.0),
        }
    }

    /// Whether it has a second value.
    pub fn is_binary(self) -> bool {
        self.kind() >= Self::ADD
    }
}

/// The inner loops for one instruction set.
pub struct Kernels {
    lanes: usize,
    /// By blocks - 1: the widest tile whose sums, weights and an input its registers hold.
    pixels: [usize; MAX_BLOCKS],
    /// By blocks - 1, spacing (0: any) and pixels - 1.
    dense: [[[TileFn; MAX_PIXELS]; 3]; MAX_BLOCKS],
    depthwise: [[TileFn; MAX_PIXELS]; 3],
    maximum: [[TileFn; MAX_PIXELS]; 3],
    /// Of Winograd's convolutions, as below.
    input_transform: InputTransformFn,
    /// For the upper and the lower row of pixels.
    output_transform: [OutputTransformFn; 2],
    /// With a second value for each.
    apply: ApplyFn,
    /// With one block of second values for all pixels.
    apply_block: ApplyFn,
    total: TotalFn,
    softmax_across: AcrossFn,
    softmax_along: AlongFn,
    /// Those for activations in bytes, the best that the machine has.
    quantized: fn() -> Option<&'static QuantizedKernels>,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernels({} lanes)", self.lanes)
    }
}

impl Kernels {
    /// Those of `isa`, or of a lower one that the machine has.
    pub fn of(isa: Isa) -> &'static Kernels {
        match isa.or_lower() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if is_x86_feature_detected!("fma") => &avx2::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &neon::KERNELS,
            _ => &scalar::KERNELS,
        }
    }

    /// Those for activations in bytes.
    fn quantized(&self) -> Option<&'static QuantizedKernels> {
        (self.quantized)()
    }

    /// Whether convolutions can read codes.
    pub fn reads_codes(&self) -> bool {
        self.quantized().is_some()
    }

    /// How a code lies in memory, and which code lies there so.
    pub fn stored_code(&self, code: u8) -> u8 {
        if self.quantized().is_some_and(|kernels| kernels.signed) { code ^ 0x80 } else { code }
    }

    /// Channels of a block.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Applies `op` to `values` and, if it is binary, to as many `others`.
    pub fn apply(&self, op: Elementwise, values: &mut [f32], others: &[f32]) {
        assert!(!op.is_binary() || others.len() >= values.len(), "{} second values for {}", others.len(), values.len());
        // SAFETY: `of` hands out kernels that the machine can run; the second values are as many, or not read.
        unsafe { (self.apply)(op, values.as_mut_ptr(), values.len(), others.as_ptr()) }
    }

    /// Applies `op` to the pixels of a block with the same second values, one a channel, for each.
    pub fn apply_block(&self, op: Elementwise, values: &mut [f32], others: &[f32]) {
        assert!(!op.is_binary() || others.len() >= self.lanes, "{} second values for a block", others.len());
        // SAFETY: as above, with one block of second values.
        unsafe { (self.apply_block)(op, values.as_mut_ptr(), values.len(), others.as_ptr()) }
    }

    /// Softmax over an axis of `len` values, each `inner` floats from the next: an axis of a tensor with `inner` elements
    /// behind it.
    pub fn softmax(&self, values: &mut [f32], len: usize, inner: usize) {
        let lanes = self.lanes;
        let Some(size) = len.checked_mul(inner).filter(|size| (1..=values.len()).contains(size)) else { return };
        // What does not fill a register is computed beside.
        let mut beside = Buffer::zeros(match inner {
            1 => len.next_multiple_of(lanes),
            _ if inner.is_multiple_of(lanes) => 0,
            _ => len * lanes,
        });
        for part in values.chunks_exact_mut(size) {
            if inner == 1 {
                beside[len..len.next_multiple_of(lanes)].fill(f32::NEG_INFINITY);
                beside[..len].copy_from_slice(part);
                // SAFETY: `of` hands out kernels that the machine can run; there is room for whole registers.
                unsafe { (self.softmax_along)(beside.as_mut_ptr(), len) }
                part.copy_from_slice(&beside[..len]);
                continue;
            }
            let whole = inner - inner % lanes;
            for first in (0..whole).step_by(lanes) {
                // SAFETY: as above; the last row has `inner - first`, at least a register, left.
                unsafe { (self.softmax_across)(part[first..].as_mut_ptr(), len, inner) }
            }
            let rest = inner - whole;
            if rest > 0 {
                for (row, to) in part.chunks_exact(inner).zip(beside.chunks_exact_mut(lanes)) {
                    to[..rest].copy_from_slice(&row[whole..]);
                }
                // SAFETY: as above, in `len` whole registers.
                unsafe { (self.softmax_across)(beside.as_mut_ptr(), len, lanes) }
                for (row, from) in part.chunks_exact_mut(inner).zip(beside.chunks_exact(lanes)) {
                    row[whole..].copy_from_slice(&from[..rest]);
                }
            }
        }
    }

    /// Adds all pixels of a block to `sums`, one a channel.
    pub fn total(&self, pixels: &[f32], sums: &mut [f32]) {
        assert!(sums.len() >= self.lanes, "{} sums for a block", sums.len());
        // SAFETY: whole pixels only, and room for a block of sums.
        unsafe { (self.total)(pixels.as_ptr(), pixels.len() / self.lanes, sums.as_mut_ptr()) }
    }
}
