//! Dense convolutions of activations and weights in 8 bits: what the kernels need of an instruction set, and the inner loops.
//!
//! Activations are codes, `scale * (code - zero_point)` with one scale and one zero point a map; weights are whole numbers
//! from -128 to 127 with one scale for each output channel. Sums are exact in 32 bits, so every instruction set gives the same
//! ones. Four input channels at a time are multiplied and added into a lane, which is what processors have an instruction for.

use super::MAX_BLOCKS;
use super::simd::Simd;
use super::tiles::{MAX_PIXELS, Tap};
use std::sync::Arc;

/// Input channels that are multiplied at once.
pub(super) const QUAD: usize = 4;

/// How numbers are stored in a byte: as the nearest `code` for `scale * (code - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// From one code to the next.
    pub scale: f32,
    /// The code of 0, which is always exact: windows look at borders of zeros.
    pub zero_point: u8,
}

/// Adding this leaves no room for a fraction in an f32: 1.5 * 2^23.
const BIG: f32 = 12_582_912.0;

/// The nearest whole number, the even one of two, of numbers below 2^22, as a float and its last byte; in one instruction each
/// on every processor, where the standard library calls a function.
fn rounded(x: f32) -> (f32, i8) {
    let whole = x + BIG;
    (whole - BIG, whole.to_bits() as i8)
}

/// Weights that are looked at together: that many at once, without a decision between them.
const WEIGHTS: usize = 64;

/// Weights of 8 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// From -128 to 127, in the order that they had.
    pub weights: Arc<Vec<i8>>,
    /// What those of each output channel are to be multiplied with.
    pub scales: Vec<f32>,
}

/// Products of codes that may be added up in an i32.
const MOST_TERMS: usize = i32::MAX as usize / (128 * 255);

impl Codes {
    /// `weights` with a scale for each output channel; `None` for so many of them that a sum of products might leave an i32.
    pub fn new(weights: Arc<Vec<i8>>, scales: Vec<f32>) -> Option<Codes> {
        let fits = weights.len() <= MOST_TERMS.saturating_mul(scales.len());
        fits.then_some(Codes { weights, scales })
    }

    /// What `weights`, as many for each of `outputs` channels, are whole multiples of; `None` if there is a channel whose weights
    /// are not, but for the last digits of an f32: nothing is rounded here. `None` as well for so many weights that a sum of
    /// products might leave an i32.
    pub fn of(weights: &[f32], outputs: usize) -> Option<Codes> {
        let each = (weights.len() / outputs.max(1)).max(1);
        if each > MOST_TERMS {
            return None;
        }
        let (mut codes, mut scales) = (Vec::with_capacity(weights.len()), Vec::with_capacity(outputs));
        for row in weights.chunks_exact(each) {
            if row.iter().all(|w| *w == 0.0) {
                codes.extend(row.iter().map(|_| 0));
                scales.push(0.0);
                continue;
            }
            let largest = row.iter().fold(0f32, |m, w| m.max(w.abs()));
            // The largest need not have been 127.
            let whole = |top: &u8| {
                let top = f32::from(*top);
                let (factor, most) = (top / largest, top * 1e-6);
                let is_whole = |w: &f32| {
                    let (code, _) = rounded(w * factor);
                    (w * factor - code).abs() <= most && code <= 127.0
                };
                row.chunks(WEIGHTS).all(|part| part.iter().fold(true, |whole, w| whole & is_whole(w)))
            };
            let top = f32::from((1..=128u8).rev().find(whole)?);
            codes.extend(row.iter().map(|w| rounded(w * (top / largest)).1));
            scales.push(largest / top);
        }
        Some(Codes { weights: Arc::new(codes), scales })
    }
}

/// Registers of codes, of weights and of sums.
///
/// # Safety
/// Every method needs a processor that has the instruction set, and as much at its pointers as it says; of any alignment.
pub(super) trait Dot {
    type Simd: Simd;
    /// A sum for each lane, of 32 bits.
    type Sums: Copy;
    /// [`QUAD`] weights for each lane.
    type Weights: Copy;
    /// [`QUAD`] codes, the same for all lanes.
    type Codes: Copy;
    /// Codes lie in memory less 128, as bytes with a sign, because the instructions want them so.
    const SIGNED: bool;
    /// One for each lane.
    unsafe fn sums(from: *const i32) -> Self::Sums;
    /// [`QUAD`] for each lane.
    unsafe fn weights(from: *const i8) -> Self::Weights;
    /// [`QUAD`] of them.
    unsafe fn codes(from: *const u8) -> Self::Codes;
    /// Adds to every lane its weights times the codes.
    unsafe fn dot(sums: Self::Sums, weights: Self::Weights, codes: Self::Codes) -> Self::Sums;
    unsafe fn floats(sums: Self::Sums) -> <Self::Simd as Simd>::V;
    /// Whole numbers from 0 to 255 into a byte each, as codes lie in memory; what is not a number becomes some code.
    unsafe fn pack(values: <Self::Simd as Simd>::V, to: *mut u8);
}

/// What a tile reads and writes. Lengths are in bytes for codes and in floats for the output.
#[derive(Clone, Copy)]
pub(super) struct QuantizedTile<'a> {
    /// The input at the first output pixel's upper left tap.
    pub input: *const u8,
    /// From one output pixel's input to the next one's.
    pub step: usize,
    /// Their channels are in quads.
    pub taps: &'a [Tap],
    /// Per tap, quad and block: four weights for each of the block's output channels.
    pub weights: *const i8,
    /// Per block: what the sums begin with.
    pub start: *const i32,
    /// Per block: what sums are multiplied with, and what is added then.
    pub scale: *const f32,
    pub bias: *const f32,
    /// The first output pixel in the first block; pixels follow one another.
    pub output: *mut f32,
    /// From one block of the output to the next.
    pub plane: usize,
    /// Results are cut to this range.
    pub low: f32,
    pub high: f32,
}

pub(super) type QuantizedFn = unsafe fn(&QuantizedTile);
pub(super) type EncodeFn = unsafe fn(*const f32, usize, f32, f32, *mut u8);

/// `BLOCKS` x `PIXELS` outputs of a dense convolution. Input pixels are `SPACING` blocks apart, or `step` bytes where it is 0.
///
/// # Safety
/// The instruction set; all that the tile describes lies inside of its buffers.
#[inline(always)]
pub(super) unsafe fn dense<D: Dot, const BLOCKS: usize, const PIXELS: usize, const SPACING: usize>(
    tile: &QuantizedTile,
) {
    unsafe {
        let lanes = D::Simd::LANES;
        let step = if SPACING == 0 { tile.step } else { SPACING * lanes };
        let mut sums = [[D::sums(tile.start); PIXELS]; BLOCKS];
        for (block, sums) in sums.iter_mut().enumerate() {
            *sums = [D::sums(tile.start.add(block * lanes)); PIXELS];
        }
        let mut weights = tile.weights;
        for tap in tile.taps {
            let input = tile.input.add(tap.offset);
            for quad in 0..tap.channels {
                let mut row = [D::weights(weights); BLOCKS];
                for (block, w) in row.iter_mut().enumerate() {
                    *w = D::weights(weights.add(block * QUAD * lanes));
                }
                weights = weights.add(BLOCKS * QUAD * lanes);
                #[expect(clippy::needless_range_loop)] // by pixel first: codes are used for all blocks at once
                for pixel in 0..PIXELS {
                    let codes = D::codes(input.add(pixel * step + QUAD * quad));
                    for block in 0..BLOCKS {
                        sums[block][pixel] = D::dot(sums[block][pixel], row[block], codes);
                    }
                }
            }
        }
        let (low, high) = (D::Simd::splat(tile.low), D::Simd::splat(tile.high));
        for (block, sums) in sums.iter().enumerate() {
            let scale = D::Simd::load(tile.scale.add(block * lanes));
            let bias = D::Simd::load(tile.bias.add(block * lanes));
            for (pixel, sum) in sums.iter().enumerate() {
                let value = D::Simd::fma(D::floats(*sum), scale, bias);
                let value = D::Simd::min(high, D::Simd::max(low, value));
                D::Simd::store(tile.output.add(block * tile.plane + pixel * lanes), value);
            }
        }
    }
}

/// The codes of lanes as floats: `x * inverse` cut to what has a code, rounded to the nearest whole number (to the even one of
/// two), plus `zero`: QuantizeLinear, but for the reciprocal, with which tract multiplies as well.
#[inline(always)]
pub(super) unsafe fn code<S: Simd>(x: S::V, inverse: S::V, zero: S::V) -> S::V {
    unsafe {
        let low = S::sub(S::splat(0.0), zero);
        let high = S::sub(S::splat(255.0), zero);
        let x = S::min(high, S::max(low, S::mul(x, inverse)));
        let big = S::splat(BIG);
        S::add(S::sub(S::add(x, big), big), zero)
    }
}

/// The codes of `count` values.
///
/// # Safety
/// The instruction set; `count`, a multiple of the lanes, values and as many bytes.
#[inline(always)]
pub(super) unsafe fn encode<D: Dot>(values: *const f32, count: usize, inverse: f32, zero: f32, codes: *mut u8) {
    unsafe {
        let (inverse, zero) = (D::Simd::splat(inverse), D::Simd::splat(zero));
        for at in (0..count).step_by(D::Simd::LANES) {
            D::pack(code::<D::Simd>(D::Simd::load(values.add(at)), inverse, zero), codes.add(at));
        }
    }
}

/// The inner loops for one instruction set.
pub(super) struct QuantizedKernels {
    /// By blocks - 1: the widest tile whose sums, weights and an input its registers hold.
    pub pixels: [usize; MAX_BLOCKS],
    /// By blocks - 1, spacing (0: any) and pixels - 1.
    pub dense: [[[QuantizedFn; MAX_PIXELS]; 3]; MAX_BLOCKS],
    pub encode: EncodeFn,
    /// [`Dot::SIGNED`]
    pub signed: bool,
}

impl std::fmt::Debug for QuantizedKernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuantizedKernels")
    }
}

/// Compiles the inner loops for an instruction set; without a feature, for any machine.
macro_rules! quantized {
    ($name:ident, $($feature:literal,)? $dot:ty, $pixels:expr) => {
        pub(super) use $name::QUANTIZED as $name;
        #[allow(non_snake_case)] // one module for each, named as what it gives
        mod $name {
            use super::super::int8::{self, Dot, QuantizedKernels, QuantizedTile};
            use super::super::tiles::by_pixels;

            $(#[target_feature(enable = $feature)])?
            unsafe fn dense<const BLOCKS: usize, const PIXELS: usize, const SPACING: usize>(tile: &QuantizedTile) {
                unsafe { int8::dense::<$dot, BLOCKS, PIXELS, SPACING>(tile) }
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn encode(values: *const f32, count: usize, inverse: f32, zero: f32, codes: *mut u8) {
                unsafe { int8::encode::<$dot>(values, count, inverse, zero, codes) }
            }

            pub(in super::super) static QUANTIZED: QuantizedKernels = QuantizedKernels {
                pixels: $pixels,
                dense: [
                    [by_pixels!(dense, [1], 0), by_pixels!(dense, [1], 1), by_pixels!(dense, [1], 2)],
                    [by_pixels!(dense, [2], 0), by_pixels!(dense, [2], 1), by_pixels!(dense, [2], 2)],
                    [by_pixels!(dense, [3], 0), by_pixels!(dense, [3], 1), by_pixels!(dense, [3], 2)],
                ],
                encode,
                signed: <$dot>::SIGNED,
            };
        }
    };
}
pub(super) use quantized;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_were_whole_numbers_are_found_again() {
        for largest in [127, 126, 90, 64, 40, 3] {
            let codes: Vec<i8> = (0..50)
                .map(|i| ((i * 37) % (2 * i32::from(largest) + 1) - i32::from(largest)) as i8)
                .chain([largest])
                .collect();
            let weights: Vec<f32> = codes.iter().map(|c| f32::from(*c) * 0.0137).collect();
            let found = Codes::of(&weights, 1).unwrap();
            // Steps may be parts of those that there were.
            let off =
                weights.iter().zip(found.weights.iter()).map(|(w, c)| (w - f32::from(*c) * found.scales[0]).abs());
            let off = off.fold(0.0, f32::max);
            assert!(off < 1e-6, "{largest}: {off}");
        }
        // Others are not rounded.
        let weights: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin()).collect();
        assert_eq!(Codes::of(&weights, 4), None);
        let small: Vec<f32> = [1.0].into_iter().chain((0..200).map(|i| 0.0009 * (-1f32).powi(i))).collect();
        assert_eq!(Codes::of(&small, 1), None);
        assert_eq!(Codes::of(&[f32::NAN; 3], 1), None);
        // Of the two ends, the lower one has a code of its own.
        assert_eq!(Codes::of(&[-128.0, 127.0, 1.0], 1).unwrap().weights[..], [-128, 127, 1]);
        assert_eq!(Codes::of(&[128.0, 127.0, 1.0], 1), None);
        // A sum of so many products may leave 32 bits.
        assert_eq!(Codes::of(&vec![1.0; 70_000], 1), None);
        let zeros = Codes::of(&[0.0; 9], 3).unwrap();
        assert_eq!((zeros.weights.to_vec(), zeros.scales), (vec![0; 9], vec![0.0; 3]));
    }
}
