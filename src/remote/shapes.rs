//! The shapes of an answer become objects.

use super::wire::{Ask, Wanted};
use crate::dataset::{Object, Origin, Outline};
use crate::geometry::Rect;
use serde_json::Value;
use std::collections::BTreeMap;

/// An object must be so wide and so high, in pixels, after it is cut to the picture.
const LEAST_SIDE: f32 = 1.0;

/// What the server found in a picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The objects, in the server's order.
    pub objects: Vec<Object>,
    /// What could not become an object.
    pub left_out: LeftOut,
}

/// Shapes of answers that could not become objects, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// By their labels: those that no prompt asked for.
    pub unknown: BTreeMap<String, usize>,
    /// By their type: lines, points and what else encloses nothing.
    pub kinds: BTreeMap<String, usize>,
    /// Without usable coordinates: none, not numbers, far outside of the picture, less than a pixel.
    pub unusable: usize,
}

impl LeftOut {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        *self == LeftOut::default()
    }

    /// Counts those of another answer too.
    pub fn add(&mut self, other: &LeftOut) {
        other.unknown.iter().for_each(|(label, n)| *self.unknown.entry(label.clone()).or_default() += n);
        other.kinds.iter().for_each(|(kind, n)| *self.kinds.entry(kind.clone()).or_default() += n);
        self.unusable += other.unusable;
    }
}

impl std::fmt::Display for LeftOut {
    /// One line, such as `2 shapes labelled "pump", 1 shape of type "line"`; nothing if nothing was left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shapes = |n: usize| if n == 1 { "1 shape".to_string() } else { format!("{n} shapes") };
        let unknown = self.unknown.iter().map(|(label, &n)| format!("{} labelled {label:?}", shapes(n)));
        let kinds = self.kinds.iter().map(|(kind, &n)| format!("{} of type {kind:?}", shapes(n)));
        let mut parts: Vec<String> = unknown.chain(kinds).collect();
        if self.unusable > 0 {
            parts.push(format!("{} without usable coordinates", shapes(self.unusable)));
        }
        f.write_str(&parts.join(", "))
    }
}

/// The objects of `shapes`, the list of an answer, in a picture of `size` (width, height; upright, without examples beside
/// it).
pub fn objects(shapes: &[Value], ask: &Ask, wanted: &Wanted, size: (u32, u32)) -> Found {
    let mut found = Found::default();
    let left_out = &mut found.left_out;
    let whole = ask.sent_size(size);
    for shape in shapes {
        let label = text(shape, "label");
        let Some(class) = ask.class(&label) else {
            *left_out.unknown.entry(label).or_default() += 1;
            continue;
        };
        let outline = match outline(shape, whole) {
            Ok(outline) => outline,
            Err(Unfit::Kind(kind)) => {
                *left_out.kinds.entry(kind).or_default() += 1;
                continue;
            }
            Err(Unfit::Coordinates) => {
                left_out.unusable += 1;
                continue;
            }
        };
        let score = shape.get("score").and_then(Value::as_f64).map(|s| s.clamp(0.0, 1.0) as f32);
        if score.is_some_and(|s| s < wanted.conf) || beside(&outline.rect(), size, whole) {
            continue;
        }
        match clipped(outline, size) {
            Some(outline) => {
                found.objects.push(Object { class, outline, score, origin: Origin::Remote, doubt: String::new() });
            }
            None => left_out.unusable += 1,
        }
    }
    found.objects = join_twins(found.objects, wanted.outlines);
    if !wanted.outlines {
        found.objects.iter_mut().for_each(|o| o.outline = Outline::Box(o.outline.rect()));
    }
    found
}

/// The text of a field, cut to what fits in a message; empty if there is none.
fn text(shape: &Value, field: &str) -> String {
    let text = shape.get(field).and_then(Value::as_str).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Why a shape is no object.
enum Unfit {
    Kind(String),
    Coordinates,
}

/// The outline of a shape in a picture of `whole` pixels, not yet cut to it.
fn outline(shape: &Value, whole: (u32, u32)) -> Result<Outline, Unfit> {
    let kind = text(shape, "shape_type");
    let points = || points(shape, whole).ok_or(Unfit::Coordinates);
    match kind.as_str() {
        // Four corners, or two opposite ones.
        "rectangle" => Ok(Outline::Box(Rect::around(points()?))),
        "polygon" | "rotation" | "quadrilateral" => Ok(polygon(points()?)),
        // A centre and a point of the circumference.
        "circle" => match points()?[..] {
            [(x, y), (px, py)] => {
                let radius = (px - x).hypot(py - y);
                Ok(Outline::Box(Rect::from_xywh(x - radius, y - radius, 2.0 * radius, 2.0 * radius)))
            }
            _ => Err(Unfit::Coordinates),
        },
        _ => Err(Unfit::Kind(kind)),
    }
}

/// The points of a shape; none if there are less than two, or one is no point or is off the picture by more than its size.
fn points(shape: &Value, (width, height): (u32, u32)) -> Option<Vec<(f32, f32)>> {
    let near = |v: f64, side: u32| (-(side as f64)..=2.0 * side as f64).contains(&v);
    let point = |point: &Value| match point.as_array()?.as_slice() {
        [x, y, ..] => {
            let (x, y) = (x.as_f64()?, y.as_f64()?);
            (near(x, width) && near(y, height)).then_some((x as f32, y as f32))
        }
        _ => None,
    };
    let points: Option<Vec<_>> = shape.get("points")?.as_array()?.iter().map(point).collect();
    points.filter(|p| p.len() >= 2)
}

/// A polygon without repeated points; a box if less than three are left or they enclose nothing.
fn polygon(mut points: Vec<(f32, f32)>) -> Outline {
    points.dedup();
    while points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    if area(&points) > 0.0 { Outline::Polygon(points) } else { Outline::Box(Rect::around(points)) }
}

/// The area that a polygon encloses, in square pixels; 0 for less than three points.
fn area(points: &[(f32, f32)]) -> f64 {
    let next = points.iter().cycle().skip(1);
    let cross = |(a, b): (&(f32, f32), &(f32, f32))| a.0 as f64 * b.1 as f64 - b.0 as f64 * a.1 as f64;
    (points.iter().zip(next).map(cross).sum::<f64>() / 2.0).abs()
}

/// Whether the middle of a box lies in the strip beside the picture, among the examples.
fn beside(rect: &Rect, size: (u32, u32), whole: (u32, u32)) -> bool {
    let (x, y) = ((rect.x1 + rect.x2) / 2.0, (rect.y1 + rect.y2) / 2.0);
    size != whole && (x >= size.0 as f32 || y >= size.1 as f32)
}

/// The outline cut to the picture; none if less than a pixel is left.
fn clipped(outline: Outline, (width, height): (u32, u32)) -> Option<Outline> {
    let outline = match outline {
        Outline::Box(rect) => Outline::Box(rect.clip(width, height)),
        Outline::Polygon(points) => {
            let clamp = |(x, y): (f32, f32)| (x.clamp(0.0, width as f32), y.clamp(0.0, height as f32));
            polygon(points.into_iter().map(clamp).collect())
        }
    };
    let rect = outline.rect();
    (rect.width() >= LEAST_SIDE && rect.height() >= LEAST_SIDE).then_some(outline)
}

/// Objects that came twice, as polygon and as box, become one: the polygon if `outlines`, else the box. Equal scores tell
/// that they are one; then the box may be larger, because of a mask of several pieces only the largest is sent.
fn join_twins(objects: Vec<Object>, outlines: bool) -> Vec<Object> {
    let is_box = |o: &Object| matches!(o.outline, Outline::Box(_));
    // Each box belongs to one polygon.
    let (mut taken, mut gone) = (vec![false; objects.len()], vec![false; objects.len()]);
    for (at, object) in objects.iter().enumerate().filter(|(_, o)| !is_box(o)) {
        let rect = object.outline.rect();
        let least = if object.score.is_some() { 0.5 } else { 0.9 };
        let twin = (0..objects.len())
            .filter(|&i| !taken[i] && is_box(&objects[i]))
            .filter(|&i| objects[i].class == object.class && objects[i].score == object.score)
            .map(|i| (objects[i].outline.rect().iou(&rect), i))
            .filter(|&(iou, _)| iou >= least)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, twin)) = twin {
            taken[twin] = true;
            gone[if outlines { twin } else { at }] = true;
        }
    }
    objects.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(o, _)| o).collect()
}

#[cfg(test)]
mod tests {
    use super::super::prompts::Prompts;
    use super::*;
    use serde_json::json;

    fn shape(label: &str, kind: &str, score: Value, points: Value) -> Value {
        json!({"label": label, "shape_type": kind, "points": points, "score": score, "attributes": {},
            "description": null, "difficult": false, "direction": 0.0, "flags": null, "group_id": null,
            "kie_linking": [], "cache_label": "new in some later version"})
    }

    fn found(shapes: &[Value], outlines: bool) -> Found {
        let prompts = Prompts::new([(0, "valve"), (1, "pump")]).unwrap();
        let wanted = Wanted { model: "m".into(), conf: 0.3, outlines };
        objects(shapes, &Ask::Text(&prompts), &wanted, (100, 80))
    }

    fn only(shape: Value, outlines: bool) -> Option<Outline> {
        let mut objects = found(&[shape], outlines).objects;
        assert!(objects.len() < 2);
        objects.pop().map(|o| o.outline)
    }

    #[test]
    fn boxes_have_four_corners_in_any_order_and_are_cut_to_the_picture() {
        for points in [
            json!([[10.5, 20.0], [30.0, 20.0], [30.0, 40.25], [10.5, 40.25]]),
            json!([[30, 40.25], [10.5, 40.25], [10.5, 20], [30, 20]]),
            json!([[10.5, 20.0], [30.0, 40.25]]),
        ] {
            let rect = Rect { x1: 10.5, y1: 20.0, x2: 30.0, y2: 40.25 };
            assert_eq!(only(shape("valve", "rectangle", json!(0.9), points), false), Some(Outline::Box(rect)));
        }
        let outside = json!([[-5.5, -1], [110, -1], [110, 50], [-5.5, 50]]);
        let rect = Rect { x1: 0.0, y1: 0.0, x2: 100.0, y2: 50.0 };
        assert_eq!(only(shape("valve", "rectangle", json!(0.9), outside), false), Some(Outline::Box(rect)));
    }

    #[test]
    fn polygons_are_opened() {
        let closed = json!([[10, 10], [10, 10], [40, 10], [40, 30], [10, 30], [10, 10]]);
        let open = vec![(10.0, 10.0), (40.0, 10.0), (40.0, 30.0), (10.0, 30.0)];
        assert_eq!(
            only(shape("valve", "polygon", json!(0.9), closed.clone()), true),
            Some(Outline::Polygon(open.clone()))
        );
        let rect = Rect { x1: 10.0, y1: 10.0, x2: 40.0, y2: 30.0 };
        assert_eq!(only(shape("valve", "polygon", json!(0.9), closed.clone()), false), Some(Outline::Box(rect)));
        assert_eq!(only(shape("valve", "rotation", json!(0.9), closed), true), Some(Outline::Polygon(open)));
        // Nothing enclosed: the box around it, if it has an area.
        let line = json!([[10, 10], [40, 30], [10, 10]]);
        assert_eq!(only(shape("valve", "polygon", json!(0.9), line), true), Some(Outline::Box(rect)));
        // Cut to the picture, without repeating the corner where two points fall together.
        let over = json!([[90, 70], [120, 70], [130, 90], [120, 100], [90, 90]]);
        let cut = vec![(90.0, 70.0), (100.0, 70.0), (100.0, 80.0), (90.0, 80.0)];
        assert_eq!(only(shape("valve", "polygon", json!(0.9), over), true), Some(Outline::Polygon(cut)));
    }

    #[test]
    fn scores_may_be_missing() {
        let points = json!([[10, 10], [20, 20]]);
        for (sent, expected) in
            [(json!(0.75), Some(0.75)), (json!(null), None), (json!("high"), None), (json!(7), Some(1.0))]
        {
            let found = found(&[shape("valve", "rectangle", sent, points.clone())], false);
            assert_eq!(found.objects[0].score, expected);
            assert_eq!(found.objects[0].origin, Origin::Remote);
        }
        // The model took no notice of the least score.
        assert_eq!(found(&[shape("valve", "rectangle", json!(0.29), points)], false), Found::default());
    }

    #[test]
    fn what_is_no_object_is_counted() {
        let good = json!([[10, 10], [20, 20]]);
        let shapes = [
            shape("Valve ", "rectangle", json!(0.9), good.clone()),
            shape("bolt", "rectangle", json!(0.9), good.clone()),
            shape("bolt", "rectangle", json!(0.8), good.clone()),
            shape("AUTOLABEL_OBJECT", "rectangle", json!(0.9), good.clone()),
            shape("pump", "line", json!(0.9), good.clone()),
            shape("pump", "rectangle", json!(0.9), json!([[10, 10], [null, 20]])),
            shape("pump", "rectangle", json!(0.9), json!([[10, 10], [1e30, 20]])),
            shape("pump", "rectangle", json!(0.9), json!([[10, 10]])),
            shape("pump", "rectangle", json!(0.9), json!(null)),
            shape("pump", "rectangle", json!(0.9), json!([[10, 10], [10.5, 70]])),
            shape("pump", "polygon", json!(0.9), json!([[110, 10], [120, 10], [120, 20]])),
            json!({"label": "pump"}),
            json!(17),
        ];
        let found = found(&shapes, false);
        assert_eq!(found.objects.len(), 1);
        let text = "1 shape labelled \"\", 1 shape labelled \"AUTOLABEL_OBJECT\", 2 shapes labelled \"bolt\", \
            1 shape of type \"\", 1 shape of type \"line\", 6 shapes without usable coordinates";
        assert_eq!(found.left_out.to_string(), text);
        let mut twice = found.left_out.clone();
        twice.add(&found.left_out);
        assert_eq!((twice.unknown["bolt"], twice.kinds["line"], twice.unusable), (4, 2, 12));
        assert!(!twice.is_empty() && LeftOut::default().is_empty());
    }

    #[test]
    fn objects_that_come_twice_are_one() {
        let polygon = |label, score, x: f64| {
            shape(label, "polygon", json!(score), json!([[x, 10], [x + 20.0, 11], [x + 19.0, 30], [x, 10]]))
        };
        let rectangle = |label, score, x: f64| {
            shape(label, "rectangle", json!(score), json!([[x, 10], [x + 20.0, 10], [x + 20.0, 30], [x, 30]]))
        };
        let shapes = [
            polygon("valve", 0.9, 10.0),
            rectangle("valve", 0.9, 10.0),
            // Another score, another class, another place: no twins.
            polygon("valve", 0.8, 50.0),
            rectangle("valve", 0.7, 50.0),
            rectangle("pump", 0.8, 50.0),
            rectangle("valve", 0.8, 70.0),
        ];
        let segments = found(&shapes, true).objects;
        let is_box = |o: &Object| matches!(o.outline, Outline::Box(_));
        assert_eq!(segments.iter().map(is_box).collect::<Vec<_>>(), [false, false, true, true, true]);
        let boxes = found(&shapes, false).objects;
        assert_eq!(boxes.len(), 5);
        assert!(boxes.iter().all(is_box));
        // The box of the pair is the one that was sent, whose lower edge lies where it was sent.
        assert_eq!(boxes[0].outline.rect(), Rect { x1: 10.0, y1: 10.0, x2: 30.0, y2: 30.0 });
        // Two objects of one score side by side stay two: each box has one polygon.
        let two = [polygon("valve", 0.9, 10.0), polygon("valve", 0.9, 12.0), rectangle("valve", 0.9, 11.0)];
        assert_eq!(found(&two, true).objects.len(), 2);
    }

    #[test]
    fn shapes_among_the_examples_are_dropped() {
        let marks = [Rect::from_xywh(116.0, 16.0, 20.0, 20.0)];
        let ask = Ask::Exemplars { class: 5, marks: &marks, sent: (152, 80) };
        let wanted = Wanted { model: "m".into(), conf: 0.3, outlines: false };
        let auto = |x: i32| {
            shape("AUTOLABEL_OBJECT", "rectangle", json!(0.9), json!([[x, 16], [x + 20, 16], [x + 20, 36], [x, 36]]))
        };
        let shapes = [auto(116), auto(30), auto(85), auto(95), shape("valve", "rectangle", json!(0.9), json!([]))];
        let found = objects(&shapes, &ask, &wanted, (100, 80));
        let boxes: Vec<[f32; 4]> = found.objects.iter().map(|o| o.outline.rect().into()).collect();
        assert_eq!(boxes, [[30.0, 16.0, 50.0, 36.0], [85.0, 16.0, 100.0, 36.0]]);
        assert!(found.objects.iter().all(|o| o.class == 5));
        assert_eq!(found.left_out.to_string(), "1 shape labelled \"valve\"");
    }
}
