//! The whole loop: templates, labels, training, detection, on sheets that are drawn here; bad data sets; a training that is
//! cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "train")]

mod common;

use common::{at, names, ocellus, repo, run, temp};
use image::{GrayImage, Luma, imageops};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const SYMBOLS: [&str; 4] = ["equipment/pump", "valves/gate_valve", "instruments/plc_function", "equipment/fan"];
const SHEET: (u32, u32) = (640, 448);

/// A symbol with its name and its ink.
fn symbols() -> Vec<(String, GrayImage)> {
    SYMBOLS
        .iter()
        .map(|name| {
            let picture = image::open(repo(&format!("examples/drawing/templates/{name}.png"))).unwrap().to_luma8();
            (name.rsplit('/').next().unwrap().to_string(), picture)
        })
        .collect()
}

/// A sheet with symbols in free places and a line between some; what is where.
fn sheet(seed: u64, symbols: &[(String, GrayImage)]) -> (GrayImage, Vec<(String, [f64; 4])>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sheet = GrayImage::from_pixel(SHEET.0, SHEET.1, Luma([255]));
    for _ in 0..3 {
        let y = random.u32(20..SHEET.1 - 20);
        (random.u32(0..200)..random.u32(300..SHEET.0)).for_each(|x| sheet.put_pixel(x, y, Luma([0])));
    }
    let mut truth = Vec::new();
    for cell in 0..12 {
        let (name, symbol) = &symbols[random.usize(..symbols.len())];
        let (x, y) = (cell % 4 * 160 + random.u32(5..50), cell / 4 * 149 + random.u32(5..40));
        imageops::replace(&mut sheet, symbol, x.into(), y.into());
        let ink = symbol.enumerate_pixels().filter(|(_, _, p)| p.0[0] < 128).map(|(px, py, _)| (px + x, py + y));
        let (mut r, far) = ([f64::MAX, f64::MAX, 0.0, 0.0], |v: u32| f64::from(v) + 1.0);
        for (px, py) in ink {
            r = [r[0].min(px.into()), r[1].min(py.into()), r[2].max(far(px)), r[3].max(far(py))];
        }
        truth.push((name.clone(), r));
    }
    (sheet, truth)
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let area = |r: [f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    let shared = side(0) * side(1);
    shared / (area(a) + area(b) - shared)
}

/// Sheets and an ontology in `folder`, labelled by template matching: the data set's folder.
fn labelled(folder: &Path, count: u64) -> String {
    let templates = folder.join("templates");
    fs::create_dir_all(&templates).unwrap();
    fs::create_dir_all(folder.join("sheets")).unwrap();
    let symbols = symbols();
    symbols.iter().for_each(|(name, picture)| picture.save(templates.join(format!("{name}.png"))).unwrap());
    for seed in 0..count {
        sheet(seed, &symbols).0.save(folder.join(format!("sheets/{seed:02}.png"))).unwrap();
    }
    let (ontology, set) = (at(folder, "ontology.toml"), at(folder, "set"));
    run(["label", "ontology", "--quiet", "--out", &ontology, &at(folder, "templates")]).assert_quiet(0);
    let args = ["label", "templates", "--quiet", "--ontology", &ontology, "--out", &set, "--split", "0.8,0.2,0"];
    let labels = run(args.into_iter().chain(["--images", &at(folder, "sheets")]));
    assert_eq!(labels.code, Some(0), "{labels:?}");
    set
}

/// The middle of the way: checked, laid before a person, who rejects one label, and changed as decided.
fn reviewed(folder: &Path, set: &str) {
    let checked = run(["label", "check", "--quiet", set]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let page = at(folder, "review.html");
    let review = run(["label", "review", "--quiet", "--html", &page, set]);
    assert_eq!(review.code, Some(0), "{review:?}");
    assert!(fs::read_to_string(&page).unwrap().contains("gate_valve"));
    let records = fs::read_to_string(Path::new(set).join("ocellus.jsonl")).unwrap();
    let record: Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    let (file, object) = (record["file"].as_str().unwrap(), &record["objects"][0]);
    let decision =
        json!({"file": file, "object": {"label": object["label"], "box": object["box"]}, "decision": "reject"});
    let all = json!({"schema": 1, "type": "decisions", "dataset": "0", "decisions": [decision]});
    fs::write(folder.join("decisions.json"), all.to_string()).unwrap();
    let labels = Path::new(set).join("labels").join(file).with_extension("txt");
    let lines = || fs::read_to_string(&labels).unwrap().lines().count();
    let before = lines();
    let applied = run(["label", "apply", set, &at(folder, "decisions.json")]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(lines() + 1, before);
}

#[test]
fn from_templates_to_a_detector() {
    let folder = temp();
    let set = labelled(folder.path(), 15);
    reviewed(folder.path(), &set);
    let (out, cache) = (at(&folder, "m.onnx"), at(&folder, "features"));
    let args =
        ["train", "detect", &set, "--out", &out, "--json", "--cache", &cache, "--epochs", "100", "--patience", "100"];
    let result = run(args);
    assert_eq!(result.code, Some(0), "{result:?}");
    let records = result.records();
    let epochs: Vec<&Value> = records.iter().filter(|r| r["type"] == "epoch").collect();
    assert_eq!(epochs.len(), 100);
    let loss = |e: &Value| e["loss"].as_f64().unwrap();
    assert!(loss(epochs[99]) < loss(epochs[0]) / 2.0, "{epochs:?}");
    let end = records.last().unwrap();
    assert_eq!((end["type"].as_str(), end["task"].as_str()), (Some("train"), Some("detect")));
    assert!(end["map50"].as_f64().unwrap() > 0.85, "{end}");
    let report = fs::read_to_string(at(&folder, "m.html")).unwrap();
    for word in ["mAP50", "gate_valve", "<svg", "background"] {
        assert!(report.contains(word), "{word}");
    }

    // The network finds the symbols of sheets that it has never seen, and its boxes are tight.
    let symbols = symbols();
    let (mut found, mut right, mut wanted) = (0, 0, 0);
    for seed in 900..904 {
        let (picture, truth) = sheet(seed, &symbols);
        let file = at(&folder, &format!("new_{seed}.png"));
        picture.save(&file).unwrap();
        let record = run(["detect", "--json", "--model", &out, &file]).record();
        let objects = record["detections"].as_array().unwrap();
        let fits = |o: &Value| {
            let sides: [f64; 4] = std::array::from_fn(|i| o["box"][i].as_f64().unwrap());
            truth.iter().any(|(name, r)| o["label"] == **name && iou(sides, *r) > 0.6)
        };
        found += objects.len();
        right += objects.iter().filter(|o| fits(o)).count();
        wanted += truth.len();
    }
    let f1 = 2.0 * right as f64 / (found + wanted) as f64;
    assert!(f1 > 0.85, "{right} of {found} right, {wanted} wanted");

    // The same seed gives the same file, with features that were kept; and with another number of threads.
    let again = at(&folder, "again.onnx");
    let more = ["--quiet", "--cache", &cache, "--epochs", "2", "--out"];
    run(["train", "detect", &set].into_iter().chain(more).chain([&*again])).assert_quiet(0);
    let third = at(&folder, "third.onnx");
    run(["train", "detect", &set, "--threads", "1"].into_iter().chain(more).chain([&*third])).assert_quiet(0);
    assert_eq!(fs::read(&again).unwrap(), fs::read(&third).unwrap());
    assert!(!names(&cache).iter().any(|n| n.starts_with("state")), "the state goes when the training is done");
}

#[test]
fn a_training_goes_on_where_it_was_cut_off() {
    let folder = temp();
    let set = labelled(folder.path(), 6);
    let (whole, cut) = (at(&folder, "whole.onnx"), at(&folder, "cut.onnx"));
    let train = |out: &str| {
        let mut command = ocellus();
        command.args(["train", "detect", &set, "--quiet", "--size", "320", "--epochs", "12", "--out", out]);
        command
    };
    assert!(train(&whole).status().unwrap().success());
    let work = folder.path().join("cut.onnx.work");
    // The state after the fourth epoch: its best, its running means and its place in the schedule all count.
    let fourth = || {
        let files = fs::read_dir(&work).ok()?.flatten().map(|e| e.path());
        let state =
            files.into_iter().find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("state-")))?;
        fs::read(state).ok()?.windows(6).any(|w| w == b"[4,12,").then_some(())
    };
    let mut child = train(&cut).spawn().unwrap();
    let start = Instant::now();
    while fourth().is_none() && start.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fourth().is_some() && !Path::new(&cut).exists());
    // Other options are another training.
    let other = run(["train", "detect", &set, "--quiet", "--size", "320", "--resume", "--out", &cut]);
    other.assert_error(&["cut.onnx.work", "--resume"]);
    assert!(train(&cut).arg("--resume").status().unwrap().success());
    assert_eq!(fs::read(&whole).unwrap(), fs::read(&cut).unwrap());
    assert!(!folder.path().join("cut.onnx.work").exists());
}

/// Two trainings of one class side by side in a folder of features: each has its own state, and the second nothing to look at.
#[test]
fn trainings_share_their_features() {
    let folder = temp();
    let set = folder.path().join("set");
    fs::create_dir_all(set.join("images/train")).unwrap();
    fs::create_dir_all(set.join("labels/train")).unwrap();
    fs::write(set.join("data.yaml"), "train: images/train\nnames: [fan]\n").unwrap();
    let fans = &symbols()[3..];
    for seed in 0..4 {
        let (picture, truth) = sheet(seed, fans);
        picture.save(set.join(format!("images/train/{seed}.png"))).unwrap();
        let line = |(_, [x1, y1, x2, y2]): &(String, [f64; 4])| {
            let (w, h) = (f64::from(SHEET.0), f64::from(SHEET.1));
            format!("0 {} {} {} {}\n", (x1 + x2) / 2.0 / w, (y1 + y2) / 2.0 / h, (x2 - x1) / w, (y2 - y1) / h)
        };
        fs::write(set.join(format!("labels/train/{seed}.txt")), truth.iter().map(line).collect::<String>()).unwrap();
    }
    let (set, cache) = (set.display().to_string(), at(&folder, "cache"));
    let train = |out: &str, more: &[&str]| {
        let all = ["train", "detect", &set, "--quiet", "--json", "--size", "320", "--epochs", "3", "--cache", &cache];
        run(all.into_iter().chain(["--out", out]).chain(more.iter().copied()))
    };
    let (first, second) = (at(&folder, "first.onnx"), at(&folder, "second.onnx"));
    let out = train(&first, &[]);
    out.assert_quiet(0);
    let kept = names(&cache);
    let again = train(&second, &["--resume"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("no training to resume") && again.stderr.lines().count() == 1, "{again:?}");
    assert_eq!(names(&cache), kept);
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    // What is kept is used for nothing else: a label less, wherever it is, and the looks are those of a new folder.
    for seed in 0..4 {
        let file = folder.path().join(format!("set/labels/train/{seed}.txt"));
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.split_inclusive('\n').skip(1).collect::<String>()).unwrap();
        let (kept, fresh) = (at(&folder, "kept.onnx"), at(&folder, "fresh.onnx"));
        assert_eq!(train(&kept, &[]).code, Some(0));
        let own = at(&folder, &format!("own{seed}"));
        let args =
            ["train", "detect", &set, "--quiet", "--size", "320", "--epochs", "3", "--threads", "1", "--cache", &own];
        run(args.into_iter().chain(["--out", &fresh])).assert_quiet(0);
        assert!(fs::read(&kept).unwrap() == fs::read(&fresh).unwrap(), "{seed}");
        fs::write(&file, text).unwrap();
    }
    let found =
        run(["detect", "--json", "--quiet", "--conf", "0.01", "--model", &first, &at(&set, "images/train/0.png")]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let labels = found.record()["detections"].as_array().unwrap().clone();
    assert!(labels.iter().all(|d| d["label"] == "fan"), "{labels:?}");
}

#[test]
fn bad_data_sets_are_told_before_training() {
    let folder = temp();
    let set = folder.path().join("set");
    for part in ["train", "val"] {
        fs::create_dir_all(set.join("images").join(part)).unwrap();
        fs::create_dir_all(set.join("labels").join(part)).unwrap();
    }
    fs::write(set.join("data.yaml"), "train: images/train\nval: images/val\nnames: [a, b]\n").unwrap();
    let symbols = symbols();
    for (seed, name) in ["train/0", "train/1", "val/2", "train/3"].into_iter().enumerate() {
        sheet(seed as u64, &symbols).0.save(set.join(format!("images/{name}.png"))).unwrap();
    }
    fs::write(set.join("labels/train/0.txt"), "0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n0 1.4 0.5 0.1 0.1\n").unwrap();
    fs::write(set.join("labels/val/2.txt"), "0 0.5 0.5 0.1 0.1\n").unwrap();
    fs::write(set.join("labels/train/3.txt"), "1 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n").unwrap();
    let (set, out) = (set.display().to_string(), at(&folder, "m.onnx"));
    let result = run(["train", "detect", &set, "--out", &out]);
    assert_eq!(result.code, Some(2), "{result:?}");
    for word in ["train/0.txt:2", "train/0.txt:3", "train/1.png", "errors", "--force"] {
        assert!(result.stderr.contains(word), "{word}: {}", result.stderr);
    }
    assert_eq!(names(&folder), ["set"], "nothing is left behind");
    // Nothing but a class without objects is no reason to refuse; what is wrong is left out by --force.
    let forced = run(["train", "detect", &set, "--out", &out, "--force", "--epochs", "1", "--size", "320", "--json"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    // One has no labels, of one some cannot be read: both would teach that symbols are background.
    let page = fs::read_to_string(at(&folder, "m.html")).unwrap();
    assert!(page.contains("1 pictures, 2 objects") && page.contains("1 pictures, 1 objects"), "{page}");
    let none = run(["train", "detect", &at(&folder, "nothing"), "--out", &out]);
    none.assert_error(&["nothing"]);
    run(["train", "detect", &set, "--out", &at(&folder, "m.txt")]).assert_error(&["--out", ".onnx"]);
}
