//! The flags of `hazard`, its files, and the webhook that runs beside the batch.

use super::label::pictures::text;
use super::output;
use crate::cells::Cells;
use crate::error::{Error, Result};
use crate::models::manifest::Colour;
use crate::remote::Webhook;
use crate::zones::Zones;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// `bgr` or `rgb`.
pub fn colour(text: &str) -> Result<Colour, String> {
    match text {
        "bgr" => Ok(Colour::Bgr),
        "rgb" => Ok(Colour::Rgb),
        _ => Err(format!("{text:?} is neither bgr nor rgb")),
    }
}

/// Width and height such as `224x224`.
pub fn size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once('x').map(|(w, h)| (w.parse::<u32>(), h.parse::<u32>()));
    match sides {
        Some((Ok(w), Ok(h))) if [w, h].iter().all(|s| (8..=4096).contains(s)) => Ok([w, h]),
        _ => Err(format!("{text:?} is no size, expected WIDTHxHEIGHT of 8 to 4096, for example 224x224")),
    }
}

/// Three numbers of 0 to 1 with commas between.
pub fn mean(text: &str) -> Result<[f32; 3], String> {
    three(text, 0.0)
}

/// Three numbers above 0, up to 1, with commas between.
pub fn std(text: &str) -> Result<[f32; 3], String> {
    three(text, 1e-3)
}

fn three(text: &str, least: f32) -> Result<[f32; 3], String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[a, b, c]) if [a, b, c].iter().all(|v| (least..=1.0).contains(v)) => Ok([a, b, c]),
        _ => Err(format!("{text:?} is not three numbers of {least} to 1 with commas between, for values of 0 to 1")),
    }
}

/// The configuration in the file of `--config`.
pub fn cells(file: &Path) -> Result<Cells> {
    Cells::parse(&file.display().to_string(), &text(file)?)
}

/// The rules in the file of `--zones`.
pub fn zones(file: &Path, cells: &Cells) -> Result<Zones> {
    Zones::parse(&file.display().to_string(), &text(file)?, cells)
}

/// After so many failures in a row a webhook is left alone for the rest of the run.
const GIVEN_UP: usize = 3;

/// Sends records beside the batch, in their order: a webhook that hangs holds up no picture.
pub struct Alarm {
    queue: Sender<String>,
    thread: JoinHandle<usize>,
}

impl Alarm {
    /// For the address of `--webhook`.
    pub fn new(url: &str) -> Result<Self> {
        let webhook = Webhook::new(url)?;
        let (queue, records) = channel::<String>();
        let thread = std::thread::spawn(move || {
            let told = |record: String| match webhook.send(&record) {
                Ok(()) => true,
                Err(error) => {
                    output::complain(&error);
                    false
                }
            };
            // In a row; what comes after is only counted, so that the exit code does not wait for hours.
            let mut dead = 0;
            let mut failed = 0;
            for record in records {
                if dead < GIVEN_UP && told(record) {
                    dead = 0;
                    continue;
                }
                dead += 1;
                failed += 1;
            }
            failed
        });
        Ok(Alarm { queue, thread })
    }

    /// Sends a record soon.
    pub fn send(&self, record: String) -> Result<()> {
        self.queue.send(record).map_err(|_| Error::Internal("the webhook's thread is gone".into()))
    }

    /// Waits for the last answer; whether one was missing, which is then told.
    pub fn finish(self) -> Result<bool> {
        drop(self.queue);
        let failed = self.thread.join().map_err(|_| Error::Internal("the webhook's thread is gone".into()))?;
        if failed > 0 {
            output::note(&format!("error: the webhook was not told of {failed} pictures on which rules fired"));
        }
        Ok(failed > 0)
    }
}
