//! The labelled pictures of `train cells`, and all that is wrong with them, before anything is learned.

use crate::cells::Cells;
use crate::cli::label::pictures;
use crate::error::Result;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Examples of a fault that are shown.
const SHOWN: usize = 5;

/// A picture and its bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    pub picture: PathBuf,
    pub bits: Vec<bool>,
}

/// A kind of fault, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    NoPictures,
    NoLabels,
    NoPicture,
    SameName,
    Unreadable,
    Values,
    NothingSet,
    BackgroundBeside,
}

impl Fault {
    fn title(self) -> &'static str {
        match self {
            Fault::NoPictures => "folders without a picture",
            Fault::NoLabels => "pictures without a label file",
            Fault::NoPicture => "label files without a picture",
            Fault::SameName => "pictures of one name",
            Fault::Unreadable => "pictures that cannot be read",
            Fault::Values => "label files that do not fit the cells",
            Fault::NothingSet => "cells without any label or background",
            Fault::BackgroundBeside => "cells with background beside a label",
        }
    }
}

/// What is wrong, by kind.
#[derive(Debug, Default)]
pub struct Faults(BTreeMap<Fault, Vec<String>>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, fault: Fault, what: String) {
        self.0.entry(fault).or_default().push(what);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things are wrong.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// A table of all kinds, with examples of each.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (fault, list) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>6}  {}", list.len(), fault.title());
            for one in list.iter().take(SHOWN) {
                let _ = writeln!(text, "        {one}");
            }
            if list.len() > SHOWN {
                let _ = writeln!(text, "        and {} more", list.len() - SHOWN);
            }
        }
        text
    }
}

/// Pictures below `images` with the labels of their name below `labels`: in the folder of the same name, or right there.
pub fn read(images: &Path, labels: &Path, cells: &Cells) -> Result<(Vec<Labelled>, Faults)> {
    // The name with its folders below the root, without the ending.
    let name = |root: &Path, path: &Path| path.strip_prefix(root).unwrap_or(path).with_extension("");
    // Some labelling programs leave their list of classes beside the labels.
    let is_text =
        |path: &Path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt")) && !path.ends_with("classes.txt");
    let mut texts: BTreeMap<PathBuf, PathBuf> =
        pictures::files(labels, is_text)?.into_iter().map(|path| (name(labels, &path), path)).collect();
    let found = pictures::below(images)?;
    let mut faults = Faults::default();
    if found.is_empty() {
        faults.add(Fault::NoPictures, images.display().to_string());
    }
    let mut taken: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut labelled = Vec::new();
    for picture in found {
        let name = name(images, &picture);
        if let Some(first) = taken.get(&name) {
            let message = format!("{} and {}: label files go by the name", first.display(), picture.display());
            faults.add(Fault::SameName, message);
            continue;
        }
        taken.insert(name.clone(), picture.clone());
        if let Err(error) = pictures::size(&picture) {
            faults.add(Fault::Unreadable, error.one_line());
        }
        // Pictures in folders may have all their labels in one.
        let flat = || texts.keys().find(|key| key.as_os_str() == name.file_name().unwrap_or_default()).cloned();
        let key = if texts.contains_key(&name) { Some(name.clone()) } else { flat() };
        match key.and_then(|key| texts.remove(&key)) {
            None => {
                let mut expected = labels.join(&name).into_os_string();
                expected.push(".txt");
                let expected = PathBuf::from(expected);
                faults.add(Fault::NoLabels, format!("{}: expected {}", picture.display(), expected.display()));
            }
            Some(path) => {
                if let Some(bits) = bits(&path, cells, &mut faults) {
                    labelled.push(Labelled { picture, bits });
                }
            }
        }
    }
    texts.into_values().for_each(|path| faults.add(Fault::NoPicture, path.display().to_string()));
    Ok((labelled, faults))
}

fn bits(path: &Path, cells: &Cells, faults: &mut Faults) -> Option<Vec<bool>> {
    let name = path.display().to_string();
    let read = pictures::text(path).and_then(|text| cells.read_bits(&name, &text));
    let bits = read.map_err(|e| faults.add(Fault::Values, e.one_line())).ok()?;
    for fault in cells.faults(&bits) {
        let kind = match fault {
            crate::cells::Fault::Nothing { .. } => Fault::NothingSet,
            crate::cells::Fault::BackgroundBeside { .. } => Fault::BackgroundBeside,
        };
        faults.add(kind, format!("{name}: {fault}"));
    }
    Some(bits)
}

/// The labels that no cell of any picture has.
pub fn never_seen<'a>(labelled: &[Labelled], cells: &'a Cells) -> Vec<&'a str> {
    let seen =
        |label: usize| labelled.iter().any(|l| l.bits.chunks(cells.width()).any(|c| c.get(label) == Some(&true)));
    cells.labels.iter().enumerate().filter(|(i, _)| !seen(*i)).map(|(_, name)| name.as_str()).collect()
}
