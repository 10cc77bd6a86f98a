//! The command line: arguments in, exit code out. One thin file a command under `commands`.
//!
//! Exit codes: 0 fine or pass; 1 a negative verdict; 2 an error or bad usage. Over a batch an error beats a fail beats a
//! pass. Results go to standard output and nothing else does.

mod args;
mod audit;
mod batch;
mod commands;
mod dedup;
mod detection;
mod evaluation;
mod hazards;
mod label;
mod masks;
mod output;
mod process;
mod recipes;
#[cfg(feature = "serve")]
mod serve;
mod station;
mod text_lines;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "serve")]
mod versions;
mod watch;

use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything was done, and passed if it was a test.
    Pass = 0,
    /// A negative verdict.
    Fail = 1,
    /// Something could not be done.
    Error = 2,
}

/// Runs the program on the arguments of the process.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("OCELLUS_LOG", "off")).init();
    // A panic in a decoder is reported as an error of its file; the trace is for who asks for it.
    std::panic::set_hook(Box::new(|info| log::error!("{info}")));
    let outcome = match args::parse(std::env::args_os().skip(1)) {
        args::Parsed::Run(command) => {
            let run = catch_unwind(AssertUnwindSafe(|| commands::run(*command)));
            conclude(run.unwrap_or_else(|panic| Err(Error::Internal(batch::panic_text(&*panic)))))
        }
        args::Parsed::Show(text) => conclude(output::line(&text).map(|()| Outcome::Pass)),
        args::Parsed::Usage(message) => conclude(Err(Error::Usage(message))),
    };
    ExitCode::from(outcome as u8)
}

fn conclude(result: Result<Outcome>) -> Outcome {
    result.unwrap_or_else(|error| {
        // Whoever closed the pipe knows; but results were lost, so this is not a pass.
        if !matches!(error, Error::ClosedPipe) {
            output::complain(&error);
        }
        Outcome::Error
    })
}
