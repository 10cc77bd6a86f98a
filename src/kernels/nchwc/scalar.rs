//! Portable Rust, and what the others are tested against: 4 lanes, which compilers turn into any narrow vector unit.

use super::int8::{Dot, QUAD};
use super::simd::Simd;

pub(super) struct Scalar;

#[inline(always)]
fn each(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Scalar {
    const LANES: usize = 4;
    type V = [f32; 4];
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: [f32; 4]) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // Not `mul_add`: without an instruction for it, that is a slow function.
        each(each(a, b, |a, b| a * b), c, |ab, c| ab + c)
    }
    #[inline(always)]
    unsafe fn pow2(n: [f32; 4]) -> [f32; 4] {
        n.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn by_sign(sign: [f32; 4], a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        let pick = |i: usize| if sign[i] < 0.0 { b[i] } else { a[i] };
        [pick(0), pick(1), pick(2), pick(3)]
    }
}

impl Dot for Scalar {
    type Simd = Scalar;
    type Sums = [i32; 4];
    type Weights = [i8; 16];
    type Codes = [u8; 4];
    const SIGNED: bool = false;
    #[inline(always)]
    unsafe fn sums(from: *const i32) -> [i32; 4] {
        unsafe { from.cast::<[i32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [i8; 16] {
        unsafe { from.cast::<[i8; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> [u8; 4] {
        unsafe { from.cast::<[u8; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn dot(mut sums: [i32; 4], weights: [i8; 16], codes: [u8; 4]) -> [i32; 4] {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += (0..QUAD).map(|i| i32::from(weights[lane * QUAD + i]) * i32::from(codes[i])).sum::<i32>();
        }
        sums
    }
    #[inline(always)]
    unsafe fn floats(sums: [i32; 4]) -> [f32; 4] {
        sums.map(|sum| sum as f32)
    }
    #[inline(always)]
    unsafe fn pack(values: [f32; 4], to: *mut u8) {
        unsafe { to.cast::<[u8; 4]>().write_unaligned(values.map(|value| value as u8)) }
    }
}

super::tiles::instantiate!(Scalar, [6, 3, 2], || Some(&PORTABLE));
super::int8::quantized!(PORTABLE, super::Scalar, [6, 4, 3]);
