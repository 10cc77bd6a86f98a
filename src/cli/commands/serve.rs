//! `ocellus serve`

use crate::cli::serve::{self, Config};
use crate::cli::station::{Bounds, Serial, Settings, Told};
use crate::cli::{Outcome, batch};
use crate::error::{Error, Result};
use crate::input;
use argh::FromArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Serve detect, mask, ocr, embed and inspect over HTTP until SIGTERM or Ctrl-C: pictures in, the records of --json out. The
/// addresses are described at /openapi.json.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "serve")]
pub struct Serve {
    /// address and port (default: 127.0.0.1:8420); one that other machines can reach needs --token-file
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 8420))")]
    listen: SocketAddr,
    /// the folder whose folders are recipes of `ocellus learn`
    #[argh(option)]
    recipes: Option<PathBuf>,
    /// the folder that keeps parts on record for the page and the auditor: audit.jsonl, pictures, recipes in the making
    #[argh(option)]
    state: Option<PathBuf>,
    /// inspect what comes into this folder as well, each file once
    #[argh(option)]
    watch: Option<PathBuf>,
    /// the recipe for --watch, by its name
    #[argh(option)]
    watch_recipe: Option<String>,
    /// move what was inspected from --watch into --state
    #[argh(switch, long = "move")]
    moving: bool,
    /// who works at the station, where the page does not say
    #[argh(option)]
    operator: Option<String>,
    /// regular expression; what it matches in a picture's name, or its first group, is the part's serial number
    #[argh(option)]
    serial_pattern: Option<String>,
    /// the region of method text that shows the part's serial number
    #[argh(option)]
    serial_region: Option<String>,
    /// megabytes that --state may hold; the oldest passed parts make room, failed ones never go (default: as the disk has room)
    #[argh(option)]
    quota: Option<u64>,
    /// keep the pictures of one passed part in so many (default: 1)
    #[argh(option, default = "1")]
    keep_passes: u32,
    /// address that each record is sent to by POST
    #[argh(option)]
    webhook: Option<String>,
    /// broker and topic that each record is published to: mqtt://[USER:PASSWORD@]HOST[:1883]/TOPIC
    #[cfg(feature = "line")]
    #[argh(option)]
    mqtt: Option<String>,
    /// address and port where controllers read the last verdict (Modbus TCP), such as 0.0.0.0:1502
    #[cfg(feature = "line")]
    #[argh(option)]
    modbus: Option<SocketAddr>,
    /// the file whose first line requests must bring as `Authorization: Bearer`
    #[argh(option)]
    token_file: Option<PathBuf>,
    /// certificates (PEM) for HTTPS
    #[argh(option)]
    tls_cert: Option<PathBuf>,
    /// their private key (PEM)
    #[argh(option)]
    tls_key: Option<PathBuf>,
    /// id or .onnx file of the detector (default: the first embedded)
    #[argh(option)]
    detect_model: Option<String>,
    /// YOLO -seg .onnx file of the masker (default: the embedded models, which mask people)
    #[argh(option)]
    mask_model: Option<String>,
    /// pictures that may wait; more are answered with 503 (default: 32)
    #[argh(option, default = "32")]
    queue: usize,
    /// largest body in megabytes (default: 64)
    #[argh(option, default = "64")]
    max_body: usize,
    /// seconds that a request may take, its body among them (default: 60)
    #[argh(option, default = "60")]
    timeout: u64,
    /// pictures worked on side by side (default: one a core)
    #[argh(option)]
    threads: Option<usize>,
    /// largest picture in pixels (default: 200000000)
    #[argh(option, default = "input::DEFAULT_MAX_PIXELS")]
    max_pixels: u64,
    /// say nothing but errors and where it listens
    #[argh(switch)]
    quiet: bool,
}

impl Serve {
    pub fn run(self) -> Result<Outcome> {
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(Error::Usage("--tls-cert and --tls-key are given together or not at all".into())),
        };
        if !(1..=4096).contains(&self.max_body) || !(1..=86_400).contains(&self.timeout) || self.queue > 100_000 {
            let message =
                "expected --max-body 1 to 4096 (megabytes), --timeout 1 to 86400 (seconds), --queue to 100000";
            return Err(Error::Usage(message.into()));
        }
        let watch = match (self.watch, self.watch_recipe, &self.state) {
            (None, None, _) => None,
            (Some(folder), Some(recipe), Some(_)) => Some(serve::Watched { folder, recipe, moving: self.moving }),
            _ => return Err(Error::Usage("--watch needs --watch-recipe, and --state to know what is done".into())),
        };
        let told = Told {
            webhook: self.webhook,
            #[cfg(feature = "line")]
            mqtt: self.mqtt,
            #[cfg(feature = "line")]
            modbus: self.modbus,
        };
        if self.state.is_none() && told.is_any() {
            return Err(Error::Usage(
                "--webhook, --mqtt and --modbus tell of what is on record: they need --state".into(),
            ));
        }
        let serial = Serial::new(self.serial_pattern.as_deref(), self.serial_region)?;
        let bounds = Bounds::new(self.quota, self.keep_passes)?;
        let operator = self.operator;
        let station = self.state.map(|out| Settings { out, audit: None, operator, serial, bounds, told });
        serve::run(Config {
            station,
            watch,
            listen: self.listen,
            recipes: self.recipes,
            token_file: self.token_file,
            tls,
            detect_model: self.detect_model,
            mask_model: self.mask_model,
            options: batch::Options::new(self.threads, self.quiet, self.max_pixels)?,
            queue: self.queue,
            body: self.max_body * 1_000_000,
            timeout: Duration::from_secs(self.timeout),
        })?;
        Ok(Outcome::Pass)
    }
}
