//! Near-duplicate photographs: perceptual hashes, the search for near ones, a second look at each pair, groups.

pub mod group;
pub mod hash;
pub mod look;
pub mod near;
mod register;

use crate::error::Result;
use crate::image::Gray;
use crate::preprocess::overview::{Overview, TURNS};
use hash::{Bits, Hash, Method};

/// How photographs are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashing {
    /// The perceptual hash.
    pub method: Method,
    /// Its size.
    pub bits: Bits,
    /// Hash the photograph in all [`TURNS`], so that turned and mirrored copies are found.
    pub turns: bool,
}

/// What is kept of a photograph for the search.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// The hash of the photograph as seen; with [`Hashing::turns`] that of each turn, in their order.
    pub hashes: Vec<Hash>,
    /// Width in pixels as seen.
    pub width: u32,
    /// Height in pixels as seen.
    pub height: u32,
    /// Share of the picture that has structure, 0 to 1 ([`look::Look::detail`]).
    pub detail: f32,
}

/// The luma of a photograph as seen at 64 x 64 pixels, for the second look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Small(Vec<u8>);

impl Small {
    /// Bytes of a small picture.
    pub const BYTES: usize = look::SIDE * look::SIDE;

    /// From the bytes of another one, row by row.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Small(bytes)
    }

    /// One byte a pixel, row by row.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The picture as floats.
    pub fn to_gray(&self) -> Gray {
        Gray { width: look::SIDE, height: look::SIDE, data: self.0.iter().map(|&v| f32::from(v)).collect() }
    }
}

/// Hashes a photograph.
pub fn print(overview: &Overview, hashing: Hashing) -> Result<(Print, Small)> {
    let turns = if hashing.turns { &TURNS[..] } else { &TURNS[..1] };
    let hash = |&turn| hash::hash(overview, hashing.method, hashing.bits, turn);
    let hashes = turns.iter().map(hash).collect::<Result<_>>()?;
    let gray = overview.at(look::SIDE, look::SIDE, TURNS[0])?;
    let small = Small(gray.data.iter().map(|&v| v as u8).collect());
    let detail = look::Look::new(gray, (overview.width, overview.height)).detail;
    Ok((Print { hashes, width: overview.width, height: overview.height, detail }, small))
}
