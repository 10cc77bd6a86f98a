//! What the flags of the dedup commands mean together.

use super::hashing::Settings;
use crate::cli::batch;
use crate::error::{Error, Result};
use crate::tasks::dedup::Hashing;
use crate::tasks::dedup::hash::{Bits, Method};
use crate::tasks::embed::Embedder;

/// Threshold where a second look follows, by method: chosen on the sets of tools/sets/make_dedup_set.py, so that nine in ten
/// crops come up for it. A 256-bit hash has more bits of fine detail, which crops change more.
fn with_second_look(method: Method, bits: Bits) -> u32 {
    match (method, bits) {
        (Method::Phash, Bits::B64) => 16,
        (Method::Phash, Bits::B256) => 88,
        (_, Bits::B64) => 14,
        (_, Bits::B256) => 72,
    }
}

/// Threshold where the hash alone decides, by its size.
pub fn alone(bits: Bits) -> u32 {
    match bits {
        Bits::B64 => 5,
        Bits::B256 => 20,
    }
}

/// The flags about hashes, as given.
#[derive(Debug)]
pub struct Flags<'a> {
    /// `--hash`
    pub hash: &'a str,
    /// `--bits`
    pub bits: usize,
    /// `--threshold`
    pub threshold: Option<u32>,
    /// `--exact-hash`
    pub whole: bool,
    /// `--hash-only`
    pub hash_only: bool,
    /// `--rotations`
    pub turns: bool,
    /// `--recompute`
    pub recompute: bool,
}

impl Flags<'_> {
    /// Settings and threshold.
    pub fn resolve(&self, options: batch::Options) -> Result<(Settings, u32)> {
        let method = Method::named(self.hash)
            .ok_or_else(|| Error::Usage(format!("--hash is {:?}, expected dhash, phash or blockhash", self.hash)))?;
        let bits = match self.bits {
            64 => Bits::B64,
            256 => Bits::B256,
            n => return Err(Error::Usage(format!("--bits is {n}, expected 64 or 256"))),
        };
        let default = if self.hash_only { alone(bits) } else { with_second_look(method, bits) };
        let threshold = threshold(self.threshold, bits)?.unwrap_or(default);
        let hashing = Hashing { method, bits, turns: self.turns };
        Ok((Settings { hashing, whole: self.whole, recompute: self.recompute, options }, threshold))
    }
}

/// `--threshold`, which must leave something to tell apart.
pub fn threshold(given: Option<u32>, bits: Bits) -> Result<Option<u32>> {
    let most = (bits.side() * bits.side() / 2) as u32;
    match given {
        Some(t) if t >= most => Err(Error::Usage(format!(
            "--threshold is {t}, expected less than {most}: hashes of any two pictures differ in about so many bits"
        ))),
        given => Ok(given),
    }
}

/// `--verify`: the network and the cosine that it has to reach.
pub fn verifier(cosine: Option<f32>) -> Result<Option<(Embedder, f32)>> {
    let Some(least) = cosine else { return Ok(None) };
    if !(-1.0..=1.0).contains(&least) {
        return Err(Error::Usage(format!("--verify is {least}, expected a cosine from -1 to 1, such as 0.9")));
    }
    Ok(Some((Embedder::new(crate::models::default_for("features")?)?, least)))
}
