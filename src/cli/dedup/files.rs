//! Which files are compared.

use crate::cli::output;
use crate::error::{Error, Result};
use crate::input::{self, Source};
use indicatif::ProgressBar;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use walkdir::WalkDir;

/// A file that may hold a photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path as found below the argument.
    pub path: PathBuf,
    /// Its path below the directory that was named: where it goes below `--move-to`.
    pub below: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970.
    pub modified: i64,
    /// Lies in a `--reference` directory.
    pub reference: bool,
}

impl File {
    /// As the rest of the program names inputs.
    pub fn source(&self) -> Source {
        Source::File(self.path.clone())
    }

    /// Size and time of the last change as they are now; None if the file is gone.
    pub fn stamp(path: &Path) -> Option<(u64, i64)> {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.len(), modified(&metadata)))
    }
}

/// What the arguments name.
#[derive(Debug, Default)]
pub struct Listing {
    /// Each file once, however many ways lead to it; reference files first, then in the order of arguments and names.
    pub files: Vec<File>,
    /// What could not be listed or holds nothing, with the reason.
    pub troubles: Vec<(Source, Error)>,
    /// Symbolic links below the directories: not followed.
    pub links: usize,
    /// Other names of a file that is in the list: hard links, directories named twice.
    pub aliases: usize,
}

/// Makes sure that duplicates can be moved to `folder`, that it is none of the directories that are searched, and that the
/// reference directories are there: without them, what should be kept might go.
pub fn check_apart(folder: &Path, arguments: &[String], references: &[String]) -> Result<()> {
    if folder.as_os_str().is_empty() {
        return Err(Error::Usage("--move-to names no directory".into()));
    }
    if let Some(name) = references.iter().find(|r| !Path::new(r).exists()) {
        return Err(Error::Usage(format!("{name}: there is no such reference directory; nothing was moved")));
    }
    output::check_folder(folder)?;
    let real = folder.canonicalize().ok();
    let same = |name: &&String| Path::new(name).canonicalize().ok() == real;
    match arguments.iter().chain(references).find(same) {
        Some(name) => {
            Err(Error::Usage(format!("{name}: duplicates cannot be moved to the directory that is searched")))
        }
        None => Ok(()),
    }
}

/// All pictures in `references` and `arguments` (directories to any depth, or files), without what lies in `apart`.
pub fn list(references: &[String], arguments: &[String], apart: Option<&Path>, progress: &ProgressBar) -> Listing {
    let mut listing = Listing::default();
    let mut seen = HashSet::new();
    let apart = apart.and_then(|p| p.canonicalize().ok());
    let named = references.iter().map(|r| (r, true)).chain(arguments.iter().map(|a| (a, false)));
    for (name, reference) in named {
        let root = Path::new(name);
        let before = listing.files.len() + listing.aliases;
        for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(|e| !is(e.path(), &apart)) {
            match entry {
                Ok(entry) => add(&mut listing, &mut seen, root, &entry, reference),
                Err(e) => {
                    let at = &e.path().unwrap_or(root).to_path_buf();
                    let io = e.into_io_error().unwrap_or_else(|| std::io::Error::other("cannot be listed"));
                    listing.troubles.push((Source::File(at.to_path_buf()), Error::io(at, "read", io)));
                }
            }
            progress.set_position(listing.files.len() as u64);
        }
        if root.is_dir() && listing.files.len() + listing.aliases == before {
            let (name, message) = (root.display().to_string(), input::no_pictures());
            let error = Error::Image { name, message, source: None };
            listing.troubles.push((Source::File(root.to_path_buf()), error));
        }
    }
    listing
}

fn is(path: &Path, apart: &Option<PathBuf>) -> bool {
    apart.as_ref().is_some_and(|a| path.file_name() == a.file_name() && path.canonicalize().is_ok_and(|p| p == *a))
}

fn add(listing: &mut Listing, seen: &mut HashSet<Identity>, root: &Path, entry: &walkdir::DirEntry, reference: bool) {
    let (path, kind) = (entry.path(), entry.file_type());
    let named = entry.depth() == 0;
    if kind.is_symlink() && !named {
        listing.links += usize::from(path.is_dir() || input::is_picture_name(path));
    }
    // A file that is named itself is tried whatever it is called.
    let metadata = if named { std::fs::metadata(path).ok() } else { entry.metadata().ok() };
    let Some(metadata) = metadata.filter(|m| m.is_file() && (named || input::is_picture_name(path))) else {
        if named && !kind.is_dir() && !path.is_dir() {
            let (name, message) = (path.display().to_string(), "is no file with a picture".to_string());
            listing.troubles.push((Source::File(path.to_path_buf()), Error::Image { name, message, source: None }));
        }
        return;
    };
    // A link that is named itself stands for its file: that is what could be moved.
    let real = if kind.is_symlink() { path.canonicalize().ok() } else { None };
    let path = real.as_deref().unwrap_or(path);
    if !seen.insert(identity(path, &metadata)) {
        listing.aliases += 1;
        return;
    }
    let below = if named { path.file_name().map_or(path, Path::new) } else { path.strip_prefix(root).unwrap_or(path) };
    listing.files.push(File {
        path: path.to_path_buf(),
        below: below.to_path_buf(),
        size: metadata.len(),
        modified: modified(&metadata),
        reference,
    });
}

fn modified(metadata: &std::fs::Metadata) -> i64 {
    let time = metadata.modified().unwrap_or(UNIX_EPOCH);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i64,
        Err(before) => -(before.duration().as_nanos() as i64),
    }
}

#[cfg(unix)]
type Identity = (u64, u64);
/// Device and inode: two paths with the same are one file.
#[cfg(unix)]
fn identity(_: &Path, metadata: &std::fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
type Identity = PathBuf;
#[cfg(not(unix))]
fn identity(path: &Path, _: &std::fs::Metadata) -> Identity {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}
