//! `ocellus watch`: each new file of a folder is inspected once, whatever happens in between.
//!
//! The audit file of the station is the memory: a file is done when its record is on disk there.

use super::audit::entry::Key;
#[cfg(feature = "line")]
use super::output;
use super::recipes::Loaded;
use super::station::{Judged, Looked, Part, Photograph, Station, VERDICTS};
use super::{Outcome, batch};
use crate::error::{Error, Result};
use crate::input::{self, Source};
use crate::models::sha256_hex;
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
/// How long after a trigger without a picture one is taken for late; what comes later still is of another trigger.
const LATE: Duration = Duration::from_secs(10);
/// No trigger's number: they are counted from 1 on.
const NONE: u32 = 0;

/// How a folder is watched.
#[derive(Debug)]
pub struct Config {
    /// The folder.
    pub folder: PathBuf,
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
        let mut triggers = Triggers::default();
        (self.recipe)()?;
        self.ready();
        loop {
            let (mut ready, waiting) = self.look()?;
            if self.config.once && ready.is_empty() && !waiting {
                return Ok(outcome);
            }
            let mut trigger = None;
            if let Some(patience) = self.config.on_trigger {
                match triggers.next(self.asks(), patience, &self.seen, &mut ready, waiting) {
                    Next::Inspect(number) => trigger = Some(number),
                    Next::Wait => {}
                    Next::NoPicture(number) => self.nothing(number),
                }
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
        let walk = WalkDir::new(&self.config.folder).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|e| e.depth() == 0 || !is_hidden(e)) {
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
                let sha256 =
                    result.is_err().then(|| std::fs::read(file).ok().map(|bytes| sha256_hex(&bytes))).flatten();
                let part = Part {
                    key,
                    sha256: sha256.as_deref(),
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

/// Which picture answers which trigger.
#[derive(Debug, Default)]
struct Triggers {
    /// The trigger that asks, since when, and whether it is answered.
    asked: Option<(u32, Instant, bool)>,
    /// When triggers went without a picture: one that comes late must not answer the next trigger.
    missed: Vec<Instant>,
    /// Files that have been seen.
    known: HashSet<PathBuf>,
    /// Those of them that came late.
    late: HashSet<PathBuf>,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Inspect the one file that is left, for the trigger of this number.
    Inspect(u32),
    /// Nothing.
    Wait,
    /// Tell that no picture came to the trigger of this number.
    NoPicture(u32),
}

impl Triggers {
    /// Takes in the trigger that asks `now` and the files that are seen and ready, of which at most one is left.
    fn next(
        &mut self,
        now: Option<u32>,
        patience: Duration,
        seen: &HashMap<PathBuf, Seen>,
        ready: &mut Vec<Ready>,
        waiting: bool,
    ) -> Next {
        if let Some((_, _, answered)) = self.asked.filter(|(number, ..)| now != Some(*number)) {
            // It was taken back; its picture may come yet.
            if !answered {
                self.missed.push(Instant::now());
            }
            self.asked = None;
        }
        self.missed.retain(|since| since.elapsed() < LATE);
        self.known.retain(|file| seen.contains_key(file));
        self.late.retain(|file| seen.contains_key(file));
        let mut files: Vec<&PathBuf> = seen.keys().filter(|file| !self.known.contains(*file)).collect();
        files.sort_by_key(|file| seen.get(*file).map(|s| s.key.modified));
        for file in files {
            self.known.insert(file.clone());
            // What is there when the trigger comes belongs to one before, if there is one that missed its picture.
            if self.asked.is_none() && !self.missed.is_empty() {
                self.missed.remove(0);
                self.late.insert(file.clone());
            }
        }
        if let Some(number) = now {
            self.asked.get_or_insert((number, Instant::now(), false));
        }
        let is_late = |r: &Ready| self.late.contains(&r.file);
        match &mut self.asked {
            Some((number, since, answered)) if !*answered => {
                let number = *number;
                if let Some(at) = ready.iter().position(|r| !is_late(r)) {
                    *answered = true;
                    *ready = vec![ready.swap_remove(at)];
                    return Next::Inspect(number);
                }
                if !waiting && since.elapsed() > patience {
                    *answered = true;
                    self.missed.push(Instant::now());
                    ready.clear();
                    return Next::NoPicture(number);
                }
            }
            _ => {}
        }
        ready.retain(is_late);
        ready.truncate(1);
        if ready.is_empty() { Next::Wait } else { Next::Inspect(NONE) }
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
        output::note(&format!("trigger {trigger}: no picture came"));
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

/// Refuses what is no folder, and a folder into which the results go.
pub fn check_folders(folder: &Path, out: &Path) -> Result<()> {
    if !folder.is_dir() {
        let message = format!("{}: expected a folder that pictures come into", folder.display());
        return Err(Error::Usage(message));
    }
    let (Ok(folder_at), Ok(out_at)) = (folder.canonicalize(), out.canonicalize()) else { return Ok(()) };
    if out_at.starts_with(&folder_at) || VERDICTS.iter().any(|verdict| folder_at.starts_with(out_at.join(verdict))) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The files as they are seen: their names, and whether they are whole.
    fn seen(files: &[(&str, bool)]) -> (HashMap<PathBuf, Seen>, Vec<Ready>, bool) {
        let key = |at: usize, name: &str| Key { path: name.into(), bytes: 1, modified: at as i128 };
        let all = files.iter().enumerate();
        let seen = all.clone().map(|(at, (name, _))| (name.into(), Seen { key: key(at, name), since: Instant::now() }));
        let ready = all.filter(|(_, (_, whole))| *whole);
        let ready = ready.map(|(at, (name, _))| Ready { file: name.into(), key: key(at, name) }).collect();
        (seen.collect(), ready, files.iter().any(|(_, whole)| !whole))
    }

    fn next(triggers: &mut Triggers, now: Option<u32>, patience: u64, files: &[(&str, bool)]) -> (Next, String) {
        let (seen, mut ready, waiting) = seen(files);
        let next = triggers.next(now, Duration::from_millis(patience), &seen, &mut ready, waiting);
        (next, ready.iter().map(|r| r.file.display().to_string()).collect())
    }

    #[test]
    fn a_late_picture_answers_no_trigger() {
        let mut t = Triggers::default();
        // A picture that waits, one that comes, and one that is not whole yet.
        assert_eq!(next(&mut t, None, 0, &[("a", true)]), (Next::Wait, "".into()));
        assert_eq!(next(&mut t, Some(1), 0, &[("a", true)]), (Next::Inspect(1), "a".into()));
        assert_eq!(next(&mut t, Some(2), 60_000, &[]), (Next::Wait, "".into()));
        assert_eq!(next(&mut t, Some(2), 0, &[("b", false)]), (Next::Wait, "".into()));
        assert_eq!(next(&mut t, Some(2), 0, &[("b", true)]), (Next::Inspect(2), "b".into()));
        // None comes: told once. It comes late, and the next trigger is there before it is whole.
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(next(&mut t, Some(3), 60_000, &[]), (Next::Wait, "".into()));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(next(&mut t, Some(3), 0, &[]), (Next::NoPicture(3), "".into()));
        assert_eq!(next(&mut t, None, 0, &[("c", false)]), (Next::Wait, "".into()));
        assert_eq!(next(&mut t, Some(4), 60_000, &[("c", true), ("d", false)]), (Next::Inspect(NONE), "c".into()));
        assert_eq!(next(&mut t, Some(4), 60_000, &[("d", true)]), (Next::Inspect(4), "d".into()));
    }

    #[test]
    fn the_picture_of_a_trigger_that_was_taken_back_answers_no_other() {
        let mut t = Triggers::default();
        assert_eq!(next(&mut t, Some(1), 60_000, &[]), (Next::Wait, "".into()));
        assert_eq!(next(&mut t, None, 60_000, &[]), (Next::Wait, "".into()));
        assert_eq!(next(&mut t, None, 60_000, &[("a", true)]), (Next::Inspect(NONE), "a".into()));
        assert_eq!(next(&mut t, Some(2), 60_000, &[("b", true)]), (Next::Inspect(2), "b".into()));
        // The next trigger at once.
        assert_eq!(next(&mut t, Some(3), 60_000, &[]), (Next::Wait, "".into()));
        assert_eq!(next(&mut t, Some(4), 60_000, &[("c", true), ("d", true)]), (Next::Inspect(4), "d".into()));
        assert_eq!(next(&mut t, Some(4), 60_000, &[("c", true)]), (Next::Inspect(NONE), "c".into()));
    }
}
