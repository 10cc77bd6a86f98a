//! Applies the decisions of a review to a data set on disk.

use super::Located;
use super::folder::RECORDS;
use super::review::read;
use crate::cli::output;
use crate::dataset::decisions::{Decision, Decisions, Fit, Verdict, edit_labels, edit_record, fingerprint};
use crate::error::{Error, Result};
use crate::report::applied::Applied;
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

/// A file and its text to be.
type Change = (PathBuf, String);

/// Applies the decisions in `file` to the data set in `folder`; changes nothing with `dry`. `missing` hears of each decision
/// whose object is not there, and why.
pub fn apply(folder: &Path, file: &Path, dry: bool, mut missing: impl FnMut(&Decision, &str)) -> Result<Applied> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, "read", e))?;
    let located = read(folder)?;
    let set = &located.set;
    let decisions = Decisions::parse(&file.display().to_string(), &text, &set.classes)?;
    if decisions.dataset != fingerprint(set) {
        output::note(&format!(
            "{}: the decisions were made when the data set had other pictures; what is found is applied",
            file.display()
        ));
    }
    let by_file = decisions.by_file();
    let mut done = Applied { dry_run: dry, ..Applied::default() };
    let mut changes: Vec<Change> = Vec::new();
    let mut known = HashSet::new();
    for (picture, place) in set.pictures.iter().zip(&located.places) {
        let Some(list) = by_file.get(picture.file.as_str()) else { continue };
        known.insert(picture.file.as_str());
        let path = &place.labels;
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|e| Error::io(path, "read", e))?,
        };
        let (edited, fits) = edit_labels(&text, picture.size, &set.classes, list);
        for (decision, fit) in list.iter().zip(fits) {
            count(&mut done, decision, fit);
            if fit == Fit::Missing {
                missing(decision, "no such object: the labels were edited meanwhile");
            }
        }
        if edited != text {
            changes.push((path.clone(), edited));
        }
    }
    for decision in decisions.list.iter().filter(|d| !known.contains(d.file.as_str())) {
        done.missing += 1;
        missing(decision, "the data set has no such picture");
    }
    done.files = changes.len();
    let root = if folder.is_dir() { folder } else { folder.parent().unwrap_or(Path::new("")) };
    let records = root.join(RECORDS);
    let edit = |line: &str| edit_record(line, &by_file);
    let recorded = rewrite(&records, edit, None)?;
    if dry || (changes.is_empty() && !recorded) {
        return Ok(done);
    }
    let backup = back_up(root, &located)?;
    output::note(&format!("the labels as they were: {}", backup.display()));
    done.backup = Some(backup.display().to_string());
    for (path, text) in &changes {
        drop_cache(path)?;
        output::write_file(path, text.as_bytes())?;
    }
    if recorded {
        let mut pending = output::Pending::new(&records)?;
        rewrite(&records, edit, Some(&mut pending))?;
        pending.finish()?;
    }
    Ok(done)
}

fn count(done: &mut Applied, decision: &Decision, fit: Fit) {
    match (fit, &decision.verdict) {
        (Fit::Missing, _) => done.missing += 1,
        (_, Verdict::Accept) => done.accepted += 1,
        (_, Verdict::Reject) => done.rejected += 1,
        (_, Verdict::Relabel(_)) => done.relabelled += 1,
    }
    if fit == Fit::Settled && decision.verdict != Verdict::Accept {
        done.settled += 1;
    }
}

/// Goes through the lines of `file`, if there is one, and writes them, edited, to `to`. Returns whether any changes.
fn rewrite(file: &Path, edit: impl Fn(&str) -> Option<String>, mut to: Option<&mut output::Pending>) -> Result<bool> {
    let failed = |e| Error::io(file, "read", e);
    let reader = match std::fs::File::open(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(failed)?,
    };
    let mut reader = BufReader::new(reader);
    let mut changed = false;
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        // What is no text is no record, and stays.
        if let Some(mut edited) = std::str::from_utf8(&line).ok().and_then(&edit) {
            changed = true;
            if line.ends_with(b"\n") {
                edited.push('\n');
            }
            line = edited.into_bytes();
        }
        if let Some(to) = to.as_deref_mut() {
            to.write(&line)?;
        }
        line.clear();
    }
    Ok(changed)
}

/// Trainers keep what they read of a folder of labels in a file beside it, and some notice a change by the size alone: a
/// class that becomes another has the same.
fn drop_cache(label: &Path) -> Result<()> {
    let Some(cache) = label.parent().map(|folder| folder.with_extension("cache")) else { return Ok(()) };
    match std::fs::remove_file(&cache) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(cache, "remove", e)),
        _ => Ok(()),
    }
}

/// Copies what may change into a folder `backup-1`, `backup-2`, ... of the data set, which has this name when it is whole:
/// no clock has to be right for it.
fn back_up(root: &Path, located: &Located) -> Result<PathBuf> {
    let failed = |e| Error::io(root, "write a backup into", e);
    let temporary = tempfile::Builder::new().prefix(".ocellus-backup-").tempdir_in(root).map_err(failed)?;
    let beside = [PathBuf::from(&located.description), root.join(RECORDS)];
    for from in beside.iter().chain(located.places.iter().map(|p| &p.labels)).filter(|p| p.is_file()) {
        let below = from.strip_prefix(root).ok();
        let Some(below) = below.filter(|p| !p.components().any(|c| c == Component::ParentDir)) else {
            let message = format!("{}: lies outside of {}; move the labels there", from.display(), root.display());
            return Err(Error::Input(message));
        };
        let to = temporary.path().join(below);
        let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::copy(from, &to)).map_err(|e| Error::io(from, "copy", e))?;
    }
    let free = (1u32..).map(|n| root.join(format!("backup-{n}"))).find(|path| path.symlink_metadata().is_err());
    let backup = free.ok_or_else(|| Error::Internal("no free name for a backup".into()))?;
    open_to_others(temporary.path()).map_err(failed)?;
    std::fs::rename(temporary.path(), &backup).map_err(|e| Error::io(&backup, "create", e))?;
    // It has another name now: nothing is left to be removed.
    drop(temporary.keep());
    Ok(backup)
}

/// Temporary folders are for their owner alone; this one stays.
fn open_to_others(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    }
    let _ = folder;
    Ok(())
}
