//! `ocellus label remote`: what goes to the server, and what is said when it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/labelling_server.rs"]
mod labelling_server;

use common::{Output, at, finish, ocellus, temp};
use labelling_server::{Act, Server, Setup, rectangle};
use serde_json::json;

/// A folder with an ontology of one class and these pictures, and the arguments to label them.
fn job(pictures: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Vec<String>) {
    let folder = temp();
    std::fs::write(at(&folder, "ontology"), asking("gate valve")).unwrap();
    std::fs::create_dir(at(&folder, "in")).unwrap();
    pictures.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join("in").join(name), bytes).unwrap());
    let named = [("--images", "in"), ("--ontology", "ontology"), ("--out", "out")];
    let named = named.iter().flat_map(|(option, name)| [option.to_string(), at(&folder, name)]);
    let args = ["label", "remote", "--quiet"].map(str::to_string).into_iter().chain(named).collect();
    (folder, args)
}

/// An ontology of one class without templates.
fn asking(prompt: &str) -> String {
    format!("version = 1\ntemplates = \"templates\"\n[[class]]\nname = \"gate\"\nprompt = \"{prompt}\"\n")
}

fn run(args: &[String], more: &[&str]) -> Output {
    finish(ocellus().args(args).args(more).env_remove("OCELLUS_LABEL_KEY"), b"")
}

fn photo() -> image::RgbImage {
    image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 90]))
}

#[test]
fn pictures_are_sent_as_they_are_or_as_png() {
    let server = Server::start();
    let jpeg = common::with_orientation(&common::jpeg(&photo()), 6);
    let mut bmp = std::io::Cursor::new(Vec::new());
    photo().write_to(&mut bmp, image::ImageFormat::Bmp).unwrap();
    let (folder, args) = job(&[("a.jpg", jpeg.clone()), ("b.bmp", bmp.into_inner()), ("c.jpg", jpeg[..200].to_vec())]);
    // Beyond the width of the JPEG as it is stored, but not as it is shown.
    server.script([Act::Shapes(json!([rectangle("gate valve", 0.9, [4.0, 5.0, 20.0, 60.0])]))]);
    let out = run(&args, &["--jobs", "1", "--server", &server.url()]);
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stdout.contains("a.jpg  1 objects: gate 1"), "{out:?}");
    let records = std::fs::read_to_string(folder.path().join("out/ocellus.jsonl")).unwrap();
    assert!(records.contains("\"box\":[4.0,5.0,20.0,60.0]"), "{records}");
    let requests: Vec<_> = server.requests().into_iter().filter(|r| r.method == "POST").collect();
    // What is no picture stays here.
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].image(), jpeg);
    assert!(requests[1].json()["image"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert_eq!(image::load_from_memory(&requests[1].image()).unwrap().to_rgb8(), photo());
    assert_eq!(out.stderr.lines().count(), 1, "{out:?}");
    assert!(out.stderr.contains("c.jpg"), "{out:?}");
}

#[test]
fn nothing_is_sent_without_a_server() {
    let (_folder, args) = job(&[("a.jpg", common::jpeg(&photo()))]);
    run(&args, &[]).assert_error(&["--server"]);
    run(&args, &["--server", "gpu-node:8000"]).assert_error(&["gpu-node:8000", "expected http://HOST:PORT"]);
}

#[test]
fn a_server_that_refuses_is_told_before_anything_is_sent() {
    let (folder, args) = job(&[("a.jpg", common::jpeg(&photo()))]);
    let mut server = Server::with(Setup { key: Some("s3cret"), ..Setup::default() });
    let url = server.url();
    run(&args, &["--server", &url]).assert_error(&[&url, "wants a key", "OCELLUS_LABEL_KEY"]);
    let wrong = run(&args, &["--server", &url, "--key", "wr0ng"]);
    wrong.assert_error(&["wants a key"]);
    assert!(!wrong.stderr.contains("wr0ng"));
    run(&args, &["--server", &url, "--key", "s3cret", "--model", "yolo"]).assert_error(&["yolo", "segment_anything_3"]);
    run(&args, &["--server", &url, "--ca", &at(&folder, "none.pem")]).assert_error(&["none.pem", "cannot read"]);
    run(&args, &["--server", &url, "--ca", &at(&folder, "ontology")]).assert_error(&["--ca", "no certificate"]);
    run(&args, &["--server", &url, "--timeout", "0"]).assert_error(&["--timeout is 0"]);
    assert!(server.requests().iter().all(|r| r.method == "GET"));
    assert!(!folder.path().join("out").exists());
    let by_variable = finish(ocellus().args(&args).args(["--server", &url]).env("OCELLUS_LABEL_KEY", "s3cret"), b"");
    by_variable.assert_quiet(0);
    assert_eq!(server.requests().last().unwrap().header("token"), Some("s3cret"));
    server.stop();
    run(&args, &["--server", &url]).assert_error(&[&url, "refuses connections"]);
}

#[test]
fn what_cannot_become_an_object_is_said() {
    let server = Server::start();
    let (folder, args) = job(&[("a.jpg", common::jpeg(&photo()))]);
    std::fs::write(at(&folder, "ontology"), asking("No. 5 valve")).unwrap();
    server.script([Act::Shapes(json!([rectangle("wheel", 0.9, [4.0, 5.0, 20.0, 40.0])]))]);
    let out = run(&args, &["--server", &server.url()]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert!(out.stderr.contains("\"No. 5 valve\" is sent as \"No 5 valve\""), "{out:?}");
    assert!(out.stderr.contains("left out of the server's answers: 1 shape labelled \"wheel\""), "{out:?}");
}

/// Six different pictures, and an ontology that has the gate valve's template.
fn sheets() -> (tempfile::TempDir, Vec<String>) {
    let pictures: Vec<(String, Vec<u8>)> = (0..6u32)
        .map(|i| {
            let noise =
                |x: u32, y: u32| image::Rgb([(x * (i + 2) / 9 % 2 * 120 + y * (7 - i) / 11 % 2 * 100) as u8; 3]);
            (format!("{i}.jpg"), common::jpeg(&image::RgbImage::from_fn(96, 64, noise)))
        })
        .collect();
    let named: Vec<(&str, Vec<u8>)> = pictures.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let (folder, mut args) = job(&named);
    std::fs::create_dir(at(&folder, "templates")).unwrap();
    let gate = common::repo("examples/drawing/templates/valves/gate_valve.png");
    std::fs::copy(gate, at(&folder, "templates/gate.png")).unwrap();
    std::fs::write(at(&folder, "ontology"), asking("gate valve") + "templates = [\"gate.png\"]\n").unwrap();
    args.extend(["--jobs".to_string(), "1".to_string()]);
    (folder, args)
}

fn gate() -> Act {
    Act::Shapes(json!([rectangle("gate valve", 0.9, [4.0, 5.0, 40.0, 30.0])]))
}

#[test]
fn a_run_that_was_killed_goes_on_without_asking_twice() {
    let server = Server::start();
    let (folder, args) = sheets();
    let slow = Act::Slow(std::time::Duration::from_secs(5), Box::new(gate()));
    server.script([gate(), gate(), slow, gate(), gate(), gate(), gate()]);
    let mut child = common::native().args(&args).args(["--server", &server.url()]).spawn().unwrap();
    let mut asked = 0;
    let mut ask = || {
        asked += server.requests().iter().filter(|r| r.method == "POST").count();
        asked
    };
    let start = std::time::Instant::now();
    while ask() < 3 {
        assert!(start.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("out/data.yaml").exists());
    let out = run(&args, &["--resume", "--json", "--server", &server.url()]);
    assert_eq!((out.code, out.records().len()), (Some(0), 4), "{out:?}");
    assert_eq!(ask(), 3 + 4);
    let records = std::fs::read_to_string(at(&folder, "out/ocellus.jsonl")).unwrap();
    assert_eq!(records.matches("\"origin\":\"remote\"").count(), 6, "{records}");
}

#[test]
fn a_node_that_goes_away_loses_nothing() {
    let mut server = Server::start();
    let url = server.url();
    let (folder, args) = sheets();
    server.script([gate(), gate(), Act::CutHead, Act::CutBody, Act::Garbage, gate()]);
    let out = run(&args, &["--retries", "0", "--server", &url]);
    // Three in a row without an answer: it is away.
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.lines().last().unwrap().contains("--resume"), "{out:?}");
    assert!(out.stderr.contains(&url) && !folder.path().join("out/data.yaml").exists(), "{out:?}");
    assert_eq!(out.stdout.lines().count(), 2, "{out:?}");
    server.stop();
    run(&args, &["--resume", "--server", &url]).assert_error(&[&url, "refuses connections"]);
    // The rest on this machine.
    let out = run(&args, &["--resume", "--fallback", "templates", "--server", &url]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert!(out.stderr.contains("templates on this machine"), "{out:?}");
    let records = std::fs::read_to_string(at(&folder, "out/ocellus.jsonl")).unwrap();
    assert_eq!(records.lines().count(), 6);
    assert_eq!(records.matches("\"origin\":\"remote\"").count(), 2, "{records}");
    run(&args, &["--fallback", "hope", "--server", &url]).assert_error(&["--fallback", "expected templates"]);
}

#[test]
fn both_labellers_are_joined_and_doubts_are_kept() {
    let server = Server::start();
    let (folder, args) = sheets();
    for i in 0..6 {
        std::fs::remove_file(at(&folder, &format!("in/{i}.jpg"))).unwrap();
    }
    // A gate valve at 60,50 that both find; the server sees another one where there is none.
    let template = image::open(at(&folder, "templates/gate.png")).unwrap().to_rgb8();
    let mut sheet = image::RgbImage::from_pixel(400, 300, image::Rgb([255; 3]));
    image::imageops::replace(&mut sheet, &template, 60, 50);
    sheet.save(at(&folder, "in/sheet.png")).unwrap();
    let (w, h) = (template.width() as f32, template.height() as f32);
    let there = [64.0, 54.0, 56.0 + w, 46.0 + h];
    let shapes =
        json!([rectangle("Gate Valve", 0.8, there), rectangle("gate valve", 0.6, [200.0, 150.0, 260.0, 190.0])]);
    server.script([Act::Shapes(shapes)]);
    let out = run(&args, &["--merge", "--json", "--server", &server.url()]);
    out.assert_quiet(0);
    let objects = out.record()["objects"].as_array().unwrap().clone();
    assert_eq!(objects.len(), 2, "{out:?}");
    assert_eq!((objects[0]["origin"].as_str(), objects[0].get("doubt")), (Some("both"), None), "{out:?}");
    assert!(objects[0]["score"].as_f64().unwrap() > 0.95, "{out:?}");
    assert_eq!(objects[1]["doubt"], "template matching did not find it", "{out:?}");
}
