//! A labelling run: pictures in, a data set out. What is done stands in a journal in the data set's folder from the moment
//! it is done, so that a run that was cut off goes on where it was.

use super::{Place, pictures, saving};
use crate::cli::{Outcome, batch, output};
use crate::dataset::record::{self, Record};
use crate::dataset::{Classes, Object, Picture};
use crate::error::{Error, Result};
use crate::input::Source;
use crate::postprocess::detection::Detection;
use crate::report::{detections, draw, labels};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The journal of a run that is not finished.
const JOURNAL: &str = "journal.jsonl";

/// What is labelled, and where it goes.
#[derive(Debug)]
pub struct Job<'a> {
    /// The pictures.
    pub sources: Vec<Source>,
    /// The data set's folder.
    pub out: &'a Path,
    /// Names of the classes.
    pub classes: &'a [String],
    /// All that results depend on, in one line: a run goes on only with the same.
    pub how: String,
    /// Go on with a run that was cut off.
    pub resume: bool,
    /// Shares of train, val and test, and the seed of the division.
    pub division: ([f64; 3], u64),
    /// Link the pictures instead of copying them.
    pub link: bool,
    /// Where pictures with their labels drawn on them go.
    pub annotate: Option<&'a Path>,
    /// Write JSON records.
    pub json: bool,
    /// How the batch runs.
    pub options: batch::Options,
}

/// What was found in a picture.
#[derive(Debug)]
pub struct Labelled {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// The objects.
    pub objects: Vec<Object>,
}

/// The pictures that `--images` names, without those that the run itself writes.
pub fn sources(images: &[String], out: &Path, annotate: Option<&Path>) -> Result<Vec<Source>> {
    if images.is_empty() {
        return Err(Error::Usage("no pictures given: name files or directories with --images".into()));
    }
    let mut sources = batch::sources(images)?;
    if sources.contains(&Source::Stdin) {
        return Err(Error::Usage("--images is -, but a data set is made of files".into()));
    }
    let own: Vec<PathBuf> = [Some(out), annotate].into_iter().flatten().filter_map(|p| p.canonicalize().ok()).collect();
    let inside = |path: &PathBuf| path.canonicalize().is_ok_and(|p| own.iter().any(|own| p.starts_with(own)));
    sources.retain(|s| !matches!(s, Source::File(path) if inside(path)));
    Ok(sources)
}

/// Labels the pictures with `work`, on the batch's threads, and writes the data set. A picture that fails with
/// [`Error::Server`] stays open; when `stopped` says that no other will fare better, the run ends there.
pub fn label(
    job: &Job,
    work: impl Fn(&Source) -> Result<Labelled> + Sync,
    stopped: impl Fn() -> bool,
) -> Result<Outcome> {
    if job.resume && finished(job)? {
        return Ok(Outcome::Pass);
    }
    let (journal, mut known) = Journal::open(job)?;
    let files = output::pictures(job.annotate, &job.sources)?;
    let open: Vec<usize> = (0..job.sources.len()).filter(|&i| !known.contains_key(&job.sources[i].name())).collect();
    let pending: Vec<Source> = open.iter().map(|&i| job.sources[i].clone()).collect();
    if known.len() > job.sources.len() - open.len() {
        output::note("the journal has pictures that --images does not name; they are left out");
    }
    if open.len() < job.sources.len() && !job.options.quiet {
        output::note(&format!("{} of {} pictures are done already", job.sources.len() - open.len(), job.sources.len()));
    }
    let label_one = |at: usize, source: &Source| {
        let Labelled { size, objects } = work(source)?;
        if let Some(file) = files.get(open[at]) {
            let boxes: Vec<Detection> = objects.iter().map(detection).collect();
            let photo = source.load(&job.options.limits)?;
            output::write_file(file, &draw::png(&detections::overlay(&photo, &boxes, job.classes)?)?)?;
        }
        let picture = Picture { file: name(source), size, split: None, objects };
        let line = record::line(&source.name(), &picture, job.classes)?;
        journal.add(&line)?;
        Ok((line, picture))
    };
    // The data set is what counts: it is made though nobody reads on.
    let show = |text: &str| match output::line(text) {
        Err(Error::ClosedPipe) => Ok(()),
        other => other,
    };
    let mut unanswered = 0;
    let mut failed = batch::each_source(&pending, job.options, label_one, |at, result| {
        let source = &pending[at];
        match result {
            Ok((line, picture)) => {
                let text = if job.json { line } else { labels::labelled(&source.name(), &picture, job.classes) };
                known.insert(source.name(), picture);
                show(&text)
            }
            Err(error) => {
                unanswered += usize::from(matches!(error, Error::Server(_)));
                if matches!(error, Error::Server(_)) && stopped() {
                    let message = format!("{}; what is done is kept, go on with --resume", error.one_line());
                    return Err(Error::Server(message));
                }
                batch::complain(source, &error);
                match job.json {
                    true => show(&record::failed(&source.name(), &error)?),
                    false => Ok(()),
                }
            }
        }
    })?;
    if unanswered > 0 {
        return Err(Error::Server(format!("{unanswered} pictures were not answered; go on with --resume")));
    }
    let (mut pictures, mut places) = (Vec::new(), Vec::new());
    for source in &job.sources {
        if let (Some(picture), Source::File(path)) = (known.remove(&source.name()), source) {
            pictures.push(picture);
            places.push(Place { source: path.clone(), path: source.name(), ..Place::default() });
        }
    }
    if pictures.is_empty() {
        journal.remove()?;
        return Err(Error::Input("no picture could be labelled; no data set was written".into()));
    }
    let saved = saving::finish(job.out, job.classes, pictures, &places, Some(job.division), job.link, job.options)?;
    for (at, error) in &saved.troubles {
        failed = true;
        output::note(&format!("error: {}: {}", places[*at].path, error.one_line()));
    }
    journal.remove()?;
    if !job.json {
        show(&labels::finished(&job.out.display().to_string(), &saved.pictures))?;
    }
    Ok(if failed { Outcome::Error } else { Outcome::Pass })
}

/// Whether the data set is finished and has all the pictures; an error if it is finished without some of them, as what
/// a person has changed in it must not be written over.
fn finished(job: &Job) -> Result<bool> {
    if job.out.join(JOURNAL).exists() || !job.out.join(super::folder::DESCRIPTION).exists() {
        return Ok(false);
    }
    let records = pictures::text(&job.out.join(super::folder::RECORDS)).unwrap_or_default();
    let done: HashSet<String> = records.lines().filter_map(|l| record::parse(l).ok()).map(|r| r.path).collect();
    let missing = job.sources.iter().filter(|s| !done.contains(&s.name())).count();
    let out = job.out.display();
    match missing {
        0 => {
            output::note(&format!("{out}: is finished; nothing is left to be done"));
            Ok(true)
        }
        n => {
            Err(Error::Usage(format!("{out}: is finished without {n} of these pictures; name another --out for them")))
        }
    }
}

/// The file's own name.
fn name(source: &Source) -> String {
    match source {
        Source::File(path) => path.file_name().map_or_else(|| source.stem(), |n| n.to_string_lossy().into_owned()),
        _ => source.stem(),
    }
}

fn detection(object: &Object) -> Detection {
    Detection { class: object.class, score: object.score.unwrap_or(1.0), rect: object.outline.rect() }
}

/// The journal: a head that tells how the run was begun, then a line a picture.
struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Begins a run in a new or empty folder, or with `--resume` goes on with one; also the pictures that are done.
    fn open(job: &Job) -> Result<(Self, HashMap<String, Picture>)> {
        let path = job.out.join(JOURNAL);
        let head = json!({ "schema": 1, "type": "label_run", "how": job.how, "division": job.division, "classes": job.classes });
        let mut known = HashMap::new();
        let mut kept = format!("{head}\n");
        if path.exists() {
            if !job.resume {
                let message = "holds a run that was cut off; go on with --resume, or name another --out";
                return Err(Error::Usage(format!("{}: {message}", job.out.display())));
            }
            kept = pictures::text(&path)?;
            // A line that was cut off in the middle is not done.
            kept.truncate(kept.rfind('\n').map_or(0, |end| end + 1));
            if kept.is_empty() {
                kept = format!("{head}\n");
            }
            let mut lines = kept.lines();
            let same = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|found| found == head);
            if !lines.next().is_some_and(same) {
                let message = "was begun with other templates, classes or options; use the same, or name another --out";
                return Err(Error::Usage(format!("{}: {message}", path.display())));
            }
            for (i, line) in lines.enumerate() {
                let bad =
                    |m| Error::Input(format!("{}: line {}: {m}; remove the line and go on", path.display(), i + 2));
                let (path, picture) = done(record::parse(line).map_err(bad)?, job.classes);
                known.insert(path, picture);
            }
        } else {
            let found = std::fs::read_dir(job.out).map(|mut entries| entries.next().is_some());
            if found.is_ok_and(|found| found) {
                return Err(Error::Usage(format!("{}: is not empty; name a new folder with --out", job.out.display())));
            }
            output::check_folder(job.out)?;
        }
        output::write_file(&path, kept.as_bytes())?;
        let file = File::options().append(true).open(&path).map_err(|e| Error::io(&path, "write", e))?;
        Ok((Journal { path, file: Mutex::new(file) }, known))
    }

    /// Adds a line at once.
    fn add(&self, line: &str) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{line}\n").as_bytes()).map_err(|e| Error::io(&self.path, "write", e))
    }

    fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io(&self.path, "remove", e))
    }
}

/// The picture of a record, with its classes by number.
fn done(record: Record, classes: &[String]) -> (String, Picture) {
    let numbers = Classes::new(classes.to_vec());
    let object = |(label, object): (String, Object)| Some(Object { class: numbers.get(&label)?, ..object });
    let objects = record.objects.into_iter().filter_map(object).collect();
    (record.path, Picture { file: record.file, size: record.size, split: None, objects })
}
