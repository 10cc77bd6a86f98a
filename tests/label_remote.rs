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
    std::fs::write(at(&folder, "ontology"), "gate valve\n").unwrap();
    std::fs::create_dir(at(&folder, "in")).unwrap();
    pictures.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join("in").join(name), bytes).unwrap());
    let named = [("--images", "in"), ("--ontology", "ontology"), ("--out", "out")];
    let named = named.iter().flat_map(|(option, name)| [option.to_string(), at(&folder, name)]);
    let args = ["label", "remote", "--quiet"].map(str::to_string).into_iter().chain(named).collect();
    (folder, args)
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
    let (_folder, args) = job(&[("a.jpg", jpeg.clone()), ("b.bmp", bmp.into_inner()), ("c.jpg", jpeg[..200].to_vec())]);
    // Beyond the width of the JPEG as it is stored, but not as it is shown.
    server.script([Act::Shapes(json!([rectangle("gate valve", 0.9, [4.0, 5.0, 20.0, 60.0])]))]);
    let out = run(&args, &["--server", &server.url()]);
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stdout.contains("60.0"), "{out:?}");
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
    let by_variable = finish(ocellus().args(&args).args(["--server", &url]).env("OCELLUS_LABEL_KEY", "s3cret"), b"");
    by_variable.assert_quiet(0);
    assert_eq!(server.requests().last().unwrap().header("token"), Some("s3cret"));
    server.stop();
    run(&args, &["--server", &url]).assert_error(&[&url, "refuses connections"]);
    assert!(!folder.path().join("out").exists());
}

#[test]
fn what_cannot_become_an_object_is_said() {
    let server = Server::start();
    let (folder, args) = job(&[("a.jpg", common::jpeg(&photo()))]);
    std::fs::write(at(&folder, "ontology"), "No. 5 valve\n").unwrap();
    server.script([Act::Shapes(json!([rectangle("wheel", 0.9, [4.0, 5.0, 20.0, 40.0])]))]);
    let out = run(&args, &["--server", &server.url()]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert!(out.stderr.contains("\"No. 5 valve\" is sent as \"No 5 valve\""), "{out:?}");
    assert!(out.stderr.contains("left out of the server's answers: 1 shape labelled \"wheel\""), "{out:?}");
}
