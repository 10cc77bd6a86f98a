//! Pictures in folders, one a class: what there is, and what is wrong with it before anything is learned.

use crate::cli::output;
use crate::error::{Error, Result};
use crate::input::{self, Source};
use crate::models::sha256_hex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A class with more than this many times the pictures of another one is told of.
const UNEQUAL: usize = 10;
/// Fewer pictures of a class than this are told of.
const FEW: usize = 5;

/// A picture with its class.
#[derive(Debug, Clone)]
pub struct Photo {
    /// Where it is.
    pub source: Source,
    /// Its class.
    pub class: usize,
}

/// Something that is wrong with a set.
#[derive(Debug)]
pub struct Trouble {
    /// Whether training makes no sense with it.
    fatal: bool,
    place: String,
    message: String,
}

/// The pictures of a training.
#[derive(Debug)]
pub struct Folders {
    /// Names of the classes, sorted.
    pub names: Vec<String>,
    /// To learn from.
    pub train: Vec<Photo>,
    /// To measure on; empty without such a folder.
    pub val: Vec<Photo>,
    troubles: Vec<Trouble>,
}

impl Folders {
    /// Lists the pictures in the folders of `root`, and of `val` with the same folders.
    pub fn read(root: &Path, val: Option<&Path>) -> Result<Self> {
        let mut set = Folders { names: Vec::new(), train: Vec::new(), val: Vec::new(), troubles: Vec::new() };
        let folders = set.subfolders(root)?;
        set.names = folders.iter().map(|f| name(f)).collect();
        for (class, folder) in folders.iter().enumerate() {
            let found = set.pictures(folder, class);
            set.train.extend(found);
        }
        if let Some(val) = val {
            for folder in set.subfolders(val)? {
                match set.names.iter().position(|n| *n == name(&folder)) {
                    Some(class) => {
                        let found = set.pictures(&folder, class);
                        set.val.extend(found);
                    }
                    None => set.fatal(&folder, format!("{} has no such class", root.display())),
                }
            }
        }
        set.check_names(root);
        set.check_twins();
        set.check_counts(root, val);
        Ok(set)
    }

    fn fatal(&mut self, place: &Path, message: impl Into<String>) {
        self.troubles.push(Trouble { fatal: true, place: place.display().to_string(), message: message.into() });
    }

    fn warn(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.troubles.push(Trouble { fatal: false, place: place.into(), message: message.into() });
    }

    /// The folders in `root`, sorted; those whose names begin with a dot or two underscores are programs' own.
    fn subfolders(&mut self, root: &Path) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        let mut loose = 0;
        for entry in std::fs::read_dir(root).map_err(|e| Error::io(root, "read", e))? {
            let path = entry.map_err(|e| Error::io(root, "read", e))?.path();
            if path.is_dir() {
                let name = name(&path);
                if !name.starts_with('.') && !name.starts_with("__") {
                    folders.push(path);
                }
            } else if input::is_picture_name(&path) {
                loose += 1;
            }
        }
        if loose > 0 {
            let message = format!("{loose} pictures lie beside the folders of the classes and are left out");
            self.warn(root.display().to_string(), message);
        }
        folders.sort();
        Ok(folders)
    }

    fn pictures(&mut self, folder: &Path, class: usize) -> Vec<Photo> {
        let mut photos = Vec::new();
        for source in input::expand(&[folder.display().to_string()]) {
            match source {
                Source::Unreadable(path, _) if path == folder => self.fatal(folder, "no pictures in this folder"),
                Source::Unreadable(path, why) => self.warn(path.display().to_string(), why),
                source => photos.push(Photo { source, class }),
            }
        }
        photos
    }

    fn check_names(&mut self, root: &Path) {
        if self.names.len() < 2 {
            let message = format!("{} folders, expected one for each of two or more classes", self.names.len());
            self.fatal(root, message);
        }
        let parts = ["train", "val", "valid", "validation", "test"];
        if self.names.len() > 1 && self.names.iter().all(|n| parts.contains(&n.to_lowercase().as_str())) {
            let message = "the folders look like the parts of a set, not like classes; give the part to learn from, and the \
                           other one with --val";
            self.fatal(root, message);
        }
    }

    /// Files with the same content: a contradiction in two classes, dishonest in both parts, counted twice in one class.
    fn check_twins(&mut self) {
        let mut first: HashMap<String, (bool, usize, String)> = HashMap::new();
        for is_val in [false, true] {
            let photos = std::mem::take(if is_val { &mut self.val } else { &mut self.train });
            let mut kept = Vec::with_capacity(photos.len());
            for photo in photos {
                // What cannot be read is told of when it is decoded.
                let twin = photo.source.read().ok().map(|bytes| sha256_hex(&bytes));
                let name = photo.source.name();
                match twin.as_ref().and_then(|hash| first.get(hash)) {
                    Some((_, class, other)) if *class != photo.class => {
                        let (here, there) = (&self.names[photo.class], &self.names[*class]);
                        let message = format!("the same picture as {other}: is it {here} or {there}?");
                        self.fatal(Path::new(&name), message);
                        kept.push(photo);
                    }
                    Some((other_val, _, other)) => {
                        let why = if is_val && !other_val { ", which is learned from" } else { "" };
                        let message = format!("the same picture as {other}{why}; left out");
                        self.warn(name, message);
                    }
                    None => {
                        if let Some(hash) = twin {
                            first.insert(hash, (is_val, photo.class, name));
                        }
                        kept.push(photo);
                    }
                }
            }
            *(if is_val { &mut self.val } else { &mut self.train }) = kept;
        }
    }

    fn check_counts(&mut self, root: &Path, val: Option<&Path>) {
        let counts = self.counts(&self.train);
        let of = |class: usize| format!("{} ({})", self.names[class], counts[class]);
        let least = (0..counts.len()).filter(|&c| counts[c] > 0).min_by_key(|&c| counts[c]);
        let most = (0..counts.len()).max_by_key(|&c| counts[c]);
        if let (Some(least), Some(most)) = (least, most)
            && counts[most] > UNEQUAL * counts[least]
        {
            let message = format!("very unequal classes: {} and {}; the rare one will be missed", of(most), of(least));
            self.warn(root.display().to_string(), message);
        }
        for (class, &count) in counts.iter().enumerate().filter(|(_, n)| (1..FEW).contains(*n)) {
            let place = root.join(&self.names[class]).display().to_string();
            self.warn(place, format!("{count} pictures are very few; 20 are a good beginning"));
        }
        if let Some(val) = val {
            let counts = self.counts(&self.val);
            if self.val.is_empty() {
                self.fatal(val, "no pictures to measure on");
            }
            for class in (0..counts.len()).filter(|&c| counts[c] == 0) {
                self.warn(val.join(&self.names[class]).display().to_string(), "no pictures to measure this class on");
            }
        }
    }

    /// Pictures of each class.
    pub fn counts(&self, photos: &[Photo]) -> Vec<usize> {
        (0..self.names.len()).map(|class| photos.iter().filter(|p| p.class == class).count()).collect()
    }

    /// Leaves the pictures out that could not be read: their numbers in `train` and `val` one after the other, and why.
    pub fn drop_unreadable(&mut self, unreadable: &[(usize, String)]) {
        let all = self.train.len();
        let is_bad = |at: usize| unreadable.iter().any(|(i, _)| *i == at);
        for (at, why) in unreadable {
            let photo = if *at < all { &self.train[*at] } else { &self.val[*at - all] };
            let name = photo.source.name();
            let why = why.strip_prefix(&format!("{name}: ")).unwrap_or(why).to_string();
            self.warn(name, format!("{why}; left out"));
        }
        let (had, measured) = (self.counts(&self.train), !self.val.is_empty());
        let mut at = 0;
        let mut keep = |_: &Photo| {
            at += 1;
            !is_bad(at - 1)
        };
        self.train.retain(&mut keep);
        self.val.retain(&mut keep);
        let left = self.counts(&self.train);
        for class in (0..left.len()).filter(|&c| left[c] == 0 && had[c] > 0) {
            let place = PathBuf::from(&self.names[class]);
            self.fatal(&place, "none of its pictures can be read");
        }
        if measured && self.val.is_empty() {
            self.fatal(Path::new("--val"), "none of its pictures can be read");
        }
    }

    /// What is wrong, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.troubles.iter().map(|t| format!("{}: {}", t.place, t.message)).collect()
    }

    /// Tells of what is wrong as a table on standard error, once; an error if training makes no sense.
    pub fn tell(&mut self, told: &mut usize) -> Result<()> {
        let fresh = &mut self.troubles[*told..];
        fresh.sort_by_key(|t| !t.fatal);
        let width = fresh.iter().map(|t| t.place.chars().count()).max().unwrap_or(0).min(60);
        for t in fresh.iter() {
            let kind = if t.fatal { "error" } else { "warning" };
            output::note(&format!("{kind:<7}  {:<width$}  {}", t.place, t.message));
        }
        *told = self.troubles.len();
        match self.troubles.iter().filter(|t| t.fatal).count() {
            0 => Ok(()),
            n => Err(Error::Input(format!("nothing was trained: {n} of these must be put right first"))),
        }
    }
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|n| n.to_string_lossy().replace(char::is_control, " ")).unwrap_or_default()
}
