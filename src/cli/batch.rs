//! Many pictures on all cores, results in input order; one bad file never stops the others.

use super::args::restore_stdin;
use super::output;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::input::{Limits, Source};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::any::Any;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// More than any machine that this is made for has cores; a number far beyond would only exhaust it.
const MOST_THREADS: usize = 512;

/// How often [`each`] lets its listener know that time goes by.
const TICK: Duration = Duration::from_millis(500);

/// How a batch runs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Pictures worked on side by side.
    pub threads: usize,
    /// No progress line.
    pub quiet: bool,
    /// Bounds on the pictures.
    pub limits: Limits,
}

impl Options {
    /// From the flags that commands share: `--threads` (one a core if absent; bounds the learning too), `--quiet`,
    /// `--max-pixels`.
    pub fn new(threads: Option<usize>, quiet: bool, max_pixels: u64) -> Result<Self> {
        let threads = match threads {
            Some(n) if !(1..=MOST_THREADS).contains(&n) => {
                return Err(Error::Usage(format!("--threads is {n}, expected 1 to {MOST_THREADS}")));
            }
            Some(n) => n,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        // Learning uses rayon's pool; it can be set up once, and a process runs one command.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        Ok(Options { threads, quiet, limits: Limits { max_pixels } })
    }
}

/// Decodes every source and hands it to `work` with its number on one of the threads; `report` gets the results one
/// after the other in input order. An error of `report` ends the batch. Returns whether any picture failed.
pub fn run<T: Send>(
    sources: &[Source],
    options: Options,
    work: impl Fn(usize, Image) -> Result<T> + Sync,
    report: impl FnMut(usize, Result<T>) -> Result<()>,
) -> Result<bool> {
    each_source(sources, options, |at, source| source.load(&options.limits).and_then(|image| work(at, image)), report)
}

/// Like [`run`], for work that decodes in its own way.
pub fn each_source<T: Send>(
    sources: &[Source],
    options: Options,
    work: impl Fn(usize, &Source) -> Result<T> + Sync,
    mut report: impl FnMut(usize, Result<T>) -> Result<()>,
) -> Result<bool> {
    let progress = progress(sources.len() as u64, options.quiet, "images");
    let mut waiting = BTreeMap::new();
    let mut turn = 0;
    let mut failed = false;
    each(
        sources.len(),
        options.threads,
        |at| guarded(&sources[at], || work(at, &sources[at])),
        |event| {
            if let Event::Done(at, result) = event {
                waiting.insert(at, result);
            }
            while let Some(result) = waiting.remove(&turn) {
                failed |= result.is_err();
                progress.suspend(|| report(turn, result))?;
                progress.inc(1);
                turn += 1;
            }
            Ok(())
        },
    )?;
    progress.finish_and_clear();
    Ok(failed)
}

/// What [`each`] tells of.
pub enum Event<T> {
    /// A piece of work, by its number, and its result.
    Done(usize, T),
    /// Half a second went by.
    Tick,
}

/// Hands the numbers below `count` to `work` on `threads` threads; `listen` hears of the results one after the other, as
/// they come. An error of `listen` ends it all.
pub fn each<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> T + Sync,
    mut listen: impl FnMut(Event<T>) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    // Bounded: when nobody reads what is printed, the work waits instead of piling up.
    let (sender, receiver) = mpsc::sync_channel(2 * threads);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            let (sender, next, stop, work) = (sender.clone(), &next, &stop, &work);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || sender.send((at, work(at))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        loop {
            let event = match receiver.recv_timeout(TICK) {
                Ok((at, result)) => Event::Done(at, result),
                Err(mpsc::RecvTimeoutError::Timeout) => Event::Tick,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if let Err(error) = listen(event) {
                stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
    })
}

/// Runs `work` on a picture; a panic, as of a decoder, is an error of that picture.
pub fn guarded<T>(source: &Source, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(caught(source, &*panic)))
}

/// A progress line on standard error with count, rate and time left; none where there is no terminal.
pub fn progress(total: u64, quiet: bool, what: &str) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() || total < 2 {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:24}} {{pos}}/{{len}} {what}  {{per_sec}}  {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}

/// A sign on standard error that a stage of unknown length is at work, with a count where one is set.
pub fn stage(quiet: bool, what: &str) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{spinner}} {what}  {{pos}}  {{elapsed}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
    spinner.enable_steady_tick(TICK / 4);
    spinner
}

/// One clear line on standard error about a picture that could not be used.
pub fn complain(source: &Source, error: &Error) {
    match error {
        // These name their file themselves.
        Error::Io { .. } | Error::Image { .. } => output::complain(error),
        _ => output::note(&format!("error: {}: {}", source.name(), error.one_line())),
    }
}

fn caught(source: &Source, panic: &(dyn Any + Send)) -> Error {
    let message = format!("the picture could not be processed ({})", panic_text(panic));
    Error::Image { name: source.name(), message, source: None }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// The pictures that the arguments name; an error if they name none.
pub fn sources(names: &[String]) -> Result<Vec<Source>> {
    if names.is_empty() {
        return Err(Error::Usage("no pictures given: name files, directories, or - for standard input".into()));
    }
    Ok(crate::input::expand(&names.iter().map(|n| restore_stdin(n)).collect::<Vec<_>>()))
}
