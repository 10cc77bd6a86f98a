//! `ocellus label review`

use crate::cli::detection::share;
use crate::cli::label::review::{self, Wanted};
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use crate::report::json;
use argh::FromArgs;
use std::path::PathBuf;

/// Write a page with a picture of every labelled object, on which a person accepts, rejects and relabels them. It opens in
/// any browser, without a network; what it saves goes to `label apply`.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "label review")]
pub struct LabelReview {
    /// folder of the data set: data.yaml, images, labels
    #[argh(positional)]
    dataset: PathBuf,
    /// the page to write
    #[argh(option)]
    html: PathBuf,
    /// only objects of these classes, with commas between
    #[argh(option)]
    class: Option<String>,
    /// only objects whose score is lower (such as 0.8), and those with a doubt
    #[argh(option, from_str_fn(share))]
    below: Option<f32>,
    /// at most so many objects: those that need a look most
    #[argh(option)]
    limit: Option<usize>,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// write JSON records
    #[argh(switch)]
    json: bool,
    /// no progress line
    #[argh(switch)]
    quiet: bool,
}

impl LabelReview {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if self.limit == Some(0) {
            return Err(Error::Usage("--limit is 0, expected 1 or more".into()));
        }
        output::check_file(&self.html)?;
        let wanted = Wanted { classes: self.class.as_deref(), below: self.below, limit: self.limit };
        let shown = review::write(&self.dataset, &self.html, &wanted, options, |source, error| {
            batch::complain(source, error);
            match self.json {
                true => output::line(&json::failed("label_review", &source.name(), error)?),
                false => Ok(()),
            }
        })?;
        let page = self.html.to_string_lossy();
        output::line(&match self.json {
            true => json::reviewed(&page, &shown)?,
            false => shown.text(&page),
        })?;
        Ok(if shown.failed > 0 { Outcome::Error } else { Outcome::Pass })
    }
}
