//! `ocellus dedup hash`

use crate::cli::dedup::options::Flags;
use crate::cli::{Outcome, batch, output};
use crate::error::Result;
use crate::input;
use crate::report::{duplicates, json};
use argh::FromArgs;

/// Print the perceptual hash of each picture in hexadecimal digits, with its name: what dedup --hashes reads.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "dedup hash")]
pub struct DedupHash {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// perceptual hash: phash (default), dhash or blockhash
    #[argh(option, default = "\"phash\".into()")]
    hash: String,
    /// bits of the hash: 64 (default) or 256
    #[argh(option, default = "64")]
    bits: usize,
    /// decode all pixels: slower, and to the bit what imagededup computes
    #[argh(switch)]
    exact_hash: bool,
    /// write JSON records
    #[argh(switch)]
    json: bool,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// no progress line
    #[argh(switch)]
    quiet: bool,
}

impl DedupHash {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let flags = Flags {
            hash: &self.hash,
            bits: self.bits,
            threshold: None,
            whole: self.exact_hash,
            hash_only: false,
            turns: false,
            recompute: false,
        };
        let (settings, _) = flags.resolve(options)?;
        let failed = batch::each_source(
            &sources,
            options,
            |_, source| settings.print(source),
            |at, result| {
                let name = sources[at].name();
                let hash = result.as_ref().map(|(p, _)| (p.hashes[0].hex(settings.hashing.bits), p.width, p.height));
                if let Err(error) = &hash {
                    batch::complain(&sources[at], error);
                }
                match hash {
                    hash if self.json => output::line(&json::hash(&name, hash)?),
                    Ok((hex, _, _)) => output::line(&format!("{hex}  {}", duplicates::name(name.as_ref()))),
                    Err(_) => Ok(()),
                }
            },
        )?;
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }
}
