//! From components to RGB pixels.

/// Converts a row from YCbCr by the formulas of JFIF 1.02, rounded as libjpeg does. `out` gets three bytes a pixel; the
/// other rows are at least as long.
pub(super) fn ycc_to_rgb(luma: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    for (((&y, &cb), &cr), rgb) in luma.iter().zip(cb).zip(cr).zip(out.as_chunks_mut().0) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        *rgb = [
            y + ((cr * fixed(1.402) + HALF) >> SHIFT),
            y + ((HALF - cb * fixed(0.344_14) - cr * fixed(0.714_14)) >> SHIFT),
            y + ((cb * fixed(1.772) + HALF) >> SHIFT),
        ]
        .map(|v| v.clamp(0, 255) as u8);
    }
}

/// Puts three rows together into pixels. `out` gets three bytes a pixel; the other rows are at least as long.
pub(super) fn interleave(red: &[u8], green: &[u8], blue: &[u8], out: &mut [u8]) {
    for (((&r, &g), &b), rgb) in red.iter().zip(green).zip(blue).zip(out.as_chunks_mut().0) {
        *rgb = [r, g, b];
    }
}

/// Fractional bits of the constants.
const SHIFT: usize = 16;
const HALF: i32 = 1 << (SHIFT - 1);

/// A constant with `SHIFT` fractional bits.
const fn fixed(constant: f64) -> i32 {
    (constant * (1 << SHIFT) as f64 + 0.5) as i32
}
