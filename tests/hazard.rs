//! `ocellus hazard` against ONNX Runtime's scores, and its rules, files, webhook, exit codes and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Output, at, names, repo, run, temp};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;

const PERSONS: &str = "[[rule]]\nname = \"walkway\"\ncells = \"1-6\"\nlabels = [\"Person\"]\naction = \"stop\"\n";
const PALLETS: &str =
    "[[rule]]\nname = \"aisle\"\ncells = \"all\"\nlabels = \"Pa\"\naction = \"warn\"\nmin_cells = 3\n";

fn picture(name: &str) -> String {
    repo(&format!("tests/images/floor/{name}-320x240.png"))
}

/// Runs with the exported network and its configuration.
fn hazard(more: &[&str]) -> Output {
    let (model, config) = (repo("tests/models/made-yolic.onnx"), repo("tests/models/made-yolic-cells.json"));
    run(["hazard", "--quiet", "--model", &model, "--config", &config].iter().chain(more))
}

/// The scores of a picture by cell and label, all of them: a rule of the least score 0 sees everything.
fn scores(more: &[&str]) -> Vec<f64> {
    let folder = temp();
    let rules = at(&folder, "all.toml");
    std::fs::write(&rules, format!("{}min_score = 0.0\n", PALLETS.replace("\"Pa\"", "\"any\""))).unwrap();
    let out = hazard(&[&["--json", "--zones", &rules], more].concat());
    assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""), "{out:?}");
    let record = out.record();
    record["rules"][0]["hits"].as_array().unwrap().iter().map(|h| h["score"].as_f64().unwrap()).collect()
}

/// The exported module gives logits, is fed BGR of 0..1 by OpenCV's resize, and says nothing of it: all that is the default.
#[test]
fn scores_as_onnx_runtime() {
    let text = std::fs::read_to_string(repo("tests/reference/yolic.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    for expected in reference["pictures"].as_array().unwrap() {
        let file = repo(expected["file"].as_str().unwrap());
        for colour in ["bgr", "rgb"] {
            let all = expected[colour].as_array().unwrap();
            // Without the background, which is the last of four.
            let wanted = all.iter().enumerate().filter(|(i, _)| i % 4 != 3).map(|(_, v)| v.as_f64().unwrap());
            let more: &[&str] = if colour == "bgr" { &[&file] } else { &["--colour", "rgb", &file] };
            let found = scores(more);
            assert_eq!(found.len(), 33);
            for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                assert!((found - wanted).abs() < 1e-3, "{file} {colour} {i}: {found} instead of {wanted}");
            }
        }
    }
    let usual = scores(&[&picture("crowd")]);
    assert_eq!(
        usual,
        scores(&["--logits", "--size", "224x224", "--mean", "0,0,0", "--std", "1,1,1", &picture("crowd")])
    );
    assert_ne!(usual, scores(&["--mean", "0.5,0.5,0.5", &picture("crowd")]));
}

#[test]
fn records_and_lines() {
    let record = hazard(&["--json", &picture("crowd")]).record();
    assert_eq!((record["type"].as_str(), record["status"].as_str()), (Some("hazard"), Some("ok")));
    assert!(record.get("verdict").is_none() && record.get("rules").is_none(), "{record}");
    let cells = record["cells"].as_array().unwrap();
    assert!(cells.iter().any(|c| c["cell"] == 4 && c["labels"][0]["label"] == "Person"), "{record}");
    let clear = hazard(&[&picture("clear")]);
    clear.assert_quiet(0);
    assert!(clear.stdout.contains("clear-320x240.png  nothing  "), "{clear:?}");
    // A threshold that nothing reaches leaves the best of each cell.
    let many = |threshold: &str| {
        let record = hazard(&["--json", "--threshold", threshold, &picture("crowd")]).record();
        record["cells"].as_array().unwrap().iter().map(|c| c["labels"].as_array().unwrap().len()).sum::<usize>()
    };
    assert!(many("0.05") > many("0.5"));
    let best = hazard(&["--json", "--threshold", "1", &picture("crowd")]).record();
    assert!(best["cells"].as_array().unwrap().iter().all(|c| c["labels"].as_array().unwrap().len() == 1));
}

#[test]
fn rules_decide_the_exit_code() {
    let folder = temp();
    let rules = |name: &str, text: &str| {
        std::fs::write(at(&folder, name), text).unwrap();
        at(&folder, name)
    };
    let (stop, warn) = (rules("stop.toml", &format!("{PERSONS}{PALLETS}")), rules("warn.toml", PALLETS));
    let out = hazard(&["--zones", &stop, &picture("crowd"), &picture("clear")]);
    out.assert_quiet(1);
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert!(lines[0].starts_with("STOP ") && lines[1].trim().starts_with("stop walkway: cells "), "{out:?}");
    assert!(lines.last().unwrap().starts_with("CLEAR "), "{out:?}");
    let out = hazard(&["--json", "--zones", &warn, &picture("crowd")]);
    out.assert_quiet(0);
    let record = out.record();
    assert_eq!((record["verdict"].as_str(), record["rules"][0]["name"].as_str()), (Some("warn"), Some("aisle")));
    assert!(record["rules"][0]["hits"].as_array().unwrap().len() >= 3);
    // An error is more than a rule.
    std::fs::write(at(&folder, "bad.png"), b"no picture").unwrap();
    let out = hazard(&["--json", "--zones", &stop, &at(&folder, "bad.png"), &picture("crowd")]);
    assert_eq!(out.code, Some(2));
    assert_eq!(out.records()[0]["status"], "error");
    assert_eq!(out.records()[1]["verdict"], "stop");
    assert!(out.stderr.contains("bad.png") && out.stderr.lines().count() == 1, "{out:?}");
    let wrong = rules("wrong.toml", &PERSONS.replace("1-6", "1-12"));
    hazard(&["--zones", &wrong, &picture("crowd")]).assert_error(&["wrong.toml", "walkway", "cell 12", "1 to 11"]);
}

/// Cells are drawn where they lie, and the verdict can be seen.
#[test]
fn overlays() {
    let folder = temp();
    let rules = at(&folder, "rules.toml");
    std::fs::write(&rules, PERSONS).unwrap();
    let out = at(&folder, "out");
    assert_eq!(hazard(&["--zones", &rules, "--annotate", &out, &picture("crowd"), &picture("clear")]).code, Some(1));
    assert_eq!(names(&out), ["clear-320x240.png", "crowd-320x240.png"]);
    let load = |path: &str| image::open(path).unwrap().into_rgb8();
    let (before, after) = (load(&picture("crowd")), load(&at(&out, "crowd-320x240.png")));
    assert_eq!(before.dimensions(), after.dimensions());
    let red = after.pixels().filter(|p| p.0 == [225, 30, 30]).count();
    assert!(red > 1000, "{red}");
    // Between the cells nothing changes; cell 7 is tinted.
    assert_eq!(before.get_pixel(160, 50), after.get_pixel(160, 50));
    assert_ne!(before.get_pixel(40, 215), after.get_pixel(40, 215));
    let clear = load(&at(&out, "clear-320x240.png"));
    assert!(clear.pixels().filter(|p| p.0 == [30, 170, 60]).count() > 300);
}

/// A network that carries its configuration, sides open, sigmoid inside.
#[test]
fn configurations_in_models() {
    let (own, config) = (repo("tests/models/made-yolic-own.onnx"), repo("tests/models/made-yolic-cells.json"));
    let record = |more: &[&str]| {
        let out = run(["hazard", "--json", "--model", &own, &picture("crowd")].iter().chain(more));
        out.assert_quiet(0);
        out.record()["cells"].clone()
    };
    let cells = record(&[]);
    assert!(cells.as_array().unwrap().len() > 5);
    assert_eq!(cells, record(&["--config", &config]));
    // Only the means of the colours count.
    assert_ne!(cells, record(&["--colour", "bgr"]));
    let folder = temp();
    let other = at(&folder, "other.json");
    let text = std::fs::read_to_string(&config).unwrap();
    for (from, to, words) in [("\"Cone\"", "\"Bollard\"", "its labels are"), ("0.25", "0.2", "cell 10 lies elsewhere")]
    {
        std::fs::write(&other, text.replace(from, to)).unwrap();
        let out = run(["hazard", "--model", &own, "--config", &other, &picture("crowd")]);
        out.assert_error(&["made-yolic-own.onnx", words, "leave --config out"]);
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let model = repo("tests/models/made-yolic.onnx");
    let crowd = picture("crowd");
    run(["hazard", "--model", &model, &crowd]).assert_error(&["made-yolic.onnx", "--config"]);
    run(["hazard", "--model", "none.onnx", &crowd]).assert_error(&["none.onnx"]);
    let folder = temp();
    let config = at(&folder, "cells.json");
    let cells = |text: &str, words: &[&str]| {
        std::fs::write(&config, text).unwrap();
        run(["hazard", "--model", &model, "--config", &config, &crowd]).assert_error(words);
    };
    let labels = r#""Labels": {"LabelList": ["a", "b"], "LabelNumber": 2}"#;
    let count = ["gives 44 values (1 x 44)", "1 cells of 2 labels", "need 3"];
    cells(&format!(r#"{{{labels}, "COIs": {{"COINumber": 1, "1": ["rectangle", 0, 0, 1, 1]}}}}"#), &count);
    let odd = format!(r#"{{{labels}, "COIs": {{"COINumber": 1, "1": ["polygon", 0, 0, 1, 1, 1, 0, 1]}}}}"#);
    cells(&odd, &["cells.json", "cell 1", "odd number of values"]);
    let yolo = repo("tests/models/made-detect.onnx");
    run(["hazard", "--model", &yolo, &crowd]).assert_error(&["made for \"detect\""]);
    hazard(&["--size", "320x320", &crowd]).assert_error(&["fixed to 224x224", "320x320"]);
    hazard(&["--mean", "123,117,104", &crowd]).assert_error(&["--mean", "0 to 1"]);
    hazard(&["--webhook", "http://127.0.0.1:1/", &crowd]).assert_error(&["--zones"]);
}

/// Answers each of `answers` requests with that status; gives back the requests.
fn listener(answers: &'static [u16]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for status in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut text, mut bytes) = (String::new(), [0; 4096]);
            // The body is one JSON object, which ends the request.
            while !text.ends_with('}') {
                let count = stream.read(&mut bytes).unwrap();
                assert!(count > 0, "cut off: {text}");
                text += std::str::from_utf8(&bytes[..count]).unwrap();
            }
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            requests.push(text);
        }
        requests
    });
    (url, thread)
}

#[test]
fn webhooks_are_told() {
    let folder = temp();
    let rules = at(&folder, "rules.toml");
    std::fs::write(&rules, PERSONS).unwrap();
    let tell =
        |url: &str| hazard(&["--json", "--zones", &rules, "--webhook", url, &picture("crowd"), &picture("clear")]);
    let (url, thread) = listener(&[204]);
    let out = tell(&url);
    out.assert_quiet(1);
    // Only of the picture on which a rule fired, and what was printed.
    let requests = thread.join().unwrap();
    assert!(requests[0].starts_with("POST /hook?token=secret HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].to_lowercase().contains("content-type: application/json"), "{requests:?}");
    assert_eq!(requests[0].split("\r\n\r\n").nth(1).unwrap(), out.stdout.lines().next().unwrap());
    // Busy once: tried again.
    let (url, thread) = listener(&[503, 200]);
    tell(&url).assert_quiet(1);
    let requests = thread.join().unwrap();
    assert_eq!(requests[0], requests[1]);
    // It refuses, or is not there: told, an error at the end, but all pictures are looked at. The token is not shown.
    let (url, thread) = listener(&[404]);
    let out = tell(&url);
    assert_eq!((out.code, out.records().len()), (Some(2), 2), "{out:?}");
    assert!(out.stderr.contains("answers 404") && !out.stderr.contains("secret"), "{out:?}");
    thread.join().unwrap();
    let out = tell(url.as_str());
    assert_eq!((out.code, out.records().len()), (Some(2), 2), "{out:?}");
    assert!(out.stderr.contains("tried twice") && out.stderr.contains("1 pictures"), "{out:?}");
    hazard(&["--zones", &rules, "--webhook", "plant/hook", &picture("crowd")]).assert_error(&["--webhook", "http://"]);
}
