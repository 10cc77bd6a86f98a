//! The program built for another processor gives the results of this one's. `tools/arm-test.sh` builds that program,
//! names it in `OCELLUS_BINARY` (with the emulator in front of it) and runs these tests; without it there is nothing to
//! compare, so they are ignored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{CLASSICAL, PATCH, at, connector, finish, names, native, ocellus, repo, temp, text};
use serde_json::Value;
use std::path::Path;

/// Allowed difference of a number, relative to the greater of it and 1: the order of additions differs between
/// instruction sets, and so the last bits of 32-bit floats. Measured: below 1e-5 on both ARMs.
const TOLERANCE: f64 = 1e-4;
/// Allowed difference of a coordinate in pixels: where a heat map crosses its level moves with it. Measured: below 0.01, records are rounded to 0.1.
const PIXEL: f64 = 0.15;

/// Runs both programs; exit code and messages must be the same. The first is this machine's.
fn both(args: &[&str]) -> (common::Output, common::Output) {
    assert!(std::env::var_os("OCELLUS_BINARY").is_some(), "OCELLUS_BINARY names the program to compare");
    let (own, other) = (finish(native().args(args), b""), finish(ocellus().args(args), b""));
    assert_eq!((own.code, &own.stderr), (other.code, &other.stderr), "{args:?}");
    (own, other)
}

/// Both programs' records, which must be the same within the tolerances.
fn same_records(args: &[&str]) -> Vec<Value> {
    let (own, other) = both(args);
    let (own, other) = (own.records(), other.records());
    assert_eq!(own.len(), other.len(), "{args:?}");
    own.iter().zip(&other).for_each(|(a, b)| same(a, b, TOLERANCE, "record"));
    own
}

/// Asserts the same keys, texts and truths, and numbers that are close. Times are left out.
fn same(own: &Value, other: &Value, tolerance: f64, at: &str) {
    match (own, other) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{at}: {own} {other}");
            for (key, value) in a.iter().filter(|(key, _)| *key != "ms") {
                let tolerance = if key == "box" || key == "quad" { PIXEL } else { tolerance };
                same(value, &b[key], tolerance, &format!("{at}.{key}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{at}");
            a.iter().zip(b).enumerate().for_each(|(i, (x, y))| same(x, y, tolerance, &format!("{at}[{i}]")));
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            let scale = if tolerance == PIXEL { 1.0 } else { a.abs().max(1.0) };
            assert!((a - b).abs() <= tolerance * scale, "{at}: {a} {b}");
        }
        _ => assert_eq!(own, other, "{at}"),
    }
}

/// Asserts that two folders hold the same pictures but for a few pixels at the edges of what is drawn.
fn same_pictures(own: &Path, other: &Path) {
    assert_eq!(names(own), names(other));
    assert!(!names(own).is_empty());
    for name in names(own) {
        let [a, b] = [own, other].map(|folder| image::open(folder.join(&name)).unwrap().into_rgb8());
        assert_eq!(a.dimensions(), b.dimensions(), "{name}");
        let changed = a.pixels().zip(b.pixels()).filter(|(p, q)| (0..3).any(|c| p.0[c].abs_diff(q.0[c]) > 8)).count();
        assert!(changed * 200 < a.as_raw().len() / 3, "{name}: {changed} pixels differ");
    }
}

#[test]
#[ignore = "tools/arm-test.sh runs it"]
fn models_and_usage() {
    let (own, other) = both(&["models"]);
    assert_eq!(own.stdout, other.stdout);
    let (own, other) = both(&["inspect", "--help"]);
    assert_eq!(own.stdout, other.stdout);
    both(&["inspect", "--no-such-flag"]);
}

#[test]
#[ignore = "tools/arm-test.sh runs it"]
fn vectors() {
    for model in ["efficientnet-lite0", "mobilenetv2"] {
        let records = same_records(&["embed", "--model", model, &connector("test/good_01.jpg")]);
        assert_eq!(records[0]["dim"], 1280);
    }
}

/// Objects and people: the same ones, the same masks.
#[test]
#[ignore = "tools/arm-test.sh runs it"]
fn objects_and_masks() {
    let records = same_records(&["detect", "--json", &repo("examples/people/grace-hopper.jpg")]);
    assert!(!records[0]["detections"].as_array().unwrap().is_empty());
    let made = repo("tests/models/made-detect.onnx");
    same_records(&["detect", "--json", "--model", &made, &repo("tests/images/shapes/wide-480x270.png")]);
    let (own, other) = (temp(), temp());
    let photo = repo("examples/people/astronaut.jpg");
    for (folder, mut machine) in [(&own, native()), (&other, ocellus())] {
        let folder = folder.path().to_str().unwrap();
        let out = finish(machine.args(["mask", "--quiet", "--out", folder, &photo]), b"");
        assert_eq!(out.code, Some(0), "{out:?}");
    }
    same_pictures(own.path(), other.path());
}

/// The same text, with the same scores.
#[test]
#[ignore = "tools/arm-test.sh runs it"]
fn text_lines() {
    let records = same_records(&["ocr", "--json", "--threads", "1", &repo("tests/images/ocr/dots_01.jpg")]);
    assert_eq!(records[0]["lines"][0]["text"], "BATCH 864452");
    let code = repo("tests/images/ocr/code_blur_100.jpg");
    same_records(&["ocr", "--json", "--no-detect", "--pattern", "LOT-[0-9]{6}", &code]);
}

/// Every test picture, readable or not: the same pixels or the same complaint.
#[test]
#[ignore = "tools/arm-test.sh runs it"]
fn decoding() {
    let records = same_records(&["embed", "--model", "mobilenetv2", "--json", &repo("tests/images")]);
    assert!(records.len() > 5, "{records:?}");
}

#[test]
#[ignore = "tools/arm-test.sh runs it"]
fn inspection() {
    for recipe in [&*CLASSICAL, &*PATCH] {
        let records = same_records(&["inspect", "--json", "--recipe", text(recipe), &connector("test")]);
        for verdict in ["pass", "fail", "misplaced"] {
            assert!(records.iter().any(|r| r["verdict"] == verdict), "{verdict}");
        }
    }
}

/// A recipe that the other machine learned: same thresholds, same verdicts, same pictures.
#[test]
#[ignore = "tools/arm-test.sh runs it"]
fn learning_and_pictures() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let goods = connector("good");
    let learn = ["learn", "--quiet", "--method", "classical", "--out", &recipe, &goods];
    finish(ocellus().args(learn), b"").assert_quiet(0);
    let [own, other] =
        [text(&CLASSICAL), &recipe].map(|r| std::fs::read_to_string(Path::new(r).join("recipe.toml")).unwrap());
    let [own, other] =
        [own, other].map(|text| serde_json::to_value(toml::from_str::<toml::Table>(&text).unwrap()).unwrap());
    same(&without_hashes(own), &without_hashes(other), TOLERANCE, "recipe.toml");

    let [here, there] = ["here", "there"].map(|name| at(&folder, name));
    let stain = connector("test/stain_01.jpg");
    let pin = connector("test/missing_pin_01.jpg");
    let inspect = |recipe, pictures| ["inspect", "--json", "--recipe", recipe, "--annotate", pictures, &stain, &pin];
    let own = finish(native().args(inspect(text(&CLASSICAL), &here)), b"");
    let other = finish(ocellus().args(inspect(&recipe, &there)), b"");
    assert_eq!((own.code, other.code), (Some(1), Some(1)), "{own:?} {other:?}");
    for (a, b) in own.records().iter().zip(&other.records()) {
        same(a, b, TOLERANCE, "record");
    }
    same_pictures(here.as_ref(), there.as_ref());
}

/// A recipe's table without the hashes of what was learned, which follow the last bits of its numbers.
fn without_hashes(mut recipe: Value) -> Value {
    for region in recipe["region"].as_array_mut().unwrap() {
        region.as_object_mut().unwrap().retain(|key, _| !key.contains("sha256"));
    }
    recipe
}
