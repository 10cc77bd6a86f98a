//! An audit file as tables: a line a record for a spreadsheet, and what each shift made.

use crate::error::{Error, Result};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::str::FromStr;

/// When shifts begin, in the time of a place.
#[derive(Debug, Clone)]
pub struct Shifts {
    /// Sorted, at least one.
    starts: Vec<Time>,
    zone: TimeZone,
}

/// What a shift made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// Files by verdict; `error` where there was none.
    pub verdicts: BTreeMap<String, u64>,
    /// How often a person said what it is.
    pub judgements: u64,
}

impl Made {
    /// All files.
    pub fn all(&self) -> u64 {
        self.verdicts.values().sum()
    }

    /// Passes by those that could be inspected; none where there are no such.
    pub fn share(&self) -> Option<f64> {
        let inspected = self.all() - self.of("error");
        (inspected > 0).then(|| self.of("pass") as f64 / inspected as f64)
    }

    #[cfg(feature = "serve")]
    /// Takes in what another time made.
    pub fn add(&mut self, other: &Made) {
        self.judgements += other.judgements;
        other.verdicts.iter().for_each(|(verdict, count)| *self.verdicts.entry(verdict.clone()).or_default() += count);
    }

    /// How many had the verdict.
    pub fn of(&self, verdict: &str) -> u64 {
        self.verdicts.get(verdict).copied().unwrap_or(0)
    }
}

impl Shifts {
    /// Of times such as `06:00,14:00,22:00`, at `offset` (such as `+01:00`) from UTC.
    pub fn new(starts: &str, offset: &str) -> Result<Self> {
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| text.trim().to_string());
        let starts: std::result::Result<Vec<Time>, String> = starts.split(',').map(time).collect();
        let mut starts = starts.map_err(|t| Error::Usage(format!("--shifts: {t:?} is no time such as 06:00")))?;
        starts.sort();
        starts.dedup();
        Ok(Shifts { starts, zone: TimeZone::fixed(offset_of(offset)?) })
    }

    /// The day and time at which the shift of `time` began.
    pub fn of(&self, time: Timestamp) -> (Date, Time) {
        let local = time.to_zoned(self.zone.clone());
        let before = self.starts.iter().rev().find(|s| **s <= local.time());
        match (before, self.starts.last()) {
            (Some(start), _) => (local.date(), *start),
            // Before the first of the day: the last of the day before goes on.
            (None, Some(last)) => (local.date().yesterday().unwrap_or(local.date()), *last),
            (None, None) => (local.date(), Time::midnight()),
        }
    }

    /// A time as people at the place write it.
    pub fn local(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

fn offset_of(text: &str) -> Result<Offset> {
    let wrong = || Error::Usage(format!("--utc-offset is {text:?}, expected one such as +01:00 or -05:30"));
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(wrong()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(wrong)?;
    let number = |t: &str, most: i32| t.parse::<i32>().ok().filter(|n| t.len() == 2 && (0..=most).contains(n));
    let (hours, minutes) = number(hours, 14).zip(number(minutes, 59)).ok_or_else(wrong)?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).map_err(|_| wrong())
}

/// What a record says for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When.
    pub time: Timestamp,
    /// `inspect`, `judgement` or `recipe`.
    pub kind: String,
    /// `pass`, `fail`, `misplaced`, or `error`; of a judgement `good` or `bad`, of a recipe what became of it.
    pub verdict: String,
    /// All cells of the table, as they are written.
    pub cells: Vec<String>,
}

/// The columns of the table.
pub const COLUMNS: [&str; 13] = [
    "seq",
    "time",
    "type",
    "of",
    "path",
    "serial",
    "recipe",
    "verdict",
    "score",
    "threshold",
    "reason",
    "operator",
    "sha256",
];

impl Row {
    /// Of a record; none of one without a time.
    pub fn new(record: &Map<String, Value>, shifts: &Shifts) -> Option<Self> {
        let text = |key: &str| match record.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let time = Timestamp::from_str(&text("time")).ok()?;
        let said = ["action", "judged", "verdict", "status"].map(text).into_iter().find(|t| !t.is_empty());
        let verdict = said.unwrap_or_default();
        let cell = |column: &str| match column {
            "time" => shifts.local(time),
            "verdict" => verdict.clone(),
            "reason" if text("reason").is_empty() => text("error"),
            other => text(other),
        };
        let cells = COLUMNS.map(cell).to_vec();
        Some(Row { time, kind: text("type"), verdict, cells })
    }

    /// As a line of CSV (RFC 4180).
    pub fn csv(cells: &[impl AsRef<str>]) -> String {
        let quoted = |cell: &str| {
            // What begins like a formula would be computed by a spreadsheet.
            let plain = if cell.starts_with(['=', '@', '+', '-']) { format!("'{cell}") } else { cell.to_string() };
            match plain.contains([',', '"', '\n', '\r']) {
                true => format!("\"{}\"", plain.replace('"', "\"\"")),
                false => plain,
            }
        };
        cells.iter().map(|c| quoted(c.as_ref())).collect::<Vec<_>>().join(",") + "\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_go_over_midnight() {
        let shifts = Shifts::new("22:00, 06:00,14:00", "+01:00").unwrap();
        let of = |text: &str| {
            let (day, start) = shifts.of(text.parse().unwrap());
            format!("{day} {}", start.strftime("%H:%M"))
        };
        assert_eq!(of("2026-11-22T04:59:59Z"), "2026-11-21 22:00");
        assert_eq!(of("2026-11-22T05:00:00Z"), "2026-11-22 06:00");
        assert_eq!(of("2026-11-22T21:30:00Z"), "2026-11-22 22:00");
        assert_eq!(of("2026-11-22T23:30:00Z"), "2026-11-22 22:00");
        assert_eq!(shifts.local("2026-11-22T23:30:00.5Z".parse().unwrap()), "2026-11-23 00:30:00");
        for (starts, offset) in
            [("25:00", "+00:00"), ("", "+00:00"), ("06:00", "1:00"), ("06:00", "+1:00"), ("06:00", "+15:00")]
        {
            assert!(Shifts::new(starts, offset).is_err(), "{starts} {offset}");
        }
    }

    #[test]
    fn cells_are_quoted() {
        assert_eq!(
            Row::csv(&["a", "b,c", "d\"e", "=1+1", "=A(1,2)", ""]),
            "a,\"b,c\",\"d\"\"e\",'=1+1,\"'=A(1,2)\",\r\n"
        );
    }
}
