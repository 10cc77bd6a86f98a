//! Huffman codes (T.81, Annex C and F.2.2.3).

use super::JpegError::{self, Damaged};
use super::bits::{BitReader, extend};
use std::ops::RangeInclusive;

/// A Huffman table as the file gives it.
#[derive(Clone)]
pub(super) struct HuffmanSpec {
    /// How many codes there are of each length 1..=16 (BITS).
    counts: [u8; 16],
    /// The symbols in the order of their codes (HUFFVAL).
    symbols: Vec<u8>,
}

impl HuffmanSpec {
    pub fn new(counts: [u8; 16], symbols: &[u8]) -> Result<Self, JpegError> {
        // How many codes of the present length are free. One must be, as no code is all ones.
        let mut free = 1;
        for &n in &counts {
            free = 2 * free - i32::from(n);
            if free <= 0 {
                return Err(Damaged("Huffman table with too many codes"));
            }
        }
        if symbols.len() > 256 {
            return Err(Damaged("Huffman table with more than 256 codes"));
        }
        Ok(Self { counts, symbols: symbols.to_vec() })
    }
}

/// A Huffman table made ready for decoding, symbol by symbol.
pub(super) struct HuffmanTable {
    /// By the next `LOOKUP_BITS` bits: the code's length in the high byte, its symbol in the low one; 0 where the code
    /// is longer than the index.
    lookup: [u16; 1 << Self::LOOKUP_BITS],
    /// For each length 1..=16, the end of its codes and of the shorter ones, filled up to 16 bits.
    ends: [u32; 16],
    /// For each length, the index of its first code's symbol, less that code.
    offsets: [i32; 16],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    const LOOKUP_BITS: u32 = 9;

    pub fn new(spec: &HuffmanSpec) -> Self {
        let mut table = Self { lookup: [0; _], ends: [0; 16], offsets: [0; 16], symbols: spec.symbols.clone() };
        let (mut code, mut index) = (0, 0);
        for (i, &count) in spec.counts.iter().enumerate() {
            table.offsets[i] = index - code;
            code += i32::from(count);
            index += i32::from(count);
            table.ends[i] = (code as u32) << (15 - i);
            code *= 2;
        }
        for index in 0..table.lookup.len() {
            let next = (index as u32) << (16 - Self::LOOKUP_BITS);
            if let Some((length, symbol)) = table.find_code(next, 1..=Self::LOOKUP_BITS) {
                table.lookup[index] = (length << 8) as u16 | u16::from(symbol);
            }
        }
        table
    }

    /// Length and symbol of the code that the 16 bits `next` begin with.
    #[inline]
    pub fn find(&self, next: u32) -> Option<(u32, u8)> {
        match self.lookup[(next >> (16 - Self::LOOKUP_BITS)) as usize & (self.lookup.len() - 1)] {
            0 => self.find_code(next, Self::LOOKUP_BITS + 1..=16),
            entry => Some((u32::from(entry >> 8), entry as u8)),
        }
    }

    /// Looks for the code among those of certain lengths; it must not be shorter.
    fn find_code(&self, next: u32, mut lengths: RangeInclusive<u32>) -> Option<(u32, u8)> {
        let length = lengths.find(|&n| next < self.ends[n as usize - 1])?;
        let code = (next >> (16 - length)) as i32;
        let symbol = self.symbols.get((code + self.offsets[length as usize - 1]) as usize)?;
        Some((length, *symbol))
    }

    /// Reads one symbol, of at most 16 bits, which must be loaded.
    #[inline]
    pub fn decode(&self, bits: &mut BitReader) -> Result<u8, JpegError> {
        let (length, symbol) = self.find(bits.peek(16) as u32).ok_or(Damaged("invalid Huffman code"))?;
        bits.consume(length);
        Ok(symbol)
    }
}

/// A Huffman table made ready for decoding codes together with the values that follow them, mostly by one look-up.
pub(super) struct ValueTable {
    /// By the next `LOOKUP_BITS` bits: a value in the high half, the run of zeros before it, and in the low byte the
    /// bits that both take; 0 where they take more than the index.
    lookup: [u32; 1 << Self::LOOKUP_BITS],
    table: HuffmanTable,
}

impl ValueTable {
    const LOOKUP_BITS: u32 = 10;

    pub fn for_ac(spec: &HuffmanSpec) -> Self {
        let mut table = Self { lookup: [0; _], table: HuffmanTable::new(spec) };
        for (index, entry) in (0..).zip(table.lookup.iter_mut()) {
            let Some((length, symbol)) = table.table.find(index << (16 - Self::LOOKUP_BITS)) else { continue };
            let (run, size) = run_and_size(symbol);
            let total = length + size;
            if total <= Self::LOOKUP_BITS {
                let value = extend((index >> (Self::LOOKUP_BITS - total)) as i32 & ((1 << size) - 1), size);
                *entry = (value as u32) << 16 | run << 8 | total;
            }
        }
        table
    }

    /// The table for DC differences, which have no runs.
    pub fn for_dc(spec: &HuffmanSpec) -> Result<Self, JpegError> {
        if spec.symbols.iter().any(|&category| category > 15) {
            return Err(Damaged("DC Huffman table with a category above 15"));
        }
        Ok(Self::for_ac(spec))
    }

    /// Reads a run of zeros, 0..=15, and the value behind it, which is 0 only if its size is. At least 31 bits must be
    /// loaded.
    #[inline(always)]
    pub fn decode(&self, bits: &mut BitReader) -> Result<(u32, i32), JpegError> {
        let entry = self.lookup[bits.peek(Self::LOOKUP_BITS)];
        if entry == 0 {
            // A copy, because a reader that a function gets by reference is kept out of the registers.
            let (behind, run, value) = self.decode_long(*bits)?;
            *bits = behind;
            return Ok((run, value));
        }
        bits.consume(entry & 0xFF);
        Ok((entry >> 8 & 15, entry as i32 >> 16))
    }

    #[cold]
    fn decode_long<'a>(&self, mut bits: BitReader<'a>) -> Result<(BitReader<'a>, u32, i32), JpegError> {
        let (run, size) = run_and_size(self.table.decode(&mut bits)?);
        let value = bits.receive_extend(size);
        Ok((bits, run, value))
    }
}

/// The halves of the symbol before an AC coefficient (T.81, F.1.2.2.1): how many zeros come first, and how many bits
/// give the coefficient itself.
#[inline]
pub(super) fn run_and_size(symbol: u8) -> (u32, u32) {
    (u32::from(symbol >> 4), u32::from(symbol & 15))
}
