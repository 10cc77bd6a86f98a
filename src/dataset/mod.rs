//! Labelled pictures: classes, objects, and the files that annotation tools keep them in. Texts in, values out and back;
//! nothing here opens a file.

pub mod anylabeling;
pub mod check;
pub mod coco;
pub mod decisions;
pub mod fuse;
pub mod label_studio;
pub mod record;
pub mod split;
pub mod voc;
pub mod xml;
pub mod yaml;
pub mod yolo;

use crate::geometry::Rect;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Boxes whose sides differ by no more pixels are those of one object: rounding, or a touch of a mouse.
const SAME_BOX: f32 = 1.5;

/// Labelled pictures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataSet {
    /// Names of the classes; an object's class is a place in this list.
    pub classes: Vec<String>,
    /// The pictures, in the order of their file names.
    pub pictures: Vec<Picture>,
}

impl DataSet {
    /// Whether an object has more than a box: then it is a data set for segmentation.
    pub fn has_polygons(&self) -> bool {
        self.pictures.iter().flat_map(|p| &p.objects).any(|o| matches!(o.outline, Outline::Polygon(_)))
    }
}

/// A picture and what is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its file below the data set's folder of pictures, with `/` between folders.
    pub file: String,
    /// Width and height in pixels after EXIF orientation.
    pub size: (u32, u32),
    /// The part of the data set that it belongs to.
    pub split: Option<Split>,
    /// What was labelled in it.
    pub objects: Vec<Object>,
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose by while learning.
    Val,
    /// To measure with at the end.
    Test,
}

impl Split {
    /// All, in the order in which they are written.
    pub const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }

    /// The part that a folder or key of this name holds, as tools call them.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" | "train2017" => Some(Split::Train),
            "val" | "valid" | "validation" | "val2017" => Some(Split::Val),
            "test" | "testing" | "test2017" => Some(Split::Test),
            _ => None,
        }
    }
}

/// One labelled object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Place of its class in [`DataSet::classes`].
    pub class: usize,
    /// Where it is.
    pub outline: Outline,
    /// How likely it is right, 0 to 1; none for labels that a person made.
    pub score: Option<f32>,
    /// Who says so.
    pub origin: Origin,
    /// Why a person should look at it: labellers disagreed. Empty if nothing speaks against it.
    pub doubt: String,
}

impl Object {
    /// An object that nothing else is known of.
    pub fn new(class: usize, outline: Outline) -> Self {
        Object { class, outline, score: None, origin: Origin::Hand, doubt: String::new() }
    }
}

/// Where an object is, in pixels of the upright picture (after EXIF orientation), corners at whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Outline {
    /// An upright box.
    Box(Rect),
    /// The corners of a polygon, the first not repeated at the end; at least three.
    Polygon(Vec<(f32, f32)>),
}

impl Outline {
    /// The smallest upright box around it.
    pub fn rect(&self) -> Rect {
        match self {
            Outline::Box(rect) => *rect,
            Outline::Polygon(points) => {
                let mut r = Rect { x1: f32::MAX, y1: f32::MAX, x2: f32::MIN, y2: f32::MIN };
                for &(x, y) in points {
                    r = Rect { x1: r.x1.min(x), y1: r.y1.min(y), x2: r.x2.max(x), y2: r.y2.max(y) };
                }
                r
            }
        }
    }
}

/// Who made a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// A person, or nobody knows.
    #[default]
    Hand,
    /// Template matching.
    Templates,
    /// A labelling server.
    Remote,
    /// Template matching and a labelling server found it.
    Both,
}

impl Origin {
    /// As it stands in files.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Hand => "hand",
            Origin::Templates => "templates",
            Origin::Remote => "remote",
            Origin::Both => "both",
        }
    }
    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Origin::Hand, Origin::Templates, Origin::Remote, Origin::Both].into_iter().find(|o| o.name() == name)
    }
}

/// Names of classes, numbered in the order in which they come up.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Classes {
    /// Of `names`; of equal ones the first counts.
    pub fn new(names: Vec<String>) -> Self {
        let mut places = HashMap::new();
        for (i, name) in names.iter().enumerate() {
            places.entry(name.clone()).or_insert(i);
        }
        Classes { names, places }
    }

    /// The number of `name`, a new one if need be.
    pub fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.names.push(name.to_string());
        self.places.insert(name.to_string(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// The number of `name`, if it is known.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The names in their order.
    pub fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// What a format could not hold: each kind and how often it came up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loss(pub BTreeMap<String, usize>);

impl Loss {
    /// Counts `what` once more.
    pub fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: Loss) {
        other.0.into_iter().for_each(|(what, count)| *self.0.entry(what).or_default() += count);
    }
}

/// What the file of an annotation tool says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// The pictures; `file` is as the tool names it, the size is (0, 0) where the tool does not say.
    pub pictures: Vec<Picture>,
    /// What a data set of ours cannot hold.
    pub loss: Loss,
    /// Entries that are wrong and were left out.
    pub faults: Vec<String>,
}

/// The name of a class; `class N` for a number without one.
pub fn class_name(classes: &[String], class: usize) -> String {
    classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

/// A polygon of `points`, or nothing if they are fewer than three. A last point that repeats the first is dropped.
pub fn polygon(mut points: Vec<(f32, f32)>) -> Option<Outline> {
    if points.len() > 3 && points.first() == points.last() {
        points.pop();
    }
    (points.len() >= 3 && points.iter().all(|(x, y)| x.is_finite() && y.is_finite()))
        .then_some(Outline::Polygon(points))
}

/// A box between two corners in any order; nothing if a side is no number.
fn between(a: (f32, f32), b: (f32, f32)) -> Option<Outline> {
    let rect = Rect::around([a, b]);
    <[f32; 4]>::from(rect).iter().all(|v| v.is_finite()).then_some(Outline::Box(rect))
}

/// Pixels as they stand in JSON: a millionth is kept, the noise of binary fractions is not.
fn decimal(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

/// A number of a tool's JSON; some tools write numbers as texts.
fn number(value: &Value) -> Option<f64> {
    let text = || value.as_str().and_then(|t| t.trim().parse().ok());
    value.as_f64().or_else(text).filter(|v: &f64| v.is_finite())
}

/// Width and height of a tool's JSON; (0, 0) if it does not say.
fn size_of(width: &Value, height: &Value) -> (u32, u32) {
    let side = |v: &Value| number(v).filter(|v| (1.0..1e9).contains(v)).map(|v| v as u32);
    side(width).zip(side(height)).unwrap_or_default()
}

/// A score of a tool's JSON.
fn score(value: &Value) -> Option<f32> {
    number(value).filter(|v| (0.0..=1.0).contains(v)).map(|v| v as f32)
}

/// A score as it is written: four places.
fn short(score: f32) -> f64 {
    (f64::from(score) * 1e4).round() / 1e4
}

/// A value as JSON text.
fn to_json(value: &Value, pretty: bool) -> crate::error::Result<String> {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map(|t| t + "\n").map_err(|e| crate::error::Error::Internal(format!("writing JSON: {e}")))
}
