//! `ocellus mask`

use crate::cli::detection::{self, Wanted, byte, share};
use crate::cli::masks::{self, Convention, Job};
use crate::cli::{Outcome, batch, output};
use crate::error::Result;
use crate::image::Image;
use crate::input;
use crate::report::{detections, draw, json, text};
use crate::tasks::mask::{Masker, Options, Summary};
use argh::FromArgs;
use std::path::PathBuf;
use std::time::Instant;

/// Mask people, or the objects that a YOLO -seg model knows: one mask image a photograph, for photogrammetry.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "mask")]
pub struct Mask {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// the folder that the masks are written to
    #[argh(option)]
    out: PathBuf,
    /// path of a YOLOv8-seg or YOLO11-seg .onnx file (default: the embedded models, which mask people)
    #[argh(option)]
    model: Option<String>,
    /// names or numbers of the classes to mask, with commas between (default: person if there is one, else all)
    #[argh(option)]
    classes: Option<String>,
    /// least score (default: 0.25)
    #[argh(option, default = "0.25", from_str_fn(share))]
    conf: f32,
    /// of boxes that overlap by more than this intersection over union the best is kept (default: the model's, 0.7 for YOLO)
    #[argh(option, from_str_fn(share))]
    iou: Option<f32>,
    /// look at large pictures in pieces of this many pixels as well
    #[argh(option)]
    tile: Option<u32>,
    /// share of a piece that its neighbour covers too (default: 0.2)
    #[argh(option, default = "0.2")]
    overlap: f32,
    /// leave out objects of fewer pixels (default: 0)
    #[argh(option, default = "0")]
    min_area: usize,
    /// grow the mask by this many pixels, 0 to 255 (default: 0)
    #[argh(option, default = "0", from_str_fn(byte))]
    dilate: u8,
    /// soften the edge outwards over this many pixels, 0 to 255 (default: 0)
    #[argh(option, default = "0", from_str_fn(byte))]
    feather: u8,
    /// swap black and white
    #[argh(switch)]
    pub invert: bool,
    /// add the masks that lie in this folder under the names and in the colours of those to be written
    #[argh(option)]
    merge: Option<PathBuf>,
    /// file names and polarity: plain (objects white), colmap, metashape, realitycapture (objects black; default: plain)
    #[argh(option, default = "Convention::Plain")]
    convention: Convention,
    /// the photographs are 360-degree panoramas: left and right border are neighbours
    #[argh(switch)]
    equirect: bool,
    /// write each photograph with its mask tinted into this folder
    #[argh(option)]
    preview: Option<PathBuf>,
    /// skip photographs that have a mask in --out
    #[argh(switch)]
    resume: bool,
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

impl Mask {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let job = Job::new(&self.images, self.convention, self.invert, &self.out, self.preview.as_deref())?;
        let job = job.merging(self.merge.as_deref())?;
        let todo = if self.resume { job.left(self.json, self.quiet)? } else { (0..job.files.len()).collect() };
        let sources: Vec<_> = todo.iter().map(|&i| job.sources[i].clone()).collect();
        let masker = masks::masker(self.model.as_deref())?;
        let settings = self.settings(&masker)?;
        let labels = masker.detector().labels();
        let mut merged = 0;
        let failed = batch::run(
            &sources,
            options,
            |at, photo| self.one(&job, todo[at], photo, &masker, &settings),
            |at, result| {
                let (name, file) = (sources[at].name(), job.files[todo[at]].display().to_string());
                match &result {
                    Ok((summary, _)) => merged += usize::from(summary.merged),
                    Err(error) => batch::complain(&sources[at], error),
                }
                match (self.json, &result) {
                    (true, result) => {
                        let result = result.as_ref().map(|(summary, ms)| (Some(file.as_str()), summary, *ms));
                        output::line(&json::mask(&name, labels, result)?)
                    }
                    (false, Ok((summary, ms))) => output::line(&text::mask(&name, &file, summary, *ms)),
                    (false, Err(_)) => Ok(()),
                }
            },
        )?;
        if let Some(folder) = self.merge.filter(|_| merged < todo.len()) {
            let none = todo.len() - merged;
            output::note(&format!("{none} of {} photographs had no mask to merge in {}", todo.len(), folder.display()));
        }
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }

    /// Masks the photograph numbered `at` and writes its files.
    fn one(&self, job: &Job, at: usize, photo: Image, masker: &Masker, settings: &Options) -> Result<(Summary, f64)> {
        let start = Instant::now();
        let mut masked = masker.mask(&photo, settings)?;
        let merged = job.merge(at, &mut masked.mask, input::Limits { max_pixels: self.max_pixels })?;
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        if let Some(file) = job.previews.get(at) {
            output::write_file(file, &draw::png(&detections::tinted(&photo, &masked.mask)?)?)?;
        }
        output::write_file(&job.files[at], &job.png(at, &masked.mask)?)?;
        Ok((masked.summary(merged), ms))
    }

    /// What `masker` is to mask, and how.
    pub fn settings(&self, masker: &Masker) -> Result<Options> {
        let classes = self.classes.as_deref();
        let wanted = Wanted { conf: self.conf, class_conf: &[], iou: self.iou, max_det: 300, classes, agnostic: false };
        Ok(Options {
            params: masks::params(masker, &wanted)?,
            tiles: detection::tiles(self.tile, self.overlap)?,
            min_area: self.min_area,
            dilate: self.dilate,
            feather: self.feather,
            equirect: self.equirect,
        })
    }
}
