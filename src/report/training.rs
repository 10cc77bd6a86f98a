//! The report of a training: one HTML page that needs no script and no other file, for the screen, light or dark, and for
//! paper. Figures, curves, classes from the worst to the best, the confusion matrix and the worst mistakes.

#[cfg(feature = "train")]
pub mod cells;
mod chart;
mod matrix;

pub use chart::{Chart, Curve};
pub use matrix::Confusion;

use crate::dataset::xml::escaped;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

const HEAD: &str = include_str!("training/head.html");
const STYLE: &str = include_str!("training/page.css");

/// Five digits are enough for figures in records.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

/// What is told of a training. Whatever is empty is left out of the page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Training {
    /// What was trained, for the title.
    pub title: String,
    /// The few figures that count, shown large: name and value, as `("mAP50", "0.93")`.
    pub figures: Vec<(String, String)>,
    /// Data set, model, seed, time: name and value.
    pub facts: Vec<(String, String)>,
    /// What the reader should know, a sentence each: why it stopped, what is wrong with the data.
    pub notes: Vec<String>,
    /// Curves over the epochs.
    pub charts: Vec<Chart>,
    /// The classes, in any order.
    pub classes: Vec<ClassRow>,
    /// Which class was taken for which.
    pub confusion: Option<Confusion>,
    /// The worst mistakes, the worst first.
    pub mistakes: Vec<Mistake>,
}

/// How well a class is known. Values are 0 to 1; `None` or what is no number shows as a dash.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassRow {
    /// Its name.
    pub name: String,
    /// Examples of it that were tested.
    pub count: u64,
    /// Share of those given to the class that are of it.
    pub precision: Option<f64>,
    /// Share of those of the class that were given to it.
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    pub f1: Option<f64>,
    /// Average precision at an IoU of 0.5.
    pub ap50: Option<f64>,
    /// Average precision, mean over an IoU of 0.5 to 0.95.
    pub ap: Option<f64>,
}

/// A picture that was judged wrongly.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mistake {
    /// A small PNG or JPEG file.
    pub image: Vec<u8>,
    /// What it is and what it was taken for.
    pub caption: String,
}

/// The whole page.
pub fn page(training: &Training) -> String {
    let title = escaped(&training.title);
    // The title last: whatever stands in it stays as it is.
    let mut page = HEAD.replace("{style}", STYLE).replace("{title}", &title);
    page += &pairs("figures", &training.figures);
    page += &pairs("facts", &training.facts);
    page += &listed(&training.notes);
    let charts: String = training.charts.iter().filter_map(chart::svg).collect();
    page +=
        &section("Curves", &if charts.is_empty() { charts } else { format!("<div class=\"charts\">{charts}</div>") });
    page += &section("Classes", &table(&training.classes));
    page += &section("Confusion", &training.confusion.as_ref().map(matrix::html).unwrap_or_default());
    page += &section("Worst mistakes", &gallery(&training.mistakes));
    page + "<footer>Made by ocellus " + env!("CARGO_PKG_VERSION") + "</footer>\n</body></html>\n"
}

/// Nothing if there is nothing in it.
fn section(title: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<section><h2>{title}</h2>\n{body}</section>\n")
}

fn pairs(class: &str, pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let pair = |(name, value): &(String, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value))
    };
    format!("<dl class=\"{class}\">\n{}</dl>\n", pairs.iter().map(pair).collect::<String>())
}

fn listed(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|n| format!("<li>{}</li>\n", escaped(n))).collect();
    format!("<ul class=\"notes\">\n{items}</ul>\n")
}

/// A value of a class.
type Measure = fn(&ClassRow) -> Option<f64>;

/// The columns of the table of classes. The last one that has values gives the order.
const COLUMNS: [(&str, Measure); 5] = [
    ("precision", |c| c.precision),
    ("recall", |c| c.recall),
    ("F1", |c| c.f1),
    ("AP50", |c| c.ap50),
    ("AP50–95", |c| c.ap),
];

/// The columns whose order is asked for, the first that has values.
const ORDER: [usize; 5] = [3, 2, 4, 1, 0];

fn table(classes: &[ClassRow]) -> String {
    if classes.is_empty() {
        return String::new();
    }
    let value = |column: usize, class: &ClassRow| COLUMNS[column].1(class).filter(|v| v.is_finite());
    let filled = |column: &usize| classes.iter().any(|c| value(*column, c).is_some());
    let columns: Vec<usize> = (0..COLUMNS.len()).filter(filled).collect();
    let order = ORDER.into_iter().find(filled);
    let mut sorted: Vec<&ClassRow> = classes.iter().collect();
    if let Some(column) = order {
        // Without a value nothing is known to be wrong: at the end.
        let key = |c: &ClassRow| value(column, c).unwrap_or(f64::INFINITY);
        sorted.sort_by(|a, b| key(a).total_cmp(&key(b)));
    }
    let heads: String = columns.iter().map(|&c| format!("<th scope=\"col\">{}</th>", COLUMNS[c].0)).collect();
    let mut text = match order.filter(|_| classes.len() > 1) {
        Some(c) => format!("<p class=\"hint\">From the worst to the best by {}.</p>\n", COLUMNS[c].0),
        None => String::new(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "<div class=\"wide\"><table class=\"classes\"><thead><tr><th scope=\"col\">class</th><th scope=\"col\">tested</th>{heads}</tr></thead>"
    );
    text += "<tbody>\n";
    for class in sorted {
        let cells: String = columns.iter().map(|&c| bar(value(c, class))).collect();
        let _ =
            writeln!(text, "<tr><th scope=\"row\">{}</th><td>{}</td>{cells}</tr>", escaped(&class.name), class.count);
    }
    text += "</tbody>\n";
    if classes.len() > 1 {
        let mean = |column: usize| {
            let values: Vec<f64> = classes.iter().filter_map(|c| value(column, c)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let cells: String = columns.iter().map(|&c| bar(mean(c))).collect();
        let count: u64 = classes.iter().map(|c| c.count).sum();
        let _ = writeln!(
            text,
            "<tfoot><tr><th scope=\"row\">all, mean of the classes</th><td>{count}</td>{cells}</tr></tfoot>"
        );
    }
    text + "</table></div>\n"
}

/// A cell with a value of 0 to 1 and a bar of that length.
fn bar(value: Option<f64>) -> String {
    let Some(v) = value else { return "<td class=\"none\">–</td>".into() };
    format!("<td class=\"bar\" style=\"--v:{:.3}\">{v:.3}</td>", v.clamp(0.0, 1.0))
}

fn gallery(mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return String::new();
    }
    let figure = |m: &Mistake| {
        let kind = if m.image.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
        let (data, caption) = (STANDARD.encode(&m.image), escaped(&m.caption));
        format!(
            "<figure><div><img alt=\"\" src=\"data:image/{kind};base64,{data}\"></div><figcaption>{caption}</figcaption></figure>\n"
        )
    };
    format!("<div class=\"gallery\">\n{}</div>\n", mistakes.iter().map(figure).collect::<String>())
}

/// A value in four significant digits, without needless zeros.
fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let digits = value.abs().log10().floor();
    if !(-4.0..9.0).contains(&digits) {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.*}", (3.0 - digits).max(0.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests;
