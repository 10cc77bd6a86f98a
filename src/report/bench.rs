//! How fast networks are, as lines and as records.

use super::json;
use crate::engine::OperatorTime;
use crate::error::Result;
use crate::tasks::bench::Speed;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// Kinds of operators that are shown; the others together take little.
const KINDS: usize = 12;

/// One network.
#[derive(Debug)]
pub struct Measured {
    /// As it was named.
    pub model: String,
    /// The file's name.
    pub file: String,
    /// Of the input.
    pub shape: Vec<usize>,
    /// From the bytes to the plan.
    pub load: Duration,
    /// The first run.
    pub first: Duration,
    /// At each number of threads, and the most bytes that the process held until then since the network began to be loaded.
    pub speeds: Vec<(Speed, Option<u64>)>,
    /// See [`crate::engine::instructions`].
    pub instructions: Vec<&'static str>,
    /// Where the time goes.
    pub operators: Option<Vec<OperatorTime>>,
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// What stands above the lines.
pub fn head(instructions: &[&str]) -> String {
    format!(
        "instructions: {}\n{:<28} {:<16} {:>7} {:>8} {:>8} {:>9} {:>8} {:>9} {:>7}",
        if instructions.is_empty() { "scalar".to_string() } else { instructions.join(" ") },
        "network",
        "input",
        "threads",
        "load ms",
        "first ms",
        "median ms",
        "9/10 ms",
        "images/s",
        "MB"
    )
}

/// A line for each number of threads, and the operators.
pub fn lines(measured: &Measured) -> String {
    let shape: Vec<String> = measured.shape.iter().map(usize::to_string).collect();
    let mut text = String::new();
    for (speed, peak) in &measured.speeds {
        let memory = peak.map_or("-".to_string(), |bytes| (bytes / 1_000_000).to_string());
        let _ = writeln!(
            text,
            "{:<28} {:<16} {:>7} {:>8.0} {:>8.1} {:>9.2} {:>8.2} {:>9.1} {:>7}",
            measured.model,
            shape.join("x"),
            speed.threads,
            ms(measured.load),
            ms(measured.first),
            ms(speed.median),
            ms(speed.slow),
            speed.per_second,
            memory
        );
    }
    let operators = measured.operators.iter().flatten();
    let all: f64 = operators.clone().map(|o| ms(o.time)).sum();
    for operator in operators.take(KINDS) {
        let time = ms(operator.time);
        let share = 100.0 * time / all.max(1e-9);
        let _ = writeln!(text, "  {:<30} {:>5} x {:>10.3} ms {share:>6.1} %", operator.name, operator.count, time);
    }
    text
}

/// A record for each number of threads.
pub fn records(measured: &Measured) -> Result<Vec<String>> {
    let operator = |o: &OperatorTime| json!({"name": o.name, "count": o.count, "ms": ms(o.time)});
    let operators: Option<Vec<Value>> = measured.operators.as_ref().map(|all| all.iter().map(operator).collect());
    let record = |(speed, peak): &(Speed, Option<u64>)| {
        let mut body = json!({
            "status": "ok", "model": measured.model, "file": measured.file, "shape": measured.shape, "threads": speed.threads,
            "load_ms": ms(measured.load), "first_ms": ms(measured.first), "median_ms": ms(speed.median),
            "p90_ms": ms(speed.slow), "images_per_s": (speed.per_second * 100.0).round() / 100.0, "runs": speed.runs,
            "peak_bytes": peak, "instructions": measured.instructions,
        });
        if let Some(operators) = &operators {
            body["operators"] = json!(operators);
        }
        json::plain("bench", body)
    };
    measured.speeds.iter().map(record).collect()
}
