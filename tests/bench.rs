//! `ocellus bench`: what it says of networks, embedded ones and files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{repo, run};
use serde_json::Value;

#[test]
fn every_embedded_network_is_measured() {
    let result = run(["bench", "--json", "--quiet", "--seconds", "0"]);
    result.assert_quiet(0);
    let models: Vec<String> =
        run(["models", "--json"]).records().iter().map(|m| m["id"].as_str().unwrap().into()).collect();
    let records = result.records();
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    let per_model = if threads == 1 { 1 } else { 2 };
    assert_eq!(records.len(), per_model * models.len());
    for (at, record) in records.iter().enumerate() {
        assert_eq!((&record["type"], &record["model"]), (&"bench".into(), &models[at / per_model].as_str().into()));
        assert_eq!(record["threads"], if at % per_model == 0 { 1 } else { threads }, "{record}");
        let number = |key: &str| record[key].as_f64().unwrap_or_else(|| panic!("{key}: {record}"));
        assert!(number("load_ms") > 0.0 && number("first_ms") > 0.0 && number("runs") >= 5.0, "{record}");
        assert!(number("median_ms") > 0.0 && number("median_ms") <= number("p90_ms"), "{record}");
        // What a thread does in a second, times the threads.
        let rate = 1000.0 * number("threads") / number("median_ms");
        assert!((0.2..5.0).contains(&(number("images_per_s") / rate)), "{record}");
        let shape: Vec<u64> = serde_json::from_value(record["shape"].clone()).unwrap();
        assert!(shape[..2] == [1, 3] && shape[2..].iter().all(|s| *s >= 32), "{record}");
        assert!(record["peak_bytes"].as_u64().is_none_or(|b| b > 10_000_000), "{record}");
        assert!(record["instructions"].as_array().is_some(), "{record}");
    }
}

#[test]
fn a_file_is_measured_operator_by_operator() {
    let file = repo("tests/models/made-seg.onnx");
    let args =
        ["bench", "--model", &file, "--seconds", "0", "--threads", "1", "--size", "96x64", "--quiet", "--profile"];
    let record: Value = run(args.into_iter().chain(["--json"])).record();
    let operators = record["operators"].as_array().unwrap();
    let total: f64 = operators.iter().map(|o| o["ms"].as_f64().unwrap()).sum();
    let times: Vec<f64> = operators.iter().map(|o| o["ms"].as_f64().unwrap()).collect();
    assert!(!operators.is_empty() && times.is_sorted_by(|a, b| a >= b), "{record}");
    assert!(total > 0.0 && operators.iter().all(|o| o["count"].as_u64() >= Some(1)), "{record}");
    let lines = run(args);
    lines.assert_quiet(0);
    let first = operators[0]["name"].as_str().unwrap();
    assert!(lines.stdout.starts_with("instructions: ") && lines.stdout.contains(first), "{}", lines.stdout);
    run(["bench", "--model", "none"]).assert_error(&["none", "unknown"]);
    run(["bench", "--seconds", "-1"]).assert_error(&["--seconds"]);
}
