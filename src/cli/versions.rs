//! Versions of a recipe: another good picture is learned, or the step is taken back. The good pictures lie in the recipe's folder
//! `goods`; the version before lies beside the recipe, in a hidden folder.

use super::batch;
use super::recipes::{self, RegionArg, Request, Texts};
use crate::error::{Error, Result};
use crate::input::Source;
use crate::recipe::{AlignMode, Folder, Recipe};
use crate::tasks::inspect::AlignChoice;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::path::{Path, PathBuf};

/// The folder of good pictures in a recipe's folder.
pub const GOODS: &str = "goods";

/// Good pictures that a recipe keeps at most: more would be learned from for minutes.
pub const MOST_GOODS: usize = 200;

/// The good pictures that a recipe keeps, in the order in which they came.
pub fn goods(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(GOODS)).into_iter().flatten().flatten();
    let mut goods: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| crate::input::is_picture_name(p)).collect();
    goods.sort();
    goods
}

/// The name of the next good picture.
pub fn next_good(folder: &Path, bytes: &[u8]) -> PathBuf {
    let number = |p: &PathBuf| p.file_stem()?.to_str()?.parse::<u32>().ok();
    let last = goods(folder).iter().filter_map(number).max().unwrap_or(0);
    let ending = image::guess_format(bytes).ok().and_then(|f| f.extensions_str().first().copied()).unwrap_or("img");
    folder.join(GOODS).join(format!("{:04}.{ending}", last + 1))
}

/// Whether there is a version to go back to.
pub fn has_previous(folder: &Path) -> bool {
    beside(folder, "previous").is_dir()
}

/// Learns a recipe anew from the good pictures that it keeps and one more, and puts it in place of the version before, which is
/// kept. Thresholds are learned anew as well.
///
/// # Errors
/// A recipe that keeps no good pictures; a picture that cannot be learned from. The recipe stays as it is then.
pub fn learn_more(folder: &Path, picture: &[u8], options: batch::Options) -> Result<()> {
    let known = goods(folder);
    if known.is_empty() {
        let message = format!(
            "its good pictures are not kept, so nothing can be added to them; put them into {}",
            folder.join(GOODS).display()
        );
        return Err(Error::Input(format!("{}: {message}", folder.display())));
    }
    if known.len() >= MOST_GOODS {
        return Err(Error::Input(format!(
            "{}: it keeps {MOST_GOODS} good pictures, which is the most",
            folder.display()
        )));
    }
    if known.iter().any(|good| std::fs::read(good).is_ok_and(|bytes| bytes == picture)) {
        return Err(Error::Input("this picture is among the good ones already".into()));
    }
    let new = beside(folder, "new");
    clear(&new)?;
    let failed = |e| Error::io(&new, "write", e);
    std::fs::create_dir_all(new.join(GOODS)).map_err(failed)?;
    for good in &known {
        let copy = new.join(GOODS).join(good.file_name().unwrap_or_default());
        // The same picture in both versions needs its room once, where the file system can do that.
        std::fs::hard_link(good, &copy).or_else(|_| std::fs::copy(good, &copy).map(|_| ())).map_err(failed)?;
    }
    let added = next_good(&new, picture);
    std::fs::write(&added, picture).map_err(failed)?;
    let made = learn(folder, &new, &added, options).and_then(|()| replace(folder, &new));
    if made.is_err() {
        clear(&new)?;
    }
    made
}

/// Learns what the recipe in `folder` looks at from the good pictures in `new`, into `new`.
fn learn(folder: &Path, new: &Path, added: &Path, options: batch::Options) -> Result<()> {
    let current = Folder::read(folder)?;
    let golden = folder.join(&current.recipe.golden.image).display().to_string();
    let sources: Vec<Source> = goods(new).into_iter().map(Source::File).collect();
    let mut refused = None;
    let (learned, _) = recipes::learn(&sources, options, request(&current.recipe, golden)?, |source, error| {
        match source {
            Source::File(path) if path == added => refused = Some(error.one_line()),
            _ => batch::complain(source, error),
        };
    })?;
    match refused {
        Some(why) => Err(Error::Input(format!("it cannot be learned from: {why}"))),
        None => add_files(&learned, new),
    }
}

/// What a recipe would have to be learned with.
fn request(recipe: &Recipe, golden: String) -> Result<Request> {
    let wrong = |text: String| Error::recipe(&recipe.golden.image, text);
    let mut regions = Vec::new();
    let mut texts = Texts::default();
    for region in &recipe.regions {
        regions.push(RegionArg::new(&region.name, region.rect, region.method).map_err(wrong)?);
        let text = |value: &Option<String>| value.as_ref().map(|text| recipes::TextArg::new(&region.name, text));
        texts.patterns.extend(text(&region.pattern));
        texts.expected.extend(text(&region.expected));
        texts.checks.extend(text(&region.check));
    }
    let method = recipe.regions.first().map_or(crate::recipe::Method::Patch, |r| r.method);
    Ok(Request {
        golden: Some(golden),
        regions,
        method,
        texts,
        align: if recipe.align.mode == AlignMode::Pose { AlignChoice::Pose } else { AlignChoice::None },
        model: recipe.model.as_ref().map(|m| m.id.clone()),
        seed: 0,
    })
}

/// Writes a recipe into a folder that holds good pictures.
pub fn add_files(learned: &Folder, folder: &Path) -> Result<()> {
    let staging = folder.join(".recipe");
    clear(&staging)?;
    Folder { path: staging.clone(), ..learned.clone() }.write(false)?;
    let failed = |e| Error::io(folder, "write", e);
    for entry in std::fs::read_dir(&staging).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        std::fs::rename(entry.path(), folder.join(entry.file_name())).map_err(failed)?;
    }
    clear(&staging)
}

/// Puts the version in `new` in place of the one in `folder`, which becomes the version before. At any moment there is a recipe and,
/// if there was one, a version before it.
fn replace(folder: &Path, new: &Path) -> Result<()> {
    let previous = beside(folder, "previous");
    sync(new)?;
    exchange(folder, new)?;
    if previous.is_dir() {
        exchange(&previous, new)?;
        return clear(new);
    }
    std::fs::rename(new, &previous).map_err(|e| Error::io(&previous, "write", e))
}

/// Waits until all files of a folder are on disk: after a power cut a recipe of empty files would stop the line.
pub fn sync(folder: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
        let synced = std::fs::File::open(entry.path()).and_then(|f| f.sync_all());
        synced.map_err(|e| Error::io(entry.path(), "write", e))?;
    }
    Ok(())
}

/// Goes back to the version before; once more, and it comes back.
pub fn roll_back(folder: &Path) -> Result<()> {
    let previous = beside(folder, "previous");
    if !previous.is_dir() {
        return Err(Error::Input(format!("{}: there is no version before this one", folder.display())));
    }
    exchange(folder, &previous)
}

/// Two folders change places at once: there is a recipe at any moment.
fn exchange(a: &Path, b: &Path) -> Result<()> {
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(|e| Error::io(a, "replace", e.into()))
}

/// Copies a recipe's folder with its good pictures to another disk, and removes it here.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let new = beside(to, "new");
    clear(&new)?;
    let failed = |e| Error::io(&new, "write", e);
    std::fs::create_dir_all(new.join(GOODS)).map_err(failed)?;
    for entry in walkdir::WalkDir::new(from).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let below = entry.path().strip_prefix(from).unwrap_or(entry.path());
        std::fs::copy(entry.path(), new.join(below)).map_err(failed)?;
    }
    sync(&new)?;
    std::fs::rename(&new, to).map_err(failed)?;
    clear(from)
}

fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{what}-{name}"))
}

fn clear(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, "remove", e)),
        _ => Ok(()),
    }
}
