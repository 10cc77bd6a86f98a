//! 64-bit ARM: 4 lanes.

use super::int8::Dot;
use super::simd::Simd;
use std::arch::aarch64::*;

pub(super) struct Neon;

impl Simd for Neon {
    const LANES: usize = 4;
    type V = float32x4_t;
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: float32x4_t) {
        unsafe { vst1q_f32(to, v) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn pow2(n: float32x4_t) -> float32x4_t {
        unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }
    }
    #[inline(always)]
    unsafe fn by_sign(sign: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcltq_f32(sign, vdupq_n_f32(0.0)), b, a) }
    }
}

/// What both kinds of [`Dot`] have in common.
macro_rules! signed_codes {
    () => {
        type Simd = Neon;
        type Weights = int8x16_t;
        type Codes = int8x16_t;
        const SIGNED: bool = true;
        #[inline(always)]
        unsafe fn weights(from: *const i8) -> int8x16_t {
            unsafe { vld1q_s8(from) }
        }
        #[inline(always)]
        unsafe fn codes(from: *const u8) -> int8x16_t {
            unsafe { vreinterpretq_s8_u32(vdupq_n_u32(from.cast::<u32>().read_unaligned())) }
        }
        #[inline(always)]
        unsafe fn pack(values: float32x4_t, to: *mut u8) {
            unsafe {
                let words = vmovn_u32(vcvtq_u32_f32(values));
                let bytes = veor_u8(vmovn_u16(vcombine_u16(words, words)), vdup_n_u8(0x80));
                to.cast::<u32>().write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)));
            }
        }
    };
}

/// Products of 16 bits, added in twos to a register for each half of the lanes (`smull`, `sadalp`): on every processor.
pub(super) struct Words;

impl Dot for Words {
    signed_codes!();
    /// Two parts of each sum side by side; the lanes in two halves.
    type Sums = (int32x4_t, int32x4_t);
    #[inline(always)]
    unsafe fn sums(from: *const i32) -> Self::Sums {
        unsafe {
            let (sums, zero) = (vld1q_s32(from), vdupq_n_s32(0));
            (vzip1q_s32(sums, zero), vzip2q_s32(sums, zero))
        }
    }
    #[inline(always)]
    unsafe fn dot((low, high): Self::Sums, weights: int8x16_t, codes: int8x16_t) -> Self::Sums {
        unsafe {
            let products = vmull_s8(vget_low_s8(weights), vget_low_s8(codes));
            (vpadalq_s16(low, products), vpadalq_s16(high, vmull_high_s8(weights, codes)))
        }
    }
    #[inline(always)]
    unsafe fn floats((low, high): Self::Sums) -> float32x4_t {
        unsafe { vcvtq_f32_s32(vpaddq_s32(low, high)) }
    }
}

/// `sdot`: four to a lane (ARMv8.2 with dot products: Cortex-A55, A76 and later).
pub(super) struct DotProduct;

impl Dot for DotProduct {
    signed_codes!();
    type Sums = int32x4_t;
    #[inline(always)]
    unsafe fn sums(from: *const i32) -> int32x4_t {
        unsafe { vld1q_s32(from) }
    }
    #[inline(always)]
    unsafe fn dot(mut sums: int32x4_t, weights: int8x16_t, codes: int8x16_t) -> int32x4_t {
        // SAFETY: the intrinsic is not in stable Rust; it reads and writes registers only.
        unsafe {
            std::arch::asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {weights:v}.16b, {codes:v}.16b",
                sums = inout(vreg) sums, weights = in(vreg) weights, codes = in(vreg) codes,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
    #[inline(always)]
    unsafe fn floats(sums: int32x4_t) -> float32x4_t {
        unsafe { vcvtq_f32_s32(sums) }
    }
}

// Sums, four channels of each pixel and the weights in 32 registers.
super::tiles::instantiate!("neon", Neon, [12, 9, 6], || {
    Some(if std::arch::is_aarch64_feature_detected!("dotprod") { &DOT_PRODUCT } else { &WORDS })
});
super::int8::quantized!(WORDS, "neon", super::Words, [11, 5, 3]);
super::int8::quantized!(DOT_PRODUCT, "neon,dotprod", super::DotProduct, [12, 10, 7]);
