//! What `ocellus classify` says of a picture.

use super::json;
use crate::error::{Error, Result};
use crate::tasks::classify::best;
use serde::Serialize;

/// A class with its probability.
#[derive(Debug, Serialize)]
pub struct Guess<'a> {
    /// Its name.
    pub label: &'a str,
    /// Its number.
    pub class: usize,
    /// 0 to 1, six decimals.
    pub score: f64,
}

/// What was seen in a picture: the body of its record.
#[derive(Debug, Serialize)]
pub struct Seen<'a> {
    /// The most probable class; none if it is less probable than asked for.
    pub label: Option<&'a str>,
    /// The most probable classes, best first.
    pub classes: Vec<Guess<'a>>,
    /// Milliseconds that it took.
    pub ms: f64,
}

impl<'a> Seen<'a> {
    /// The `top` best of `probabilities`, which go with `labels`; the first is named if it has at least `conf`.
    pub fn new(probabilities: &[f32], labels: &'a [String], top: usize, conf: f32, ms: f64) -> Self {
        let label = |class: usize| labels.get(class).map_or("", String::as_str);
        let order = best(probabilities, top.max(1));
        let sure = order.first().filter(|&&class| probabilities[class] >= conf);
        Seen {
            label: sure.map(|&class| label(class)),
            classes: order
                .iter()
                .map(|&class| Guess { label: label(class), class, score: json::round(probabilities[class], 6) })
                .collect(),
            ms: (ms * 100.0).round() / 100.0,
        }
    }
}

/// The record of a picture.
pub fn json(path: &str, seen: std::result::Result<Seen, &Error>) -> Result<String> {
    json::record("classify", path, seen)
}

/// One line for a picture: its class, and the others behind it.
pub fn text(path: &str, seen: &Seen) -> String {
    let one = |g: &Guess| format!("{} {:.3}", g.label, g.score);
    let list = seen.classes.iter().map(one).collect::<Vec<_>>().join(", ");
    match seen.label {
        Some(_) => format!("{path}  {list}  {:.0} ms", seen.ms),
        None => format!("{path}  unknown ({list})  {:.0} ms", seen.ms),
    }
}
