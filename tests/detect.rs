//! `ocellus detect` against reference detections of the original frameworks, and its files, flags and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, connector, names, repo, run, temp};
use ocellus::Rect;
use serde_json::Value;
use std::collections::BTreeMap;

const PERSON: &str = "examples/people/astronaut.jpg";

fn reference(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(repo(&format!("tests/reference/{name}"))).unwrap()).unwrap()
}

fn rect(v: &Value) -> Rect {
    let sides: Vec<f32> = v["box"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap() as f32).collect();
    Rect::from(<[f32; 4]>::try_from(sides).unwrap())
}

fn score(v: &Value) -> f64 {
    v["score"].as_f64().unwrap()
}

/// Asserts that each list holds the other's objects: label, IoU, score.
fn same(found: &[Value], expected: &[Value], iou: f32, tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: {found:?} instead of {expected:?}");
    let mut left: Vec<&Value> = found.iter().collect();
    for e in expected {
        let like = |f: &&Value| f["label"] == e["label"] && (score(f) - score(e)).abs() <= tolerance;
        let best = left.iter().enumerate().filter(|(_, f)| like(f)).map(|(i, f)| (rect(f).iou(&rect(e)), i));
        let (overlap, i) =
            best.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_else(|| panic!("{what}: {e} not in {left:?}"));
        assert!(overlap >= iou, "{what}: {e} overlaps {} by {overlap}", left[i]);
        left.remove(i);
    }
}

fn detections(out: &common::Output) -> BTreeMap<String, Vec<Value>> {
    assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{out:?}");
    let one = |r: &Value| {
        assert_eq!((r["type"].as_str(), r["status"].as_str()), (Some("detect"), Some("ok")));
        let name = r["path"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
        (name, r["detections"].as_array().unwrap().clone())
    };
    out.records().iter().map(one).collect()
}

/// What Ultralytics finds with the same file, at all aspect ratios.
#[test]
fn yolo_as_ultralytics() {
    let reference = reference("yolo.json");
    let pictures = repo("tests/images/shapes");
    for (model, expected) in reference["models"].as_object().unwrap() {
        let file = repo(&format!("tests/models/{model}"));
        let found = detections(&run(["detect", "--json", "--model", &file, &pictures]));
        for picture in expected["pictures"].as_array().unwrap() {
            let name = picture["file"].as_str().unwrap();
            same(&found[name], picture["detections"].as_array().unwrap(), 0.99, 0.01, &format!("{model} {name}"));
        }
    }
}

/// The int8 network finds what the float original does.
#[test]
fn nanodet_as_the_original() {
    let mut seen = 0;
    for picture in reference("nanodet.json")["images"].as_array().unwrap() {
        let file = picture["file"].as_str().unwrap();
        let found = detections(&run(["detect", "--json", &repo(file)]));
        let expected = picture["detections"].as_array().unwrap();
        let found = found.into_values().next().unwrap();
        let overlap = |d: &Value, list: &[Value]| {
            let alike = list.iter().filter(|l| l["label"] == d["label"] && (score(l) - score(d)).abs() < 0.05);
            alike.map(|l| rect(l).iou(&rect(d))).fold(0.0, f32::max)
        };
        // Scores about the limit of 0.25 may fall on either side of it, and of neighbouring cells with nearly the same weak
        // score the other may be the better one.
        let least = |d: &Value| if score(d) > 0.4 { 0.9 } else { 0.75 };
        let sure = |list: &[Value]| list.iter().filter(|d| score(d) > 0.3).cloned().collect::<Vec<_>>();
        for (d, others) in sure(expected).iter().map(|d| (d, &found)).chain(sure(&found).iter().map(|d| (d, expected)))
        {
            let best = overlap(d, others);
            assert!(best > least(d), "{file}: {d} overlaps by {best} in {others:?}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn flags_choose() {
    let model = repo("tests/models/made-detect.onnx");
    let picture = repo("tests/images/shapes/wide-480x270.png");
    let count = |more: &[&str]| {
        let out = run(["detect", "--json", "--model", &model, &picture].iter().chain(more));
        assert_eq!(out.code, Some(0), "{out:?}");
        out.record()["detections"].as_array().unwrap().clone()
    };
    let all = count(&[]);
    assert!(all.len() > 3);
    let squares = count(&["--classes", "hình vuông"]);
    assert!(squares.iter().all(|d| d["class"] == 1) && !squares.is_empty());
    assert_eq!(squares, count(&["--classes", "1"]));
    assert_eq!(count(&["--max-det", "2"]), all[..2]);
    assert!(count(&["--conf", "0.9"]).iter().all(|d| score(d) > 0.9));
    let without_discs = count(&["--class-conf", "disc=1"]);
    assert!(without_discs.iter().all(|d| d["class"] != 0) && !without_discs.is_empty());
    assert!(count(&["--iou", "0.1"]).len() < count(&["--iou", "1"]).len());
    assert!(count(&["--agnostic-nms", "--iou", "0.1"]).len() <= count(&["--iou", "0.1"]).len());
}

/// Small objects in a large picture are found in tiles, once each, where they lie.
#[test]
fn tiles_find_small_objects() {
    let folder = temp();
    let small = image::open(repo("tests/images/shapes/wide-480x270.png")).unwrap().into_rgb8();
    let mut large = image::RgbImage::from_pixel(2400, 1500, image::Rgb([120, 120, 120]));
    for (x, y) in [(100, 80), (1700, 900)] {
        image::imageops::replace(&mut large, &small, x, y);
    }
    let picture = at(&folder, "large.png");
    large.save(&picture).unwrap();
    let model = repo("tests/models/made-detect.onnx");
    let find = |more: &[&str]| {
        let out = run(["detect", "--json", "--conf", "0.6", "--model", &model, &picture].iter().chain(more));
        detections(&out).remove("large.png").unwrap()
    };
    let (whole, tiled) = (find(&[]), find(&["--tile", "480", "--overlap", "0.3"]));
    assert!(tiled.len() > whole.len(), "{} in tiles, {} without", tiled.len(), whole.len());
    let near = |d: &Value, x: f32, y: f32| {
        rect(d).intersect(&Rect::from_xywh(x, y, 480.0, 270.0)).area() > 0.9 * rect(d).area()
    };
    assert!(tiled.iter().filter(|d| near(d, 100.0, 80.0)).count() >= 2);
    assert!(tiled.iter().filter(|d| near(d, 1700.0, 900.0)).count() >= 2);
    for (i, a) in tiled.iter().enumerate() {
        assert!(tiled[..i].iter().all(|b| a["class"] != b["class"] || rect(a).iou(&rect(b)) < 0.6), "{a} twice");
    }
}

#[test]
fn label_files() {
    let folder = temp();
    let (model, pictures) = (repo("tests/models/made-detect.onnx"), repo("tests/images/shapes"));
    let write = |format: &str, out: &str| {
        let out = run(["detect", "--model", &model, "--format", format, "--out", out, "--json", &pictures]);
        out.assert_quiet(0);
        out.records()
    };
    let yolo = at(&folder, "yolo");
    let records = write("yolo", &yolo);
    assert_eq!(std::fs::read_to_string(at(&yolo, "classes.txt")).unwrap(), "disc\nhình vuông\ntriangle\n");
    let lines = std::fs::read_to_string(at(&yolo, "wide-480x270.txt")).unwrap();
    let record = records.iter().find(|r| r["path"].as_str().unwrap().contains("wide")).unwrap();
    let found = record["detections"].as_array().unwrap();
    assert_eq!(lines.lines().count(), found.len());
    let first: Vec<f32> = lines.lines().next().unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
    let r = rect(&found[0]);
    assert!((first[1] * 480.0 - (r.x1 + r.x2) / 2.0).abs() < 0.01 && (first[4] * 270.0 - r.height()).abs() < 0.02);

    let coco = at(&folder, "coco.json");
    write("coco", &coco);
    let all: Value = serde_json::from_str(&std::fs::read_to_string(&coco).unwrap()).unwrap();
    let total: usize = records.iter().map(|r| r["detections"].as_array().unwrap().len()).sum();
    assert_eq!(all["annotations"].as_array().unwrap().len(), total);
    assert_eq!(
        (all["images"].as_array().unwrap().len(), all["categories"][1]["name"].as_str()),
        (6, Some("hình vuông"))
    );

    let csv = at(&folder, "all.csv");
    write("csv", &csv);
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), total + 1);

    let voc = at(&folder, "voc");
    write("voc", &voc);
    assert_eq!(names(&voc).len(), 6);
    assert!(std::fs::read_to_string(at(&voc, "wide-480x270.xml")).unwrap().contains("<width>480</width>"));

    run(["detect", "--model", &model, "--format", "csv", &pictures]).assert_error(&["--format", "--out"]);
    run(["detect", "--format", "csv", "--out", text(folder.path()), &pictures]).assert_error(&["directory"]);
    run(["detect", "--format", "coco", "--out", &at(&folder, "none/"), &pictures]).assert_error(&["directory"]);

    // A picture is never overwritten, and labels are matched by name.
    let pair = at(&folder, "pair");
    std::fs::create_dir_all(at(&pair, "b")).unwrap();
    let picture = repo("tests/images/shapes/small-61x48.png");
    for name in ["a.txt", "a.png", "b/a.png", "classes.png"] {
        std::fs::copy(&picture, at(&pair, name)).unwrap();
    }
    let label = |out: &str, pictures: &[&str]| {
        run(["detect", "--format", "yolo", "--out", out].iter().chain(pictures)).assert_error(&[]);
    };
    label(&pair, &[&at(&pair, "a.txt")]);
    assert_eq!(std::fs::read(at(&pair, "a.txt")).unwrap(), std::fs::read(&picture).unwrap());
    let out = at(&folder, "pair-labels");
    label(&out, &[&at(&pair, "a.png"), &at(&pair, "b/a.png")]);
    label(&out, &[&at(&pair, "classes.png")]);
    std::fs::remove_file(at(&pair, "classes.png")).unwrap();
    run(["detect", "--format", "yolo", "--out", &out, &pair]).assert_quiet(0);
    assert_eq!(
        (names(&out), names(at(&out, "b"))),
        (vec!["a.txt".into(), "b".into(), "classes.txt".into()], vec!["a.txt".to_string()])
    );
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn pictures_show_boxes_and_labels() {
    let folder = temp();
    let out = at(&folder, "pictures");
    let picture = repo("tests/images/shapes/wide-480x270.png");
    run(["detect", "--model", &repo("tests/models/made-detect.onnx"), "--annotate", &out, &picture]).assert_quiet(0);
    let (before, after) = (image::open(&picture).unwrap(), image::open(at(&out, "wide-480x270.png")).unwrap());
    let changed = before.into_rgb8().pixels().zip(after.into_rgb8().pixels()).filter(|(a, b)| a != b).count();
    assert!((1000..100_000).contains(&changed), "{changed}");
    // What would overwrite its source is refused.
    let own = repo("tests/images/shapes");
    run(["detect", "--annotate", &own, &picture]).assert_error(&["overwritten"]);
}

#[test]
fn a_person_is_found_by_default() {
    let out = run(["detect", &repo(PERSON)]);
    out.assert_quiet(0);
    assert!(out.stdout.contains("person 0."), "{}", out.stdout);
}

#[test]
fn bad_arguments() {
    let person = repo(PERSON);
    let bad = |args: &[&str], words: &[&str]| run(["detect", &person].iter().chain(args)).assert_error(words);
    bad(&["--classes", "persn"], &["persn", "bicycle"]);
    bad(&["--conf", "1.5"], &["1.5", "0 to 1"]);
    bad(&["--class-conf", "person"], &["CLASS=SCORE"]);
    bad(&["--tile", "8"], &["--tile", "32"]);
    bad(&["--overlap", "1"], &["--overlap"]);
    bad(&["--format", "xml", "--out", "x"], &["xml", "yolo"]);
    bad(&["--model", "mobilenetv2"], &["mobilenetv2", "features"]);
    bad(&["--model", "nothing.onnx"], &["nothing.onnx", "read"]);
    run(["embed", "--model", "nanodet-g", &person]).assert_error(&["nanodet-g", "detect", "features"]);
}

/// Model files that cannot serve: each gets one line that says why.
#[test]
fn files_that_are_no_detectors() {
    let folder = temp();
    let try_bytes = |bytes: &[u8], words: &[&str]| {
        let file = at(&folder, "m.onnx");
        std::fs::write(&file, bytes).unwrap();
        let all: Vec<&str> = words.iter().copied().chain([file.as_str()]).collect();
        run(["detect", "--model", &file, &connector("good/01.jpg")]).assert_error(&all);
    };
    let made = std::fs::read(repo("tests/models/made-detect.onnx")).unwrap();
    try_bytes(&made[..made.len() / 2], &["damaged"]);
    try_bytes(b"This is no network.\n", &["damaged"]);
    try_bytes(b"", &["ONNX"]);
    // A network for something else: what is supported and what was found.
    let classifier = std::fs::read(repo("models/mobilenetv2.onnx")).unwrap();
    try_bytes(&classifier, &["YOLOv8", "end-to-end", "features", "1x1280"]);
    run(["detect", "--model", &repo("README.md"), &connector("good/01.jpg")]).assert_error(&["export", "ONNX"]);
    // A description that does not fit: two labels for three rows of scores.
    let described = at(&folder, "described.onnx");
    std::fs::copy(repo("tests/models/made-detect.onnx"), &described).unwrap();
    let manifest = std::fs::read_to_string(repo("models/models.toml")).unwrap();
    let nanodet = manifest.split("[[model]]").find(|m| m.contains("nanodet-g")).unwrap();
    let mut table: toml::Table = toml::from_str(nanodet).unwrap();
    let hash = ocellus::models::sha256_hex(&std::fs::read(&described).unwrap());
    table.insert("sha256".into(), hash.into());
    table.insert("labels".into(), vec!["a", "b"].into());
    let mut input = table.remove("model").unwrap()["input"].clone();
    input["size"] = vec![320i64, 320].into();
    table.insert("input".into(), input);
    table.insert("outputs".into(), toml::Table::from_iter([("yolo".to_string(), "output0".into())]).into());
    std::fs::write(at(&folder, "described.toml"), toml::to_string(&table).unwrap()).unwrap();
    run(["detect", "--model", &described, &connector("good/01.jpg")]).assert_error(&["2 labels", "1 x 6 x cells"]);
}

#[test]
fn one_bad_picture_never_stops_the_others() {
    let folder = temp();
    let bad = at(&folder, "bad.jpg");
    std::fs::write(&bad, b"nothing").unwrap();
    let csv = at(&folder, "all.csv");
    let out = run(["detect", "--json", "--format", "csv", "--out", &csv, &bad, &repo(PERSON)]);
    out.assert_error(&[&bad, "not a picture"]);
    let records = out.records();
    assert_eq!((records[0]["status"].as_str(), records[1]["status"].as_str()), (Some("error"), Some("ok")));
    assert!(std::fs::read_to_string(&csv).unwrap().lines().count() > 1);
}
