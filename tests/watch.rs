//! `ocellus watch` and `ocellus audit`: each file once, whatever happens; a record that shows whatever was changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{at, names, ocellus, repo, run, temp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

/// A recipe that needs no network, learned once: starting is fast.
static RECIPE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = temp();
    let args = ["learn", "--quiet", "--method", "classical", "--out"].map(String::from);
    run(args.into_iter().chain([at(&folder, "recipe"), repo("examples/connector/good")])).assert_quiet(0);
    folder
});

fn recipe() -> String {
    at(&*RECIPE, "recipe")
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(repo(&format!("examples/connector/test/{name}.jpg")))
}

fn records(audit: &Path) -> Vec<Value> {
    fs::read_to_string(audit).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn verify(audit: &Path, code: i32) -> Value {
    let result = run(["audit", "verify", "--json", &audit.display().to_string()]);
    assert_eq!(result.code, Some(code), "{result:?}");
    result.record()
}

#[test]
fn a_folder_is_inspected_file_by_file() {
    let folder = temp();
    let (incoming, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(incoming.join("line 2")).unwrap();
    let place = |name: &str, to: &str| assert!(fs::copy(example(name), incoming.join(to)).unwrap() > 0);
    place("good_01", "SN-1001_a.jpg");
    place("stain_01", "line 2/SN-1002.jpg");
    fs::write(incoming.join("SN-1003.png"), "no picture").unwrap();
    fs::write(incoming.join("notes.txt"), "not looked at").unwrap();
    let (watched, written) = (incoming.display().to_string(), out.display().to_string());
    let watch = |more: &[&str]| {
        let recipe = recipe();
        let args = [
            "watch",
            &watched,
            "--recipe",
            &recipe,
            "--out",
            &written,
            "--once",
            "--settle",
            "0.1",
            "--operator",
            "Kim",
        ];
        run(args.into_iter().chain(["--serial-pattern", "SN-([0-9]+)"]).chain(more.iter().copied()))
    };
    let result = watch(&["--json"]);
    assert_eq!(result.code, Some(2), "{result:?}");
    assert!(result.stderr.contains("SN-1003.png") && result.stderr.lines().count() == 1, "{result:?}");
    let audit = out.join("audit.jsonl");
    let all = records(&audit);
    let text = |r: &Value, key: &str| r[key].as_str().unwrap_or("-").to_string();
    let told: Vec<[String; 5]> =
        all.iter().map(|r| ["path", "serial", "status", "verdict", "operator"].map(|k| text(r, k))).collect();
    let expected = [
        ["SN-1001_a.jpg", "1001", "ok", "pass", "Kim"],
        ["SN-1003.png", "1003", "error", "-", "Kim"],
        ["line 2/SN-1002.jpg", "1002", "ok", "fail", "Kim"],
    ];
    assert_eq!(told, expected.map(|row| row.map(String::from)));
    // The same verdict as that of the command, and what was looked at with what.
    let one = run(["inspect", "--json", "--quiet", "--recipe", &recipe(), &example("stain_01").display().to_string()])
        .record();
    assert_eq!((&all[2]["score"], &all[2]["regions"]), (&one["score"], &one["regions"]));
    let sha = |path: &Path| ocellus::models::sha256_hex(&fs::read(path).unwrap());
    assert_eq!(all[2]["sha256"], sha(&example("stain_01")));
    assert_eq!(all[2]["recipe_sha256"], sha(&Path::new(&recipe()).join("recipe.toml")));
    // The line on standard output is the record, the sidecar as well, without its place in the chain.
    let sidecar: Value = serde_json::from_slice(&fs::read(out.join("fail/line 2/SN-1002.jpg.json")).unwrap()).unwrap();
    assert_eq!(result.records()[2], all[2]);
    assert_eq!(all[2].as_object().unwrap().len(), sidecar.as_object().unwrap().len() + 3);
    for (key, value) in sidecar.as_object().unwrap() {
        assert_eq!(&all[2][key], value, "{key}");
    }
    let picture = image::open(out.join("fail/line 2/SN-1002.jpg.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), image::image_dimensions(example("stain_01")).unwrap());

    // Nothing is inspected twice; a file that is written again is another.
    watch(&[]).assert_quiet(0);
    assert_eq!(records(&audit).len(), 3);
    place("stain_01", "SN-1001_a.jpg");
    let again = watch(&[]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stdout.contains("SN-1001_a.jpg") && again.stdout.contains("FAIL"), "{again:?}");
    assert_eq!(records(&audit).len(), 4);
    // What is done is moved, also if it was done before.
    watch(&["--move"]).assert_quiet(0);
    assert_eq!(names(&incoming), ["line 2", "notes.txt"]);
    assert_eq!(names(out.join("fail")), ["SN-1001_a.jpg", "SN-1001_a.jpg.json", "SN-1001_a.jpg.png", "line 2"]);
    assert_eq!(names(out.join("error")), ["SN-1003.png", "SN-1003.png.json"]);
    place("stain_01", "SN-1001_a.jpg");
    assert_eq!(watch(&["--move"]).code, Some(1));
    let photographs: Vec<String> = names(out.join("fail")).into_iter().filter(|n| n.ends_with(".jpg")).collect();
    assert!(photographs.len() == 2 && photographs.iter().all(|n| n.starts_with("SN-1001_a")), "{photographs:?}");

    assert_eq!(verify(&audit, 0)["records"], 5);
    let csv = at(&folder, "table.csv");
    let file = audit.display().to_string();
    let report = run(["audit", "report", &file, "--csv", &csv, "--shifts", "00:00"]);
    report.assert_quiet(0);
    let last: Vec<&str> = report.stdout.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last[1..], ["00:00", "5", "1", "3", "0", "1", "25.0%", "0"], "{}", report.stdout);
    let table = fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 6);
    assert!(
        table.starts_with("seq,time,type,of,path,serial,") && table.contains("line 2/SN-1002.jpg,1002,"),
        "{table}"
    );
    run(["audit", "report", &file, "--shifts", "6"]).assert_error(&["--shifts", "06:00"]);
    // Tables replace tables, and nothing else.
    run(["audit", "report", &file, "--csv", &csv]).assert_quiet(0);
    for other in [file.clone(), format!("{file}.head")] {
        run(["audit", "report", &file, "--csv", &other]).assert_error(&["no such table"]);
    }
    assert_eq!(verify(&audit, 0)["records"], 5);
    assert_eq!(all[1]["sha256"], ocellus::models::sha256_hex(b"no picture"));
    let picture = example("good_01").display().to_string();
    for (wrong, word) in [
        (vec![picture.as_str()], "expected a folder"),
        (vec!["--serial-region", "all", &watched], "of method text"),
        (vec!["--serial-pattern", "(", &watched], "unclosed group"),
    ] {
        let recipe = recipe();
        let args = ["watch", "--once", "--recipe", &recipe, "--out", &written];
        run(args.into_iter().chain(wrong)).assert_error(&[word]);
    }
}

#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let folder = temp();
    let (incoming, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(&incoming).unwrap();
    let mut command = ocellus();
    command.args(["watch", "--settle", "1", "--json", "--recipe", &recipe(), "--out"]).arg(&out).arg(&incoming);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let bytes = fs::read(example("good_01")).unwrap();
    let mut file = fs::File::create(incoming.join("slow.jpg")).unwrap();
    for piece in bytes.chunks(bytes.len() / 8 + 1) {
        file.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    drop(file);
    let record: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((record["path"].as_str(), record["verdict"].as_str()), (Some("slow.jpg"), Some("pass")), "{record}");
    // A second one would write to the same audit file.
    let second = run([
        "watch",
        "--once",
        "--recipe",
        &recipe(),
        "--out",
        &out.display().to_string(),
        &incoming.display().to_string(),
    ]);
    second.assert_error(&["audit.jsonl", "another process"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(records(&out.join("audit.jsonl")).len(), 1);
}

/// Killed at two hundred moments, it has looked at each file once, and everything that it wrote is whole.
#[test]
fn whatever_happens_each_file_is_inspected_once() {
    let folder = temp();
    let (incoming, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(&incoming).unwrap();
    let small = |name: &str| image::open(example(name)).unwrap();
    let (good, bad) = (small("good_01"), small("stain_01"));
    const KILLS: usize = 200;
    for n in 0..KILLS {
        let picture = if n % 3 == 0 { &bad } else { &good };
        picture.save(incoming.join(format!("{n:03}.jpg"))).unwrap();
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut reached = BTreeMap::new();
    for _ in 0..KILLS {
        let mut command = ocellus();
        command
            .args(["watch", "--settle", "0", "--move", "--threads", "2", "--recipe", &recipe(), "--out"])
            .arg(&out)
            .arg(&incoming);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.u64(0..250_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        *reached.entry(fs::read_to_string(out.join("audit.jsonl")).map_or(0, |t| t.lines().count())).or_insert(0) += 1;
    }
    assert!(reached.len() > 10, "it was killed before it did anything: {reached:?}");
    let last = run([
        "watch",
        "--settle",
        "0",
        "--move",
        "--once",
        "--quiet",
        "--recipe",
        &recipe(),
        "--out",
        &out.display().to_string(),
        &incoming.display().to_string(),
    ]);
    assert!(last.code < Some(2), "{last:?}");
    let audit = out.join("audit.jsonl");
    assert_eq!(verify(&audit, 0)["records"], KILLS);
    let mut seen: Vec<String> = records(&audit).iter().map(|r| r["path"].as_str().unwrap().to_string()).collect();
    seen.sort();
    assert_eq!(seen, (0..KILLS).map(|n| format!("{n:03}.jpg")).collect::<Vec<_>>());
    assert_eq!(names(&incoming), Vec::<String>::new());
    // Photograph, record and picture of each.
    assert_eq!(names(out.join("pass")).len() + names(out.join("fail")).len(), 3 * KILLS);
    for record in records(&audit) {
        let stored = record["stored"].as_str().unwrap();
        let sidecar: Value = serde_json::from_slice(&fs::read(out.join(format!("{stored}.json"))).unwrap()).unwrap();
        assert_eq!(sidecar["sha256"], record["sha256"]);
        assert_eq!(record["sha256"], ocellus::models::sha256_hex(&fs::read(out.join(stored)).unwrap()));
        assert!(image::open(out.join(format!("{stored}.png"))).is_ok(), "{stored}");
    }
    let left: Vec<String> = names(&out).into_iter().filter(|n| n.starts_with(".ocellus-")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_changed_audit_file_is_refused() {
    let folder = temp();
    let (incoming, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(&incoming).unwrap();
    for (from, to) in [("good_01", "a.jpg"), ("stain_01", "b.jpg"), ("good_01", "c.jpg")] {
        fs::copy(example(from), incoming.join(to)).unwrap();
    }
    let watch = || {
        let (watched, written) = (incoming.display().to_string(), out.display().to_string());
        run(["watch", "--once", "--quiet", "--settle", "0", "--recipe", &recipe(), "--out", &written, &watched])
    };
    assert_eq!(watch().code, Some(1));
    let audit = out.join("audit.jsonl");
    let whole = fs::read_to_string(&audit).unwrap();
    let changed = |text: String, line: Option<u64>, words: &str| {
        fs::write(&audit, text).unwrap();
        let found = verify(&audit, 1);
        assert_eq!((found["intact"].as_bool(), found["faults"][0]["line"].as_u64()), (Some(false), line), "{found}");
        assert!(found["faults"][0]["message"].as_str().unwrap().contains(words), "{found}");
        let plain = run(["audit", "verify", &audit.display().to_string()]);
        assert!(plain.code == Some(1) && plain.stdout.contains("NOT INTACT"), "{plain:?}");
    };
    changed(whole.replacen("\"verdict\":\"fail\"", "\"verdict\":\"pass\"", 1), Some(2), "changed");
    watch().assert_error(&["audit.jsonl:2", "changed", "another file"]);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    changed([lines[0], lines[2]].concat(), Some(2), "missing");
    changed([lines[0], lines[1]].concat(), None, "end is missing");
    changed(whole[..whole.len() - 9].to_string(), Some(3), "not whole");
    fs::write(&audit, &whole).unwrap();
    assert_eq!(verify(&audit, 0)["records"], 3);
    run(["audit", "verify", &at(&folder, "none")]).assert_error(&["none"]);
}

/// What is kept is bounded: one pass in so many, the oldest passes go, fails stay; a full store stops no inspection.
#[test]
fn what_is_kept_is_bounded() {
    let folder = temp();
    let (incoming, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir_all(&incoming).unwrap();
    let (good, bad) = (image::open(example("good_01")).unwrap(), image::open(example("stain_01")).unwrap());
    let watch = |more: &[&str]| {
        let (watched, written, recipe) = (incoming.display().to_string(), out.display().to_string(), recipe());
        let args =
            ["watch", "--once", "--quiet", "--settle", "0", "--move", "--recipe", &recipe, "--out", &written, &watched];
        run(args.into_iter().chain(more.iter().copied()))
    };
    // Pictures of different bytes, as a camera makes them.
    let place = |picture: &image::DynamicImage, name: String, change: u8| {
        let mut picture = picture.to_rgb8();
        picture.get_pixel_mut(0, 0).0 = [change, change, change];
        picture.save(incoming.join(name)).unwrap();
    };
    (0..24).for_each(|n| place(&good, format!("{n:02}.png"), n as u8));
    assert_eq!(watch(&["--keep-passes", "4"]).code, Some(0));
    let photographs = |folder: &str| {
        let all = names(out.join(folder)).into_iter();
        all.filter(|n| n.ends_with(".png") && !n.ends_with(".png.png")).collect::<Vec<_>>()
    };
    let kept = photographs("pass");
    assert!((1..16).contains(&kept.len()), "{kept:?}");
    assert_eq!(names(&incoming), Vec::<String>::new());
    let audit = out.join("audit.jsonl");
    let told = records(&audit).iter().filter(|r| r["kept"] == true).count();
    assert_eq!((records(&audit).len(), told), (24, kept.len()));

    // The picture with the findings and the photograph have a quarter of a megabyte each: there is room for two parts.
    (0..3).for_each(|n| place(&bad, format!("bad-{n}.png"), n as u8));
    let size = fs::metadata(incoming.join("bad-0.png")).unwrap().len();
    let quota = (5 * size / 1_000_000).max(1).to_string();
    assert_eq!(watch(&["--quota", &quota]).code, Some(1));
    assert_eq!(photographs("pass"), Vec::<String>::new());
    let all: u64 = walkdir::WalkDir::new(&out)
        .into_iter()
        .flatten()
        .filter(|e| e.file_type().is_file())
        .map(|e| e.metadata().unwrap().len())
        .sum();
    assert!(
        !photographs("fail").is_empty() && all < 1_000_000 * quota.parse::<u64>().unwrap() + size + 200_000,
        "{all} {quota}"
    );
    // Fails that fill it stay, and the line goes on: verdict, record, a loud word.
    (3..9).for_each(|n| place(&bad, format!("bad-{n}.png"), n as u8));
    let before = photographs("fail").len();
    let full = watch(&["--quota", "1"]);
    assert_eq!(full.code, Some(1), "{full:?}");
    assert!(full.stderr.contains("quota of 1 MB") && full.stdout.matches("FAIL  bad-").count() == 6, "{full:?}");
    assert!(photographs("fail").len() >= before && !names(&incoming).is_empty());
    assert_eq!(verify(&audit, 0)["records"], 33);
    for wrong in [["--quota", "0"], ["--keep-passes", "0"]] {
        assert!(watch(&wrong).stderr.contains("1 or more"));
    }
    // Results that would come in again.
    for folder in [out.clone(), out.join("pass"), out.parent().unwrap().to_path_buf()] {
        fs::create_dir_all(&folder).unwrap();
        let [written, watched] = [&out, &folder].map(|f| f.display().to_string());
        run(["watch", "--once", "--recipe", &recipe(), "--out", &written, &watched])
            .assert_error(&["name another folder"]);
    }
}
