//! A glance at a photograph for hashing: of large JPEGs only the mean of each 8 x 8 block is decoded.

use super::jpeg;
use super::{Limits, as_stored, check_size, stored_rgb, to_rgb};
use crate::error::Result;
use crate::image::{Gray, Image};
use crate::preprocess::overview::{Overview, Pixels, reduce};
use image::metadata::Orientation;

/// Pixels on the shorter side below which all pixels are looked at: that is quick, and the hash is to the bit that of the
/// whole picture.
const SMALL: u32 = 1024;
/// Pixels that larger pictures keep on the shorter side, if they are no JPEGs: four a pixel of the largest small picture.
const REDUCED: u32 = 256;

/// Decodes what a perceptual hash needs of the picture in `bytes`. With `whole` all pixels, to the bit as Pillow decodes
/// them (transparency ignored), for hashes that are compared with other programs'.
pub fn overview(name: &str, bytes: &[u8], limits: &Limits, whole: bool) -> Result<Overview> {
    if let Some(overview) = of_jpeg(name, bytes, limits, whole)? {
        return Ok(overview);
    }
    let (picture, orientation) = as_stored(name, bytes, limits)?;
    let size = (picture.width(), picture.height());
    let pixels = match size.0.min(size.1) {
        _ if whole => Pixels::Whole(stored_rgb(picture)?),
        ..SMALL => Pixels::Whole(to_rgb(picture)?),
        _ => reduce(&to_rgb(picture)?, REDUCED),
    };
    Ok(Overview::new(pixels, size, orientation))
}

/// The block means of a JPEG, or all its pixels; None for what is no JPEG, uncommon or damaged: there the general decoder
/// has the last word.
fn of_jpeg(name: &str, bytes: &[u8], limits: &Limits, whole: bool) -> Result<Option<Overview>> {
    let Ok(header) = jpeg::parse(bytes) else { return Ok(None) };
    let size = (header.width as u32, header.height as u32);
    check_size(name, size, limits)?;
    let pixels = if whole || size.0.min(size.1) < SMALL {
        let Ok(rgb) = jpeg::decode_rgb(bytes) else { return Ok(None) };
        Pixels::Whole(Image::new(size.0, size.1, rgb.data)?)
    } else {
        let Ok(eighth) = jpeg::luma_eighth(bytes) else { return Ok(None) };
        let luma = Gray { width: eighth.blocks_w, height: eighth.blocks_h, data: eighth.data };
        Pixels::Reduced { luma, extent: (f64::from(size.0) / 8.0, f64::from(size.1) / 8.0) }
    };
    let orientation = header.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    Ok(Some(Overview::new(pixels, size, orientation)))
}
