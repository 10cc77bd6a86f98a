//! Results for a person at a terminal.

use crate::postprocess::detection::Detection;
use crate::recipe::{AlignMode, Folder, Method};
use crate::report::{detections, json};
use crate::tasks::evaluate::Category;
use crate::tasks::inspect::{Inspection, Verdict};
use crate::tasks::mask::Summary;
use crate::tasks::ocr::Line;

/// One line for the photograph, and one for each region that fails.
pub fn inspection(path: &str, inspection: &Inspection, ms: f64, colour: bool) -> String {
    let mut text = format!(
        "{}  {path}  score {:.2} / {:.2}  {ms:.0} ms",
        verdict(inspection.verdict, colour),
        inspection.score,
        inspection.threshold
    );
    if let Some(reason) = &inspection.reason {
        text.push_str(&format!("\n      {reason}"));
    }
    for region in inspection.regions.iter().filter(|r| r.verdict == Verdict::Fail) {
        text.push_str(&format!("\n      {}: {:.2} / {:.2}", region.name, region.score, region.threshold));
        if let Some(read) = &region.text {
            text.push_str(&format!("  read {read:?}"));
            continue;
        }
        for defect in &region.defects {
            let r = defect.rect;
            text.push_str(&format!(
                "\n        defect at {:.0},{:.0}  {:.0}x{:.0} px  score {:.2}",
                r.x1,
                r.y1,
                r.width(),
                r.height(),
                defect.score
            ));
        }
    }
    text
}

/// The lines that were read in a picture; under its path if there are `several`.
pub fn lines(path: &str, lines: &[Line], several: bool) -> String {
    let texts = lines.iter().map(|l| match l.matched {
        Some(false) => format!("{} (no match)\n", l.text),
        _ => format!("{}\n", l.text),
    });
    match several {
        true => std::iter::once(format!("{path}\n")).chain(texts.map(|t| format!("      {t}"))).collect(),
        false => texts.collect(),
    }
}

/// PASS in green, anything else in red, if the terminal shows colours.
fn verdict(v: Verdict, colour: bool) -> String {
    let word = json::verdict(v).to_uppercase();
    match (colour, v) {
        (false, _) => format!("{word:<4}"),
        (true, Verdict::Pass) => format!("\x1b[32m{word:<4}\x1b[0m"),
        (true, _) => format!("\x1b[31m{word:<4}\x1b[0m"),
    }
}

/// The summary of `ocellus learn`; see [`json::learned`] for what it is given.
pub fn learned(folder: &Folder, held_out: &[Vec<f32>], holdout: Option<(usize, usize)>) -> String {
    let recipe = &folder.recipe;
    let align = &recipe.align;
    let mut text = format!("{}: learned {} good images", folder.path.display(), recipe.good_images);
    text.push_str(&match align.mode {
        AlignMode::Pose => {
            format!("; parts are aligned (up to {} px, {} degrees)", align.max_shift_px, align.max_angle_deg)
        }
        AlignMode::None => "; no alignment".into(),
    });
    for ((region, scores), memory) in recipe.regions.iter().zip(held_out).zip(&folder.memories) {
        let worst = scores.iter().copied().fold(0.0, f32::max);
        if region.method == Method::Text {
            let wanted = region.pattern.as_ref().or(region.expected.as_ref());
            text.push_str(&format!("\n  {}  text  {}", region.name, wanted.map_or("", String::as_str)));
            continue;
        }
        text.push_str(&format!(
            "\n  {}  {}  threshold {:.2}  good parts unseen in learning score up to {worst:.2}  memory {:.1} MB",
            region.name,
            region.method.name(),
            region.threshold,
            memory.len() as f64 / 1e6
        ));
    }
    if let Some((calls, of)) = holdout.filter(|(_, of)| *of > 0) {
        let (rate, upper) = (calls as f64 / of as f64, wilson_upper(calls, of));
        text.push_str(&format!(
            "\n  holdout: {calls} false calls on {of} good images ({:.1} %; below {:.0} % with 95 % confidence)",
            rate * 100.0,
            (upper * 100.0).ceil()
        ));
    }
    text
}

/// Wilson's one-sided upper limit at 95 %: what the rate may be in truth, given so few pictures.
fn wilson_upper(calls: usize, of: usize) -> f64 {
    let (n, p, z) = (of as f64, calls as f64 / of as f64, 1.645);
    (p + z * z / (2.0 * n) + z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt()) / (1.0 + z * z / n)
}

/// The columns of [`category`].
pub const EVALUATION_HEAD: &str =
    "set                   image AUROC  pixel AUROC  false calls    escapes  ms/image  memory";

/// One line of the table of `ocellus evaluate`.
pub fn category(c: &Category) -> String {
    let share = |v: Option<f64>| v.map_or("-".into(), |v| format!("{:.1} %", v * 100.0));
    let area = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
    format!(
        "{:<20}  {:>11}  {:>11}  {:>11}  {:>9}  {:>8.1}  {:.1} MB",
        c.category,
        area(c.image_auroc),
        area(c.pixel_auroc),
        share(c.false_calls),
        share(c.escapes),
        c.ms_per_image,
        c.memory_bytes as f64 / 1e6
    )
}

/// The objects in a picture: a line for all, a line each.
pub fn detections(path: &str, found: &[Detection], labels: &[String], ms: f64) -> String {
    let objects = if found.len() == 1 { "1 object".into() } else { format!("{} objects", found.len()) };
    let mut text = format!("{path}  {objects}  {ms:.0} ms");
    for d in found {
        let (r, name) = (&d.rect, detections::label(labels, d.class));
        let (w, h) = (r.width(), r.height());
        text.push_str(&format!("\n      {name} {:.2} at {:.0},{:.0}  {w:.0}x{h:.0} px", d.score, r.x1, r.y1));
    }
    text
}

/// The mask of a picture: one line.
pub fn mask(path: &str, file: &str, masked: &Summary, ms: f64) -> String {
    let objects = masked.objects.len();
    format!("{path}  ->  {file}  {objects} masked, {:.1} % of the picture  {ms:.0} ms", masked.share * 100.0)
}
