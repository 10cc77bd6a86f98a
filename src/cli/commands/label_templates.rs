//! `ocellus label templates`

use crate::cli::detection::share;
use crate::cli::label::classes::Known;
use crate::cli::label::run::{self, Job, Labelled};
use crate::cli::label::shares::Shares;
use crate::cli::{Outcome, batch};
use crate::error::Result;
use crate::input;
use crate::tasks::label::Search;
use argh::FromArgs;
use std::path::PathBuf;
use std::str::FromStr;

/// Label drawings and photographs on this machine: find what the ontology's templates show, in any size, turn and mirror
/// image, and write a YOLO data set.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "label templates")]
pub struct LabelTemplates {
    /// the classes and their templates, as `ocellus label ontology` writes them
    #[argh(option)]
    ontology: PathBuf,
    /// file or directory of pictures; several can be given
    #[argh(option)]
    images: Vec<String>,
    /// the data set to write: a new folder
    #[argh(option)]
    out: PathBuf,
    /// least score, 0 to 1: of labels with a score of 0.8 about four in five are right (default: 0.4)
    #[argh(option, default = "0.4", from_str_fn(share))]
    conf: f32,
    /// sizes relative to the templates, smallest and largest (default: 0.8-1.25)
    #[argh(option, default = "Scales(0.8, 1.25)")]
    scales: Scales,
    /// step between turns in degrees, 0 for upright ones only (default: 90)
    #[argh(option, default = "90.0")]
    rotation_step: f32,
    /// no mirror images
    #[argh(switch)]
    no_mirror: bool,
    /// shares of train, val and test; near-duplicates stay together (default: 0.8,0.1,0.1)
    #[argh(option, default = "Shares::default()")]
    split: Shares,
    /// seed of the division (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// link the pictures instead of copying them, where the disk can
    #[argh(switch)]
    link: bool,
    /// write each picture with its labels into this folder
    #[argh(option)]
    annotate: Option<PathBuf>,
    /// go on with a run that was cut off
    #[argh(switch)]
    resume: bool,
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

/// `--scales`
#[derive(Debug, Clone, Copy)]
struct Scales(f32, f32);

impl FromStr for Scales {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok();
        let (low, high) = text.split_once(['-', ',', ':']).unwrap_or((text, text));
        match (number(low), number(high)) {
            (Some(low), Some(high)) => Ok(Scales(low, high)),
            _ => Err(format!("{text:?}: expected the smallest and the largest size, such as 0.8-1.25")),
        }
    }
}

impl LabelTemplates {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let known = Known::read(&self.ontology, options.limits)?;
        let search = Search {
            scales: (self.scales.0, self.scales.1),
            rotation_step: self.rotation_step,
            mirrored: !self.no_mirror,
            least: self.conf,
        };
        let sources = run::sources(&self.images, &self.out, self.annotate.as_deref())?;
        let symbols = known.symbols(&search)?;
        let classes = known.ontology.names();
        let job = Job {
            sources,
            out: &self.out,
            classes: &classes,
            how: format!("templates {} {search:?}", known.hash()?),
            resume: self.resume,
            division: (self.split.0, self.seed),
            link: self.link,
            annotate: self.annotate.as_deref(),
            json: self.json,
            options,
        };
        run::label(
            &job,
            |source| {
                log::debug!("picture {}", source.name());
                let image = source.load(&options.limits)?;
                Ok(Labelled { size: (image.width(), image.height()), objects: symbols.find(&image) })
            },
            || false,
        )
    }
}
