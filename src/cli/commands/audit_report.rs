//! `ocellus audit report`

use crate::cli::audit::chain;
use crate::cli::audit::shifts::{COLUMNS, Made, Row, Shifts};
use crate::cli::{Outcome, output};
use crate::error::{Error, Result};
use argh::FromArgs;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an audit file says, shift by shift: parts, verdicts and yield; with --csv a line a record for a spreadsheet.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "audit report")]
pub struct AuditReport {
    /// the audit file
    #[argh(positional)]
    file: PathBuf,
    /// write all records into this CSV file as well
    #[argh(option)]
    csv: Option<PathBuf>,
    /// when shifts begin (default: 06:00,14:00,22:00)
    #[argh(option, default = "String::from(\"06:00,14:00,22:00\")")]
    shifts: String,
    /// the place's time against UTC, such as +01:00 (default: +00:00)
    #[argh(option, default = "String::from(\"+00:00\")")]
    utc_offset: String,
}

impl AuditReport {
    pub fn run(self) -> Result<Outcome> {
        let shifts = Shifts::new(&self.shifts, &self.utc_offset)?;
        if let Some(csv) = &self.csv {
            output::check_file(csv)?;
            // What is there may be another audit file, or the head of this one.
            let header = COLUMNS.join(",");
            if csv.exists() && !std::fs::read(csv).is_ok_and(|bytes| bytes.starts_with(header.as_bytes())) {
                let message = format!("{}: is there already and is no such table; name another file", csv.display());
                return Err(Error::Usage(message));
            }
        }
        let mut pending = self.csv.as_deref().map(output::Pending::new).transpose()?;
        let mut write = |cells: &[String]| match &mut pending {
            Some(file) => file.write(Row::csv(cells).as_bytes()),
            None => Ok(()),
        };
        write(&COLUMNS.map(String::from))?;
        let mut made: BTreeMap<_, Made> = BTreeMap::new();
        let verified = chain::read(&self.file, |record| {
            let Some(row) = Row::new(record, &shifts) else { return Ok(()) };
            write(&row.cells)?;
            let made = made.entry(shifts.of(row.time)).or_default();
            match row.kind.as_str() {
                "inspect" => *made.verdicts.entry(row.verdict).or_default() += 1,
                "judgement" => made.judgements += 1,
                _ => {}
            }
            Ok(())
        })?;
        if let Some(file) = pending {
            file.finish()?;
        }
        output::line("shift             parts   pass   fail  misplaced  error   yield  judged by people")?;
        for ((day, start), made) in &made {
            let [pass, fail, misplaced, error] = ["pass", "fail", "misplaced", "error"].map(|v| made.of(v));
            let share = 100.0 * made.share().unwrap_or(0.0);
            let start = start.strftime("%H:%M");
            output::line(&format!(
                "{day} {start}  {:6} {pass:6} {fail:6} {misplaced:10} {error:6}  {share:5.1}%  {:16}",
                made.all(),
                made.judgements
            ))?;
        }
        if verified.faults.is_empty() {
            return Ok(Outcome::Pass);
        }
        output::note(&format!("{}: not intact; see ocellus audit verify", self.file.display()));
        Ok(Outcome::Fail)
    }
}
