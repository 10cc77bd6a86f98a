//! Label Studio's list of tasks: a picture each, with annotations that people made and predictions to begin with.

use super::xml::escaped;
use super::{Classes, Object, Origin, Outline, Parsed, Picture, Split, class_name, number, polygon, score, short};
use super::{size_of, to_json};
use crate::error::Result;
use crate::geometry::{Rect, Similarity};
use serde_json::{Value, json};

/// Where Label Studio finds files below its document root; the path follows.
const LOCAL: &str = "/data/local-files/?d=";

/// Reads a list of tasks, an export or what [`write`] makes. Annotations win over predictions; of several annotations the
/// newest that was not cancelled counts, one that is marked as ground truth before others.
pub fn parse(text: &str, classes: &mut Classes) -> Result<Parsed, String> {
    let all: Value = serde_json::from_str(text).map_err(|e| format!("is no JSON: {e}"))?;
    let tasks = all.as_array().ok_or("expected a list of tasks as Label Studio has it")?;
    let mut parsed = Parsed::default();
    for (i, task) in tasks.iter().enumerate() {
        let Some(address) = image(&task["data"]) else {
            parsed.faults.push(format!("task {}: its data have no picture", i + 1));
            continue;
        };
        let mut size = (0, 0);
        let mut objects = Vec::new();
        for (r, result) in results(task).iter().enumerate() {
            let kind = result["type"].as_str().unwrap_or_default();
            if !matches!(kind, "rectanglelabels" | "polygonlabels") {
                parsed
                    .loss
                    .add(format!("results of the kind {} are left out", if kind.is_empty() { "?" } else { kind }));
                continue;
            }
            size = size_of(&result["original_width"], &result["original_height"]);
            let labels = result["value"][kind].as_array().map_or(&[][..], Vec::as_slice);
            if labels.len() > 1 {
                parsed.loss.add("further labels of objects with several are left out");
            }
            let name = labels.first().and_then(Value::as_str);
            let outline = if size == (0, 0) { None } else { outline(kind, &result["value"], size) };
            let (Some(name), Some(outline)) = (name, outline) else {
                let parts = "a label, original_width and original_height, and a place in percent are expected";
                parsed.faults.push(format!("task {}: result {} cannot be used: {parts}", i + 1, r + 1));
                continue;
            };
            let notes = result["meta"]["text"].as_array().map_or(&[][..], Vec::as_slice);
            objects.push(Object {
                class: classes.place(name),
                outline,
                score: score(&result["score"]),
                origin: result["meta"]["origin"].as_str().and_then(Origin::named).unwrap_or_default(),
                doubt: notes.first().and_then(Value::as_str).unwrap_or_default().to_string(),
            });
        }
        let split = task["data"]["split"].as_str().and_then(Split::named);
        parsed.pictures.push(Picture { file: file(address), size, split, objects });
    }
    Ok(parsed)
}

/// The picture's address: `image` as is usual, or the only other text that looks like a file.
fn image(data: &Value) -> Option<&str> {
    let named = data["image"].as_str();
    named.or_else(|| data.as_object()?.values().filter_map(Value::as_str).find(|t| t.contains('/') || t.contains('.')))
}

fn results(task: &Value) -> &[Value] {
    let list = |key: &str| task[key].as_array().map_or(&[][..], Vec::as_slice);
    let made = if list("annotations").is_empty() { list("completions") } else { list("annotations") };
    let valid = || made.iter().filter(|a| a["was_cancelled"].as_bool() != Some(true));
    let truth = valid().rfind(|a| a["ground_truth"].as_bool() == Some(true));
    let chosen = truth.or_else(|| valid().next_back()).or_else(|| list("predictions").last());
    chosen.and_then(|a| a["result"].as_array()).map_or(&[], Vec::as_slice)
}

fn outline(kind: &str, value: &Value, (width, height): (u32, u32)) -> Option<Outline> {
    let (sx, sy) = (f64::from(width) / 100.0, f64::from(height) / 100.0);
    if kind == "polygonlabels" {
        let point = |p: &Value| Some(((number(&p[0])? * sx) as f32, (number(&p[1])? * sy) as f32));
        return polygon(value["points"].as_array()?.iter().map(point).collect::<Option<_>>()?);
    }
    let side = |key: &str, scale: f64| number(&value[key]).map(|v| v * scale);
    let (x, y, w, h) = (side("x", sx)?, side("y", sy)?, side("width", sx)?, side("height", sy)?);
    if w < 0.0 || h < 0.0 {
        return None;
    }
    let rect = Rect { x1: x as f32, y1: y as f32, x2: (x + w) as f32, y2: (y + h) as f32 };
    match number(&value["rotation"]).unwrap_or(0.0) {
        0.0 => Some(Outline::Box(rect)),
        // It turns clockwise about its top left corner, in pixels.
        degrees => {
            let turn = Similarity::about((rect.x1, rect.y1), degrees as f32, 1.0, (0.0, 0.0));
            polygon(rect.corners().map(|p| turn.apply(p)).to_vec())
        }
    }
}

/// The path of a file in its address, of local storage, an upload, a bucket or a web server.
fn file(address: &str) -> String {
    let path = match address.split_once("?d=") {
        Some((_, path)) => path,
        None => address.split(['?', '#']).next().unwrap_or_default(),
    };
    let path = path.split_once("://").map_or(path, |(_, rest)| rest.split_once('/').map_or(rest, |(_, path)| path));
    decoded(path.trim_start_matches('/'))
}

/// `text` without percent signs before bytes in hexadecimal.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let digits = bytes.get(i + 1..i + 3).filter(|d| bytes[i] == b'%' && d.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[i]));
        i += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_string())
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Tasks with predictions to import; pictures are looked for below Label Studio's document root.
pub fn write<'a>(pictures: impl IntoIterator<Item = &'a Picture>, classes: &[String]) -> Result<String> {
    let task = |picture: &Picture| {
        let results: Vec<Value> =
            picture.objects.iter().enumerate().map(|(i, o)| result(i, o, picture.size, classes)).collect();
        let scores: Vec<f32> = picture.objects.iter().filter_map(|o| o.score).collect();
        let mut prediction = json!({ "model_version": "ocellus", "result": results });
        if let Some(least) = scores.into_iter().reduce(f32::min) {
            // The least sure object tells which pictures to look at first.
            prediction["score"] = short(least).into();
        }
        let mut data = json!({ "image": format!("{LOCAL}{}", encoded(&picture.file)) });
        if let Some(split) = picture.split {
            data["split"] = split.name().into();
        }
        json!({ "data": data, "predictions": [prediction] })
    };
    to_json(&Value::Array(pictures.into_iter().map(task).collect()), true)
}

fn result(i: usize, object: &Object, size: (u32, u32), classes: &[String]) -> Value {
    let percent = |v: f32, side: u32| (f64::from(v) / f64::from(side) * 1e10).round() / 1e8;
    let label = [class_name(classes, object.class)];
    let (kind, value) = match &object.outline {
        Outline::Box(r) => {
            let (w, h) = (percent(r.width(), size.0), percent(r.height(), size.1));
            let (x, y) = (percent(r.x1, size.0), percent(r.y1, size.1));
            let value = json!({ "x": x, "y": y, "width": w, "height": h, "rotation": 0, "rectanglelabels": label });
            ("rectanglelabels", value)
        }
        Outline::Polygon(points) => {
            let points: Vec<[f64; 2]> = points.iter().map(|p| [percent(p.0, size.0), percent(p.1, size.1)]).collect();
            ("polygonlabels", json!({ "points": points, "closed": true, "polygonlabels": label }))
        }
    };
    let from = if kind == "rectanglelabels" { "label" } else { "polygon" };
    let mut result = json!({
        "id": format!("o{}", i + 1), "type": kind, "from_name": from, "to_name": "image", "image_rotation": 0,
        "original_width": size.0, "original_height": size.1, "value": value,
    });
    if let Some(score) = object.score {
        result["score"] = short(score).into();
    }
    if object.origin != Origin::Hand || !object.doubt.is_empty() {
        let notes: Vec<&str> = if object.doubt.is_empty() { vec![] } else { vec![&object.doubt] };
        result["meta"] = json!({ "text": notes, "origin": object.origin.name() });
    }
    result
}

/// The labelling interface that goes with the tasks.
pub fn config(classes: &[String], polygons: bool) -> String {
    let labels: String = classes.iter().map(|c| format!("    <Label value=\"{}\"/>\n", escaped(c))).collect();
    let block = |tag: &str, name: &str| format!("  <{tag} name=\"{name}\" toName=\"image\">\n{labels}  </{tag}>\n");
    let mut text = String::from("<View>\n  <Image name=\"image\" value=\"$image\" zoom=\"true\"/>\n");
    text += &block("RectangleLabels", "label");
    if polygons {
        text += &block("PolygonLabels", "polygon");
    }
    text + "</View>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut object = Object::new(1, Outline::Box([10.25, 20.0, 50.0, 41.125].into()));
        object.score = Some(0.5);
        object.origin = Origin::Templates;
        object.doubt = "remote says pump".into();
        let objects = vec![object, Object::new(0, Outline::Polygon(vec![(1.0, 2.0), (9.0, 3.0), (4.0, 8.0)]))];
        let file = "images/a b%ä.png".to_string();
        let picture = Picture { file, size: (640, 512), split: Some(Split::Val), objects };
        let names = ["x".to_string(), "gate <\"valve\">".to_string()];
        let parsed = parse(&write([&picture], &names).unwrap(), &mut Classes::new(names.to_vec())).unwrap();
        assert_eq!(parsed.pictures, [picture]);
        let config = config(&names, true);
        let labels = roxmltree::Document::parse(&config).unwrap();
        let values: Vec<_> = labels.descendants().filter_map(|n| n.attribute("value")).collect();
        assert_eq!(values, ["$image", &names[0], &names[1], &names[0], &names[1]]);
    }

    #[test]
    fn exports() {
        let text = r#"[{"id":1,"data":{"image":"/data/upload/3/0a1b2c3d-pump%201.png"},
          "annotations":[
            {"result":[{"type":"brushlabels"}]},
            {"was_cancelled":true,"result":[]},
            {"result":[{"type":"rectanglelabels","original_width":200,"original_height":100,
               "value":{"x":10,"y":20,"width":10,"height":20,"rotation":90,"rectanglelabels":["pump","y"]}},
               {"type":"choices"},{"type":"polygonlabels","value":{"points":[[1,1]]}}]},
            {"was_cancelled":true,"result":[]}],
          "predictions":[{"result":[]}]},
          {"data":{"pic":"https://example.com/a/b.jpg?sig=x/y"},"annotations":[],"predictions":[{"result":[
            {"type":"rectanglelabels","original_width":100,"original_height":100,"score":0.25,
             "value":{"x":10,"y":20,"width":30,"height":40,"rectanglelabels":["valve"]}}]}]},
          {"data":{}}]"#;
        let mut classes = Classes::default();
        let parsed = parse(text, &mut classes).unwrap();
        assert_eq!(parsed.pictures[0].file, "data/upload/3/0a1b2c3d-pump 1.png");
        let Outline::Polygon(points) = &parsed.pictures[0].objects[0].outline else { panic!("{parsed:?}") };
        // 20 x 20 pixels at (20, 20), turned by 90 degrees clockwise about that corner.
        for (p, q) in points.iter().zip([(20.0, 20.0), (20.0, 40.0), (0.0, 40.0), (0.0, 20.0)]) {
            assert!((p.0 - q.0).abs() < 1e-3 && (p.1 - q.1).abs() < 1e-3, "{points:?}");
        }
        assert_eq!(parsed.pictures[1].file, "a/b.jpg");
        assert_eq!(parsed.pictures[1].objects[0].outline, Outline::Box([10.0, 20.0, 40.0, 60.0].into()));
        assert_eq!(parsed.pictures[1].objects[0].score, Some(0.25));
        assert_eq!(classes.into_names(), ["pump", "valve"]);
        assert_eq!((parsed.faults.len(), parsed.loss.0.len()), (2, 2), "{parsed:?}");
        assert!(parse("{}", &mut Classes::default()).unwrap_err().contains("list of tasks"));
    }
}
