//! `ocellus label check`

use crate::cli::label::checking;
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use crate::report::labels;
use argh::FromArgs;
use std::path::Path;

/// Check a data set in the YOLO format before it is learned from. The exit code is 0 if nothing is wrong, 1 if something
/// is, 2 if the data set cannot be read.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "label check")]
pub struct LabelCheck {
    /// the folder of the data set, or its data.yaml
    #[argh(positional)]
    dataset: String,
    /// shorter side in pixels below which an object is tiny (default: 4)
    #[argh(option, default = "4.0")]
    min_side: f32,
    /// let warnings count as errors
    #[argh(switch)]
    strict: bool,
    /// write JSON Lines
    #[argh(switch)]
    json: bool,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// no progress on standard error
    #[argh(switch)]
    quiet: bool,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
}

impl LabelCheck {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if !(0.0..=1e6).contains(&self.min_side) {
            return Err(Error::Usage(format!("--min-side is {}, expected a number of pixels", self.min_side)));
        }
        let found = checking::check(Path::new(&self.dataset), self.min_side, options)?;
        if self.json {
            found.counts.iter().try_for_each(|c| output::line(&labels::class_record(c)?))?;
            found.problems.iter().try_for_each(|p| output::line(&labels::problem_record(p)?))?;
            output::line(&labels::check_record(&self.dataset, &found.set, &found.problems)?)?;
        } else {
            output::line(&labels::table(&found.set, &found.counts))?;
            output::line(&labels::problems(&found.problems))?;
        }
        let wrong = found.problems.iter().any(|p| self.strict || !p.kind.is_warning());
        Ok(if wrong { Outcome::Fail } else { Outcome::Pass })
    }
}
