//! Two photographs held against each other, by the same rules as among many.

use super::hashing::Settings;
use crate::cli::batch::guarded;
use crate::error::Result;
use crate::input::Source;
use crate::preprocess::overview::{TURNS, swaps, turned, turned_image};
use crate::tasks::dedup::look::{BLANK, Likeness, Look, Relation};
use crate::tasks::embed::{Embedder, cosine_similarity};
use serde::Serialize;
use std::fmt;

/// What a comparison found.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The verdict.
    pub same: bool,
    exact: bool,
    distance: u32,
    threshold: u32,
    hashes: [String; 2],
    turned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cropped: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cosine: Option<f32>,
    /// Why they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}  distance {} of {}",
            if self.same { "same" } else { "different" },
            self.distance,
            self.threshold
        )?;
        if self.exact {
            f.write_str("  the files have the same bytes")?;
        }
        if self.turned {
            f.write_str("  turned or mirrored")?;
        }
        if let Some(correlation) = self.correlation {
            write!(f, "  correlation {correlation:.3}")?;
        }
        if let Some(cropped) = self.cropped.filter(|_| self.same) {
            write!(f, "  cropped by {:.1} %", 100.0 * cropped)?;
        }
        if let Some(cosine) = self.cosine {
            write!(f, "  cosine {cosine:.3}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, "  {reason}"))
    }
}

/// Compares `a` and `b`.
pub fn compare(
    a: &Source,
    b: &Source,
    settings: &Settings,
    threshold: u32,
    hash_only: bool,
    verify: Option<(&Embedder, f32)>,
) -> Result<Comparison> {
    let exact = a.read()? == b.read()?;
    let (a_print, a_small) = guarded(a, || settings.print(a))?;
    let (b_print, b_small) = guarded(b, || settings.print(b))?;
    // The turn of `a` that comes nearest; the first of equals.
    let distances = a_print.hashes.iter().map(|h| h.distance(&b_print.hashes[0]));
    let (turn, distance) = distances.enumerate().min_by_key(|(_, d)| *d).unwrap_or_default();
    let turn_name = TURNS[turn];
    let size = (a_print.width, a_print.height);
    let size = if swaps(turn_name) { (size.1, size.0) } else { size };
    let look = Look::new(turned(&a_small.to_gray(), turn_name), size);
    let likeness = look.compare(&Look::new(b_small.to_gray(), (b_print.width, b_print.height)));
    let cosine = match verify {
        Some((embedder, _)) => {
            let photo = |source: &Source| source.load(&settings.options.limits);
            let vectors = [turned_image(photo(a)?, turn_name)?, photo(b)?].map(|image| embedder.embed(&image));
            let [x, y] = vectors;
            Some(cosine_similarity(&x?, &y?))
        }
        None => None,
    };
    let blank = a_print.detail.min(b_print.detail) < BLANK;
    let too_far = verify.zip(cosine).is_some_and(|((_, least), found)| found < least);
    let reason = if exact {
        None
    } else if blank {
        Some("blank: like every other blank picture".to_string())
    } else if distance > threshold {
        Some("the hashes are too far apart".to_string())
    } else if too_far {
        Some("the feature vectors are too far apart".to_string())
    } else if hash_only {
        None
    } else {
        match likeness {
            None => Some("they show different things".to_string()),
            Some(likeness) => likeness.reason().map(str::to_string),
        }
    };
    let places = |v: f32| (f64::from(v) * 1e4).round() as f32 / 1e4;
    let crop = |l: Likeness| (l.relation == Relation::Crop).then(|| places(l.cropped));
    Ok(Comparison {
        same: reason.is_none(),
        exact,
        distance,
        threshold,
        hashes: [&a_print, &b_print].map(|p| p.hashes[0].hex(settings.hashing.bits)),
        turned: turn != 0,
        correlation: likeness.map(|l| places(l.correlation)),
        cropped: likeness.and_then(crop),
        changed: likeness.map(|l| places(l.changed)),
        cosine: cosine.map(places),
        reason,
    })
}
