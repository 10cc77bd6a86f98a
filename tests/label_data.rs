//! `ocellus label convert` and `ocellus label check` on small data sets on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Output, at, jpeg, names, run, temp, with_orientation};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A picture that is like no other of another `seed`: rectangles of all sizes.
fn picture(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut picture = RgbImage::from_pixel(width, height, Rgb([random.u8(..); 3]));
    for _ in 0..40 {
        let (x, y) = (random.u32(0..width), random.u32(0..height));
        let (w, h) = (random.u32(2..width / 2), random.u32(2..height / 2));
        let colour = Rgb([random.u8(..), random.u8(..), random.u8(..)]);
        for (px, py) in (y..(y + h).min(height)).flat_map(|py| (x..(x + w).min(width)).map(move |px| (px, py))) {
            picture.put_pixel(px, py, colour);
        }
    }
    picture
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    bytes
}

const NAMES: &str = "names:\n  0: \"gate valve\"\n  1: pump\n  2: \"t: \\\"x\\\"\"\n";

/// The label file of picture `i` of `size` pixels: whole pixels, so that every format can hold it.
fn labels(i: u32, (w, h): (u32, u32), polygons: bool) -> String {
    let share = |v: u32, side: u32| format!("{:.6}", f64::from(v) / f64::from(side));
    let mut text = String::new();
    for k in 0..1 + i % 4 {
        let (x1, y1, x2, y2) = (4 + 20 * k, 6 + i, 20 + 20 * k, 30 + 2 * i);
        text += &match polygons {
            false => {
                let centre = |a: u32, b: u32, side: u32| format!("{:.6}", f64::from(a + b) / 2.0 / f64::from(side));
                let (cx, cy) = (centre(x1, x2, w), centre(y1, y2, h));
                format!("{} {cx} {cy} {} {}\n", k % 3, share(x2 - x1, w), share(y2 - y1, h))
            }
            true => {
                let corners = [(x1, y1), (x2, y1 + 3), (x2 - 5, y2), (x1 + 1, y2 - 2)];
                let corners = corners.map(|(x, y)| format!(" {} {}", share(x, w), share(y, h)));
                format!("{}{}\n", k % 3, corners.concat())
            }
        };
    }
    text
}

/// A data set of 10 pictures, two of them without objects.
fn data_set(folder: &Path, polygons: bool) {
    write(folder, "data.yaml", format!("train: images/train\nval: images/val\ntest: images/test\n{NAMES}"));
    for i in 0..10u32 {
        let part = ["train", "val", "test"][(i as usize / 5) + usize::from(i == 9)];
        let size = (100 + 7 * i, 90 + 3 * i);
        let picture = picture(u64::from(i), size.0, size.1);
        let (name, bytes) = match i % 3 {
            0 => (format!("p{i}.jpg"), jpeg(&picture)),
            // Stored on its side.
            1 => (format!("p{i}.jpeg"), with_orientation(&jpeg(&image::imageops::rotate270(&picture)), 6)),
            _ => (format!("ünï {i}.png"), png(&picture)),
        };
        let stem = name.rsplit_once('.').unwrap().0;
        let text = if i % 5 == 4 { String::new() } else { labels(i, size, polygons) };
        write(folder, &format!("labels/{part}/{stem}.txt"), text);
        write(folder, &format!("images/{part}/{name}"), bytes);
    }
}

fn convert(from: impl AsRef<Path>, to: &str, out: impl AsRef<Path>, more: &[&str]) -> Output {
    let (from, out) = (from.as_ref().to_str().unwrap(), out.as_ref().to_str().unwrap());
    run([&["label", "convert", from, "--to", to, "--out", out, "--quiet"], more].concat())
}

/// All files below a folder with their bytes.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|e| e.unwrap());
    let files = files.filter(|e| e.file_type().is_file());
    files.map(|e| (e.path().strip_prefix(folder).unwrap().display().to_string(), fs::read(e.path()).unwrap())).collect()
}

#[track_caller]
fn same_tree(a: &Path, b: &Path) {
    let (a, b) = (tree(a), tree(b));
    assert_eq!(a.iter().map(|f| &f.0).collect::<Vec<_>>(), b.iter().map(|f| &f.0).collect::<Vec<_>>());
    for (a, b) in a.iter().zip(&b) {
        assert!(a.1 == b.1, "{}: {:?} became {:?}", a.0, String::from_utf8_lossy(&a.1), String::from_utf8_lossy(&b.1));
    }
}

#[test]
fn there_and_back() {
    for polygons in [false, true] {
        let folder = temp();
        let start = folder.path().join("start");
        data_set(&start, polygons);
        for format in ["yolo", "coco", "voc", "anylabeling", "labelstudio"] {
            let (there, back) = (folder.path().join(format), folder.path().join(format!("{format}-back")));
            let out = convert(&start, format, &there, &["--json"]);
            let lossy = polygons && format == "voc";
            if lossy {
                assert_eq!(out.stderr, "ocellus: does not fit as it is: polygons became boxes (20)\n", "{out:?}");
            } else {
                out.assert_quiet(0);
            }
            let record = out.record();
            assert_eq!(record["pictures"], 10);
            assert_eq!(record["splits"], json!({"train": 5, "val": 4, "test": 1}));
            assert_eq!(record["classes"], json!(["gate valve", "pump", "t: \"x\""]));
            convert(&there, "yolo", &back, &[]).assert_quiet(0);
            same_tree(&start.join("images"), &back.join("images"));
            if !lossy {
                same_tree(&start.join("labels"), &back.join("labels"));
            }
            let yaml = fs::read_to_string(back.join("data.yaml")).unwrap();
            assert!(yaml.contains("0: \"gate valve\"\n  1: \"pump\"\n") && !yaml.contains("path:"), "{yaml}");
        }
        // From a file in the middle of a data set as well.
        let file = folder.path().join("coco/annotations/instances_val.json");
        let out = convert(&file, "yolo", folder.path().join("val"), &["--json"]);
        out.assert_quiet(0);
        assert_eq!(out.record()["splits"], json!({"val": 4}));
        same_tree(&start.join("labels/val"), &folder.path().join("val/labels/val"));
    }
}

#[test]
fn scores_stay_beside_the_labels() {
    let folder = temp();
    let start = folder.path().join("start");
    data_set(&start, false);
    let object = json!({"label": "gate valve", "box": [4, 6, 20, 30], "score": 0.93, "origin": "both",
                        "doubt": "remote says ball valve"});
    let record = json!({"schema": 1, "type": "label", "path": "scans/p0.jpg", "file": "train/p0.jpg", "status": "ok",
                        "width": 100, "height": 90, "objects": [object]});
    write(&start, "ocellus.jsonl", format!("{record}\n"));
    for format in ["coco", "anylabeling", "labelstudio", "yolo"] {
        let (there, back) = (folder.path().join(format), folder.path().join(format!("{format}-back")));
        let said =
            "ocellus: does not fit as it is: scores and doubts are in ocellus.jsonl, label files have none (1)\n";
        let out = convert(&start, format, &there, &[]);
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), if format == "yolo" { said } else { "" }), "{format}");
        let out = convert(&there, "yolo", &back, &[]);
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), said), "{format}");
        let text = fs::read_to_string(back.join("ocellus.jsonl")).unwrap();
        let records: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(records.len(), 10);
        let found = records.iter().find(|r| r["file"] == "train/p0.jpg").unwrap();
        let mut known = found["objects"][0].clone();
        // Six places of a share are less than a hundredth of a pixel.
        let sides: Vec<f64> = known["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(sides.iter().zip([4.0, 6.0, 20.0, 30.0]).all(|(a, b)| (a - b).abs() < 0.01), "{format}: {sides:?}");
        known["box"] = object["box"].clone();
        assert_eq!(known, object, "{format}");
        if format == "yolo" {
            assert_eq!(found["path"], "scans/p0.jpg");
        }
    }
    let out = convert(&start, "voc", folder.path().join("voc"), &[]);
    assert_eq!(out.stderr, "ocellus: does not fit as it is: doubts are left out (1)\n");
    let xml = fs::read_to_string(folder.path().join("voc/Annotations/p0.xml")).unwrap();
    assert!(xml.contains("<score>0.9300</score>"), "{xml}");
}

#[test]
fn boxes_become_polygons_beside_polygons() {
    let folder = temp();
    let start = folder.path().join("start");
    let shapes = json!([
        {"label": "a", "shape_type": "rectangle", "points": [[10, 20], [50, 20], [50, 45], [10, 45]], "score": 0.5},
        {"label": "a", "shape_type": "polygon", "points": [[60, 20], [90, 20], [75, 45], [60, 20]]},
        {"label": "b", "shape_type": "line", "points": [[1, 2], [3, 4]]}]);
    let all = json!({"version": "2.4", "shapes": shapes, "imagePath": "x.png", "imageWidth": 100, "imageHeight": 50});
    write(&start, "x.json", all.to_string());
    write(&start, "x.png", png(&picture(1, 100, 50)));
    let yolo = folder.path().join("yolo");
    let out = convert(&start, "yolo", &yolo, &[]);
    assert_eq!(out.code, Some(0));
    for words in ["boxes became polygons of four corners", "shapes of the kind line are left out (1)"] {
        assert!(out.stderr.contains(words), "{out:?}");
    }
    let text = fs::read_to_string(yolo.join("labels/train/x.txt")).unwrap();
    let expected = "0 0.100000 0.400000 0.500000 0.400000 0.500000 0.900000 0.100000 0.900000\n\
                    0 0.600000 0.400000 0.900000 0.400000 0.750000 0.900000\n";
    assert_eq!(text, expected);
    // The record knows that it was a box.
    let back = folder.path().join("back");
    assert_eq!(convert(&yolo, "anylabeling", &back, &[]).code, Some(0));
    let all: Value = serde_json::from_slice(&fs::read(back.join("train/x.json")).unwrap()).unwrap();
    let kinds: Vec<&str> =
        all["shapes"].as_array().unwrap().iter().map(|s| s["shape_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["rectangle", "polygon"]);
}

/// Names of files and what is in them.
type Files<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn other_layouts_are_read() {
    let folder = temp();
    let size = (100, 90);
    let (bytes, text) = (png(&picture(3, 100, 90)), labels(3, size, false));
    let classes = "gate valve\npump\nt\n";
    let yaml = "train: ../train/images\nval: ../valid/images\nnc: 3\nnames: ['gate valve', pump, t]\n";
    let here = folder.path().to_str().unwrap();
    let absolute = format!("path: {here}/with-path/data\ntrain: images\nval: images\nnames: [gate valve, pump, t]\n");
    let listed = "train: list.txt\nval: list.txt\nnames: [gate valve, pump, t]\n";
    let layouts: [(&str, Files, &str); 6] = [
        ("flat", &[("x.png", &bytes), ("x.txt", text.as_bytes()), ("classes.txt", classes.as_bytes())], "train"),
        (
            "two",
            &[("images/x.png", &bytes), ("labels/x.txt", text.as_bytes()), ("labels/classes.txt", classes.as_bytes())],
            "train",
        ),
        (
            "parts",
            &[("images/val/x.png", &bytes), ("labels/val/x.txt", text.as_bytes()), ("classes.txt", classes.as_bytes())],
            "val",
        ),
        (
            "roboflow",
            &[
                ("train/images/y.png", b""),
                ("valid/images/x.png", &bytes),
                ("valid/labels/x.txt", text.as_bytes()),
                ("data.yaml", yaml.as_bytes()),
            ],
            "val",
        ),
        (
            "with-path",
            &[("data/images/x.png", &bytes), ("data/labels/x.txt", text.as_bytes()), ("my.yaml", absolute.as_bytes())],
            "train",
        ),
        (
            "listed",
            &[
                ("a/images/x.png", &bytes),
                ("a/labels/x.txt", text.as_bytes()),
                ("list.txt", b"./a/images/x.png\n"),
                ("data.yaml", listed.as_bytes()),
            ],
            "train",
        ),
    ];
    for (name, files, part) in layouts {
        let start = folder.path().join(name);
        files.iter().for_each(|(file, bytes)| write(&start, file, bytes));
        let out = folder.path().join(format!("{name}-out"));
        let ran = convert(&start, "yolo", &out, &["--from", "yolo"]);
        match name {
            // The picture without a byte is told, the other is converted.
            "roboflow" => {
                assert_eq!(ran.code, Some(2), "{ran:?}");
                assert!(ran.stderr.contains("y.png: the file is empty") && ran.stderr.lines().count() == 1, "{ran:?}");
            }
            _ => ran.assert_quiet(0),
        }
        assert_eq!(fs::read_to_string(out.join(format!("labels/{part}/x.txt"))).unwrap(), text, "{name}");
        let yaml = fs::read_to_string(out.join("data.yaml")).unwrap();
        assert!(yaml.contains("0: \"gate valve\"\n  1: \"pump\"\n  2: \"t\"\n"), "{yaml}");
    }
}

#[test]
fn names_are_told_apart_and_groups_stay_together() {
    let folder = temp();
    let start = folder.path().join("start");
    // Twelve different pictures in folders with the same names, each beside a copy of lower quality.
    for i in 0..12u64 {
        let picture = picture(i, 300, 200);
        write(&start, &format!("{i}/a.jpg"), jpeg(&picture));
        let mut small = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut small, 60).encode_image(&picture).unwrap();
        write(&start, &format!("{i}/b.jpg"), small);
        for name in ["a", "b"] {
            write(&start, &format!("{i}/{name}.txt"), labels(i as u32 % 3, (300, 200), false));
        }
    }
    write(&start, "classes.txt", "gate valve\npump\nt\n");
    let split = |out: &str, seed: &str| {
        let out = folder.path().join(out);
        let ran = convert(&start, "yolo", &out, &["--split", "0.5,0.25,0.25", "--seed", seed, "--json"]);
        ran.assert_quiet(0);
        assert_eq!(ran.record()["splits"], json!({"train": 12, "val": 6, "test": 6}), "{ran:?}");
        out
    };
    let (one, again, other) = (split("one", "1"), split("again", "1"), split("other", "2"));
    same_tree(&one, &again);
    assert_ne!(tree(&one.join("labels")), tree(&other.join("labels")));
    let mut all: Vec<String> =
        ["train", "val", "test"].iter().flat_map(|p| names(one.join("images").join(p))).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 24);
    let checked = run(["label", "check", "--json", one.to_str().unwrap()]);
    assert!(!checked.stdout.contains("leakage"), "{checked:?}");
    let linked = folder.path().join("linked");
    convert(&start, "yolo", &linked, &["--link"]).assert_quiet(0);
    fs::write(start.join("0/a.jpg"), b"changed").unwrap();
    let kept = fs::read(linked.join("images/train/a.jpg")).unwrap();
    assert!(kept == b"changed", "a link shows what the file became");
    // A picture without a label file has no objects.
    fs::write(start.join("0/a.jpg"), jpeg(&picture(50, 60, 40))).unwrap();
    fs::remove_file(start.join("0/a.txt")).unwrap();
    let out = convert(&start, "coco", folder.path().join("coco"), &["--json"]);
    assert_eq!((out.code, &out.record()["pictures"]), (Some(0), &json!(24)), "{out:?}");
    assert!(out.stderr.ends_with("pictures without a label file have no objects (1)\n"), "{out:?}");
}

#[test]
fn nothing_is_overwritten_and_bad_input_is_told() {
    let folder = temp();
    let start = folder.path().join("start");
    data_set(&start, false);
    let before = tree(&start);
    convert(&start, "coco", &start, &[]).assert_error(&["start", "not empty", "--out"]);
    let path = |name: &str| folder.path().join(name);
    convert(&start, "csv", path("o"), &[]).assert_error(&["csv", "yolo, coco, voc"]);
    convert(&start, "coco", path("o"), &["--split", "1,2"]).assert_error(&["--split", "three shares"]);
    convert(&start, "coco", path("o"), &["--split", "0,1,1"]).assert_error(&["--split"]);
    convert(path("none"), "coco", path("o"), &[]).assert_error(&["none", "cannot read"]);
    fs::create_dir(path("nothing")).unwrap();
    convert(path("nothing"), "coco", path("o"), &[]).assert_error(&["nothing", "no labels", "--from"]);
    write(folder.path(), "broken/data.yaml", "train: [a\n");
    convert(path("broken"), "coco", path("o"), &[]).assert_error(&["data.yaml", "no YAML"]);
    write(folder.path(), "gone/data.yaml", "train: images/train\nval: v\nnames: [a]\n");
    convert(path("gone"), "coco", path("o"), &[]).assert_error(&["data.yaml", "train", "is not there"]);
    let runs = r#"{"images":[{"id":1,"file_name":"x.png"}],"categories":[{"id":1,"name":"a"}],
                   "annotations":[{"id":5,"image_id":1,"category_id":1,"segmentation":{"counts":"ab","size":[1,1]}}]}"#;
    write(folder.path(), "runs/x.json", runs);
    convert(path("runs"), "yolo", path("o"), &[]).assert_error(&["x.json", "annotation 5", "RLE"]);
    write(folder.path(), "lone/x.json", runs.replace("segmentation", "x").replace("\"id\":5", "\"bbox\":[1,1,5,5]"));
    let out = convert(path("lone"), "yolo", path("o"), &[]);
    assert!(out.stderr.contains("\"x.png\" is not below") && out.stderr.contains("--images"), "{out:?}");
    assert_eq!(out.code, Some(2));
    assert_eq!(out.stdout, "");
    assert!(!path("o").exists(), "nothing is left behind");
    write(folder.path(), "elsewhere/deep/x.png", png(&picture(1, 40, 40)));
    let images = at(folder.path(), "elsewhere");
    convert(path("lone"), "yolo", path("o"), &["--images", &images]).assert_quiet(0);
    assert_eq!(fs::read_to_string(path("o/labels/train/x.txt")).unwrap(), "0 0.087500 0.087500 0.125000 0.125000\n");
    assert_eq!(tree(&start), before);
}

fn check(folder: &Path, more: &[&str]) -> Output {
    run([&["label", "check", "--quiet", folder.to_str().unwrap()], more].concat())
}

#[test]
fn a_clean_data_set_passes() {
    let folder = temp();
    data_set(folder.path(), false);
    for i in 20..30 {
        let picture = picture(i, 200, 150);
        write(folder.path(), &format!("images/train/more{i}.png"), png(&picture));
        let line = |class, x| format!("{class} 0.{x} 0.3 0.1 0.1\n");
        write(folder.path(), &format!("labels/train/more{i}.txt"), [line(0, 2), line(1, 4), line(2, 6)].concat());
    }
    let out = check(folder.path(), &[]);
    out.assert_quiet(0);
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{out:?}");
    assert!(lines[1].starts_with("gate valve       ") && lines[1].contains("  20  "), "{out:?}");
    assert_eq!(lines[4], "20 pictures (train 15, val 4, test 1), 50 objects, 2 pictures without any");
    assert_eq!(lines[5], "0 errors, 0 warnings");
    check(folder.path(), &["--strict"]).assert_quiet(0);
    let records = check(folder.path(), &["--json"]).records();
    assert_eq!(records.len(), 4);
    assert_eq!((&records[0]["label"], &records[0]["objects"]), (&json!("gate valve"), &json!(20)));
    assert_eq!(records[3]["type"], "label_check");
    assert_eq!((&records[3]["errors"], &records[3]["warnings"]), (&json!(0), &json!(0)));
}

#[test]
fn everything_wrong_is_found() {
    let folder = temp();
    let root = folder.path();
    write(root, "data.yaml", "train: images/train\nval: images/val\nnames: [a, b, never]\n");
    let lines = [
        "0 0.5 0.5 0.2 0.2",
        "0 0.501 0.5 0.2 0.2",
        "1 0.5 0.501 0.2 0.2",
        "9 0.5 0.5 0.2 0.2",
        "0 0.95 0.1 0.2 0.1",
        "0 0.1 0.1 0 0.1",
        "1 0.2 0.8 0.01 0.1",
        "1 0.2 0.8 zwei 0.1",
        "1 0.2 0.8 0.1 0.1 0.7 0.6",
    ];
    write(root, "labels/train/a.txt", lines.join("\n"));
    write(root, "images/train/a.png", png(&picture(1, 100, 100)));
    write(root, "images/train/no-labels.png", png(&picture(2, 100, 100)));
    write(root, "labels/train/no-picture.txt", "0 0.5 0.5 0.2 0.2\n");
    write(root, "images/train/broken.png", b"no picture");
    write(root, "images/train/empty.png", b"");
    let whole = png(&picture(3, 100, 100));
    write(root, "images/train/cut.png", &whole[..whole.len() / 2]);
    write(root, "labels/train/cut.txt", "");
    write(root, "images/train/small.png", png(&picture(4, 100, 9)));
    write(root, "labels/train/small.txt", "");
    for (name, quality) in [("train/x", 95), ("train/y", 95), ("val/z", 60)] {
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
        picture(5, 300, 200).write_with_encoder(encoder).unwrap();
        write(root, &format!("images/{name}.jpg"), bytes);
        write(root, &format!("labels/{name}.txt"), "");
    }
    write(root, "labels/val/z.txt", b"\xff\xfe");
    write(root, "ocellus.jsonl", "{\"type\":\"label\"\n");
    let out = check(root, &["--json"]);
    out.assert_quiet(1);
    let records = out.records();
    let found: Vec<(String, String, u64)> = records
        .iter()
        .filter(|r| r["type"] == "label_problem")
        .map(|r| {
            let path = Path::new(r["path"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_string();
            (r["kind"].as_str().unwrap().to_string(), path, r["line"].as_u64().unwrap_or(0))
        })
        .collect();
    let mut expected: Vec<(String, String, u64)> = [
        ("duplicate", "a.txt", 2),
        ("conflict", "a.txt", 3),
        ("conflict", "a.txt", 3),
        ("unknown_class", "a.txt", 4),
        ("outside", "a.txt", 5),
        ("no_area", "a.txt", 6),
        ("tiny", "a.txt", 7),
        ("malformed_line", "a.txt", 8),
        ("mixed", "a.txt", 9),
        ("missing_labels", "no-labels.png", 0),
        ("missing_picture", "no-picture.txt", 0),
        ("unreadable_picture", "broken.png", 0),
        ("unreadable_picture", "empty.png", 0),
        ("unreadable_picture", "cut.png", 0),
        ("unused_picture", "small.png", 0),
        ("same_picture", "y.jpg", 0),
        ("leakage", "z.jpg", 0),
        ("malformed_line", "z.txt", 0),
        ("bad_record", "ocellus.jsonl", 1),
        ("few_objects", "data.yaml", 0),
        ("few_objects", "data.yaml", 0),
        ("unused_class", "data.yaml", 0),
        ("mixed", "data.yaml", 0),
    ]
    .map(|(kind, path, line)| (kind.to_string(), path.to_string(), line))
    .to_vec();
    let mut sorted = found.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected, "{out:?}");
    let text = check(root, &[]);
    assert!(text.stdout.contains("labels/train/a.txt:8: \"zwei\" is no number"), "{text:?}");
    assert!(text.stdout.contains("error: ") && text.stdout.trim_end().ends_with("warnings"), "{text:?}");
}

#[test]
fn warnings_fail_if_asked() {
    let folder = temp();
    write(folder.path(), "data.yaml", "train: images/train\nval: images/train\nnames: [a]\n");
    write(folder.path(), "images/train/a.png", png(&picture(1, 100, 100)));
    write(folder.path(), "labels/train/a.txt", "0 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.05 0.05\n");
    let out = check(folder.path(), &[]);
    out.assert_quiet(0);
    assert!(out.stdout.contains("data.yaml: a: 2 objects, fewer than 10"), "{out:?}");
    assert!(out.stdout.ends_with("0 errors, 1 warnings\n"), "{out:?}");
    check(folder.path(), &["--strict"]).assert_quiet(1);
    assert!(check(folder.path(), &["--min-side", "6"]).stdout.ends_with("0 errors, 2 warnings\n"));
    check(&folder.path().join("none"), &[]).assert_error(&["none", "cannot read"]);
    check(folder.path(), &["--min-side", "-1"]).assert_error(&["--min-side"]);
}
