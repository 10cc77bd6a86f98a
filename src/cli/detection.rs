//! What the commands on detectors share: which objects are wanted, and the label files.

use super::output;
use crate::error::{Error, Result};
use crate::input::Source;
use crate::models;
use crate::postprocess::detection::{Detection, Params};
use crate::report::detections::{self, CSV_HEAD, Coco, Found};
use crate::tasks::detect::{Detector, Tiles};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `--class-conf NAME=SCORE`
#[derive(Debug, Clone)]
pub struct ClassConf {
    name: String,
    conf: f32,
}

impl FromStr for ClassConf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A class may have an equals sign in its name, a score has none.
        let (name, conf) = text.rsplit_once('=').ok_or("expected CLASS=SCORE, for example person=0.4")?;
        Ok(ClassConf { name: name.to_string(), conf: share(conf)? })
    }
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(v) if (0.0..=1.0).contains(&v) => Ok(v),
        _ => Err(format!("{text:?} is not a number from 0 to 1")),
    }
}

/// A number of pixels from 0 to 255.
pub fn byte(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number from 0 to 255"))
}

/// Which objects are wanted, as the flags say it.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub conf: f32,
    pub class_conf: &'a [ClassConf],
    pub iou: Option<f32>,
    pub max_det: usize,
    pub classes: Option<&'a str>,
    pub agnostic: bool,
}

impl Wanted<'_> {
    /// For `detector`, whose classes the names are looked up in.
    pub fn params(&self, detector: &Detector) -> Result<Params> {
        let class_conf =
            self.class_conf.iter().map(|c| Ok((class(detector, &c.name)?, c.conf))).collect::<Result<_>>()?;
        let classes = self.classes.map(|list| classes(detector, list)).transpose()?;
        if self.max_det == 0 {
            return Err(Error::Usage("--max-det is 0, expected 1 or more".into()));
        }
        Ok(Params {
            conf: self.conf,
            class_conf,
            iou: self.iou.unwrap_or_else(|| detector.default_iou()),
            max_det: self.max_det,
            classes,
            agnostic: self.agnostic,
        })
    }
}

/// The numbers of the classes in a list with commas. A name that has commas itself is found if it stands alone.
fn classes(detector: &Detector, list: &str) -> Result<Vec<usize>> {
    if let Ok(one) = class(detector, list) {
        return Ok(vec![one]);
    }
    let names: Vec<&str> = list.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
    match names.is_empty() {
        true => Err(Error::Usage("--classes names no class".into())),
        false => names.into_iter().map(|n| class(detector, n)).collect(),
    }
}

/// The number of the class called `name`, or whose number it is.
fn class(detector: &Detector, name: &str) -> Result<usize> {
    let labels = detector.labels();
    let by_name = labels.iter().position(|l| l.eq_ignore_ascii_case(name));
    let by_number = || name.parse().ok().filter(|n| *n < labels.len());
    by_name.or_else(by_number).ok_or_else(|| {
        let known = labels.join(", ");
        Error::Usage(format!("{} has no class {name:?}; it has: {known}", detector.id()))
    })
}

/// The detector that `--model` names, or the first embedded one.
pub fn detector(model: Option<&str>) -> Result<Detector> {
    match model {
        Some(name) => Detector::load(name),
        None => Detector::new(models::default_for("detect")?),
    }
}

/// Tiles as `--tile` and `--overlap` say.
pub fn tiles(tile: Option<u32>, overlap: f32) -> Result<Option<Tiles>> {
    match tile {
        Some(size) if size < 32 => Err(Error::Usage(format!("--tile is {size}, expected 32 pixels or more"))),
        _ if !(0.0..=0.9).contains(&overlap) => {
            Err(Error::Usage(format!("--overlap is {overlap}, expected a share of 0 to 0.9")))
        }
        _ => Ok(tile.map(|size| Tiles { size, overlap })),
    }
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A text file a picture.
    Yolo,
    /// One JSON file.
    Coco,
    /// One table.
    Csv,
    /// An XML file a picture.
    Voc,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "yolo" => Ok(Format::Yolo),
            "coco" => Ok(Format::Coco),
            "csv" => Ok(Format::Csv),
            "voc" => Ok(Format::Voc),
            _ => Err(format!("{text:?} is none of yolo, coco, csv, voc")),
        }
    }
}

/// The list of classes beside the label files of `yolo`.
const CLASSES: &str = "classes.txt";

/// Label files that are being written.
#[derive(Debug)]
pub struct Labels<'a> {
    format: Format,
    out: PathBuf,
    labels: &'a [String],
    /// One a picture, for the formats that have it.
    files: Vec<PathBuf>,
    coco: Coco,
    csv: String,
}

impl<'a> Labels<'a> {
    /// Checks that they can be written: `out` is a folder for `yolo` and `voc`, a file for `coco` and `csv`.
    pub fn new(
        format: Format,
        out: &Path,
        labels: &'a [String],
        arguments: &[String],
        sources: &[Source],
    ) -> Result<Self> {
        let ending = match format {
            Format::Yolo => Some("txt"),
            Format::Voc => Some("xml"),
            Format::Coco | Format::Csv => None,
        };
        let files = ending.map_or_else(|| Ok(Vec::new()), |e| output::names_below(out, arguments, sources, e))?;
        match ending {
            Some(_) => {
                let list = out.join(CLASSES);
                if format == Format::Yolo && files.contains(&list) {
                    let message = format!("{CLASSES} is the list of classes beside the labels; rename the picture");
                    return Err(Error::Usage(message));
                }
                output::check_folder(out)?;
                output::check_apart(&files, sources)?;
                output::check_apart(&[list], sources)?;
            }
            None => {
                output::check_file(out)?;
                output::check_apart(&[out.to_path_buf()], sources)?;
            }
        }
        Ok(Labels { format, out: out.to_path_buf(), labels, files, coco: Coco::default(), csv: CSV_HEAD.into() })
    }

    /// Adds the objects of the picture numbered `at`.
    pub fn add(&mut self, at: usize, path: &str, size: (u32, u32), detections: &[Detection]) -> Result<()> {
        let found = Found { path, size, detections };
        match self.format {
            Format::Yolo => output::write_file(&self.files[at], detections::yolo(&found).as_bytes())?,
            Format::Voc => output::write_file(&self.files[at], detections::voc(&found, self.labels).as_bytes())?,
            Format::Coco => self.coco.add(&found),
            Format::Csv => self.csv.push_str(&detections::csv(&found, self.labels)),
        }
        Ok(())
    }

    /// Writes what is one file for all; `classes.txt` beside the label files of `yolo`.
    pub fn finish(self) -> Result<()> {
        match self.format {
            Format::Yolo => output::write_file(&self.out.join(CLASSES), (self.labels.join("\n") + "\n").as_bytes()),
            Format::Voc => Ok(()),
            Format::Coco => output::write_file(&self.out, self.coco.finish(self.labels)?.as_bytes()),
            Format::Csv => output::write_file(&self.out, self.csv.as_bytes()),
        }
    }
}
