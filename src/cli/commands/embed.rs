//! `ocellus embed`

use crate::cli::{Outcome, batch, output};
use crate::error::Result;
use crate::input;
use crate::models;
use crate::report::{json, npy};
use crate::tasks::embed::Embedder;
use argh::FromArgs;
use std::path::PathBuf;

/// Compute a feature vector (1280 values) for each picture and write it as a JSON record.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "embed")]
pub struct Embed {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// id of an embedded model or path of an .onnx file (default: the first embedded)
    #[argh(option)]
    model: Option<String>,
    /// write the vectors of all readable pictures to this NumPy file (rows x 1280, float32) instead
    #[argh(option)]
    npy: Option<PathBuf>,
    /// write JSON records, which is also the default
    #[argh(switch)]
    #[allow(dead_code, reason = "accepted so that --json means the same for every command")]
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

impl Embed {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if let Some(file) = &self.npy {
            output::check_file(file)?;
            output::check_apart(std::slice::from_ref(file), &sources)?;
        }
        let model = match &self.model {
            Some(name) => models::resolve(name)?,
            None => models::default_for("features")?.clone(),
        };
        let embedder = Embedder::new(&model)?;
        let mut rows: Vec<Vec<f32>> = Vec::new();
        let failed = batch::run(
            &sources,
            options,
            |_, image| embedder.embed(&image),
            |at, result| {
                let source = &sources[at];
                if let Err(error) = &result {
                    batch::complain(source, error);
                }
                match (&self.npy, result) {
                    (Some(_), Ok(vector)) => rows.push(vector),
                    (Some(_), Err(_)) => {}
                    (None, result) => output::line(&json::embed(&source.name(), &model.info.id, &result)?)?,
                }
                Ok(())
            },
        )?;
        if let Some(file) = &self.npy {
            output::write_file(file, &npy::encode(&rows))?;
        }
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }
}
