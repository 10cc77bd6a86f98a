//! The frame and scan headers (T.81, B.2.2 and B.2.3).

use super::JpegError::{self, Damaged, Unsupported};
use super::segments::Segments;

/// What the components of a picture stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// One component, the luma.
    Gray,
    /// Luma and two chroma components, as in JFIF.
    YCbCr,
    /// Red, green and blue stored directly.
    Rgb,
}

/// One component (plane) of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// The number by which scans refer to the component.
    pub id: u8,
    /// Horizontal sampling factor, 1..=4.
    pub h: usize,
    /// Vertical sampling factor, 1..=4.
    pub v: usize,
    /// Columns of 8x8 blocks that hold samples of the picture.
    pub blocks_w: usize,
    /// Rows of 8x8 blocks that hold samples of the picture.
    pub blocks_h: usize,
    /// Which quantization table the component uses, 0..=3.
    pub(super) quant_table: usize,
}

/// What stands before the first scan of a JPEG file.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// Width in pixels, 1..=65535.
    pub width: usize,
    /// Height in pixels, 1..=65535.
    pub height: usize,
    /// Whether the coefficients come in several scans of growing precision (SOF2).
    pub progressive: bool,
    /// What the components stand for.
    pub color: Color,
    /// The components, one or three.
    pub components: Vec<Component>,
    /// The Exif block (TIFF header first), which holds the orientation.
    pub exif: Option<&'a [u8]>,
}

/// Reads the header of a JPEG file, without allocating anything in proportion to the declared size.
///
/// # Errors
///
/// `Unsupported` for arithmetic coding, lossless, hierarchical and 12-bit files and for other than one or three
/// components; `Damaged` where the file breaks the standard before its first scan.
pub fn parse(bytes: &[u8]) -> Result<Header<'_>, JpegError> {
    let mut segments = Segments::new(bytes)?;
    segments.next_scan()?.ok_or(Damaged("no scan"))?;
    segments.header()
}

/// The frame header (T.81, B.2.2).
#[derive(Clone)]
pub(super) struct Frame {
    pub width: usize,
    pub height: usize,
    pub progressive: bool,
    pub components: Vec<Component>,
    /// The largest horizontal and vertical sampling factors of any component.
    pub h_max: usize,
    pub v_max: usize,
    /// Size of the picture in MCUs of an interleaved scan.
    pub mcus_w: usize,
    pub mcus_h: usize,
}

impl Frame {
    /// Reads an SOF segment.
    pub fn read(segment: &[u8], progressive: bool) -> Result<Self, JpegError> {
        let (&[precision, h1, h0, w1, w0, count], specs) =
            segment.split_first_chunk().ok_or(Damaged("frame header of a wrong length"))?;
        let height = usize::from(u16::from_be_bytes([h1, h0]));
        let width = usize::from(u16::from_be_bytes([w1, w0]));
        if precision != 8 {
            return Err(Unsupported("samples of other than 8 bits"));
        }
        if width == 0 || height == 0 {
            return Err(Damaged("picture without pixels"));
        }
        if specs.len() != 3 * usize::from(count) {
            return Err(Damaged("frame header of a wrong length"));
        }
        if count != 1 && count != 3 {
            return Err(Unsupported("other than one or three components"));
        }
        let mut components = Vec::new();
        for spec in specs.chunks_exact(3) {
            let (h, v) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            let quant_table = usize::from(spec[2]);
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || quant_table > 3 {
                return Err(Damaged("component with invalid sampling factors or quantization table"));
            }
            components.push(Component { id: spec[0], h, v, blocks_w: 0, blocks_h: 0, quant_table });
        }
        let h_max = components.iter().map(|c| c.h).max().unwrap_or(1);
        let v_max = components.iter().map(|c| c.v).max().unwrap_or(1);
        for component in &mut components {
            component.blocks_w = (width * component.h).div_ceil(8 * h_max);
            component.blocks_h = (height * component.v).div_ceil(8 * v_max);
        }
        let (mcus_w, mcus_h) = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        Ok(Self { width, height, progressive, components, h_max, v_max, mcus_w, mcus_h })
    }
}

/// The scan header (T.81, B.2.3).
pub(super) struct Scan {
    pub components: Vec<ScanComponent>,
    /// First and last zigzag position that the scan codes (Ss, Se).
    pub spectral_start: usize,
    pub spectral_end: usize,
    /// Successive approximation bit positions, high (Ah) and low (Al).
    pub approx_high: u8,
    pub approx_low: u8,
}

impl Scan {
    /// Reads an SOS segment.
    pub fn read(segment: &[u8], frame: &Frame) -> Result<Self, JpegError> {
        const LENGTH: JpegError = Damaged("scan header of a wrong length");
        let (&count, rest) = segment.split_first().ok_or(LENGTH)?;
        let (selectors, parameters) = rest.split_at_checked(2 * usize::from(count)).ok_or(LENGTH)?;
        let &[spectral_start, spectral_end, approximation] = parameters else { return Err(LENGTH) };
        let mut components: Vec<ScanComponent> = Vec::new();
        let mut mcu_blocks = 0;
        for selector in selectors.chunks_exact(2) {
            let (index, component) = (frame.components.iter().enumerate())
                .find(|(i, c)| c.id == selector[0] && components.iter().all(|other| other.index != *i))
                .ok_or(Damaged("scan of an unknown component"))?;
            let (dc_table, ac_table) = (usize::from(selector[1] >> 4), usize::from(selector[1] & 15));
            if dc_table > 3 || ac_table > 3 {
                return Err(Damaged("Huffman table number above 3"));
            }
            components.push(ScanComponent { index, dc_table, ac_table });
            mcu_blocks += component.h * component.v;
        }
        // T.81, B.2.3 allows at most 10 blocks in the MCU of an interleaved scan.
        if components.is_empty() || components.len() > 1 && mcu_blocks > 10 {
            return Err(Damaged("scan of no components or of too many blocks"));
        }
        if !frame.progressive {
            // A sequential scan has no choice; like other decoders, do not insist on the parameters saying so.
            return Ok(Self { components, spectral_start: 0, spectral_end: 63, approx_high: 0, approx_low: 0 });
        }
        let (spectral_start, spectral_end) = (usize::from(spectral_start), usize::from(spectral_end));
        let (approx_high, approx_low) = (approximation >> 4, approximation & 15);
        // T.81, G.1.1.1.1: DC and AC in different scans, one component in an AC scan, one bit gained by a refinement.
        let band_is_valid = if spectral_start == 0 {
            spectral_end == 0
        } else {
            (spectral_start..64).contains(&spectral_end) && components.len() == 1
        };
        if !band_is_valid || approx_low > 13 || approx_high != 0 && approx_high != approx_low + 1 {
            return Err(Damaged("progressive scan with invalid parameters"));
        }
        Ok(Self { components, spectral_start, spectral_end, approx_high, approx_low })
    }
}

/// A component's part in a scan.
#[derive(Clone, Copy)]
pub(super) struct ScanComponent {
    /// Index into the frame's components.
    pub index: usize,
    pub dc_table: usize,
    pub ac_table: usize,
}
