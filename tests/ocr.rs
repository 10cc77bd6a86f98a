//! `ocellus ocr` against RapidOCR and the truth, its constraints, files, flags and errors, and texts in recipes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, connector, finish, names, ocellus, repo, run, temp};
use serde_json::Value;
use std::collections::BTreeMap;

fn pictures() -> String {
    repo("tests/images/ocr")
}

fn picture(name: &str) -> String {
    repo(&format!("tests/images/ocr/{name}"))
}

fn reference() -> Vec<Value> {
    let all: Value = serde_json::from_str(&std::fs::read_to_string(repo("tests/reference/ocr.json")).unwrap()).unwrap();
    all["images"].as_array().unwrap().clone()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_string()).collect()
}

fn texts(record: &Value) -> Vec<String> {
    record["lines"].as_array().unwrap().iter().map(|l| l["text"].as_str().unwrap().to_string()).collect()
}

/// Levenshtein's distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut last = std::mem::replace(&mut row[0], i + 1);
        for (j, d) in b.iter().enumerate() {
            let next = (row[j + 1] + 1).min(row[j] + 1).min(last + usize::from(c != *d));
            last = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

/// More lines are exact than RapidOCR's, fewer characters are wrong, and reading order is the truth's.
#[test]
fn against_rapidocr() {
    let out = run(["ocr", "--json", &pictures()]);
    assert_eq!(out.code, Some(0), "{out:?}");
    let found: BTreeMap<String, Value> = out
        .records()
        .into_iter()
        .map(|r| (r["path"].as_str().unwrap().rsplit('/').next().unwrap().to_string(), r))
        .collect();
    let (mut lines, mut ours, mut theirs) = (0, (0, 0), (0, 0));
    for image in reference().iter().filter(|i| i["pattern"].is_null()) {
        let record = &found[image["file"].as_str().unwrap()];
        let truth = strings(&image["truth"]);
        let count = |read: &[String]| truth.iter().filter(|t| read.iter().any(|r| r.trim() == **t)).count();
        let wrong = |read: &[String]| distance(&truth.join("\n"), &read.join("\n"));
        let (a, b) = (texts(record), strings(&image["rapidocr"]));
        lines += truth.len();
        ours = (ours.0 + count(&a), ours.1 + wrong(&a));
        theirs = (theirs.0 + count(&b), theirs.1 + wrong(&b));
        for line in record["lines"].as_array().unwrap() {
            let chars = line["chars"].as_array().unwrap();
            assert_eq!(chars.len(), line["text"].as_str().unwrap().chars().count());
            let mean = chars.iter().map(|c| c.as_f64().unwrap()).sum::<f64>() / chars.len() as f64;
            assert!((mean - line["score"].as_f64().unwrap()).abs() < 1e-3, "{line}");
            assert_eq!(line["quad"].as_array().unwrap().len(), 4);
        }
    }
    println!("{lines} lines: ocellus {ours:?} (exact, wrong characters), RapidOCR {theirs:?}");
    assert!(ours.0 > theirs.0 && ours.1 * 10 <= theirs.1 * 8, "ocellus {ours:?}, RapidOCR {theirs:?}");
    assert!(ours.0 * 100 >= lines * 95, "{ours:?} of {lines}");
    assert!(texts(&found["no_text_02.jpg"]).is_empty());
}

/// A code that is misread becomes right under its pattern or its check digit, and its score tells that it was forced.
#[test]
fn patterns() {
    let mut better = 0;
    for image in reference().iter().filter(|i| !i["pattern"].is_null()) {
        let file = picture(image["file"].as_str().unwrap());
        let (pattern, text) = (image["pattern"].as_str().unwrap(), image["text"].as_str().unwrap());
        let mut args = vec!["ocr", "--json", "--no-detect", "--pattern", pattern];
        args.extend(image["check"].as_str().map(|c| ["--check", c]).into_iter().flatten());
        let line = &run(args.iter().chain(&[file.as_str()])).record()["lines"][0];
        assert_eq!((line["matched"].as_bool(), line["text"].as_str()), (Some(true), Some(text)), "{line}");
        if line["unconstrained"] != line["text"] {
            assert!(line["score"].as_f64() < Some(0.95), "{line}");
            better += 1;
        }
        // Another pattern does not match, and the text is what is read freely.
        let other =
            &run(["ocr", "--json", "--no-detect", "--pattern", "[A-Z]{3}#[0-9]{2}", &file]).record()["lines"][0];
        assert_eq!((other["matched"].as_bool(), &other["text"]), (Some(false), &other["unconstrained"]), "{other}");
    }
    assert!(better >= 3, "{better}");
    // On a label every line is held against the pattern: the one that matches says so.
    let out = run(["ocr", "--json", "--pattern", "Lot: [A-Z]{2}[0-9]{5}", &picture("label_01.jpg")]).record();
    let matched: Vec<&Value> = out["lines"].as_array().unwrap().iter().filter(|l| l["matched"] == true).collect();
    assert_eq!(matched.len(), 1, "{out}");
    assert_eq!(matched[0]["text"], "Lot: YU76542");
}

#[test]
fn flags_choose() {
    let label = picture("label_01.jpg");
    let plain = run(["ocr", &label]);
    plain.assert_quiet(0);
    assert_eq!(plain.stdout.lines().next(), Some("Redstone Supply"), "{plain:?}");
    // One picture's text alone; under its name if there are several.
    let two = run(["ocr", &label, &picture("no_text_02.jpg")]);
    assert!(
        two.stdout.starts_with(&format!("{label}\n")) && two.stdout.trim_end().ends_with("no_text_02.jpg"),
        "{two:?}"
    );
    let digits = run(["ocr", "--json", "--charset", "0123456789", &picture("display_05.jpg")]).record();
    assert!(texts(&digits).iter().all(|t| t.chars().all(|c| c.is_ascii_digit())), "{digits}");
    let all = run(["ocr", "--json", &label]).record();
    let quad = all["lines"][5]["quad"].as_array().unwrap();
    let side = |i: usize, k: usize| quad[i][k].as_f64().unwrap();
    let (x, y) = (side(0, 0).min(side(3, 0)) - 4.0, side(0, 1).min(side(1, 1)) - 4.0);
    let (w, h) = (side(1, 0).max(side(2, 0)) + 4.0 - x, side(2, 1).max(side(3, 1)) + 4.0 - y);
    let region = format!("{},{},{},{}", x as u32, y as u32, w as u32, h as u32);
    let part = run(["ocr", "--json", "--region", &region, &label]).record();
    assert_eq!(texts(&part), texts(&all)[5..6], "{part}");
    let found = part["lines"][0]["quad"][0][0].as_f64().unwrap();
    assert!((found - side(0, 0)).abs() < 8.0, "quads are of the picture: {found}");
    let line = run(["ocr", "--json", "--no-detect", "--region", &region, &label]).record();
    assert_eq!(texts(&line), texts(&all)[5..6], "{line}");
    assert!(texts(&run(["ocr", "--json", "--min-score", "1", &label]).record()).is_empty());
    assert!(texts(&run(["ocr", "--json", "--box-threshold", "1", &label]).record()).is_empty());
}

#[test]
fn files_and_pictures() {
    let folder = temp();
    let (label, out) = (picture("label_01.jpg"), at(&folder, "out"));
    for (format, name) in [("txt", "label_01.txt"), ("json", "label_01.json"), ("hocr", "label_01.hocr")] {
        run(["ocr", "--quiet", "--format", format, "--out", &out, &label]).assert_quiet(0);
        let text = std::fs::read_to_string(at(&out, name)).unwrap();
        assert!(text.contains("Net weight 27.3 kg"), "{text}");
    }
    assert_eq!(names(&out).len(), 3);
    let record: Value = serde_json::from_str(&std::fs::read_to_string(at(&out, "label_01.json")).unwrap()).unwrap();
    assert_eq!(record["type"], "ocr");
    let pictures = at(&folder, "pictures");
    run(["ocr", "--annotate", &pictures, &label]).assert_quiet(0);
    let (before, after) = (image::open(&label).unwrap(), image::open(at(&pictures, "label_01.png")).unwrap());
    assert_eq!((before.width(), before.height()), (after.width(), after.height()));
    assert_ne!(before.into_rgb8(), after.into_rgb8());
}

/// Turned by 180 and by 90 degrees, the lines are read all the same.
#[test]
fn turned_labels() {
    let folder = temp();
    let label = image::open(picture("label_01.jpg")).unwrap();
    let expected = texts(&run(["ocr", "--json", &picture("label_01.jpg")]).record());
    for (name, turned) in [("180.png", label.rotate180()), ("90.png", label.rotate90())] {
        turned.save(at(&folder, name)).unwrap();
        let mut found = texts(&run(["ocr", "--json", &at(&folder, name)]).record());
        let mut wanted = expected.clone();
        found.sort();
        wanted.sort();
        let same = found.iter().filter(|t| wanted.contains(t)).count();
        assert!(same + 1 >= wanted.len(), "{name}: {found:?}");
    }
}

#[test]
fn bad_input() {
    let folder = temp();
    let bad = at(&folder, "bad.png");
    std::fs::write(&bad, b"no picture").unwrap();
    let out = run(["ocr", "--json", &bad, &picture("dots_01.jpg")]);
    out.assert_error(&[&bad, "not a picture"]);
    assert_eq!((out.records()[0]["status"].as_str(), out.records()[1]["status"].as_str()), (Some("error"), Some("ok")));
    let label = picture("label_01.jpg");
    let wrong = |args: &[&str], words: &[&str]| run(["ocr", &label].iter().chain(args)).assert_error(words);
    wrong(&["--pattern", "LOT-[0-9"], &["LOT-[0-9", "unclosed"]);
    wrong(&["--check", "crc32"], &["crc32", "ean13"]);
    wrong(&["--charset", "\u{e000}"], &["--charset"]);
    wrong(&["--region", "1,2,3"], &["1,2,3"]);
    wrong(&["--region", "9000,0,10,10"], &["outside"]);
    wrong(&["--unclip-ratio", "-1"], &["--unclip-ratio"]);
    wrong(&["--format", "txt"], &["--out"]);
    wrong(&["--format", "pdf", "--out", "x"], &["pdf", "hocr"]);
    // The smallest pictures, and lines that are nothing but a line.
    for (w, h) in [(1, 1), (3000, 1), (1, 900), (40, 6)] {
        let file = at(&folder, "small.png");
        image::RgbImage::from_pixel(w, h, image::Rgb([200, 200, 200])).save(&file).unwrap();
        let out = run(["ocr", "--json", &file]);
        assert_eq!((out.code, texts(&out.record()).len()), (Some(0), 0), "{w}x{h} {out:?}");
        assert_eq!(run(["ocr", "--json", "--no-detect", &file]).code, Some(0), "{w}x{h}");
    }
    let piped = std::fs::read(&label).unwrap();
    let out = finish(ocellus().args(["ocr", "-"]), &piped);
    assert!(out.code == Some(0) && out.stdout.contains("Net weight"), "{out:?}");
}

/// The lot number of the example product is verified: its form, or the very text.
#[test]
fn texts_in_recipes() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let good = connector("good");
    let learn = |more: &[&str], out: &str| {
        let base =
            ["learn", "--quiet", "--method", "classical", "--out", out, &good, "--region", "lot=270,325,227,40:text"];
        run(base.iter().chain(more))
    };
    let learned = learn(
        &["--pattern", "lot=LOT [0-9]{6}", "--region", "name=270,256,227,40:text", "--expect", "name=CP-12/5"],
        &recipe,
    );
    learned.assert_quiet(0);
    assert!(learned.stdout.contains("lot  text  LOT [0-9]{6}"), "{learned:?}");
    let inspect = |recipe: &str, name: &str| run(["inspect", "--json", "--recipe", recipe, &connector(name)]);
    let out = inspect(&recipe, "test/good_01.jpg");
    assert_eq!(out.code, Some(0), "{out:?}");
    assert_eq!(out.record()["regions"][0]["text"], "LOT 240817");
    assert_eq!(
        (out.record()["regions"][1]["method"].as_str(), out.record()["regions"][1]["text"].as_str()),
        (Some("text"), Some("CP-12/5"))
    );
    // A letter among the digits is a fail, and the record says what is printed.
    let out = inspect(&recipe, "test/wrong_lot_01.jpg");
    let region = &out.record()["regions"][0];
    assert_eq!(
        (out.code, region["verdict"].as_str(), region["text"].as_str()),
        (Some(1), Some("fail"), Some("LOT 210B17"))
    );
    // Another text where this one was expected is a fail, with the reading in the record.
    let toml = std::fs::read_to_string(at(&recipe, "recipe.toml")).unwrap();
    std::fs::write(at(&recipe, "recipe.toml"), toml.replace("pattern = \"LOT [0-9]{6}\"", "expected = \"LOT 240818\""))
        .unwrap();
    let out = inspect(&recipe, "test/good_01.jpg");
    let region = &out.record()["regions"][0];
    assert_eq!((out.code, region["verdict"].as_str()), (Some(1), Some("fail")), "{region}");
    assert_eq!(region["text"], "LOT 240817", "{region}");
    let shown = run(["inspect", "--recipe", &recipe, "--annotate", &at(&folder, "p"), &connector("test/good_01.jpg")]);
    assert!(shown.code == Some(1) && shown.stdout.contains("read \"LOT 240817\""), "{shown:?}");

    let other = at(&folder, "other");
    learn(&[], &other).assert_error(&["lot", "--pattern", "--expect"]);
    learn(&["--pattern", "lot=[", "--region", "part=50,40,550,410"], &other).assert_error(&["lot", "["]);
    learn(&["--pattern", "label=x"], &other).assert_error(&["label"]);
    std::fs::write(at(&recipe, "recipe.toml"), toml.replace("pattern = \"LOT [0-9]{6}\"", "")).unwrap();
    run(["inspect", "--recipe", &recipe, &connector("test/good_01.jpg")]).assert_error(&["lot", "pattern", "expected"]);
}
