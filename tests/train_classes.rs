//! `ocellus train classes`: what it learns, what it writes, and what it says of sets that are wrong.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, connector, names, run, temp};
use image::{RgbImage, imageops};
use serde_json::Value;
use std::path::Path;

/// Pieces of the connector's good photographs: `pins` and `edge` in folders, `count` of each, none like another.
fn pieces(folder: &Path, count: usize) -> String {
    let photos = names(connector("good"));
    for (class, x, y) in [("edge", 0.02, 0.05), ("pins", 0.35, 0.35)] {
        let place = folder.join("set").join(class);
        std::fs::create_dir_all(&place).unwrap();
        for i in 0..count {
            let photo = image::open(connector(&format!("good/{}", photos[i % photos.len()]))).unwrap().into_rgb8();
            let (w, h) = (photo.width() as f32, photo.height() as f32);
            let shift = 0.02 * (i / photos.len()) as f32;
            let (x, y) = ((w * (x + shift)) as u32, (h * y) as u32);
            let piece = imageops::crop_imm(&photo, x, y, (w * 0.3) as u32, (h * 0.3) as u32).to_image();
            piece.save(place.join(format!("{i}.png"))).unwrap();
        }
    }
    at(folder, "set")
}

fn train(set: &str, out: &str, more: &[&str]) -> common::Output {
    run(["train", "classes", set, "--out", out, "--augment", "none"].iter().chain(more))
}

/// The file that is written says of pictures what training said of them, and the same arguments give the same bytes.
#[test]
fn what_is_learned_is_classified() {
    let folder = temp();
    let set = pieces(folder.path(), 6);
    let out = at(&folder, "m.onnx");
    let trained = train(&set, &out, &["--quiet", "--json", "--val", &set, "--seed", "3"]);
    // The pictures measured are those learned from: each is left out, and nothing is left.
    trained.assert_failure(&["learned from", "no pictures"]);
    assert!(!Path::new(&out).exists());

    let trained = train(&set, &out, &["--quiet", "--json", "--seed", "3"]);
    trained.assert_quiet(0);
    let records = trained.records();
    let (last, epochs) = records.split_last().unwrap();
    assert!(epochs.len() > 1 && epochs.iter().all(|e| e["type"] == "epoch" && e["loss"].is_number()));
    let losses: Vec<f64> = epochs.iter().map(|e| e["loss"].as_f64().unwrap()).collect();
    assert!(losses.is_sorted_by(|a, b| a >= b) && (losses[0] - 2f64.ln()).abs() < 1e-4, "{losses:?}");
    assert_eq!(
        (last["type"].as_str(), last["status"].as_str(), last["task"].as_str()),
        (Some("train"), Some("ok"), Some("classify"))
    );
    assert_eq!((last["accuracy"].as_f64(), last["measured_by"].as_str()), (Some(1.0), Some("cross-validation")));
    assert_eq!(last["confusion"], serde_json::json!([[6, 0], [0, 6]]));
    assert_eq!(
        last["classes"][1],
        serde_json::json!({"name": "pins", "pictures": 6, "measured": 6, "precision": 1.0, "recall": 1.0})
    );

    let seen = run(["classify", "--json", "--model", &out, &set]).records();
    assert_eq!(seen.len(), 12);
    for record in &seen {
        let class = Path::new(record["path"].as_str().unwrap()).parent().unwrap().file_name().unwrap();
        assert_eq!(record["label"].as_str(), class.to_str(), "{record}");
        let sum: f64 = record["classes"].as_array().unwrap().iter().map(|c| c["score"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{record}");
    }
    let page = std::fs::read_to_string(at(&folder, "m.html")).unwrap();
    assert!(page.contains("accuracy") && page.contains("pins"), "{page}");

    let again = at(&folder, "again.onnx");
    train(&set, &again, &["--quiet", "--seed", "3", "--threads", "1"]).assert_quiet(0);
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&again).unwrap());
}

/// Pictures of their own are measured by the very probabilities that classify gives.
#[test]
fn other_pictures_measure() {
    let folder = temp();
    let set = pieces(folder.path(), 8);
    // The last three of each class.
    for class in ["edge", "pins"] {
        let val = folder.path().join("val").join(class);
        std::fs::create_dir_all(&val).unwrap();
        for i in 5..8 {
            std::fs::rename(
                at(folder.path().join("set").join(class), &format!("{i}.png")),
                val.join(format!("{i}.png")),
            )
            .unwrap();
        }
    }
    // One stands in the wrong class: a mistake that is known.
    let (wrong, right) = (at(&folder, "val/pins/wrong.png"), at(&folder, "val/edge/7.png"));
    std::fs::rename(&right, &wrong).unwrap();
    let (out, val) = (at(&folder, "m.onnx"), at(&folder, "val"));
    let record = train(&set, &out, &["--quiet", "--json", "--c", "1", "--val", &val]).records().pop().unwrap();
    assert_eq!((record["measured_by"].as_str(), record["c"].as_f64()), (Some("val"), Some(1.0)));
    assert_eq!(record["accuracy"].as_f64(), Some(0.83333), "{record}");
    let mistake = &record["mistakes"][0];
    assert_eq!(
        (mistake["path"].as_str(), mistake["class"].as_str(), mistake["guess"].as_str()),
        (Some(wrong.as_str()), Some("pins"), Some("edge"))
    );
    let seen = run(["classify", "--json", "--model", &out, &wrong]).record();
    let difference = seen["classes"][0]["score"].as_f64().unwrap() - mistake["score"].as_f64().unwrap();
    assert!(difference.abs() < 2e-5, "{seen} {mistake}");
    let text = train(&set, &out, &["--val", &val]);
    assert!(text.stderr.contains("iteration    0  loss 0.69315"), "{text:?}");
    assert!(
        text.stdout.contains("accuracy 0.833 (6 other pictures)") && text.stdout.contains("taken for edge"),
        "{text:?}"
    );
}

/// A part of the picture is learned, noted in the file, and cut by classify too.
#[test]
fn a_region_is_looked_at_alone() {
    let folder = temp();
    // The class is a patch at the right; the left half says the contrary.
    for (class, colour, other) in [("bad", [200, 30, 30], [30, 200, 30]), ("good", [30, 200, 30], [200, 30, 30])] {
        let place = folder.path().join("set").join(class);
        std::fs::create_dir_all(&place).unwrap();
        for i in 0..4u8 {
            let mut picture = RgbImage::from_pixel(80, 40, image::Rgb(other.map(|v: u8| v + 3 * i)));
            imageops::replace(
                &mut picture,
                &RgbImage::from_pixel(40, 40, image::Rgb(colour.map(|v: u8| v + 2 * i))),
                40,
                0,
            );
            picture.save(place.join(format!("{i}.png"))).unwrap();
        }
    }
    let (set, out, probe) = (at(&folder, "set"), at(&folder, "m.onnx"), at(&folder, "probe.png"));
    train(&set, &out, &["--quiet", "--region", "0.5,0,1,1"]).stdout.contains("accuracy 1.000").then_some(()).unwrap();
    let mut picture = RgbImage::from_pixel(80, 40, image::Rgb([200, 30, 30]));
    imageops::replace(&mut picture, &RgbImage::from_pixel(40, 40, image::Rgb([31, 201, 31])), 40, 0);
    picture.save(&probe).unwrap();
    assert_eq!(run(["classify", "--json", "--model", &out, &probe]).record()["label"], "good");
    train(&set, &out, &["--region", "0.5,0,0.5,1"]).assert_error(&["--region", "0.5,0,0.5,1"]);
    train(&set, &out, &["--recipe", &set, "--region", "a"]).assert_error(&["recipe"]);
}

/// What is wrong with a set is told before anything is learned.
#[test]
fn wrong_sets() {
    let folder = temp();
    let set = pieces(folder.path(), 2);
    let out = at(&folder, "m.onnx");
    let file = |name: &str| at(&folder, &format!("set/{name}"));
    std::fs::create_dir(file("empty")).unwrap();
    train(&set, &out, &[]).assert_failure(&["set/empty", "no pictures in this folder", "very few"]);
    std::fs::remove_dir(file("empty")).unwrap();

    std::fs::copy(file("pins/0.png"), file("edge/copy.png")).unwrap();
    train(&set, &out, &[]).assert_failure(&["the same picture as", "edge/copy.png", "is it pins or edge?"]);
    std::fs::rename(file("edge/copy.png"), file("pins/copy.png")).unwrap();
    std::fs::write(file("edge/broken.png"), b"no picture").unwrap();
    std::fs::copy(file("pins/0.png"), file("loose.png")).unwrap();
    let told = train(&set, &out, &["--quiet"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for words in ["pins/copy.png", "left out", "edge/broken.png", "not a picture", "1 pictures lie beside"] {
        assert!(told.stderr.contains(words), "{words}: {told:?}");
    }
    assert!(told.stdout.contains("2 classes, 4 pictures"), "{told:?}");

    // Nothing to measure on is no reason to measure otherwise.
    std::fs::create_dir_all(folder.path().join("val/pins")).unwrap();
    std::fs::write(folder.path().join("val/pins/0.png"), "no picture to measure on").unwrap();
    let other = at(&folder, "v.onnx");
    train(&set, &other, &["--val", &at(&folder, "val")]).assert_failure(&["--val", "none of its pictures can be read"]);

    for i in 0..2 {
        std::fs::write(file(&format!("edge/{i}.png")), format!("no picture {i}")).unwrap();
    }
    let unreadable = at(&folder, "u.onnx");
    train(&set, &unreadable, &[]).assert_failure(&["edge", "none of its pictures can be read"]);
    assert!(!Path::new(&format!("{unreadable}.work")).exists() && !Path::new(&format!("{out}.work")).exists());
    assert!(!Path::new(&unreadable).exists() && !Path::new(&at(&folder, "u.html")).exists());
    train(&at(&folder, "set/pins"), &out, &[]).assert_failure(&["two or more classes"]);
    train(&at(&folder, "nowhere"), &out, &[]).assert_error(&["nowhere", "cannot read"]);
    train(&set, &at(&folder, "m.pt"), &[]).assert_error(&["m.pt", ".onnx"]);
    train(&set, &out, &["--c", "0"]).assert_error(&["--c"]);
}

trait Refused {
    fn assert_failure(&self, words: &[&str]);
}

impl Refused for common::Output {
    /// Asserts exit code 2, nothing on standard output, and a table that says each of `words`.
    #[track_caller]
    fn assert_failure(&self, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} expected in {self:?}");
        }
        assert!(self.stderr.lines().last().is_some_and(|l| l.contains("nothing was trained")), "{self:?}");
    }
}

/// Names of classes with quotes and of other scripts come through the file.
#[test]
fn names_of_classes_come_back() {
    let folder = temp();
    let set = pieces(folder.path(), 2);
    let name = "driver's \"seat\" \\ 人";
    std::fs::rename(at(&folder, "set/pins"), at(&folder, &format!("set/{name}"))).unwrap();
    let out = at(&folder, "m.onnx");
    assert_eq!(train(&set, &out, &["--quiet"]).code, Some(0));
    let seen: Value = run(["classify", "--json", "--model", &out, &at(&folder, &format!("set/{name}/0.png"))]).record();
    assert_eq!(seen["label"], name);
}
