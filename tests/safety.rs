//! What must never happen: a user's file lost, a part passed that was not seen, a stray picture learned as good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, connector, names, repo, run, temp};
use image::{Rgb, RgbImage, imageops};
use std::path::Path;

/// A picture of a made part: blocks of gray from `seed`, with noise.
fn part(width: u32, height: u32, seed: u64, noise: u64) -> RgbImage {
    let mut rng = fastrand::Rng::with_seed(seed);
    let blocks: Vec<u8> = (0..4096).map(|_| rng.u8(30..220)).collect();
    let mut rng = fastrand::Rng::with_seed(noise);
    RgbImage::from_fn(width, height, |x, y| {
        let value = blocks[((x / 9 + 64 * (y / 7)) % 4096) as usize] as i16 + rng.i16(-3..=3);
        Rgb([value as u8, (value - 10) as u8, (value / 2) as u8])
    })
}

/// Eight good pictures of the same part in `folder/good`.
fn goods(folder: &Path, width: u32, height: u32) -> String {
    let good = folder.join("good");
    std::fs::create_dir_all(&good).unwrap();
    for i in 0..8 {
        part(width, height, 1, i).save(good.join(format!("{i}.png"))).unwrap();
    }
    good.to_str().unwrap().to_string()
}

#[test]
fn annotate_does_not_overwrite_the_photographs() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let good = goods(folder.path(), 200, 150);
    run(["learn", "--quiet", "--method", "classical", "--out", &recipe, &good]).assert_quiet(0);
    let before = std::fs::read(at(&folder, "good/0.png")).unwrap();
    run(["inspect", "--recipe", &recipe, "--annotate", &good, &good]).assert_error(&["0.png", "overwritten"]);
    assert_eq!(std::fs::read(at(&folder, "good/0.png")).unwrap(), before);
    run(["embed", "--npy", &at(&folder, "good/0.png"), &good]).assert_error(&["0.png", "overwritten"]);
    assert_eq!(std::fs::read(at(&folder, "good/0.png")).unwrap(), before);
}

#[test]
fn force_spares_a_folder_with_other_files() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let good = goods(folder.path(), 200, 150);
    let learn = ["learn", "--quiet", "--force", "--method", "classical", "--out", &recipe, &good];
    run(learn).assert_quiet(0);
    run(learn).assert_quiet(0);
    std::fs::write(at(&folder, "recipe/notes.txt"), "mine").unwrap();
    run(learn).assert_error(&["notes.txt", "--out"]);
    assert_eq!(names(folder.path().join("recipe")), ["all.safetensors", "golden.png", "notes.txt", "recipe.toml"]);
}

#[test]
fn a_region_that_is_out_of_the_picture_does_not_pass() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let good = goods(folder.path(), 300, 240);
    let region = "edge=0,90,17,60:classical";
    run(["learn", "--quiet", "--align", "pose", "--region", region, "--out", &recipe, &good]).assert_quiet(0);
    // 17 pixels to the left: within the limit of the shift, and the whole region is gone.
    let shifted = imageops::crop_imm(&part(317, 240, 1, 99), 17, 0, 300, 240).to_image();
    let file = at(&folder, "shifted.png");
    shifted.save(&file).unwrap();
    let out = run(["inspect", "--recipe", &recipe, "--json", &file]);
    assert_eq!(out.code, Some(1), "{out:?}");
    let record = out.record();
    assert_eq!(record["verdict"], "misplaced", "{record}");
    assert!(record["reason"].as_str().unwrap().contains("edge"), "{record}");
    assert!(record["score"].as_f64() > record["threshold"].as_f64(), "{record}");
}

#[test]
fn a_stray_picture_is_not_learned() {
    let folder = temp();
    let (with, without) = (at(&folder, "with"), at(&folder, "without"));
    let good = goods(folder.path(), 300, 240);
    let stray = at(&folder, "stray.png");
    part(300, 240, 2, 5).save(&stray).unwrap();
    run(["learn", "--quiet", "--method", "classical", "--out", &without, &good]).assert_quiet(0);
    let out = run(["learn", "--quiet", "--method", "classical", "--out", &with, &good, &stray]);
    out.assert_error(&["stray.png", "golden part", "left out"]);
    let text = |recipe: &str| std::fs::read_to_string(at(recipe, "recipe.toml")).unwrap();
    assert_eq!(text(&with), text(&without), "a picture that was left out must change nothing");
}

#[test]
fn a_region_cannot_be_moved_away_from_its_memory() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let good = goods(folder.path(), 300, 240);
    let learn = ["learn", "--quiet", "--method", "classical", "--region", "a=10,20,100,90", "--out", &recipe, &good];
    run(learn).assert_quiet(0);
    let file = at(&recipe, "recipe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let moved = text.replace("rect = [10, 20, 100, 90]", "rect = [110, 20, 100, 90]");
    assert_ne!(moved, text);
    std::fs::write(&file, moved).unwrap();
    run(["inspect", "--recipe", &recipe, &good]).assert_error(&["10,20,100,90", "110,20,100,90", "learn"]);
}

#[test]
fn a_narrow_picture_is_aligned_in_its_own_pixels() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let good = goods(folder.path(), 600, 40);
    run(["learn", "--quiet", "--align", "pose", "--method", "classical", "--out", &recipe, &good]).assert_quiet(0);
    let shifted = imageops::crop_imm(&part(600, 43, 1, 99), 0, 3, 600, 40).to_image();
    let file = at(&folder, "shifted.png");
    shifted.save(&file).unwrap();
    let record = run(["inspect", "--recipe", &recipe, "--json", &file]).record();
    let shift = record["pose"]["shift_px"].as_array().unwrap();
    let (dx, dy) = (shift[0].as_f64().unwrap(), shift[1].as_f64().unwrap());
    assert!(dx.abs() < 0.5 && (dy + 3.0).abs() < 0.5, "{record}");
}

#[test]
fn trouble_in_the_holdout_shows_in_the_exit_code() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let good = goods(folder.path(), 200, 150);
    let gone = at(&folder, "gone");
    let learn = ["learn", "--quiet", "--method", "classical", "--holdout", &gone, "--out", &recipe, &good];
    run(learn).assert_error(&["gone"]);
    assert!(Path::new(&recipe).join("recipe.toml").is_file());
}

#[test]
fn a_model_description_that_cannot_be_is_refused() {
    let folder = temp();
    let model = at(&folder, "m.onnx");
    std::fs::copy(repo("models/mobilenetv2.onnx"), &model).unwrap();
    let manifest = std::fs::read_to_string(repo("models/models.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let entry = manifest["model"].as_array().unwrap().iter().find(|m| m["id"].as_str() == Some("mobilenetv2")).unwrap();
    for (key, value, word) in
        [("multiple", "0", "multiple"), ("size", "[0, 0]", "size"), ("std", "[0.0, 1.0, 1.0]", "std")]
    {
        let mut entry = entry.as_table().unwrap().clone();
        let value: toml::Value = toml::from_str::<toml::Table>(&format!("v = {value}")).unwrap()["v"].clone();
        entry["input"].as_table_mut().unwrap().insert(key.into(), value);
        std::fs::write(at(&folder, "m.toml"), toml::to_string(&entry).unwrap()).unwrap();
        run(["embed", "--model", &model, &connector("good/01.jpg")]).assert_error(&[word]);
    }
}
