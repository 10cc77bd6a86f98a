//! What is wrong with a data set.

use super::{DataSet, Object, Outline, Picture, class_name};
use std::collections::BTreeSet;

/// IoU of the boxes of two objects above which they are one.
const SAME: f32 = 0.9;
/// Pixels by which an object may reach beyond the picture: rounding.
const BEYOND: f32 = 0.5;
/// Fewer objects than this are too few to learn a class from.
const FEW: usize = 10;
/// A class that is so many times rarer than the commonest is hardly learned.
const RARER: usize = 20;
/// Trainers refuse pictures with a side below this many pixels.
const SMALLEST: u32 = 10;

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A picture cannot be read.
    UnreadablePicture,
    /// A picture has no label file.
    MissingLabels,
    /// A label file has no picture.
    MissingPicture,
    /// A label file, or a line of one, cannot be used.
    MalformedLine,
    /// A class that the data set does not have.
    UnknownClass,
    /// Boxes and polygons together.
    Mixed,
    /// An object reaches beyond the picture.
    Outside,
    /// An object without width or height.
    NoArea,
    /// Two labels of one class on one object.
    Duplicate,
    /// Labels of different classes on one object.
    Conflict,
    /// A picture has a like in another part of the data set.
    Leakage,
    /// A picture is there twice.
    SamePicture,
    /// A line of `ocellus.jsonl` cannot be used.
    BadRecord,
    /// A very small object.
    Tiny,
    /// A class with few objects.
    FewObjects,
    /// A class without objects.
    UnusedClass,
    /// A picture that trainers do not take.
    UnusedPicture,
}

impl Kind {
    /// As it stands in records.
    pub fn name(self) -> &'static str {
        match self {
            Kind::UnreadablePicture => "unreadable_picture",
            Kind::MissingLabels => "missing_labels",
            Kind::MissingPicture => "missing_picture",
            Kind::MalformedLine => "malformed_line",
            Kind::UnknownClass => "unknown_class",
            Kind::Mixed => "mixed",
            Kind::Outside => "outside",
            Kind::NoArea => "no_area",
            Kind::Duplicate => "duplicate",
            Kind::Conflict => "conflict",
            Kind::Leakage => "leakage",
            Kind::SamePicture => "same_picture",
            Kind::BadRecord => "bad_record",
            Kind::Tiny => "tiny",
            Kind::FewObjects => "few_objects",
            Kind::UnusedClass => "unused_class",
            Kind::UnusedPicture => "unused_picture",
        }
    }

    /// Whether a data set may be right in spite of it.
    pub fn is_warning(self) -> bool {
        matches!(self, Kind::Tiny | Kind::FewObjects | Kind::UnusedClass | Kind::UnusedPicture)
    }
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What it is.
    pub kind: Kind,
    /// The file at fault.
    pub file: String,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// What was expected and found.
    pub message: String,
}

impl Problem {
    /// A problem with a file.
    pub fn new(kind: Kind, file: impl Into<String>, line: Option<usize>, message: impl Into<String>) -> Self {
        Problem { kind, file: file.into(), line, message: message.into() }
    }

    /// `file:line`
    pub fn place(&self) -> String {
        self.line.map_or_else(|| self.file.clone(), |line| format!("{}:{line}", self.file))
    }
}

/// What is wrong with the objects of a picture. `lines` are their lines in the label file `file`; sides below `min_side`
/// pixels are tiny.
pub fn objects(picture: &Picture, lines: &[usize], file: &str, classes: &[String], min_side: f32) -> Vec<Problem> {
    let mut problems = Vec::new();
    let line = |i: usize| lines.get(i).copied();
    let mut add = |kind, i, message: String| problems.push(Problem::new(kind, file, line(i), message));
    let (w, h) = (picture.size.0 as f32, picture.size.1 as f32);
    let is_box = |o: &Object| matches!(o.outline, Outline::Box(_));
    let boxes = picture.objects.iter().filter(|o| is_box(o)).count();
    if boxes > 0 && boxes < picture.objects.len() {
        let first = is_box(&picture.objects[0]);
        let other = picture.objects.iter().position(|o| is_box(o) != first).unwrap_or(0);
        add(Kind::Mixed, other, "boxes and polygons in one file: trainers refuse it; make all objects polygons".into());
    }
    for (i, object) in picture.objects.iter().enumerate() {
        let r = object.outline.rect();
        let side = r.width().min(r.height());
        let name = class_name(classes, object.class);
        if r.x1 < -BEYOND || r.y1 < -BEYOND || r.x2 > w + BEYOND || r.y2 > h + BEYOND {
            let [x1, y1, x2, y2] = <[f32; 4]>::from(r).map(|v| v.round());
            let of = format!("the picture of {w} x {h} pixels");
            add(Kind::Outside, i, format!("{name}: box {x1},{y1} to {x2},{y2} reaches beyond {of}"));
        }
        if side <= 0.0 {
            add(Kind::NoArea, i, format!("{name}: has no width or no height"));
        } else if side < min_side {
            add(Kind::Tiny, i, format!("{name}: is {:.1} x {:.1} pixels", r.width(), r.height()));
        }
    }
    for (i, j) in overlapping(&picture.objects) {
        let (a, b) = (&picture.objects[i], &picture.objects[j]);
        let on = line(i).map_or_else(|| "another object".to_string(), |l| format!("line {l}"));
        match a.class == b.class {
            true => add(Kind::Duplicate, j, format!("{}: the same object as {on}", class_name(classes, b.class))),
            false => {
                let (was, is) = (class_name(classes, a.class), class_name(classes, b.class));
                add(Kind::Conflict, j, format!("{is}: lies on {was} of {on}"));
            }
        }
    }
    problems
}

/// Pairs of objects whose boxes are the same, the first before the second. Polygons go by the boxes around them.
fn overlapping(objects: &[Object]) -> Vec<(usize, usize)> {
    let boxes: Vec<_> = objects.iter().map(|o| o.outline.rect()).collect();
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&a, &b| boxes[a].x1.total_cmp(&boxes[b].x1));
    let mut pairs = Vec::new();
    for (at, &i) in order.iter().enumerate() {
        // Boxes that begin behind the end of this one do not meet it.
        for &j in order[at + 1..].iter().take_while(|&&j| boxes[j].x1 < boxes[i].x2) {
            if boxes[i].iou(&boxes[j]) > SAME {
                pairs.push((i.min(j), i.max(j)));
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

/// What there is of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// Objects.
    pub objects: usize,
    /// Pictures with at least one.
    pub pictures: usize,
    /// Median of the square root of the area of the boxes, in pixels; 0 without objects.
    pub side: f32,
    /// Share of all objects, 0 to 1.
    pub share: f32,
}

/// Counts the objects of each class, in the order of the classes.
pub fn count(set: &DataSet) -> Vec<ClassCount> {
    let mut sides: Vec<Vec<f32>> = vec![Vec::new(); set.classes.len()];
    let mut pictures = vec![0; set.classes.len()];
    for picture in &set.pictures {
        let known = || picture.objects.iter().filter(|o| o.class < set.classes.len());
        known().map(|o| o.class).collect::<BTreeSet<_>>().into_iter().for_each(|c| pictures[c] += 1);
        known().for_each(|o| sides[o.class].push(o.outline.rect().area().sqrt()));
    }
    let all = sides.iter().map(Vec::len).sum::<usize>().max(1);
    let count = |(i, mut sides): (usize, Vec<f32>)| {
        sides.sort_by(f32::total_cmp);
        ClassCount {
            name: set.classes[i].clone(),
            objects: sides.len(),
            pictures: pictures[i],
            side: sides.get(sides.len() / 2).copied().unwrap_or(0.0),
            share: sides.len() as f32 / all as f32,
        }
    };
    sides.into_iter().enumerate().map(count).collect()
}

/// What is wrong with the data set as a whole; `file` describes its classes.
pub fn whole(set: &DataSet, counts: &[ClassCount], file: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |kind, message: String| problems.push(Problem::new(kind, file, None, message));
    let boxes = |p: &Picture| p.objects.iter().any(|o| matches!(o.outline, Outline::Box(_)));
    let polygons = |p: &Picture| p.objects.iter().any(|o| matches!(o.outline, Outline::Polygon(_)));
    let (with_boxes, with_polygons) =
        (set.pictures.iter().filter(|p| boxes(p)).count(), set.pictures.iter().filter(|p| polygons(p)).count());
    if with_boxes > 0 && with_polygons > 0 {
        let found = format!("{with_boxes} pictures have boxes, {with_polygons} have polygons");
        add(Kind::Mixed, format!("{found}: trainers take either; make all objects polygons, or all boxes"));
    }
    let most = counts.iter().map(|c| c.objects).max().unwrap_or(0);
    for class in counts {
        let (name, n) = (&class.name, class.objects);
        if n == 0 {
            add(Kind::UnusedClass, format!("{name}: no object has this class"));
        } else if n < FEW {
            add(Kind::FewObjects, format!("{name}: {n} objects, fewer than {FEW}"));
        } else if n * RARER < most {
            add(Kind::FewObjects, format!("{name}: {n} objects, the commonest class has {most}"));
        }
    }
    problems
}

/// Why trainers do not take a picture; None if they do.
pub fn unfit(file: &str, size: (u32, u32)) -> Option<String> {
    let ending = file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default();
    if !["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp"].contains(&ending.as_str()) {
        return Some(format!("trainers do not read .{ending} files"));
    }
    let (w, h) = size;
    (w.min(h) < SMALLEST).then(|| format!("{w} x {h} pixels: trainers refuse sides below {SMALLEST}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;

    fn boxed(class: usize, x: f32, y: f32, w: f32, h: f32) -> Object {
        Object::new(class, Outline::Box(Rect::from_xywh(x, y, w, h)))
    }

    fn picture(objects: Vec<Object>) -> Picture {
        Picture { file: "a.png".into(), size: (100, 80), split: None, objects }
    }

    fn names() -> Vec<String> {
        ["a", "b"].map(String::from).to_vec()
    }

    #[test]
    fn objects_are_looked_at() {
        let picture = picture(vec![
            boxed(0, 10.0, 10.0, 30.0, 30.0),
            boxed(0, 10.5, 10.0, 30.0, 30.0),
            boxed(1, 10.0, 10.5, 30.0, 30.0),
            boxed(1, 60.0, 10.0, 41.0, 30.0),
            boxed(1, 20.0, 60.0, 3.0, 10.0),
            boxed(1, 30.0, 60.0, 0.0, 10.0),
            boxed(1, 12.0, 12.0, 20.0, 20.0),
            boxed(1, 60.0, 50.0, 40.3, 30.3),
        ]);
        let lines = [1, 2, 4, 5, 6, 7, 8, 9];
        let found: Vec<(Kind, Option<usize>)> =
            objects(&picture, &lines, "a.txt", &names(), 4.0).into_iter().map(|p| (p.kind, p.line)).collect();
        let expected = [
            (Kind::Outside, Some(5)),
            (Kind::Tiny, Some(6)),
            (Kind::NoArea, Some(7)),
            (Kind::Duplicate, Some(2)),
            (Kind::Conflict, Some(4)),
            (Kind::Conflict, Some(4)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn boxes_and_polygons_do_not_mix() {
        let polygon = Object::new(0, Outline::Polygon(vec![(1.0, 1.0), (50.0, 1.0), (1.0, 50.0)]));
        let both = picture(vec![polygon.clone(), boxed(0, 60.0, 10.0, 30.0, 30.0)]);
        let found = objects(&both, &[1, 2], "a.txt", &names(), 4.0);
        assert_eq!((found.len(), found[0].kind, found[0].line), (1, Kind::Mixed, Some(2)));
        let apart = vec![picture(vec![polygon]), picture(vec![boxed(0, 60.0, 10.0, 30.0, 30.0)])];
        let set = DataSet { classes: names(), pictures: apart };
        let found = whole(&set, &count(&set), "data.yaml");
        assert_eq!(
            found.iter().map(|p| p.kind).collect::<Vec<_>>(),
            [Kind::Mixed, Kind::FewObjects, Kind::UnusedClass]
        );
    }

    #[test]
    fn classes_are_counted() {
        let many: Vec<Object> = (0..250).map(|i| boxed(0, i as f32 / 10.0, 0.0, 4.0, 16.0)).collect();
        let few: Vec<Object> = (0..12).map(|i| boxed(1, i as f32 * 5.0, 50.0, 5.0, 5.0)).collect();
        let set = DataSet { classes: names(), pictures: vec![picture(many), picture(few)] };
        let counts = count(&set);
        assert_eq!((counts[0].objects, counts[0].pictures, counts[0].side), (250, 1, 8.0));
        assert!((counts[1].share - 12.0 / 262.0).abs() < 1e-6);
        let found = whole(&set, &counts, "data.yaml");
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("12 objects, the commonest class has 250"), "{found:?}");
    }

    #[test]
    fn pictures_that_trainers_refuse() {
        assert_eq!(unfit("a/b.PNG", (10, 10)), None);
        assert!(unfit("a.ppm", (100, 100)).is_some_and(|m| m.contains(".ppm")));
        assert!(unfit("a.png", (9, 100)).is_some_and(|m| m.contains("9 x 100")));
    }
}
