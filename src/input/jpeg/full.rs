//! The whole picture in full resolution.

use super::JpegError::{self, Damaged, Unsupported};
use super::bits::BitReader;
use super::dc::DcPlane;
use super::header::{Color, Component, Frame, Scan};
use super::huffman::ValueTable;
use super::idct::idct;
use super::scan::{BlockDecoder, ZIGZAG, decode_scan};
use super::segments::Segments;
use super::upsample::Upsampler;
use super::{color, progressive};

/// A picture of 8-bit RGB pixels.
#[derive(Clone, Debug)]
pub struct Rgb8 {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row from the upper left corner.
    pub data: Vec<u8>,
}

/// Decodes a picture, as libjpeg-turbo does by default: accurate integer inverse DCT, triangle filter for chroma at
/// half the resolution. The orientation in the Exif block is not applied. Allocates about 12 bytes per pixel of
/// the declared size, so look at that in [`super::parse`] first.
///
/// # Errors
///
/// `Unsupported` for what [`super::parse`] does not support, for sampling factors whose ratio is not whole, and for
/// progressive files without their last scans, which other decoders smooth; `Damaged` where the file breaks the
/// standard.
pub fn decode_rgb(bytes: &[u8]) -> Result<Rgb8, JpegError> {
    let mut segments = Segments::new(bytes)?;
    let mut planes: Vec<Plane> = Vec::new();
    while let Some(scan) = segments.next_scan()? {
        let frame = segments.frame()?;
        if planes.is_empty() {
            planes = frame.components.iter().map(|component| Plane::new(frame, component)).collect();
        }
        for component in &scan.components {
            let plane = &mut planes[component.index];
            if plane.quant.is_none() {
                // The table in force when a component's first scan begins holds for all its scans.
                plane.quant = Some(natural_order(segments.quant_table(&frame.components[component.index])?));
            }
        }
        if frame.progressive {
            progressive_scan(&mut segments, &scan, &mut planes)?;
        } else {
            let mut sequential = Sequential::new(&segments, &scan, &mut planes)?;
            decode_scan(&mut segments, &scan, &mut sequential)?;
        }
    }

    let frame = segments.frame()?;
    if planes.is_empty() {
        return Err(Damaged("no scan"));
    }
    for plane in &mut planes {
        let quant = plane.quant.ok_or(Damaged("component without a scan"))?;
        if frame.progressive {
            if !plane.is_complete() {
                return Err(Unsupported("progressive file without its last scans"));
            }
            plane.transform(&quant);
        }
    }
    render(frame, segments.header()?.color, &planes)
}

/// Reads one scan into the coefficients of the planes.
fn progressive_scan(segments: &mut Segments, scan: &Scan, planes: &mut [Plane]) -> Result<(), JpegError> {
    for component in &scan.components {
        planes[component.index].precision[scan.spectral_start..=scan.spectral_end].fill(Some(scan.approx_low));
    }
    if scan.spectral_start == 0 {
        return progressive::decode_dc(segments, scan, &mut planes.iter_mut().map(|p| &mut p.dc).collect::<Vec<_>>());
    }
    let plane = &mut planes[scan.components[0].index];
    progressive::decode_ac(segments, scan, plane.dc.blocks_w, &mut plane.coefficients)
}

/// Brings the planes to full resolution and converts them to RGB, row by row.
fn render(frame: &Frame, color: Color, planes: &[Plane]) -> Result<Rgb8, JpegError> {
    let mut upsamplers = planes.iter().map(|plane| Upsampler::new(frame, plane)).collect::<Result<Vec<_>, _>>()?;
    let mut data = vec![0; frame.width * frame.height * 3];
    for (y, out) in data.chunks_exact_mut(frame.width * 3).enumerate() {
        let rows: Vec<&[u8]> = upsamplers.iter_mut().map(|upsampler| upsampler.row(y)).collect();
        match (color, &rows[..]) {
            (Color::YCbCr, [luma, cb, cr]) => color::ycc_to_rgb(luma, cb, cr, out),
            (_, [red, green, blue]) => color::interleave(red, green, blue, out),
            (_, rows) => rows.iter().for_each(|gray| color::interleave(gray, gray, gray, out)),
        }
    }
    Ok(Rgb8 { width: frame.width, height: frame.height, data })
}

/// The samples of one component at its own resolution.
pub(super) struct Plane {
    /// Sampling factors.
    pub h: usize,
    pub v: usize,
    /// Size of the part that belongs to the picture, in samples.
    pub width: usize,
    pub height: usize,
    /// Samples in a row, with those that fill up the last MCU.
    pub stride: usize,
    pub samples: Vec<u8>,
    /// The DC coefficients of a progressive file.
    dc: DcPlane,
    /// The AC coefficients of a progressive file, in natural order for each block.
    coefficients: Vec<[i16; 64]>,
    /// By zigzag position, the lowest bit that the progressive scans so far have given.
    precision: [Option<u8>; 64],
    /// Quantization table in natural order.
    quant: Option<[u16; 64]>,
}

impl Plane {
    fn new(frame: &Frame, component: &Component) -> Self {
        let dc = DcPlane::new(frame, component);
        let blocks = dc.values.len();
        Self {
            h: component.h,
            v: component.v,
            width: (frame.width * component.h).div_ceil(frame.h_max),
            height: (frame.height * component.v).div_ceil(frame.v_max),
            stride: 8 * dc.blocks_w,
            samples: vec![0; 64 * blocks],
            dc,
            coefficients: if frame.progressive { vec![[0; 64]; blocks] } else { Vec::new() },
            precision: [None; 64],
            quant: None,
        }
    }

    /// Whether the scans gave the coefficients by which libjpeg-turbo decides that a block needs no smoothing.
    fn is_complete(&self) -> bool {
        self.precision[..10].iter().all(|&lowest_bit| lowest_bit == Some(0))
    }

    /// Turns all coefficients into samples.
    fn transform(&mut self, quant: &[u16; 64]) {
        let coefficients = std::mem::take(&mut self.coefficients);
        for (i, mut block) in coefficients.into_iter().enumerate() {
            block[0] = self.dc.values[i];
            self.store(i % self.dc.blocks_w, i / self.dc.blocks_w, &idct(&block, quant));
        }
    }

    fn store(&mut self, x: usize, y: usize, block: &[[u8; 8]; 8]) {
        let rows = self.samples[8 * (y * self.stride + x)..].chunks_mut(self.stride);
        for (row, samples) in rows.zip(block) {
            row[..8].copy_from_slice(samples);
        }
    }
}

fn natural_order(zigzag: &[u16; 64]) -> [u16; 64] {
    let mut natural = [0; 64];
    for (&to, &value) in ZIGZAG.iter().zip(zigzag) {
        natural[usize::from(to)] = value;
    }
    natural
}

/// A sequential scan (T.81, F.2).
struct Sequential<'a> {
    planes: &'a mut [Plane],
    coders: Vec<Coder>,
}

/// What decodes one component of a scan.
struct Coder {
    /// Number of the component in the frame.
    index: usize,
    dc_table: ValueTable,
    ac_table: ValueTable,
    quant: [u16; 64],
    /// The DC coefficient of the previous block.
    prediction: i32,
}

impl<'a> Sequential<'a> {
    fn new(segments: &Segments, scan: &Scan, planes: &'a mut [Plane]) -> Result<Self, JpegError> {
        let mut coders = Vec::new();
        for &component in &scan.components {
            coders.push(Coder {
                index: component.index,
                dc_table: ValueTable::for_dc(segments.dc_table(component)?)?,
                ac_table: ValueTable::for_ac(segments.ac_table(component)?),
                quant: planes[component.index].quant.unwrap_or([0; 64]),
                prediction: 0,
            });
        }
        Ok(Self { planes, coders })
    }
}

impl BlockDecoder for Sequential<'_> {
    fn block(&mut self, bits: &mut BitReader, component: usize, x: usize, y: usize) -> Result<(), JpegError> {
        let coder = &mut self.coders[component];
        let mut block = [0; 64];
        bits.refill();
        let (_, difference) = coder.dc_table.decode(bits)?;
        coder.prediction = coder.prediction.wrapping_add(difference);
        block[0] = coder.prediction as i16;
        let mut k = 1;
        while k < 64 {
            bits.refill();
            let (run, value) = coder.ac_table.decode(bits)?;
            k += run as usize;
            if value != 0 {
                let to = *ZIGZAG.get(k).ok_or(TOO_MANY)?;
                block[usize::from(to)] = value as i16;
            } else if run < 15 {
                break;
            }
            k += 1;
        }
        if k > 64 {
            return Err(TOO_MANY);
        }
        self.planes[coder.index].store(x, y, &idct(&block, &coder.quant));
        Ok(())
    }

    fn restart(&mut self) {
        for coder in &mut self.coders {
            coder.prediction = 0;
        }
    }
}

/// A run of zeros reaches beyond the last coefficient.
pub(super) const TOO_MANY: JpegError = Damaged("more than 64 coefficients in a block");
