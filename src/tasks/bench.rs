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
    /// So many runs side by side, each on one input.
    pub threads: usize,
    /// Of a run.
    pub median: Duration,
    /// Of a run; nine of ten are faster.
    pub slow: Duration,
    /// Of all threads together.
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
        session.compute(&input)?;
        Ok(Loaded { session, input, load, first: start.elapsed() })
    }

    /// Runs for about `time`, on `threads` threads.
    pub fn speed(&self, threads: usize, time: Duration) -> Result<Speed> {
        let one = |_| -> Result<Vec<Duration>> {
            (0..WARM).try_for_each(|_| self.session.compute(&self.input))?;
            let (begun, mut runs) = (Instant::now(), Vec::new());
            while runs.len() < LEAST || begun.elapsed() < time {
                let start = Instant::now();
                self.session.compute(&self.input)?;
                runs.push(start.elapsed());
            }
            Ok(runs)
        };
        let all: Result<Vec<Vec<Duration>>> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..threads).map(|at| scope.spawn(move || one(at))).collect();
            let gone = |_| Err(Error::Internal("a thread of the benchmark is gone".into()));
            started.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
        });
        let all = all?;
        let per_second = all.iter().map(|runs| runs.len() as f64 / runs.iter().sum::<Duration>().as_secs_f64()).sum();
        let mut runs: Vec<Duration> = all.into_iter().flatten().collect();
        runs.sort();
        let at = |share: f64| runs[((runs.len() - 1) as f64 * share).round() as usize];
        Ok(Speed { threads, median: at(0.5), slow: at(0.9), per_second, runs: runs.len() })
    }

    /// Where the time of a run goes, by operator, the longest first: means of ten runs.
    pub fn profile(&self) -> Result<Vec<OperatorTime>> {
        self.session.profile(&self.input, 10)
    }
}
