//! Standard output, standard error and files: whole lines, whole files, or nothing.

use super::args::restore_stdin;
use crate::error::{Error, Result};
use crate::input::Source;
use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// How the names of files begin that are being written.
pub const TEMPORARY: &str = ".ocellus-";

/// Writes one line of results to standard output.
pub fn line(text: &str) -> Result<()> {
    self::text(&format!("{text}\n"))
}

/// Writes whole lines of results, or nothing, to standard output.
pub fn text(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Error::ClosedPipe,
        _ => Error::io("<stdout>", "write", e),
    })
}

/// Says on standard error what went wrong, in one line.
pub fn complain(error: &Error) {
    note(&format!("error: {}", error.one_line()));
}

/// Says something on standard error. If nobody listens there, nothing can be done about it.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "ocellus: {text}");
}

/// Whether results may be coloured: standard output is a terminal and `NO_COLOR` (no-color.org) is not set.
pub fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Makes sure, before the work starts, that files can be written into `folder`; creates it if need be.
pub fn check_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
    tempfile::tempfile_in(folder).map(|_| ()).map_err(|e| Error::io(folder, "write to", e))
}

/// Makes sure, before the work starts, that `file` can be written.
pub fn check_file(file: &Path) -> Result<()> {
    if file.to_string_lossy().contains(char::is_control) {
        return Err(Error::Usage("results of this kind cannot go to standard output; name a file".into()));
    }
    if file.is_dir() || file.to_string_lossy().ends_with(std::path::MAIN_SEPARATOR) {
        return Err(Error::Usage(format!("{}: is a directory, a file name is needed", file.display())));
    }
    check_folder(folder_of(file))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes sure that none of the files to be written is one of the pictures that are read.
pub fn check_apart(written: &[PathBuf], sources: &[Source]) -> Result<()> {
    let real = |path: &PathBuf| path.canonicalize().ok();
    let read: HashSet<PathBuf> =
        sources.iter().filter_map(|s| if let Source::File(path) = s { real(path) } else { None }).collect();
    match written.iter().find(|path| real(path).is_some_and(|p| read.contains(&p))) {
        Some(path) => Err(Error::Usage(format!(
            "{}: is one of the pictures to be read and would be overwritten; name another folder",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Makes sure that no file of `a` is one of `b`: two results in one file.
pub fn check_distinct(a: &[PathBuf], b: &[PathBuf]) -> Result<()> {
    // Files that do not exist yet have no real path, their folders do.
    let real = |path: &PathBuf| (folder_of(path).canonicalize().ok(), path.file_name().map(|n| n.to_os_string()));
    let taken: HashSet<_> = a.iter().map(real).collect();
    match b.iter().find(|path| taken.contains(&real(path))) {
        Some(path) => {
            Err(Error::Usage(format!("{}: two results would be written there; name another folder", path.display())))
        }
        None => Ok(()),
    }
}

/// Writes `file` under a temporary name beside it and renames it, so that a half-written file is never seen.
pub fn write_file(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut pending = Pending::new(file)?;
    pending.write(bytes)?;
    pending.finish()
}

/// Like [`write_file`], and on disk when this returns, so that not even a power cut leaves it empty.
pub fn write_durable(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut pending = Pending::new(file)?;
    pending.write(bytes)?;
    pending.sync()?;
    pending.finish()?;
    // The name as well.
    let folder = folder_of(file);
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, "write", e))
}

/// A file that is written piece by piece under a temporary name, and renamed when it is whole.
pub struct Pending<'a> {
    file: &'a Path,
    temporary: io::BufWriter<tempfile::NamedTempFile>,
}

impl<'a> Pending<'a> {
    /// Begins to write `file`.
    pub fn new(file: &'a Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o644));
        }
        let temporary = builder.prefix(TEMPORARY).tempfile_in(folder_of(file));
        let temporary = temporary.map_err(|e| Error::io(file, "write", e))?;
        Ok(Pending { file, temporary: io::BufWriter::new(temporary) })
    }

    /// Writes the next piece.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.temporary.write_all(bytes).map_err(|e| Error::io(self.file, "write", e))
    }

    /// Waits until all of it is on disk.
    pub fn sync(&mut self) -> Result<()> {
        let synced = self.temporary.flush().and_then(|()| self.temporary.get_ref().as_file().sync_all());
        synced.map_err(|e| Error::io(self.file, "write", e))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<()> {
        let failed = |e| Error::io(self.file, "write", e);
        let temporary = self.temporary.into_inner().map_err(|e| failed(e.into_error()))?;
        temporary.persist(self.file).map(|_| ()).map_err(|e| failed(e.error))
    }
}

/// The PNG files that `--annotate` asks for, one a picture; none without it. Their folder is made and they are no picture
/// that is read.
pub fn pictures(folder: Option<&Path>, sources: &[Source]) -> Result<Vec<PathBuf>> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    check_folder(folder)?;
    let names = unique_names(sources.iter().map(Source::stem), folder, "png");
    check_apart(&names, sources)?;
    Ok(names)
}

/// One output file a picture with the picture's name and another ending, folders below a directory that `arguments` name
/// kept: for files that are matched with their pictures by name, so that two pictures of one name are an error.
pub fn names_below(folder: &Path, arguments: &[String], sources: &[Source], ending: &str) -> Result<Vec<PathBuf>> {
    let arguments: Vec<String> = arguments.iter().map(|n| restore_stdin(n)).collect();
    let mut taken = HashSet::new();
    let mut names = Vec::new();
    for source in sources {
        let name = below(source, &arguments).join(format!("{}.{ending}", source.stem()));
        if !taken.insert(name.clone()) {
            let message = format!("two pictures would have the file {}; work on them apart", name.display());
            return Err(Error::Usage(message));
        }
        names.push(folder.join(name));
    }
    names.iter().filter_map(|n| n.parent()).collect::<HashSet<_>>().into_iter().try_for_each(check_folder)?;
    Ok(names)
}

/// The folder of a picture below the directory that one of `arguments` names; empty for a picture that is named itself.
pub fn below(source: &Source, arguments: &[String]) -> PathBuf {
    let (Source::File(path) | Source::Unreadable(path, _)) = source else { return PathBuf::new() };
    let rest = arguments.iter().find_map(|a| path.strip_prefix(a).ok()).and_then(Path::parent);
    rest.unwrap_or(Path::new("")).to_path_buf()
}

/// Names for one output file a picture: the stem of each, with `-2`, `-3` ... where two pictures share one.
pub fn unique_names(stems: impl Iterator<Item = String>, folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut taken = HashSet::new();
    stems
        .map(|stem| {
            let names = std::iter::once(stem.clone()).chain((2u32..).map(|n| format!("{stem}-{n}")));
            let name = names.into_iter().find(|n| taken.insert(n.clone())).unwrap_or(stem);
            folder.join(format!("{name}.{ending}"))
        })
        .collect()
}
