//! `ocellus learn`

use crate::cli::args::restore_stdin;
use crate::cli::recipes::{self, RegionArg, TextArg, Texts};
use crate::cli::{Outcome, batch, output};
use crate::error::Result;
use crate::input;
use crate::recipe::{self, Folder, Method};
use crate::report::{json, text};
use crate::tasks::inspect::AlignChoice;
use argh::FromArgs;
use std::path::PathBuf;

/// Learn a recipe from photographs of good parts: what to look at, how good parts differ, and from which score on a
/// part is bad. Twenty photographs are a good number, three the least. The first is the golden image, in whose pixels
/// regions are given; choose another with --golden.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "learn")]
pub struct Learn {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// the recipe folder to make
    #[argh(option)]
    out: PathBuf,
    /// replace the recipe that is already there
    #[argh(switch)]
    force: bool,
    /// a place to look at: name=x,y,width,height, and :method behind it if it differs from --method; several can be
    /// given (default: the whole picture)
    #[argh(option)]
    region: Vec<RegionArg>,
    /// region=regex: what the printed line of a region of the method text must match
    #[argh(option)]
    pattern: Vec<TextArg>,
    /// region=text: the printed line of a region of the method text itself
    #[argh(option)]
    expect: Vec<TextArg>,
    /// region=kind: a check digit that the text must have: luhn, ean13, ... (see ocellus ocr --help)
    #[argh(option)]
    check: Vec<TextArg>,
    /// patch (default), cosine, classical or text
    #[argh(option, default = "Method::Patch")]
    method: Method,
    /// the golden image (default: the first of the good ones)
    #[argh(option)]
    golden: Option<String>,
    /// auto (default), pose or none: whether parts are brought to the place of the golden one
    #[argh(option, default = "AlignChoice::Auto")]
    align: AlignChoice,
    /// good pictures of another day: tells how many false calls to expect there
    #[argh(option)]
    holdout: Option<String>,
    /// id of an embedded model or path of an .onnx file (default: the first embedded)
    #[argh(option)]
    model: Option<String>,
    /// seed of all random choices (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// write the summary as a JSON record
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

impl Learn {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        recipe::check_writable(&self.out, self.force)?;
        let request = recipes::Request {
            golden: self.golden.map(|name| restore_stdin(&name)),
            regions: self.region,
            method: self.method,
            texts: Texts { patterns: self.pattern, expected: self.expect, checks: self.check },
            align: self.align,
            model: self.model,
            seed: self.seed,
        };
        let holdout = self.holdout.as_ref().map(|name| batch::sources(std::slice::from_ref(name))).transpose()?;
        let mut bad = false;
        let (folder, held_out) = recipes::learn(&sources, options, request, |source, error| {
            bad = true;
            batch::complain(source, error);
        })?;
        let folder = Folder { path: self.out, ..folder };
        folder.write(self.force)?;
        let holdout = match holdout {
            Some(sources) => {
                let (calls, seen, failed) = recipes::false_calls(&folder, &sources, options)?;
                bad |= failed;
                Some((calls, seen))
            }
            None => None,
        };
        match self.json {
            true => output::line(&json::learned(&folder, &held_out, holdout)?)?,
            false => output::line(&text::learned(&folder, &held_out, holdout))?,
        }
        // The recipe was made, but without the pictures that were complained about.
        Ok(if bad { Outcome::Error } else { Outcome::Pass })
    }
}
