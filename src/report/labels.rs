//! What is said of data sets: a table of the classes, what is wrong, what did not fit.

use crate::dataset::check::{ClassCount, Kind, Problem};
use crate::dataset::{DataSet, Loss, Picture, Split, class_name};
use crate::error::{Error, Result};
use crate::ontology::Ontology;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Problems of one kind that are listed; of more, their number is told.
const LISTED: usize = 20;

fn write(value: &Value) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Internal(format!("writing JSON: {e}")))
}

/// Pictures of the data set in each part.
fn parts(set: &DataSet) -> Vec<(&'static str, usize)> {
    let count = |split| set.pictures.iter().filter(|p| p.split == split).count();
    let parts = Split::ALL.map(|s| (s.name(), count(Some(s))));
    parts.into_iter().filter(|(_, n)| *n > 0).collect()
}

/// The table of the classes, and a line on the pictures.
pub fn table(set: &DataSet, counts: &[ClassCount]) -> String {
    let width = counts.iter().map(|c| c.name.chars().count()).chain([5]).max().unwrap_or(5);
    let mut text = format!("{:width$}  objects  pictures  side (px)   share\n", "class");
    for c in counts {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:width$}  {:7}  {:8}  {:9.1}  {:5.1}%",
            c.name,
            c.objects,
            c.pictures,
            c.side,
            c.share * 100.0
        );
    }
    let parts: Vec<String> = parts(set).iter().map(|(name, n)| format!("{name} {n}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let empty = set.pictures.iter().filter(|p| p.objects.is_empty()).count();
    let objects: usize = set.pictures.iter().map(|p| p.objects.len()).sum();
    let _ = write!(text, "{} pictures{parts}, {objects} objects, {empty} pictures without any", set.pictures.len());
    text
}

/// A picture that was labelled: how many of which class.
pub fn labelled(path: &str, picture: &Picture, classes: &[String]) -> String {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    picture.objects.iter().for_each(|o| *counts.entry(o.class).or_default() += 1);
    let mut counts: Vec<(usize, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(class, n)| (std::cmp::Reverse(*n), *class));
    let list: Vec<String> = counts.iter().map(|(c, n)| format!("{} {n}", class_name(classes, *c))).collect();
    let colon = if list.is_empty() { "" } else { ": " };
    format!("{path}  {} objects{colon}{}", picture.objects.len(), list.join(", "))
}

/// The end of a labelling run.
pub fn finished(folder: &str, pictures: &[Picture]) -> String {
    let set = DataSet { classes: Vec::new(), pictures: pictures.to_vec() };
    let parts: Vec<String> = parts(&set).iter().map(|(name, n)| format!("{name} {n}")).collect();
    let objects = || pictures.iter().flat_map(|p| &p.objects);
    let doubted = objects().filter(|o| !o.doubt.is_empty()).count();
    let doubted = if doubted == 0 { String::new() } else { format!(", {doubted} of them in doubt") };
    format!("{folder}: {} pictures ({}), {} objects{doubted}", pictures.len(), parts.join(", "), objects().count())
}

/// A template that was looked at.
#[derive(Debug)]
pub struct Checked {
    /// The file.
    pub path: String,
    /// Width and height in pixels, if it can be read.
    pub size: Option<(u32, u32)>,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
}

/// What can be wrong with a template.
#[derive(Debug)]
pub enum Flaw {
    /// The file is no picture; why.
    Unreadable(String),
    /// Nothing, or next to nothing, is drawn; what was found.
    Blank(String),
    /// Looks like this other template, perhaps turned or mirrored: the two cannot be told apart.
    Duplicate(String),
    /// So few pixels (width, height) say little.
    Small((f32, f32)),
}

impl Flaw {
    /// Whether the file could not be read at all.
    pub fn is_error(&self) -> bool {
        matches!(self, Flaw::Unreadable(_))
    }

    fn name(&self) -> &'static str {
        match self {
            Flaw::Unreadable(_) => "unreadable",
            Flaw::Blank(_) => "blank",
            Flaw::Duplicate(_) => "duplicate",
            Flaw::Small(_) => "small",
        }
    }

    fn message(&self) -> String {
        match self {
            Flaw::Unreadable(why) => format!("cannot be read, left out: {why}"),
            Flaw::Blank(why) => format!("{why}; left out"),
            Flaw::Duplicate(other) => {
                format!("looks like {other}, turned or mirrored perhaps: they cannot be told apart")
            }
            Flaw::Small((w, h)) => {
                format!("only {w:.0}x{h:.0} pixels are drawn on; a larger picture is told apart better")
            }
        }
    }
}

/// What is wrong with templates, a line each, and the ontology that was made of them.
pub fn templates(file: &str, ontology: &Ontology, templates: &[Checked]) -> String {
    let mut text = String::new();
    for t in templates {
        if let Some(flaw) = &t.flaw {
            let _ = writeln!(text, "{}: {}: {}", flaw.name(), t.path, flaw.message());
        }
    }
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    ontology.classes.iter().for_each(|c| *groups.entry(&c.group).or_default() += 1);
    let list: Vec<String> = groups
        .iter()
        .map(|(group, n)| if group.is_empty() { format!("{n} in no group") } else { format!("{group} {n}") })
        .collect();
    let _ = writeln!(text, "{file}: {} classes ({})", ontology.classes.len(), list.join(", "));
    text
}

/// A record about a template.
pub fn template_record(template: &Checked) -> Result<String> {
    let mut record = json!({ "schema": 1, "type": "label_template", "path": template.path, "status": "ok" });
    if let Some((width, height)) = template.size {
        (record["width"], record["height"]) = (width.into(), height.into());
    }
    match &template.flaw {
        Some(Flaw::Unreadable(why)) => (record["status"], record["error"]) = ("error".into(), why.as_str().into()),
        Some(flaw) => (record["flaw"], record["message"]) = (flaw.name().into(), flaw.message().into()),
        None => {}
    }
    write(&record)
}

fn severity(kind: Kind) -> &'static str {
    if kind.is_warning() { "warning" } else { "error" }
}

/// What is wrong, a line each, and how much.
pub fn problems(problems: &[Problem]) -> String {
    let mut text = String::new();
    let mut listed: BTreeMap<Kind, usize> = BTreeMap::new();
    for problem in problems {
        let n = listed.entry(problem.kind).or_default();
        *n += 1;
        if *n <= LISTED {
            let _ = writeln!(text, "{}: {}: {}", severity(problem.kind), problem.place(), problem.message);
        }
    }
    for (kind, n) in listed.iter().filter(|(_, n)| **n > LISTED) {
        let more = n - LISTED;
        let _ = writeln!(text, "{}: {more} more of the kind {}; --json lists all", severity(*kind), kind.name());
    }
    let warnings = problems.iter().filter(|p| p.kind.is_warning()).count();
    let _ = write!(text, "{} errors, {warnings} warnings", problems.len() - warnings);
    text
}

/// A record of a class.
pub fn class_record(c: &ClassCount) -> Result<String> {
    let round = |v: f32, places: f64| (f64::from(v) * places).round() / places;
    write(&json!({
        "schema": 1, "type": "label_class", "label": c.name, "objects": c.objects, "pictures": c.pictures,
        "median_side": round(c.side, 100.0), "share": round(c.share, 1e4),
    }))
}

/// A record of a problem.
pub fn problem_record(p: &Problem) -> Result<String> {
    let mut record = json!({
        "schema": 1, "type": "label_problem", "path": p.file, "status": severity(p.kind), "kind": p.kind.name(),
        "message": p.message,
    });
    if let Some(line) = p.line {
        record["line"] = line.into();
    }
    write(&record)
}

/// The last record of a check.
pub fn check_record(path: &str, set: &DataSet, problems: &[Problem]) -> Result<String> {
    let warnings = problems.iter().filter(|p| p.kind.is_warning()).count();
    let parts: serde_json::Map<String, Value> = parts(set).into_iter().map(|(n, c)| (n.into(), c.into())).collect();
    write(&json!({
        "schema": 1, "type": "label_check", "path": path, "status": "ok", "pictures": set.pictures.len(),
        "splits": parts, "objects": set.pictures.iter().map(|p| p.objects.len()).sum::<usize>(),
        "errors": problems.len() - warnings, "warnings": warnings,
    }))
}

/// The record of a conversion.
pub fn convert_record(path: &str, out: &str, set: &DataSet, failed: usize, loss: &Loss) -> Result<String> {
    let parts: serde_json::Map<String, Value> = parts(set).into_iter().map(|(n, c)| (n.into(), c.into())).collect();
    write(&json!({
        "schema": 1, "type": "label_convert", "path": path, "status": if failed > 0 { "error" } else { "ok" },
        "out": out, "pictures": set.pictures.len(), "splits": parts, "classes": set.classes,
        "objects": set.pictures.iter().map(|p| p.objects.len()).sum::<usize>(), "failed": failed, "loss": loss.0,
    }))
}

/// One line on a conversion.
pub fn converted(out: &str, set: &DataSet) -> String {
    let objects: usize = set.pictures.iter().map(|p| p.objects.len()).sum();
    let parts: Vec<String> = parts(set).iter().map(|(name, n)| format!("{name} {n}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let classes = set.classes.len();
    format!("{out}: {} pictures{parts}, {objects} objects of {classes} classes", set.pictures.len())
}

/// One line on what did not fit, with counts; None if all did.
pub fn loss(loss: &Loss) -> Option<String> {
    let parts: Vec<String> = loss.0.iter().map(|(what, n)| format!("{what} ({n})")).collect();
    (!parts.is_empty()).then(|| format!("does not fit as it is: {}", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let tiny = |i| Problem::new(Kind::Tiny, "a.txt", Some(i), "is small");
        let mut all: Vec<Problem> = vec![Problem::new(Kind::Leakage, "b.png", None, "x")];
        all.extend((0..25).map(tiny));
        let text = problems(&all);
        assert_eq!(text.lines().count(), 1 + LISTED + 2);
        assert!(text.starts_with("error: b.png: x\nwarning: a.txt:0: is small\n"), "{text}");
        assert!(text.ends_with("warning: 5 more of the kind tiny; --json lists all\n1 errors, 25 warnings"), "{text}");
    }

    #[test]
    fn the_table_is_aligned() {
        let set = DataSet { classes: vec!["gate välve".into()], pictures: Vec::new() };
        let count = ClassCount { name: set.classes[0].clone(), objects: 12, pictures: 3, side: 40.25, share: 1.0 };
        let text = table(&set, &[count]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].chars().count(), lines[1].chars().count(), "{text}");
    }
}
