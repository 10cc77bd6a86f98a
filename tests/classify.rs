//! `ocellus classify` against the original network, and its files, flags and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, repo, run, temp};
use serde_json::Value;

fn labels() -> Vec<String> {
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(repo("models/models.toml")).unwrap()).unwrap();
    let model = manifest["model"].as_array().unwrap().iter().find(|m| m["task"].as_str() == Some("classes")).unwrap();
    model["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_string()).collect()
}

fn classes(record: &Value) -> &Vec<Value> {
    assert_eq!((record["type"].as_str(), record["status"].as_str()), (Some("classify"), Some("ok")), "{record}");
    record["classes"].as_array().unwrap()
}

/// The int8 head on int8 features gives the classes of the float original in PyTorch, on its photographs.
#[test]
fn imagenet_as_the_original() {
    let labels = labels();
    assert_eq!(labels.len(), 1000);
    let reference: Value =
        serde_json::from_slice(&std::fs::read(repo("tests/reference/features.json")).unwrap()).unwrap();
    for picture in reference["efficientnet-lite0"]["images"].as_array().unwrap() {
        let file = repo(&format!("tests/images/features/{}", picture["file"].as_str().unwrap()));
        let record = run(["classify", "--json", "--top", "1000", &file]).record();
        let found = classes(&record);
        assert_eq!(found.len(), 1000);
        let sum: f64 = found.iter().map(|c| c["score"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        let score = |class: u64| found.iter().find(|c| c["class"] == class).unwrap()["score"].as_f64().unwrap();
        let numbers = |key: &str| picture[key].as_array().unwrap().clone();
        let (top, logits) = (numbers("top5"), numbers("top5_logits"));
        let (first, best) = (top[0].as_u64().unwrap(), logits[0].as_f64().unwrap());
        for (class, logit) in top.iter().zip(&logits) {
            // Ratios of probabilities are differences of logits.
            let (class, wanted) = (class.as_u64().unwrap(), logit.as_f64().unwrap() - best);
            let difference = (score(class) / score(first)).ln() - wanted;
            assert!(difference.abs() < 0.35, "{file}: {} off by {difference}", labels[class as usize]);
        }
        if best - logits[1].as_f64().unwrap() > 0.35 {
            assert_eq!(record["label"], labels[first as usize].as_str(), "{file}");
        }
    }
}

#[test]
fn text_names_the_best() {
    let cat = repo("tests/images/features/chelsea.png");
    let out = run(["classify", "--top", "2", &cat]);
    out.assert_quiet(0);
    assert!(
        out.stdout.starts_with(&format!("{cat}  Egyptian cat 0.")) && out.stdout.contains(", tiger cat 0."),
        "{out:?}"
    );
    let unknown = run(["classify", "--conf", "0.99", "--top=1", &cat]);
    assert!(unknown.stdout.starts_with(&format!("{cat}  unknown (Egyptian cat 0.")), "{unknown:?}");
    assert_eq!(run(["classify", "--conf", "0.99", "--json", &cat]).record()["label"], Value::Null);
    run(["classify", "--top", "0", &cat]).assert_error(&["--top"]);
}

/// A bad picture is a record in its place and does not stop the others.
#[test]
fn bad_pictures() {
    let folder = temp();
    let bad = at(&folder, "bad.jpg");
    std::fs::write(&bad, b"no picture").unwrap();
    let out = run(["classify", "--json", &bad, &repo("tests/images/features/coffee.png")]);
    assert_eq!(out.code, Some(2), "{out:?}");
    let records = out.records();
    assert_eq!((records[0]["status"].as_str(), records[1]["label"].as_str()), (Some("error"), Some("espresso")));
}

/// A network of one's own with a description beside it; other networks are told apart.
#[test]
fn files() {
    let folder = temp();
    let file = at(&folder, "mine.onnx");
    std::fs::copy(repo("models/efficientnet-lite0.onnx"), &file).unwrap();
    let cat = repo("tests/images/features/chelsea.png");
    run(["classify", "--model", &file, &cat]).assert_error(&["mine.onnx", "does not say what it is for", "mine.toml"]);
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(repo("models/models.toml")).unwrap()).unwrap();
    let mut entry = manifest["model"].as_array().unwrap()[1].clone();
    let write =
        |entry: &toml::Value| std::fs::write(at(&folder, "mine.toml"), toml::to_string(entry).unwrap()).unwrap();
    write(&entry);
    let (own, embedded) = (run(["classify", "--json", "--model", &file, &cat]), run(["classify", "--json", &cat]));
    assert_eq!(own.record()["classes"], embedded.record()["classes"]);
    entry["labels"].as_array_mut().unwrap().pop();
    write(&entry);
    run(["classify", "--model", &file, &cat]).assert_error(&["1000 classes", "999"]);
    entry["outputs"].as_table_mut().unwrap().clear();
    write(&entry);
    run(["classify", "--model", &file, &cat]).assert_error(&["class_logits"]);
    run(["classify", "--model", "nanodet-g", &cat]).assert_error(&["\"classes\""]);
    run(["classify", "--model", &repo("tests/models/made-detect.onnx"), &cat]).assert_error(&["\"detect\""]);
}
