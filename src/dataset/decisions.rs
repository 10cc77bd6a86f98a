//! What a person decided about labelled objects, and what becomes of label files by it.
//!
//! A decision names its object by picture, class and box, never by number, and says how things are to be. What becomes
//! of an object follows from the decisions alone: done twice, or again after half of the work, the result is the same.

use super::{DataSet, Origin, SAME_BOX, record, yolo};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Version of the file.
const SCHEMA: u32 = 1;
/// An object of the same class that covers this much (intersection over union) of a vanished one is that one, moved.
const MOVED: f32 = 0.5;

/// Whether both are the box of one object.
pub fn same_box(a: &Rect, b: &Rect) -> bool {
    a.side_distance(b) <= SAME_BOX
}

/// Names a data set by its pictures and their sizes; its labels may change.
pub fn fingerprint(set: &DataSet) -> String {
    let mut hash = Sha256::new();
    for picture in &set.pictures {
        hash.update(format!("{}\0{}x{}\n", picture.file, picture.size.0, picture.size.1));
    }
    hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// What is to become of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Accept,
    /// It is to go.
    Reject,
    /// It is to have this class.
    Relabel(String),
}

/// What a person decided about one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The picture: [`super::Picture::file`].
    pub file: String,
    /// The object's class when it was looked at.
    pub label: String,
    /// Its box in pixels of the upright picture.
    pub rect: Rect,
    /// What was decided.
    pub verdict: Verdict,
}

impl Decision {
    fn is_about(&self, label: &str, rect: &Rect) -> bool {
        self.label == label && same_box(&self.rect, rect)
    }

    /// The class that an object here has in the end; none if it is to go.
    fn label_after(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Accept => Some(&self.label),
            Verdict::Reject => None,
            Verdict::Relabel(to) => Some(to),
        }
    }
}

/// A file of decisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Decisions {
    /// [`fingerprint`] of the data set that they were made on.
    pub dataset: String,
    /// In the order of the file.
    pub list: Vec<Decision>,
}

#[derive(Deserialize)]
struct FileBody {
    schema: u32,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    dataset: String,
    decisions: Vec<DecisionBody>,
}

#[derive(Deserialize)]
struct DecisionBody {
    file: String,
    object: ObjectBody,
    decision: String,
    to: Option<String>,
}

#[derive(Deserialize)]
struct ObjectBody {
    label: String,
    #[serde(rename = "box")]
    rect: Rect,
}

impl Decisions {
    /// Reads the text of a file; `name` is the file's, for errors. A class that is not one of `classes`, and two decisions
    /// about one object that contradict one another, are errors.
    pub fn parse(name: &str, text: &str, classes: &[String]) -> Result<Self> {
        let bad = |message: String| Error::Input(format!("{name}: {message}"));
        let body: FileBody = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|e| bad(format!("expected decisions as the review page saves them: {e}")))?;
        if body.kind != "decisions" || body.schema != SCHEMA {
            let found = format!("type {:?}, schema {}", body.kind, body.schema);
            return Err(bad(format!("expected type \"decisions\", schema {SCHEMA}; found {found}")));
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut list: Vec<Decision> = Vec::new();
        for (i, d) in body.decisions.into_iter().enumerate() {
            let at = format!("decision {} ({})", i + 1, d.file);
            let verdict = match (d.decision.as_str(), d.to) {
                ("accept", _) => Verdict::Accept,
                ("reject", _) => Verdict::Reject,
                ("relabel", Some(to)) if !classes.contains(&to) => {
                    let known = classes.join(", ");
                    return Err(bad(format!("{at}: the data set has no class {to:?}; it has: {known}")));
                }
                ("relabel", Some(to)) if to == d.object.label => Verdict::Accept,
                ("relabel", Some(to)) => Verdict::Relabel(to),
                ("relabel", None) => return Err(bad(format!("{at}: \"relabel\" needs \"to\": a class"))),
                (other, _) => return Err(bad(format!("{at}: {other:?} is none of accept, reject, relabel"))),
            };
            let key = format!("{}\0{}\0{:?}", d.file, d.object.label, d.object.rect);
            let first = *seen.entry(key).or_insert(list.len());
            match list.get(first) {
                Some(earlier) if earlier.verdict == verdict => {}
                Some(_) => return Err(bad(format!("{at}: contradicts an earlier decision about the same object"))),
                None => list.push(Decision { file: d.file, label: d.object.label, rect: d.object.rect, verdict }),
            }
        }
        Ok(Decisions { dataset: body.dataset, list })
    }

    /// The decisions about each picture.
    pub fn by_file(&self) -> HashMap<&str, Vec<&Decision>> {
        let mut map: HashMap<&str, Vec<&Decision>> = HashMap::new();
        self.list.iter().for_each(|d| map.entry(&d.file).or_default().push(d));
        map
    }
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate<'a> {
    /// Nobody decided.
    Open,
    /// It stays, and a person says so.
    Confirmed,
    /// It gets this class, and a person says so.
    Becomes(&'a str),
    /// It goes.
    Gone,
}

/// Whether the decisions want an object of this class here in the end.
fn wanted(decisions: &[&Decision], label: &str, rect: &Rect) -> bool {
    decisions.iter().any(|d| d.label_after() == Some(label) && same_box(&d.rect, rect))
}

/// The fate of each of a picture's objects, given with their classes. Something that is to be there in the end stays,
/// whatever else was decided: two boxes on one place may swap their classes. Objects of one class whose boxes are the same
/// are one object.
fn fates<'a>(objects: &[(&str, Rect)], decisions: &[&'a Decision]) -> Vec<Fate<'a>> {
    let mut fates: Vec<Fate> = Vec::with_capacity(objects.len());
    for (label, rect) in objects {
        let nearest = decisions
            .iter()
            .filter(|d| d.is_about(label, rect))
            .min_by(|a, b| a.rect.side_distance(rect).total_cmp(&b.rect.side_distance(rect)));
        let taken = |to: &str| {
            let made = objects.iter().zip(&fates).any(|((_, r), f)| *f == Fate::Becomes(to) && same_box(r, rect));
            made || objects.iter().any(|(l, r)| *l == to && same_box(r, rect))
        };
        let fate = match nearest.map(|d| &d.verdict) {
            _ if wanted(decisions, label, rect) => Fate::Confirmed,
            None => Fate::Open,
            Some(Verdict::Relabel(to)) => free(to, rect, decisions, taken).map_or(Fate::Gone, Fate::Becomes),
            Some(_) => Fate::Gone,
        };
        fates.push(fate);
    }
    fates
}

/// The class that an object here takes that is to become `to`: where there is such an object already, which is to become
/// another, the class of that one, and so on. None if nothing is wanting here.
fn free<'a>(to: &'a str, rect: &Rect, decisions: &[&'a Decision], taken: impl Fn(&str) -> bool) -> Option<&'a str> {
    let mut to = to;
    // Each step follows another decision, or it goes round in a circle.
    for _ in 0..=decisions.len() {
        if !taken(to) {
            return Some(to);
        }
        to = decisions.iter().find_map(|d| match &d.verdict {
            Verdict::Relabel(next) if d.is_about(to, rect) => Some(next.as_str()),
            _ => None,
        })?;
    }
    None
}

/// How a decision fits the objects that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Its object is there, and the label file changes by it.
    Changes,
    /// The label file is as it says.
    Settled,
    /// Its object is not there: the labels were edited meanwhile.
    Missing,
}

/// Whether the objects are as the decision says.
fn holds(d: &Decision, objects: &[(&str, Rect)], decisions: &[&Decision]) -> bool {
    let there = |label: &str| objects.iter().any(|(l, r)| *l == label && same_box(r, &d.rect));
    let left = || objects.iter().any(|(l, r)| d.is_about(l, r) && !wanted(decisions, l, r));
    let decided = |r: &Rect| decisions.iter().any(|other| same_box(&other.rect, r));
    let moved = || objects.iter().any(|(l, r)| *l == d.label && r.iou(&d.rect) >= MOVED && !decided(r));
    match &d.verdict {
        Verdict::Accept => there(&d.label),
        Verdict::Relabel(to) => there(to) && !left(),
        Verdict::Reject => !left() && !moved(),
    }
}

/// Applies a picture's decisions to the text of its label file. `size` is the upright picture's width and height in pixels.
/// Lines that nothing was decided about stay as they are, byte by byte, and the coordinates of all others too. Also tells
/// how each decision fitted.
pub fn edit_labels(text: &str, size: (u32, u32), classes: &[String], decisions: &[&Decision]) -> (String, Vec<Fit>) {
    let known = yolo::parse(text, size, classes.len()).objects;
    let named: Vec<(&str, Rect)> =
        known.iter().map(|(_, o)| (classes.get(o.class).map_or("", String::as_str), o.outline.rect())).collect();
    let fates = fates(&named, decisions);
    let mut edited = String::with_capacity(text.len());
    let mut after: Vec<(&str, Rect)> = Vec::with_capacity(named.len());
    let mut next = 0;
    for (i, line) in text.split_inclusive('\n').enumerate() {
        // Lines are numbered from 1.
        if known.get(next).is_none_or(|(number, _)| *number != i + 1) {
            edited.push_str(line);
            continue;
        }
        let (fate, (name, rect)) = (fates[next], named[next]);
        next += 1;
        match fate {
            Fate::Gone => continue,
            Fate::Becomes(to) => {
                let start = line.len() - line.trim_start().len();
                let end = start + line[start..].find(char::is_whitespace).unwrap_or(line.len() - start);
                let class = classes.iter().position(|c| c == to).unwrap_or_default();
                edited.push_str(&format!("{}{class}{}", &line[..start], &line[end..]));
                after.push((to, rect));
            }
            Fate::Confirmed | Fate::Open => {
                edited.push_str(line);
                after.push((name, rect));
            }
        }
    }
    let fit = |d: &&Decision| match () {
        _ if holds(d, &named, decisions) => Fit::Settled,
        _ if holds(d, &after, decisions) => Fit::Changes,
        _ => Fit::Missing,
    };
    (edited, decisions.iter().map(fit).collect())
}

/// Applies decisions to a line of ocellus.jsonl: objects that were accepted or relabelled are a person's work from then on,
/// without score and doubt. None if nothing changes, and for a line that is no record of labels.
pub fn edit_record(line: &str, by_file: &HashMap<&str, Vec<&Decision>>) -> Option<String> {
    let mut all: Value = serde_json::from_str(line).ok()?;
    let decisions = by_file.get(all["file"].as_str()?)?;
    let known = record::parse(line).ok()?.objects;
    let named: Vec<(&str, Rect)> = known.iter().map(|(name, o)| (name.as_str(), o.outline.rect())).collect();
    let mut fates = fates(&named, decisions).into_iter();
    let before = all.clone();
    all["objects"].as_array_mut()?.retain_mut(|object| {
        let fate = fates.next().unwrap_or(Fate::Open);
        if let Fate::Becomes(to) = fate {
            object["label"] = to.into();
        }
        if let (Fate::Becomes(_) | Fate::Confirmed, Some(object)) = (fate, object.as_object_mut()) {
            object.remove("score");
            object.remove("doubt");
            object.insert("origin".into(), Origin::Hand.name().into());
        }
        fate != Fate::Gone
    });
    (all != before).then(|| all.to_string())
}

#[cfg(test)]
mod tests;
