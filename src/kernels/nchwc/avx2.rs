//! x86-64 with AVX2 and FMA: 8 lanes.

use super::int8::Dot;
use super::simd::Simd;
use std::arch::x86_64::*;

pub(super) struct Avx2;

impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn pow2(n: __m256) -> __m256 {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    unsafe fn by_sign(sign: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(a, b, _mm256_cmp_ps::<_CMP_LT_OQ>(sign, _mm256_setzero_ps())) }
    }
}

/// What both kinds of [`Dot`] on 8 lanes have in common.
macro_rules! eight_sums {
    () => {
        type Simd = Avx2;
        type Sums = __m256i;
        const SIGNED: bool = false;
        #[inline(always)]
        unsafe fn sums(from: *const i32) -> __m256i {
            unsafe { _mm256_loadu_si256(from.cast()) }
        }
        #[inline(always)]
        unsafe fn floats(sums: __m256i) -> __m256 {
            unsafe { _mm256_cvtepi32_ps(sums) }
        }
        #[inline(always)]
        unsafe fn pack(values: __m256, to: *mut u8) {
            unsafe {
                let whole = _mm256_cvtps_epi32(values);
                let words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
                _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
            }
        }
    };
}

/// In words of 16 bits, two to a lane, even channels and odd ones apart: `vpmaddubsw` on bytes would saturate.
pub(super) struct Words;

impl Dot for Words {
    eight_sums!();
    type Weights = [__m256i; 2];
    type Codes = [__m256i; 2];
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [__m256i; 2] {
        unsafe {
            let all = _mm256_loadu_si256(from.cast());
            [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(all)), _mm256_srai_epi16::<8>(all)]
        }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> [__m256i; 2] {
        unsafe {
            let all = _mm256_set1_epi32(from.cast::<i32>().read_unaligned());
            [_mm256_and_si256(all, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(all)]
        }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, weights: [__m256i; 2], codes: [__m256i; 2]) -> __m256i {
        unsafe {
            let even = _mm256_madd_epi16(weights[0], codes[0]);
            let odd = _mm256_madd_epi16(weights[1], codes[1]);
            _mm256_add_epi32(_mm256_add_epi32(sums, even), odd)
        }
    }
}

/// `vpdpbusd` on 8 lanes: processors without AVX-512 that have AVX-VNNI (Alder Lake and later, its small cores too).
pub(super) struct Vnni;

impl Dot for Vnni {
    eight_sums!();
    type Weights = __m256i;
    type Codes = __m256i;
    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn codes(from: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, weights: __m256i, codes: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sums, codes, weights) }
    }
}

super::tiles::instantiate!("avx2,fma", Avx2, [12, 6, 4], || {
    Some(if is_x86_feature_detected!("avxvnni") { &VNNI } else { &WORDS })
});
super::int8::quantized!(WORDS, "avx2,fma", super::Words, [8, 4, 2]);
super::int8::quantized!(VNNI, "avx2,fma,avxvnni", super::Vnni, [12, 6, 4]);
