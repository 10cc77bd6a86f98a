//! `ocellus mask` against the masks of the original frameworks, and its files, conventions and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, jpeg, names, repo, run, temp, with_orientation};
use image::GrayImage;
use serde_json::Value;
use std::path::Path;

const PERSON: &str = "examples/people/astronaut.jpg";

fn seg() -> String {
    repo("tests/models/made-seg.onnx")
}

fn shapes() -> String {
    repo("tests/images/shapes")
}

fn open(folder: impl AsRef<Path>, name: &str) -> GrayImage {
    image::open(folder.as_ref().join(name)).unwrap_or_else(|e| panic!("{name}: {e}")).into_luma8()
}

fn iou(a: impl Iterator<Item = bool>, b: impl Iterator<Item = bool>) -> f64 {
    let (common, either) = a.zip(b).fold((0, 0), |(c, e), (x, y)| (c + usize::from(x && y), e + usize::from(x || y)));
    if either == 0 { 1.0 } else { common as f64 / either as f64 }
}

/// Run lengths, row by row, background first.
fn expand(runs: &Value) -> Vec<bool> {
    let lengths = runs.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize);
    lengths.enumerate().flat_map(|(i, n)| std::iter::repeat_n(i % 2 == 1, n)).collect()
}

/// The masks that Ultralytics draws at full resolution (`retina_masks`), at all aspect ratios, class by class.
#[test]
fn yolo_masks_as_ultralytics() {
    let reference: Value =
        serde_json::from_str(&std::fs::read_to_string(repo("tests/reference/yolo.json")).unwrap()).unwrap();
    let folder = temp();
    for (class, label) in ["disc", "hình vuông", "triangle"].into_iter().enumerate() {
        let out = at(&folder, &class.to_string());
        run(["mask", "--model", &seg(), "--classes", label, "--out", &out, &shapes()]).assert_quiet(0);
        for picture in reference["models"]["made-seg.onnx"]["pictures"].as_array().unwrap() {
            let name = picture["file"].as_str().unwrap();
            let mask = open(&out, name);
            let mut expected = vec![false; mask.as_raw().len()];
            for d in picture["detections"].as_array().unwrap().iter().filter(|d| d["class"] == class) {
                for (e, inside) in expected.iter_mut().zip(expand(&d["mask"])) {
                    *e |= inside;
                }
            }
            let iou = iou(mask.as_raw().iter().map(|&v| v > 127), expected.iter().copied());
            assert!(iou >= 0.98, "{name} {label}: IoU {iou}");
        }
    }
}

/// People by default: most of the picture's middle is the astronaut, and the corners above her are not.
#[test]
fn people_are_cut_out() {
    let folder = temp();
    let (out, preview) = (at(&folder, "masks"), at(&folder, "preview"));
    let run = run(["mask", "--json", "--out", &out, "--preview", &preview, &repo(PERSON)]);
    run.assert_quiet(0);
    let record = run.record();
    assert_eq!(record["objects"][0]["label"], "person");
    let mask = open(&out, "astronaut.png");
    let share = mask.as_raw().iter().filter(|&&v| v == 255).count() as f64 / mask.as_raw().len() as f64;
    assert!((record["masked"].as_f64().unwrap() - share).abs() < 0.001);
    assert!((0.25..0.75).contains(&share), "{share}");
    // Face and shoulder; the flag behind and the shuttle model.
    assert_eq!([mask.get_pixel(225, 110).0[0], mask.get_pixel(230, 350).0[0]], [255, 255]);
    assert_eq!(mask.get_pixel(10, 10).0[0], 0);
    let tinted = image::open(at(&preview, "astronaut.png")).unwrap().into_rgb8();
    let photo = image::open(repo(PERSON)).unwrap().into_rgb8();
    assert_ne!(tinted.get_pixel(225, 110), photo.get_pixel(225, 110));
    assert_eq!(tinted.get_pixel(10, 10), photo.get_pixel(10, 10));
}

#[test]
fn conventions() {
    let folder = temp();
    let pictures = at(&folder, "photos");
    std::fs::create_dir_all(at(&pictures, "left")).unwrap();
    std::fs::copy(repo("tests/images/shapes/wide-480x270.png"), at(&pictures, "left/a.png")).unwrap();
    let plain = at(&folder, "plain");
    run(["mask", "--model", &seg(), "--out", &plain, &pictures]).assert_quiet(0);
    let objects = open(&plain, "left/a.png");
    for (convention, name) in
        [("colmap", "left/a.png.png"), ("metashape", "left/a_mask.png"), ("realitycapture", "left/a.png.mask.png")]
    {
        let out = at(&folder, convention);
        run(["mask", "--model", &seg(), "--convention", convention, "--out", &out, &pictures]).assert_quiet(0);
        let mask = open(&out, name);
        assert!(mask.pixels().zip(objects.pixels()).all(|(a, b)| a.0[0] == 255 - b.0[0]), "{convention}");
        run(["mask", "--model", &seg(), "--convention", convention, "--invert", "--out", &out, &pictures])
            .assert_quiet(0);
        assert_eq!(open(&out, name), objects, "{convention}");
    }
}

#[test]
fn masks_are_merged() {
    let folder = temp();
    let picture = repo("tests/images/shapes/wide-480x270.png");
    let (old, out) = (at(&folder, "old"), at(&folder, "out"));
    std::fs::create_dir(&old).unwrap();
    // COLMAP's: black is masked, here the left half.
    let name = "wide-480x270.png.png";
    GrayImage::from_fn(480, 270, |x, _| image::Luma([if x < 240 { 0 } else { 255 }])).save(at(&old, name)).unwrap();
    let args = ["mask", "--model", &seg(), "--convention", "colmap", "--out", &out, &picture];
    run(args).assert_quiet(0);
    let alone = open(&out, name);
    run(args.iter().chain(&["--merge", &old])).assert_quiet(0);
    let merged = open(&out, name);
    for (x, y, p) in merged.enumerate_pixels() {
        assert_eq!(p.0[0], if x < 240 { 0 } else { alone.get_pixel(x, y).0[0] }, "{x} {y}");
    }
    // Transparent is not masked, whatever colour lies below.
    let strip = image::RgbaImage::from_fn(480, 270, |x, _| image::Rgba([255, 255, 255, if x < 100 { 255 } else { 0 }]));
    strip.save(at(&old, "wide-480x270.png")).unwrap();
    let plain = ["mask", "--json", "--model", &seg(), "--out", &out, "--merge", &old, &picture];
    assert_eq!(run(plain).record()["merged"], true);
    let merged = open(&out, "wide-480x270.png");
    assert!(merged.get_pixel(99, 5).0[0] == 255 && merged.get_pixel(470, 5).0[0] == 0);
    // A folder that has none, and what is no folder.
    let none = run(["mask", "--model", &seg(), "--convention", "metashape", "--merge", &old, "--out", &out, &picture]);
    assert!(none.code == Some(0) && none.stderr.contains("1 of 1 photographs had no mask"), "{none:?}");
    run(args.iter().chain(&["--merge", &picture])).assert_error(&["not a folder"]);
    GrayImage::new(3, 3).save(at(&old, name)).unwrap();
    let wrong = run(args.iter().chain(&["--merge", &old]));
    assert!(wrong.code == Some(2) && wrong.stderr.contains("is 3x3, the picture is 480x270"), "{wrong:?}");
}

#[test]
fn a_batch_is_resumed() {
    let folder = temp();
    let out = at(&folder, "masks");
    let args = ["mask", "--model", &seg(), "--out", &out, &shapes()];
    run(args).assert_quiet(0);
    assert_eq!(names(&out).len(), 6);
    let missing = at(&out, "tall-97x411.png");
    std::fs::remove_file(&missing).unwrap();
    let resumed = run(args.iter().chain(&["--resume"]));
    assert_eq!((resumed.code, resumed.stdout.lines().count()), (Some(0), 1), "{resumed:?}");
    assert!(resumed.stderr.contains("5 of 6"), "{resumed:?}");
    let records = run(args.iter().chain(&["--resume", "--json", "--quiet"])).records();
    assert!(records.len() == 6 && records.iter().all(|r| r["status"] == "skipped"), "{records:?}");
    assert!(Path::new(&missing).is_file());
}

/// COLMAP reads photographs as they are stored, so its masks lie like that; the others are as the picture is seen.
#[test]
fn turned_photographs() {
    let folder = temp();
    let seen = image::open(repo("tests/images/shapes/photo-333x500.png")).unwrap().into_rgb8();
    // Orientation 6: stored lying on its left side.
    let stored = with_orientation(&jpeg(&image::imageops::rotate270(&seen)), 6);
    let photo = at(&folder, "p.jpg");
    std::fs::write(&photo, stored).unwrap();
    let out = at(&folder, "m");
    run(["mask", "--model", &seg(), "--out", &out, &photo]).assert_quiet(0);
    run(["mask", "--model", &seg(), "--convention", "colmap", "--invert", "--out", &out, &photo]).assert_quiet(0);
    let (upright, lying) = (open(&out, "p.png"), open(&out, "p.jpg.png"));
    assert_eq!((upright.dimensions(), lying.dimensions()), ((333, 500), (500, 333)));
    assert_eq!(image::imageops::rotate90(&lying), upright);
    assert!(upright.pixels().any(|p| p.0[0] > 0));
    // What is merged is turned too.
    let again =
        ["mask", "--model", &seg(), "--convention", "colmap", "--invert", "--merge", &out, "--out", &out, &photo];
    run(again).assert_quiet(0);
    assert_eq!(open(&out, "p.jpg.png"), lying);
}

/// RealityCapture wants masks beside the photographs: they are not masked themselves the next time.
#[test]
fn masks_beside_photographs() {
    let folder = temp();
    let photos = at(&folder, "photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::copy(repo("tests/images/shapes/plain-320x320.png"), at(&photos, "a.png")).unwrap();
    for more in [&[][..], &["--resume"]] {
        let args = ["mask", "--model", &seg(), "--convention", "realitycapture", "--out", &photos, &photos];
        let out = run(args.iter().chain(more));
        assert_eq!(out.code, Some(0), "{out:?}");
        assert_eq!(names(&photos), ["a.png", "a.png.mask.png"]);
    }
    let preview = [
        "mask",
        "--model",
        &seg(),
        "--out",
        &photos,
        "--preview",
        &photos,
        &repo("tests/images/shapes/tall-97x411.png"),
    ];
    run(preview).assert_error(&["two results"]);
}

/// A person larger than the tiles is masked as without them, or more.
#[test]
fn tiles_only_add() {
    let folder = temp();
    let photo = image::open(repo(PERSON)).unwrap().into_rgb8();
    let large = image::imageops::resize(&photo, 1024, 1024, image::imageops::FilterType::Triangle);
    let picture = at(&folder, "large.png");
    large.save(&picture).unwrap();
    let mask = |more: &[&str]| {
        let out =
            run(["mask", "--json", "--out", folder.path().join("m").to_str().unwrap(), &picture].iter().chain(more));
        (open(folder.path().join("m"), "large.png"), out.record())
    };
    let ((whole, one), (tiled, objects)) = (mask(&[]), mask(&["--tile", "400"]));
    assert!(whole.pixels().zip(tiled.pixels()).all(|(a, b)| b.0[0] >= a.0[0]));
    let people =
        |r: &Value| r["objects"].as_array().unwrap().iter().filter(|o| o["score"].as_f64() > Some(0.5)).count();
    assert_eq!((people(&one), people(&objects)), (1, 1), "{objects}");
    let found = run(["detect", "--json", "--classes", "person", "--conf", "0.5", "--tile", "400", &picture]).record();
    assert_eq!(found["detections"].as_array().unwrap().len(), 1, "{found}");
}

/// An object across the seam of a panorama is masked on both sides as it would be in the middle.
/// Turned by half, the network sees the very same picture; elsewhere objects lie otherwise on its grid, and this small one
/// draws them a little differently.
#[test]
fn the_seam_of_a_panorama() {
    across_the_seam(480, 0.98);
    across_the_seam(400, 0.8);
}

fn across_the_seam(seam: u32, least: f64) {
    let folder = temp();
    let photo = image::open(repo("tests/images/shapes/wide-480x270.png")).unwrap().into_rgb8();
    let mut middle = image::RgbImage::from_pixel(960, 480, image::Rgb([120, 120, 120]));
    image::imageops::replace(&mut middle, &photo, 240, 100);
    let turned = image::RgbImage::from_fn(960, 480, |x, y| *middle.get_pixel((x + seam) % 960, y));
    middle.save(at(&folder, "middle.png")).unwrap();
    turned.save(at(&folder, "turned.png")).unwrap();
    let mask = |name: &str, more: &[&str]| {
        let out = at(&folder, "masks");
        let picture = at(&folder, &format!("{name}.png"));
        let done =
            run(["mask", "--json", "--model", &seg(), "--dilate", "6", "--out", &out, &picture].iter().chain(more));
        done.assert_quiet(0);
        (open(&out, &format!("{name}.png")), done.record())
    };
    let (whole, expected) = mask("middle", &[]);
    let (cut, _) = mask("turned", &[]);
    let (around, found) = mask("turned", &["--equirect"]);
    let back = |m: &GrayImage| GrayImage::from_fn(960, 480, |x, y| *m.get_pixel((x + 960 - seam) % 960, y));
    let against = |m: &GrayImage| iou(back(m).pixels().map(|p| p.0[0] > 127), whole.pixels().map(|p| p.0[0] > 127));
    assert!(against(&around) > least, "{}", against(&around));
    assert!(against(&around) > against(&cut));
    let across = |r: &Value| {
        let objects = r["objects"].as_array().unwrap();
        objects.iter().filter(|o| o["box"][2].as_f64().unwrap() > 960.0).count()
    };
    assert!(across(&found) >= 1, "{found}");
    assert!(found["objects"].as_array().unwrap().len() <= expected["objects"].as_array().unwrap().len() + 1);
}

#[test]
fn growing_softening_and_leaving_out() {
    let folder = temp();
    let picture = repo("tests/images/shapes/wide-480x270.png");
    let mask = |more: &[&str]| {
        let out = at(&folder, "m");
        run(["mask", "--model", &seg(), "--out", &out, &picture].iter().chain(more)).assert_quiet(0);
        open(&out, "wide-480x270.png")
    };
    let count = |m: &GrayImage| m.pixels().filter(|p| p.0[0] > 127).count();
    let (plain, grown, soft) = (mask(&[]), mask(&["--dilate", "5"]), mask(&["--feather", "6"]));
    assert!(plain.pixels().zip(soft.pixels()).all(|(a, b)| b.0[0] >= a.0[0]));
    assert!(plain.pixels().zip(grown.pixels()).all(|(a, b)| b.0[0] >= a.0[0]) && count(&grown) > count(&plain) + 100);
    assert!(plain.pixels().all(|p| matches!(p.0[0], 0 | 255)));
    assert!(soft.pixels().filter(|p| !matches!(p.0[0], 0 | 255)).count() > 100);
    assert!(count(&mask(&["--min-area", "2000"])) < count(&plain));
    assert_eq!(count(&mask(&["--min-area", "999999"])), 0);
}

#[test]
fn bad_arguments() {
    let (folder, person) = (temp(), repo(PERSON));
    let out = at(&folder, "m");
    let bad =
        |args: &[&str], words: &[&str]| run(["mask", "--out", &out, &person].iter().chain(args)).assert_error(words);
    bad(&["--classes", "car"], &["--model", "people"]);
    bad(&["--classes", ","], &["names no class"]);
    run(["mask", "--classes", "Person", "--out", &out, &person]).assert_quiet(0);
    run(["mask", "--classes", "0", "--out", &out, &person]).assert_quiet(0);
    bad(&["--model", &repo("tests/models/made-detect.onnx")], &["no masks", "-seg"]);
    bad(&["--model", "selfie-segmentation"], &["selfie-segmentation", "detect"]);
    bad(&["--convention", "odm"], &["odm", "colmap"]);
    bad(&["--dilate", "300"], &["300", "255"]);
    bad(&[&repo("tests/images/detect/astronaut.jpg")], &["astronaut.png", "two"]);
    run(["mask", "--out", &repo("tests/images/shapes"), "--model", &seg(), &shapes()]).assert_error(&["overwritten"]);
    run(["mask", &person]).assert_error(&["--out"]);
}
