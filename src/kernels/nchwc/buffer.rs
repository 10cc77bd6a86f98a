//! Where feature maps lie in memory.

use std::ops::{Deref, DerefMut};

/// Floats that begin at a cache line, so that a register of 64 bytes never straddles two.
#[derive(Default)]
pub struct Buffer {
    floats: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let floats = vec![0f32; len + 16];
        let start = floats.as_ptr().align_offset(64).min(16);
        Buffer { floats, start, len }
    }
}

/// Floats as the bytes that they take: where maps of codes lie in memory that is planned in floats.
pub fn bytes(floats: &[f32]) -> &[u8] {
    // SAFETY: the same memory; a byte has no alignment and takes any value.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) }
}

/// As [`bytes`], to write them.
pub fn bytes_mut(floats: &mut [f32]) -> &mut [u8] {
    // SAFETY: as above; any four bytes are a float.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats)) }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Buffer::zeros(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        // Not where the other one's begins: another piece of memory is aligned otherwise.
        Buffer::from(&self[..])
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.floats[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.start..self.start + self.len]
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} floats)", self.len)
    }
}

/// How a feature map of one picture lies in a slice, of floats or of codes: `[block][row][column][lane]`, with a border around
/// each block's pixels. Lengths are in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Channels; the last block may have fewer than the others.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels of a block.
    pub lanes: usize,
    /// Rows of border above.
    pub top: usize,
    /// Columns of border on the left.
    pub left: usize,
    /// Rows of border below.
    pub bottom: usize,
    /// Columns of border on the right.
    pub right: usize,
}

impl Layout {
    /// Without a border.
    pub fn new(channels: usize, height: usize, width: usize, lanes: usize) -> Self {
        Layout { channels, height, width, lanes, top: 0, left: 0, bottom: 0, right: 0 }
    }

    /// Blocks of channels.
    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(self.lanes)
    }

    /// Elements from one row to the next.
    pub fn row(&self) -> usize {
        (self.left + self.width + self.right) * self.lanes
    }

    /// Elements from one block to the next.
    pub fn plane(&self) -> usize {
        (self.top + self.height + self.bottom) * self.row()
    }

    /// Elements in all.
    pub fn len(&self) -> usize {
        self.blocks() * self.plane()
    }

    /// [`Layout::len`], if that is less than 2^32: what the arithmetic here stands for without overflow.
    pub fn checked_len(&self) -> Option<usize> {
        let sides = [self.top, self.height, self.bottom, self.left, self.width, self.right, self.channels, self.lanes];
        if sides.iter().any(|s| *s >= 1 << 31) || self.lanes == 0 {
            return None;
        }
        let rows = (self.top + self.height + self.bottom) as u128;
        let len = self.blocks() as u128 * rows * (self.left + self.width + self.right) as u128 * self.lanes as u128;
        usize::try_from(len).ok().filter(|_| len < 1 << 32)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a pixel begins.
    pub fn at(&self, block: usize, row: usize, column: usize) -> usize {
        block * self.plane() + (self.top + row) * self.row() + (self.left + column) * self.lanes
    }

    /// The pixels of one row of a block.
    pub fn pixels(&self, block: usize, row: usize) -> std::ops::Range<usize> {
        let start = self.at(block, row, 0);
        start..start + self.width * self.lanes
    }

    /// Whether any border exists.
    pub fn has_border(&self) -> bool {
        self.top + self.left + self.bottom + self.right > 0
    }

    /// This one with a border at least as wide as that of `other`.
    pub fn widened(self, other: &Layout) -> Self {
        Layout {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
            ..self
        }
    }

    /// Fills the border with `value`.
    pub fn fill_border<T: Copy>(&self, map: &mut [T], value: T) {
        if !self.has_border() || self.plane() == 0 {
            return;
        }
        let (row, left, right) = (self.row(), self.left * self.lanes, self.right * self.lanes);
        for plane in map[..self.len()].chunks_exact_mut(self.plane()) {
            plane[..self.top * row].fill(value);
            plane[(self.top + self.height) * row..].fill(value);
            for line in plane[self.top * row..(self.top + self.height) * row].chunks_exact_mut(row) {
                line[..left].fill(value);
                line[row - right..].fill(value);
            }
        }
    }
}
