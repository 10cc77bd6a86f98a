//! `ocellus watch`

use crate::cli::recipes::Loaded;
use crate::cli::station::{self, Station, Told};
use crate::cli::{Outcome, batch, output, watch};
use crate::error::{Error, Result};
use crate::input;
use crate::recipe::Method;
use crate::report::text;
use argh::FromArgs;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Inspect each new file of a folder once, also after a restart or a power cut, and keep a record that shows whatever is changed in
/// it. Files that are still being written are waited for. docs/watch.md has the records and the register map. With --once the exit
/// code is 1 if a part failed, 2 if a file could not be inspected or moved.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "watch")]
pub struct Watch {
    /// the folder that pictures come into
    #[argh(positional)]
    folder: PathBuf,
    /// the recipe folder, made by `ocellus learn`
    #[argh(option)]
    recipe: PathBuf,
    /// the folder for a record (.json) and a picture with the findings (.png) of each file, in a folder for each verdict
    #[argh(option)]
    out: PathBuf,
    /// the file of records that tells what is done; `ocellus audit` reads it (default: audit.jsonl in --out)
    #[argh(option)]
    audit: Option<PathBuf>,
    /// move inspected files to the folders pass, fail, misplaced and error in --out
    #[argh(switch, long = "move")]
    moving: bool,
    /// who works at the station, for the records
    #[argh(option)]
    operator: Option<String>,
    /// regular expression; what it matches in a file's name, or its first group, is the part's serial number
    #[argh(option)]
    serial_pattern: Option<String>,
    /// the region of method text that shows the part's serial number
    #[argh(option)]
    serial_region: Option<String>,
    /// megabytes that --out may hold; the oldest passed parts make room, failed ones never go (default: as the disk has room)
    #[argh(option)]
    quota: Option<u64>,
    /// keep the files of one passed part in so many; with --move the photographs of the others are removed (default: 1)
    #[argh(option, default = "1")]
    keep_passes: u32,
    /// address that each record is sent to by POST
    #[argh(option)]
    webhook: Option<String>,
    /// broker and topic that each record is published to: mqtt://[USER:PASSWORD@]HOST[:1883]/TOPIC
    #[cfg(feature = "line")]
    #[argh(option)]
    mqtt: Option<String>,
    /// address and port for controllers (Modbus TCP), such as 0.0.0.0:1502
    #[cfg(feature = "line")]
    #[argh(option)]
    modbus: Option<std::net::SocketAddr>,
    /// inspect only when a controller triggers: a picture that waits, or comes within this many seconds
    #[cfg(feature = "line")]
    #[argh(option)]
    on_trigger: Option<f64>,
    /// seconds that a file has to stay as it is before it is taken for whole (default: 1)
    #[argh(option, default = "1.0")]
    settle: f64,
    /// end when all files that are there are inspected
    #[argh(switch)]
    once: bool,
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

impl Watch {
    pub fn run(self) -> Result<Outcome> {
        let options = batch::Options::new(self.threads, self.quiet, self.max_pixels)?;
        #[cfg(feature = "line")]
        let (told, on_trigger) = {
            if self.on_trigger.is_some() && self.modbus.is_none() {
                return Err(Error::Usage("--on-trigger needs --modbus, where the trigger comes from".into()));
            }
            let told = Told { webhook: self.webhook, mqtt: self.mqtt, modbus: self.modbus };
            (told, self.on_trigger.map(|s| seconds("--on-trigger", s)).transpose()?)
        };
        #[cfg(not(feature = "line"))]
        let (told, on_trigger) = (Told { webhook: self.webhook }, None);
        let settle = seconds("--settle", self.settle)?;
        let bounds = station::Bounds::new(self.quota, self.keep_passes)?;
        let serial = station::Serial::new(self.serial_pattern.as_deref(), self.serial_region)?;
        let recipe = Arc::new(Loaded::read(&self.recipe, options.limits)?);
        let read = |name: &String| recipe.recipe.regions.iter().any(|r| r.name == *name && r.method == Method::Text);
        if let Some(region) = serial.region.as_ref().filter(|r| !read(r)) {
            return Err(Error::Usage(format!("--serial-region: the recipe has no region {region:?} of method text")));
        }
        output::check_folder(&self.out)?;
        watch::check_folders(&self.folder, &self.out)?;
        let config =
            watch::Config { folder: self.folder, moving: self.moving, settle, once: self.once, on_trigger, options };
        let settings =
            station::Settings { out: self.out, audit: self.audit, operator: self.operator, serial, bounds, told };
        let mut done = watch::Done::default();
        let station = Station::open(settings, |record| done.add(record))?;
        let as_json = self.json;
        let tell: watch::Tell = Box::new(move |name, judged, result| {
            match result {
                Err(error) => output::complain(error),
                Ok(looked) if !as_json => {
                    output::line(&text::inspection(name, &looked.inspection, looked.ms, output::colour()))?;
                }
                Ok(_) => {}
            }
            if as_json {
                output::line(&Value::Object(judged.record.clone()).to_string())?;
            }
            Ok(())
        });
        let outcome = watch::Watch::new(config, &station, done, Box::new(move || Ok(recipe.clone())), tell).run();
        station.finish();
        outcome
    }
}

fn seconds(option: &str, value: f64) -> Result<Duration> {
    let duration = Duration::try_from_secs_f64(value).ok().filter(|s| s.as_secs() <= 3600);
    duration.ok_or_else(|| Error::Usage(format!("{option} is expected to be 0 to 3600 seconds")))
}
