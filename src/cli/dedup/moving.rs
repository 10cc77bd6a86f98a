//! Moving suggested duplicates out of the way. Nothing is deleted, and a list tells how to put everything back.

use super::Found;
use super::files::File;
use crate::cli::output;
use crate::error::{Error, Result};
use crate::report::duplicates::Member;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The list that puts everything back: a shell script, since that needs no ocellus and can be read.
const UNDO: &str = "undo.sh";

/// Moves all files that may go into `folder`, each below it as it lay below the directory that was named. What cannot be
/// moved stays and is told. Returns whether any stayed.
pub fn move_spares(found: &Found, folder: &Path) -> Result<bool> {
    if found.totals.spare == 0 {
        return Ok(false);
    }
    output::check_folder(folder)?;
    let folder = &std::path::absolute(folder).map_err(|e| Error::io(folder, "find", e))?;
    let mut undo = Undo::open(folder)?;
    let (mut moved, mut stayed) = (0, false);
    for group in &found.groups {
        // The kept one must still be what it was when it was compared.
        let keep = changed(group.keep());
        for member in group.spare() {
            let result = match keep.clone().or_else(|| changed(member)) {
                Some(reason) => Err(Error::Input(format!("{}: not moved: {reason}", member.path.display()))),
                None => move_one(&found.files[member.file], folder, &mut undo),
            };
            match result {
                Ok(()) => moved += 1,
                Err(error) => {
                    output::complain(&error);
                    stayed = true;
                }
            }
        }
    }
    let place = folder.display();
    output::note(&format!("{moved} files moved to {place}; sh {place}/{UNDO} puts them back"));
    Ok(stayed)
}

/// Why a file is no longer what was compared.
fn changed(member: &Member) -> Option<String> {
    let now = File::stamp(&member.path);
    (now != Some((member.bytes, member.modified))).then(|| format!("{} has changed meanwhile", member.path.display()))
}

fn move_one(file: &File, folder: &Path, undo: &mut Undo) -> Result<()> {
    let from = std::path::absolute(&file.path).map_err(|e| Error::io(&file.path, "find", e))?;
    let to = free_name(&folder.join(&file.below));
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "create", e))?;
    }
    // The list first: whatever happens in between, it tells of every file that is gone.
    undo.add(&to, &from)?;
    match std::fs::rename(&from, &to) {
        Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => copy_over(&from, &to),
        result => result.map_err(|e| Error::io(&from, "move", e)),
    }
}

/// Moves between file systems: the copy is complete and on the disk before the original goes.
fn copy_over(from: &Path, to: &Path) -> Result<()> {
    let failed = |e| Error::io(from, "move", e);
    let parent = to.parent().unwrap_or(Path::new("."));
    let mut copy = tempfile::Builder::new().prefix(".ocellus-").tempfile_in(parent).map_err(failed)?;
    let mut original = std::fs::File::open(from).map_err(failed)?;
    let metadata = original.metadata().map_err(failed)?;
    std::io::copy(&mut original, copy.as_file_mut()).map_err(failed)?;
    let file = copy.as_file();
    file.set_permissions(metadata.permissions()).map_err(failed)?;
    if let Ok(time) = metadata.modified() {
        file.set_modified(time).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    copy.persist_noclobber(to).map_err(|e| failed(e.error))?;
    std::fs::remove_file(from).map_err(failed)
}

/// `path`, or with `-2`, `-3` ... behind its stem where there is such a file.
fn free_name(path: &Path) -> PathBuf {
    let taken = |p: &Path| p.symlink_metadata().is_ok();
    let numbered = |n: u32| {
        let mut name = path.file_stem().unwrap_or_default().to_os_string();
        name.push(format!("-{n}"));
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        path.with_file_name(name)
    };
    if taken(path) { (2..).map(numbered).find(|p| !taken(p)).unwrap_or_default() } else { path.to_path_buf() }
}

/// The list, open at its end.
struct Undo {
    path: PathBuf,
    file: std::fs::File,
}

impl Undo {
    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(UNDO);
        let failed = |e| Error::io(&path, "write", e);
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            let head = "#!/bin/sh\n# Puts back what ocellus dedup moved here: sh undo.sh\n";
            file.write_all(head.as_bytes()).map_err(failed)?;
        }
        Ok(Undo { path, file })
    }

    fn add(&mut self, moved: &Path, original: &Path) -> Result<()> {
        let mut line = b"mv -n -- ".to_vec();
        line.extend(quoted(moved));
        line.push(b' ');
        line.extend(quoted(original));
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|e| Error::io(&self.path, "write", e))
    }
}

/// A path for a POSIX shell, byte by byte: names need not be UTF-8.
fn quoted(path: &Path) -> Vec<u8> {
    let mut out = vec![b'\''];
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\'' => out.extend(b"'\\''"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
    out
}
