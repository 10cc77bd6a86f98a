//! `ocellus train cells`: check, features, epochs, the network, the report.

pub mod check;
mod features;

use crate::cells::Cells;
use crate::cli::batch::Options;
use crate::cli::label::pictures;
use crate::cli::train::progress::{Progress, other_run};
use crate::cli::train::store::{Precision, Store};
use crate::cli::{Outcome, output};
use crate::error::{Error, Result};
use crate::input::Source;
use crate::models;
use crate::report::training::{self, cells as report};
use crate::train::cells::{Answer, Fit, Trunk, mirrored_cells, read};
use check::{Faults, Labelled};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The network that the head is put onto.
const TRUNK: &str = "efficientnet-lite0";
/// Other looks of each picture, beside itself and its mirror image.
const MORE_LOOKS: usize = 2;
/// Worst mistakes in the report.
const MISTAKES: usize = 12;

/// What is asked for.
#[derive(Debug)]
pub struct Job {
    pub config: PathBuf,
    pub images: PathBuf,
    pub labels: PathBuf,
    pub out: PathBuf,
    pub report: PathBuf,
    pub cache: Option<PathBuf>,
    pub size: [u32; 2],
    /// Whether pictures may be mirrored where the cells are symmetric.
    pub mirror: bool,
    pub epochs: usize,
    pub seed: u64,
    pub resume: bool,
    pub json: bool,
    pub options: Options,
}

/// Trains, and says how it goes on standard error, or with `json` on standard output.
pub fn train(job: &Job) -> Result<Outcome> {
    let start = Instant::now();
    let cells = Cells::parse(&job.config.display().to_string(), &pictures::text(&job.config)?)?;
    super::check_out(&job.out, &job.report, &[])?;
    let (mut labelled, faults) = check::read(&job.images, &job.labels, &cells)?;
    stop_at(&faults)?;
    let sources: Vec<Source> = labelled.iter().map(|one| Source::File(one.picture.clone())).collect();
    super::check_out(&job.out, &job.report, &sources)?;
    let unseen = check::never_seen(&labelled, &cells);
    if !unseen.is_empty() {
        output::note(&format!("warning: no cell of any picture has the label {}", unseen.join(", ")));
    }

    let store = Store::open(job.cache.as_deref(), &job.out, Precision::Half)?;
    let models::Found::Described(model) = models::find(TRUNK)? else {
        return Err(Error::model(TRUNK, "is not in this build"));
    };
    let trunk = Trunk::new(&model, &cells, job.size)?;
    let mirror = job.mirror && mirrored_cells(&cells).is_some();
    let about = about(job, &cells, &model.bytes, mirror);
    let looks = (mirror, MORE_LOOKS);
    let all = labelled.len();
    let (examples, hash) = features::look(&mut labelled, &trunk, &about, looks, &store, job.options)?;

    let mut fit = Fit::new(&trunk, &cells, &examples, job.epochs, job.seed)?;
    let about = whole_about(job, &about, &hash, &labelled);
    if let Some((state, note)) = store.state(job.resume) {
        if note != about {
            return Err(other_run(store.folder()));
        }
        fit.restore(&state)?;
    }
    let progress = Progress::new("f1", fit.epochs().len(), job.options.quiet, job.json);
    while !fit.is_done() {
        let epoch = fit.epoch()?;
        store.put_state(&fit.state()?, &about)?;
        progress.epoch(&epoch)?;
    }

    let (figures, answers) = fit.finish()?;
    let network = fit.onnx()?;
    let mistakes = mistakes(job, &cells, &labelled, &answers);
    let best = fit.best().map_or(0, |e| e.epoch);
    let facts = vec![
        ("pictures".to_string(), format!("{} ({} of them held back)", examples.len(), answers.len())),
        ("cells, labels".into(), format!("{}, {}", cells.areas.len(), cells.labels.len())),
        ("network".into(), format!("{TRUNK} at {}x{}", job.size[0], job.size[1])),
        ("pictures that could not be read".into(), (all - examples.len()).to_string()),
        ("mirrored pictures".into(), if mirror { "yes" } else { "no" }.into()),
        ("seed".into(), job.seed.to_string()),
        ("time".into(), format!("{:.0} s", start.elapsed().as_secs_f64())),
    ];
    let page = training::page(&report::training(&cells, fit.epochs(), best, &figures, facts, mistakes));
    output::write_file(&job.report, page.as_bytes())?;
    output::write_file(&job.out, &network)?;
    store.finish();
    let done = report::Done {
        files: [&job.out, &job.report].map(|file| file.display().to_string()),
        cells: &cells,
        figures: &figures,
        epochs: (fit.epochs().len(), fit.best()),
        pictures: examples.len(),
        seconds: start.elapsed().as_secs_f64(),
    };
    output::line(&if job.json { report::record(&done)? } else { report::summary(&done) })?;
    Ok(Outcome::Pass)
}

/// The table of faults and an error, if there are any.
fn stop_at(faults: &Faults) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    output::note(&format!("the set has faults:\n{}", faults.table().trim_end()));
    Err(Error::Input(format!("{} faults in the set, listed above; nothing was trained", faults.count())))
}

/// What the features of a picture depend on, beside the picture.
fn about(job: &Job, cells: &Cells, model: &[u8], mirror: bool) -> String {
    let model = models::sha256_hex(model);
    let looks = format!("looks {MORE_LOOKS} mirrored {mirror} size {:?}", job.size);
    format!("{looks} {model} {}", cells.to_json())
}

/// What a training depends on.
fn whole_about(job: &Job, about: &str, pictures: &str, labelled: &[Labelled]) -> String {
    let bits: Vec<u8> = labelled.iter().flat_map(|one| one.bits.iter().map(|&b| u8::from(b))).collect();
    let settings = format!("{} {}", job.epochs, job.seed);
    Store::key(&[about.as_bytes(), pictures.as_bytes(), settings.as_bytes(), &bits])
}

/// The pictures held back with most wrong bits, drawn.
fn mistakes(job: &Job, cells: &Cells, labelled: &[Labelled], answers: &[Answer]) -> Vec<training::Mistake> {
    let mut wrong: Vec<(usize, &Labelled, Vec<bool>)> = Vec::new();
    for (one, scores) in answers.iter().filter_map(|a| Some((labelled.get(a.example)?, &a.scores))) {
        let given = read(scores, cells);
        let count = given.iter().zip(&one.bits).filter(|(a, b)| a != b).count();
        if count > 0 {
            wrong.push((count, one, given));
        }
    }
    wrong.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.picture.cmp(&b.1.picture)));
    wrong.truncate(MISTAKES);
    let drawn = |(_, one, given): (usize, &Labelled, Vec<bool>)| {
        let image = Source::File(one.picture.clone()).load(&job.options.limits)?;
        report::mistake(&name(&one.picture), &image, cells, &given, &one.bits)
    };
    // A picture that has gone meanwhile is no reason to lose the network.
    wrong.into_iter().filter_map(|one| drawn(one).ok()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
