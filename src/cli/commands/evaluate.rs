//! `ocellus evaluate`

use crate::cli::evaluation::{self, Category};
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use crate::recipe::Method;
use crate::report::{json, text};
use crate::tasks::inspect::AlignChoice;
use argh::FromArgs;
use std::path::PathBuf;

/// Measure a method on a test set in the MVTec AD layout (train/good, test/KIND, ground_truth/KIND/NAME_mask.png), or on
/// a folder of such sets: learns from train/good, inspects test, and prints for each set image AUROC, pixel AUROC,
/// false calls and escapes at the learned threshold, milliseconds an image, and memory size.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "evaluate")]
pub struct Evaluate {
    /// a test set, or a folder of test sets
    #[argh(positional)]
    folder: PathBuf,
    /// patch (default), cosine or classical
    #[argh(option, default = "Method::Patch")]
    method: Method,
    /// auto (default), pose or none: whether parts are brought to the place of the first good one
    #[argh(option, default = "AlignChoice::Auto")]
    align: AlignChoice,
    /// id of an embedded model or path of an .onnx file (default: the first embedded)
    #[argh(option)]
    model: Option<String>,
    /// seed of all random choices (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// write one JSON record a set, and one of the means
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

impl Evaluate {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let sets = evaluation::find(&self.folder)?;
        let plan = evaluation::Plan { method: self.method, align: self.align, model: self.model, seed: self.seed };
        if !self.json {
            output::line(text::EVALUATION_HEAD)?;
        }
        let mut done: Vec<Category> = Vec::new();
        let mut failed = false;
        for set in &sets {
            match evaluation::run(set, &plan, options) {
                Ok((category, bad)) => {
                    failed |= bad;
                    match self.json {
                        true => output::line(&json::plain("evaluate", &category)?)?,
                        false => output::line(&text::category(&category))?,
                    }
                    done.push(category);
                }
                Err(Error::ClosedPipe) => return Err(Error::ClosedPipe),
                Err(error) => {
                    failed = true;
                    output::note(&format!("error: {}: {}", set.display(), error.one_line()));
                    if self.json {
                        output::line(&json::failed("evaluate", &set.display().to_string(), &error)?)?;
                    }
                }
            }
        }
        if done.len() > 1 {
            let mean = Category::mean(&done);
            match self.json {
                true => output::line(&json::plain("evaluate_mean", &mean)?)?,
                false => output::line(&text::category(&mean))?,
            }
        }
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }
}
