//! The confusion matrix as a table.

use crate::dataset::xml::escaped;
use std::fmt::Write;

/// Which class was taken for which.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Confusion {
    /// Names of the classes.
    pub names: Vec<String>,
    /// How often the class of the row was taken for that of the column. A row and a column more than there are names is the
    /// background: the row holds what was found where nothing is, the column what was not found.
    pub counts: Vec<Vec<u64>>,
}

/// Confusions that are listed beside the table.
const LISTED: usize = 12;
/// The table has small cells from so many classes on.
const DENSE: usize = 16;

impl Confusion {
    /// The name of a row or column.
    fn name(&self, i: usize) -> &str {
        self.names.get(i).map_or("background", String::as_str)
    }

    /// Whether this row or column is the background.
    fn is_background(&self, i: usize) -> bool {
        i >= self.names.len()
    }
}

/// The table and a list of the most frequent confusions; nothing if nothing was counted.
pub(super) fn html(confusion: &Confusion) -> String {
    let most = confusion.counts.iter().flatten().copied().max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let wrong = frequent(confusion);
    let list = match wrong.is_empty() {
        true => "<p>None: every example was taken for what it is.</p>\n".to_string(),
        false => wrong,
    };
    format!("<div class=\"confusion\">\n{}{list}</div>\n", table(confusion, most))
}

fn table(confusion: &Confusion, most: u64) -> String {
    let n = confusion.counts.len().max(confusion.counts.iter().map(Vec::len).max().unwrap_or(0));
    let class = |i: usize| if confusion.is_background(i) { " class=\"back\"" } else { "" };
    let longest = (0..n).map(|i| confusion.name(i).chars().count()).max().unwrap_or(0);
    let heads: String = (0..n)
        .map(|i| {
            let name = escaped(confusion.name(i));
            format!("<th scope=\"col\"{} title=\"{name}\"><span>{name}</span></th>", class(i))
        })
        .collect();
    // The style sheet makes letters of the size that this number of cells has room for.
    let mut text = format!(
        "<div class=\"wide\"><table class=\"matrix{}\" style=\"--n:{n};--digits:{};--name:{}\">\n\
         <thead><tr><th><small>is ↓ &nbsp; taken for →</small></th>{heads}</tr></thead>\n<tbody>\n",
        if n >= DENSE { " dense" } else { "" },
        most.to_string().len(),
        longest.clamp(10, 24),
    );
    for (truth, row) in confusion.counts.iter().enumerate() {
        let name = escaped(confusion.name(truth));
        let _ = write!(text, "<tr><th scope=\"row\"{} title=\"{name}\"><span>{name}</span></th>", class(truth));
        let total: u64 = row.iter().sum();
        for predicted in 0..n {
            text += &cell(confusion, truth, predicted, total);
        }
        text += "</tr>\n";
    }
    text + "</tbody></table></div>\n"
}

fn cell(confusion: &Confusion, truth: usize, predicted: usize, total: u64) -> String {
    let count = confusion.counts.get(truth).and_then(|row| row.get(predicted)).copied().unwrap_or(0);
    let kind = if truth == predicted { "hit" } else { "miss" };
    if count == 0 {
        // A class that was never hit is worth seeing.
        return if truth == predicted && total > 0 { "<td class=\"missed\"></td>".into() } else { "<td></td>".into() };
    }
    let share = count as f64 / total.max(1) as f64;
    let said = said(confusion, truth, predicted);
    format!("<td class=\"{kind}\" style=\"--v:{share:.2}\" title=\"{said}: {count} of {total}\">{count}</td>")
}

/// What a cell means, in words.
fn said(confusion: &Confusion, truth: usize, predicted: usize) -> String {
    let (is, taken) = (escaped(confusion.name(truth)), escaped(confusion.name(predicted)));
    match (confusion.is_background(truth), confusion.is_background(predicted)) {
        (true, _) => format!("{taken} found where nothing is"),
        (false, true) => format!("{is} not found"),
        (false, false) if truth == predicted => format!("{is} recognised"),
        (false, false) => format!("{is} taken for {taken}"),
    }
}

/// The most frequent confusions as a list.
fn frequent(confusion: &Confusion) -> String {
    let mut wrong: Vec<(u64, u64, usize, usize)> = Vec::new();
    for (truth, row) in confusion.counts.iter().enumerate() {
        let total: u64 = row.iter().sum();
        let cells = row.iter().enumerate().filter(|(predicted, count)| *predicted != truth && **count > 0);
        wrong.extend(cells.map(|(predicted, &count)| (count, total, truth, predicted)));
    }
    wrong.sort_by_key(|&(count, _, truth, predicted)| (std::cmp::Reverse(count), truth, predicted));
    if wrong.is_empty() {
        return String::new();
    }
    let item = |&(count, total, truth, predicted): &(u64, u64, usize, usize)| {
        format!("<li>{} <small>{count} of {total}</small></li>\n", said(confusion, truth, predicted))
    };
    let items: String = wrong.iter().take(LISTED).map(item).collect();
    let more = match wrong.len().saturating_sub(LISTED) {
        0 => String::new(),
        n => format!("<p class=\"hint\">and {n} kinds more</p>\n"),
    };
    format!("<div class=\"frequent\"><h3>Most frequent</h3><ol>\n{items}</ol>{more}</div>\n")
}
