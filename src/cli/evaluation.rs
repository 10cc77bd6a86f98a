//! Test sets on disk: finding them, learning from them, inspecting them.

use super::{batch, recipes};
use crate::error::{Error, Result};
use crate::input::{self, Source};
use crate::recipe::Method;
use crate::tasks::evaluate::{GOOD, Tested, summarise};
use crate::tasks::inspect::AlignChoice;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use crate::tasks::evaluate::Category;

/// How the sets are learned.
#[derive(Debug)]
pub struct Plan {
    /// Method of the one region, the whole picture.
    pub method: Method,
    /// Whether parts are aligned.
    pub align: AlignChoice,
    /// The model's name; the default one if absent.
    pub model: Option<String>,
    /// Of all random choices.
    pub seed: u64,
}

/// The test sets in `folder`: itself, or each of its sub-folders that is one, sorted.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_set = |p: &Path| p.join("train/good").is_dir() && p.join("test").is_dir();
    if is_set(folder) {
        return Ok(vec![folder.to_path_buf()]);
    }
    let mut sets: Vec<PathBuf> = entries(folder)?.into_iter().filter(|p| is_set(p)).collect();
    sets.sort();
    if sets.is_empty() {
        return Err(Error::Input(format!(
            "{}: no test set found; expected train/good and test/KIND in it, or in its sub-folders",
            folder.display()
        )));
    }
    Ok(sets)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(folder, "read", e);
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).map_err(failed)?.map(|e| Ok(e.map_err(failed)?.path())).collect::<Result<_>>()?;
    found.sort();
    Ok(found)
}

/// Learns and tests one set. Returns also whether a picture could not be used.
pub fn run(set: &Path, plan: &Plan, options: batch::Options) -> Result<(Category, bool)> {
    let mut bad = false;
    let sources = |folder: PathBuf| input::expand(&[folder.display().to_string()]);
    let request = recipes::Request {
        golden: None,
        regions: Vec::new(),
        method: plan.method,
        texts: recipes::Texts::default(),
        align: plan.align,
        model: plan.model.clone(),
        seed: plan.seed,
    };
    let (folder, _) = recipes::learn(&sources(set.join("train").join(GOOD)), options, request, |source, error| {
        bad = true;
        batch::complain(source, error);
    })?;
    let inspector = recipes::inspector(&folder, options.limits)?;
    let kinds: Vec<String> = entries(&set.join("test"))?
        .into_iter()
        .filter(|p| p.is_dir())
        .filter_map(|p| Some(p.file_name()?.to_str()?.to_string()))
        .collect();
    let tests: Vec<(Source, &str)> = kinds
        .iter()
        .flat_map(|kind| sources(set.join("test").join(kind)).into_iter().map(move |s| (s, kind.as_str())))
        .collect();
    let pictures: Vec<Source> = tests.iter().map(|(s, _)| s.clone()).collect();
    let mut tested = Vec::new();
    let failed = batch::run(
        &pictures,
        options,
        |at, photo| {
            let (source, kind) = &tests[at];
            let start = Instant::now();
            let inspection = inspector.inspect(&photo)?;
            let ms = start.elapsed().as_secs_f64() * 1000.0;
            let mask_file = set.join("ground_truth").join(kind).join(format!("{}_mask.png", source.stem()));
            let mask = match *kind != GOOD && mask_file.is_file() {
                true => Some(Source::File(mask_file.clone()).load(&options.limits)?),
                false => None,
            };
            if let Some(mask) = mask.as_ref().filter(|m| (m.width(), m.height()) != (photo.width(), photo.height())) {
                return Err(Error::Input(format!(
                    "{}: the mask is {}x{}, its picture {}x{}",
                    mask_file.display(),
                    mask.width(),
                    mask.height(),
                    photo.width(),
                    photo.height()
                )));
            }
            Ok(Tested::new(kind, &photo, &inspection, mask.as_ref(), ms))
        },
        |at, result| {
            match result {
                Ok(one) => tested.push(one),
                Err(error) => batch::complain(&pictures[at], &error),
            }
            Ok(())
        },
    )?;
    let name = set.file_name().map_or_else(|| set.display().to_string(), |n| n.to_string_lossy().into_owned());
    let memory = folder.memories.iter().map(Vec::len).sum();
    let category = summarise(&name, plan.method.name(), folder.recipe.good_images, memory, &tested);
    Ok((category, bad || failed))
}
