//! COCO's JSON: boxes and polygons of many pictures in one file, in pixels.

use super::{
    Classes, Object, Origin, Outline, Parsed, Picture, decimal, number, polygon, score, short, size_of, to_json,
};
use crate::error::Result;
use crate::geometry::Rect;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Reads a file; its categories are added to `classes` in the order of their ids, which may be any. An error if it is no
/// COCO file, or has masks of runs (RLE).
pub fn parse(text: &str, classes: &mut Classes) -> Result<Parsed, String> {
    let all: Value = serde_json::from_str(text).map_err(|e| format!("is no JSON: {e}"))?;
    let list = |key: &str| all[key].as_array().ok_or_else(|| format!("has no list {key:?} as COCO files do"));
    let (images, annotations, categories) = (list("images")?, list("annotations")?, list("categories")?);
    let mut parsed = Parsed::default();
    let mut named: Vec<(f64, String, &str)> = Vec::new();
    for category in categories {
        match category["name"].as_str() {
            Some(name) => named.push((number(&category["id"]).unwrap_or(f64::MAX), category["id"].to_string(), name)),
            None => parsed.faults.push(format!("category {}: has no name", category["id"])),
        }
    }
    named.sort_by(|a, b| a.0.total_cmp(&b.0));
    let category: HashMap<String, usize> = named.into_iter().map(|(_, id, name)| (id, classes.place(name))).collect();
    let mut place = HashMap::new();
    for image in images {
        let Some(file) = image["file_name"].as_str().filter(|f| !f.is_empty()) else {
            parsed.faults.push(format!("image {}: has no file_name", image["id"]));
            continue;
        };
        if place.insert(image["id"].to_string(), parsed.pictures.len()).is_some() {
            parsed.faults.push(format!("image {}: two pictures have this id", image["id"]));
        }
        let size = size_of(&image["width"], &image["height"]);
        parsed.pictures.push(Picture { file: file.to_string(), size, split: None, objects: Vec::new() });
    }
    for (i, annotation) in annotations.iter().enumerate() {
        let name = if annotation["id"].is_null() { format!("number {}", i + 1) } else { annotation["id"].to_string() };
        let Some(&class) = category.get(&annotation["category_id"].to_string()) else {
            parsed.faults.push(format!("annotation {name}: there is no category {}", annotation["category_id"]));
            continue;
        };
        let Some(&picture) = place.get(&annotation["image_id"].to_string()) else {
            parsed.faults.push(format!("annotation {name}: there is no image {}", annotation["image_id"]));
            continue;
        };
        if number(&annotation["iscrowd"]).is_some_and(|v| v != 0.0) {
            parsed.loss.add("crowds (iscrowd) are left out");
            continue;
        }
        let shape = outline(annotation, &mut |what| parsed.loss.add(what));
        match shape.map_err(|message| format!("annotation {name} {message}"))? {
            Some(outline) => parsed.pictures[picture].objects.push(Object {
                class,
                outline,
                score: score(&annotation["score"]),
                origin: annotation["origin"].as_str().and_then(Origin::named).unwrap_or_default(),
                doubt: annotation["doubt"].as_str().unwrap_or_default().to_string(),
            }),
            None => {
                parsed.faults.push(format!("annotation {name}: has neither a box [x, y, width, height] nor a polygon"))
            }
        }
    }
    Ok(parsed)
}

fn outline(annotation: &Value, lose: &mut impl FnMut(&str)) -> Result<Option<Outline>, String> {
    let numbers = |value: &Value| -> Option<Vec<f32>> {
        value.as_array()?.iter().map(|v| number(v).map(|v| v as f32)).collect::<Option<Vec<_>>>()
    };
    let segmentation = &annotation["segmentation"];
    if segmentation.is_object() || segmentation.is_string() {
        let what = "has a mask of runs (RLE): only boxes and polygons are read; turn the masks into polygons first";
        return Err(what.into());
    }
    let parts = segmentation.as_array().map_or(&[][..], Vec::as_slice);
    let corners = |part: &Value| {
        let numbers = numbers(part)?;
        polygon(numbers.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    };
    let mut polygons: Vec<Outline> = parts.iter().filter_map(corners).collect();
    if polygons.len() == 1 {
        return Ok(polygons.pop());
    }
    if polygons.len() > 1 {
        lose("outlines of several parts became boxes");
        let around = polygons.iter().flat_map(|p| p.rect().corners());
        return Ok(Some(Outline::Box(Rect::around(around))));
    }
    Ok(numbers(&annotation["bbox"]).and_then(|b| match b[..] {
        [x, y, w, h] if w >= 0.0 && h >= 0.0 => Some(Outline::Box(Rect::from_xywh(x, y, w, h))),
        _ => None,
    }))
}

/// A file of `pictures`. Categories are numbered from 1: 0 is the background there.
pub fn write<'a>(pictures: impl IntoIterator<Item = &'a Picture>, classes: &[String]) -> Result<String> {
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for (i, picture) in pictures.into_iter().enumerate() {
        let (width, height) = picture.size;
        images.push(json!({ "id": i + 1, "file_name": picture.file, "width": width, "height": height }));
        for object in &picture.objects {
            let r = object.outline.rect();
            let (segmentation, area) = match &object.outline {
                Outline::Box(rect) => (json!([]), f64::from(rect.area())),
                Outline::Polygon(points) => {
                    let flat: Vec<f64> = points.iter().flat_map(|&(x, y)| [decimal(x), decimal(y)]).collect();
                    (json!([flat]), area(points))
                }
            };
            let mut annotation = json!({
                "id": annotations.len() + 1, "image_id": i + 1, "category_id": object.class + 1, "iscrowd": 0,
                "bbox": [decimal(r.x1), decimal(r.y1), decimal(r.width()), decimal(r.height())],
                "area": (area * 100.0).round() / 100.0, "segmentation": segmentation,
            });
            if let Some(score) = object.score {
                annotation["score"] = short(score).into();
            }
            if object.origin != Origin::Hand {
                annotation["origin"] = object.origin.name().into();
            }
            if !object.doubt.is_empty() {
                annotation["doubt"] = object.doubt.as_str().into();
            }
            annotations.push(annotation);
        }
    }
    let category = |(i, name): (usize, &String)| json!({ "id": i + 1, "name": name });
    let categories: Vec<Value> = classes.iter().enumerate().map(category).collect();
    to_json(&json!({ "images": images, "annotations": annotations, "categories": categories }), false)
}

/// Area of a polygon in square pixels.
fn area(points: &[(f32, f32)]) -> f64 {
    let next = points.iter().cycle().skip(1);
    let cross = |(a, b): (&(f32, f32), &(f32, f32))| f64::from(a.0) * f64::from(b.1) - f64::from(b.0) * f64::from(a.1);
    points.iter().zip(next).map(cross).sum::<f64>().abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let polygon = vec![(1.5, 2.25), (30.1, 2.0), (20.0, 40.7)];
        let mut hatched = Object::new(1, Outline::Polygon(polygon));
        hatched.score = Some(0.93);
        hatched.origin = Origin::Both;
        hatched.doubt = "remote says ball valve".into();
        let boxed = Object::new(0, Outline::Box(Rect::from_xywh(10.0, 20.0, 40.3, 20.0)));
        let picture = |file: &str, objects| Picture { file: file.into(), size: (100, 50), split: None, objects };
        let pictures = [picture("a.png", vec![hatched, boxed]), picture("b/ä.jpg", vec![])];
        let classes = ["valve".to_string(), "pump".to_string()];
        let mut found = Classes::default();
        let parsed = parse(&write(&pictures, &classes).unwrap(), &mut found).unwrap();
        assert_eq!(parsed.pictures, pictures);
        assert_eq!(found.into_names(), classes);
        assert!(parsed.faults.is_empty() && parsed.loss.0.is_empty());
    }

    #[test]
    fn ids_are_arbitrary_and_sparse() {
        let text = r#"{"images":[{"id":900,"file_name":"x.jpg","width":10,"height":20}],
            "categories":[{"id":90,"name":"b"},{"id":7,"name":"a"}],
            "annotations":[{"id":1,"image_id":900,"category_id":90,"bbox":[1,2,3,4]},
                           {"id":2,"image_id":900,"category_id":8,"bbox":[1,2,3,4]},
                           {"id":3,"image_id":1,"category_id":7,"bbox":[1,2,3,4]},
                           {"id":4,"image_id":900,"category_id":7,"bbox":[1,2,3]},
                           {"id":5,"image_id":900,"category_id":7,"bbox":[0,0,9,9],
                            "segmentation":[[1,1,5,1,5,5],[6,6,8,6,8,8,6,6]]},
                           {"id":6,"image_id":900,"category_id":7,"iscrowd":1,"segmentation":{"counts":[1],"size":[1,1]}}]}"#;
        let mut classes = Classes::default();
        let parsed = parse(text, &mut classes).unwrap();
        assert_eq!(classes.into_names(), ["a", "b"]);
        let objects = &parsed.pictures[0].objects;
        assert_eq!(objects[0], Object::new(1, Outline::Box([1.0, 2.0, 4.0, 6.0].into())));
        assert_eq!(objects[1], Object::new(0, Outline::Box([1.0, 1.0, 8.0, 8.0].into())));
        assert_eq!(objects.len(), 2);
        assert_eq!(parsed.faults.len(), 3, "{:?}", parsed.faults);
        assert_eq!(parsed.loss.0.len(), 2, "{:?}", parsed.loss);
        let runs = text.replace("\"iscrowd\":1,", "");
        assert!(parse(&runs, &mut Classes::default()).unwrap_err().contains("annotation 6 has a mask of runs (RLE)"));
        assert!(parse("[]", &mut Classes::default()).unwrap_err().contains("\"images\""));
    }
}
