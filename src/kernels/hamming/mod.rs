//! Hamming distances between binary codes of `W` words of 64 bits: which codes are near which queries.

#![allow(unsafe_code)] // vector loads, and calls of functions compiled for an instruction set that was detected

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use crate::kernels::isa::{self, Isa};
use std::ops::Range;

/// Hamming distance of two codes: the number of bits in which they differ, `0..=64 * W`.
pub fn distance<const W: usize>(a: &[u64; W], b: &[u64; W]) -> u32 {
    difference(a, b).iter().map(|word| word.count_ones()).sum()
}

/// The bits in which two codes differ.
pub fn difference<const W: usize>(a: &[u64; W], b: &[u64; W]) -> [u64; W] {
    std::array::from_fn(|word| a[word] ^ b[word])
}

/// Codes stored word by word: one column with the first word of every code, one with the second, and so on,
/// so that a vector register takes the same word of consecutive codes in one load.
#[derive(Clone, Debug)]
pub struct Codes<const W: usize> {
    /// All of one length: [`CodesView`] and the kernels rely on it.
    columns: [Vec<u64>; W],
}

impl<const W: usize> Default for Codes<W> {
    fn default() -> Self {
        Self { columns: [const { Vec::new() }; W] }
    }
}

impl<const W: usize> FromIterator<[u64; W]> for Codes<W> {
    fn from_iter<I: IntoIterator<Item = [u64; W]>>(codes: I) -> Self {
        let mut stored = Self::default();
        for code in codes {
            for (column, word) in stored.columns.iter_mut().zip(code) {
                column.push(word);
            }
        }
        stored
    }
}

impl<const W: usize> Codes<W> {
    /// Number of codes.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no codes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes the number of codes; new ones are all zeros.
    pub fn resize(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.resize(len, 0));
    }

    /// Overwrites the code at `position`, which must be below [`len`](Self::len).
    pub fn set(&mut self, position: usize, code: [u64; W]) {
        for (column, word) in self.columns.iter_mut().zip(code) {
            column[position] = word;
        }
    }

    /// All codes, borrowed.
    pub fn view(&self) -> CodesView<'_, W> {
        CodesView { columns: std::array::from_fn(|word| self.columns[word].as_slice()) }
    }
}

/// A run of consecutive [`Codes`], borrowed.
#[derive(Clone, Copy, Debug)]
pub struct CodesView<'a, const W: usize> {
    /// All of one length: the kernels rely on it.
    columns: [&'a [u64]; W],
}

impl<'a, const W: usize> CodesView<'a, W> {
    /// Number of codes.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |column| column.len())
    }

    /// Whether there are no codes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The code at `position`, which must be below [`len`](Self::len).
    pub fn get(&self, position: usize) -> [u64; W] {
        std::array::from_fn(|word| self.columns[word][position])
    }

    /// The codes at the positions of `range`, which must lie within `0..len`.
    pub fn slice(&self, range: Range<usize>) -> CodesView<'a, W> {
        CodesView { columns: std::array::from_fn(|word| &self.columns[word][range.clone()]) }
    }

    /// All codes in order.
    pub fn iter(self) -> impl Iterator<Item = [u64; W]> + 'a {
        (0..self.len()).map(move |position| self.get(position))
    }

    /// `N` consecutive codes from `start`.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn block<const N: usize>(&self, start: usize) -> [[u64; W]; N] {
        std::array::from_fn(|offset| self.get(start + offset))
    }
}

/// A query and a code that are near each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Position among the queries.
    pub query: u32,
    /// Position among the codes.
    pub code: u32,
    /// Their Hamming distance.
    pub distance: u32,
}

/// Which pairs of a query and a code count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// All of two sets.
    Between,
    /// Within one set those with the query before the code: each pair once and none of a code with itself.
    Within,
}

impl Scope {
    /// The first code that counts for the queries from position `row` on.
    fn first_code(self, row: usize) -> usize {
        if self == Scope::Between { 0 } else { row + 1 }
    }

    /// Appends a hit if it counts.
    fn push(self, query: usize, code: usize, distance: u32, hits: &mut Vec<Hit>) {
        if self.first_code(query) <= code {
            hits.push(Hit { query: query as u32, code: code as u32, distance });
        }
    }
}

/// The distance kernel of one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Always one that this machine has: `near` relies on it.
    isa: Isa,
}

impl Default for Kernel {
    /// The kernel for [`isa::isa`].
    fn default() -> Self {
        Self::new(isa::isa())
    }
}

impl Kernel {
    /// The kernel for `isa`, or for the best lower instruction set that the machine has.
    pub fn new(isa: Isa) -> Self {
        Self { isa: isa.or_lower() }
    }

    /// The instruction set that it uses.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// Appends to `hits` every query and code with a Hamming distance of at most `threshold` bits, in no
    /// particular order. Either side holds fewer than 2^32 codes.
    pub fn near<const W: usize>(
        self,
        queries: CodesView<'_, W>,
        codes: CodesView<'_, W>,
        threshold: u32,
        hits: &mut Vec<Hit>,
    ) {
        self.run(queries, codes, Scope::Between, threshold, hits);
    }

    /// As [`near`](Self::near) of `codes` among each other, each pair once: as a query and a code behind it.
    pub fn near_within<const W: usize>(self, codes: CodesView<'_, W>, threshold: u32, hits: &mut Vec<Hit>) {
        self.run(codes, codes, Scope::Within, threshold, hits);
    }

    fn run<const W: usize>(
        self,
        queries: CodesView<'_, W>,
        codes: CodesView<'_, W>,
        scope: Scope,
        threshold: u32,
        hits: &mut Vec<Hit>,
    ) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` keeps only an instruction set that this machine has.
            Isa::Avx512 => unsafe { avx512::near(queries, codes, scope, threshold, hits) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { avx2::near(queries, codes, scope, threshold, hits) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Isa::Neon => unsafe { neon::near(queries, codes, scope, threshold, hits) },
            _ => scalar::near(queries, codes, scope, threshold, hits),
        }
    }
}

#[cfg(test)]
mod tests;
