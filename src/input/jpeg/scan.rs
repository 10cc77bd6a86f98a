//! The order of blocks and coefficients in a scan (T.81, A.2 and A.3.6).

use super::JpegError;
use super::bits::BitReader;
use super::header::{Frame, Scan};
use super::segments::Segments;

/// Natural (row by row) index of each coefficient in zigzag order (T.81, Figure A.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// What is done with each block of a scan.
pub(super) trait BlockDecoder {
    /// Reads the block in column `x` and row `y` of the scan's component number `component`. It may lie beyond the
    /// component's own blocks, being one of those that fill up the MCUs at the right and lower edges.
    fn block(&mut self, bits: &mut BitReader, component: usize, x: usize, y: usize) -> Result<(), JpegError>;

    /// Forgets what carries over from block to block, as at each restart marker.
    fn restart(&mut self);
}

/// How a scan is made up of MCUs.
pub(super) struct McuLayout {
    /// Columns and rows of MCUs.
    pub columns: usize,
    pub rows: usize,
    /// For each component of the scan, columns and rows of blocks in an MCU.
    pub blocks: Vec<(usize, usize)>,
}

impl McuLayout {
    pub fn new(frame: &Frame, scan: &Scan) -> Self {
        let components = scan.components.iter().map(|c| &frame.components[c.index]);
        if let [only] = scan.components[..] {
            // The MCU of a scan of one component is one block, whatever its sampling factors.
            let component = &frame.components[only.index];
            return Self { columns: component.blocks_w, rows: component.blocks_h, blocks: vec![(1, 1)] };
        }
        Self { columns: frame.mcus_w, rows: frame.mcus_h, blocks: components.map(|c| (c.h, c.v)).collect() }
    }
}

/// Reads all blocks of the scan whose data come next, and steps behind them.
pub(super) fn decode_scan(
    segments: &mut Segments,
    scan: &Scan,
    decoder: &mut impl BlockDecoder,
) -> Result<(), JpegError> {
    let layout = McuLayout::new(segments.frame()?, scan);
    let data = segments.entropy_data()?;
    let mut interval = 0;
    let mut bits = data.reader(data.interval(interval));
    let mut until_restart = segments.restart_interval;
    for mcu_y in 0..layout.rows {
        for mcu_x in 0..layout.columns {
            if segments.restart_interval > 0 {
                if until_restart == 0 {
                    bits.check()?;
                    interval += 1;
                    bits = data.reader(data.interval(interval));
                    decoder.restart();
                    until_restart = segments.restart_interval;
                }
                until_restart -= 1;
            }
            for (component, &(columns, rows)) in layout.blocks.iter().enumerate() {
                for y in 0..rows {
                    for x in 0..columns {
                        decoder.block(&mut bits, component, mcu_x * columns + x, mcu_y * rows + y)?;
                    }
                }
            }
        }
        bits.check()?;
    }
    Ok(())
}
