//! `ocellus audit verify`

use crate::cli::audit::chain;
use crate::cli::{Outcome, output};
use crate::error::Result;
use crate::report::json;
use argh::FromArgs;
use serde_json::json;
use std::path::PathBuf;

/// Check an audit file: whether each record is as it was written, and none is missing. The exit code is 0 if all is well,
/// 1 if something was changed, 2 if the file cannot be read.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "audit verify")]
pub struct AuditVerify {
    /// the audit file
    #[argh(positional)]
    file: PathBuf,
    /// write one JSON record
    #[argh(switch)]
    json: bool,
}

impl AuditVerify {
    pub fn run(self) -> Result<Outcome> {
        let (mut first, mut last) = (None, None);
        let verified = chain::read(&self.file, |record| {
            let time = record.get("time").and_then(|t| t.as_str()).map(str::to_string);
            first = first.take().or_else(|| time.clone());
            last = time;
            Ok(())
        })?;
        let name = self.file.display().to_string();
        if self.json {
            let faults: Vec<_> =
                verified.faults.iter().map(|f| json!({"line": f.line, "message": f.message})).collect();
            output::line(&json::plain(
                "audit",
                json!({
                    "path": name, "status": "ok", "intact": faults.is_empty(), "records": verified.records, "first": first, "last": last, "faults": faults,
                }),
            )?)?;
        } else {
            for fault in &verified.faults {
                let place = fault.line.map(|l| format!(":{l}")).unwrap_or_default();
                output::line(&format!("{name}{place}: {}", fault.message))?;
            }
            let span = first.zip(last).map(|(a, b)| format!(", {a} to {b}")).unwrap_or_default();
            let verdict = if verified.faults.is_empty() { "intact" } else { "NOT INTACT" };
            output::line(&format!("{name}  {verdict}: {} records{span}", verified.records))?;
        }
        Ok(if verified.faults.is_empty() { Outcome::Pass } else { Outcome::Fail })
    }
}
