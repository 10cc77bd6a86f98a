//! Codes cut in blocks of bits, and choices of blocks to sort by.

/// The blocks that cover all bits of a code.
#[derive(Clone, Debug)]
pub(super) struct Blocks<const W: usize> {
    blocks: Vec<Block<W>>,
}

/// A run of consecutive bits.
#[derive(Clone, Copy, Debug)]
struct Block<const W: usize> {
    /// First bit; bit `b` is bit `b % 64` of word `b / 64`.
    start: u32,
    /// Number of bits.
    bits: u32,
    /// Ones at the bits of the block.
    mask: [u64; W],
}

impl<const W: usize> Block<W> {
    fn new(start: u32, bits: u32) -> Self {
        let mut mask = [0; W];
        for bit in start..start + bits {
            mask[bit as usize / 64] |= 1 << (bit % 64);
        }
        Self { start, bits, mask }
    }

    /// Whether two codes with this difference agree in the block.
    fn agrees(&self, difference: &[u64; W]) -> bool {
        self.mask.iter().zip(difference).fold(0, |ones, (mask, word)| ones | (mask & word)) == 0
    }
}

impl<const W: usize> Blocks<W> {
    /// `count` blocks (`1..=64 * W`) whose lengths differ by at most one bit.
    pub(super) fn even(count: u32) -> Self {
        let bound = |block: u32| block * 64 * W as u32 / count;
        Self { blocks: (0..count).map(|block| Block::new(bound(block), bound(block + 1) - bound(block))).collect() }
    }

    /// All choices of `chosen` blocks in lexicographic order, with keys of at most `max_key_bits` bits.
    pub(super) fn choices(&self, chosen: u32, max_key_bits: u32) -> Vec<Choice<W>> {
        combinations(self.blocks.len(), chosen as usize)
            .into_iter()
            .map(|members| Choice::new(&self.blocks, &members, max_key_bits))
            .collect()
    }
}

/// The subsets of `0..count` with `size` members, in lexicographic order.
fn combinations(count: usize, size: usize) -> Vec<Vec<usize>> {
    let mut members: Vec<usize> = (0..size).collect();
    let mut all = Vec::new();
    while members.last().is_some_and(|&last| last < count) {
        all.push(members.clone());
        // Advance the last member that has room and restart those behind it; past the end it leaves the range.
        let advance = (0..size).rev().find(|&at| members[at] + size - at < count).unwrap_or(0);
        let next = members[advance] + 1;
        members[advance..].iter_mut().zip(next..).for_each(|(member, value)| *member = value);
    }
    all
}

/// Some of the blocks: codes that agree in all of them have the same key.
#[derive(Clone, Debug)]
pub(super) struct Choice<const W: usize> {
    /// The blocks up to the last chosen one, and whether each is chosen.
    blocks: Vec<(Block<W>, bool)>,
    /// The leading bits of the chosen blocks that make up the key.
    fields: Vec<Block<W>>,
    key_bits: u32,
}

impl<const W: usize> Choice<W> {
    fn new(blocks: &[Block<W>], members: &[usize], max_key_bits: u32) -> Self {
        let mut fields = Vec::new();
        let mut left = max_key_bits;
        for (at, &member) in members.iter().enumerate() {
            let Block { start, bits, .. } = blocks[member];
            let bits = bits.min(left.div_ceil((members.len() - at) as u32));
            left -= bits;
            fields.push(Block::new(start, bits));
        }
        let last = members.last().map_or(0, |last| last + 1);
        let blocks = blocks[..last].iter().enumerate().map(|(at, block)| (*block, members.contains(&at))).collect();
        Self { blocks, fields, key_bits: max_key_bits - left }
    }

    /// Length of the keys in bits.
    pub(super) fn key_bits(&self) -> u32 {
        self.key_bits
    }

    /// The bits of the chosen blocks, as many of them as the key has room for.
    pub(super) fn key(&self, code: &[u64; W]) -> u32 {
        let mut key = 0;
        for Block { start, bits, .. } in &self.fields {
            let (word, shift) = ((start / 64) as usize, start % 64);
            let mut field = code[word] >> shift;
            if shift + bits > 64 {
                field |= code[word + 1] << (64 - shift);
            }
            key = key << bits | (field as u32 & ((1 << bits) - 1));
        }
        key
    }

    /// Whether this is the first choice, in lexicographic order, in which two codes with this difference agree: then
    /// they agree in the chosen blocks and in none that was passed over.
    pub(super) fn is_first(&self, difference: &[u64; W]) -> bool {
        self.blocks.iter().all(|(block, chosen)| block.agrees(difference) == *chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_in_lexicographic_order() {
        assert_eq!(combinations(4, 2), [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]);
        assert_eq!(combinations(3, 3), [[0, 1, 2]]);
        assert_eq!(combinations(3, 1), [[0], [1], [2]]);
        assert_eq!(combinations(9, 4).len(), 126);
        assert!(combinations(2, 3).is_empty());
    }

    #[test]
    fn blocks_cover_every_bit_once() {
        for count in 1..=256 {
            let mut seen = [0; 4];
            for block in Blocks::<4>::even(count).blocks {
                assert_eq!(block.mask.iter().map(|word| word.count_ones()).sum::<u32>(), block.bits);
                seen.iter_mut().zip(block.mask).for_each(|(seen, word)| *seen ^= word);
            }
            assert_eq!(seen, [u64::MAX; 4]);
        }
    }

    #[test]
    fn keys_take_bits_across_words() {
        // Block 1 of 5 covers bits 51..102.
        let choice = &Blocks::<4>::even(5).choices(1, 20)[1];
        assert_eq!(choice.key_bits(), 20);
        assert_eq!(choice.key(&[1 << 51 | 1 << 63, 1, 0, 0]), 1 | 1 << 12 | 1 << 13);
    }
}
