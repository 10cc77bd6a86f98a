//! `ocellus label ontology` and `label templates`: the example drawings, a photograph, runs that are cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, finish, jpeg, names, native, ocellus, repo, run, temp};
use image::{Rgb, RgbImage, imageops};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn drawing(path: &str) -> String {
    repo(&format!("examples/drawing/{path}"))
}

/// An ontology of the example's templates in `folder`.
fn ontology(folder: &Path) -> String {
    let file = at(folder, "ontology.toml");
    run(["label", "ontology", "--quiet", "--out", &file, &drawing("templates")]).assert_quiet(0);
    file
}

fn sides(value: &Value) -> [f64; 4] {
    std::array::from_fn(|i| value["box"][i].as_f64().unwrap())
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let area = |r: [f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    let shared = side(0) * side(1);
    shared / (area(a) + area(b) - shared)
}

#[test]
fn the_example_is_labelled() {
    let folder = temp();
    let ontology = ontology(folder.path());
    let out = at(&folder, "set");
    let pictures = at(&folder, "pictures");
    let args = ["label", "templates", "--quiet", "--json", "--ontology", &ontology, "--out", &out];
    let result = run(args.into_iter().chain(["--annotate", &pictures, "--images", &drawing("sheets")]));
    result.assert_quiet(0);
    let truth: Value = serde_json::from_str(&fs::read_to_string(drawing("truth.json")).unwrap()).unwrap();
    let (mut found, mut right, mut wanted) = (0, 0, 0);
    for record in result.records() {
        let name = record["file"].as_str().unwrap().to_string();
        let symbols = truth[&name].as_array().unwrap();
        let objects = record["objects"].as_array().unwrap();
        let fits = |o: &Value| symbols.iter().any(|s| s["label"] == o["label"] && iou(sides(s), sides(o)) >= 0.5);
        found += objects.len();
        wanted += symbols.len();
        right += objects.iter().filter(|o| fits(o)).count();
        assert!(objects.iter().all(|o| o["origin"] == "templates" && o["score"].as_f64().unwrap() >= 0.4));
    }
    assert_eq!(wanted, 69);
    let f1 = 2.0 * right as f64 / (found + wanted) as f64;
    assert!(f1 > 0.93, "{right} of {found} right, {wanted} wanted");
    assert_eq!(names(&pictures), ["clean.png", "scanned.png", "worn.png"]);
    // The data set has the pictures as they are, and no journal.
    assert_eq!(names(&out), ["data.yaml", "images", "labels", "ocellus.jsonl"]);
    let copies: Vec<String> = ["train", "val", "test"]
        .into_iter()
        .filter(|part| Path::new(&out).join("images").join(part).exists())
        .flat_map(|part| {
            names(Path::new(&out).join("images").join(part)).into_iter().map(move |n| format!("{part}/{n}"))
        })
        .collect();
    assert_eq!(copies.len(), 3, "{copies:?}");
    for copy in &copies {
        let original = drawing(&format!("sheets/{}", copy.rsplit('/').next().unwrap()));
        assert_eq!(fs::read(Path::new(&out).join("images").join(copy)).unwrap(), fs::read(original).unwrap());
        let labels = fs::read_to_string(Path::new(&out).join("labels").join(copy).with_extension("txt")).unwrap();
        assert!(labels.lines().count() > 15, "{labels}");
    }
    let check = run(["label", "check", "--json", &out]);
    assert_eq!(check.code, Some(0), "{check:?}");
}

#[test]
fn turned_and_mirrored_symbols_are_told_apart_and_options_count() {
    // A symbol without symmetry, turned and mirrored; one at twice the size.
    let folder = temp();
    let symbol = |x: u32, y: u32| {
        let line = |a: i64| (0..3).contains(&a);
        let (x, y) = (i64::from(x), i64::from(y));
        let inside = (10..70).contains(&x) && (10..50).contains(&y);
        inside && (line(x - 10) || line(y - 10) || line(x + y - 60) || (x < 40 && line(y - 30)) || line(47 - y))
    };
    let ink = |on: bool| Rgb([if on { 20u8 } else { 250 }; 3]);
    let template = RgbImage::from_fn(80, 60, |x, y| ink(symbol(x, y)));
    fs::create_dir(at(&folder, "templates")).unwrap();
    template.save(at(&folder, "templates/flag.png")).unwrap();
    let ontology = at(&folder, "ontology.toml");
    run(["label", "ontology", "--quiet", "--out", &ontology, &at(&folder, "templates")]).assert_quiet(0);
    let mut sheet = RgbImage::from_pixel(900, 400, ink(false));
    let twice = imageops::resize(&template, 160, 120, imageops::FilterType::Triangle);
    let mut put = |picture: &RgbImage, x: i64| imageops::replace(&mut sheet, picture, x, 100);
    put(&template, 50);
    put(&imageops::rotate90(&template), 200);
    put(&imageops::flip_horizontal(&template), 350);
    put(&twice, 600);
    sheet.save(at(&folder, "sheet.png")).unwrap();
    let columns = |more: &[&str], out: &str| {
        let images = at(&folder, "sheet.png");
        let out = at(&folder, out);
        let args =
            ["label", "templates", "--quiet", "--json", "--ontology", &ontology, "--out", &out, "--images", &images];
        let result = run(args.iter().chain(more));
        result.assert_quiet(0);
        let record = result.record();
        let mut boxes: Vec<[f64; 4]> = record["objects"].as_array().unwrap().iter().map(sides).collect();
        boxes.sort_by(|a, b| a[0].total_cmp(&b[0]));
        boxes.iter().map(|b| b.map(|v| v.round() as i64)).collect::<Vec<_>>()
    };
    let near = |found: &[[i64; 4]], expected: &[[i64; 4]]| {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (f, e) in found.iter().zip(expected) {
            assert!(f.iter().zip(e).all(|(f, e)| (f - e).abs() <= 2), "{found:?}");
        }
    };
    let (upright, turned, mirrored) = ([60, 110, 120, 150], [210, 110, 250, 170], [360, 110, 420, 150]);
    near(&columns(&[], "a"), &[upright, turned, mirrored]);
    near(&columns(&["--no-mirror"], "b"), &[upright, turned]);
    near(&columns(&["--rotation-step", "0"], "c"), &[upright, mirrored]);
    near(&columns(&["--scales", "1.8-2.2", "--no-mirror"], "d"), &[[620, 120, 740, 200]]);
    let out = at(&folder, "e");
    let args = ["label", "templates", "--ontology", &ontology, "--out", &out, "--images", &at(&folder, "sheet.png")];
    run(args.iter().chain(&["--scales", "2-1"])).assert_error(&["scales from 2 to 1"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn an_object_is_found_in_another_photograph_of_it() {
    // A face: in another light, larger, and turned by half.
    let photo = image::open(repo("examples/people/astronaut.jpg")).unwrap().to_rgb8();
    let (x, y, side) = (160, 40, 150);
    let crop = imageops::crop_imm(&photo, x, y, side, side).to_image();
    let folder = temp();
    fs::create_dir(at(&folder, "templates")).unwrap();
    crop.save(at(&folder, "templates/face.png")).unwrap();
    let mut other = imageops::rotate180(&photo);
    let (width, height) = (photo.width() * 11 / 10, photo.height() * 11 / 10);
    other = imageops::resize(&other, width, height, imageops::FilterType::CatmullRom);
    other.pixels_mut().for_each(|p| p.0 = p.0.map(|v| (f32::from(v) * 0.7 + 30.0) as u8));
    fs::write(at(&folder, "other.jpg"), jpeg(&other)).unwrap();
    let ontology = at(&folder, "ontology.toml");
    run(["label", "ontology", "--quiet", "--out", &ontology, &at(&folder, "templates")]).assert_quiet(0);
    let args = ["label", "templates", "--quiet", "--json", "--ontology", &ontology];
    let (out, image) = (at(&folder, "set"), at(&folder, "other.jpg"));
    let result = run(args.into_iter().chain(["--out", &out, "--images", &image]));
    result.assert_quiet(0);
    let record = result.record();
    let objects = record["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 1, "{record}");
    let (w, h) = (f64::from(photo.width()), f64::from(photo.height()));
    let (x, y, side) = (f64::from(x), f64::from(y), f64::from(side));
    let expected = [w - x - side, h - y - side, w - x, h - y].map(|v| v * 1.1);
    assert!(iou(sides(&objects[0]), expected) > 0.85, "{record} {expected:?}");
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let folder = temp();
    let ontology = ontology(folder.path());
    let images = at(&folder, "images");
    fs::create_dir(&images).unwrap();
    for (i, sheet) in
        ["clean.png", "scanned.jpg", "worn.jpg", "clean.png", "scanned.jpg", "worn.jpg"].iter().enumerate()
    {
        fs::copy(drawing(&format!("sheets/{sheet}")), at(&images, &format!("{i}-{sheet}"))).unwrap();
    }
    let (whole, cut) = (at(&folder, "whole"), at(&folder, "cut"));
    let args = |out: &str, more: &[&str]| {
        let args = ["label", "templates", "--quiet", "--threads", "1", "--ontology", &ontology, "--images", &images];
        args.iter().chain(&["--out", out]).chain(more).map(|s| s.to_string()).collect::<Vec<_>>()
    };
    run(args(&whole, &[])).assert_quiet(0);
    let mut child = native().args(args(&cut, &[])).spawn().unwrap();
    let journal = Path::new(&cut).join("journal.jsonl");
    let start = Instant::now();
    // Killed as soon as one picture is done and before all are.
    while fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 2 {
        assert!(start.elapsed() < Duration::from_secs(120) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = fs::read_to_string(&journal).unwrap().lines().count() - 1;
    assert!((1..6).contains(&done), "{done}");
    assert!(!Path::new(&cut).join("data.yaml").exists());
    // The middle of a line, as a crash may leave it.
    fs::write(&journal, fs::read_to_string(&journal).unwrap() + "{\"schema\":1,\"ty").unwrap();
    run(args(&cut, &[])).assert_error(&["cut off", "--resume"]);
    run(args(&cut, &["--resume", "--conf", "0.9"])).assert_error(&["other templates, classes or options"]);
    let resumed = finish(ocellus().args(args(&cut, &["--resume", "--json"])), b"");
    resumed.assert_quiet(0);
    assert_eq!(resumed.records().len(), 6 - done, "{resumed:?}");
    let content = |out: &str| {
        let mut files: Vec<(String, Vec<u8>)> = walkdir::WalkDir::new(out)
            .into_iter()
            .map(|e| e.unwrap().into_path())
            .filter(|p| p.is_file())
            .map(|p| (p.strip_prefix(out).unwrap().display().to_string(), fs::read(&p).unwrap()))
            .collect();
        files.sort();
        files
    };
    assert!(content(&cut) == content(&whole));
    // Once more: nothing is left, and nothing changes.
    let again = run(args(&cut, &["--resume"]));
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("nothing is left"), "{again:?}");
    assert!(content(&cut) == content(&whole));
    run(args(&cut, &[])).assert_error(&["is not empty"]);
    // The same drawings are never parts of train and of val.
    let part = |name: &str| {
        content(&cut).iter().find(|(f, _)| f.ends_with(name)).map(|(f, _)| f.split('/').nth(1).unwrap().to_string())
    };
    for (a, b) in [("0-clean.png", "3-clean.png"), ("1-scanned.jpg", "4-scanned.jpg"), ("2-worn.jpg", "5-worn.jpg")] {
        assert!(part(a).is_some() && part(a) == part(b));
    }
}

#[test]
fn bad_templates_and_pictures_are_told() {
    let folder = temp();
    let templates = at(&folder, "templates");
    fs::create_dir_all(at(&templates, "valves")).unwrap();
    let gate = drawing("templates/valves/gate_valve.png");
    fs::copy(&gate, at(&templates, "valves/gate.png")).unwrap();
    imageops::rotate90(&image::open(&gate).unwrap().to_rgb8()).save(at(&templates, "valves/turned.png")).unwrap();
    RgbImage::from_pixel(60, 60, Rgb([255; 3])).save(at(&templates, "blank.png")).unwrap();
    fs::write(at(&templates, "text.png"), "no picture").unwrap();
    let file = at(&folder, "o.toml");
    let made = run(["label", "ontology", "--out", &file, &templates]);
    assert_eq!(made.code, Some(2), "{made:?}");
    assert!(made.stderr.contains("text.png"), "{made:?}");
    let told = |words: [&str; 2]| made.stdout.lines().any(|l| words.iter().all(|w| l.contains(w)));
    assert!(told(["blank: ", "blank.png"]) && told(["duplicate: ", "turned.png"]), "{made:?}");
    assert!(told(["2 classes", "valves 2"]), "{made:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("name = \"gate\"\nprompt = \"gate valve\""), "{text}");
    run(["label", "ontology", "--out", &file, &templates]).assert_error(&["is there already", "--force"]);
    fs::remove_file(at(&templates, "text.png")).unwrap();
    let made = run(["label", "ontology", "--force", "--json", "--out", &file, &templates]);
    assert_eq!((made.code, made.records().len()), (Some(1), 3), "{made:?}");

    // Edited by hand: both pictures are one class.
    let joined = "version = 1\ntemplates = \"templates\"\n[[class]]\nname = \"gate\"\ntemplates = [\"valves/gate.png\", \"valves/turned.png\"]\n";
    fs::write(&file, joined).unwrap();
    let images = at(&folder, "images");
    fs::create_dir(&images).unwrap();
    fs::copy(drawing("sheets/clean.png"), at(&images, "a.png")).unwrap();
    fs::write(at(&images, "b.png"), "no picture").unwrap();
    RgbImage::from_pixel(1, 1, Rgb([9; 3])).save(at(&images, "c.png")).unwrap();
    let out = at(&folder, "set");
    let result = run(["label", "templates", "--ontology", &file, "--images", &images, "--out", &out]);
    assert_eq!(result.code, Some(2), "{result:?}");
    assert!(result.stderr.contains("b.png") && result.stderr.lines().count() == 1, "{result:?}");
    assert!(result.stdout.contains("c.png  0 objects"), "{result:?}");
    assert!(result.stdout.lines().last().unwrap().contains("2 pictures"), "{result:?}");

    fs::write(&file, joined.replace("[[class]]", "[[klass]]")).unwrap();
    run(["label", "templates", "--ontology", &file, "--images", &images, "--out", &out])
        .assert_error(&["o.toml", "line 3"]);
    fs::write(&file, joined.replace("valves/gate.png", "valves/none.png")).unwrap();
    let other = at(&folder, "other");
    run(["label", "templates", "--ontology", &file, "--images", &images, "--out", &other]).assert_error(&["none.png"]);
    run(["label", "templates", "--ontology", &file, "--out", &other]).assert_error(&["--images"]);
}
