//! `ocellus inspect`

use crate::cli::recipes::{self, ThresholdArg};
use crate::cli::{Outcome, batch, output};
use crate::error::Result;
use crate::input;
use crate::recipe::Folder;
use crate::report::{draw, json, overlay, text};
use crate::tasks::inspect::Verdict;
use argh::FromArgs;
use std::path::PathBuf;
use std::time::Instant;

/// Inspect photographs with a recipe: PASS or FAIL for each, and the place of each defect. The exit code is 0 if all
/// pass, 1 if one fails, 2 if one could not be inspected.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "inspect")]
pub struct Inspect {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// the recipe folder, made by `ocellus learn`
    #[argh(option)]
    recipe: PathBuf,
    /// write each photograph with its regions, heat map and verdict into this folder
    #[argh(option)]
    annotate: Option<PathBuf>,
    /// region=value: use this threshold instead of the recipe's; several can be given
    #[argh(option)]
    threshold: Vec<ThresholdArg>,
    /// write one JSON record a picture
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

impl Inspect {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let mut folder = Folder::read(&self.recipe)?;
        recipes::override_thresholds(&mut folder, &self.threshold)?;
        let pictures = output::pictures(self.annotate.as_deref(), &sources)?;
        let inspector = recipes::inspector(&folder, options.limits)?;
        let colour = output::colour();
        let mut outcome = Outcome::Pass;
        batch::run(
            &sources,
            options,
            |at, photo| {
                let start = Instant::now();
                let inspection = inspector.inspect(&photo)?;
                let ms = start.elapsed().as_secs_f64() * 1000.0;
                if let Some(file) = pictures.get(at) {
                    output::write_file(file, &draw::png(&overlay::inspection(&photo, &inspection)?)?)?;
                }
                Ok((inspection, ms))
            },
            |at, result| {
                let name = sources[at].name();
                outcome = outcome.max(match &result {
                    Ok((inspection, _)) if inspection.verdict == Verdict::Pass => Outcome::Pass,
                    Ok(_) => Outcome::Fail,
                    Err(_) => Outcome::Error,
                });
                if let Err(error) = &result {
                    batch::complain(&sources[at], error);
                }
                match (self.json, &result) {
                    (true, result) => output::line(&json::inspect(&name, result.as_ref().map(|(i, ms)| (i, *ms)))?),
                    (false, Ok((inspection, ms))) => output::line(&text::inspection(&name, inspection, *ms, colour)),
                    (false, Err(_)) => Ok(()),
                }
            },
        )?;
        Ok(outcome)
    }
}
