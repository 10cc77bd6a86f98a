//! Pictures of data sets: their size without decoding them, where they lie, copies of them.

use crate::cli::output;
use crate::error::{Error, Result};
use crate::input::is_picture_name;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Width and height of the upright picture in pixels, from its header.
pub fn size(path: &Path) -> Result<(u32, u32)> {
    let bad = |message: &str, source: Option<image::ImageError>| Error::Image {
        name: path.display().to_string(),
        message: message.into(),
        source: source.map(Into::into),
    };
    let file = File::open(path).map_err(|e| Error::io(path, "read", e))?;
    if file.metadata().is_ok_and(|m| m.len() == 0) {
        return Err(bad("the file is empty", None));
    }
    let reader = ImageReader::new(BufReader::new(file)).with_guessed_format();
    let reader = reader.map_err(|e| Error::io(path, "read", e))?;
    if reader.format().is_none() {
        return Err(bad("not a picture: expected JPEG, PNG, BMP, TIFF, WebP or PNM content", None));
    }
    let damaged = |e| bad("the picture is damaged or of an unsupported kind", Some(e));
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(bad("the picture has no pixels", None));
    }
    Ok(match decoder.orientation().map_err(damaged)? {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            (height, width)
        }
        _ => (width, height),
    })
}

/// All files below `folder` whose name `wanted` takes, sorted. Hidden files and folders are left out.
pub fn files(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let visible = |e: &walkdir::DirEntry| e.depth() == 0 || !e.file_name().to_string_lossy().starts_with('.');
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(visible) {
        match entry {
            Ok(e) if e.file_type().is_file() && wanted(e.path()) => found.push(e.into_path()),
            Ok(_) => {}
            Err(e) if e.loop_ancestor().is_some() => {}
            Err(e) => {
                let at = e.path().unwrap_or(folder).to_path_buf();
                let cause = e.into_io_error().unwrap_or_else(|| std::io::Error::other("cannot be listed"));
                return Err(Error::io(at, "read", cause));
            }
        }
    }
    Ok(found)
}

/// All pictures below `folder`, sorted.
pub fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    files(folder, is_picture_name)
}

/// The text of a file, which has to be UTF-8.
pub fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    String::from_utf8(bytes).map_err(|_| Error::Input(format!("{}: expected text in UTF-8", path.display())))
}

/// Finds pictures by the names that annotation files give them.
#[derive(Debug)]
pub struct Finder {
    root: PathBuf,
    /// By file name without folder, and without ending.
    named: HashMap<String, Vec<PathBuf>>,
    stems: HashMap<String, Vec<PathBuf>>,
}

impl Finder {
    /// Of the pictures below `root`.
    pub fn new(root: &Path) -> Result<Self> {
        let (mut named, mut stems) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for path in below(root)? {
            let part = |p: Option<&std::ffi::OsStr>| p.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
            named.entry(part(path.file_name())).or_default().push(path.clone());
            stems.entry(part(path.file_stem())).or_default().push(path);
        }
        Ok(Finder { root: root.to_path_buf(), named, stems })
    }

    /// The picture called `name` in the annotation file `file`, or the one that `file` has its name from.
    pub fn find(&self, name: &str, file: &Path) -> Result<PathBuf> {
        let name = name.replace('\\', "/");
        let name = name.trim_start_matches("./");
        let beside = file.parent().unwrap_or(Path::new("")).join(name);
        let direct = [self.root.join(name), beside].into_iter().find(|p| !name.is_empty() && p.is_file());
        if let Some(path) = direct {
            return Ok(path);
        }
        let last = name.rsplit('/').next().unwrap_or_default();
        // Label Studio puts eight digits before the names of uploads.
        let plain = last.split_once('-').filter(|(d, _)| d.len() == 8 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        let stem = Path::new(last).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let own = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let listed = self.named.get(last).or_else(|| self.named.get(plain?.1));
        let listed =
            listed.or_else(|| self.stems.get(&stem)).or_else(|| self.stems.get(&own).filter(|_| name.is_empty()));
        let shown = if name.is_empty() { own.as_str() } else { name };
        let candidates = listed.map_or(&[][..], Vec::as_slice);
        // Of several, the one whose folders agree with the name.
        let fits: Vec<&PathBuf> = candidates.iter().filter(|p| p.ends_with(name)).collect();
        match (candidates, &fits[..]) {
            ([one], _) => Ok(one.clone()),
            (_, [one]) => Ok((*one).clone()),
            ([], _) => {
                let message =
                    format!("its picture {shown:?} is not below {}; say where with --images", self.root.display());
                Err(Error::Input(format!("{}: {message}", file.display())))
            }
            _ => {
                let message = format!("several pictures below {} are called {shown:?}", self.root.display());
                Err(Error::Input(format!("{}: {message}", file.display())))
            }
        }
    }
}

/// Puts a copy of `from` at `to`, or with `link` another name of the same file where the file system has that.
pub fn place(from: &Path, to: &Path, link: bool) -> Result<()> {
    if from.canonicalize().is_ok_and(|from| to.canonicalize().is_ok_and(|to| from == to)) {
        return Ok(());
    }
    if link {
        // The link of a symbolic link would point nowhere from another folder.
        let real = from.canonicalize().map_err(|e| Error::io(from, "read", e))?;
        if std::fs::hard_link(real, to).is_ok() {
            return Ok(());
        }
    }
    let failed = |e| Error::io(from, "read", e);
    let mut file = File::open(from).map_err(failed)?;
    let mut copy = output::Pending::new(to)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return copy.finish(),
            n => copy.write(&piece[..n])?,
        }
    }
}

/// Names for pictures that share a folder: the file name of each, `-2`, `-3` ... before the ending where another has the
/// same name without its ending: label files go by it. Letter case is not told apart, as some file systems do not.
pub fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    names
        .map(|name| {
            let name = name.rsplit(['/', '\\']).next().filter(|n| !n.is_empty()).unwrap_or("picture");
            let (stem, ending) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).unwrap_or((name, ""));
            let stems = std::iter::once(stem.to_string()).chain((2u32..).map(|n| format!("{stem}-{n}")));
            let free = stems.into_iter().find(|s| taken.insert(s.to_lowercase())).unwrap_or_default();
            if ending.is_empty() { free } else { format!("{free}.{ending}") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let names = ["a/x.png", "b/x.jpg", "X.png", "x-2.png", "y", ".z", ""];
        let expected = ["x.png", "x-2.jpg", "X-3.png", "x-2-2.png", "y", ".z", "picture"];
        assert_eq!(unique(names.into_iter()), expected);
    }
}
