//! The inverse discrete cosine transform (T.81, A.3.3).
//!
//! The transform of one row or column is that of C. Loeffler, A. Ligtenberg and G. Moschytz, "Practical fast 1-D DCT
//! algorithms with 11 multiplications" (ICASSP 1989), in integers of the same precision as libjpeg's accurate
//! ("islow") transform. As all roundings are the same, so are the results.

use std::num::Wrapping;

/// Fractional bits of the constants.
const CONSTANT_BITS: usize = 13;
/// Fractional bits kept between the passes over columns and rows.
const PASS_BITS: usize = 2;

/// Values of coefficients that no encoder writes may overflow.
type Int = Wrapping<i32>;

/// Turns quantized coefficients in natural order into the samples of a block.
pub(super) fn idct(coefficients: &[i16; 64], quant: &[u16; 64]) -> [[u8; 8]; 8] {
    // Common in chroma; the result is that of the calculation below.
    if coefficients[1..] == [0; 63] {
        let mean = (i32::from(coefficients[0]) * i32::from(quant[0]) + 4) >> 3;
        return [[mean.saturating_add(128).clamp(0, 255) as u8; 8]; 8];
    }
    let mut columns = [[Wrapping(0); 8]; 8];
    for (x, column) in columns.iter_mut().enumerate() {
        let input: [Int; 8] = std::array::from_fn(|y| {
            let i = 8 * y + x;
            Wrapping(i32::from(coefficients[i])) * Wrapping(i32::from(quant[i]))
        });
        *column = idct_1d(input, CONSTANT_BITS - PASS_BITS);
    }
    std::array::from_fn(|y| {
        // The factor of 8 is that of the two-dimensional transform.
        let row = idct_1d(columns.map(|column| column[y]), CONSTANT_BITS + PASS_BITS + 3);
        row.map(|Wrapping(sample)| sample.saturating_add(128).clamp(0, 255) as u8)
    })
}

/// The inverse transform of one row or column, times the square root of 8, divided by 2 to the power of `shift`.
#[inline(always)]
fn idct_1d(c: [Int; 8], shift: usize) -> [Int; 8] {
    // Even coefficients: a rotation of 2 and 6 by 3/8 of a right angle, butterflies with 0 and 4.
    let z = (c[2] + c[6]) * fixed(0.541_196_100);
    let rotated2 = z + c[2] * fixed(0.765_366_865);
    let rotated6 = z - c[6] * fixed(1.847_759_065);
    let sum04 = (c[0] + c[4]) << CONSTANT_BITS;
    let difference04 = (c[0] - c[4]) << CONSTANT_BITS;
    let even = [sum04 + rotated2, difference04 + rotated6, difference04 - rotated6, sum04 - rotated2];

    // Odd coefficients.
    let z5 = (c[7] + c[3] + c[5] + c[1]) * fixed(1.175_875_602);
    let z1 = (c[7] + c[1]) * fixed(0.899_976_223);
    let z2 = (c[5] + c[3]) * fixed(2.562_915_447);
    let z3 = z5 - (c[7] + c[3]) * fixed(1.961_570_560);
    let z4 = z5 - (c[5] + c[1]) * fixed(0.390_180_644);
    let odd = [
        c[1] * fixed(1.501_321_110) - z1 + z4,
        c[3] * fixed(3.072_711_026) - z2 + z3,
        c[5] * fixed(2.053_119_869) - z2 + z4,
        c[7] * fixed(0.298_631_336) - z1 + z3,
    ];

    let half = Wrapping(1 << (shift - 1));
    std::array::from_fn(|i| {
        let sum = if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] };
        (sum + half) >> shift
    })
}

/// A constant with `CONSTANT_BITS` fractional bits.
const fn fixed(constant: f64) -> Int {
    Wrapping((constant * (1 << CONSTANT_BITS) as f64 + 0.5) as i32)
}
