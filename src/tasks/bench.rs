//! How fast a network is on this machine: loading it, its first run, then one run after the other, also several side by side.

use crate::engine::{OperatorTime, Session};
use crate::error::{Error, Result};
use crate::models::manifest::{Colour, Fit, InputSpec, Layout, Resample};
use crate::models::{self, Found, Model};
use crate::tensor::Tensor;
use std::time::{Duration, Instant};

/// Runs before any is counted: caches fill, clocks rise.
const WARM: usize = 2;
/// Runs that are counted at least, however long they take.
const LEAST: usize = 5;

/// What is taken for granted of a file that says nothing: its pixels do not matter here.
const OPEN: InputSpec = InputSpec {
    size: [640, 640],
    multiple: 32,
    layout: Layout::Nchw,
    colour: Colour::Rgb,
    fit: Fit::Stretch,
    resample: Resample::Area,
    pad: 0,
    mean: [0.0; 3],
    std: [1.0; 3],
};

/// The network of that name, embedded or in a file, with a description beside it or none.
pub fn network(name: &str) -> Result<Model> {
    Ok(match models::find(name)? {
        Found::Described(model) => *model,
        Found::Bare(bytes) => super::metadata::model(name, "bench", bytes, OPEN),
    })
}

/// A network that is loaded, and how long that took.
#[derive(Debug)]
pub struct Loaded {
    session: Session,
    input: Tensor,
    /// From the file's bytes to the plan for the shape.
    pub load: Duration,
    /// The first run behind it.
    pub first: Duration,
}

/// Runs at a number of threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Speed {
    /// So many for one run, or so many runs side by side.
    pub threads: usize,
    /// Of a run with all threads.
    pub median: Duration,
    /// Of a run with all threads; nine of ten are faster.
    pub slow: Duration,
    /// With a run of its own for each thread.
    pub per_second: f64,
    /// Runs that were counted.
    pub runs: usize,
}

impl Loaded {
    /// Loads `model` to compute all of `outputs`, for inputs of `shape`, and runs it once on noise.
    ///
    /// # Errors
    /// A network that cannot be loaded or run at that shape.
    pub fn new(model: &Model, outputs: &[&str], shape: &[usize]) -> Result<Self> {
        let start = Instant::now();
        let session = Session::load(model, outputs)?;
        session.prepare(shape)?;
        let load = start.elapsed();
        // Noise: zeros would be faster on some processors, and are on no picture.
        let mut random = fastrand::Rng::with_seed(1);
        let data = (0..shape.iter().product()).map(|_| random.f32() * 2.0 - 1.0).collect();
        let input = Tensor::new(shape.to_vec(), data)?;
        let start = Instant::now();
        session.compute(&input, 1)?;
        Ok(Loaded { session, input, load, first: start.elapsed() })
    }

    /// Runs one after the other with `threads` threads each, and then so many side by side, for about half of `time` each.
    pub fn speed(&self, threads: usize, time: Duration) -> Result<Speed> {
        let runs = |threads: usize, time: Duration| -> Result<Vec<Duration>> {
            (0..WARM).try_for_each(|_| self.session.compute(&self.input, threads))?;
            let (begun, mut runs) = (Instant::now(), Vec::new());
            while runs.len() < LEAST || begun.elapsed() < time {
                let start = Instant::now();
                self.session.compute(&self.input, threads)?;
                runs.push(start.elapsed());
            }
            Ok(runs)
        };
        let mut alone = runs(threads, if threads == 1 { time } else { time / 2 })?;
        let rate = |runs: &[Duration]| runs.len() as f64 / runs.iter().sum::<Duration>().as_secs_f64();
        let per_second = match threads {
            1 => rate(&alone),
            _ => {
                let beside: Result<Vec<f64>> = std::thread::scope(|scope| {
                    let started: Vec<_> = (0..threads).map(|_| scope.spawn(|| runs(1, time / 2))).collect();
                    let gone = |_| Err(Error::Internal("a thread of the benchmark is gone".into()));
                    started.into_iter().map(|t| t.join().unwrap_or_else(gone).map(|runs| rate(&runs))).collect()
                });
                beside?.iter().sum()
            }
        };
        alone.sort();
        let at = |share: f64| alone[((alone.len() - 1) as f64 * share).round() as usize];
        Ok(Speed { threads, median: at(0.5), slow: at(0.9), per_second, runs: alone.len() })
    }

    /// Where the time of a run goes, by operator, the longest first: means of ten runs.
    pub fn profile(&self) -> Result<Vec<OperatorTime>> {
        self.session.profile(&self.input, 10)
    }
}
