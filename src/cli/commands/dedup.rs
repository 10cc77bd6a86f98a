//! `ocellus dedup`

use crate::cli::dedup::options::{Flags, verifier};
use crate::cli::dedup::{Rules, cache::Cache, codes, default_cache, files, moving, search, sheet};
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use argh::FromArgs;
use std::path::PathBuf;

/// Find exact and near duplicates among photographs. Nothing is deleted, nor moved without --move-to. See also `ocellus
/// dedup compare` and `ocellus dedup hash`; directories of such names are given as ./compare.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "dedup")]
pub struct Dedup {
    /// directories, or files
    #[argh(positional)]
    directories: Vec<String>,
    /// a directory whose photographs are compared too but never suggested for removal; may be repeated
    #[argh(option)]
    reference: Vec<String>,
    /// perceptual hash: phash (default), dhash or blockhash
    #[argh(option, default = "\"phash\".into()")]
    hash: String,
    /// bits of the hash: 64 (default) or 256
    #[argh(option, default = "64")]
    bits: usize,
    /// bits in which near hashes may differ (default: 16 for phash, 14 for others, 88 and 72 at 256 bits; 5 and 20 where the
    /// hash alone decides)
    #[argh(option)]
    threshold: Option<u32>,
    /// let the hash alone decide, without the second look at each near pair
    #[argh(switch)]
    hash_only: bool,
    /// decode all pixels for the hash: slower, and to the bit what imagededup computes
    #[argh(switch)]
    exact_hash: bool,
    /// find turned and mirrored copies too
    #[argh(switch)]
    rotations: bool,
    /// confirm near pairs by the cosine of their feature vectors, at least this (such as 0.9)
    #[argh(option)]
    verify: Option<f32>,
    /// file that keeps the hashes between runs (default: ocellus/dedup in the user's cache folder)
    #[argh(option)]
    cache: Option<PathBuf>,
    /// keep no hashes
    #[argh(switch)]
    no_cache: bool,
    /// hash anew what is kept
    #[argh(switch)]
    recompute: bool,
    /// write a contact sheet to this HTML file
    #[argh(option)]
    html: Option<PathBuf>,
    /// move the files that may go to this directory, with a list that puts them back
    #[argh(option)]
    move_to: Option<PathBuf>,
    /// search this file instead: one hash in hexadecimal digits a line, - for standard input
    #[argh(option)]
    hashes: Option<String>,
    /// with --hashes: print each pair of lines
    #[argh(switch)]
    pairs: bool,
    /// write JSON records
    #[argh(switch)]
    json: bool,
    /// photographs worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// no progress lines
    #[argh(switch)]
    quiet: bool,
}

impl Dedup {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if let Some(file) = &self.hashes {
            let idle =
                [!self.directories.is_empty(), self.html.is_some(), self.move_to.is_some(), self.verify.is_some()];
            if idle.contains(&true) || !self.reference.is_empty() {
                let message = "--hashes searches a file of hashes alone: no directories, --html, --move-to or --verify";
                return Err(Error::Usage(message.into()));
            }
            return codes::search(file, self.threshold, self.pairs, self.json).map(|()| Outcome::Pass);
        }
        if self.pairs {
            return Err(Error::Usage("--pairs prints the pairs of a file of hashes: name it with --hashes".into()));
        }
        let (settings, threshold) = self.flags().resolve(options)?;
        if self.directories.is_empty() {
            return Err(Error::Usage("no directories given: name those whose photographs are to be compared".into()));
        }
        self.html.as_deref().map_or(Ok(()), output::check_file)?;
        self.move_to
            .as_deref()
            .map_or(Ok(()), |folder| files::check_apart(folder, &self.directories, &self.reference))?;
        let verifier = verifier(self.verify)?;
        let mut cache = self.open_cache()?;
        let spinner = batch::stage(self.quiet, "files found");
        let listing = files::list(&self.reference, &self.directories, self.move_to.as_deref(), &spinner);
        spinner.finish_and_clear();
        if let Some(html) = &self.html {
            let sources: Vec<_> = listing.files.iter().map(files::File::source).collect();
            output::check_apart(std::slice::from_ref(html), &sources)?;
        }
        let verify = verifier.as_ref().map(|(embedder, least)| (embedder, *least));
        let rules = Rules { threshold, hash_only: self.hash_only, verify };
        let found = search(listing, &settings, &rules, &mut cache)?;
        found.print(settings.hashing.bits, self.json)?;
        if let Some(file) = &self.html {
            sheet::write(&found, file, options)?;
        }
        let mut failed = !found.troubles.is_empty();
        if let Some(folder) = &self.move_to {
            failed |= moving::move_spares(&found, folder)?;
        }
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }

    fn flags(&self) -> Flags<'_> {
        Flags {
            hash: &self.hash,
            bits: self.bits,
            threshold: self.threshold,
            whole: self.exact_hash,
            hash_only: self.hash_only,
            turns: self.rotations,
            recompute: self.recompute,
        }
    }

    fn open_cache(&self) -> Result<Cache> {
        match (&self.cache, default_cache()) {
            _ if self.no_cache => Cache::temporary(),
            (Some(file), _) => Cache::open(file),
            (None, Some(file)) => Cache::open_or_temporary(&file),
            (None, None) => Cache::temporary(),
        }
    }
}
