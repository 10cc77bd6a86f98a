//! Where records and pictures of parts are kept: a folder a verdict, bounded in size.
//!
//! Failed parts are kept for good; of passed ones the oldest go when there is no more room. Nothing that is not in the folder of
//! passes is ever removed.

use super::super::audit::entry::Key;
use crate::cli::output;
use crate::error::{Error, Result};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use walkdir::WalkDir;

/// The folder of passed parts, whose oldest files make room.
const PASSED: &str = "pass";
/// The folders of a store.
pub const VERDICTS: [&str; 4] = [PASSED, "fail", "misplaced", "error"];
/// Of the file system this much stays free, whatever the quota is: the audit file and the system need to write.
const SPARE: u64 = 256 << 20;
/// The same as a share, for small disks: one in so many bytes.
const SPARE_SHARE: u64 = 20;

/// What may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all files; as the disk has room if absent.
    pub quota: Option<u64>,
    /// Of passed parts one in so many is kept.
    pub one_in: u32,
}

impl Bounds {
    /// Of the options: megabytes, and one passed part in so many.
    pub fn new(megabytes: Option<u64>, one_in: u32) -> Result<Self> {
        if megabytes == Some(0) || one_in == 0 {
            return Err(Error::Usage("--quota and --keep-passes are expected to be 1 or more".into()));
        }
        Ok(Bounds { quota: megabytes.map(|m| m.saturating_mul(1_000_000)), one_in })
    }
}

/// The files of one part that are to be written.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The record, for the `.json`.
    pub record: &'a [u8],
    /// The picture with the findings, for the `.png`; none of a file that could not be inspected.
    pub findings: Option<&'a [u8]>,
    /// The photograph itself, where it is in no file yet.
    pub photograph: Option<&'a [u8]>,
}

/// What is on disk.
#[derive(Debug, Default)]
struct Index {
    /// Bytes of all files.
    used: u64,
    /// Files of passed parts with their sizes, the oldest first.
    passed: BTreeMap<(SystemTime, PathBuf), u64>,
    /// Whether there was no room the last time.
    full: bool,
}

/// The folder.
#[derive(Debug)]
pub struct Store {
    out: PathBuf,
    bounds: Bounds,
    index: Mutex<Index>,
}

impl Store {
    /// The store in `out`, which is there. What a run that was ended while it wrote has left is removed.
    pub fn open(out: &Path, bounds: Bounds) -> Self {
        let mut index = Index::default();
        let here = std::fs::read_dir(out).into_iter().flatten().flatten().map(|e| e.path());
        here.filter(|p| is_temporary(p)).for_each(|left| drop(std::fs::remove_file(left)));
        // What else lies there (the audit file, recipes, a folder that is watched) is not counted.
        let walks = VERDICTS.iter().map(|verdict| WalkDir::new(out.join(verdict)));
        for entry in walks.flatten().flatten().filter(|e| e.file_type().is_file()) {
            if is_temporary(entry.path()) {
                let _ = std::fs::remove_file(entry.path());
            } else if let Ok(meta) = entry.metadata() {
                index.add(out, entry.path(), meta.len(), meta.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            }
        }
        Store { out: out.to_path_buf(), bounds, index: Mutex::new(index) }
    }

    /// Whether a part is one of those that are kept. It hangs on the picture, not on a counter: it is the same after a restart.
    pub fn wants(&self, verdict: &str, sha256: &str) -> bool {
        let start = u64::from_str_radix(sha256.get(..8).unwrap_or_default(), 16).unwrap_or(0);
        verdict != PASSED || start.is_multiple_of(u64::from(self.bounds.one_in))
    }

    /// What a part is called below the folder: its path, with the time of its file where another of that name has been. A file has
    /// one name, however often it is asked for.
    pub fn name(&self, verdict: &str, key: &Key) -> String {
        let name = format!("{verdict}/{}", key.path);
        let free = match std::fs::read(self.file(&name, "json")) {
            Err(_) => !self.out.join(&name).exists(),
            // It may be its own, written before the power went, and its record was not.
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes)
                .ok()
                .and_then(|v| Key::of(v.as_object()?))
                .is_none_or(|theirs| theirs == *key),
        };
        if free {
            return name;
        }
        let path = Path::new(&name);
        let ending = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        let time = Timestamp::from_nanosecond(key.modified).unwrap_or_default();
        format!("{}-{}{ending}", path.with_extension("").display(), time.strftime("%Y%m%dT%H%M%S%.9f"))
    }

    /// The file of a part of that name with another ending, or the photograph's where that is empty.
    pub fn file(&self, name: &str, ending: &str) -> PathBuf {
        // The whole name stays: a.jpg and a.png are two parts.
        self.out.join(if ending.is_empty() { name.to_string() } else { format!("{name}.{ending}") })
    }

    /// Writes the files of a part.
    ///
    /// # Errors
    /// No room, or the system's refusal; nothing of the part is left then.
    pub fn put(&self, name: &str, files: &Files) -> Result<()> {
        let all = [("png", files.findings), ("", files.photograph), ("json", Some(files.record))];
        let all: Vec<(PathBuf, &[u8])> = all.iter().filter_map(|(e, b)| Some((self.file(name, e), (*b)?))).collect();
        self.make_room(all.iter().map(|(_, bytes)| bytes.len() as u64).sum())?;
        let folder = self.out.join(name);
        let folder = folder.parent().unwrap_or(&self.out);
        let written = std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e)).and_then(|()| {
            all.iter().try_for_each(|(file, bytes)| {
                output::write_durable(file, bytes)?;
                self.index().add(&self.out, file, bytes.len() as u64, SystemTime::now());
                Ok(())
            })
        });
        if written.is_err() {
            all.iter().for_each(|(file, _)| self.index().remove(file));
        }
        written
    }

    /// Takes a photograph away from where it came: into the store, or for good where no such part is kept.
    pub fn take(&self, photograph: &Path, name: Option<&str>) -> Result<()> {
        let failed = |e| Error::io(photograph, "move", e);
        let Some(name) = name else { return std::fs::remove_file(photograph).map_err(failed) };
        let target = self.out.join(name);
        let bytes = photograph.metadata().map_err(failed)?.len();
        target.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        rename(photograph, &target).map_err(failed)?;
        self.index().add(&self.out, &target, bytes, SystemTime::now());
        Ok(())
    }

    #[cfg(feature = "serve")]
    /// Bytes that are kept, and whether there was no room for the last part.
    pub fn used(&self) -> (u64, bool) {
        let index = self.index();
        (index.used, index.full)
    }

    #[cfg(feature = "serve")]
    /// What it is bounded by.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes passed parts, the oldest first, until there is room for so many bytes more.
    fn make_room(&self, bytes: u64) -> Result<()> {
        let mut index = self.index();
        loop {
            let Some(reason) = self.lack(index.used, bytes) else {
                index.full = false;
                return Ok(());
            };
            let Some(((_, oldest), bytes)) = index.passed.pop_first() else {
                index.full = true;
                return Err(Error::Input(format!("{}: no pictures are kept: {reason}", self.out.display())));
            };
            index.used = index.used.saturating_sub(bytes);
            // One that somebody took away makes room as well.
            let _ = std::fs::remove_file(oldest);
        }
    }

    /// Why so many bytes do not fit.
    fn lack(&self, used: u64, bytes: u64) -> Option<String> {
        if let Some(quota) = self.bounds.quota.filter(|quota| used + bytes > *quota) {
            return Some(format!(
                "the quota of {} MB is used up by failed parts; copy them away, or give more",
                quota / 1_000_000
            ));
        }
        self.shortage(bytes)
    }

    /// Whether the disk has room for so many bytes that are none of a part's.
    #[cfg(feature = "serve")]
    pub fn check_room(&self, bytes: u64) -> Result<()> {
        self.shortage(bytes).map_or(Ok(()), |reason| Err(Error::Input(format!("{}: {reason}", self.out.display()))))
    }

    /// What the disk has left, if so many bytes would leave it with too little.
    fn shortage(&self, bytes: u64) -> Option<String> {
        let disk = rustix::fs::statvfs(&self.out).ok()?;
        let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
        let spare = SPARE.min(all / SPARE_SHARE);
        (free < spare + bytes).then(|| format!("the disk has {} MB left", free / 1_000_000))
    }
}

impl Index {
    fn add(&mut self, out: &Path, file: &Path, bytes: u64, time: SystemTime) {
        self.used += bytes;
        if file.strip_prefix(out).is_ok_and(|below| below.starts_with(PASSED)) {
            self.passed.insert((time, file.to_path_buf()), bytes);
        }
    }

    /// Removes a file that is of no use.
    fn remove(&mut self, file: &Path) {
        let bytes = file.metadata().map_or(0, |m| m.len());
        if std::fs::remove_file(file).is_ok() {
            self.used = self.used.saturating_sub(bytes);
            self.passed.retain(|(_, passed), _| passed != file);
        }
    }
}

/// Whether a file was being written.
fn is_temporary(file: &Path) -> bool {
    file.is_file() && file.file_name().is_some_and(|n| n.to_string_lossy().starts_with(output::TEMPORARY))
}

/// Renames, or copies where the target is on another file system.
fn rename(file: &Path, target: &Path) -> std::io::Result<()> {
    match std::fs::rename(file, target) {
        Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {
            let folder = target.parent().unwrap_or(Path::new("."));
            let mut part = tempfile::Builder::new().prefix(output::TEMPORARY).tempfile_in(folder)?;
            std::io::copy(&mut std::fs::File::open(file)?, &mut part)?;
            part.as_file().sync_all()?;
            part.persist(target).map_err(|e| e.error)?;
            std::fs::remove_file(file)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1_000_000;

    fn key(path: &str) -> Key {
        Key { path: path.into(), bytes: 1, modified: 2 }
    }

    fn put(store: &Store, verdict: &str, path: &str, size: usize) -> Result<String> {
        let name = store.name(verdict, &key(path));
        let record = format!("{{\"path\":\"{path}\",\"bytes\":1,\"modified_ns\":\"2\"}}");
        let files = Files { record: record.as_bytes(), findings: Some(&vec![0; size]), photograph: None };
        store.put(&name, &files).map(|()| name)
    }

    #[test]
    fn the_oldest_passes_make_room_and_fails_never() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { quota: Some(5 * MB as u64), one_in: 1 };
        let store = Store::open(folder.path(), bounds);
        for (verdict, name) in [("fail", "1.jpg"), ("pass", "2.jpg"), ("pass", "3.jpg"), ("fail", "4.jpg")] {
            put(&store, verdict, name, MB).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let left = |list: [&str; 6]| list.map(|n| folder.path().join(format!("{n}.jpg.png")).exists());
        put(&store, "pass", "5.jpg", MB).unwrap();
        assert_eq!(
            left(["fail/1", "pass/2", "pass/3", "fail/4", "pass/5", "fail/6"]),
            [true, false, true, true, true, false]
        );
        // As after a restart.
        let store = Store::open(folder.path(), bounds);
        put(&store, "fail", "6.jpg", 2 * MB).unwrap();
        assert_eq!(
            left(["fail/1", "pass/2", "pass/3", "fail/4", "pass/5", "fail/6"]),
            [true, false, false, true, false, true]
        );
        assert!(store.used().0 <= 5 * MB as u64 && !store.used().1);
        let error = put(&store, "fail", "7.jpg", 2 * MB).unwrap_err().to_string();
        assert!(error.contains("quota of 5 MB") && store.used().1, "{error}");
        put(&store, "fail", "8.jpg", 1000).unwrap();
        assert!(!store.used().1);
    }

    #[test]
    fn parts_of_one_name_lie_beside_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Bounds { quota: None, one_in: 4 });
        assert_eq!(put(&store, "fail", "a/b.jpg", 1).unwrap(), "fail/a/b.jpg");
        // The same file once more, after a power cut, takes its own place.
        assert_eq!(store.name("fail", &key("a/b.jpg")), "fail/a/b.jpg");
        let other = Key { modified: 3, ..key("a/b.jpg") };
        assert_eq!(store.name("fail", &other), "fail/a/b-19700101T000000.000000003.jpg");
        let kept = (0..=255u32).filter(|n| store.wants("pass", &format!("{n:08x}"))).count();
        assert_eq!(kept, 64);
        assert!((0..=255u32).all(|n| store.wants("fail", &format!("{n:08x}"))));
    }
}
