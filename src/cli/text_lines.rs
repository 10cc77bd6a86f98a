//! What the flags of `ocellus ocr` say, and the files it writes.

use super::output;
use crate::error::Result;
use crate::geometry::Rect;
use crate::input::Source;
use crate::report::{json, lines};
use crate::tasks::ocr::Line;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `--region x,y,w,h`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part(pub Rect);

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x, y, w, h]) if w > 0 && h > 0 => Ok(Part(Rect::from_xywh(x as f32, y as f32, w as f32, h as f32))),
            _ => Err(format!("{text:?} is not x,y,width,height in whole pixels")),
        }
    }
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The texts.
    Txt,
    /// The record.
    Json,
    /// A page with boxes.
    Hocr,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "txt" => Ok(Format::Txt),
            "json" => Ok(Format::Json),
            "hocr" => Ok(Format::Hocr),
            _ => Err(format!("{text:?} is none of txt, json, hocr")),
        }
    }
}

impl Format {
    /// The file of each picture in `folder`, which is made.
    pub fn files(self, folder: &Path, sources: &[Source]) -> Result<Vec<PathBuf>> {
        let ending = match self {
            Format::Txt => "txt",
            Format::Json => "json",
            Format::Hocr => "hocr",
        };
        output::check_folder(folder)?;
        let files = output::unique_names(sources.iter().map(Source::stem), folder, ending);
        output::check_apart(&files, sources)?;
        Ok(files)
    }

    /// Writes the lines of the picture `path` of `size` (width, height).
    pub fn write(self, file: &Path, path: &str, size: (u32, u32), found: &[Line], ms: f64) -> Result<()> {
        let text = match self {
            Format::Txt => lines::plain(found),
            Format::Json => json::ocr(path, Ok((found, ms)))? + "\n",
            Format::Hocr => lines::hocr(path, size, found),
        };
        output::write_file(file, text.as_bytes())
    }
}
