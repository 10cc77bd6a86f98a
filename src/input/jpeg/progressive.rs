//! The scans of progressive files (T.81, Annex G).

use super::JpegError::{self, Damaged};
use super::bits::BitReader;
use super::dc::DcPlane;
use super::full::TOO_MANY;
use super::header::Scan;
use super::huffman::{HuffmanTable, ValueTable, run_and_size};
use super::scan::{BlockDecoder, ZIGZAG, decode_scan};
use super::segments::Segments;
use std::ops::RangeInclusive;

/// Reads a scan of DC coefficients. There must be a plane for each component of the frame.
pub(super) fn decode_dc(segments: &mut Segments, scan: &Scan, planes: &mut [&mut DcPlane]) -> Result<(), JpegError> {
    let components: Vec<usize> = scan.components.iter().map(|c| c.index).collect();
    let low_bit = u32::from(scan.approx_low);
    if scan.approx_high > 0 {
        return decode_scan(segments, scan, &mut DcRefinement { planes, components, low_bit });
    }
    let tables =
        scan.components.iter().map(|&c| ValueTable::for_dc(segments.dc_table(c)?)).collect::<Result<_, _>>()?;
    let predictions = vec![0; components.len()];
    decode_scan(segments, scan, &mut DcFirst { planes, components, tables, predictions, low_bit })
}

/// The first scan of DC coefficients (G.1.2.1).
struct DcFirst<'a, 'b> {
    planes: &'a mut [&'b mut DcPlane],
    /// The number in the frame of each component of the scan.
    components: Vec<usize>,
    tables: Vec<ValueTable>,
    predictions: Vec<i32>,
    low_bit: u32,
}

impl BlockDecoder for DcFirst<'_, '_> {
    fn block(&mut self, bits: &mut BitReader, component: usize, x: usize, y: usize) -> Result<(), JpegError> {
        bits.refill();
        let (_, difference) = self.tables[component].decode(bits)?;
        let prediction = &mut self.predictions[component];
        *prediction = prediction.wrapping_add(difference);
        let plane = &mut self.planes[self.components[component]];
        plane.values[y * plane.blocks_w + x] = (*prediction << self.low_bit) as i16;
        Ok(())
    }

    fn restart(&mut self) {
        self.predictions.fill(0);
    }
}

/// A scan of one more bit of DC coefficients (G.1.2.1).
struct DcRefinement<'a, 'b> {
    planes: &'a mut [&'b mut DcPlane],
    components: Vec<usize>,
    low_bit: u32,
}

impl BlockDecoder for DcRefinement<'_, '_> {
    fn block(&mut self, bits: &mut BitReader, component: usize, x: usize, y: usize) -> Result<(), JpegError> {
        bits.refill();
        let plane = &mut self.planes[self.components[component]];
        plane.values[y * plane.blocks_w + x] |= (bits.receive(1) as i16) << self.low_bit;
        Ok(())
    }

    fn restart(&mut self) {}
}

/// Reads a scan of AC coefficients, each block in natural order, into the plane of the scan's only component.
pub(super) fn decode_ac(
    segments: &mut Segments,
    scan: &Scan,
    blocks_w: usize,
    blocks: &mut [[i16; 64]],
) -> Result<(), JpegError> {
    let table = HuffmanTable::new(segments.ac_table(scan.components[0])?);
    let low_bit = u32::from(scan.approx_low);
    let band =
        Band { blocks, blocks_w, table, from: scan.spectral_start, to: scan.spectral_end, low_bit, end_of_band_run: 0 };
    if scan.approx_high > 0 {
        decode_scan(segments, scan, &mut AcRefinement(band))
    } else {
        decode_scan(segments, scan, &mut AcFirst(band))
    }
}

/// What both kinds of AC scan need.
struct Band<'a> {
    blocks: &'a mut [[i16; 64]],
    /// Blocks in a row.
    blocks_w: usize,
    table: HuffmanTable,
    /// First and last zigzag position of the scan.
    from: usize,
    to: usize,
    low_bit: u32,
    /// How many blocks to come have no new coefficients in this band (EOBRUN).
    end_of_band_run: i32,
}

/// The first scan of a band of AC coefficients (G.1.2.2).
struct AcFirst<'a>(Band<'a>);

impl BlockDecoder for AcFirst<'_> {
    fn block(&mut self, bits: &mut BitReader, _: usize, x: usize, y: usize) -> Result<(), JpegError> {
        let band = &mut self.0;
        if band.end_of_band_run > 0 {
            band.end_of_band_run -= 1;
            return Ok(());
        }
        let block = &mut band.blocks[y * band.blocks_w + x];
        let mut k = band.from;
        while k <= band.to {
            bits.refill();
            let (run, size) = run_and_size(band.table.decode(bits)?);
            if size == 0 && run < 15 {
                band.end_of_band_run = (1 << run) + bits.receive(run) - 1;
                return Ok(());
            }
            k += run as usize;
            if size > 0 {
                let to = *ZIGZAG[..=band.to].get(k).ok_or(TOO_MANY)?;
                block[usize::from(to)] = (bits.receive_extend(size) << band.low_bit) as i16;
            }
            k += 1;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.0.end_of_band_run = 0;
    }
}

/// A scan of one more bit of a band of AC coefficients (G.1.2.3).
struct AcRefinement<'a>(Band<'a>);

impl BlockDecoder for AcRefinement<'_> {
    fn block(&mut self, bits: &mut BitReader, _: usize, x: usize, y: usize) -> Result<(), JpegError> {
        let band = &mut self.0;
        let block = &mut band.blocks[y * band.blocks_w + x];
        let bit = 1 << band.low_bit;
        let mut k = band.from;
        while band.end_of_band_run == 0 && k <= band.to {
            bits.refill();
            let (run, size) = run_and_size(band.table.decode(bits)?);
            let value = match size {
                0 if run < 15 => {
                    band.end_of_band_run = (1 << run) + bits.receive(run);
                    break;
                }
                0 => 0,
                1 if bits.receive(1) == 1 => bit,
                1 => -bit,
                _ => return Err(Damaged("refinement of more than one bit")),
            };
            k = refine(block, k..=band.to, run, bit, bits);
            if value != 0 {
                let to = *ZIGZAG[..=band.to].get(k).ok_or(TOO_MANY)?;
                block[usize::from(to)] = value;
            }
            k += 1;
        }
        if band.end_of_band_run > 0 {
            refine(block, k..=band.to, u32::MAX, bit, bits);
            band.end_of_band_run -= 1;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.0.end_of_band_run = 0;
    }
}

/// Reads the next bit of each nonzero coefficient in `band` up to the zero that follows on `zeros` other zeros. Returns
/// the position of that zero, or behind the band.
fn refine(block: &mut [i16; 64], band: RangeInclusive<usize>, mut zeros: u32, bit: i16, bits: &mut BitReader) -> usize {
    let behind = band.end() + 1;
    for k in band {
        let coefficient = &mut block[usize::from(ZIGZAG[k])];
        if *coefficient != 0 {
            bits.refill();
            // A bit that is set already was given by an earlier, superfluous scan.
            if bits.receive(1) == 1 && *coefficient & bit == 0 {
                *coefficient = coefficient.wrapping_add(if *coefficient > 0 { bit } else { -bit });
            }
        } else if zeros == 0 {
            return k;
        } else {
            zeros -= 1;
        }
    }
    behind
}
