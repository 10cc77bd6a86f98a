//! `ocellus classify`

use crate::cli::detection::share;
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use crate::models;
use crate::report::classes::{self, Seen};
use crate::tasks::classify::Classifier;
use argh::FromArgs;
use std::time::Instant;

/// Say what pictures show: the most probable classes of each.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "classify")]
pub struct Classify {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// id of an embedded model or path of an .onnx file, as train classes writes it or a -cls export of Ultralytics (default:
    /// the 1000 classes of ImageNet)
    #[argh(option)]
    model: Option<String>,
    /// so many classes a picture, best first (default: 5)
    #[argh(option, default = "5")]
    top: usize,
    /// a picture whose best class is less probable than this is called unknown (default: 0)
    #[argh(option, default = "0.0", from_str_fn(share))]
    conf: f32,
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

impl Classify {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if self.top == 0 {
            return Err(Error::Usage("--top is 0, expected 1 or more".into()));
        }
        let classifier = match &self.model {
            Some(name) => Classifier::load(name)?,
            None => Classifier::new(models::default_for("classes")?)?,
        };
        let failed = batch::run(
            &sources,
            options,
            |_, photo| {
                let start = Instant::now();
                let probabilities = classifier.classify(&photo)?;
                Ok((probabilities, start.elapsed().as_secs_f64() * 1000.0))
            },
            |at, result| {
                let name = sources[at].name();
                if let Err(error) = &result {
                    batch::complain(&sources[at], error);
                }
                let seen = |(probabilities, ms): &(Vec<f32>, f64)| {
                    Seen::new(probabilities, classifier.labels(), self.top, self.conf, *ms)
                };
                match (self.json, result.as_ref().map(seen)) {
                    (true, seen) => output::line(&classes::json(&name, seen)?),
                    (false, Ok(seen)) => output::line(&classes::text(&name, &seen)),
                    (false, Err(_)) => Ok(()),
                }
            },
        )?;
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }
}
