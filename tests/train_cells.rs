//! `ocellus train cells` on a small made set: rectangles, discs and nothing, in four cells.
#![cfg(all(feature = "train", feature = "model-efficientnet-lite0"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{ocellus, run};
use image::{Rgb, RgbImage};
use imageproc::drawing::{draw_filled_circle_mut, draw_filled_rect_mut};
use imageproc::rect::Rect;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const CONFIG: &str = r#"{"Labels":{"LabelList":["box","ball"],"LabelAbbreviation":["b","o"],"LabelNumber":2},
"COIs":{"COINumber":4,"1":["rectangle",0,0,0.5,0.5],"2":["rectangle",0.5,0,0.5,0.5],
"3":["rectangle",0,0.5,0.5,0.5],"4":["polygon",0.5,0.5,1,0.5,1,1,0.5,1]}}"#;

/// `count` pictures of 128 x 128 under `root`: in each cell a red box, a blue ball, or nothing.
fn set(root: &Path, count: usize, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    std::fs::create_dir_all(root.join("images")).unwrap();
    std::fs::create_dir_all(root.join("labels")).unwrap();
    std::fs::write(root.join("c.json"), CONFIG).unwrap();
    for n in 0..count {
        let ground = rng.u8(90..170);
        let mut picture = RgbImage::from_fn(128, 128, |_, _| Rgb([0; 3].map(|_: u8| ground + rng.u8(0..20))));
        let mut bits = Vec::new();
        for cell in 0..4 {
            let (x, y) = (cell % 2 * 64 + 32 + rng.i32(-8..8), cell / 2 * 64 + 32 + rng.i32(-8..8));
            let size = rng.i32(14..22);
            bits.push(match rng.u8(0..3) {
                0 => {
                    let rect = Rect::at(x - size, y - size).of_size(2 * size as u32, 2 * size as u32);
                    draw_filled_rect_mut(&mut picture, rect, Rgb([200, rng.u8(0..80), 30]));
                    "1 0 0"
                }
                1 => {
                    draw_filled_circle_mut(&mut picture, (x, y), size, Rgb([20, rng.u8(40..110), 210]));
                    "0 1 0"
                }
                _ => "0 0 1",
            });
        }
        picture.save(root.join(format!("images/{n:03}.png"))).unwrap();
        std::fs::write(root.join(format!("labels/{n:03}.txt")), bits.join("\n")).unwrap();
    }
}

fn arguments(root: &Path, out: &str, more: &[&str]) -> Vec<String> {
    let path = |name: &str| root.join(name).display().to_string();
    let mut list =
        vec!["train".into(), "cells".into(), "--size".into(), "64".into(), "--json".into(), "--quiet".into()];
    for (flag, name) in [("--config", "c.json"), ("--images", "images"), ("--labels", "labels"), ("--out", out)] {
        list.extend([flag.to_string(), path(name)]);
    }
    list.extend(more.iter().map(|s| s.to_string()));
    list
}

fn last(records: &[Value]) -> &Value {
    records.last().expect("no record")
}

/// It learns, hazard reads what it wrote, and a training that was killed ends with the same bytes.
#[test]
fn trains_runs_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    set(root, 60, 1);
    let whole = run(arguments(root, "whole.onnx", &["--epochs", "20"]));
    whole.assert_quiet(0);
    let records = whole.records();
    let done = last(&records);
    assert!(records[0]["f1"].as_f64().unwrap() < 0.9, "an epoch is enough: the set is too easy: {}", records[0]);
    assert!(done["f1"].as_f64().unwrap() > 0.9, "{done}");
    assert_eq!(done["pictures"], 60);
    let page = std::fs::read_to_string(root.join("whole.html")).unwrap();
    assert!(page.contains("ball") && page.contains("<svg"));
    assert!(!root.join("whole.onnx.work").exists());

    // On pictures that it has not seen.
    let test = root.join("test");
    set(&test, 20, 2);
    let model = root.join("whole.onnx").display().to_string();
    let seen = run(["hazard", "--json", "--quiet", "--model", &model, &test.join("images").display().to_string()]);
    seen.assert_quiet(0);
    let (mut right, mut all) = (0, 0);
    for (n, record) in seen.records().iter().enumerate() {
        let truth = std::fs::read_to_string(test.join(format!("labels/{n:03}.txt"))).unwrap();
        for (line, cell) in truth.lines().zip(1..) {
            let expected = match line {
                "1 0 0" => Some("box"),
                "0 1 0" => Some("ball"),
                _ => None,
            };
            let text = record.to_string();
            let cells = record["cells"].as_array().unwrap_or_else(|| panic!("{text}"));
            let own = cells.iter().find(|c| c["cell"] == cell);
            let found = own.and_then(|c| c["labels"].as_array()?.first()?["label"].as_str());
            all += 1;
            right += usize::from(found == expected);
        }
    }
    assert!(all == 80 && right >= 72, "{right} of {all} cells are right: {:?}", seen.records().first());

    let mut child =
        ocellus().args(arguments(root, "part.onnx", &["--epochs", "20"])).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let third = lines.nth(2).unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(third.contains("\"epoch\":3"), "{third}");
    assert!(!root.join("part.onnx").exists());
    let rest = run(arguments(root, "part.onnx", &["--epochs", "20", "--resume"]));
    rest.assert_quiet(0);
    assert!(rest.records()[0]["epoch"].as_u64().unwrap() > 3, "{rest:?}");
    let bytes = |name: &str| std::fs::read(root.join(name)).unwrap();
    assert!(bytes("whole.onnx") == bytes("part.onnx"), "the networks differ");
}

/// A table of all that is wrong, before anything is learned.
#[test]
fn bad_sets_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    set(root, 9, 3);
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    std::fs::remove_file(root.join("labels/000.txt")).unwrap();
    std::fs::remove_file(root.join("images/001.png")).unwrap();
    write("labels/002.txt", "1 0 0");
    write("labels/003.txt", "0 0 0 0 0 1 0 0 1 0 0 1");
    write("labels/004.txt", "1 0 1 0 0 1 0 0 1 0 0 1");
    write("images/005.png", "no picture");
    let output = run(arguments(root, "m.onnx", &[]));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert_eq!(output.stdout, "");
    for words in [
        "1  pictures without a label file",
        "1  label files without a picture",
        "has 3 values, expected 12 (4 cells x 2 labels and background)",
        "cell 1 has neither a label nor the background set",
        "cell 1 has the background set beside a label",
        "1  pictures that cannot be read",
        "6 faults in the set, listed above; nothing was trained",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    assert!(!root.join("m.onnx").exists() && !root.join("m.onnx.work").exists());
}

/// Labels lie in folders like their pictures' own or all in one; a picture that breaks off is left out; of a set that shows
/// little, both parts have some.
#[test]
fn folders_and_damaged_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    set(root, 14, 5);
    for kind in ["images", "labels"] {
        std::fs::create_dir(root.join(kind).join("a")).unwrap();
        let ending = if kind == "images" { "png" } else { "txt" };
        // Of one name as one outside of the folder.
        std::fs::rename(root.join(format!("{kind}/000.{ending}")), root.join(format!("{kind}/a/001.{ending}")))
            .unwrap();
    }
    std::fs::rename(root.join("images/002.png"), root.join("images/a/002.png")).unwrap();
    std::fs::write(root.join("labels/classes.txt"), "disc").unwrap();
    let bytes = std::fs::read(root.join("images/003.png")).unwrap();
    std::fs::write(root.join("images/003.png"), &bytes[..bytes.len() / 2]).unwrap();
    for n in (4..14).filter(|n| *n != 9) {
        std::fs::write(root.join(format!("labels/{n:03}.txt")), "0 0 1 ".repeat(4)).unwrap();
    }
    let output = run(arguments(root, "m.onnx", &["--epochs", "2", "--no-mirror"]));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("003.png") && output.stderr.contains("left out"), "{output:?}");
    let done = output.records().pop().unwrap();
    assert_eq!((done["type"].as_str(), done["task"].as_str()), (Some("train"), Some("cells")));
    assert_eq!(done["pictures"], 13, "{done}");
    let held: u64 = done["classes"].as_array().unwrap().iter().take(2).map(|c| c["cells"].as_u64().unwrap()).sum();
    assert!(held > 0, "{done}");
    let same = root.join("same.onnx").display().to_string();
    run(arguments(root, "same.onnx", &["--report", &same])).assert_error(&["same.onnx"]);
    assert!(!root.join("same.onnx").exists());
}

#[test]
fn few_pictures_and_bad_options() {
    let folder = tempfile::tempdir().unwrap();
    set(folder.path(), 3, 4);
    run(arguments(folder.path(), "m.onnx", &[])).assert_error(&["3 labelled pictures, expected 8 or more"]);
    run(arguments(folder.path(), "m.onnx", &["--epochs", "0"])).assert_error(&["--epochs is 0"]);
    run(arguments(folder.path(), "m.txt", &[])).assert_error(&["ends in .onnx"]);
    let mut list: Vec<PathBuf> = arguments(folder.path(), "m.onnx", &[]).into_iter().map(PathBuf::from).collect();
    list[3] = "100".into();
    run(list).assert_error(&["multiples of 32"]);
}
