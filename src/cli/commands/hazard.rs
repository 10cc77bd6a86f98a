//! `ocellus hazard`

use crate::cli::detection::share;
use crate::cli::{Outcome, batch, hazards, output};
use crate::error::{Error, Result};
use crate::input;
use crate::models::manifest::Colour;
use crate::postprocess::yolic::{self, decode};
use crate::report::hazards::{Look, overlay, text};
use crate::report::{draw, json};
use crate::tasks::hazard::{Convention, Hazard};
use crate::zones::{self, Verdict};
use argh::FromArgs;
use std::path::PathBuf;
use std::time::Instant;

/// Look at cells of interest, as YOLIC does: which labels each has, and whether rules say stop or warn. Exit code: 1 if a rule
/// that stops fired, 2 after an error, else 0; so without --zones 0 or 2.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "hazard",
    note = "cells.json: {{\"Labels\": {{\"LabelList\": [\"Car\"], \"LabelAbbreviation\": [\"Ca\"], \"LabelNumber\": 1}}, \"COIs\": {{\"COINumber\": 2,\n  \"1\": [\"rectangle\", x, y, width, height], \"2\": [\"polygon\", x1, y1, x2, y2, x3, y3]}}}}, shares of the picture from the top left.",
    note = "rules.toml: [[rule]] name = \"walkway\", cells = [1, 2] or \"1-8\" or \"all\", labels = [\"Car\"] or \"any\", action = \"stop\" or\n  \"warn\", and if wanted min_score = 0.3 (instead of --threshold), min_cells = 2."
)]
pub struct HazardCommand {
    /// files, directories, or - for standard input
    #[argh(positional)]
    images: Vec<String>,
    /// the cells, YOLIC's JSON; not needed for a model that carries them, such as those of train cells
    #[argh(option)]
    config: Option<PathBuf>,
    /// path of an .onnx file: of train cells, or exported by YOLIC's scripts
    #[argh(option)]
    model: String,
    /// rules that say stop or warn, a TOML file
    #[argh(option)]
    zones: Option<PathBuf>,
    /// URL that the record of each picture with a fired rule is sent to (POST, JSON)
    #[argh(option)]
    webhook: Option<String>,
    /// a label counts above this score (default: 0.5)
    #[argh(option, default = "0.5", from_str_fn(share))]
    threshold: f32,
    /// in a cell without any score above it, the background wins over a label of the same score
    #[argh(switch)]
    background_wins: bool,
    /// order of colours, bgr or rgb (default: the model's, bgr for exports of YOLIC; its training script read rgb)
    #[argh(option, from_str_fn(hazards::colour))]
    colour: Option<Colour>,
    /// input size, WIDTHxHEIGHT (default: the model's, 224x224 for exports with open sides)
    #[argh(option, from_str_fn(hazards::size))]
    size: Option<[u32; 2]>,
    /// mean per channel in the order of the colours, on values of 0 to 1 (default: 0,0,0)
    #[argh(option, from_str_fn(hazards::mean))]
    mean: Option<[f32; 3]>,
    /// divisor per channel, likewise (default: 1,1,1)
    #[argh(option, from_str_fn(hazards::std))]
    std: Option<[f32; 3]>,
    /// the model's values are before the sigmoid (default: found out)
    #[argh(switch)]
    logits: bool,
    /// write each picture with its cells into this folder
    #[argh(option)]
    annotate: Option<PathBuf>,
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

impl HazardCommand {
    pub fn run(self) -> Result<Outcome> {
        let sources = batch::sources(&self.images)?;
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        if self.webhook.is_some() && self.zones.is_none() {
            return Err(Error::Usage("--webhook tells of rules that fired; give them with --zones".into()));
        }
        let pictures = output::pictures(self.annotate.as_deref(), &sources)?;
        let config = self.config.as_deref().map(hazards::cells).transpose()?;
        let (colour, size, mean, std, logits) = (self.colour, self.size, self.mean, self.std, self.logits);
        let hazard = Hazard::load(&self.model, config, &Convention { colour, size, mean, std, logits })?;
        let cells = hazard.cells();
        let zones = self.zones.as_deref().map(|file| hazards::zones(file, cells)).transpose()?;
        let alarm = self.webhook.as_deref().map(hazards::Alarm::new).transpose()?;
        let rule = yolic::Rule { threshold: self.threshold, background_wins: self.background_wins };
        let mut worst = Verdict::Clear;
        let failed = batch::run(
            &sources,
            options,
            |at, photo| {
                let start = Instant::now();
                let scores = hazard.look(&photo)?;
                let found = decode(&scores, cells.labels.len(), rule);
                let fired = zones.as_ref().map(|z| z.judge(&scores, &found, cells.labels.len()));
                let look = Look { found, fired };
                let ms = start.elapsed().as_secs_f64() * 1000.0;
                if let Some(file) = pictures.get(at) {
                    output::write_file(file, &draw::png(&overlay(&photo, cells, &look)?)?)?;
                }
                Ok((look, ms))
            },
            |at, result| {
                let name = sources[at].name();
                let result = result.as_ref().map(|(look, ms)| (look, *ms));
                let record = json::hazard(&name, cells, result)?;
                match result {
                    Ok((look, _)) => worst = worst.max(zones::verdict(look.fired.as_deref().unwrap_or_default())),
                    Err(error) => batch::complain(&sources[at], error),
                }
                // Before anything is printed: nobody may read that.
                if let (Some(alarm), Ok((Look { fired: Some(fired), .. }, _))) = (&alarm, result)
                    && !fired.is_empty()
                {
                    alarm.send(record.clone())?;
                }
                match (self.json, result) {
                    (true, _) => output::line(&record),
                    (false, Ok((look, ms))) => output::line(&text(&name, look, &cells.labels, ms, output::colour())),
                    (false, Err(_)) => Ok(()),
                }
            },
        );
        // Even if the output was closed: what is on its way arrives.
        let untold = alarm.map_or(Ok(false), hazards::Alarm::finish)?;
        Ok(match (failed? || untold, worst) {
            (true, _) => Outcome::Error,
            (false, Verdict::Stop) => Outcome::Fail,
            (false, Verdict::Clear | Verdict::Warn) => Outcome::Pass,
        })
    }
}
