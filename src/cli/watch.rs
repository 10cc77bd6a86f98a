//! `ocellus watch`: each new file of a folder is inspected once, whatever happens in between.
//!
//! The audit file of the station is the memory: a file is done when its record is on disk there.

use super::audit::entry::Key;
use super::recipes::Loaded;
use super::station::{Judged, Looked, Part, Photograph, Station, VERDICTS};
use super::{Outcome, batch};
use crate::error::{Error, Result};
use crate::input::{self, Source};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use walkdir::WalkDir;

/// How often the folder is looked at.
const POLL: Duration = Duration::from_millis(200);

/// A file that cannot be read is believed to be broken, and not half written, when it has been as it is for so long.
const FRESH: Duration = Duration::from_secs(10);
/// No trigger's number: they are counted from 1 on.
const NONE: u32 = 0;

/// How a folder is watched.
#[derive(Debug)]
pub struct Config {
    /// The folder.
    pub folder: PathBuf,
    /// A folder in it that is not looked at: results.
    pub apart: PathBuf,
    /// Inspected files are taken into the station's store.
    pub moving: bool,
    /// How long a file has to stay as it is before it is taken for whole.
    pub settle: Duration,
    /// End when nothing is left.
    pub once: bool,
    /// Inspect when the controller triggers, the next file that is there or comes within this time; always if absent.
    pub on_trigger: Option<Duration>,
    /// Threads and bounds.
    pub options: batch::Options,
}

/// A file that has been seen, and since when it is as it is.
#[derive(Debug)]
struct Seen {
    key: Key,
    since: Instant,
}

/// A file that is to be inspected.
#[derive(Debug)]
struct Ready {
    file: PathBuf,
    key: Key,
}

/// Files whose record is on disk, by [`Key::digest`].
#[derive(Debug, Default)]
pub struct Done {
    files: HashSet<u128>,
    /// Those of the audit file that may have to be taken still, with their names in the store; none of those that are not kept.
    untaken: HashMap<u128, Option<String>>,
}

impl Done {
    /// Takes in a record of the audit file.
    pub fn add(&mut self, record: &Map<String, Value>) {
        let key = Key::of(record).filter(|_| record.get("type").and_then(Value::as_str) == Some("inspect"));
        let Some(digest) = key.map(|k| k.digest()) else { return };
        self.files.insert(digest);
        let stored = record.get("stored").and_then(Value::as_str).map(str::to_string);
        if stored.is_some() || record.get("kept").and_then(Value::as_bool) == Some(false) {
            self.untaken.insert(digest, stored);
        }
    }
}

/// The recipe that is to be used now.
pub type Current<'a> = Box<dyn Fn() -> Result<Arc<Loaded>> + 'a>;
/// Hears of each part that was judged, with the picture's name.
pub type Tell<'a> = Box<dyn FnMut(&str, &Judged, Result<&Looked, &Error>) -> Result<()> + 'a>;

/// A watch on its way.
pub struct Watch<'a> {
    config: Config,
    station: &'a Station,
    recipe: Current<'a>,
    tell: Tell<'a>,
    done: Done,
    seen: HashMap<PathBuf, Seen>,
}

impl<'a> Watch<'a> {
    /// Begins to watch for `station`, knowing what is done.
    pub fn new(config: Config, station: &'a Station, done: Done, recipe: Current<'a>, tell: Tell<'a>) -> Self {
        Watch { config, station, recipe, tell, done, seen: HashMap::new() }
    }

    /// Looks at the folder again and again; with `once` until nothing is left.
    pub fn run(&mut self) -> Result<Outcome> {
        let mut outcome = Outcome::Pass;
        let mut asked: Option<(u32, Instant)> = None;
        // Triggers to which a picture came too late: it must not answer the next one.
        let mut late = 0;
        (self.recipe)()?;
        self.ready();
        loop {
            let (mut ready, waiting) = self.look()?;
            if self.config.once && ready.is_empty() && !waiting {
                return Ok(outcome);
            }
            let mut trigger = None;
            if let Some(patience) = self.config.on_trigger {
                trigger = self.asks();
                asked = trigger.map(|now| asked.filter(|(known, _)| *known == now).unwrap_or((now, Instant::now())));
                match asked {
                    None if late > 0 && !ready.is_empty() => {
                        late -= 1;
                        trigger = Some(NONE);
                    }
                    None => ready.clear(),
                    Some((number, since)) if ready.is_empty() && !waiting && since.elapsed() > patience => {
                        self.nothing(number);
                        late += 1;
                    }
                    Some(_) => {}
                }
                ready.truncate(1);
            }
            if ready.is_empty() {
                std::thread::sleep(if self.config.on_trigger.is_some() { POLL / 10 } else { POLL });
            } else {
                outcome = outcome.max(self.inspect(&ready, trigger)?);
            }
        }
    }

    /// The files that are whole and not done, in the order of their names, and whether others may become so.
    fn look(&mut self) -> Result<(Vec<Ready>, bool)> {
        let mut before = std::mem::take(&mut self.seen);
        let (mut ready, mut waiting) = (Vec::new(), false);
        let now = Instant::now();
        let apart = self.config.apart.canonicalize().unwrap_or_else(|_| self.config.apart.clone());
        let walk = WalkDir::new(&self.config.folder).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|e| e.depth() == 0 || !is_hidden(e) && !is_folder(e, &apart)) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) if e.depth() == 0 => {
                    let reason = e.into_io_error().unwrap_or_else(|| std::io::Error::other("it cannot be listed"));
                    return Err(Error::io(&self.config.folder, "watch", reason));
                }
                // It went while it was looked at.
                Err(_) => continue,
            };
            if !entry.file_type().is_file() || !input::is_picture_name(entry.path()) {
                continue;
            }
            let Some(key) = self.key(entry.path()) else { continue };
            let digest = key.digest();
            if self.done.files.contains(&digest) {
                if let Some(name) = self.done.untaken.remove(&digest).filter(|_| self.config.moving) {
                    // It was done, and the program ended before it was taken away.
                    self.station.take(entry.path(), name.as_deref());
                }
                continue;
            }
            let seen = before.remove(entry.path()).filter(|s| s.key == key).unwrap_or(Seen { key, since: now });
            if now.duration_since(seen.since) >= self.config.settle {
                ready.push(Ready { file: entry.path().to_path_buf(), key: seen.key.clone() });
            } else {
                waiting = true;
            }
            // One that is not inspected now is as old when it is looked at again.
            self.seen.insert(entry.into_path(), seen);
        }
        // What was left by a run before is taken by now.
        self.done.untaken = HashMap::new();
        if self.config.on_trigger.is_some() {
            ready.sort_by_key(|r| r.key.modified);
        }
        Ok((ready, waiting))
    }

    /// The file as it is now; none if it is gone.
    fn key(&self, file: &Path) -> Option<Key> {
        Key::of_file(file, file.strip_prefix(&self.config.folder).unwrap_or(file).display().to_string())
    }

    /// Inspects files side by side; each is done, in their order, when its record is on disk.
    fn inspect(&mut self, ready: &[Ready], trigger: Option<u32>) -> Result<Outcome> {
        let recipe = (self.recipe)()?;
        self.begin(trigger);
        let sources: Vec<Source> = ready.iter().map(|r| Source::File(r.file.clone())).collect();
        let (config, station, done, tell) = (&self.config, self.station, &mut self.done, &mut self.tell);
        let seen = &mut self.seen;
        let mut outcome = Outcome::Pass;
        batch::each_source(
            &sources,
            config.options,
            |_, source| station.look(&recipe, &source.name(), &source.read()?, &config.options.limits),
            |at, result| {
                let Ready { file, key } = &ready[at];
                // Taken away before its turn, or written anew meanwhile: what was read may be half of each.
                if !key.is_of(file) {
                    return Ok(());
                }
                if result.is_err() && trigger.is_none() && !config.once && is_fresh(key) {
                    // A sender may have paused in the middle of it.
                    seen.entry(file.clone()).and_modify(|s| s.since = Instant::now());
                    return Ok(());
                }
                let photograph = if config.moving { Photograph::Taken(file) } else { Photograph::Stays };
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let part = Part {
                    key,
                    name: &name,
                    photograph,
                    recipe: &recipe,
                    serial: None,
                    operator: None,
                    request: None,
                    trigger,
                };
                let judged = station.judge(&part, result.as_ref())?;
                outcome = outcome.max(judged.outcome);
                done.files.insert(key.digest());
                tell(&key.path, &judged, result.as_ref())
            },
        )?;
        self.rest();
        Ok(outcome)
    }
}

/// What a controller is shown, where one can be.
#[cfg(feature = "line")]
impl Watch<'_> {
    fn ready(&self) {
        self.station.controller().into_iter().for_each(|c| c.ready());
    }

    fn asks(&self) -> Option<u32> {
        self.station.controller().and_then(|c| c.asks())
    }

    fn begin(&self, trigger: Option<u32>) {
        self.station.controller().into_iter().filter(|_| trigger != Some(NONE)).for_each(|c| c.begin());
    }

    fn rest(&self) {
        self.station.controller().into_iter().for_each(|c| c.rest());
    }

    fn nothing(&self, trigger: u32) {
        self.station.controller().into_iter().for_each(|c| c.nothing(trigger));
    }
}

#[cfg(not(feature = "line"))]
impl Watch<'_> {
    fn ready(&self) {}

    fn asks(&self) -> Option<u32> {
        None
    }

    fn begin(&self, _: Option<u32>) {}

    fn rest(&self) {}

    fn nothing(&self, _: u32) {}
}

/// Refuses to look at a folder into which the results go.
pub fn check_apart(folder: &Path, out: &Path) -> Result<()> {
    let (Ok(folder_at), Ok(out_at)) = (folder.canonicalize(), out.canonicalize()) else { return Ok(()) };
    if folder_at == out_at || VERDICTS.iter().any(|verdict| folder_at.starts_with(out_at.join(verdict))) {
        let message =
            format!("{} is watched, and results would go there; name another folder for them", folder.display());
        return Err(Error::Usage(message));
    }
    Ok(())
}

/// Whether a file was written within the last seconds, by the clock that it was written by.
fn is_fresh(key: &Key) -> bool {
    let modified = UNIX_EPOCH + Duration::from_nanos(u64::try_from(key.modified).unwrap_or(0));
    modified.elapsed().is_ok_and(|age| age < FRESH)
}

fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

fn is_folder(entry: &walkdir::DirEntry, other: &Path) -> bool {
    entry.file_type().is_dir() && entry.path().canonicalize().is_ok_and(|p| p == other)
}
