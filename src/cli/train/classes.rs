//! `ocellus train classes`: from pictures to examples.

use super::folders::{Folders, Photo};
use super::store::Store;
use crate::cli::batch::{self, Options};
use crate::cli::output;
use crate::cli::process::memory;
use crate::error::{Error, Result};
use crate::input::{self, Limits, Source};
use crate::preprocess::Part;
use crate::recipe;
use crate::report::trained_classes;
use crate::tasks::embed::Embedder;
use crate::tensor::Tensor;
use crate::train::augment::Augment;
use crate::train::classes::{Event, Example};
use crate::train::logistic::Step;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How a picture becomes features.
#[derive(Debug)]
pub struct Looker {
    /// The network.
    pub embedder: Embedder,
    /// What is cut out of the picture first.
    pub part: Option<Part>,
    /// The views of pictures that are learned from.
    pub augment: Augment,
    /// SHA-256 of the network.
    pub model: String,
    /// Where features are kept.
    pub store: Store,
}

impl Looker {
    /// The features of the views of the picture in `source`, the picture as it is first: kept ones, or new ones.
    fn features_of(&self, source: &Source, augment: Augment, limits: &Limits) -> Result<Vec<Vec<f32>>> {
        let bytes = source.read()?;
        let part = self.part.map_or_else(String::new, |p| p.to_string());
        let settings = [&bytes, self.model.as_bytes(), part.as_bytes(), augment.name().as_bytes()];
        let key = Store::key(&settings);
        if let Some(kept) = self.store.get(&key) {
            return Ok(kept.into_iter().map(Tensor::into_data).collect());
        }
        let photo = input::decode(&source.name(), &bytes, limits)?;
        let views = match &self.part {
            Some(part) => augment.views(&part.cut(&photo)?)?,
            None => augment.views(&photo)?,
        };
        let features: Vec<Vec<f32>> = views.iter().map(|view| self.embedder.embed(view)).collect::<Result<_>>()?;
        let tensors = features.iter().map(|f| Tensor::new(vec![f.len()], f.clone())).collect::<Result<Vec<_>>>()?;
        self.store.put(&key, &tensors)?;
        Ok(features)
    }

    /// The examples of `set`, those to learn from and those to measure on. Pictures that cannot be read leave the set.
    pub fn examples(&self, set: &mut Folders, options: Options) -> Result<(Vec<Example>, Vec<Example>)> {
        let count = set.train.len();
        let photos: Vec<Photo> = set.train.iter().chain(&set.val).cloned().collect();
        let sources: Vec<Source> = photos.iter().map(|p| p.source.clone()).collect();
        let (mut train, mut val, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        let augment = |at: usize| if at < count { self.augment } else { Augment::None };
        batch::each_source(
            &sources,
            options,
            |at, source| self.features_of(source, augment(at), &options.limits),
            |at, result| {
                match result {
                    Ok(views) => {
                        let part = if at < count { &mut train } else { &mut val };
                        part.push(Example { class: photos[at].class, views });
                    }
                    Err(error) => unreadable.push((at, error.one_line())),
                }
                Ok(())
            },
        )?;
        set.drop_unreadable(&unreadable);
        Ok((train, val))
    }
}

/// The part that `--region`, or `--recipe` with the name of one of its regions, says.
pub fn part(recipe: Option<&Path>, region: Option<&str>) -> Result<Option<Part>> {
    let wrong = |why: String| Error::Usage(format!("--region {why}"));
    let Some(folder) = recipe else { return region.map(|r| r.parse().map_err(wrong)).transpose() };
    // A path of recipe.toml itself is as good as its folder's.
    let folder =
        if folder.file_name().is_some_and(|n| n == recipe::FILE) { folder.parent().unwrap_or(folder) } else { folder };
    let recipe = recipe::Folder::read(folder)?.recipe;
    let known = recipe.regions.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(name) = region else {
        return Err(Error::Usage(format!("--recipe needs --region with the name of one of its regions: {known}")));
    };
    let region = recipe.regions.iter().find(|r| r.name == name);
    let region = region.ok_or_else(|| wrong(format!("{name:?}: the recipe has {known}")))?;
    Part::of(&region.bounds(), recipe.golden.width, recipe.golden.height).map(Some).map_err(wrong)
}

/// Makes sure, before the work starts, that the results can be written, and over no picture of `set`.
pub fn check_out(out: &Path, report: &Path, set: &Folders) -> Result<()> {
    let photos = set.train.iter().chain(&set.val);
    super::check_out(out, report, &photos.map(|p| p.source.clone()).collect::<Vec<_>>())
}

/// Tells how a training goes, while it does: a bar for the cross-validation, then every tenth iteration and the last, as
/// records or in words.
pub struct Watch {
    most: usize,
    json: bool,
    quiet: bool,
    bar: std::sync::OnceLock<indicatif::ProgressBar>,
    steps: Mutex<Vec<Step>>,
}

impl Watch {
    /// Of a training of `most` iterations.
    pub fn new(most: usize, json: bool, quiet: bool) -> Self {
        Watch { most, json, quiet, bar: Default::default(), steps: Default::default() }
    }

    /// Tells of what happened.
    pub fn event(&self, event: Event) {
        match event {
            Event::Validated(of) => {
                self.bar.get_or_init(|| batch::progress(of as u64, self.quiet, "heads of the cross-validation")).inc(1);
            }
            Event::Step(step) => {
                if step.iteration % 10 == 0 {
                    self.tell(&step);
                }
                self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
            }
        }
    }

    fn tell(&self, step: &Step) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
        if self.json {
            // A reader that is gone is told of with the last record.
            let _ = trained_classes::epoch(step, self.most).and_then(|record| output::line(&record));
        } else if !self.quiet {
            let Step { iteration, loss, gradient, .. } = step;
            let memory = memory().map_or(String::new(), |bytes| format!("  {} MB", bytes / 1_000_000));
            output::note(&format!("iteration {iteration:>4}  loss {loss:.5}  gradient {gradient:.1e}{memory}"));
        }
    }

    /// All iterations, the last of which is told.
    pub fn finish(self) -> Vec<Step> {
        let steps = std::mem::take(&mut *self.steps.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(last) = steps.last().filter(|s| s.iteration % 10 != 0) {
            self.tell(last);
        }
        steps
    }
}

/// What the report says of the settings, name and value.
pub fn facts(set: &Path, model: &str, looker: &Looker, seed: u64, val: Option<&Path>) -> Vec<(String, String)> {
    let mut facts = vec![
        ("pictures".to_string(), set.display().to_string()),
        ("features".into(), model.into()),
        ("views".into(), looker.augment.name().into()),
        ("seed".into(), seed.to_string()),
    ];
    facts.extend(val.map(|v| ("measured on".into(), v.display().to_string())));
    facts.extend(looker.part.map(|p| ("part of each picture".into(), p.to_string())));
    facts
}
