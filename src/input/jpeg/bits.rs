//! Entropy-coded data and their bits.

use super::JpegError::{self, Damaged};
use super::segments::find_ff;
use std::ops::Range;

/// The entropy-coded data of a scan, without byte stuffing (T.81, B.1.1.5).
pub(super) struct EntropyData {
    bytes: Vec<u8>,
    /// Where each restart interval ends in `bytes`.
    ends: Vec<usize>,
}

impl EntropyData {
    /// Takes the data that `file` begins with. Also returns where they end in `file`.
    pub fn new(file: &[u8]) -> Result<(Self, usize), JpegError> {
        let mut data = Self { bytes: Vec::with_capacity(file.len()), ends: Vec::new() };
        let mut at = 0;
        loop {
            let rest = &file[at..];
            let (clean, rest) = rest.split_at(find_ff(rest).unwrap_or(rest.len()));
            data.bytes.extend_from_slice(clean);
            // Any number of 0xFF may precede a marker.
            let fill = rest.iter().take_while(|&&b| b == 0xFF).count();
            match rest.get(fill) {
                Some(0) => data.bytes.push(0xFF),
                Some(&marker @ 0xD0..=0xD7) => {
                    if usize::from(marker & 7) != data.ends.len() % 8 {
                        return Err(Damaged("misnumbered restart marker"));
                    }
                    data.ends.push(data.bytes.len());
                }
                _ => {
                    data.ends.push(data.bytes.len());
                    return Ok((data, at + clean.len()));
                }
            }
            at += clean.len() + fill + 1;
        }
    }

    /// The bytes of restart interval number `index`; none if there is no such interval.
    pub fn interval(&self, index: usize) -> Range<usize> {
        let end_of = |i: usize| self.ends.get(i).copied().unwrap_or(self.bytes.len());
        if index == 0 { 0..end_of(0) } else { end_of(index - 1)..end_of(index) }
    }

    /// The number of the restart interval that holds byte `at`.
    pub fn interval_at(&self, at: usize) -> usize {
        self.ends.partition_point(|&end| end <= at)
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn reader(&self, range: Range<usize>) -> BitReader<'_> {
        BitReader { rest: self.bytes.get(range).unwrap_or_default(), bits: 0, count: 0, padding: 0 }
    }
}

/// A reader of bits, the first one in the highest place of a byte.
///
/// Reading past the end yields zeros; [`BitReader::check`] tells.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    /// The bytes not yet loaded into `bits` in full.
    rest: &'a [u8],
    /// Bits to come, the next one in the highest place.
    bits: u64,
    /// How many of `bits` are loaded, 0..=63.
    count: u64,
    /// How many zero bits were loaded behind the end.
    padding: u64,
}

impl BitReader<'_> {
    /// Loads bits, so that at least 56 can be read.
    #[inline(always)]
    pub fn refill(&mut self) {
        // The mask tells the compiler that the chunk below is long enough.
        let bytes = ((63 - self.count) >> 3 & 7) as usize;
        if let Some(&chunk) = self.rest.first_chunk() {
            // Bits below `count` may be loaded in part here, and are then loaded again with the same value.
            self.bits |= u64::from_be_bytes(chunk) >> (self.count & 63);
            self.rest = &self.rest[bytes..];
        } else {
            // A copy, because a reader that a function gets by reference is kept out of the registers.
            *self = self.refilled_at_end(bytes);
        }
        self.count |= 56;
    }

    #[cold]
    fn refilled_at_end(mut self, bytes: usize) -> Self {
        let mut chunk = [0; 8];
        chunk[..self.rest.len()].copy_from_slice(self.rest);
        self.bits |= u64::from_be_bytes(chunk) >> (self.count & 63);
        let taken = bytes.min(self.rest.len());
        self.rest = &self.rest[taken..];
        self.padding += 8 * (bytes - taken) as u64;
        self
    }

    /// The next `n` bits, 1..=32, without consuming them. They must be loaded.
    #[inline(always)]
    pub fn peek(&self, n: u32) -> usize {
        (self.bits >> (64 - n)) as usize
    }

    /// Steps over `n` loaded bits.
    #[inline(always)]
    pub fn consume(&mut self, n: u32) {
        self.bits <<= n & 63;
        self.count -= u64::from(n);
    }

    /// Reads `n` loaded bits, 0..=16.
    #[inline(always)]
    pub fn receive(&mut self, n: u32) -> i32 {
        // Two shifts, since one by 64 is not defined.
        let value = (self.bits >> 1 >> (63 - n)) as i32;
        self.consume(n);
        value
    }

    /// Reads a difference or coefficient of category `n`, 0..=16.
    #[inline(always)]
    pub fn receive_extend(&mut self, n: u32) -> i32 {
        extend(self.receive(n), n)
    }

    /// Bits to come before the end.
    pub fn left(&self) -> usize {
        8 * self.rest.len() + self.count.saturating_sub(self.padding) as usize
    }

    /// Fails if bits behind the end were consumed.
    pub fn check(&self) -> Result<(), JpegError> {
        if self.padding > self.count { Err(Damaged("scan data ends too early")) } else { Ok(()) }
    }
}

/// The value that `bits` stand for in category `n` (EXTEND of T.81, F.2.2.1): the upper half of the range as it is, the
/// lower half negative.
#[inline(always)]
pub(super) fn extend(bits: i32, n: u32) -> i32 {
    if bits < (1 << n) >> 1 { bits + 1 - (1 << n) } else { bits }
}
