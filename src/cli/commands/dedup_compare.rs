//! `ocellus dedup compare`

use crate::cli::dedup::compare::{self, Comparison};
use crate::cli::dedup::options::{Flags, verifier};
use crate::cli::{Outcome, batch, output};
use crate::error::Result;
use crate::input;
use crate::report::json;
use argh::FromArgs;

/// Hold two photographs against each other. The exit code is 0 if they are the same, 1 if they differ.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "dedup compare")]
pub struct DedupCompare {
    /// a file
    #[argh(positional)]
    a: String,
    /// another
    #[argh(positional)]
    b: String,
    /// perceptual hash: phash (default), dhash or blockhash
    #[argh(option, default = "\"phash\".into()")]
    hash: String,
    /// bits of the hash: 64 (default) or 256
    #[argh(option, default = "64")]
    bits: usize,
    /// bits in which near hashes may differ (default: as for dedup)
    #[argh(option)]
    threshold: Option<u32>,
    /// let the hash alone decide, without the second look
    #[argh(switch)]
    hash_only: bool,
    /// decode all pixels for the hash
    #[argh(switch)]
    exact_hash: bool,
    /// one may be turned or mirrored
    #[argh(switch)]
    rotations: bool,
    /// confirm by the cosine of their feature vectors, at least this (such as 0.9)
    #[argh(option)]
    verify: Option<f32>,
    /// write a JSON record
    #[argh(switch)]
    json: bool,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
}

impl DedupCompare {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(Some(1), true, self.max_pixels)?;
        let flags = Flags {
            hash: &self.hash,
            bits: self.bits,
            threshold: self.threshold,
            whole: self.exact_hash,
            hash_only: self.hash_only,
            turns: self.rotations,
            recompute: false,
        };
        let (settings, threshold) = flags.resolve(options)?;
        let verifier = verifier(self.verify)?;
        let sources = batch::sources(&[self.a, self.b])?;
        let [a, b] = &sources[..] else {
            return Err(crate::Error::Usage("two photographs are compared, not directories".into()));
        };
        let verify = verifier.as_ref().map(|(embedder, least)| (embedder, *least));
        let found: Comparison = compare::compare(a, b, &settings, threshold, self.hash_only, verify)?;
        output::line(&match self.json {
            true => json::compared(&a.name(), &b.name(), &found)?,
            false => found.to_string(),
        })?;
        Ok(if found.same { Outcome::Pass } else { Outcome::Fail })
    }
}
