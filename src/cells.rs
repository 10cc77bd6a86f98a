//! Cells of interest: the configuration, label files and geometry of YOLIC (Su et al., "YOLIC: An efficient method for object
//! localization and classification on edge devices", Image and Vision Computing 2024). A camera that stays where it is looks
//! at the same N places; each is a rectangle or a polygon, and any of M labels can be in it.

use crate::error::{Error, Result};
use crate::geometry::Rect;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;

/// Coordinates may lie outside of the picture by this share of its side: configurations hold rounded numbers. They are
/// moved to the border.
const HAIR: f64 = 0.005;

/// A configuration: what is looked for, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// The M labels, without the background.
    pub labels: Vec<String>,
    /// A short name for each label; the label itself where the configuration has none.
    pub abbreviations: Vec<String>,
    /// The N cells; the one at index i is number i + 1 in files and messages.
    pub areas: Vec<Area>,
}

/// A place in the picture, in shares of its width and height from the top-left corner: 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Area {
    /// An axis-parallel box.
    Rectangle {
        /// Left edge.
        x: f32,
        /// Upper edge.
        y: f32,
        /// Width, above 0.
        width: f32,
        /// Height, above 0.
        height: f32,
    },
    /// Three corners or more, in order around the area. Where the outline crosses itself, what lies in it is undefined.
    Polygon(Vec<(f32, f32)>),
}

impl Cells {
    /// Reads YOLIC's JSON from `text`, which messages call `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        read(text).map_err(|message| Error::Input(format!("{name}: {message}")))
    }

    /// The values that one picture has in label files and network outputs: N x (M + 1), the cells one after the other, the
    /// background last in each.
    pub fn values(&self) -> usize {
        self.areas.len() * self.width()
    }

    /// The values of one cell: M + 1.
    pub fn width(&self) -> usize {
        self.labels.len() + 1
    }

    /// The text of a configuration file, a cell a line.
    pub fn to_json(&self) -> String {
        let list = |texts: &[String]| {
            let quoted: Vec<String> = texts.iter().map(|t| Value::from(t.as_str()).to_string()).collect();
            format!("[{}]", quoted.join(", "))
        };
        let area = |(i, area): (usize, &Area)| {
            let (kind, numbers) = match area {
                Area::Rectangle { x, y, width, height } => ("rectangle", vec![*x, *y, *width, *height]),
                Area::Polygon(points) => ("polygon", points.iter().flat_map(|&(x, y)| [x, y]).collect()),
            };
            let numbers: Vec<String> = numbers.iter().map(f32::to_string).collect();
            format!("    \"{}\": [\"{kind}\", {}]", i + 1, numbers.join(", "))
        };
        let areas: Vec<String> = self.areas.iter().enumerate().map(area).collect();
        format!(
            "{{\n  \"Labels\": {{\n    \"LabelList\": {},\n    \"LabelAbbreviation\": {},\n    \"LabelNumber\": {}\n  }},\n  \
             \"COIs\": {{\n    \"COINumber\": {},\n{}\n  }}\n}}\n",
            list(&self.labels),
            list(&self.abbreviations),
            self.labels.len(),
            self.areas.len(),
            areas.join(",\n")
        )
    }

    /// Reads a label file from `text`, which messages call `name`: 0 or 1 for each of [`Cells::values`], with blanks, commas
    /// or line ends between them, in brackets or not. Whether they make sense is told by [`Cells::faults`].
    pub fn read_bits(&self, name: &str, text: &str) -> Result<Vec<bool>> {
        let bad = |message: String| Error::Input(format!("{name}: {message}"));
        let between = |c: char| c.is_whitespace() || [',', ';', '[', ']'].contains(&c);
        let words: Vec<&str> = text.split(between).filter(|w| !w.is_empty()).collect();
        let (cells, width) = (self.areas.len(), self.width());
        if words.len() != self.values() {
            let expected = format!("{} ({cells} cells x {} labels and background)", self.values(), self.labels.len());
            return Err(bad(format!("has {} values, expected {expected}", words.len())));
        }
        let bit = |(i, word): (usize, &&str)| match word.parse::<f64>() {
            Ok(0.0) => Ok(false),
            Ok(1.0) => Ok(true),
            _ => {
                let shown: String = word.chars().take(20).collect();
                Err(bad(format!("value {} (in cell {}) is {shown:?}, expected 0 or 1", i + 1, i / width + 1)))
            }
        };
        words.iter().enumerate().map(bit).collect()
    }

    /// What is wrong with the labels of a picture, as [`Cells::read_bits`] gives them; nothing for a good file.
    pub fn faults(&self, bits: &[bool]) -> Vec<Fault> {
        let fault = |(i, cell): (usize, &[bool])| match cell.split_last() {
            Some((true, labels)) if labels.contains(&true) => Some(Fault::BackgroundBeside { cell: i + 1 }),
            Some((false, labels)) if !labels.contains(&true) => Some(Fault::Nothing { cell: i + 1 }),
            _ => None,
        };
        bits.chunks(self.width()).enumerate().filter_map(fault).collect()
    }
}

/// A cell of a label file that says nothing or contradicts itself. Cells are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Neither a label nor the background is set.
    Nothing {
        /// Number of the cell.
        cell: usize,
    },
    /// The background is set beside a label.
    BackgroundBeside {
        /// Number of the cell.
        cell: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Nothing { cell } => write!(f, "cell {cell} has neither a label nor the background set"),
            Fault::BackgroundBeside { cell } => write!(f, "cell {cell} has the background set beside a label"),
        }
    }
}

impl Area {
    /// The corners in shares of the picture.
    pub fn corners(&self) -> Vec<(f32, f32)> {
        match self {
            Area::Rectangle { x, y, width, height } => Rect::from_xywh(*x, *y, *width, *height).corners().to_vec(),
            Area::Polygon(points) => points.clone(),
        }
    }

    /// The corners in pixels of a picture of `width` x `height`.
    pub fn pixels(&self, width: u32, height: u32) -> Vec<(f32, f32)> {
        self.corners().into_iter().map(|(x, y)| (x * width as f32, y * height as f32)).collect()
    }

    /// The smallest box around it, in shares of the picture.
    pub fn bounds(&self) -> Rect {
        Rect::around(self.corners())
    }

    /// The share of `square`, itself in shares of the picture, that the area covers: 0 to 1, exact (Sutherland and Hodgman's
    /// clipping, then the shoelace formula).
    pub fn covers(&self, square: Rect) -> f32 {
        let Rect { x1, y1, x2, y2 } = square;
        if square.area() <= 0.0 {
            return 0.0;
        }
        let mut points = self.corners();
        for inside in [[1.0, 0.0, -x1], [-1.0, 0.0, x2], [0.0, 1.0, -y1], [0.0, -1.0, y2]] {
            points = half(&points, inside);
        }
        (surface(&points) / square.area()).clamp(0.0, 1.0)
    }

    /// What it covers of each square of a grid of `columns` x `rows` over the picture, a row after the other: the weights that
    /// pool a feature map over the cell.
    pub fn grid(&self, columns: usize, rows: usize) -> Vec<f32> {
        let (w, h) = (1.0 / columns as f32, 1.0 / rows as f32);
        let square = |i: usize| Rect::from_xywh((i % columns) as f32 * w, (i / columns) as f32 * h, w, h);
        (0..columns * rows).map(|i| self.covers(square(i))).collect()
    }
}

/// The part of a polygon where `a x + b y + c >= 0`.
fn half(points: &[(f32, f32)], [a, b, c]: [f32; 3]) -> Vec<(f32, f32)> {
    let depth = |(x, y): (f32, f32)| a * x + b * y + c;
    let mut kept = Vec::with_capacity(points.len() + 2);
    for (&from, &to) in points.iter().zip(points.iter().cycle().skip(1)) {
        let (d, e) = (depth(from), depth(to));
        if d >= 0.0 {
            kept.push(from);
        }
        if (d >= 0.0) != (e >= 0.0) {
            let t = d / (d - e);
            kept.push((from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1)));
        }
    }
    kept
}

/// The surface that a polygon encloses.
fn surface(points: &[(f32, f32)]) -> f32 {
    // From the first corner, as differences of near points keep their digits.
    let Some(&(x0, y0)) = points.first() else { return 0.0 };
    let edges = points.iter().zip(points.iter().cycle().skip(1));
    let twice: f32 = edges.map(|(p, q)| (p.0 - x0) * (q.1 - y0) - (q.0 - x0) * (p.1 - y0)).sum();
    twice.abs() / 2.0
}

fn read(text: &str) -> Result<Cells, String> {
    let root: Value = serde_json::from_str(text).map_err(|e| format!("is no JSON: {e}"))?;
    let part = |name: &str| {
        root.get(name).and_then(Value::as_object).ok_or_else(|| {
            format!("has no object {name:?}; a configuration has \"Labels\" and \"COIs\" (see ocellus hazard --help)")
        })
    };
    let (labels, abbreviations) = labels(part("Labels")?)?;
    Ok(Cells { labels, abbreviations, areas: areas(part("COIs")?)? })
}

/// The labels and their abbreviations.
fn labels(part: &Map<String, Value>) -> Result<(Vec<String>, Vec<String>), String> {
    let labels = texts(part, "LabelList")?.ok_or("has no \"LabelList\" in \"Labels\"")?;
    let number = count(part, "LabelNumber")?;
    if labels.len() != number {
        return Err(format!("\"LabelNumber\" is {number}, but \"LabelList\" has {} labels", labels.len()));
    }
    let mut seen = HashSet::new();
    for label in &labels {
        if label.trim().is_empty() || label.contains(char::is_control) {
            return Err(format!("a label is {label:?}, expected a name in one line"));
        }
        if !seen.insert(label.to_lowercase()) {
            return Err(format!("label {label:?} is in \"LabelList\" twice"));
        }
    }
    let short = texts(part, "LabelAbbreviation")?.unwrap_or_else(|| labels.clone());
    if short.len() != number {
        return Err(format!("\"LabelAbbreviation\" has {} entries for {number} labels", short.len()));
    }
    if let Some(bad) = short.iter().find(|s| s.contains(char::is_control)) {
        return Err(format!("an abbreviation is {bad:?}, expected a name in one line"));
    }
    Ok((labels, short))
}

fn texts(part: &Map<String, Value>, key: &str) -> Result<Option<Vec<String>>, String> {
    let Some(value) = part.get(key) else { return Ok(None) };
    let list = value.as_array().ok_or_else(|| format!("{key:?} is no list"))?;
    let text = |v: &Value| v.as_str().map(String::from).ok_or_else(|| format!("{key:?} holds {v}, expected a text"));
    list.iter().map(text).collect::<Result<_, _>>().map(Some)
}

fn count(part: &Map<String, Value>, key: &str) -> Result<usize, String> {
    let value = part.get(key).ok_or_else(|| format!("has no {key:?}"))?;
    match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
        Some(n) if n > 0 => Ok(n),
        _ => Err(format!("{key:?} is {value}, expected a whole number of 1 or more")),
    }
}

/// The cells in the order of their numbers.
fn areas(part: &Map<String, Value>) -> Result<Vec<Area>, String> {
    let number = count(part, "COINumber")?;
    let known = |key: &str| key == "COINumber" || key.parse().is_ok_and(|n: usize| (1..=number).contains(&n));
    if let Some(key) = part.keys().find(|k| !known(k)) {
        return Err(format!(
            "\"COIs\" has {key:?}, but \"COINumber\" is {number}: the cells are \"1\" to \"{number}\""
        ));
    }
    // One by one: a number far beyond what is there ends at the first that is missing.
    let mut areas = Vec::new();
    for n in 1..=number {
        let value = part.get(&n.to_string());
        let value = value.ok_or_else(|| format!("has no cell {n}; \"COINumber\" is {number}"))?;
        areas.push(area(value).map_err(|why| format!("cell {n} {why}"))?);
    }
    Ok(areas)
}

fn area(value: &Value) -> Result<Area, String> {
    const FORMS: &str = "[\"rectangle\", x, y, width, height] or [\"polygon\", x1, y1, x2, y2, ...]";
    let list = value.as_array().ok_or_else(|| format!("is no list, expected {FORMS}"))?;
    let (shape, numbers) = list.split_first().ok_or_else(|| format!("is empty, expected {FORMS}"))?;
    let number = |v: &Value| match v.as_f64() {
        Some(n) if (-HAIR..=1.0 + HAIR).contains(&n) => Ok(n.clamp(0.0, 1.0) as f32),
        Some(n) => Err(format!("has the value {n}, expected 0 to 1: shares of the picture's width and height")),
        None => Err(format!("has {v} where a number belongs")),
    };
    let numbers: Vec<f32> = numbers.iter().map(number).collect::<Result<_, _>>()?;
    let area = match (shape.as_str(), &numbers[..]) {
        (Some("rectangle"), &[x, y, width, height]) => {
            if f64::from(x + width) > 1.0 + HAIR || f64::from(y + height) > 1.0 + HAIR {
                return Err(format!(
                    "ends at ({}, {}), outside of the picture, which ends at (1, 1)",
                    x + width,
                    y + height
                ));
            }
            Area::Rectangle { x, y, width: width.min(1.0 - x), height: height.min(1.0 - y) }
        }
        (Some("rectangle"), other) => {
            return Err(format!("is a rectangle of {} values, expected x, y, width, height", other.len()));
        }
        (Some("polygon"), other) if other.len() % 2 == 1 => {
            return Err(format!(
                "is a polygon with an odd number of values ({}), expected x and y of each corner",
                other.len()
            ));
        }
        (Some("polygon"), other) if other.len() < 6 => {
            return Err(format!("is a polygon of {} corners, expected three or more", other.len() / 2));
        }
        (Some("polygon"), other) => Area::Polygon(other.chunks_exact(2).map(|p| (p[0], p[1])).collect()),
        _ => return Err(format!("has the shape {shape}, expected {FORMS}")),
    };
    // A tenth of a pixel of a megapixel.
    match surface(&area.corners()) > 1e-7 {
        true => Ok(area),
        false => Err("encloses no area".into()),
    }
}

#[cfg(test)]
mod tests;
