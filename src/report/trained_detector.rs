//! What `ocellus train detect` says of a training: text, record, and the contents of its report.

use super::detections::label;
use super::draw::Canvas;
use super::training::{Chart, ClassRow, Confusion, Curve, Mistake, Training, rounded};
use super::{json as records, sheet};
use crate::error::Result;
use crate::geometry::Rect;
use crate::image::Image;
use crate::postprocess::average_precision::{self, ClassFigures};
use crate::postprocess::detection::Detection;
use crate::train::Epoch;
use crate::train::detect::Validation;
use image::Rgb;
use serde_json::json;

/// Classes that are listed in the text, the worst first.
const LISTED: usize = 5;
/// Mistakes that are shown.
const SHOWN: usize = 24;
/// Overlap above which something found is at an object's place, whatever it was called.
const SAME_PLACE: f32 = 0.45;
/// What was found, and what is there.
const FOUND: Rgb<u8> = Rgb([220, 40, 40]);
const THERE: Rgb<u8> = Rgb([20, 150, 60]);

/// A training and its results.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// The ONNX file.
    pub out: &'a str,
    /// The report.
    pub report: &'a str,
    /// Names of the classes.
    pub names: &'a [String],
    /// Every epoch.
    pub epochs: &'a [Epoch],
    /// The epoch whose weights were kept.
    pub best: usize,
    /// What these find in the validation pictures.
    pub validation: &'a Validation,
    /// The validation pictures.
    pub paths: Vec<String>,
    /// Settings, name and value.
    pub facts: Vec<(String, String)>,
    /// What is wrong with the data.
    pub notes: Vec<String>,
    /// Seconds in all.
    pub seconds: f64,
}

/// A mistake in a picture: something found where it is not, missed, or taken for something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// Number of the picture.
    pub picture: usize,
    /// What was found, if anything.
    pub found: Option<Detection>,
    /// What is there, if anything: class and box.
    pub there: Option<(usize, Rect)>,
}

/// The mistakes above a score of `confidence`, the surest first, then what was missed.
pub fn wrongs(validation: &Validation, confidence: f32) -> Vec<Wrong> {
    let (mut wrong, mut missed) = (Vec::new(), Vec::new());
    for (picture, (truth, found)) in validation.truth.iter().zip(&validation.found).enumerate() {
        let mut free: Vec<bool> = vec![true; truth.len()];
        for d in found.iter().filter(|d| d.score > confidence) {
            let overlap = |i: &usize| truth[*i].1.iou(&d.rect);
            let places = (0..truth.len()).filter(|&i| free[i] && truth[i].1.iou(&d.rect) > SAME_PLACE);
            // An object of the class first, then the nearest.
            let best = places.max_by(|a, b| {
                (truth[*a].0 == d.class).cmp(&(truth[*b].0 == d.class)).then(overlap(a).total_cmp(&overlap(b)))
            });
            if let Some(i) = best {
                free[i] = false;
            }
            if best.is_none_or(|i| truth[i].0 != d.class) {
                wrong.push(Wrong { picture, found: Some(*d), there: best.map(|i| truth[i]) });
            }
        }
        let left = truth.iter().zip(&free).filter(|(_, free)| **free);
        missed.extend(left.map(|(t, _)| Wrong { picture, found: None, there: Some(*t) }));
    }
    let score = |w: &Wrong| w.found.map_or(0.0, |d| d.score);
    wrong.sort_by(|a, b| score(b).total_cmp(&score(a)));
    // Both kinds are to be seen.
    let half = (SHOWN / 2).max(SHOWN.saturating_sub(missed.len()));
    let rest = wrong.split_off(wrong.len().min(half));
    wrong.into_iter().chain(missed).chain(rest).collect()
}

impl Wrong {
    /// In words.
    pub fn told(&self, names: &[String]) -> String {
        match (&self.found, &self.there) {
            (Some(d), Some((class, _))) => {
                format!("{}, taken for {} ({:.2})", label(names, *class), label(names, d.class), d.score)
            }
            (Some(d), None) => format!("nothing, taken for {} ({:.2})", label(names, d.class), d.score),
            (None, Some((class, _))) => format!("{} missed", label(names, *class)),
            (None, None) => String::new(),
        }
    }

    /// Its surroundings in `photo`, as a small JPEG: red what was found, green what is there. `to_photo` takes boxes to the
    /// photograph's pixels.
    pub fn picture(&self, photo: &Image, to_photo: impl Fn(&Rect) -> Rect) -> Result<Vec<u8>> {
        let there = self.there.map(|(_, rect)| (to_photo(&rect), THERE));
        let boxes: Vec<(Rect, Rgb<u8>)> =
            there.into_iter().chain(self.found.map(|d| (to_photo(&d.rect), FOUND))).collect();
        let whole = Rect::around(boxes.iter().flat_map(|(r, _)| r.corners()));
        let side = (whole.width().max(whole.height()) * 2.5).max(64.0);
        let (cx, cy) = ((whole.x1 + whole.x2) / 2.0, (whole.y1 + whole.y2) / 2.0);
        let seen = Rect { x1: cx - side / 2.0, y1: cy - side / 2.0, x2: cx + side / 2.0, y2: cy + side / 2.0 };
        let seen = seen.clip(photo.width(), photo.height());
        let (x, y) = (seen.x1 as u32, seen.y1 as u32);
        let (w, h) = ((seen.width() as u32).max(1), (seen.height() as u32).max(1));
        let mut canvas = Canvas::new(&photo.crop(x, y, w.min(photo.width() - x), h.min(photo.height() - y))?)?;
        canvas.line = ((side / 120.0) as i32).max(1);
        for (rect, colour) in boxes {
            canvas.outline(&rect.moved(-(x as f32), -(y as f32)).corners(), colour);
        }
        sheet::small_jpeg(&canvas.finish()?)
    }
}

/// The classes that there are objects of, the worst first.
fn by_quality<'a>(lesson: &'a Lesson) -> Vec<(&'a str, ClassFigures)> {
    let figures = lesson.validation.figures.classes.iter().enumerate();
    let mut rows: Vec<_> = figures.filter_map(|(i, f)| Some((label(lesson.names, i), (*f)?))).collect();
    rows.sort_by(|a, b| a.1.ap50.total_cmp(&b.1.ap50));
    rows
}

/// The record of the whole.
pub fn json(lesson: &Lesson) -> Result<String> {
    let figures = &lesson.validation.figures;
    let class = |(name, f): (&str, ClassFigures)| {
        json!({"name": name, "objects": f.count, "precision": rounded(f.precision), "recall": rounded(f.recall),
            "ap50": rounded(f.ap50), "ap": rounded(f.ap)})
    };
    let body = json!({
        "task": "detect", "report": lesson.report, "epochs": lesson.epochs.len(), "best_epoch": lesson.best,
        "map50": rounded(figures.map50()), "map": rounded(figures.map()),
        "precision": rounded(figures.mean(|c| c.precision)), "recall": rounded(figures.mean(|c| c.recall)),
        "confidence": rounded(figures.confidence), "classes": by_quality(lesson).into_iter().map(class).collect::<Vec<_>>(),
        "seconds": (lesson.seconds * 10.0).round() / 10.0,
    });
    records::record("train", lesson.out, Ok(body))
}

/// A few lines for a person.
pub fn text(lesson: &Lesson) -> String {
    let figures = &lesson.validation.figures;
    let mut text = format!(
        "{}  {} classes, best of {} epochs: {}  {:.0} s\n      mAP50 {:.3}  mAP50-95 {:.3}  precision {:.3}  recall {:.3} \
         (at --conf {:.2})",
        lesson.out,
        lesson.names.len(),
        lesson.epochs.len(),
        lesson.best,
        lesson.seconds,
        figures.map50(),
        figures.map(),
        figures.mean(|c| c.precision),
        figures.mean(|c| c.recall),
        figures.confidence
    );
    let rows = by_quality(lesson);
    let width = rows.iter().take(LISTED).map(|(n, _)| n.chars().count()).max().unwrap_or(0);
    for (name, f) in rows.into_iter().take(LISTED) {
        let objects = if f.count == 1 { "object" } else { "objects" };
        text.push_str(&format!("\n      {name:<width$}  AP50 {:.3}  {:>4} {objects}", f.ap50, f.count));
    }
    text + &format!("\n      report: {}", lesson.report)
}

/// The contents of the report; `picture` gives the picture of a mistake, if it can still be read.
pub fn page(lesson: &Lesson, picture: impl Fn(&Wrong) -> Option<Vec<u8>>) -> Training {
    let figures = &lesson.validation.figures;
    let curve = |name: &str, value: fn(&Epoch) -> f64, best: Option<f64>| Curve {
        name: name.into(),
        points: lesson.epochs.iter().map(|e| (e.number as f64, value(e))).collect(),
        best,
    };
    let best = Some(lesson.best as f64);
    let chart = |title: &str, curve: Curve| Chart {
        title: title.into(),
        unit: String::new(),
        over: "epoch".into(),
        curves: vec![curve],
    };
    let row = |(i, f): (usize, &Option<ClassFigures>)| ClassRow {
        name: label(lesson.names, i).into(),
        count: f.map_or(0, |f| f.count),
        precision: f.map(|f| f.precision),
        recall: f.map(|f| f.recall),
        f1: f.map(|f| f.f1),
        ap50: f.map(|f| f.ap50),
        ap: f.map(|f| f.ap),
    };
    let confidence = figures.confidence as f32;
    let counts = average_precision::confusion(&lesson.validation.judged(), lesson.names.len(), confidence);
    let mistake = |wrong: &Wrong| {
        let caption = format!("{} in {}", wrong.told(lesson.names), lesson.paths[wrong.picture]);
        Some(Mistake { image: picture(wrong)?, caption })
    };
    let mut facts = lesson.facts.clone();
    facts.push(("epochs".into(), format!("{}, the best was {}", lesson.epochs.len(), lesson.best)));
    facts.push(("seconds".into(), format!("{:.0}", lesson.seconds)));
    Training {
        title: format!("{}: {} classes", lesson.out, lesson.names.len()),
        figures: vec![
            ("mAP50".into(), format!("{:.3}", figures.map50())),
            ("mAP50-95".into(), format!("{:.3}", figures.map())),
            ("precision".into(), format!("{:.3}", figures.mean(|c| c.precision))),
            ("recall".into(), format!("{:.3}", figures.mean(|c| c.recall))),
            ("at a score of".into(), format!("{:.2}", figures.confidence)),
        ],
        facts,
        notes: lesson.notes.clone(),
        charts: vec![
            chart("Loss of the training pictures", curve("loss", |e| e.loss, None)),
            chart("mAP50 of the validation pictures", curve("mAP50", |e| e.metric, best)),
        ],
        classes: figures.classes.iter().enumerate().map(row).collect(),
        confusion: Some(Confusion { names: lesson.names.to_vec(), counts }),
        mistakes: wrongs(lesson.validation, confidence).iter().filter_map(mistake).take(SHOWN).collect(),
    }
}
