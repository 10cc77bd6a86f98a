//! `ocellus evaluate` on a small set in the MVTec AD layout, made of the connector's pictures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, connector, run, temp};
use image::imageops::FilterType::{Nearest, Triangle};
use serde_json::Value;
use std::path::Path;

/// The kinds of defect, with their test pictures.
const KINDS: [(&str, &[&str]); 3] = [
    ("chip", &["chip_01"]),
    ("missing_pin", &["missing_pin_01", "missing_pin_02"]),
    ("stain", &["stain_01", "stain_02"]),
];

fn copy(from: &str, to: &Path, filter: image::imageops::FilterType) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    image::open(connector(from)).unwrap().resize_exact(320, 240, filter).save(to).unwrap();
}

fn make_set(folder: &Path) {
    for i in 1..=8 {
        copy(&format!("good/{i:02}.jpg"), &folder.join(format!("train/good/{i:02}.png")), Triangle);
    }
    for i in 1..=3 {
        copy(&format!("test/good_0{i}.jpg"), &folder.join(format!("test/good/{i}.png")), Triangle);
    }
    for (kind, pictures) in KINDS {
        for name in pictures {
            copy(&format!("test/{name}.jpg"), &folder.join(format!("test/{kind}/{name}.png")), Triangle);
            let mask = folder.join(format!("ground_truth/{kind}/{name}_mask.png"));
            copy(&format!("truth/{name}_mask.png"), &mask, Nearest);
        }
    }
}

fn number(record: &Value, key: &str) -> f64 {
    record[key].as_f64().unwrap_or_else(|| panic!("{key} in {record}"))
}

#[test]
fn one_set() {
    let folder = temp();
    let set = folder.path().join("plate");
    make_set(&set);
    let set = set.to_str().unwrap();
    for method in ["classical", "patch", "cosine"] {
        let out = run(["evaluate", "--json", "--method", method, set]);
        out.assert_quiet(0);
        let record = out.record();
        assert_eq!((record["schema"].as_i64(), record["type"].as_str()), (Some(1), Some("evaluate")));
        assert_eq!((record["category"].as_str(), record["method"].as_str()), (Some("plate"), Some(method)));
        for (key, value) in [("learned", 8), ("good", 3), ("bad", 5)] {
            assert_eq!(record[key], value, "{key}");
        }
        for key in ["image_auroc", "false_calls", "escapes"] {
            assert!((0.0..=1.0).contains(&number(&record, key)), "{key}: {record}");
        }
        assert!(number(&record, "ms_per_image") > 0.0);
        assert!((1.0..8e6).contains(&number(&record, "memory_bytes")));
        let kinds: Vec<&str> =
            record["escapes_by_kind"].as_array().unwrap().iter().map(|k| k[0].as_str().unwrap()).collect();
        assert_eq!(kinds, KINDS.map(|k| k.0));
        // The share that escapes, from the kinds.
        let lost: f64 = record["escapes_by_kind"]
            .as_array()
            .unwrap()
            .iter()
            .zip(KINDS)
            .map(|(share, (_, pictures))| share[1].as_f64().unwrap() * pictures.len() as f64)
            .sum();
        assert!((number(&record, "escapes") - lost / 5.0).abs() < 1e-9, "{record}");
        if method != "cosine" {
            assert!(number(&record, "image_auroc") > 0.9, "{record}");
            assert!(number(&record, "pixel_auroc") > 0.8, "{record}");
        }
    }
}

#[test]
fn a_folder_of_sets_and_their_mean() {
    let folder = temp();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    make_set(&a);
    make_set(&b);
    // The second set has only what differs clearly, and no masks.
    std::fs::remove_dir_all(b.join("ground_truth")).unwrap();
    std::fs::remove_dir_all(b.join("test/missing_pin")).unwrap();
    std::fs::create_dir(folder.path().join("no_set")).unwrap();
    let all = folder.path().to_str().unwrap();
    let out = run(["evaluate", "--method", "classical", all]);
    out.assert_quiet(0);
    let lines: Vec<&str> = out.stdout.lines().collect();
    let first: Vec<&str> = lines.iter().map(|l| l.split_whitespace().next().unwrap()).collect();
    assert_eq!(first, ["set", "a", "b", "mean"]);
    let out = run(["evaluate", "--json", "--method", "classical", all]);
    out.assert_quiet(0);
    let records = out.records();
    assert_eq!(
        records.iter().map(|r| r["type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["evaluate", "evaluate", "evaluate_mean"]
    );
    for key in ["image_auroc", "false_calls", "escapes"] {
        let mean = (number(&records[0], key) + number(&records[1], key)) / 2.0;
        assert!((number(&records[2], key) - mean).abs() < 1e-9, "{key}");
    }
    assert_eq!(records[1]["bad"], 3);
}

#[test]
fn a_mask_of_another_size() {
    let folder = temp();
    let set = folder.path().join("plate");
    make_set(&set);
    let mask = set.join("ground_truth/chip/chip_01_mask.png");
    image::GrayImage::new(100, 50).save(&mask).unwrap();
    let out = run(["evaluate", "--json", "--method", "classical", set.to_str().unwrap()]);
    out.assert_error(&["chip_01_mask.png", "100x50", "320x240"]);
    let record = out.record();
    assert_eq!(record["bad"], 4, "the others are counted: {record}");
}

#[test]
fn what_is_no_set() {
    let folder = temp();
    run(["evaluate", folder.path().to_str().unwrap()]).assert_error(&["no test set", "train/good"]);
    run(["evaluate", &at(&folder, "gone")]).assert_error(&["gone", "cannot read"]);
    // A set whose good pictures cannot be read does not stop the others.
    let (bad, fine) = (folder.path().join("bad"), folder.path().join("fine"));
    make_set(&fine);
    for sub in ["train/good", "test/good"] {
        std::fs::create_dir_all(bad.join(sub)).unwrap();
    }
    for i in 0..3 {
        std::fs::write(bad.join(format!("train/good/{i}.png")), b"").unwrap();
    }
    let out = run(["evaluate", "--json", "--method", "classical", folder.path().to_str().unwrap()]);
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.lines().all(|l| l.starts_with("ocellus: error: ")), "{out:?}");
    let records = out.records();
    assert_eq!(records.len(), 2, "failures are records too: {out:?}");
    assert_eq!(records[0]["status"], "error");
    assert_eq!(records[1]["category"], "fine");
}
