//! `ocellus train detect`

use crate::cli::train::detect::{Data, check_out, facts, metadata, state};
use crate::cli::train::progress::{Progress, other_run};
use crate::cli::train::samples::Samples;
use crate::cli::train::store::{Precision, Store};
use crate::cli::{Outcome, batch, output, train};
use crate::error::{Error, Result};
use crate::input;
use crate::models;
use crate::report::trained_detector::{Lesson, Wrong, json, page, text};
use crate::report::training;
use crate::train::detect::view::Augment;
use crate::train::detect::{Options, Trainer, Trunk};
use argh::FromArgs;
use std::path::PathBuf;
use std::time::Instant;

/// Train a detector on a YOLO data set, as label writes it, and write it as one ONNX file for detect.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "train detect")]
pub struct TrainDetect {
    /// the folder of the data set, or its data.yaml
    #[argh(positional)]
    dataset: PathBuf,
    /// the ONNX file to write
    #[argh(option)]
    out: PathBuf,
    /// passes over the pictures at most (default: 20 for many pictures to 200 for few)
    #[argh(option)]
    epochs: Option<usize>,
    /// end after so many passes without a better one (default: a third of them, at least 20)
    #[argh(option)]
    patience: Option<usize>,
    /// longer side of the network's input in pixels, rounded to a multiple of 32 (default: so that most objects have 48; 640 to
    /// 2048)
    #[argh(option)]
    size: Option<u32>,
    /// what is done to pictures: none, light (size, place, light), full (mirrored too; default for photographs), turned (by
    /// quarters too) or copy-paste (more objects of the pictures set beside them too; default for drawings: dark lines on light
    /// paper)
    #[argh(option)]
    augment: Option<Augment>,
    /// id of the embedded model to build on (default: the first embedded)
    #[argh(option)]
    model: Option<String>,
    /// where chance begins: the same seed gives the same file on the same machine (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// leave out pictures that are wrong, or whose labels cannot all be read, instead of refusing the data set
    #[argh(switch)]
    force: bool,
    /// the HTML report (default: beside --out)
    #[argh(option)]
    report: Option<PathBuf>,
    /// keep the features of the pictures in this folder, for other trainings (default: beside --out, until it is written)
    #[argh(option)]
    cache: Option<PathBuf>,
    /// go on with a training that was ended
    #[argh(switch)]
    resume: bool,
    /// write one JSON record an epoch and one at the end
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

impl TrainDetect {
    pub fn run(self) -> Result<Outcome> {
        let start = Instant::now();
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if self.epochs == Some(0) || self.patience == Some(0) || self.size.is_some_and(|s| !(64..=4096).contains(&s)) {
            return Err(Error::Usage("--epochs and --patience must be above 0, --size 64 to 4096".into()));
        }
        let report = self.report.clone().unwrap_or_else(|| self.out.with_extension("html"));
        let model = match &self.model {
            Some(name) => models::resolve(name)?,
            None => models::default_for("features")?.clone(),
        };
        // Before the pictures are looked at, and again with them.
        train::check_out(&self.out, &report, &[])?;
        let data = Data::read(&self.dataset, self.force, self.seed, options)?;
        check_out(&self.out, &report, &data)?;
        let augment = self.augment.map_or_else(|| data.usual_augment(&options.limits), Ok)?;
        let store = Store::open(self.cache.as_deref(), &self.out, Precision::Half)?;
        let trunk = Trunk::new(&model, data.input_size(self.size))?;
        let samples = Samples::new(&trunk, augment, &store, self.seed, options.limits);
        let samples = samples.with_cuttings(&data, options)?;
        samples.fill(&data, options)?;

        let views = samples.views(data.train.len()) + 1;
        // Each picture begins with another of its views, so that an epoch has some of all.
        let learned =
            |at: usize, epoch: Option<usize>| samples.sample(&data.train[at], epoch.map_or(0, |e| (e + at) % views));
        let val = |at: usize, _: Option<usize>| samples.sample(&data.val[at], 0);
        let (learned, val) = ((data.train.len(), &learned as _), (data.val.len(), &val as _));
        let usual = Options::usual(data.train.len(), trunk.size());
        let usual = Options { epochs: self.epochs.unwrap_or(usual.epochs), seed: self.seed, ..usual }.patient();
        let settings = Options { patience: self.patience.unwrap_or(usual.patience), ..usual };
        let mut trainer = Trainer::new(settings.clone(), data.classes.len(), trunk.size(), learned.0, learned.1)?;
        let mark = state::mark(&data, &settings, &samples);
        let mut epochs = Vec::new();
        if let Some((values, note)) = store.state(self.resume) {
            epochs = state::epochs(&note, &mark).ok_or_else(|| other_run(store.folder()))?;
            trainer.restore(&values)?;
        }
        let progress = Progress::new("mAP50", trainer.done(), self.quiet, self.json);
        while !trainer.finished() {
            let epoch = trainer.epoch(learned, val)?;
            progress.epoch(&epoch)?;
            epochs.push(epoch);
            store.put_state(&trainer.state()?, &state::note(&mark, &epochs)?)?;
        }
        trainer.take_best()?;
        let validation = trainer.validate(val)?;
        let bytes = trainer.export(&trunk, &metadata(&data, &trunk, &model))?;
        let lesson = Lesson {
            out: &self.out.display().to_string(),
            report: &report.display().to_string(),
            names: &data.classes,
            epochs: &epochs,
            best: trainer.best_epoch(),
            validation: &validation,
            paths: data.val.iter().map(|p| p.place.path.clone()).collect(),
            facts: facts(&self.dataset, &data, &samples, &model),
            notes: data.notes.clone(),
            seconds: start.elapsed().as_secs_f64(),
        };
        let picture = |wrong: &Wrong| {
            let photo = &data.val[wrong.picture];
            let image = photo.load(&options.limits).ok()?;
            wrong.picture(&image, |rect| samples.plain(photo).to_source(rect)).ok()
        };
        output::write_file(&report, training::page(&page(&lesson, picture)).as_bytes())?;
        output::write_file(&self.out, &bytes)?;
        store.finish();
        output::line(&if self.json { json(&lesson)? } else { text(&lesson) })?;
        Ok(Outcome::Pass)
    }
}
