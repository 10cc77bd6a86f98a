//! `ocellus label apply`

use crate::cli::label::apply;
use crate::cli::{Outcome, output};
use crate::error::Result;
use crate::report::{applied, json};
use argh::FromArgs;
use std::path::PathBuf;

/// Apply the decisions that a review page saved: rejected objects go, relabelled ones get their class, accepted and
/// relabelled ones lose score and doubt and count as made by hand. The labels as they were are kept in a folder backup-1,
/// backup-2, ... of the data set. The exit code is 1 if objects were not found because the labels were edited meanwhile.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "label apply")]
pub struct LabelApply {
    /// folder of the data set: data.yaml, images, labels
    #[argh(positional)]
    dataset: PathBuf,
    /// the file that the page saved
    #[argh(positional)]
    decisions: PathBuf,
    /// tell what would be done, and change nothing
    #[argh(switch)]
    dry_run: bool,
    /// write a JSON record
    #[argh(switch)]
    json: bool,
    /// do not name the objects that are not found
    #[argh(switch)]
    quiet: bool,
}

impl LabelApply {
    pub fn run(self) -> Result<Outcome> {
        let done = apply::apply(&self.dataset, &self.decisions, self.dry_run, |decision, reason| {
            if !self.quiet {
                output::note(&applied::missing(decision, reason));
            }
        })?;
        output::line(&match self.json {
            true => json::applied(&self.dataset.to_string_lossy(), &done)?,
            false => done.text(),
        })?;
        Ok(if done.missing > 0 { Outcome::Fail } else { Outcome::Pass })
    }
}
