//! `ocellus label ontology`

use crate::cli::label::templates;
use crate::cli::{Outcome, batch, output};
use crate::error::Result;
use crate::input;
use crate::report::labels;
use argh::FromArgs;
use std::path::PathBuf;

/// Make an ontology of a folder of templates: a class each, named as its file, and what is wrong with the templates.
/// Exit code 1 if something is, 2 if a file is no picture.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "label ontology")]
pub struct LabelOntology {
    /// folder with a picture of each symbol or object; sub-folders are groups
    #[argh(positional)]
    templates: String,
    /// the file to write, ontology.toml
    #[argh(option)]
    out: PathBuf,
    /// write anew a file that is there
    #[argh(switch)]
    force: bool,
    /// write one JSON record a template
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

impl LabelOntology {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let made = templates::ontology(&self.templates, &self.out, self.force, options)?;
        output::write_file(&self.out, made.ontology.to_text()?.as_bytes())?;
        if self.json {
            made.templates.iter().try_for_each(|t| output::line(&labels::template_record(t)?))?;
        } else {
            output::text(&labels::templates(&self.out.display().to_string(), &made.ontology, &made.templates))?;
        }
        let is = |wanted: fn(&labels::Flaw) -> bool| made.templates.iter().any(|t| t.flaw.as_ref().is_some_and(wanted));
        Ok(match (is(labels::Flaw::is_error), is(|_| true)) {
            (true, _) => Outcome::Error,
            (_, true) => Outcome::Fail,
            _ => Outcome::Pass,
        })
    }
}
