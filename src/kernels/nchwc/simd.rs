//! What the kernels need of an instruction set: a register of f32 lanes and its arithmetic.

/// Bytes that come from memory at once.
pub(super) const CACHE_LINE: usize = 64;

/// Asks for a cache line, which will be read soon.
#[inline(always)]
pub(super) fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and it is a hint: nothing is read or written, wherever the line is.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast())
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{line}]", line = in(reg) line, options(nostack, readonly, preserves_flags))
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = line;
}

/// A register of [`Simd::LANES`] f32 values.
///
/// # Safety
/// Every method needs a processor that has the instruction set; `load` and `store` need `LANES` floats at the pointer, of
/// any alignment.
pub(super) trait Simd {
    /// Values in a register; also the channels of a block.
    const LANES: usize;
    /// The register.
    type V: Copy;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// 2 to the power of lanes that hold whole numbers from -126 to 127.
    unsafe fn pow2(n: Self::V) -> Self::V;
    /// `a` where `sign` is not negative, `b` elsewhere.
    unsafe fn by_sign(sign: Self::V, a: Self::V, b: Self::V) -> Self::V;
}
