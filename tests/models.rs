//! `ocellus models`: what the binary carries is what models/models.toml says and models/ holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, repo, run, temp};
use ocellus::models::manifest::ALLOWED_LICENCES;
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn manifest() -> Vec<toml::Value> {
    let text = std::fs::read_to_string(repo("models/models.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    table["model"].as_array().unwrap().clone()
}

#[test]
fn records_agree_with_manifest_and_files() {
    let out = run(["models", "--json"]);
    out.assert_quiet(0);
    let (records, manifest) = (out.records(), manifest());
    assert_eq!(records.len(), manifest.len());
    assert!(records.len() >= 2);
    for (record, entry) in records.iter().zip(&manifest) {
        let file = std::fs::read(repo(&format!("models/{}", entry["file"].as_str().unwrap()))).unwrap();
        assert_eq!(record["schema"], 1);
        assert_eq!(record["type"], "model");
        for key in ["id", "licence", "sha256", "task", "source", "description"] {
            assert_eq!(record[key].as_str(), entry[key].as_str(), "{key}");
        }
        assert_eq!(record["sha256"], sha256(&file));
        assert_eq!(record["bytes"], file.len());
        assert!(ALLOWED_LICENCES.contains(&record["licence"].as_str().unwrap()), "{record}");
    }
}

#[test]
fn text_names_id_size_hash_and_licence() {
    let out = run(["models"]);
    out.assert_quiet(0);
    let lines: Vec<&str> = out.stdout.lines().collect();
    let manifest = manifest();
    assert_eq!(lines.len(), manifest.len());
    for (line, entry) in lines.iter().zip(&manifest) {
        let size = std::fs::metadata(repo(&format!("models/{}", entry["file"].as_str().unwrap()))).unwrap().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], entry["id"].as_str().unwrap());
        assert_eq!(words[1], format!("{:.1}", size as f64 / 1e6));
        assert!(line.contains(entry["licence"].as_str().unwrap()), "{line}");
        assert!(line.contains(&entry["sha256"].as_str().unwrap()[..16]), "{line}");
    }
}

#[test]
fn only_permissive_licences_are_allowed() {
    for licence in ALLOWED_LICENCES {
        for word in ["GPL", "NC", "SSPL", "BUSL", "proprietary"] {
            assert!(!licence.contains(word), "{licence}");
        }
    }
}

#[test]
fn unknown_models_and_bad_files_are_errors() {
    let picture = repo("tests/images/features/chelsea.png");
    run(["embed", "--model", "resnet-9000", &picture]).assert_error(&["resnet-9000", "efficientnet-lite0"]);
    let folder = temp();
    let file = at(&folder, "mine.onnx");
    run(["embed", "--model", &file, &picture]).assert_error(&["mine.onnx", "cannot read"]);
    std::fs::write(&file, b"not a network").unwrap();
    run(["embed", "--model", &file, &picture]).assert_error(&["mine.toml"]);
    let mut info = manifest()[0].clone();
    let sidecar = at(&folder, "mine.toml");
    std::fs::write(&sidecar, toml::to_string(&info).unwrap()).unwrap();
    run(["embed", "--model", &file, &picture]).assert_error(&["sha256", info["sha256"].as_str().unwrap()]);
    info["sha256"] = sha256(b"not a network").into();
    std::fs::write(&sidecar, toml::to_string(&info).unwrap()).unwrap();
    run(["embed", "--model", &file, &picture]).assert_error(&["ONNX"]);
    std::fs::write(&sidecar, "id = 'x'\nunknown = 1\n").unwrap();
    run(["embed", "--model", &file, &picture]).assert_error(&["mine.toml", "not a model description"]);
}
