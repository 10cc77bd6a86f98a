//! The embedded networks against their originals: feature vectors that the original framework computed from the same
//! pictures (tests/reference/features.json, made by tools/models/reference_features.py).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, repo, run, temp};
use ocellus::engine::Session;
use ocellus::input::{Limits, decode};
use ocellus::models::{self, Model, sha256_hex};
use ocellus::preprocess;
use ocellus::tasks::embed::{Embedder, cosine_similarity};
use serde_json::Value;

/// What the stored int8 weights may cost: the bounds.
const MEDIAN: f32 = 0.997;
const WORST: f32 = 0.993;

struct Reference {
    file: String,
    features: Vec<f32>,
}

/// The embedded networks that make vectors.
fn extractors() -> impl Iterator<Item = &'static Model> {
    models::embedded().iter().filter(|m| m.info.task == "features")
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

/// The reference vectors of `model`, the pictures' hashes checked.
fn references(model: &str) -> Vec<Reference> {
    let all: Value = serde_json::from_slice(&std::fs::read(repo("tests/reference/features.json")).unwrap()).unwrap();
    let images = all[model]["images"].as_array().unwrap_or_else(|| panic!("no reference vectors for {model}"));
    assert!(images.len() >= 8);
    images
        .iter()
        .map(|image| {
            let file = repo(&format!("tests/images/features/{}", image["file"].as_str().unwrap()));
            assert_eq!(image["sha256"], sha256_hex(&std::fs::read(&file).unwrap()), "{file} is another picture");
            Reference { file, features: floats(&image["features"]) }
        })
        .collect()
}

fn picture(file: &str) -> ocellus::Image {
    decode(file, &std::fs::read(file).unwrap(), &Limits::default()).unwrap()
}

/// `model` for pictures of the references' size, so that no resizer enters.
fn at_reference_size(model: &Model) -> Model {
    let mut model = model.clone();
    model.info.input.size = [224, 224];
    model
}

fn check(what: &str, references: &[Reference], vectors: &[Vec<f32>]) {
    assert_eq!(references.len(), vectors.len());
    let mut cosines: Vec<f32> = Vec::new();
    for (reference, vector) in references.iter().zip(vectors) {
        assert_eq!((vector.len(), reference.features.len()), (1280, 1280));
        cosines.push(cosine_similarity(&reference.features, vector));
    }
    cosines.sort_by(f32::total_cmp);
    let (worst, median) = (cosines[0], cosines[cosines.len() / 2 - 1]);
    println!("{what}: cosine to the original median {median:.5}, worst {worst:.5}");
    assert!(median >= MEDIAN && worst >= WORST, "{what}: {cosines:?}");
    // Vectors of different pictures are far apart: the agreement above means something.
    assert!(cosine_similarity(&references[0].features, &vectors[1]) < 0.9, "{what}");
}

#[test]
fn embedder_agrees_with_the_original() {
    for model in extractors() {
        let references = references(&model.info.id);
        let embedder = Embedder::new(&at_reference_size(model)).unwrap();
        let vectors: Vec<_> = references.iter().map(|r| embedder.embed(&picture(&r.file)).unwrap()).collect();
        check(&model.info.id, &references, &vectors);
    }
}

#[test]
fn session_agrees_with_the_embedder() {
    let model = at_reference_size(&models::embedded()[0]);
    let image = picture(&repo("tests/images/features/coffee.png"));
    let session = Session::load(&model, &["features"]).unwrap();
    let outputs = session.run(&preprocess::normalise(&image, &model.info.input).unwrap()).unwrap();
    assert_eq!(outputs[0].shape(), [1, 1280]);
    assert_eq!(outputs[0].data(), Embedder::new(&model).unwrap().embed(&image).unwrap());
}

#[test]
fn command_line_agrees_with_the_original() {
    let folder = temp();
    for model in extractors() {
        let references = references(&model.info.id);
        // The file as a model of the user's, for pictures of 224 x 224.
        let model = at_reference_size(model);
        let onnx = at(&folder, &format!("{}.onnx", model.info.id));
        std::fs::write(&onnx, &model.bytes[..]).unwrap();
        std::fs::write(onnx.replace(".onnx", ".toml"), toml::to_string(&model.info).unwrap()).unwrap();
        let out = run(["embed", "--model", &onnx, &repo("tests/images/features")]);
        out.assert_quiet(0);
        let records = out.records();
        for (record, reference) in records.iter().zip(&references) {
            assert_eq!(record["schema"], 1);
            assert_eq!(record["type"], "embed");
            assert_eq!(record["status"], "ok");
            assert_eq!(record["path"], reference.file);
            assert_eq!(record["dim"], 1280);
        }
        let vectors: Vec<_> = records.iter().map(|r| floats(&r["vector"])).collect();
        check(&format!("ocellus embed --model {}.onnx", model.info.id), &references, &vectors);
    }
}

#[test]
fn npy_holds_the_numbers_of_the_json() {
    let folder = temp();
    let npy = at(&folder, "vectors.npy");
    let (first, second) = (repo("tests/images/features/coffee.png"), repo("tests/images/features/grass.png"));
    let empty = at(&folder, "empty.png");
    std::fs::write(&empty, b"").unwrap();
    for id in ["efficientnet-lite0", "mobilenetv2"] {
        let json = run(["embed", "--model", id, &first, &second]);
        json.assert_quiet(0);
        let out = run(["embed", "--model", id, "--npy", &npy, &first, &empty, &second]);
        out.assert_error(&["empty.png"]);
        assert_eq!(out.stdout, "");
        let bytes = std::fs::read(&npy).unwrap();
        assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
        let start = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        assert_eq!(start % 64, 0);
        let header = std::str::from_utf8(&bytes[10..start]).unwrap();
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1280), }");
        let values: Vec<f32> =
            bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let expected: Vec<f32> = json.records().iter().flat_map(|r| floats(&r["vector"])).collect();
        assert_eq!(values, expected, "{id}");
        let embedder = Embedder::new(&models::resolve(id).unwrap()).unwrap();
        assert_eq!(values[..1280], embedder.embed(&picture(&first)).unwrap(), "{id}");
    }
}
