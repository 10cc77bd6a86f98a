//! The picture at an eighth of its size: the DC coefficients of the luma component.

use super::JpegError::{self, Damaged, Unsupported};
use super::header::{Color, Component, Frame, Header, Scan};
use super::huffman::ValueTable;
use super::progressive::decode_dc;
use super::scan::McuLayout;
use super::segments::Segments;
use super::skip::{BlockCoder, SkipTable, dc_differences};

/// The luma of a picture, one value for each 8x8 block.
#[derive(Clone, Debug)]
pub struct Eighth<'a> {
    /// Width of the full picture in pixels.
    pub width: usize,
    /// Height of the full picture in pixels.
    pub height: usize,
    /// Blocks in a row, `width / 8` rounded up.
    pub blocks_w: usize,
    /// Rows of blocks, `height / 8` rounded up.
    pub blocks_h: usize,
    /// The blocks' means, row by row, each in 0.0..=255.0. Blocks that reach beyond the right or lower edge count
    /// whatever the encoder filled them up with.
    pub data: Vec<f32>,
    /// The Exif block (TIFF header first), which holds the orientation.
    pub exif: Option<&'a [u8]>,
}

/// Reads the mean luma of every 8x8 block. Allocates less than a byte per pixel of the declared size, so look at that
/// in [`super::parse`] first.
///
/// # Errors
///
/// `Unsupported` for what [`super::parse`] does not support, and where the first component is not luma at full
/// resolution; `Damaged` where the file breaks the standard.
pub fn luma_eighth(bytes: &[u8]) -> Result<Eighth<'_>, JpegError> {
    let mut segments = Segments::new(bytes)?;
    let mut planes: Vec<DcPlane> = Vec::new();
    let mut step = None;
    while let Some(scan) = segments.next_scan()? {
        let frame = segments.frame()?;
        let luma = &frame.components[0];
        if planes.is_empty() {
            if segments.header()?.color == Color::Rgb {
                return Err(Unsupported("no luma component"));
            }
            if (luma.h, luma.v) != (frame.h_max, frame.v_max) {
                return Err(Unsupported("luma of reduced resolution"));
            }
            planes = frame.components.iter().map(|component| DcPlane::new(frame, component)).collect();
        }
        if scan.spectral_start > 0 || scan.components.iter().all(|c| c.index != 0) {
            continue;
        }
        if step.is_none() {
            // The table in force when a component's first scan begins holds for all its scans.
            step = Some(f32::from(segments.quant_table(luma)?[0]));
        }
        if frame.progressive {
            decode_dc(&mut segments, &scan, &mut planes.iter_mut().collect::<Vec<_>>())?;
        } else {
            sequential_scan(&mut segments, &scan, &mut planes[0])?;
        }
    }
    let step = step.ok_or(Damaged("no scan of the luma component"))?;
    let header = segments.header()?;
    let luma = header.components[0];
    let mut data = Vec::with_capacity(luma.blocks_w * luma.blocks_h);
    for row in planes[0].values.chunks_exact(planes[0].blocks_w).take(luma.blocks_h) {
        // A block's mean is an eighth of its DC coefficient (T.81, A.3.3), and samples are stored less 128.
        data.extend(row[..luma.blocks_w].iter().map(|&dc| (f32::from(dc) * (step / 8.0) + 128.0).clamp(0.0, 255.0)));
    }
    let Header { width, height, exif, .. } = header;
    Ok(Eighth { width, height, blocks_w: luma.blocks_w, blocks_h: luma.blocks_h, data, exif })
}

/// The DC coefficients of one component.
pub(super) struct DcPlane {
    /// Blocks in a row, with those that fill up the last MCU.
    pub blocks_w: usize,
    pub values: Vec<i16>,
}

impl DcPlane {
    pub fn new(frame: &Frame, component: &Component) -> Self {
        let blocks_w = frame.mcus_w * component.h;
        Self { blocks_w, values: vec![0; blocks_w * frame.mcus_h * component.v] }
    }
}

/// Reads the DC coefficients of the luma from a sequential scan.
fn sequential_scan(segments: &mut Segments, scan: &Scan, luma: &mut DcPlane) -> Result<(), JpegError> {
    let mut tables = Vec::new();
    for &component in &scan.components {
        let dc_table = ValueTable::for_dc(segments.dc_table(component)?)?;
        tables.push((dc_table, SkipTable::new(segments.ac_table(component)?)));
    }
    let layout = McuLayout::new(segments.frame()?, scan);
    let mut mcu = Vec::new();
    let mut luma_blocks = (0, 0);
    for ((component, (dc_table, ac_table)), &(columns, rows)) in scan.components.iter().zip(&tables).zip(&layout.blocks)
    {
        let wanted = component.index == 0;
        mcu.extend(std::iter::repeat_n(BlockCoder { dc_table, ac_table, wanted }, columns * rows));
        if wanted {
            luma_blocks = (columns, rows);
        }
    }
    let restart_interval = segments.restart_interval;
    let data = segments.entropy_data()?;
    let differences = dc_differences(&data, &mcu, layout.columns * layout.rows, restart_interval)?;

    let (columns, rows) = luma_blocks;
    let mut differences = differences.into_iter();
    let mut prediction = 0i16;
    for mcu_y in 0..layout.rows {
        for mcu_x in 0..layout.columns {
            if restart_interval > 0 && (mcu_y * layout.columns + mcu_x).is_multiple_of(restart_interval) {
                prediction = 0;
            }
            for y in 0..rows {
                let at = (mcu_y * rows + y) * luma.blocks_w + mcu_x * columns;
                for (value, difference) in luma.values[at..at + columns].iter_mut().zip(&mut differences) {
                    prediction = prediction.wrapping_add(difference);
                    *value = prediction;
                }
            }
        }
    }
    Ok(())
}
