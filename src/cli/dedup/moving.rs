//! Moving suggested duplicates out of the way. Nothing is deleted, and a list tells how to put everything back.

use super::Found;
use super::files::File;
use crate::cli::output;
use crate::error::{Error, Result};
use crate::report::duplicates::Member;
use std::io::{ErrorKind, Write};
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
            let differs =
                || (member.exact && !same_bytes(group.keep(), member)).then(|| "its bytes differ".to_string());
            let result = match keep.clone().or_else(|| changed(member)).or_else(differs) {
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
    let list = folder.join(UNDO);
    output::note(&match moved {
        0 => "no file was moved".to_string(),
        n => format!("{n} files moved to {}; sh '{}' puts them back", folder.display(), list.display()),
    });
    Ok(stayed)
}

/// Why a file is no longer what was compared.
fn changed(member: &Member) -> Option<String> {
    let now = File::stamp(&member.path);
    (now != Some((member.bytes, member.modified))).then(|| format!("{} has changed meanwhile", member.path.display()))
}

/// Whether two files that were taken for equal are: a file can change and keep its size and time.
fn same_bytes(a: &Member, b: &Member) -> bool {
    let read = |m: &Member| std::fs::read(&m.path);
    matches!((read(a), read(b)), (Ok(a), Ok(b)) if a == b)
}

fn move_one(file: &File, folder: &Path, undo: &mut Undo) -> Result<()> {
    let from = std::path::absolute(&file.path).map_err(|e| Error::io(&file.path, "find", e))?;
    let to = free_name(&folder.join(&file.below), undo);
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "create", e))?;
    }
    // The list first: whatever happens in between, it tells of every file that is gone.
    undo.add(&to, &from)?;
    let failed = |e| Error::io(&from, "move", e);
    // A second name, then the first one goes: unlike a renaming, this never replaces a file that has just come to be there.
    match std::fs::hard_link(&from, &to) {
        Ok(()) => std::fs::remove_file(&from).or_else(|e| std::fs::remove_file(&to).and(Err(e))).map_err(failed),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(failed(e)),
        Err(e) if e.kind() == ErrorKind::CrossesDevices => copy_over(&from, &to),
        // A file system without such names, as on memory cards.
        Err(_) => std::fs::rename(&from, &to).map_err(failed),
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
    let _ = std::fs::File::open(parent).and_then(|folder| folder.sync_all());
    // One that cannot go must not have a copy lying where duplicates go.
    std::fs::remove_file(from).or_else(|e| std::fs::remove_file(to).and(Err(e))).map_err(failed)
}

/// `path`, or with `-2`, `-3` ... behind its stem where there is such a file, or was one: the list must stay true.
fn free_name(path: &Path, undo: &Undo) -> PathBuf {
    let taken = |p: &Path| p.symlink_metadata().is_ok() || undo.mentions(p);
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

/// What the list begins with. Each line behind it calls `back`.
const HEAD: &str = r#"#!/bin/sh
# Puts back what ocellus dedup moved here: sh undo.sh
failed=0
trap 'exit $failed' EXIT
back() {
    if [ ! -e "$1" ]; then
        return
    elif [ -e "$2" ] || [ -L "$2" ]; then
        echo "not put back, there is another file now: $2" >&2
        failed=1
    else
        mkdir -p -- "$(dirname -- "$2")" && mv -- "$1" "$2" || failed=1
    fi
}
"#;

/// The list, open at its end.
struct Undo {
    path: PathBuf,
    file: std::fs::File,
    /// What it holds so far.
    text: Vec<u8>,
}

impl Undo {
    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(UNDO);
        let failed = |e| Error::io(&path, "write", e);
        let mut text = match std::fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed)?,
        };
        if !text.is_empty() && !text.starts_with(HEAD.as_bytes()) {
            let message = format!("{}: is no list of this program; name another directory", path.display());
            return Err(Error::Usage(message));
        }
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        if text.is_empty() {
            file.write_all(HEAD.as_bytes()).map_err(failed)?;
            text.extend(HEAD.as_bytes());
        }
        Ok(Undo { path, file, text })
    }

    /// Whether a file was moved to `path` once.
    fn mentions(&self, path: &Path) -> bool {
        let name = [b"back ", quoted(path).as_slice(), b" "].concat();
        self.text.windows(name.len()).any(|w| w == name)
    }

    fn add(&mut self, moved: &Path, original: &Path) -> Result<()> {
        let mut line = b"back ".to_vec();
        line.extend(quoted(moved));
        line.push(b' ');
        line.extend(quoted(original));
        line.push(b'\n');
        self.text.extend(&line);
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
