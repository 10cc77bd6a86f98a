//! `ocellus train classes`

use crate::cli::train::classes::{self as work, Looker};
use crate::cli::train::folders::Folders;
use crate::cli::train::store::{Precision, Store};
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use crate::models;
use crate::models::manifest::{Fit, Resample};
use crate::report::trained_classes::{Lesson, json, page, text};
use crate::report::training;
use crate::tasks::embed::Embedder;
use crate::train::augment::Augment;
use crate::train::classes::{self, Params};
use argh::FromArgs;
use std::path::PathBuf;
use std::time::Instant;

/// Train a classifier on pictures in folders, one a class, and write it as one ONNX file for classify.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "train classes")]
pub struct TrainClasses {
    /// folder with one folder a class
    #[argh(positional)]
    set: PathBuf,
    /// the ONNX file to write
    #[argh(option)]
    out: PathBuf,
    /// folder with the same folders, to measure on (default: the pictures themselves, each by a head made without it)
    #[argh(option)]
    val: Option<PathBuf>,
    /// id of an embedded model that makes features (default: the first embedded)
    #[argh(option)]
    model: Option<String>,
    /// look at a part of each picture only: x1,y1,x2,y2 as shares of 0 to 1, or with --recipe the name of a region
    #[argh(option)]
    region: Option<String>,
    /// an inspection recipe, one of whose regions --region names; parts must lie as the golden one does
    #[argh(option)]
    recipe: Option<PathBuf>,
    /// views to learn from: none, flip (mirrored), shift (cuts, darker, lighter) or full (all; default: full, of a region shift)
    #[argh(option)]
    augment: Option<Augment>,
    /// inverse strength of the penalty (default: of seven the nearest to 1 that cross-validation finds as good as the best)
    #[argh(option)]
    c: Option<f64>,
    /// iterations of the minimisation at most (default: 1000; it stops when it is done)
    #[argh(option, default = "1000")]
    epochs: usize,
    /// for the division into the parts of the cross-validation (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// the HTML report (default: beside --out)
    #[argh(option)]
    report: Option<PathBuf>,
    /// keep the features of the pictures in this folder, for other trainings (default: beside --out, until it is written)
    #[argh(option)]
    cache: Option<PathBuf>,
    /// go on after a run that was ended: its features are used, as they always are
    #[argh(switch)]
    #[allow(dead_code, reason = "accepted so that --resume means the same for every training")]
    resume: bool,
    /// write one JSON record every ten iterations and one at the end
    #[argh(switch)]
    json: bool,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// no progress
    #[argh(switch)]
    quiet: bool,
}

impl TrainClasses {
    pub fn run(self) -> Result<Outcome> {
        let start = Instant::now();
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if self.c.is_some_and(|c| !(c.is_finite() && c > 0.0)) || self.epochs == 0 {
            return Err(Error::Usage("--c and --epochs must be above 0".into()));
        }
        let report = self.report.clone().unwrap_or_else(|| self.out.with_extension("html"));
        let part = work::part(self.recipe.as_deref(), self.region.as_deref())?;
        let mut model = match &self.model {
            Some(name) => models::resolve(name)?,
            None => models::default_for("features")?.clone(),
        };
        // As the file will say it; whatever the model says of other uses.
        (model.info.input.fit, model.info.input.resample) = (Fit::Stretch, Resample::Area);
        let mut set = Folders::read(&self.set, self.val.as_deref())?;
        work::check_out(&self.out, &report, &set)?;
        let mut told = 0;
        set.tell(&mut told)?;
        let augment = self.augment.unwrap_or(if part.is_some() { Augment::Shift } else { Augment::Full });
        let store = Store::open(self.cache.as_deref(), &self.out, Precision::Single)?;
        let trunk = classes::as_in_file(&model)?;
        let looker = Looker { embedder: Embedder::new(&trunk)?, part, augment, model: trunk.info.sha256, store };
        let (train, val) = looker.examples(&mut set, options)?;
        if let Err(error) = set.tell(&mut told) {
            looker.store.finish();
            return Err(error);
        }
        let features_seconds = start.elapsed().as_secs_f64();
        let params = Params { c: self.c, iterations: self.epochs, seed: self.seed };
        let watch = work::Watch::new(self.epochs, self.json, self.quiet);
        let trained = classes::train(&train, set.names.len(), &params, &|event| watch.event(event))?;
        let steps = watch.finish();
        let measured = (!val.is_empty()).then(|| classes::measure(&trained.head, &val));
        let photos = if measured.is_some() { &set.val } else { &set.train };
        let bytes = classes::onnx(&trained.head, &model, model.info.input.size, &set.names, part.as_ref())?;
        let (paths, out) = (photos.iter().map(|p| p.source.name()).collect(), self.out.display().to_string());
        let lesson = Lesson {
            out: &out,
            report: &report.display().to_string(),
            names: &set.names,
            counts: set.counts(&set.train),
            trained: &trained,
            measured: measured.as_ref(),
            paths,
            steps: &steps,
            facts: work::facts(&self.set, &model.info.id, &looker, self.seed, self.val.as_deref()),
            notes: set.notes(),
            seconds: [features_seconds, start.elapsed().as_secs_f64()],
        };
        let picture = |at: usize| photos[at].source.load(&options.limits).ok();
        output::write_file(&report, training::page(&page(&lesson, picture)).as_bytes())?;
        output::write_file(&self.out, &bytes)?;
        looker.store.finish();
        output::line(&if self.json { json(&lesson)? } else { text(&lesson) })?;
        Ok(Outcome::Pass)
    }
}
