//! The inner loops, written once for all instruction sets; [`instantiate`] compiles them for one.

use super::simd::{CACHE_LINE, Simd, prefetch};
use super::{Elementwise, int8};

/// Output pixels of a row that a tile computes at most.
pub(super) const MAX_PIXELS: usize = 12;

/// Blocks of output channels that a tile computes together at most.
pub(super) const MAX_BLOCKS: usize = 3;

/// Where one tap of a convolution window lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tap {
    /// Elements from the input pixel under the window's upper left corner.
    pub offset: usize,
    /// Input channels there, which lie side by side; of codes, quads of them.
    pub channels: usize,
}

/// What a tile reads and writes. Lengths are in floats.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// The input at the first output pixel's upper left tap.
    pub input: *const f32,
    /// From one output pixel's input to the next one's.
    pub step: usize,
    pub taps: &'a [Tap],
    /// Per tap, input channel and block: the weights of a block's output channels.
    pub weights: *const f32,
    /// Per block: what the sums begin with.
    pub bias: *const f32,
    /// The first output pixel in the first block; pixels follow one another.
    pub output: *mut f32,
    /// From one block of the output to the next.
    pub plane: usize,
    /// Sums are cut to this range.
    pub low: f32,
    pub high: f32,
    /// What a dense tile asks for meanwhile, [`lines_at_once`] cache lines for each [`AT_ONCE`] input channels: the next tiles'
    /// weights. Little by little, because a processor waits for some ten lines at a time, and what asks for more waits itself.
    /// Where its part of them ends is not looked at: to ask twice for what is near costs less than to count.
    pub next: *const u8,
}

pub(super) type TileFn = unsafe fn(&Tile);
pub(super) type ApplyFn = unsafe fn(Elementwise, *mut f32, usize, *const f32);
pub(super) type TotalFn = unsafe fn(*const f32, usize, *mut f32);
pub(super) type AcrossFn = unsafe fn(*mut f32, usize, usize);
pub(super) type AlongFn = unsafe fn(*mut f32, usize);

/// Input channels between two looks at whether there are more: with one at a time, a product of 384 or more channels took a
/// tenth longer (AVX-512).
pub(super) const AT_ONCE: usize = 4;

/// Cache lines that a tile asks for with each [`AT_ONCE`] input channels: a quarter of the weights that it reads meanwhile or,
/// of short registers, more. A line of output takes four tiles at least, if it is long.
pub(super) const fn lines_at_once(blocks: usize, lanes: usize) -> usize {
    (blocks * lanes * size_of::<f32>()).div_ceil(CACHE_LINE)
}

/// What one input channel adds to the sums of a tile: `PIXELS` inputs, `step` floats from one to the next, times a weight for
/// each output channel.
#[inline(always)]
unsafe fn add_products<S: Simd, const BLOCKS: usize, const PIXELS: usize>(
    sums: &mut [[S::V; PIXELS]; BLOCKS],
    weights: *const f32,
    input: *const f32,
    step: usize,
) {
    unsafe {
        let mut row = [S::splat(0.0); BLOCKS];
        for (block, weight) in row.iter_mut().enumerate() {
            *weight = S::load(weights.add(block * S::LANES));
        }
        // By pixel first: an input value is used for all blocks at once.
        for pixel in 0..PIXELS {
            let value = S::splat(*input.add(pixel * step));
            for (weight, sums) in row.iter().zip(sums.iter_mut()) {
                sums[pixel] = S::fma(*weight, value, sums[pixel]);
            }
        }
    }
}

/// `BLOCKS` x `PIXELS` outputs of a dense convolution. Input pixels are `SPACING` blocks apart, or `step` floats where it is 0.
///
/// # Safety
/// The instruction set; all that the tile describes lies inside of its buffers.
#[inline(always)]
pub(super) unsafe fn dense<S: Simd, const BLOCKS: usize, const PIXELS: usize, const SPACING: usize>(tile: &Tile) {
    unsafe {
        let step = if SPACING == 0 { tile.step } else { SPACING * S::LANES };
        let mut sums = [[S::splat(0.0); PIXELS]; BLOCKS];
        for (block, sums) in sums.iter_mut().enumerate() {
            *sums = [S::load(tile.bias.add(block * S::LANES)); PIXELS];
        }
        let (mut weights, mut next) = (tile.weights, tile.next);
        for tap in tile.taps {
            let input = tile.input.add(tap.offset);
            let fours = tap.channels - tap.channels % AT_ONCE;
            for first in (0..fours).step_by(AT_ONCE) {
                for line in 0..lines_at_once(BLOCKS, S::LANES) {
                    prefetch(next.wrapping_add(line * CACHE_LINE));
                }
                next = next.wrapping_add(lines_at_once(BLOCKS, S::LANES) * CACHE_LINE);
                for channel in first..first + AT_ONCE {
                    add_products::<S, BLOCKS, PIXELS>(&mut sums, weights, input.add(channel), step);
                    weights = weights.add(BLOCKS * S::LANES);
                }
            }
            for channel in fours..tap.channels {
                add_products::<S, BLOCKS, PIXELS>(&mut sums, weights, input.add(channel), step);
                weights = weights.add(BLOCKS * S::LANES);
            }
        }
        let (low, high) = (S::splat(tile.low), S::splat(tile.high));
        for (block, sums) in sums.iter().enumerate() {
            for (pixel, sum) in sums.iter().enumerate() {
                // This way around a NaN stays one, on x86 too.
                let value = S::min(high, S::max(low, *sum));
                S::store(tile.output.add(block * tile.plane + pixel * S::LANES), value);
            }
        }
    }
}

/// `PIXELS` outputs of a depthwise convolution in one block of channels; taps have one weight a channel.
///
/// # Safety
/// As [`dense`].
#[inline(always)]
pub(super) unsafe fn depthwise<S: Simd, const PIXELS: usize, const SPACING: usize>(tile: &Tile) {
    unsafe {
        let step = if SPACING == 0 { tile.step } else { SPACING * S::LANES };
        let mut sums = [S::load(tile.bias); PIXELS];
        let mut weights = tile.weights;
        for tap in tile.taps {
            let input = tile.input.add(tap.offset);
            let weight = S::load(weights);
            weights = weights.add(S::LANES);
            for (pixel, sum) in sums.iter_mut().enumerate() {
                *sum = S::fma(weight, S::load(input.add(pixel * step)), *sum);
            }
        }
        let (low, high) = (S::splat(tile.low), S::splat(tile.high));
        for (pixel, sum) in sums.iter().enumerate() {
            S::store(tile.output.add(pixel * S::LANES), S::min(high, S::max(low, *sum)));
        }
    }
}

/// `PIXELS` maxima over the taps in one block of channels.
///
/// # Safety
/// As [`dense`].
#[inline(always)]
pub(super) unsafe fn maximum<S: Simd, const PIXELS: usize, const SPACING: usize>(tile: &Tile) {
    unsafe {
        let step = if SPACING == 0 { tile.step } else { SPACING * S::LANES };
        let mut best = [S::splat(f32::NEG_INFINITY); PIXELS];
        for tap in tile.taps {
            let input = tile.input.add(tap.offset);
            for (pixel, best) in best.iter_mut().enumerate() {
                *best = S::max(*best, S::load(input.add(pixel * step)));
            }
        }
        for (pixel, best) in best.iter().enumerate() {
            S::store(tile.output.add(pixel * S::LANES), *best);
        }
    }
}

/// Adds `pixels` pixels of a block to the sums at `into`.
///
/// # Safety
/// The instruction set; `pixels` blocks of lanes at `from`, one at `into`.
#[inline(always)]
pub(super) unsafe fn total<S: Simd>(from: *const f32, pixels: usize, into: *mut f32) {
    unsafe {
        // Four sums, because each addition waits for the one before it.
        let mut sums = [S::load(into), S::splat(0.0), S::splat(0.0), S::splat(0.0)];
        let mut at = 0;
        while at + 4 <= pixels {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = S::add(*sum, S::load(from.add((at + i) * S::LANES)));
            }
            at += 4;
        }
        while at < pixels {
            sums[0] = S::add(sums[0], S::load(from.add(at * S::LANES)));
            at += 1;
        }
        S::store(into, S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
    }
}

/// e to the power of x, to 2 units in the last place; Cephes' `expf`: a power of two times a polynomial of degree 6.
#[inline(always)]
unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    unsafe {
        // Below, the result would be subnormal; above, infinite.
        let x = S::min(S::splat(88.376_26), S::max(S::splat(-87.336_54), x));
        // Adding 1.5 * 2^23 leaves no room for a fraction.
        let big = S::splat(12_582_912.0);
        let n = S::sub(S::fma(x, S::splat(std::f32::consts::LOG2_E), big), big);
        // ln 2 in two parts, the first of few digits, so that its product with n is exact.
        let r = S::sub(x, S::mul(n, S::splat(0.693_359_4)));
        let r = S::sub(r, S::mul(n, S::splat(-2.121_944_4e-4)));
        let mut p = S::splat(1.987_569_2e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = S::fma(p, r, S::splat(c));
        }
        let p = S::add(S::fma(p, S::mul(r, r), r), S::splat(1.0));
        S::mul(p, S::pow2(n))
    }
}

#[inline(always)]
unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(S::sub(S::splat(0.0), x))))
    }
}

/// `x` times the share of the normal distribution below it, to 6e-7: within [`GELU_REACH`] the share is 1/2 and an odd polynomial
/// of `x`, which needs neither a division nor an exponential (`tools/fit_gelu.py`); beyond, it is nearly 0 or 1 and stays so.
#[inline(always)]
unsafe fn gelu<S: Simd>(x: S::V) -> S::V {
    unsafe {
        let above = S::max(S::splat(-GELU_REACH), x);
        let inside = S::min(S::splat(GELU_REACH), above);
        let square = S::fma(S::mul(inside, inside), S::splat(2.0 / (GELU_REACH * GELU_REACH)), S::splat(-1.0));
        let [first, rest @ ..] = GELU;
        let mut p = S::splat(first);
        for c in rest {
            p = S::fma(p, square, S::splat(c));
        }
        S::mul(above, S::max(S::splat(0.0), S::fma(p, inside, S::splat(0.5))))
    }
}

/// Where the polynomial of [`gelu`] ends.
const GELU_REACH: f32 = 5.25;

/// The coefficients of a polynomial of `2 (x / GELU_REACH)^2 - 1`, the highest first.
const GELU: [f32; 15] = [
    2.399_365_8e-4,
    -6.565_783_4e-4,
    6.647_769e-4,
    -1.039_551e-3,
    2.892_303_5e-3,
    -5.448_501e-3,
    8.417_908e-3,
    -1.277_526_1e-2,
    1.853_863_5e-2,
    -2.504_193e-2,
    3.203_144_3e-2,
    -3.976_341_3e-2,
    4.964_578_5e-2,
    -6.712_682e-2,
    1.346_593_5e-1,
];

/// Softmax over `len` values that lie `inner` floats apart, for as many neighbours as there are lanes.
///
/// # Safety
/// The instruction set; `len` registers, `inner` floats apart, at `values`.
#[inline(always)]
pub(super) unsafe fn softmax_across<S: Simd>(values: *mut f32, len: usize, inner: usize) {
    unsafe {
        let mut highest = S::splat(f32::NEG_INFINITY);
        for i in 0..len {
            highest = S::max(highest, S::load(values.add(i * inner)));
        }
        let mut sum = S::splat(0.0);
        for i in 0..len {
            let e = exp::<S>(S::sub(S::load(values.add(i * inner)), highest));
            sum = S::add(sum, e);
            S::store(values.add(i * inner), e);
        }
        let share = S::div(S::splat(1.0), sum);
        for i in 0..len {
            S::store(values.add(i * inner), S::mul(S::load(values.add(i * inner)), share));
        }
    }
}

/// Softmax over `len` values side by side, of which whole registers are read and written.
///
/// # Safety
/// The instruction set; `len` floats at `values`, and room up to the next whole register, which holds minus infinity.
#[inline(always)]
pub(super) unsafe fn softmax_along<S: Simd>(values: *mut f32, len: usize) {
    unsafe {
        let registers = len.div_ceil(S::LANES);
        let mut lanes = [0f32; 16];
        let mut highest = S::splat(f32::NEG_INFINITY);
        for i in 0..registers {
            highest = S::max(highest, S::load(values.add(i * S::LANES)));
        }
        S::store(lanes.as_mut_ptr(), highest);
        let top = lanes[..S::LANES].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = S::splat(0.0);
        for i in 0..registers {
            let e = exp::<S>(S::sub(S::load(values.add(i * S::LANES)), S::splat(top)));
            sum = S::add(sum, e);
            S::store(values.add(i * S::LANES), e);
        }
        S::store(lanes.as_mut_ptr(), sum);
        let share = S::splat(1.0 / lanes[..S::LANES].iter().sum::<f32>());
        for i in 0..registers {
            S::store(values.add(i * S::LANES), S::mul(S::load(values.add(i * S::LANES)), share));
        }
    }
}

/// One operation on a register; `KIND` is [`Elementwise::kind`], `a` and `b` are its parameters.
#[inline(always)]
unsafe fn value<S: Simd, const KIND: u8>(x: S::V, other: S::V, a: S::V, b: S::V) -> S::V {
    unsafe {
        match KIND {
            Elementwise::AFFINE => S::fma(x, a, b),
            Elementwise::CLAMP => S::min(b, S::max(a, x)),
            Elementwise::LEAKY_RELU => S::by_sign(x, x, S::mul(x, a)),
            Elementwise::SIGMOID => sigmoid::<S>(x),
            Elementwise::SILU => S::mul(x, sigmoid::<S>(x)),
            Elementwise::HARD_SWISH => {
                let gate = S::fma(x, S::splat(1.0 / 6.0), S::splat(0.5));
                S::mul(x, S::min(S::splat(1.0), S::max(S::splat(0.0), gate)))
            }
            Elementwise::GELU => gelu::<S>(x),
            Elementwise::FAKE_QUANTIZE => {
                let inverse = S::div(S::splat(1.0), a);
                S::mul(S::sub(int8::code::<S>(x, inverse, b), b), a)
            }
            Elementwise::ADD => S::add(x, other),
            Elementwise::SUBTRACT => S::sub(x, other),
            _ => S::mul(x, other),
        }
    }
}

/// Replaces `count` values by `op` of them and of what lies at `other`: one block of lanes again and again if `REPEAT`, as
/// many values otherwise. `other` is not looked at by operations on one value.
///
/// # Safety
/// The instruction set; `count` floats at `values` and what `op` needs of `other`.
#[inline(always)]
pub(super) unsafe fn apply<S: Simd, const REPEAT: bool>(
    op: Elementwise,
    values: *mut f32,
    count: usize,
    other: *const f32,
) {
    let (a, b) = op.parameters();
    // One loop for each operation: with the choice inside of the loop, nothing would stay in registers.
    macro_rules! each {
        ($($kind:ident)+) => {
            match op.kind() {
                $(Elementwise::$kind => unsafe { run::<S, REPEAT, { Elementwise::$kind }>(values, count, other, a, b) },)+
                _ => (),
            }
        };
    }
    each!(AFFINE CLAMP LEAKY_RELU SIGMOID SILU HARD_SWISH GELU FAKE_QUANTIZE ADD SUBTRACT MULTIPLY);
}

#[inline(always)]
unsafe fn run<S: Simd, const REPEAT: bool, const KIND: u8>(
    values: *mut f32,
    count: usize,
    other: *const f32,
    a: f32,
    b: f32,
) {
    unsafe {
        let reads = KIND >= Elementwise::ADD;
        let (a, b) = (S::splat(a), S::splat(b));
        let whole = count - count % S::LANES;
        let fixed = if REPEAT && reads { S::load(other) } else { S::splat(0.0) };
        let mut at = 0;
        while at < whole {
            let o = if REPEAT || !reads { fixed } else { S::load(other.add(at)) };
            S::store(values.add(at), value::<S, KIND>(S::load(values.add(at)), o, a, b));
            at += S::LANES;
        }
        if whole < count {
            // The rest of a row of single values.
            let (mut x, mut o) = ([0f32; 16], [0f32; 16]);
            for i in whole..count {
                x[i - whole] = *values.add(i);
                if reads && !REPEAT {
                    o[i - whole] = *other.add(i);
                }
            }
            let o = if REPEAT { fixed } else { S::load(o.as_ptr()) };
            S::store(x.as_mut_ptr(), value::<S, KIND>(S::load(x.as_ptr()), o, a, b));
            for i in whole..count {
                *values.add(i) = x[i - whole];
            }
        }
    }
}

/// The kernels of one name for 1 to [`MAX_PIXELS`] pixels.
macro_rules! by_pixels {
    ($name:ident, [$($blocks:literal)?], $spacing:literal) => {
        [
            $name::<$($blocks,)? 1, $spacing>, $name::<$($blocks,)? 2, $spacing>, $name::<$($blocks,)? 3, $spacing>,
            $name::<$($blocks,)? 4, $spacing>, $name::<$($blocks,)? 5, $spacing>, $name::<$($blocks,)? 6, $spacing>,
            $name::<$($blocks,)? 7, $spacing>, $name::<$($blocks,)? 8, $spacing>, $name::<$($blocks,)? 9, $spacing>,
            $name::<$($blocks,)? 10, $spacing>, $name::<$($blocks,)? 11, $spacing>, $name::<$($blocks,)? 12, $spacing>,
        ]
    };
}
pub(super) use by_pixels;

/// Compiles the inner loops for an instruction set; without a feature, for any machine.
macro_rules! instantiate {
    ($($feature:literal,)? $simd:ty, $pixels:expr, $quantized:expr) => {
        use super::tiles::{self, Tile, by_pixels};
        use super::{Elementwise, Kernels, winograd};

        $(#[target_feature(enable = $feature)])?
        unsafe fn dense<const BLOCKS: usize, const PIXELS: usize, const SPACING: usize>(tile: &Tile) {
            unsafe { tiles::dense::<$simd, BLOCKS, PIXELS, SPACING>(tile) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn depthwise<const PIXELS: usize, const SPACING: usize>(tile: &Tile) {
            unsafe { tiles::depthwise::<$simd, PIXELS, SPACING>(tile) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn maximum<const PIXELS: usize, const SPACING: usize>(tile: &Tile) {
            unsafe { tiles::maximum::<$simd, PIXELS, SPACING>(tile) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn input_transform(line: &winograd::Patches) {
            unsafe { winograd::input_transform::<$simd>(line) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn output_transform<const ROW: usize>(line: &winograd::Sums) {
            unsafe { winograd::output_transform::<$simd, ROW>(line) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn apply<const REPEAT: bool>(op: Elementwise, values: *mut f32, count: usize, other: *const f32) {
            unsafe { tiles::apply::<$simd, REPEAT>(op, values, count, other) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn total(from: *const f32, pixels: usize, into: *mut f32) {
            unsafe { tiles::total::<$simd>(from, pixels, into) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn softmax_across(values: *mut f32, len: usize, inner: usize) {
            unsafe { tiles::softmax_across::<$simd>(values, len, inner) }
        }
        $(#[target_feature(enable = $feature)])?
        unsafe fn softmax_along(values: *mut f32, len: usize) {
            unsafe { tiles::softmax_along::<$simd>(values, len) }
        }

        pub(super) static KERNELS: Kernels = KERNELS_OF;
        pub(super) const KERNELS_OF: Kernels = Kernels {
            lanes: <$simd>::LANES,
            pixels: $pixels,
            dense: [
                [by_pixels!(dense, [1], 0), by_pixels!(dense, [1], 1), by_pixels!(dense, [1], 2)],
                [by_pixels!(dense, [2], 0), by_pixels!(dense, [2], 1), by_pixels!(dense, [2], 2)],
                [by_pixels!(dense, [3], 0), by_pixels!(dense, [3], 1), by_pixels!(dense, [3], 2)],
            ],
            depthwise: [by_pixels!(depthwise, [], 0), by_pixels!(depthwise, [], 1), by_pixels!(depthwise, [], 2)],
            maximum: [by_pixels!(maximum, [], 0), by_pixels!(maximum, [], 1), by_pixels!(maximum, [], 2)],
            input_transform,
            output_transform: [output_transform::<0>, output_transform::<1>],
            apply: apply::<false>,
            apply_block: apply::<true>,
            total,
            softmax_across,
            softmax_along,
            quantized: $quantized,
        };
    };
}
pub(super) use instantiate;
