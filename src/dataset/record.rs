//! `ocellus.jsonl`: a line a picture with what YOLO's label files cannot hold.

use super::{
    Object, Origin, Outline, Picture, SAME_BOX, class_name, decimal, number, polygon, score, short, size_of, to_json,
};
use crate::error::{Error, Result};
use crate::geometry::Rect;
use serde_json::{Value, json};

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The picture as the user named it.
    pub path: String,
    /// Below the data set's folder `images`; empty for a picture that could not be used.
    pub file: String,
    /// Width and height of the upright picture in pixels.
    pub size: (u32, u32),
    /// The objects with the names of their classes; their class numbers mean nothing.
    pub objects: Vec<(String, Object)>,
    /// Why the picture could not be used.
    pub error: Option<String>,
}

/// The line of a picture, without a line break. `path` is the picture as the user named it.
pub fn line(path: &str, picture: &Picture, classes: &[String]) -> Result<String> {
    let objects: Vec<Value> = picture.objects.iter().map(|o| object(o, &class_name(classes, o.class))).collect();
    let (width, height) = picture.size;
    let record = json!({
        "schema": 1, "type": "label", "path": path, "file": picture.file, "status": "ok",
        "width": width, "height": height, "objects": objects,
    });
    Ok(to_json(&record, false)?.trim_end().to_string())
}

/// The line of a picture that could not be used.
pub fn failed(path: &str, error: &Error) -> Result<String> {
    let record = json!({ "schema": 1, "type": "label", "path": path, "status": "error", "error": error.one_line() });
    Ok(to_json(&record, false)?.trim_end().to_string())
}

fn object(object: &Object, label: &str) -> Value {
    let sides = <[f32; 4]>::from(object.outline.rect()).map(decimal);
    let mut value = json!({ "label": label, "box": sides, "origin": object.origin.name() });
    if let Outline::Polygon(points) = &object.outline {
        value["polygon"] = points.iter().map(|&(x, y)| json!([decimal(x), decimal(y)])).collect();
    }
    if let Some(score) = object.score {
        value["score"] = short(score).into();
    }
    if !object.doubt.is_empty() {
        value["doubt"] = object.doubt.as_str().into();
    }
    value
}

/// Reads a line.
pub fn parse(line: &str) -> Result<Record, String> {
    let all: Value = serde_json::from_str(line).map_err(|e| format!("is no JSON: {e}"))?;
    if all["type"] != "label" {
        return Err(format!("expected a record of the type \"label\", found {}", all["type"]));
    }
    let text = |key: &str| all[key].as_str().unwrap_or_default().to_string();
    let (path, file) = (text("path"), text("file"));
    let error = (all["status"] != "ok").then(|| text("error"));
    if error.is_none() && file.is_empty() {
        return Err("has no \"file\"".into());
    }
    let objects = all["objects"].as_array().map_or(&[][..], Vec::as_slice).iter().map(labelled);
    let objects = objects.collect::<Option<_>>().ok_or("an object has no \"label\" or no \"box\" of four numbers")?;
    Ok(Record { path, file, size: size_of(&all["width"], &all["height"]), objects, error })
}

fn labelled(value: &Value) -> Option<(String, Object)> {
    let side = |i: usize| number(&value["box"][i]).map(|v| v as f32);
    let rect = Rect { x1: side(0)?, y1: side(1)?, x2: side(2)?, y2: side(3)? };
    let point = |p: &Value| Some((number(&p[0])? as f32, number(&p[1])? as f32));
    let outline = match value["polygon"].as_array() {
        Some(points) => polygon(points.iter().map(point).collect::<Option<_>>()?)?,
        None => Outline::Box(rect),
    };
    let object = Object {
        class: 0,
        outline,
        score: score(&value["score"]),
        origin: value["origin"].as_str().and_then(Origin::named).unwrap_or_default(),
        doubt: value["doubt"].as_str().unwrap_or_default().to_string(),
    };
    Some((value["label"].as_str()?.to_string(), object))
}

/// Gives `objects`, read from a label file, what `record` knows of them: score, origin and doubt of the nearest recorded
/// object of the same class whose box differs by no more than 1.5 pixels at any side. Each is used once. A polygon that is
/// an upright rectangle becomes a box again where a box was recorded: a data set with polygons has no others.
pub fn join(objects: &mut [Object], record: &Record, classes: &[String]) {
    let mut free = vec![true; record.objects.len()];
    for object in objects {
        let rect = object.outline.rect();
        let name = classes.get(object.class);
        let near = record.objects.iter().enumerate().filter(|(i, (label, _))| free[*i] && Some(label) == name);
        let best =
            near.map(|(i, (_, known))| (i, rect.side_distance(&known.outline.rect()))).filter(|(_, d)| *d <= SAME_BOX);
        let Some((i, _)) = best.min_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
        free[i] = false;
        let known = &record.objects[i].1;
        (object.score, object.origin, object.doubt) = (known.score, known.origin, known.doubt.clone());
        if matches!(known.outline, Outline::Box(_))
            && matches!(&object.outline, Outline::Polygon(points) if points[..] == rect.corners())
        {
            object.outline = Outline::Box(rect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(class: usize, x: f32) -> Object {
        Object::new(class, Outline::Box(Rect::from_xywh(x, 20.0, 30.0, 30.0)))
    }

    #[test]
    fn what_is_written_is_read() {
        let mut sure = boxed(1, 10.5);
        (sure.score, sure.origin) = (Some(0.93), Origin::Both);
        let mut shape = Object::new(0, Outline::Polygon(vec![(1.0, 2.0), (9.0, 3.0), (4.0, 8.25)]));
        shape.doubt = "remote says ball valve".into();
        let objects = vec![sure.clone(), shape.clone()];
        let picture = Picture { file: "train/a.png".into(), size: (100, 80), split: None, objects };
        let classes = ["valve".to_string(), "gate valve".to_string()];
        let text = line("scans/a.png", &picture, &classes).unwrap();
        let record = parse(&text).unwrap();
        assert_eq!(
            (record.path.as_str(), record.file.as_str(), record.size),
            ("scans/a.png", "train/a.png", (100, 80))
        );
        sure.class = 0;
        assert_eq!(record.objects, [("gate valve".to_string(), sure), ("valve".to_string(), shape)]);
        let record = parse(&failed("b.png", &Error::Input("no".into())).unwrap()).unwrap();
        assert_eq!((record.path.as_str(), record.error.as_deref()), ("b.png", Some("no")));
        for bad in [
            "",
            "{}",
            r#"{"type":"label","status":"ok"}"#,
            r#"{"type":"label","status":"ok","file":"a","objects":[{}]}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_known_objects_are_joined() {
        let classes = ["a".to_string(), "b".to_string()];
        let known = |label: &str, x: f32, score: f32| {
            (label.to_string(), Object { score: Some(score), origin: Origin::Templates, ..boxed(0, x) })
        };
        let objects =
            vec![known("a", 11.0, 0.1), known("a", 10.2, 0.2), known("b", 100.0, 0.3), known("b", 200.0, 0.4)];
        let record = Record { path: String::new(), file: "x".into(), size: (0, 0), objects, error: None };
        // The nearest; then what is left; another class; two pixels off; a rectangle of four corners.
        let corners = Outline::Polygon(Rect::from_xywh(200.0, 20.0, 30.0, 30.0).corners().to_vec());
        let mut found = [boxed(0, 10.0), boxed(0, 10.0), boxed(0, 100.0), boxed(1, 102.0), Object::new(1, corners)];
        join(&mut found, &record, &classes);
        assert_eq!(found.each_ref().map(|o| o.score), [Some(0.2), Some(0.1), None, None, Some(0.4)]);
        assert_eq!(found[4].outline, boxed(1, 200.0).outline);
        assert_eq!(found[2].origin, Origin::Hand);
    }
}
