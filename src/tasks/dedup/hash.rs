//! Perceptual hashes: few bits that stay nearly the same when a picture is made smaller, compressed or brightened.

use crate::error::Result;
use crate::image::Gray;
use crate::preprocess::overview::Overview;
use image::metadata::Orientation;
use std::f64::consts::PI;

/// How a picture becomes bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Is a pixel brighter than its left neighbour? On 9 x 8 pixels, 17 x 16 for 256 bits (Krawetz 2013, "Kind of Like
    /// That").
    Dhash,
    /// Is a coefficient of the lowest frequencies, of the cosine transform of 32 x 32 pixels, above their median? (Zauner
    /// 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"; constants as in imagededup.) 64 x 64
    /// pixels for 256 bits.
    Phash,
    /// Is the mean of a block above the median of the blocks in its quarter of the picture? (Yang, Gu, Niu 2006, "Block
    /// Mean Value Based Image Perceptual Hashing"; quarters as in blockhash.io), on luma.
    Blockhash,
}

impl Method {
    /// The method of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Method::Dhash, Method::Phash, Method::Blockhash].into_iter().find(|m| m.name() == name)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Dhash => "dhash",
            Method::Phash => "phash",
            Method::Blockhash => "blockhash",
        }
    }
}

/// Sides of the square of bits in a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// 8 x 8.
    B64,
    /// 16 x 16.
    B256,
}

impl Bits {
    /// Rows and columns of bits.
    pub fn side(self) -> usize {
        match self {
            Bits::B64 => 8,
            Bits::B256 => 16,
        }
    }
}

/// A perceptual hash. The first bit (top left, or lowest frequency) is the highest of the first word; 64-bit hashes leave
/// the other words zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u64; 4]);

impl Hash {
    /// Bits that differ.
    pub fn distance(&self, other: &Hash) -> u32 {
        self.0.iter().zip(other.0).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// As imagededup writes it: 16 hexadecimal digits for 64 bits, 64 for 256.
    pub fn hex(&self, bits: Bits) -> String {
        let words = bits.side() * bits.side() / 64;
        self.0[..words].iter().map(|w| format!("{w:016x}")).collect()
    }

    /// A hash from 16 or 64 hexadecimal digits, with its size.
    pub fn parse(hex: &str) -> Option<(Hash, Bits)> {
        let bits = match hex.len() {
            16 => Bits::B64,
            64 => Bits::B256,
            _ => return None,
        };
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = Hash::default();
        for (word, digits) in hash.0.iter_mut().zip(hex.as_bytes().chunks(16)) {
            *word = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some((hash, bits))
    }

    fn collect(bits: impl Iterator<Item = bool>) -> Hash {
        let mut hash = Hash::default();
        for (i, _) in bits.enumerate().filter(|(_, bit)| *bit) {
            hash.0[i / 64] |= 1 << (63 - i % 64);
        }
        hash
    }
}

/// The hash of a photograph as seen and then turned by `turn`.
pub fn hash(overview: &Overview, method: Method, bits: Bits, turn: Orientation) -> Result<Hash> {
    let n = bits.side();
    Ok(match method {
        Method::Dhash => dhash(&overview.at(n + 1, n, turn)?),
        Method::Phash => phash(&overview.at(4 * n, 4 * n, turn)?, n),
        Method::Blockhash => blockhash(&overview.at(64, 64, turn)?, n),
    })
}

fn dhash(small: &Gray) -> Hash {
    Hash::collect(small.data.chunks_exact(small.width).flat_map(|row| row.windows(2).map(|p| p[1] > p[0])))
}

fn phash(small: &Gray, n: usize) -> Hash {
    let size = small.width;
    // The lowest n frequencies of the cosine transform (DCT-II, not normalised), first down the columns, then along rows.
    let cosine = |k: usize, i: usize| (PI / size as f64 * (i as f64 + 0.5) * k as f64).cos();
    let basis: Vec<f64> = (0..n * size).map(|i| 2.0 * cosine(i / size, i % size)).collect();
    let mut tall = vec![0.0; n * size];
    for (out, waves) in tall.chunks_exact_mut(size).zip(basis.chunks_exact(size)) {
        for (row, wave) in small.data.chunks_exact(size).zip(waves) {
            out.iter_mut().zip(row).for_each(|(o, &v)| *o += wave * f64::from(v));
        }
    }
    let dot = |row: &[f64], waves: &[f64]| row.iter().zip(waves).map(|(a, b)| a * b).sum::<f64>();
    let coefficients: Vec<f64> =
        tall.chunks_exact(size).flat_map(|row| basis.chunks_exact(size).map(move |w| dot(row, w))).collect();
    // The mean of the picture is no part of the median.
    let median = median(&coefficients[1..]);
    Hash::collect(coefficients.iter().map(|&c| c >= median))
}

fn blockhash(small: &Gray, n: usize) -> Hash {
    let side = small.width / n;
    let mut blocks = vec![0.0; n * n];
    for (i, &v) in small.data.iter().enumerate() {
        blocks[i / small.width / side * n + i % small.width / side] += f64::from(v) / (side * side) as f64;
    }
    let quarter = n * n / 4;
    let medians: Vec<f64> = blocks.chunks_exact(quarter).map(median).collect();
    // Blocks at the median itself, as whole areas of one colour are, are bright or dark by the middle gray.
    let bright = |v: f64, median: f64| if (v - median).abs() < 1e-3 { median > 127.5 } else { v > median };
    Hash::collect(blocks.iter().enumerate().map(|(i, &v)| bright(v, medians[i / quarter])))
}

/// The middle of `values`, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_there_and_back() {
        let hash = Hash([0x0123_4567_89ab_cdef, 0, u64::MAX, 1]);
        assert_eq!(Hash::parse(&hash.hex(Bits::B256)), Some((hash, Bits::B256)));
        assert_eq!(hash.hex(Bits::B64), "0123456789abcdef");
        for bad in ["", "0123456789abcde", "0123456789abcdeg", "+123456789abcdef"] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn bits_lie_row_by_row_from_the_top() {
        // Bright to the right in the top row only.
        let data = (0..72).map(|i| if i < 9 { i as f32 } else { 0.0 }).collect();
        assert_eq!(dhash(&Gray { width: 9, height: 8, data }).0[0], 0xff00_0000_0000_0000);
        // The left half bright: the blocks of each row are 11110000.
        let data = (0..4096).map(|i| if i % 64 < 32 { 200.0 } else { 10.0 }).collect();
        assert_eq!(blockhash(&Gray { width: 64, height: 64, data }, 8).0[0], 0xf0f0_f0f0_f0f0_f0f0);
    }

    #[test]
    fn phash_sees_the_frequency() {
        // One wave of the third frequency along the rows: its coefficient is the largest by far.
        let wave = |x: usize| 128.0 + 100.0 * (PI / 32.0 * (x as f64 + 0.5) * 3.0).cos();
        let small = Gray { width: 32, height: 32, data: (0..1024).map(|i| wave(i % 32) as f32).collect() };
        assert_eq!(phash(&small, 8).0[0] >> 60 & 1, 1);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
