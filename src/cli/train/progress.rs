//! A line an epoch: loss, metric, time left, memory.

use crate::cli::output;
use crate::cli::process::memory;
use crate::error::{Error, Result};
use crate::train::Epoch;
use serde_json::json;
use std::time::{Duration, Instant};

/// Tells how a training goes: on standard error in words, with `--json` on standard output as records.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    json: bool,
    metric: &'static str,
    start: Instant,
    /// Epochs that an earlier run has done.
    before: usize,
}

impl Progress {
    /// Of a training whose quality is called `metric`, `before` epochs of which an earlier run did.
    pub fn new(metric: &'static str, before: usize, quiet: bool, json: bool) -> Self {
        Progress { quiet, json, metric, start: Instant::now(), before }
    }

    /// Tells of an epoch.
    pub fn epoch(&self, epoch: &Epoch) -> Result<()> {
        let done = epoch.number.saturating_sub(self.before).max(1) as f64;
        let left = self.start.elapsed().as_secs_f64() / done * (epoch.of - epoch.number.min(epoch.of)) as f64;
        let memory = memory();
        if self.json {
            let record = json!({"schema": 1, "type": "epoch", "epoch": epoch.number, "of": epoch.of, "loss": epoch.loss,
                self.metric.to_lowercase(): epoch.metric, "best": epoch.best, "left_s": left.round(), "memory_bytes": memory});
            output::line(&record.to_string())?;
        }
        if !self.quiet {
            let memory = memory.map_or(String::new(), |bytes| format!("  {} MB", bytes / 1_000_000));
            let best = if epoch.best { "  best" } else { "" };
            output::note(&format!(
                "epoch {}/{}  loss {:.4}  {} {:.3}  {} left{memory}{best}",
                epoch.number,
                epoch.of,
                epoch.loss,
                self.metric,
                epoch.metric,
                duration(left)
            ));
        }
        Ok(())
    }
}

/// Seconds as people say them.
pub fn duration(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e9)).as_secs();
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}
/// The error of a work folder whose training was begun with other data or options.
pub fn other_run(folder: &std::path::Path) -> Error {
    Error::Input(format!(
        "{}: an earlier training with other data or options left its state there; train again without --resume",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!([0.4, 61.0, 3_720.0].map(duration), ["0 s", "1 min 1 s", "1 h 2 min"]);
    }
}
