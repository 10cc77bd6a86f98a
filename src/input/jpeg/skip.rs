//! Reading only the DC coefficients of a sequential scan, stepping over the AC coefficients.

use super::JpegError::{self, Damaged};
use super::bits::{BitReader, EntropyData};
use super::huffman::{HuffmanSpec, HuffmanTable, ValueTable, run_and_size};

/// What decodes one block of an MCU.
#[derive(Clone, Copy)]
pub(super) struct BlockCoder<'a> {
    pub dc_table: &'a ValueTable,
    pub ac_table: &'a SkipTable,
    /// Whether the DC difference is wanted.
    pub wanted: bool,
}

/// Reads the DC differences of the wanted blocks of all MCUs, in the order of the file.
///
/// Each look-up must wait for the one before, which tells where the next code begins. To have two to do at a time, two
/// lanes go through the two halves of the data in step. Where an MCU begins in the middle of the data is not known, but
/// Huffman codes synchronize themselves: after a start at any bit, a decoder soon meets true borders of MCUs (S. T.
/// Klein and Y. Wiseman, "Parallel Huffman decoding with applications to JPEG files", The Computer Journal 46, 2003).
/// When the front lane begins an MCU at the same bit as the back lane once did, all that the back lane read from there
/// on is right.
pub(super) fn dc_differences(
    data: &EntropyData,
    mcu: &[BlockCoder],
    mcus: usize,
    restart_interval: usize,
) -> Result<Vec<i16>, JpegError> {
    let scan = SequentialScan { data, mcu, restart_interval };
    let middle = data.len() / 2;
    let interval = data.interval_at(middle);
    // The bits do not tell when the next restart marker is due, so begin behind one if there are any.
    let split = if restart_interval == 0 { middle } else { data.interval(interval).start };
    let (mut front, mut front_track) = scan.begin(0, 0);
    let (mut back, mut back_track) = scan.begin(interval, split);

    let mut go_on = split > 0;
    while go_on {
        match scan.step(&mut back, &mut back_track) {
            Ok(false) => {}
            Ok(true) => go_on = back_track.mcus() < mcus,
            // Perhaps for want of synchronization; the front lane will see.
            Err(_) => break,
        }
        if scan.step(&mut front, &mut front_track)? {
            go_on &= front_track.mcus() < mcus && front_track.start() < 8 * split;
        }
    }
    let wanted = mcu.iter().filter(|coder| coder.wanted).count();
    while front_track.mcus() < mcus {
        if let Ok(met) = back_track.starts.binary_search(&front_track.start()) {
            while front_track.mcus() + back_track.mcus() - met < mcus {
                scan.step(&mut back, &mut back_track)?;
            }
            front_track.differences.truncate(front_track.mcus() * wanted);
            front_track.differences.extend_from_slice(&back_track.differences[met * wanted..]);
            break;
        }
        while !scan.step(&mut front, &mut front_track)? {}
    }
    front_track.differences.truncate(mcus * wanted);
    Ok(front_track.differences)
}

/// A place in the data of a scan. It owns nothing, so that it can be kept in registers.
#[derive(Clone, Copy)]
struct Lane<'a> {
    bits: BitReader<'a>,
    /// The present block in its MCU.
    block: usize,
    coder: &'a BlockCoder<'a>,
    /// Zigzag position of the next coefficient.
    k: u32,
}

/// What a lane has gone through.
struct Track {
    /// The number of the present restart interval, and the byte where it ends.
    interval: usize,
    interval_end: usize,
    /// At which bit each MCU begins, up to the present one.
    starts: Vec<usize>,
    /// The wanted DC differences.
    differences: Vec<i16>,
}

impl Track {
    /// How many MCUs are complete.
    #[inline(always)]
    fn mcus(&self) -> usize {
        self.starts.len() - 1
    }

    /// At which bit the present MCU begins.
    #[inline(always)]
    fn start(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }
}

/// What the lanes have in common.
struct SequentialScan<'a> {
    data: &'a EntropyData,
    mcu: &'a [BlockCoder<'a>],
    restart_interval: usize,
}

impl<'a> SequentialScan<'a> {
    /// A lane which begins an MCU with byte `at` in restart interval number `interval`.
    fn begin(&self, interval: usize, at: usize) -> (Lane<'a>, Track) {
        let interval_end = self.data.interval(interval).end;
        let bits = self.data.reader(at..interval_end);
        let track = Track { interval, interval_end, starts: vec![8 * at], differences: Vec::new() };
        (Lane { bits, block: 0, coder: &self.mcu[0], k: 0 }, track)
    }

    /// Steps over the next few symbols. Returns whether that ended the MCU.
    #[inline(always)]
    fn step(&self, lane: &mut Lane<'a>, track: &mut Track) -> Result<bool, JpegError> {
        lane.bits.refill();
        if lane.k == 0 {
            let (_, difference) = lane.coder.dc_table.decode(&mut lane.bits)?;
            if lane.coder.wanted {
                track.differences.push(difference as i16);
            }
            lane.k = 1;
            lane.bits.refill();
        }
        for _ in 0..SkipTable::LOOKUPS {
            let entry = u32::from(lane.coder.ac_table.entries[lane.bits.peek(SkipTable::INDEX_BITS)]);
            let next = lane.k + (entry >> 8);
            if next < 64 {
                lane.bits.consume(entry & 0xFF);
                lane.k = next;
                continue;
            }
            // Usable only if the last coefficient is just reached, or the block ends at a coefficient before it.
            if matches!(next, 64 | 129..=191) {
                lane.bits.consume(entry & 0xFF);
            } else {
                (lane.bits, lane.k) = lane.coder.ac_table.skip_symbol(lane.bits, lane.k)?;
                if lane.k < 64 {
                    return Ok(false);
                }
            }
            lane.k = 0;
            lane.block += 1;
            if lane.block < self.mcu.len() {
                lane.coder = &self.mcu[lane.block];
                return Ok(false);
            }
            lane.block = 0;
            lane.coder = &self.mcu[0];
            lane.bits.check()?;
            if self.restart_interval > 0 && track.starts.len().is_multiple_of(self.restart_interval) {
                track.interval += 1;
                let interval = self.data.interval(track.interval);
                track.interval_end = interval.end;
                lane.bits = self.data.reader(interval);
            }
            track.starts.push(8 * track.interval_end - lane.bits.left());
            return Ok(true);
        }
        Ok(false)
    }
}

/// Steps over AC coefficients, mostly several by one look-up.
pub(super) struct SkipTable {
    /// By the next `INDEX_BITS` bits, what all symbols take whose codes are whole in them: the bits in the low byte,
    /// the coefficients in the high one. See `END_OF_BLOCK` and `UNKNOWN`.
    entries: [u16; 1 << Self::INDEX_BITS],
    table: HuffmanTable,
}

impl SkipTable {
    /// The tables of two components fit into a first-level cache of 32 KiB, with room for the DC tables.
    const INDEX_BITS: u32 = 12;
    /// Look-ups to one refill of 56 bits, and bits that each may take at most.
    const LOOKUPS: usize = 3;
    const MAX_BITS: u32 = 18;
    /// Added to the coefficients of an entry whose last symbol ends the block.
    const END_OF_BLOCK: u32 = 128;
    /// The coefficients of an entry without a whole code.
    const UNKNOWN: u32 = 64;

    pub fn new(spec: &HuffmanSpec) -> Self {
        let table = HuffmanTable::new(spec);
        let mut entries = [0; _];
        for (index, entry) in (0u32..).zip(entries.iter_mut()) {
            let (mut bits, mut coefficients) = (0, 0);
            while bits < Self::INDEX_BITS {
                let rest = index << (16 - Self::INDEX_BITS + bits) & 0xFFFF;
                let Some((length, symbol)) = table.find(rest) else { break };
                let (run, size) = run_and_size(symbol);
                let behind = bits + length + size;
                if bits + length > Self::INDEX_BITS || behind > Self::MAX_BITS || coefficients + run + 1 > 63 {
                    break;
                }
                bits = behind;
                if size == 0 && run < 15 {
                    coefficients += Self::END_OF_BLOCK;
                    break;
                }
                coefficients += run + 1;
            }
            if bits == 0 {
                coefficients = Self::UNKNOWN;
            }
            *entry = (coefficients << 8 | bits) as u16;
        }
        Self { entries, table }
    }

    /// Steps over one symbol at zigzag position `k`. Returns the position behind it, 64 at the end of the block.
    #[cold]
    fn skip_symbol<'a>(&self, mut bits: BitReader<'a>, k: u32) -> Result<(BitReader<'a>, u32), JpegError> {
        bits.refill();
        let (run, size) = run_and_size(self.table.decode(&mut bits)?);
        bits.consume(size);
        let next = if size == 0 && run < 15 { 64 } else { k + run + 1 };
        if next > 64 { Err(Damaged("more than 64 coefficients in a block")) } else { Ok((bits, next)) }
    }
}
