//! `ocellus detect`

use crate::cli::detection::{self, ClassConf, Format, Labels, Wanted, share};
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use crate::postprocess::detection::Params;
use crate::report::{detections, draw, json, text};
use crate::tasks::detect::{Detector, Tiles};
use argh::FromArgs;
use std::path::PathBuf;
use std::time::Instant;

/// Find objects in pictures: label, score and box of each.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "detect")]
pub struct Detect {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// id of an embedded model or path of a YOLOv8 / YOLO11 .onnx file (default: the first embedded)
    #[argh(option)]
    model: Option<String>,
    /// least score (default: 0.25)
    #[argh(option, default = "0.25", from_str_fn(share))]
    conf: f32,
    /// class=score: another least score for this class; several can be given
    #[argh(option)]
    class_conf: Vec<ClassConf>,
    /// of boxes that overlap by more than this intersection over union the best is kept (default: the model's, 0.7 for YOLO)
    #[argh(option, from_str_fn(share))]
    iou: Option<f32>,
    /// at most so many objects a picture (default: 300)
    #[argh(option, default = "300")]
    max_det: usize,
    /// names or numbers of the classes wanted, with commas between (default: all)
    #[argh(option)]
    classes: Option<String>,
    /// boxes of different classes suppress one another too
    #[argh(switch)]
    agnostic_nms: bool,
    /// look at large pictures in pieces of this many pixels as well
    #[argh(option)]
    tile: Option<u32>,
    /// share of a piece that its neighbour covers too (default: 0.2)
    #[argh(option, default = "0.2")]
    overlap: f32,
    /// write each picture with its boxes into this folder
    #[argh(option)]
    annotate: Option<PathBuf>,
    /// write label files: yolo or voc (a file a picture), coco or csv (one file)
    #[argh(option)]
    format: Option<Format>,
    /// where the label files go: a folder for yolo and voc, a file for coco and csv
    #[argh(option)]
    out: Option<PathBuf>,
    /// write one JSON record a picture
    #[argh(switch)]
    json: bool,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// no progress line
    #[argh(switch)]
    quiet: bool,
}

impl Detect {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let detector = detection::detector(self.model.as_deref())?;
        let labels = detector.labels();
        // Before a folder is made: wrong options leave nothing behind.
        let (params, tiles) = self.settings(&detector)?;
        let pictures = output::pictures(self.annotate.as_deref(), &sources)?;
        let mut files = match (self.format, &self.out) {
            (Some(format), Some(out)) => Some(Labels::new(format, out, labels, &self.images, &sources)?),
            (None, None) => None,
            _ => return Err(Error::Usage("--format and --out are given together or not at all".into())),
        };
        let failed = batch::run(
            &sources,
            options,
            |at, photo| {
                let start = Instant::now();
                let found = detector.detect(&photo, &params, tiles)?;
                let ms = start.elapsed().as_secs_f64() * 1000.0;
                if let Some(file) = pictures.get(at) {
                    output::write_file(file, &draw::png(&detections::overlay(&photo, &found, labels)?)?)?;
                }
                Ok((found, (photo.width(), photo.height()), ms))
            },
            |at, result| {
                let name = sources[at].name();
                match &result {
                    Ok((found, size, _)) => files.iter_mut().try_for_each(|f| f.add(at, &name, *size, found))?,
                    Err(error) => batch::complain(&sources[at], error),
                }
                let written = match (self.json, &result) {
                    (true, result) => {
                        let result = result.as_ref().map(|(found, _, ms)| (&found[..], *ms));
                        output::line(&json::detect(&name, labels, result)?)
                    }
                    (false, Ok((found, _, ms))) => output::line(&text::detections(&name, found, labels, *ms)),
                    (false, Err(_)) => Ok(()),
                };
                match written {
                    // Nobody reads on, but the label files are to be whole.
                    Err(Error::ClosedPipe) if files.is_some() => Ok(()),
                    other => other,
                }
            },
        )?;
        if let Some(files) = files {
            files.finish()?;
        }
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }

    /// What `detector` is to look for, and in what pieces.
    pub fn settings(&self, detector: &Detector) -> Result<(Params, Option<Tiles>)> {
        let wanted = Wanted {
            conf: self.conf,
            class_conf: &self.class_conf,
            iou: self.iou,
            max_det: self.max_det,
            classes: self.classes.as_deref(),
            agnostic: self.agnostic_nms,
        };
        Ok((wanted.params(detector)?, detection::tiles(self.tile, self.overlap)?))
    }
}
