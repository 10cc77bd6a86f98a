//! Reads YOLO data sets on disk: with a `data.yaml`, with folders `images` and `labels`, or with label files beside the
//! pictures and a `classes.txt`.

use super::pictures;
use super::{Located, Place};
use crate::dataset::check::{Kind, Problem};
use crate::dataset::record::{self, Record};
use crate::dataset::{Picture, Split, yaml, yolo};
use crate::error::{Error, Result};
use crate::input::is_picture_name;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// What label files do not hold, beside `data.yaml`.
pub const RECORDS: &str = "ocellus.jsonl";
/// The description of a data set.
pub const DESCRIPTION: &str = "data.yaml";
/// The names of classes, where there is no `data.yaml`.
pub const CLASSES: &str = "classes.txt";

/// Classes that a data set without names may have: a number beyond is a slip.
const MOST_UNNAMED: usize = 10_000;

/// A picture that a data set names: its part, its path, and its name below the folder of pictures.
struct Listed {
    split: Option<Split>,
    path: PathBuf,
    name: String,
}

/// Reads the data set at `path`: its folder, or its `data.yaml`. An error if it is none.
pub fn read(path: &Path) -> Result<Located> {
    let description = description(path)?;
    let root = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let mut located = Located::default();
    let (listed, names) = match &description {
        Some(file) => {
            let layout = yaml::parse(&pictures::text(file)?).map_err(|e| at_fault(file, &e))?;
            located.description = file.display().to_string();
            (by_description(file, &layout)?, Some(layout.names))
        }
        None => {
            let places = [root.to_path_buf(), root.join("labels"), root.join("images")];
            let file = places.iter().map(|p| p.join(CLASSES)).find(|f| f.is_file());
            located.description = file.as_ref().unwrap_or(&root.join(CLASSES)).display().to_string();
            (by_folders(root)?, file.map(|f| Ok::<_, Error>(yolo::classes(&pictures::text(&f)?))).transpose()?)
        }
    };
    if listed.is_empty() {
        return Err(at_fault(path, "no pictures of a data set; expected data.yaml, or images/ and labels/"));
    }
    let records = records(&root.join(RECORDS), &mut located.problems)?;
    let known = names.is_some();
    located.set.classes = names.unwrap_or_default();
    let mut used = HashSet::new();
    let mut folders = BTreeSet::new();
    for picture in listed {
        let labels = labels_of(&picture.path);
        // All places where a stray label file would lie.
        folders.extend(labels.parent().map(Path::to_path_buf));
        used.insert(labels.clone());
        add(&mut located, picture, labels, known, &records);
    }
    if !known {
        let most = located.set.pictures.iter().flat_map(|p| &p.objects).map(|o| o.class + 1).max().unwrap_or(0);
        located.set.classes = (0..most).map(|i| format!("class_{i}")).collect();
        if most == 0 {
            return Err(at_fault(path, "no names of classes; expected data.yaml or classes.txt"));
        }
    }
    let classes = located.set.classes.clone();
    for picture in &mut located.set.pictures {
        if let Some(record) = records.get(&picture.file) {
            record::join(&mut picture.objects, record, &classes);
        }
    }
    strays(&folders, &used, root, &mut located.problems)?;
    Ok(located)
}

fn at_fault(path: &Path, message: &str) -> Error {
    Error::Input(format!("{}: {message}", path.display()))
}

/// The `data.yaml` of a data set, or the only YAML file beside its folders; None without one.
fn description(path: &Path) -> Result<Option<PathBuf>> {
    if path.is_file() {
        return Ok(Some(path.to_path_buf()));
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, "read", e))?;
    let is_yaml = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml") && p.is_file();
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_yaml).collect();
    found.sort();
    let usual = ["data.yaml", "dataset.yaml", "data.yml", "dataset.yml"];
    let usual = usual.iter().map(|name| path.join(name)).find(|p| found.contains(p));
    match (&usual, &found[..]) {
        (Some(_), _) => Ok(usual),
        (None, [only]) => Ok(Some(only.clone())),
        (None, []) => Ok(None),
        (None, _) => Err(at_fault(path, "has several YAML files; name the one that describes the data set")),
    }
}

/// The pictures that a `data.yaml` names, as ultralytics looks for them.
fn by_description(file: &Path, layout: &yaml::Layout) -> Result<Vec<Listed>> {
    let own = file.parent().unwrap_or(Path::new(""));
    let base = match &layout.path {
        // A data set that was moved has the path of its old place.
        Some(path) => [own.join(path), PathBuf::from(path)].into_iter().find(|p| p.is_dir()).unwrap_or(own.into()),
        None => own.to_path_buf(),
    };
    let mut listed = Vec::new();
    let mut folders = HashSet::new();
    for (&split, entries) in &layout.parts {
        for entry in entries {
            let shorter = entry.strip_prefix("../").map(|rest| base.join(rest));
            let found = std::iter::once(base.join(entry)).chain(shorter).find(|p| p.exists());
            let Some(found) = found else {
                let message = format!("{}: is {}, which is not there", split.name(), base.join(entry).display());
                return Err(at_fault(file, &message));
            };
            // A folder that stands for two parts, as where nothing was set aside, is read once.
            if !folders.insert(found.canonicalize().unwrap_or(found.clone())) {
                continue;
            }
            if found.is_dir() {
                listed.extend(in_folder(&found, Some(split))?);
            } else {
                let near = found.parent().unwrap_or(Path::new(""));
                let text = pictures::text(&found)?;
                let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
                listed.extend(lines.map(|line| {
                    let path = line.strip_prefix("./").map_or_else(|| near.join(line), |rest| near.join(rest));
                    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                    Listed { split: Some(split), path, name: format!("{}/{name}", split.name()) }
                }));
            }
        }
    }
    Ok(listed)
}

/// The pictures of a folder that holds a part, or no part in particular.
fn in_folder(folder: &Path, split: Option<Split>) -> Result<Vec<Listed>> {
    let listed = |path: PathBuf| {
        let rest = slashed(path.strip_prefix(folder).unwrap_or(&path));
        let name = split.map_or(rest.clone(), |s| format!("{}/{rest}", s.name()));
        Listed { split, path, name }
    };
    Ok(pictures::below(folder)?.into_iter().map(listed).collect())
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// The pictures of a data set without a description: `images/train`, `train/images`, `images`, or its folder itself.
fn by_folders(root: &Path) -> Result<Vec<Listed>> {
    let images = root.join("images");
    let parts = |folder: &Path| -> Result<Vec<(Split, PathBuf)>> {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "read", e))?;
        let part = |path: PathBuf| Some((Split::named(path.file_name()?.to_str()?)?, path)).filter(|(_, p)| p.is_dir());
        let mut found: Vec<_> = entries.filter_map(|e| part(e.ok()?.path())).collect();
        found.sort();
        Ok(found)
    };
    let mut listed = Vec::new();
    let (folder, found) = match images.is_dir() {
        true => (images.clone(), parts(&images)?),
        false => {
            let inner = parts(root)?.into_iter().map(|(s, p)| (s, p.join("images")));
            (root.to_path_buf(), inner.filter(|(_, p)| p.is_dir()).collect())
        }
    };
    for (split, part) in &found {
        listed.extend(in_folder(part, Some(*split))?);
    }
    if found.is_empty() {
        listed = in_folder(&folder, None)?;
    }
    Ok(listed)
}

/// The label file of a picture: where the last folder `images` of its path is called `labels`, or beside it.
fn labels_of(picture: &Path) -> PathBuf {
    let beside = picture.with_extension("txt");
    let parts: Vec<Component> = beside.components().collect();
    let Some(at) = parts.iter().rposition(|c| c.as_os_str() == "images") else { return beside };
    let labels = Component::Normal("labels".as_ref());
    let swapped: PathBuf = parts[..at].iter().chain([&labels]).chain(&parts[at + 1..]).collect();
    if !swapped.is_file() && beside.is_file() { beside } else { swapped }
}

/// Adds a picture and what its label file says.
fn add(located: &mut Located, listed: Listed, labels: PathBuf, known: bool, records: &HashMap<String, Record>) {
    let shown = listed.path.display().to_string();
    let size = match pictures::size(&listed.path) {
        Ok(size) => size,
        Err(error) => {
            let text = error.one_line();
            let message = text.strip_prefix(&format!("{shown}: ")).unwrap_or(&text);
            located.problems.push(Problem::new(Kind::UnreadablePicture, shown, None, message));
            return;
        }
    };
    let file = labels.display().to_string();
    let mut problem = |kind, line, message: String| located.problems.push(Problem::new(kind, &*file, line, message));
    let text = match std::fs::read(&labels) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_else(|_| {
            problem(Kind::MalformedLine, None, "expected text in UTF-8".into());
            String::new()
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            located.problems.push(Problem::new(
                Kind::MissingLabels,
                &*shown,
                None,
                format!("has no label file {file}"),
            ));
            String::new()
        }
        Err(e) => {
            problem(Kind::MalformedLine, None, format!("cannot read: {e}"));
            String::new()
        }
    };
    let classes = located.set.classes.len();
    let read = yolo::parse(&text, size, if known { classes } else { MOST_UNNAMED });
    let mut problem =
        |kind, line, message: String| located.problems.push(Problem::new(kind, &*file, Some(line), message));
    read.faults.into_iter().for_each(|(line, message)| problem(Kind::MalformedLine, line, message));
    for (line, class) in read.unknown {
        problem(
            Kind::UnknownClass,
            line,
            format!("class {class}, but there are {classes} (0 to {})", classes.max(1) - 1),
        );
    }
    let (lines, objects) = read.objects.into_iter().unzip();
    let path = records.get(&listed.name).map(|r| r.path.clone()).filter(|p| !p.is_empty());
    located.places.push(Place { source: listed.path, path: path.unwrap_or(shown), labels, lines });
    located.set.pictures.push(Picture { file: listed.name, size, split: listed.split, objects });
}

/// The records beside a data set by their pictures; none without the file.
fn records(file: &Path, problems: &mut Vec<Problem>) -> Result<HashMap<String, Record>> {
    let mut found = HashMap::new();
    if !file.is_file() {
        return Ok(found);
    }
    for (i, line) in pictures::text(file)?.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        match record::parse(line) {
            Ok(record) if record.error.is_some() => {}
            Ok(record) => drop(found.insert(record.file.clone(), record)),
            Err(message) => {
                problems.push(Problem::new(Kind::BadRecord, file.display().to_string(), Some(i + 1), message));
            }
        }
    }
    Ok(found)
}

/// Label files in `folders` that no picture has.
fn strays(
    folders: &BTreeSet<PathBuf>,
    used: &HashSet<PathBuf>,
    root: &Path,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    for folder in folders.iter().filter(|f| f.is_dir()) {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "read", e))?;
        let is_text = |p: &PathBuf| p.extension().is_some_and(|e| e == "txt") && p.is_file();
        let mut texts: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(is_text).collect();
        texts.sort();
        // Beside the pictures there are other texts too.
        let flat = std::fs::read_dir(folder).is_ok_and(|mut e| e.any(|e| e.is_ok_and(|e| is_picture_name(&e.path()))));
        for text in texts.into_iter().filter(|t| !used.contains(t)) {
            let name = text.file_stem().map(|s| s.to_string_lossy().to_lowercase()).unwrap_or_default();
            let list = name == "classes"
                || (folder == root || flat) && (Split::named(&name).is_some() || name.starts_with("readme"));
            if !list {
                let message = "is a label file without a picture";
                problems.push(Problem::new(Kind::MissingPicture, text.display().to_string(), None, message));
            }
        }
    }
    Ok(())
}
