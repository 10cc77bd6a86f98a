//! The JSON files of X-AnyLabeling and labelme: one a picture, shapes with corners in pixels.

use super::{Classes, Object, Origin, Outline, Parsed, Picture, between, class_name, decimal, number, polygon, score};
use super::{short, size_of, to_json};
use crate::error::Result;
use crate::geometry::Rect;
use serde_json::{Value, json};

/// The version of X-AnyLabeling whose files look like this.
const VERSION: &str = "2.5.4";

/// Reads a file of a picture.
pub fn parse(text: &str, classes: &mut Classes) -> Result<Parsed, String> {
    let all: Value = serde_json::from_str(text).map_err(|e| format!("is no JSON: {e}"))?;
    let shapes = all["shapes"].as_array().ok_or("has no list \"shapes\" as files of X-AnyLabeling and labelme do")?;
    let mut parsed = Parsed::default();
    let mut objects = Vec::new();
    for (i, shape) in shapes.iter().enumerate() {
        let kind = shape["shape_type"].as_str().unwrap_or("polygon");
        if !matches!(kind, "rectangle" | "polygon" | "rotation") {
            parsed.loss.add(format!("shapes of the kind {kind} are left out"));
            continue;
        }
        let Some(label) = shape["label"].as_str().filter(|l| !l.is_empty()) else {
            parsed.faults.push(format!("shape {}: has no label", i + 1));
            continue;
        };
        let Some(outline) = outline(kind, &shape["points"]) else {
            parsed.faults.push(format!("shape {}: its points make no {kind}", i + 1));
            continue;
        };
        objects.push(Object {
            class: classes.place(label),
            outline,
            score: score(&shape["score"]),
            origin: shape["attributes"]["origin"].as_str().and_then(Origin::named).unwrap_or_default(),
            doubt: shape["description"].as_str().unwrap_or_default().to_string(),
        });
    }
    let file = all["imagePath"].as_str().unwrap_or_default().to_string();
    let size = size_of(&all["imageWidth"], &all["imageHeight"]);
    parsed.pictures.push(Picture { file, size, split: None, objects });
    Ok(parsed)
}

fn outline(kind: &str, points: &Value) -> Option<Outline> {
    let point = |p: &Value| Some((number(&p[0])? as f32, number(&p[1])? as f32));
    let points: Vec<(f32, f32)> = points.as_array()?.iter().map(point).collect::<Option<_>>()?;
    match (kind, &points[..]) {
        ("rectangle", [a, b]) => between(*a, *b),
        ("rectangle", [_, _, _, _]) => {
            let rect = Rect::around(points.iter().copied());
            // Four corners of a rectangle that was turned are no box.
            let upright =
                points.iter().all(|p| (p.0 == rect.x1 || p.0 == rect.x2) && (p.1 == rect.y1 || p.1 == rect.y2));
            if upright { Some(Outline::Box(rect)) } else { polygon(points) }
        }
        ("rectangle", _) => None,
        _ => polygon(points),
    }
}

/// The file of a picture that lies beside it.
pub fn write(picture: &Picture, classes: &[String]) -> Result<String> {
    let shapes: Vec<Value> = picture.objects.iter().map(|object| shape(object, classes)).collect();
    let name = picture.file.rsplit('/').next().unwrap_or_default();
    let (width, height) = picture.size;
    let all = json!({
        "version": VERSION, "flags": {}, "shapes": shapes, "imagePath": name, "imageData": null,
        "imageHeight": height, "imageWidth": width, "description": "",
    });
    to_json(&all, true)
}

fn shape(object: &Object, classes: &[String]) -> Value {
    let (kind, points) = match &object.outline {
        Outline::Box(rect) => ("rectangle", rect.corners().to_vec()),
        Outline::Polygon(points) => ("polygon", points.clone()),
    };
    let points: Vec<[f64; 2]> = points.into_iter().map(|(x, y)| [decimal(x), decimal(y)]).collect();
    let attributes = if object.origin == Origin::Hand { json!({}) } else { json!({ "origin": object.origin.name() }) };
    json!({
        "label": class_name(classes, object.class), "score": object.score.map(short), "points": points,
        "group_id": null, "description": object.doubt, "difficult": false, "shape_type": kind, "flags": {},
        "attributes": attributes, "kie_linking": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut object = Object::new(1, Outline::Box([10.25, 20.0, 50.0, 41.1].into()));
        object.score = Some(0.5);
        object.origin = Origin::Templates;
        object.doubt = "remote says \"pump\"".into();
        let objects = vec![object, Object::new(0, Outline::Polygon(vec![(1.0, 2.0), (9.0, 3.0), (4.0, 8.0)]))];
        let picture = Picture { file: "a b.png".into(), size: (100, 200), split: None, objects };
        let names = ["x".to_string(), "gate valve".to_string()];
        let text = write(&picture, &names).unwrap();
        let parsed = parse(&text, &mut Classes::new(names.to_vec())).unwrap();
        assert_eq!(parsed.pictures, [picture]);
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(all["shapes"][0]["points"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn files_of_other_versions() {
        let text = r#"{"version":"0.4","shapes":[
            {"label":"a","shape_type":"rectangle","points":[[30,40],[10,20]]},
            {"label":"a","shape_type":"polygon","points":[[0,0],[5,0],[5,5],[0,0]]},
            {"label":"b","shape_type":"rotation","direction":0.7,"points":[[5,0],[10,5],[5,10],[0,5]]},
            {"label":"b","shape_type":"rectangle","points":[[5,0],[10,5],[5,10],[0,5]]},
            {"label":"b","shape_type":"circle","points":[[5,0],[10,5]]},
            {"label":"b","shape_type":"polygon","points":[[5,0],[10,5]]},
            {"label":"","shape_type":"polygon","points":[[5,0],[10,5],[1,1]]},
            {"label":"b","points":[[5,0],[10,null],[1,1]]}],"imagePath":"..\\x.jpg","imageData":"AAAA"}"#;
        let mut classes = Classes::default();
        let parsed = parse(text, &mut classes).unwrap();
        let diamond = Outline::Polygon(vec![(5.0, 0.0), (10.0, 5.0), (5.0, 10.0), (0.0, 5.0)]);
        let expected = [
            Object::new(0, Outline::Box([10.0, 20.0, 30.0, 40.0].into())),
            Object::new(0, Outline::Polygon(vec![(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)])),
            Object::new(1, diamond.clone()),
            Object::new(1, diamond),
        ];
        assert_eq!(parsed.pictures[0].objects, expected);
        assert_eq!((parsed.pictures[0].file.as_str(), parsed.pictures[0].size), ("..\\x.jpg", (0, 0)));
        assert_eq!((parsed.faults.len(), parsed.loss.0.len()), (3, 1), "{parsed:?}");
        assert!(parse("{}", &mut classes).unwrap_err().contains("shapes"));
    }
}
