//! A line chart over the epochs, or over what else is tried one after the other, as SVG.

use super::short;
use crate::dataset::xml::escaped;
use std::fmt::Write;

/// Curves that share a scale.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// What is shown.
    pub title: String,
    /// Unit of the values; empty for plain numbers.
    pub unit: String,
    /// What the curves run over: `epoch`, `iteration`, `log10 C`.
    pub over: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// A value over the epochs, or over what [`Chart::over`] says instead.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Epoch and value, by ascending epoch. Where the value is no number the line has a gap.
    pub points: Vec<(f64, f64)>,
    /// The epoch whose state was kept, if that is known of this curve: it is marked there.
    pub best: Option<f64>,
}

/// Size of the picture and margins of the axes on the left, top, right and below, in the picture's units.
const SIZE: (f64, f64) = (560.0, 260.0);
const MARGINS: (f64, f64, f64, f64) = (52.0, 12.0, 14.0, 38.0);
/// Colours and dashes there are, in the style sheet.
const STYLES: usize = 6;
/// Points of a curve that tell their value under the mouse.
const TOLD: usize = 240;

/// Larger values are as good as infinite; the arithmetic of the axes would overflow.
const LARGEST: f64 = 1e100;

/// The scale of an axis: its ends and the distance of its ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Ends at ticks, about `wanted` of them, at 1, 2 or 5 times a power of ten.
    fn around(low: f64, high: f64, wanted: f64, least: f64) -> Axis {
        // Values that are all alike get some room around them.
        let alike = high - low <= high.abs() * 1e-9 || high - low < 1.0 / LARGEST;
        let room = match alike {
            true if high.abs() < 1.0 / LARGEST => 0.5,
            true => high.abs() / 10.0,
            false => 0.0,
        };
        let (low, high) = (low - room, high + room);
        let raw = (high - low) / wanted;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|f| f * power).into_iter().find(|s| *s >= raw * 0.999).unwrap_or(raw);
        let step = step.max(least);
        Axis { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let Axis { low, high, step } = *self;
        let n = ((high - low) / step).round().clamp(0.0, 20.0) as u32;
        // What should be 0 must not be 1e-17.
        (0..=n).map(move |i| low + f64::from(i) * step).map(move |v| if v.abs() < step * 1e-6 { 0.0 } else { v })
    }
}

/// The chart with its legend, or nothing without a finite value.
pub(super) fn svg(chart: &Chart) -> Option<String> {
    let finite = |c: &Curve| c.points.iter().any(|p| is_finite(*p));
    let curves: Vec<&Curve> = chart.curves.iter().filter(|c| finite(c)).collect();
    let all: Vec<(f64, f64)> = curves.iter().flat_map(|c| &c.points).copied().filter(|p| is_finite(*p)).collect();
    let ends = |of: fn(&(f64, f64)) -> f64| {
        let fold = |(low, high): (f64, f64), v: f64| (low.min(v), high.max(v));
        all.iter().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), fold)
    };
    let ((x1, x2), (y1, y2)) = (ends(|p| p.0), ends(|p| p.1));
    if all.is_empty() {
        return None;
    }
    // A scale from 0 shows how much is left, unless it would press the curve flat.
    let y1 = if y1 > 0.0 && y1 < y2 * 0.5 { 0.0 } else { y1 };
    let y = Axis::around(y1, y2, 5.0, 0.0);
    let ticks = Axis::around(x1, x2, 8.0, 1.0);
    let x = if x2 > x1 { Axis { low: x1, high: x2, ..ticks } } else { ticks };
    let (left, top, right, below) = MARGINS;
    let (width, height) = SIZE;
    let across = |v: f64| left + x.share(v) * (width - left - right);
    let up = |v: f64| height - below - y.share(v) * (height - top - below);

    // Writing to a string cannot fail.
    let mut text = format!("<figure class=\"chart\"><figcaption><b>{}</b>", escaped(&chart.title));
    if !chart.unit.is_empty() {
        let _ = write!(text, " <small>{}</small>", escaped(&chart.unit));
    }
    text += "<ul>\n";
    for (i, curve) in curves.iter().enumerate() {
        text += &legend(i, curve, &chart.over);
    }
    let _ = writeln!(
        text,
        "</ul></figcaption>\n<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(&chart.title)
    );
    for v in y.ticks() {
        let at = up(v);
        let _ = writeln!(
            text,
            "<path class=\"grid\" d=\"M{left} {at:.1}H{}\"/><text class=\"y\" x=\"{}\" y=\"{:.1}\">{}</text>",
            width - right,
            left - 7.0,
            at + 4.0,
            short(v)
        );
    }
    let floor = height - below;
    for v in ticks.ticks().filter(|v| (x.low - 1e-9..=x.high + 1e-9).contains(v)) {
        let at = across(v);
        let _ = writeln!(
            text,
            "<path class=\"axis\" d=\"M{at:.1} {floor}v4\"/><text class=\"x\" x=\"{at:.1}\" y=\"{}\">{}</text>",
            floor + 17.0,
            short(v)
        );
    }
    let _ = writeln!(
        text,
        "<path class=\"axis\" d=\"M{left} {floor}H{}\"/><text class=\"x name\" x=\"{}\" y=\"{}\">{}</text>",
        width - right,
        (left + width - right) / 2.0,
        height - 4.0,
        escaped(&chart.over)
    );
    for (i, curve) in curves.iter().enumerate() {
        text += &line(i, curve, &chart.over, &across, &up);
    }
    for (i, curve) in curves.iter().enumerate() {
        if let Some((epoch, value)) = best(curve) {
            let (cx, cy) = (across(epoch), up(value));
            let _ = writeln!(
                text,
                "<circle class=\"best c{}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4.5\"><title>kept: {} {}: {}</title></circle>",
                i % STYLES,
                escaped(&chart.over),
                short(epoch),
                short(value)
            );
        }
    }
    Some(text + "</svg></figure>\n")
}

/// Whether a point can be drawn.
fn is_finite((epoch, value): (f64, f64)) -> bool {
    epoch.abs() <= LARGEST && value.abs() <= LARGEST
}

/// The point of the curve at the epoch that was kept.
fn best(curve: &Curve) -> Option<(f64, f64)> {
    let epoch = curve.best?;
    let near = |p: &&(f64, f64)| (p.0 - epoch).abs() < 1e-6;
    curve.points.iter().find(near).copied().filter(|p| is_finite(*p))
}

/// An entry of the legend: the line, its name, and its value at the end or where it was kept.
fn legend(i: usize, curve: &Curve, over: &str) -> String {
    let value = match (best(curve), curve.points.iter().rev().find(|p| is_finite(**p))) {
        (Some((epoch, value)), _) => format!("{} at {} {}, kept", short(value), escaped(over), short(epoch)),
        (None, Some((_, value))) => format!("{} at the end", short(*value)),
        (None, None) => String::new(),
    };
    format!(
        "<li><svg viewBox=\"0 0 26 8\" class=\"key\"><path class=\"line c{}\" d=\"M1 4H25\"/></svg>{} <small>{value}</small></li>\n",
        i % STYLES,
        escaped(&curve.name)
    )
}

/// The line, broken where a value is missing, and a place under the mouse for each of its points.
fn line(i: usize, curve: &Curve, over: &str, across: &dyn Fn(f64) -> f64, up: &dyn Fn(f64) -> f64) -> String {
    let (mut path, mut pen) = (String::new(), 'M');
    let mut alone = String::new();
    for (at, p) in curve.points.iter().enumerate() {
        if !is_finite(*p) {
            pen = 'M';
            continue;
        }
        let (x, y) = (across(p.0), up(p.1));
        let _ = write!(path, "{pen}{x:.1} {y:.1}");
        let gap = |n: Option<usize>| n.and_then(|n| curve.points.get(n)).is_none_or(|p| !is_finite(*p));
        if gap(at.checked_sub(1)) && gap(Some(at + 1)) {
            // A line without length would not show.
            let _ = writeln!(alone, "<circle class=\"alone c{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>", i % STYLES);
        }
        pen = 'L';
    }
    let mut text = format!("<path class=\"line c{}\" d=\"{path}\"/>\n{alone}", i % STYLES);
    let every = curve.points.len().div_ceil(TOLD).max(1);
    for p in curve.points.iter().step_by(every).filter(|p| is_finite(**p)) {
        let _ = writeln!(
            text,
            "<circle class=\"told c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{}, {} {}: {}</title></circle>",
            i % STYLES,
            across(p.0),
            up(p.1),
            escaped(&curve.name),
            escaped(over),
            short(p.0),
            short(p.1)
        );
    }
    text
}
