//! What is in the cells of a picture, and which rules fired, as text and over the picture.

use super::detections::label;
use super::draw::{Canvas, WHITE, class_colour};
use crate::cells::{Area, Cells};
use crate::error::Result;
use crate::geometry::Rect;
use crate::image::Image;
use crate::postprocess::yolic::Seen;
use crate::zones::{self, Action, Fired, Verdict};
use image::Rgb;
use std::collections::BTreeMap;

const RED: Rgb<u8> = Rgb([225, 30, 30]);
const AMBER: Rgb<u8> = Rgb([255, 170, 0]);
const GREEN: Rgb<u8> = Rgb([30, 170, 60]);
const GRAY: Rgb<u8> = Rgb([190, 190, 190]);
/// Of what is seen in a cell.
const OPACITY: f32 = 0.35;
/// Letters of fewer pixels are hard to read.
const SMALLEST_LETTERS: f32 = 10.0;

/// What was seen in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The labels of each cell.
    pub found: Vec<Vec<Seen>>,
    /// The rules that fired; `None` if there are no rules.
    pub fired: Option<Vec<Fired>>,
}

/// The name of a verdict in records.
pub fn verdict(v: Verdict) -> &'static str {
    match v {
        Verdict::Clear => "clear",
        Verdict::Warn => "warn",
        Verdict::Stop => "stop",
    }
}

/// The name of an action in records.
pub fn action(a: Action) -> &'static str {
    match a {
        Action::Warn => "warn",
        Action::Stop => "stop",
    }
}

/// One line for the picture: the verdict if there are rules, and the cells of each label; one more for each rule that fired.
pub fn text(path: &str, look: &Look, labels: &[String], ms: f64, colour: bool) -> String {
    let mut text = look.fired.as_ref().map_or_else(String::new, |fired| word(zones::verdict(fired), colour) + "  ");
    let mut by_label: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, found) in look.found.iter().enumerate() {
        found.iter().for_each(|s| by_label.entry(s.label).or_default().push(i + 1));
    }
    let listed =
        |(l, cells): (&usize, &Vec<usize>)| format!("{} in {}", label(labels, *l), list(cells.iter().copied()));
    let seen: Vec<String> = by_label.iter().map(listed).collect();
    let seen = if seen.is_empty() { "nothing".to_string() } else { seen.join("; ") };
    text += &format!("{path}  {seen}  {ms:.0} ms");
    for fired in look.fired.iter().flatten() {
        let best = fired.hits.iter().map(|h| h.seen.score).fold(0.0, f32::max);
        let cells = list(fired.hits.iter().map(|h| h.cell));
        text += &format!("\n       {} {}: cells {cells}, score up to {best:.2}", action(fired.action), fired.name);
    }
    text
}

/// The verdict in capitals, coloured if the terminal shows colours.
fn word(v: Verdict, colour: bool) -> String {
    let word = format!("{:<5}", verdict(v).to_uppercase());
    let code = match v {
        Verdict::Clear => 32,
        Verdict::Warn => 33,
        Verdict::Stop => 31,
    };
    if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word }
}

/// Numbers that ascend, runs of three and more as ranges: `1, 4-7, 9`. One that repeats is told once.
fn list(numbers: impl Iterator<Item = usize>) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for n in numbers {
        match runs.last_mut() {
            Some((_, end)) if n <= *end + 1 => *end = n,
            _ => runs.push((n, n)),
        }
    }
    let run = |(from, to): (usize, usize)| match to - from {
        0 => from.to_string(),
        1 => format!("{from}, {to}"),
        _ => format!("{from}-{to}"),
    };
    runs.into_iter().map(run).collect::<Vec<_>>().join(", ")
}

/// `photo` with its cells: those with labels in the colour of the surest, with abbreviations and scores; the cells of rules
/// that fired framed; which label has which colour, and the verdict.
pub fn overlay(photo: &Image, cells: &Cells, look: &Look) -> Result<Image> {
    let mut canvas = Canvas::new(photo)?;
    let (width, height) = (photo.width(), photo.height());
    let outlines: Vec<Vec<(f32, f32)>> = cells.areas.iter().map(|a: &Area| a.pixels(width, height)).collect();
    let surest =
        |found: &[Seen]| found.iter().max_by(|a, b| a.score.total_cmp(&b.score)).map(|s| class_colour(s.label));
    let each = || outlines.iter().zip(&look.found);
    for (outline, found) in each() {
        if let Some(colour) = surest(found) {
            canvas.tint(outline, colour, OPACITY);
        }
    }
    // Empty ones first: they share sides with others.
    let line = canvas.line;
    canvas.line = (line / 2).max(1);
    each().filter(|(_, found)| found.is_empty()).for_each(|(outline, _)| canvas.outline(outline, GRAY));
    canvas.line = line;
    for (outline, found) in each() {
        surest(found).into_iter().for_each(|colour| canvas.outline(outline, colour));
    }
    let fired = look.fired.as_deref().unwrap_or_default();
    canvas.line = line * 2;
    // Those that stop last, on top of the others.
    for (wanted, colour) in [(Action::Warn, AMBER), (Action::Stop, RED)] {
        let hits = fired.iter().filter(|f| f.action == wanted).flat_map(|f| &f.hits);
        hits.filter_map(|h| outlines.get(h.cell - 1)).for_each(|outline| canvas.outline(outline, colour));
    }
    canvas.line = line;
    for (outline, found) in each() {
        write(&mut canvas, &Rect::around(outline.iter().copied()), found, &cells.abbreviations);
    }
    legend(&mut canvas, cells, look);
    if look.fired.is_some() {
        let v = zones::verdict(fired);
        let names: Vec<&str> = fired.iter().map(|f| f.name.as_str()).collect();
        let banner = format!("{} {}", verdict(v).to_uppercase(), names.join(", "));
        let colour = match v {
            Verdict::Clear => GREEN,
            Verdict::Warn => AMBER,
            Verdict::Stop => RED,
        };
        canvas.label(canvas.letters, (line as f32, line as f32), banner.trim_end(), colour);
    }
    canvas.finish()
}

/// The labels of a cell in its middle, one below the other, the surest first, as large as the cell allows.
fn write(canvas: &mut Canvas, bounds: &Rect, found: &[Seen], names: &[String]) {
    let mut found = found.to_vec();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let texts: Vec<String> = found.iter().map(|s| format!("{} {:.2}", label(names, s.label), s.score)).collect();
    let wide = texts.iter().map(|t| canvas.text_width(1.0, t)).fold(1.0, f32::max);
    let room = (bounds.height() / (1.2 * texts.len().max(1) as f32)).min(bounds.width() / (wide + 0.4));
    let size = (canvas.letters * 0.6).min(room).max(SMALLEST_LETTERS);
    let plate = Canvas::plate_height(size);
    let top = (bounds.y1 + bounds.y2 - plate * texts.len() as f32) / 2.0;
    for (i, (text, seen)) in texts.iter().zip(&found).enumerate() {
        let x = (bounds.x1 + bounds.x2 - canvas.text_width(size, text)) / 2.0 - (size / 6.0).ceil();
        canvas.label(size, (x, top + plate * i as f32), text, class_colour(seen.label));
    }
}

/// At the lower left: which label has which colour, for those that are seen.
fn legend(canvas: &mut Canvas, cells: &Cells, look: &Look) {
    let mut seen: Vec<usize> = look.found.iter().flatten().map(|s| s.label).collect();
    seen.sort_unstable();
    seen.dedup();
    let size = (canvas.letters * 0.6).max(SMALLEST_LETTERS);
    let plate = Canvas::plate_height(size);
    let bottom = canvas.picture.height() as f32 - canvas.line as f32;
    for (i, &l) in seen.iter().rev().enumerate() {
        let (short, name) = (label(&cells.abbreviations, l), label(&cells.labels, l));
        let text = if short == name { name.to_string() } else { format!("{short} {name}") };
        canvas.label(size, (canvas.line as f32, bottom - plate * (i + 1) as f32), &text, class_colour(l));
    }
    if seen.is_empty() {
        canvas.label(size, (canvas.line as f32, bottom - plate), "all cells empty", WHITE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cells() {
        let of = |numbers: &[usize]| list(numbers.iter().copied());
        assert_eq!(of(&[1, 4, 5, 6, 9, 10]), "1, 4-6, 9, 10");
        assert_eq!(of(&[2, 2, 3]), "2, 3");
        assert_eq!(of(&[]), "");
    }
}
