//! `ocellus bench`

use crate::cli::{Outcome, batch, output, process};
use crate::engine::{self, OperatorTime};
use crate::error::{Error, Result};
use crate::models;
use crate::report::bench::{self, Measured};
use crate::tasks::bench::{Loaded, network};
use argh::FromArgs;
use std::time::Duration;

/// Measure how fast networks are on this machine: loading, the first run, one picture on one thread and on all cores, and as many
/// pictures side by side as there are cores. Without --model all networks in this binary; what to run on a new board.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "bench")]
pub struct Bench {
    /// id of an embedded network or an .onnx file; may be given several times (default: all embedded ones)
    #[argh(option)]
    model: Vec<String>,
    /// width and height of the input where the file leaves them open, such as 640x640 (default: the network's own, or 640x640)
    #[argh(option, from_str_fn(crate::cli::hazards::size))]
    size: Option<[u32; 2]>,
    /// measure at so many threads instead of one and one a core
    #[argh(option)]
    threads: Option<usize>,
    /// seconds of runs at each number of threads, five runs at least (default: 2)
    #[argh(option, default = "2.0")]
    seconds: f64,
    /// tell which kinds of operators take how long
    #[argh(switch)]
    profile: bool,
    /// write a JSON record for each network and number of threads
    #[argh(switch)]
    json: bool,
    /// no progress line
    #[argh(switch)]
    quiet: bool,
}

impl Bench {
    pub fn run(self) -> Result<Outcome> {
        let cores = batch::Options::new(self.threads, self.quiet, u64::MAX)?.threads;
        let mut threads = if self.threads.is_some() { vec![cores] } else { vec![1, cores] };
        threads.dedup();
        let time = Duration::try_from_secs_f64(self.seconds).ok().filter(|t| t.as_secs() <= 600);
        let time = time.ok_or_else(|| Error::Usage("--seconds is expected to be 0 to 600".into()))?;
        let all: Vec<String> = models::embedded().iter().map(|m| m.info.id.clone()).collect();
        let names = if self.model.is_empty() { all } else { self.model };
        if names.is_empty() {
            return Err(Error::Usage("this build carries no network; name one with --model path.onnx".into()));
        }
        if !self.json {
            output::line(&bench::head(&engine::instructions()))?;
        }
        let progress = batch::progress(names.len() as u64, self.quiet, "networks");
        let mut outcome = Outcome::Pass;
        for name in &names {
            let measured = measure(name, self.size, &threads, time, self.profile);
            progress.suspend(|| match measured {
                Ok(measured) if self.json => bench::records(&measured)?.iter().try_for_each(|r| output::line(r)),
                Ok(measured) => output::text(&bench::lines(&measured)),
                Err(error) => {
                    outcome = Outcome::Error;
                    output::complain(&error);
                    Ok(())
                }
            })?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(outcome)
    }
}

/// Measures one network.
fn measure(name: &str, size: Option<[u32; 2]>, threads: &[usize], time: Duration, profile: bool) -> Result<Measured> {
    let model = network(name)?;
    let described = engine::describe(name, &model.bytes)?;
    let [input] = &described.inputs[..] else {
        return Err(Error::model(name, format!("expected one input; the file has {}", described.values())));
    };
    let [width, height] = size.unwrap_or(model.info.input.size);
    // One picture: batch, channels, rows, columns.
    let usual = [1, 3, height as usize, width as usize];
    let side = |(at, side): (usize, &Option<usize>)| side.or_else(|| usual.get(at).copied()).unwrap_or(1);
    let shape: Vec<usize> = input.shape.iter().enumerate().map(side).collect();
    let outputs: Vec<&str> = described.outputs.iter().map(|o| o.name.as_str()).collect();
    process::reset_peak();
    let loaded = Loaded::new(&model, &outputs, &shape)?;
    let mut speeds = Vec::new();
    for count in threads {
        speeds.push((loaded.speed(*count, time)?, process::peak()));
    }
    let operators: Option<Vec<OperatorTime>> = profile.then(|| loaded.profile()).transpose()?;
    Ok(Measured {
        model: name.to_string(),
        file: model.info.file.clone(),
        shape,
        load: loaded.load,
        first: loaded.first,
        speeds,
        instructions: engine::instructions(),
        operators,
    })
}
