//! What the commands that train share: features kept on disk, states to go on from, progress; and their work.

pub mod cells;
pub mod classes;
pub mod detect;
pub mod folders;
pub mod progress;
pub mod samples;
pub mod store;

use crate::cli::output;
use crate::error::{Error, Result};
use crate::input::Source;
use std::path::Path;

/// Makes sure, before the work starts, that a network and its report can be written, and over none of `sources`.
pub fn check_out(out: &Path, report: &Path, sources: &[Source]) -> Result<()> {
    if out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("onnx")) {
        return Err(Error::Usage(format!("--out {}: expected a file name that ends in .onnx", out.display())));
    }
    for file in [out, report] {
        output::check_file(file)?;
        output::check_apart(&[file.to_path_buf()], sources)?;
    }
    output::check_distinct(&[out.to_path_buf()], &[report.to_path_buf()])
}
