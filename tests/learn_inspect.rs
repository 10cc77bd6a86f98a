//! `ocellus learn` and `ocellus inspect` on the connector of examples/.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{CLASSICAL, PATCH, at, connector, copy_recipe, edit_recipe, finish, names, ocellus, run, temp, text};
use ocellus::models::sha256_hex;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const GOOD: &str = "test/good_01.jpg";
const BAD: &str = "test/missing_pin_01.jpg";

fn inspect(recipe: &Path, more: &[&str]) -> common::Output {
    run(["inspect", "--recipe", text(recipe)].iter().chain(more))
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Records without the times, which differ between runs.
fn timeless(out: &common::Output) -> Vec<Value> {
    let mut records = out.records();
    records.iter_mut().for_each(|r| assert!(r.as_object_mut().unwrap().remove("ms").is_some()));
    records
}

fn share_of_boxes_on(defects: &Value, mask: &image::GrayImage) -> (usize, u32) {
    let side = |b: &Value, i: usize| b["box"][i].as_f64().unwrap();
    let defects = defects.as_array().unwrap();
    let hits = defects.iter().filter(|b| {
        let mut inside = mask.enumerate_pixels().filter(|(x, y, _)| {
            let (x, y) = (f64::from(*x) + 0.5, f64::from(*y) + 0.5);
            x >= side(b, 0) && y >= side(b, 1) && x <= side(b, 2) && y <= side(b, 3)
        });
        inside.any(|(_, _, p)| p.0[0] > 127)
    });
    let area = defects.iter().map(|b| (side(b, 2) - side(b, 0)) * (side(b, 3) - side(b, 1))).sum::<f64>();
    (hits.count(), area as u32)
}

#[test]
fn recipe_folder() {
    for recipe in [&*CLASSICAL, &*PATCH] {
        assert_eq!(names(recipe), ["all.safetensors", "golden.jpg", "recipe.toml"]);
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(recipe.join("recipe.toml")).unwrap()).unwrap();
        assert_eq!(table["version"].as_integer(), Some(1));
        assert_eq!(table["good_images"].as_integer(), Some(20));
        let golden = std::fs::read(recipe.join("golden.jpg")).unwrap();
        assert_eq!(golden, std::fs::read(connector("good/01.jpg")).unwrap(), "the first good image as it is");
        assert_eq!(table["golden"]["sha256"].as_str().unwrap(), sha256_hex(&golden));
        assert_eq!(table["golden"]["width"].as_integer(), Some(640));
        assert_eq!(table["golden"]["height"].as_integer(), Some(480));
        for key in ["mode", "max_shift_px", "max_angle_deg"] {
            assert!(table["align"].get(key).is_some(), "{key}");
        }
        let regions = table["region"].as_array().unwrap();
        assert_eq!(regions.len(), 1);
        let memory = std::fs::read(recipe.join(regions[0]["memory"].as_str().unwrap())).unwrap();
        assert_eq!(regions[0]["sha256"].as_str().unwrap(), sha256_hex(&memory));
        assert!(memory.len() < 8_000_000, "{}", memory.len());
        assert!(regions[0]["threshold"].as_float().unwrap() > 0.0);
    }
    let classical = std::fs::read_to_string(CLASSICAL.join("recipe.toml")).unwrap();
    assert!(!classical.contains("[model]"), "a recipe without a network names none");
    let patch: toml::Table = toml::from_str(&std::fs::read_to_string(PATCH.join("recipe.toml")).unwrap()).unwrap();
    let model = ocellus::models::resolve(patch["model"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(patch["model"]["sha256"].as_str().unwrap(), sha256_hex(&model.bytes));
}

#[test]
fn good_parts_pass() {
    let goods: Vec<String> = (1..=4).map(|i| connector(&format!("test/good_0{i}.jpg"))).collect();
    let goods: Vec<&str> = goods.iter().map(String::as_str).collect();
    for recipe in [&*CLASSICAL, &*PATCH] {
        let out = inspect(recipe, &goods);
        out.assert_quiet(0);
        assert_eq!(out.stdout.lines().count(), 4);
        for (line, name) in out.stdout.lines().zip(&goods) {
            assert!(line.starts_with(&format!("PASS  {name}  score ")), "{line}");
        }
    }
}

#[test]
fn defects_fail_and_are_found_where_they_are() {
    let defects =
        ["missing_pin_01", "missing_pin_02", "missing_screw_01", "stain_01", "stain_02", "chip_01", "scratch_01"];
    for recipe in [&*CLASSICAL, &*PATCH] {
        for name in defects {
            let out = inspect(recipe, &["--json", &connector(&format!("test/{name}.jpg"))]);
            out.assert_quiet(1);
            let record = out.record();
            assert_eq!(record["verdict"], "fail", "{record}");
            let mask = image::open(connector(&format!("truth/{name}_mask.png"))).unwrap().into_luma8();
            let (hits, area) = share_of_boxes_on(&record["regions"][0]["defects"], &mask);
            assert!(hits >= 1, "{name}: no box on the defect: {record}");
            assert!(area < 640 * 480 / 10, "{name}: boxes of {area} pixels say nothing: {record}");
        }
    }
}

#[test]
fn record_has_the_schema() {
    for (picture, verdict, code) in [(GOOD, "pass", 0), (BAD, "fail", 1)] {
        let out = inspect(&PATCH, &["--json", &connector(picture)]);
        out.assert_quiet(code);
        let record = out.record();
        let mut found = keys(&record);
        found.remove("pose");
        let wanted = ["schema", "type", "path", "status", "verdict", "score", "threshold", "regions", "ms"];
        assert_eq!(found, BTreeSet::from(wanted));
        assert_eq!(
            (&record["schema"], &record["type"], &record["status"]),
            (&json!(1), &json!("inspect"), &json!("ok"))
        );
        assert_eq!(record["path"], connector(picture));
        assert_eq!(record["verdict"], verdict);
        assert!(record["ms"].as_f64().unwrap() > 0.0);
        let region = &record["regions"][0];
        assert_eq!(keys(region), BTreeSet::from(["name", "method", "verdict", "score", "threshold", "defects"]));
        assert_eq!(
            (&region["name"], &region["method"], &region["verdict"]),
            (&json!("all"), &json!("patch"), &json!(verdict))
        );
        assert_eq!(region["defects"].as_array().unwrap().is_empty(), verdict == "pass");
        for defect in region["defects"].as_array().unwrap() {
            assert_eq!(keys(defect), BTreeSet::from(["box", "score"]));
            let side: Vec<f64> = defect["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            assert!(0.0 <= side[0] && side[0] < side[2] && side[2] <= 640.0, "{side:?}");
            assert!(0.0 <= side[1] && side[1] < side[3] && side[3] <= 480.0, "{side:?}");
            assert!(defect["score"].as_f64() > region["threshold"].as_f64());
        }
    }
}

#[test]
fn numbers_are_the_same_wherever_they_stand() {
    let record = inspect(&CLASSICAL, &["--json", &connector(BAD)]).record();
    let region = &record["regions"][0];
    assert_eq!(record["score"], region["score"]);
    assert_eq!(record["threshold"], region["threshold"]);
    assert_eq!(region["score"], region["defects"][0]["score"]);
    let table: toml::Table = toml::from_str(&std::fs::read_to_string(CLASSICAL.join("recipe.toml")).unwrap()).unwrap();
    assert_eq!(record["threshold"].as_f64(), table["region"][0]["threshold"].as_float());
}

#[test]
fn score_above_threshold_exactly_if_not_passed() {
    let out = inspect(&CLASSICAL, &["--json", &connector("test")]);
    out.assert_quiet(1);
    let records = out.records();
    assert_eq!(records.len(), names(connector("test")).len());
    for record in &records {
        let above = record["score"].as_f64().unwrap() > record["threshold"].as_f64().unwrap();
        assert_eq!(above, record["verdict"] != "pass", "{record}");
        for region in record["regions"].as_array().unwrap() {
            let above = region["score"].as_f64().unwrap() > region["threshold"].as_f64().unwrap();
            assert_eq!(above, region["verdict"] != "pass", "{region}");
        }
    }
    assert!(records.iter().any(|r| r["verdict"] == "pass") && records.iter().any(|r| r["verdict"] == "fail"));
}

#[test]
fn misplaced_part() {
    let picture = connector("test/misplaced_01.jpg");
    let out = inspect(&CLASSICAL, &["--json", &picture]);
    out.assert_quiet(1);
    let record = out.record();
    assert_eq!(record["verdict"], "misplaced");
    assert!(record["score"].as_f64() > record["threshold"].as_f64());
    let angle = record["pose"]["angle_deg"].as_f64().unwrap();
    assert!((angle.abs() - 15.0).abs() < 1.0, "turned by 15 degrees, found {angle}");
    assert!(record["reason"].as_str().unwrap().contains("degrees"), "{record}");
    let out = inspect(&CLASSICAL, &[&picture]);
    out.assert_quiet(1);
    assert!(out.stdout.starts_with("MISPLACED  "), "{}", out.stdout);
    // No threshold of a region makes it pass.
    assert_eq!(inspect(&CLASSICAL, &["--threshold", "all=1000", &picture]).code, Some(1));
}

#[test]
fn limits_of_the_pose_can_be_edited() {
    let (_folder, recipe) = copy_recipe(&CLASSICAL);
    let picture = connector(GOOD);
    let record = inspect(Path::new(&recipe), &["--json", &picture]).record();
    let shift = &record["pose"]["shift_px"];
    let length = shift[0].as_f64().unwrap().hypot(shift[1].as_f64().unwrap());
    assert!(length > 2.0, "{record}");
    let text = std::fs::read_to_string(at(&recipe, "recipe.toml")).unwrap();
    let line = text.lines().find(|l| l.starts_with("max_shift_px")).unwrap();
    edit_recipe(&recipe, line, "max_shift_px = 1.0");
    let out = inspect(Path::new(&recipe), &["--json", &picture]);
    out.assert_quiet(1);
    assert_eq!(out.record()["verdict"], "misplaced");
}

#[test]
fn annotated_pictures() {
    let folder = temp();
    let copy = at(&folder, "missing_pin_01.jpg");
    std::fs::copy(connector(BAD), &copy).unwrap();
    let out = at(&folder, "annotated/new");
    inspect(&CLASSICAL, &["--annotate", &out, &connector(GOOD), &connector(BAD), &copy]).assert_quiet(1);
    assert_eq!(names(&out), ["good_01.png", "missing_pin_01-2.png", "missing_pin_01.png"]);
    let photo = image::open(connector(BAD)).unwrap().into_rgb8();
    let drawn = image::open(at(&out, "missing_pin_01.png")).unwrap().into_rgb8();
    assert_eq!(drawn.dimensions(), photo.dimensions());
    // Around the missing pin it is redder than the photograph.
    let red = |picture: &image::RgbImage| {
        let pin = image::imageops::crop_imm(picture, 170, 140, 50, 50).to_image();
        pin.pixels().filter(|p| p.0[0] as i32 - p.0[1] as i32 > 80).count()
    };
    assert!(red(&drawn) > red(&photo) + 50, "{} {}", red(&drawn), red(&photo));
}

#[test]
fn threshold_from_the_command_line() {
    for (picture, value, code, verdict) in [(GOOD, "0.01", 1, "fail"), (BAD, "99", 0, "pass")] {
        let out = inspect(&CLASSICAL, &["--json", "--threshold", &format!("all={value}"), &connector(picture)]);
        out.assert_quiet(code);
        let record = out.record();
        assert_eq!(record["verdict"], verdict);
        let threshold = record["regions"][0]["threshold"].as_f64().unwrap();
        assert!((threshold - value.parse::<f64>().unwrap()).abs() < 1e-6);
    }
    inspect(&CLASSICAL, &["--threshold", "lid=1", &connector(GOOD)]).assert_error(&["lid", "all"]);
    inspect(&CLASSICAL, &["--threshold", "all=high", &connector(GOOD)]).assert_error(&["all=high"]);
}

#[test]
fn threshold_in_the_recipe() {
    for (picture, value, code) in [(GOOD, "0.01", 1), (BAD, "99", 0)] {
        let (_folder, recipe) = copy_recipe(&CLASSICAL);
        let text = std::fs::read_to_string(at(&recipe, "recipe.toml")).unwrap();
        let line = text.lines().find(|l| l.starts_with("threshold")).unwrap();
        // Whole numbers are numbers too.
        edit_recipe(&recipe, line, &format!("threshold = {value}"));
        inspect(Path::new(&recipe), &[&connector(picture)]).assert_quiet(code);
    }
}

#[test]
fn regions_with_methods_of_their_own() {
    let folder = temp();
    let recipe = at(&folder, "recipe");
    let mut args = vec!["learn", "--quiet", "--out", &recipe, "--method", "classical"];
    args.extend(["--region", "header=312,120,210,111:patch", "--region", "label=270,256,227,123"]);
    args.extend(["--region", "screw_br=464,313,104,103:cosine"]);
    let goods: Vec<String> = (1..=12).map(|i| connector(&format!("good/{i:02}.jpg"))).collect();
    args.extend(goods.iter().map(String::as_str));
    run(args).assert_quiet(0);
    assert_eq!(
        names(&recipe),
        ["golden.jpg", "header.safetensors", "label.safetensors", "recipe.toml", "screw_br.safetensors"]
    );
    let check = |picture: &str, code: i32| {
        let out = inspect(Path::new(&recipe), &["--json", &connector(picture)]);
        out.assert_quiet(code);
        let record = out.record();
        let regions = record["regions"].as_array().unwrap().clone();
        let found: Vec<_> =
            regions.iter().map(|r| (r["name"].as_str().unwrap(), r["method"].as_str().unwrap())).collect();
        assert_eq!(found, [("header", "patch"), ("label", "classical"), ("screw_br", "cosine")]);
        regions.iter().map(|r| r["verdict"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(check(GOOD, 0), ["pass", "pass", "pass"]);
    assert_eq!(check("test/missing_pin_02.jpg", 1), ["fail", "pass", "pass"]);
    // A stain outside of all regions is not looked at.
    assert_eq!(check("test/stain_01.jpg", 0), ["pass", "pass", "pass"]);
    // A threshold of one region leaves the others alone.
    let out = inspect(Path::new(&recipe), &["--json", "--threshold", "label=0.01", &connector(GOOD)]);
    out.assert_quiet(1);
    let verdicts: Vec<Value> =
        out.record()["regions"].as_array().unwrap().iter().map(|r| r["verdict"].clone()).collect();
    assert_eq!(verdicts, ["pass", "fail", "pass"]);
}

#[test]
fn learning_twice_gives_the_same_recipe() {
    let folder = temp();
    let goods: Vec<String> = (1..=6).map(|i| connector(&format!("good/{i:02}.jpg"))).collect();
    for (name, threads) in [("a", "1"), ("b", "2")] {
        let out = at(&folder, name);
        let region = "header=312,120,210,111";
        let args = ["learn", "--quiet", "--out", &out, "--region", region, "--region", "cap=270,256,227,123:cosine"];
        run(args.into_iter().chain(["--threads", threads]).chain(goods.iter().map(String::as_str))).assert_quiet(0);
    }
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    assert_eq!(names(&a), names(&b));
    for name in names(&a) {
        assert_eq!(std::fs::read(a.join(&name)).unwrap(), std::fs::read(b.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn threads_change_nothing_but_the_time() {
    for recipe in [&*CLASSICAL, &*PATCH] {
        let one = inspect(recipe, &["--json", "--threads", "1", &connector("holdout"), &connector(BAD)]);
        let two = inspect(recipe, &["--json", "--threads", "2", &connector("holdout"), &connector(BAD)]);
        assert_eq!(timeless(&one), timeless(&two));
        assert_eq!((one.code, one.records().len()), (two.code, 7));
    }
}

#[test]
fn holdout_tells_false_calls() {
    let folder = temp();
    let (recipe, holdout) = (at(&folder, "recipe"), connector("holdout"));
    let args = ["learn", "--quiet", "--force", "--method", "classical", "--out", &recipe, "--holdout", &holdout];
    let goods = connector("good");
    let out = run(args.iter().chain(&[goods.as_str()]));
    out.assert_quiet(0);
    assert!(out.stdout.contains("false calls on 6 good images"), "{}", out.stdout);
    let out = run(args.iter().chain(&["--json", goods.as_str()]));
    out.assert_quiet(0);
    let record = out.record();
    assert_eq!(record["type"], "learn");
    assert_eq!(record["holdout"]["images"], 6);
    let inspected = inspect(Path::new(&recipe), &["--json", &holdout]).records();
    let failed = inspected.iter().filter(|r| r["verdict"] != "pass").count();
    assert_eq!(record["holdout"]["false_calls"], failed, "the same that inspect says");
    assert_eq!(record["good_images"], 20);
    assert_eq!(record["regions"][0]["name"], "all");
}

#[test]
fn alignment_is_chosen_or_found_out() {
    let folder = temp();
    // Gravel: no two pictures have anything in the same place.
    let mut seed = 1u32;
    for i in 0..5 {
        let mut picture = image::RgbImage::new(192, 192);
        for pixel in picture.pixels_mut() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            pixel.0 = [(seed >> 24) as u8; 3];
        }
        image::imageops::blur(&picture, 1.5).save(folder.path().join(format!("gravel{i}.png"))).unwrap();
    }
    let goods: Vec<String> = (1..=8).map(|i| connector(&format!("good/{i:02}.jpg"))).collect();
    let gravel = vec![folder.path().to_str().unwrap().to_string()];
    for (align, pictures, mode) in
        [("auto", &goods, "pose"), ("pose", &goods, "pose"), ("none", &goods, "none"), ("auto", &gravel, "none")]
    {
        let other = temp();
        let recipe = at(&other, "recipe");
        let args = ["learn", "--quiet", "--method", "classical", "--align", align, "--out", &recipe];
        run(args.into_iter().chain(pictures.iter().map(String::as_str))).assert_quiet(0);
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(at(&recipe, "recipe.toml")).unwrap()).unwrap();
        assert_eq!(table["align"]["mode"].as_str(), Some(mode), "--align {align}");
        let record = inspect(Path::new(&recipe), &["--json", &pictures[0]]).records().remove(0);
        assert_eq!(record.get("pose").is_some_and(|p| !p.is_null()), mode == "pose", "{record}");
    }
}

#[test]
fn records_come_in_the_order_of_the_inputs() {
    let folder = temp();
    std::fs::create_dir_all(folder.path().join("in/b")).unwrap();
    for (from, to) in [(GOOD, "in/z.jpg"), (BAD, "in/b/y.JPG"), (GOOD, "in/a.jpg")] {
        std::fs::copy(connector(from), folder.path().join(to)).unwrap();
    }
    std::fs::write(folder.path().join("in/notes.txt"), "no picture").unwrap();
    let names = [connector(BAD), at(&folder, "in"), at(&folder, "gone.jpg"), connector(GOOD)];
    let args: Vec<&str> = ["--json", "--threads", "4"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let out = inspect(&CLASSICAL, &args);
    out.assert_error(&["gone.jpg"]);
    let records = out.records();
    let found: Vec<(&str, &str)> =
        records.iter().map(|r| (r["path"].as_str().unwrap(), r["verdict"].as_str().unwrap_or("error"))).collect();
    let (a, b, z) = (at(&folder, "in/a.jpg"), at(&folder, "in/b/y.JPG"), at(&folder, "in/z.jpg"));
    let expected = [
        (names[0].as_str(), "fail"),
        (&a, "pass"),
        (&b, "fail"),
        (&z, "pass"),
        (&names[2], "error"),
        (&names[3], "pass"),
    ];
    assert_eq!(found, expected);
    assert_eq!(records[4]["status"], "error");
    assert!(records[4]["error"].as_str().unwrap().contains("gone.jpg"));
}

#[test]
fn standard_input() {
    let bytes = std::fs::read(connector(BAD)).unwrap();
    let out = finish(ocellus().args(["inspect", "--json", "--recipe", text(&CLASSICAL), "-"]), &bytes);
    out.assert_quiet(1);
    let record = out.record();
    assert_eq!(record["path"], "<stdin>");
    assert_eq!(record["score"], inspect(&CLASSICAL, &["--json", &connector(BAD)]).record()["score"]);
    let out = finish(ocellus().args(["inspect", "--recipe", text(&CLASSICAL), "-"]), b"");
    out.assert_error(&["<stdin>", "empty"]);
}

#[test]
fn force_replaces_a_recipe() {
    let (_folder, recipe) = copy_recipe(&CLASSICAL);
    let goods: Vec<String> = (1..=4).map(|i| connector(&format!("good/{i:02}.jpg"))).collect();
    let learn = |more: &[&str]| {
        let args = ["learn", "--quiet", "--method", "classical", "--out", recipe.as_str()];
        run(args.iter().chain(more).copied().chain(goods.iter().map(String::as_str)))
    };
    learn(&[]).assert_error(&["already there", "--force"]);
    learn(&["--force", "--golden", &connector("good/03.jpg"), "--region", "lid=10,20,300,200"]).assert_quiet(0);
    assert_eq!(names(&recipe), ["golden.jpg", "lid.safetensors", "recipe.toml"]);
    let (new, third) = (at(&recipe, "golden.jpg"), connector("good/03.jpg"));
    assert_eq!(std::fs::read(new).unwrap(), std::fs::read(third).unwrap());
    assert_eq!(names(Path::new(&recipe).parent().unwrap()), ["recipe"], "nothing is left beside it");
}
