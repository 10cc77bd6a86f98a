//! Baseline and progressive JPEG (ITU-T Recommendation T.81), as far as perceptual hashing needs it.
//!
//! [`parse`] reads the size and the Exif block. [`luma_eighth`] reads the mean brightness of every 8x8 block: it decodes
//! only DC coefficients and steps over the others, several to a look-up. [`decode_rgb`] decodes the whole picture, bit
//! for bit as libjpeg-turbo does by default.

mod bits;
mod color;
mod dc;
mod full;
mod header;
mod huffman;
mod idct;
mod progressive;
mod scan;
mod segments;
mod skip;
#[cfg(test)]
mod tests;
mod upsample;

pub use dc::{Eighth, luma_eighth};
pub use full::{Rgb8, decode_rgb};
pub use header::{Color, Component, Header, parse};

/// Why a JPEG could not be read; the text says what was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JpegError {
    /// A kind of JPEG that this module does not read; a more general decoder may.
    Unsupported(&'static str),
    /// The file breaks the standard, or is cut off.
    Damaged(&'static str),
}

impl std::fmt::Display for JpegError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "unsupported JPEG: {what}"),
            Self::Damaged(what) => write!(f, "damaged JPEG: {what}"),
        }
    }
}

impl std::error::Error for JpegError {}
