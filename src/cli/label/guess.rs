//! The formats of data sets, and which one a file or folder has.

use super::pictures;
use crate::error::{Error, Result};
use serde_json::Value;
use std::path::Path;
use std::str::FromStr;

/// A format of data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Label files and `data.yaml`.
    Yolo,
    /// A JSON file for all pictures.
    Coco,
    /// An XML file a picture.
    Voc,
    /// A JSON file a picture: X-AnyLabeling, labelme.
    AnyLabeling,
    /// A list of tasks.
    LabelStudio,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "yolo" => Ok(Format::Yolo),
            "coco" => Ok(Format::Coco),
            "voc" => Ok(Format::Voc),
            "anylabeling" => Ok(Format::AnyLabeling),
            "labelstudio" => Ok(Format::LabelStudio),
            _ => Err(format!("{text:?} is none of yolo, coco, voc, anylabeling, labelstudio")),
        }
    }
}

/// How many files of a folder are looked into.
const LOOKED_AT: usize = 20;

/// The format of the data set at `path`, where its content tells.
pub fn guess(path: &Path) -> Result<Format> {
    let unclear = |what: &str| Error::Usage(format!("{}: {what}; say which with --from", path.display()));
    if path.is_file() {
        return of_file(path)?.ok_or_else(|| unclear("is a file of no known format"));
    }
    if !path.is_dir() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(Error::io(path, "read", missing));
    }
    if path.join(super::folder::DESCRIPTION).is_file() || path.join("labels").is_dir() {
        return Ok(Format::Yolo);
    }
    let ending = |p: &Path, endings: &[&str]| p.extension().is_some_and(|e| endings.iter().any(|w| e == *w));
    let mut found = Vec::new();
    for file in pictures::files(path, |p| ending(p, &["json", "xml", "yaml", "yml"]))?.iter().take(LOOKED_AT) {
        // What cannot be read is no hint.
        found.extend(of_file(file).ok().flatten());
    }
    found.sort();
    found.dedup();
    match &found[..] {
        [one] => Ok(*one),
        [] if !pictures::files(path, |p| ending(p, &["txt"]))?.is_empty() => Ok(Format::Yolo),
        [] => Err(unclear("no labels of a known format")),
        _ => Err(unclear("labels of several formats")),
    }
}

fn of_file(path: &Path) -> Result<Option<Format>> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    Ok(match ending.as_str() {
        "yaml" | "yml" => Some(Format::Yolo),
        "xml" => pictures::text(path)?.contains("<annotation").then_some(Format::Voc),
        "json" => {
            let value: Value = serde_json::from_str(&pictures::text(path)?)
                .map_err(|e| Error::Input(format!("{}: is no JSON: {e}", path.display())))?;
            let tasks = value.as_array().is_some_and(|list| list.iter().all(|task| task["data"].is_object()));
            if tasks {
                Some(Format::LabelStudio)
            } else if value["shapes"].is_array() {
                Some(Format::AnyLabeling)
            } else {
                (value["images"].is_array() && value["annotations"].is_array()).then_some(Format::Coco)
            }
        }
        _ => None,
    })
}
