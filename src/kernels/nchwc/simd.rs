//! What the kernels need of an instruction set: a register of f32 lanes and its arithmetic.

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
