//! Marker segments: everything in a JPEG file but the entropy-coded data (T.81, Annex B).

use super::JpegError::{self, Damaged, Unsupported};
use super::bits::EntropyData;
use super::header::{Color, Component, Frame, Header, Scan, ScanComponent};
use super::huffman::HuffmanSpec;

/// Markers, the byte after 0xFF (T.81, Table B.1).
mod marker {
    pub const SOF0_BASELINE: u8 = 0xC0;
    pub const SOF1_EXTENDED: u8 = 0xC1;
    pub const SOF2_PROGRESSIVE: u8 = 0xC2;
    pub const DHT: u8 = 0xC4;
    pub const JPG: u8 = 0xC8;
    pub const DAC: u8 = 0xCC;
    pub const SOF15: u8 = 0xCF;
    pub const RST0: u8 = 0xD0;
    pub const RST7: u8 = 0xD7;
    pub const SOI: u8 = 0xD8;
    pub const EOI: u8 = 0xD9;
    pub const SOS: u8 = 0xDA;
    pub const DQT: u8 = 0xDB;
    pub const DRI: u8 = 0xDD;
    pub const APP0: u8 = 0xE0;
    pub const APP1: u8 = 0xE1;
    pub const APP14: u8 = 0xEE;
    pub const TEM: u8 = 0x01;
}

/// Some bytes of a progressive scan can cost a pass over the whole picture. Encoders write some ten scans.
const MAX_SCANS: usize = 1000;

/// A reader of marker segments, with the tables read so far.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    /// Where to look for the next marker.
    pos: usize,
    frame: Option<Frame>,
    exif: Option<&'a [u8]>,
    jfif: bool,
    adobe_transform: Option<u8>,
    /// Quantization tables in zigzag order.
    quant_tables: [Option<[u16; 64]>; 4],
    dc_tables: [Option<HuffmanSpec>; 4],
    ac_tables: [Option<HuffmanSpec>; 4],
    /// MCUs from one restart marker to the next, 0 without them.
    pub restart_interval: usize,
    scans: usize,
}

impl<'a> Segments<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, JpegError> {
        if !bytes.starts_with(&[0xFF, marker::SOI]) {
            return Err(Damaged("no start-of-image marker"));
        }
        Ok(Self {
            bytes,
            pos: 2,
            frame: None,
            exif: None,
            jfif: false,
            adobe_transform: None,
            quant_tables: [None; 4],
            dc_tables: [const { None }; 4],
            ac_tables: [const { None }; 4],
            restart_interval: 0,
            scans: 0,
        })
    }

    /// Reads on to the next scan header, or to the end of the image, for which it returns `None`. Entropy-coded data
    /// in between is stepped over.
    pub fn next_scan(&mut self) -> Result<Option<Scan>, JpegError> {
        loop {
            let (marker, behind) = next_marker(self.bytes, self.pos).ok_or(Damaged("no end-of-image marker"))?;
            self.pos = behind;
            match marker {
                marker::EOI => return Ok(None),
                marker::SOI => return Err(Damaged("second start-of-image marker")),
                marker::RST0..=marker::RST7 | marker::TEM => {}
                _ => {
                    let segment = self.segment()?;
                    if marker == marker::SOS {
                        self.scans += 1;
                        if self.scans > MAX_SCANS {
                            return Err(Damaged("too many scans"));
                        }
                        return Scan::read(segment, self.frame()?).map(Some);
                    }
                    self.read_segment(marker, segment)?;
                }
            }
        }
    }

    pub fn frame(&self) -> Result<&Frame, JpegError> {
        self.frame.as_ref().ok_or(Damaged("scan before the frame header"))
    }

    pub fn header(&self) -> Result<Header<'a>, JpegError> {
        let frame = self.frame()?;
        Ok(Header {
            width: frame.width,
            height: frame.height,
            progressive: frame.progressive,
            color: self.color(frame),
            components: frame.components.clone(),
            exif: self.exif,
        })
    }

    /// Guesses the meaning of the components as libjpeg does, there being no field for it in the standard.
    fn color(&self, frame: &Frame) -> Color {
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        match (self.adobe_transform, &ids[..]) {
            (_, [_]) => Color::Gray,
            (Some(0), _) | (None, b"RGB") if !self.jfif => Color::Rgb,
            _ => Color::YCbCr,
        }
    }

    /// The quantization table of a component, in zigzag order.
    pub fn quant_table(&self, component: &Component) -> Result<&[u16; 64], JpegError> {
        self.quant_tables[component.quant_table].as_ref().ok_or(Damaged("missing quantization table"))
    }

    pub fn dc_table(&self, component: ScanComponent) -> Result<&HuffmanSpec, JpegError> {
        self.dc_tables[component.dc_table].as_ref().ok_or(Damaged("missing DC Huffman table"))
    }

    pub fn ac_table(&self, component: ScanComponent) -> Result<&HuffmanSpec, JpegError> {
        self.ac_tables[component.ac_table].as_ref().ok_or(Damaged("missing AC Huffman table"))
    }

    /// The data behind the scan header just read. Steps behind them.
    pub fn entropy_data(&mut self) -> Result<EntropyData, JpegError> {
        let (data, length) = EntropyData::new(&self.bytes[self.pos..])?;
        self.pos += length;
        Ok(data)
    }

    /// The contents of the segment whose length field comes next.
    fn segment(&mut self) -> Result<&'a [u8], JpegError> {
        let rest = &self.bytes[self.pos..];
        let (length, _) = rest.split_first_chunk().ok_or(Damaged("cut off in a marker segment"))?;
        let length = usize::from(u16::from_be_bytes(*length));
        self.pos += length;
        rest.get(2..length).ok_or(Damaged("cut off in a marker segment"))
    }

    fn read_segment(&mut self, marker: u8, segment: &'a [u8]) -> Result<(), JpegError> {
        match marker {
            marker::SOF0_BASELINE | marker::SOF1_EXTENDED | marker::SOF2_PROGRESSIVE => {
                if self.frame.is_some() {
                    return Err(Damaged("second frame header"));
                }
                self.frame = Some(Frame::read(segment, marker == marker::SOF2_PROGRESSIVE)?);
            }
            marker::DHT => self.huffman_tables(segment)?,
            marker::JPG | marker::DAC => return Err(Unsupported("arithmetic coding or an extension")),
            marker::SOF0_BASELINE..=marker::SOF15 => {
                return Err(Unsupported("lossless, hierarchical or arithmetic coding"));
            }
            marker::DQT => self.quantization_tables(segment)?,
            marker::DRI => {
                let interval = segment.try_into().map_err(|_| Damaged("restart interval segment of a wrong length"))?;
                self.restart_interval = usize::from(u16::from_be_bytes(interval));
            }
            marker::APP0 => self.jfif |= segment.starts_with(b"JFIF\0"),
            marker::APP1 if self.exif.is_none() => self.exif = segment.strip_prefix(b"Exif\0\0"),
            // The colour transform is the last of the segment's 12 bytes.
            marker::APP14 if segment.starts_with(b"Adobe") => self.adobe_transform = segment.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    /// Reads a DHT segment (T.81, B.2.4.2).
    fn huffman_tables(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        const SHORT: JpegError = Damaged("Huffman table segment of a wrong length");
        while let Some((&class_and_index, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk().ok_or(SHORT)?;
            let total = counts.iter().map(|&n| usize::from(n)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(SHORT)?;
            let tables = match class_and_index >> 4 {
                0 => &mut self.dc_tables,
                1 => &mut self.ac_tables,
                _ => return Err(Damaged("Huffman table of an unknown class")),
            };
            let slot =
                tables.get_mut(usize::from(class_and_index & 15)).ok_or(Damaged("Huffman table number above 3"))?;
            *slot = Some(HuffmanSpec::new(*counts, symbols)?);
            segment = rest;
        }
        Ok(())
    }

    /// Reads a DQT segment (T.81, B.2.4.1).
    fn quantization_tables(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        const SHORT: JpegError = Damaged("quantization table segment of a wrong length");
        while let Some((&precision_and_index, rest)) = segment.split_first() {
            let bytes_each = if precision_and_index >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * bytes_each).ok_or(SHORT)?;
            let slot = self
                .quant_tables
                .get_mut(usize::from(precision_and_index & 15))
                .ok_or(Damaged("quantization table number above 3"))?;
            let table = slot.insert([0; 64]);
            for (entry, value) in table.iter_mut().zip(values.chunks_exact(bytes_each)) {
                *entry = value.iter().fold(0, |high, &low| high << 8 | u16::from(low));
            }
            segment = rest;
        }
        Ok(())
    }
}

/// The first marker at or after `from`, and the position behind it.
fn next_marker(bytes: &[u8], from: usize) -> Option<(u8, usize)> {
    let mut at = from;
    loop {
        at += find_ff(bytes.get(at..)?)? + 1;
        match *bytes.get(at)? {
            // A stuffed zero byte: the 0xFF was data.
            0 => at += 1,
            // A fill byte, followed by the marker's own 0xFF.
            0xFF => {}
            marker => return Some((marker, at + 1)),
        }
    }
}

/// Index of the first 0xFF; compares 32 bytes at a time, which compiles to vector instructions.
pub(super) fn find_ff(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<32>();
    let clean = chunks.iter().take_while(|chunk| !chunk.iter().fold(false, |any, &b| any | (b == 0xFF))).count();
    let from = 32 * clean;
    bytes[from..].iter().position(|&b| b == 0xFF).map(|i| from + i)
}
