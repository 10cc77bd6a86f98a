//! How well a method tells good from bad on a test set.

use crate::geometry::Similarity;
use crate::image::{Gray, Image};
use crate::postprocess::auroc::{Histogram, auroc};
use crate::tasks::inspect::{Inspection, Verdict};
use serde::Serialize;

/// The figures of one test set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Category {
    /// Name of the set.
    pub category: String,
    /// Method of the recipe.
    pub method: String,
    /// Good images learned.
    pub learned: usize,
    /// Good images inspected.
    pub good: usize,
    /// Bad images inspected.
    pub bad: usize,
    /// Chance that a bad image scores above a good one; absent without both.
    pub image_auroc: Option<f64>,
    /// The same for pixels, if the set has masks and the method a map.
    pub pixel_auroc: Option<f64>,
    /// Share of the good images that fail at the learned threshold.
    pub false_calls: Option<f64>,
    /// Share of the bad images that pass at the learned threshold.
    pub escapes: Option<f64>,
    /// Mean milliseconds of an inspection, decoding left out, while the other threads work on other pictures.
    pub ms_per_image: f64,
    /// Size of what was learned.
    pub memory_bytes: usize,
    /// Share of each kind of defect that passes.
    pub escapes_by_kind: Vec<(String, f64)>,
}

impl Category {
    /// The means over several sets; one without a figure does not count for it.
    pub fn mean(sets: &[Category]) -> Category {
        let mean = |value: fn(&Category) -> Option<f64>| {
            let values: Vec<f64> = sets.iter().filter_map(value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Category {
            category: "mean".into(),
            method: sets.first().map(|s| s.method.clone()).unwrap_or_default(),
            learned: sets.iter().map(|s| s.learned).sum(),
            good: sets.iter().map(|s| s.good).sum(),
            bad: sets.iter().map(|s| s.bad).sum(),
            image_auroc: mean(|s| s.image_auroc),
            pixel_auroc: mean(|s| s.pixel_auroc),
            false_calls: mean(|s| s.false_calls),
            escapes: mean(|s| s.escapes),
            ms_per_image: mean(|s| Some(s.ms_per_image)).unwrap_or(0.0),
            memory_bytes: sets.iter().map(|s| s.memory_bytes).max().unwrap_or(0),
            escapes_by_kind: Vec::new(),
        }
    }
}

/// One inspected test image.
#[derive(Debug)]
pub struct Tested {
    /// `good` or the kind of defect.
    pub kind: String,
    /// The deciding score.
    pub score: f32,
    /// Whether it passed.
    pub passed: bool,
    /// Milliseconds of the inspection.
    pub ms: f64,
    /// Scores of its pixels by the truth about them, if known.
    pub pixels: Option<Histogram>,
}

impl Tested {
    /// From an inspection of `photo`; `mask` is white where the defect is. A good image has no mask and needs none.
    pub fn new(kind: &str, photo: &Image, inspection: &Inspection, mask: Option<&Image>, ms: f64) -> Self {
        let known = mask.is_some() || kind == GOOD;
        let heat = inspection.regions.iter().any(|r| r.heat.is_some());
        let pixels = (known && heat).then(|| {
            let map = heat_of_photo(photo, inspection);
            let mut histogram = Histogram::default();
            for (i, score) in map.data.iter().enumerate() {
                histogram.add(*score, mask.is_some_and(|m| m.data()[3 * i] > 127));
            }
            histogram
        });
        Tested { kind: kind.into(), score: inspection.score, passed: inspection.verdict == Verdict::Pass, ms, pixels }
    }
}

/// The kind of the good test images.
pub const GOOD: &str = "good";

/// The figures of a set from all its tested images.
pub fn summarise(category: &str, method: &str, learned: usize, memory_bytes: usize, tested: &[Tested]) -> Category {
    let (good, bad): (Vec<&Tested>, Vec<&Tested>) = tested.iter().partition(|t| t.kind == GOOD);
    let scores = |list: &[&Tested]| list.iter().map(|t| t.score).collect::<Vec<f32>>();
    let share = |list: &[&Tested], counts: fn(&Tested) -> bool| {
        (!list.is_empty()).then(|| list.iter().filter(|t| counts(t)).count() as f64 / list.len() as f64)
    };
    let mut histogram = Histogram::default();
    tested.iter().filter_map(|t| t.pixels.as_ref()).for_each(|h| histogram.merge(h));
    let mut kinds: Vec<&str> = bad.iter().map(|t| t.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let of_kind = |kind: &&str| {
        let list: Vec<&Tested> = bad.iter().copied().filter(|t| t.kind == *kind).collect();
        (kind.to_string(), share(&list, |t| t.passed).unwrap_or(0.0))
    };
    Category {
        category: category.into(),
        method: method.into(),
        learned,
        good: good.len(),
        bad: bad.len(),
        image_auroc: auroc(&scores(&good), &scores(&bad)),
        pixel_auroc: histogram.auroc(),
        false_calls: share(&good, |t| !t.passed),
        escapes: share(&bad, |t| t.passed),
        ms_per_image: tested.iter().map(|t| t.ms).sum::<f64>() / tested.len().max(1) as f64,
        memory_bytes,
        escapes_by_kind: kinds.iter().map(of_kind).collect(),
    }
}

/// The score of each pixel of the photograph: that of its place in the highest of the regions, 0 outside of all.
fn heat_of_photo(photo: &Image, inspection: &Inspection) -> Gray {
    let mut out = Gray::filled(photo.width() as usize, photo.height() as usize, 0.0);
    let back: Similarity = inspection.transform().inverse();
    for heat in inspection.regions.iter().filter_map(|r| r.heat.as_ref()) {
        let (gain_x, gain_y) =
            (heat.cells.width as f32 / heat.rect.width(), heat.cells.height as f32 / heat.rect.height());
        for y in 0..out.height {
            for x in 0..out.width {
                let (u, v) = back.apply((x as f32 + 0.5, y as f32 + 0.5));
                if u >= heat.rect.x1 && v >= heat.rect.y1 && u <= heat.rect.x2 && v <= heat.rect.y2 {
                    let score = heat.cells.sample((u - heat.rect.x1) * gain_x, (v - heat.rect.y1) * gain_y);
                    let at = y * out.width + x;
                    out.data[at] = out.data[at].max(score);
                }
            }
        }
    }
    out
}
