//! `ocellus train cells`

use crate::cli::train::cells::{self, Job};
use crate::cli::{Outcome, batch};
use crate::error::{Error, Result};
use crate::input;
use argh::FromArgs;
use std::path::PathBuf;

/// Train a network for cells of interest (YOLIC): which labels are in which of N places of the picture. The network inside
/// ocellus looks at each picture once; what is learned is a small head on it. The result is one ONNX file for ocellus
/// hazard. A share of the pictures (15 %) is not learned from; it tells which epoch is best, and the figures are about it.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "train cells",
    note = "A label file has the name of its picture and the ending .txt: 0 or 1 for each label of each cell, the background last in each."
)]
pub struct TrainCells {
    /// the cells and labels, YOLIC's JSON (see ocellus hazard --help)
    #[argh(option)]
    config: PathBuf,
    /// folder of pictures
    #[argh(option)]
    images: PathBuf,
    /// folder of label files
    #[argh(option)]
    labels: PathBuf,
    /// the network to write, an .onnx file
    #[argh(option)]
    out: PathBuf,
    /// input of the network in pixels, a multiple of 32, WIDTHxHEIGHT or one number for both; small cells need a large one
    /// (default: 320)
    #[argh(option, default = "[320, 320]", from_str_fn(size))]
    size: [u32; 2],
    /// never mirror pictures: where left and right differ, as with arrows and texts (they are mirrored if the cells are symmetric)
    #[argh(switch)]
    no_mirror: bool,
    /// epochs at most; it ends earlier when the F1 has not risen for 20 (default: 80)
    #[argh(option, default = "80")]
    epochs: usize,
    /// seed of all random choices (default: 0)
    #[argh(option, default = "0")]
    seed: u64,
    /// the report, an HTML file (default: beside the network)
    #[argh(option)]
    report: Option<PathBuf>,
    /// keep what the network says of the pictures in this folder, for further runs
    #[argh(option)]
    cache: Option<PathBuf>,
    /// go on with a training that was cut off
    #[argh(switch)]
    resume: bool,
    /// write a JSON record an epoch and one at the end
    #[argh(switch)]
    json: bool,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// no progress lines
    #[argh(switch)]
    quiet: bool,
}

/// `--size`
fn size(text: &str) -> Result<[u32; 2], String> {
    let side = |text: &str| text.trim().parse().ok().filter(|s| (64..=2048).contains(s) && s % 32 == 0);
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    match (side(width), side(height)) {
        (Some(width), Some(height)) => Ok([width, height]),
        _ => Err(format!("{text:?}: expected multiples of 32 from 64 to 2048, such as 320 or 320x256")),
    }
}

impl TrainCells {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if self.epochs == 0 {
            return Err(Error::Usage("--epochs is 0, expected 1 or more".into()));
        }
        let report = self.report.unwrap_or_else(|| self.out.with_extension("html"));
        cells::train(&Job {
            config: self.config,
            images: self.images,
            labels: self.labels,
            out: self.out,
            report,
            cache: self.cache,
            size: self.size,
            mirror: !self.no_mirror,
            epochs: self.epochs,
            seed: self.seed,
            resume: self.resume,
            json: self.json,
            options,
        })
    }
}
