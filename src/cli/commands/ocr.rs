//! `ocellus ocr`

use crate::cli::detection::share;
use crate::cli::text_lines::{Format, Part};
use crate::cli::{Outcome, batch, output};
use crate::error::{Error, Result};
use crate::input;
use crate::postprocess::check_digit::Check;
use crate::postprocess::pattern::Pattern;
use crate::postprocess::text_boxes::Params;
use crate::report::{draw, json, lines, text};
use crate::tasks::ocr::{Options, Reader};
use argh::FromArgs;
use std::path::PathBuf;
use std::time::Instant;

/// Read the text in pictures: labels, lot codes, displays, receipts.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "ocr")]
pub struct Ocr {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// x,y,width,height: read this part of each picture only
    #[argh(option)]
    region: Option<Part>,
    /// each picture, or its region, is one line of text
    #[argh(switch)]
    no_detect: bool,
    /// lines never stand upside down
    #[argh(switch)]
    no_orient: bool,
    /// read only these characters
    #[argh(option)]
    charset: Option<String>,
    /// regular expression that lines are to match as a whole: the most probable text that does is read
    #[argh(option)]
    pattern: Option<String>,
    /// check digit that must be right: luhn, ean8, upca, ean13, gtin14, sscc, isbn10, isbn13, mod97
    #[argh(option)]
    check: Option<Check>,
    /// drop lines of a lower score, and take no text for a match below it (default: 0.5; with --no-detect no line is dropped)
    #[argh(option, default = "0.5", from_str_fn(share))]
    min_score: f32,
    /// a pixel is text above this probability (default: 0.3)
    #[argh(option, default = "0.3", from_str_fn(share))]
    pixel_threshold: f32,
    /// a box is a line of text from this mean probability on (default: 0.5)
    #[argh(option, default = "0.5", from_str_fn(share))]
    box_threshold: f32,
    /// how much boxes grow beyond what the network marks (default: 1.6)
    #[argh(option, default = "1.6")]
    unclip_ratio: f32,
    /// write each picture with its lines and their texts into this folder
    #[argh(option)]
    annotate: Option<PathBuf>,
    /// write a file a picture into --out: txt, json or hocr
    #[argh(option)]
    format: Option<Format>,
    /// the folder for --format
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

impl Ocr {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        let pictures = output::pictures(self.annotate.as_deref(), &sources)?;
        let files = match (self.format, &self.out) {
            (Some(format), Some(out)) => format.files(out, &sources)?,
            (None, None) => Vec::new(),
            _ => return Err(Error::Usage("--format and --out are given together or not at all".into())),
        };
        let reader = Reader::new()?;
        let settings = self.settings(&reader, sources.len() < options.threads)?;
        let failed = batch::run(
            &sources,
            options,
            |at, photo| {
                let start = Instant::now();
                let found = reader.read(&photo, &settings)?;
                let ms = start.elapsed().as_secs_f64() * 1000.0;
                if let Some(file) = pictures.get(at) {
                    output::write_file(file, &draw::png(&lines::overlay(&photo, &found)?)?)?;
                }
                if let (Some(format), Some(file)) = (self.format, files.get(at)) {
                    format.write(file, &sources[at].name(), (photo.width(), photo.height()), &found, ms)?;
                }
                Ok((found, ms))
            },
            |at, result| {
                let name = sources[at].name();
                if let Err(error) = &result {
                    batch::complain(&sources[at], error);
                }
                match (self.json, &result) {
                    (true, result) => {
                        output::line(&json::ocr(&name, result.as_ref().map(|(found, ms)| (&found[..], *ms)))?)
                    }
                    (false, Ok((found, _))) => output::text(&text::lines(&name, found, sources.len() > 1)),
                    (false, Err(_)) => Ok(()),
                }
            },
        )?;
        Ok(if failed { Outcome::Error } else { Outcome::Pass })
    }

    /// What `reader` is to read; the lines of a picture on all cores if `parallel`.
    pub fn settings(&self, reader: &Reader, parallel: bool) -> Result<Options> {
        if !(0.0..=10.0).contains(&self.unclip_ratio) {
            return Err(Error::Usage(format!("--unclip-ratio is {}, expected 0 to 10", self.unclip_ratio)));
        }
        let allowed = self.charset.as_deref().map(|set| reader.classes(set));
        if allowed.as_ref().is_some_and(|a| !a.contains(&true)) {
            return Err(Error::Usage("--charset: none of these characters is known to the recogniser".into()));
        }
        let pattern = match (&self.pattern, self.check) {
            (None, None) => None,
            (Some(expression), check) => Some((expression.as_str(), check)),
            // Numbers are printed in groups.
            (None, check) => Some(("[0-9][0-9 -]*[0-9X]", check)),
        };
        let new = |(expression, check)| Pattern::new(expression, check, reader.characters(), allowed.as_deref());
        let pattern = pattern.map(new).transpose().map_err(Error::Usage)?;
        Ok(Options {
            boxes: Params { pixel: self.pixel_threshold, line: self.box_threshold, unclip_ratio: self.unclip_ratio },
            least_score: self.min_score,
            detect: !self.no_detect,
            orient: !self.no_orient,
            region: self.region.map(|p| p.0),
            parallel,
            pattern,
            allowed,
        })
    }
}
