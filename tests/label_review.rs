//! `ocellus label review` and `label apply`: the page in a real browser, its decisions, and what becomes of the labels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/browser.rs"]
mod browser;
mod common;

use browser::Browser;
use common::{Output, at, names, run, temp, text};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const GATE: &str = "gate \"x\" </script>";
const SIZE: &str = "Größe 🙂";
const BALL: &str = "it's, a ball";
/// File names hold anything.
const FIRST: &str = "train/plan ä \"1\" <b>.png";
const SECOND: &str = "val/two & more.png";

/// Eight objects of 40 x 40 pixels in two pictures of 400 x 300. In the order of the page: gate at x = 240 (doubted), 340
/// in the second picture (0.2), 140 (0.5), 40 (0.9), 340 (no record); size at 40 (0.3), 140 (0.8); ball at 240 (a polygon).
fn data_set(folder: &Path) -> String {
    let set = folder.join("a set");
    for (file, lines) in [
        (
            FIRST,
            "\n0 0.15 0.2 0.1 0.13333333\n0\t0.40 0.2 0.1 0.1333333\n0 .65 .2 .1 .133333\r\n0 0.9 0.2 0.1 0.133333",
        ),
        (
            SECOND,
            "1 0.15 0.533333 0.1 0.133333\n1 0.4 0.533333 0.1 0.133333\n2 0.6 0.466667 0.7 0.466667 0.7 0.6 0.6 0.6\n\
             0 0.90000000 0.533333 0.1 0.133333\n",
        ),
    ] {
        let labels = set.join("labels").join(file).with_extension("txt");
        std::fs::create_dir_all(labels.parent().unwrap()).unwrap();
        std::fs::write(labels, lines).unwrap();
        let row = if file == FIRST { 40 } else { 140 };
        let picture = RgbImage::from_fn(400, 300, |x, y| {
            let frame = (x % 100 == 45 || x % 100 == 75) && (row + 5..row + 36).contains(&y);
            Rgb([if frame || y == row + 20 { 20 } else { 250 }; 3])
        });
        std::fs::create_dir_all(set.join("images").join(file).parent().unwrap()).unwrap();
        picture.save(set.join("images").join(file)).unwrap();
    }
    let yaml = format!(
        "train: images/train\nval: images/val\nnames:\n  0: {}\n  1: {}\n  2: {}\n",
        json!(GATE),
        json!(SIZE),
        json!(BALL)
    );
    std::fs::write(set.join("data.yaml"), yaml).unwrap();
    let object = |label: &str, x: u32, y: u32, score: f64, doubt: &str| {
        let mut value = json!({ "label": label, "box": [x, y, x + 40, y + 40], "origin": "templates", "score": score });
        if !doubt.is_empty() {
            (value["doubt"], value["origin"]) = (json!(doubt), json!("both"));
        }
        value
    };
    let record = |file: &str, objects: Value| {
        json!({ "schema": 1, "type": "label", "path": format!("scans/{file}"), "file": file, "status": "ok",
                "width": 400, "height": 300, "objects": objects })
    };
    let first = json!([
        object(GATE, 40, 40, 0.9, ""),
        object(GATE, 140, 40, 0.5, ""),
        object(GATE, 240, 40, 0.95, "remote says <b>Größe</b> 🙂</script>"),
    ]);
    let second =
        json!([object(SIZE, 40, 140, 0.3, ""), object(SIZE, 140, 140, 0.8, ""), object(GATE, 340, 140, 0.2, "")]);
    let records = format!("{}\n{}\n", record(FIRST, first), record(SECOND, second));
    std::fs::write(set.join("ocellus.jsonl"), records).unwrap();
    text(&set).to_string()
}

/// Every file below a folder that may change, but backups.
fn contents(set: &str) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(set).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file());
    let name = |e: &walkdir::DirEntry| e.path().strip_prefix(set).unwrap().to_str().unwrap().to_string();
    files.map(|e| (name(&e), std::fs::read(e.path()).unwrap())).filter(|(n, _)| !n.starts_with("backup")).collect()
}

fn backups(set: &str) -> Vec<String> {
    names(set).into_iter().filter(|n| n.contains("backup")).collect()
}

fn decision(file: &str, label: &str, sides: [u32; 4], what: &str) -> Value {
    json!({ "file": file, "object": { "label": label, "box": sides }, "decision": what })
}

fn square(x: u32, y: u32) -> [u32; 4] {
    [x, y, x + 40, y + 40]
}

/// The decisions of the walk through the page below.
fn decided() -> Vec<Value> {
    let mut relabelled = decision(SECOND, GATE, square(340, 140), "relabel");
    relabelled["to"] = json!(SIZE);
    vec![
        decision(FIRST, GATE, square(240, 40), "reject"),
        relabelled,
        decision(FIRST, GATE, square(140, 40), "accept"),
        decision(SECOND, SIZE, square(140, 140), "accept"),
    ]
}

fn write_decisions(folder: &Path, list: &[Value]) -> String {
    let file = folder.join("decisions.json");
    let all = json!({ "schema": 1, "type": "decisions", "dataset": "0", "decisions": list });
    std::fs::write(&file, all.to_string()).unwrap();
    text(&file).to_string()
}

/// Applies, and leaves out what is said of the backup and of other pictures.
fn apply(args: &[&str]) -> Output {
    let mut out = run([&["label", "apply"], args].concat());
    let said = |line: &&str| !line.contains("the labels as they were") && !line.contains("had other pictures");
    out.stderr = out.stderr.lines().filter(said).map(|l| format!("{l}\n")).collect();
    out
}

/// Asserts that the data set is as the decisions of the walk make it.
fn assert_applied(set: &str, before: &BTreeMap<String, Vec<u8>>) {
    let now = contents(set);
    let read = |name: &str| std::str::from_utf8(&now[name]).unwrap();
    assert_eq!(
        read("labels/train/plan ä \"1\" <b>.txt"),
        "\n0 0.15 0.2 0.1 0.13333333\n0\t0.40 0.2 0.1 0.1333333\n0 0.9 0.2 0.1 0.133333"
    );
    assert_eq!(
        read("labels/val/two & more.txt"),
        "1 0.15 0.533333 0.1 0.133333\n1 0.4 0.533333 0.1 0.133333\n2 0.6 0.466667 0.7 0.466667 0.7 0.6 0.6 0.6\n\
         1 0.90000000 0.533333 0.1 0.133333\n"
    );
    let records: Vec<Value> = read("ocellus.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let sure = |label: &str, x: u32, y: u32| json!({ "label": label, "box": [x, y, x + 40, y + 40], "origin": "hand" });
    assert_eq!(records[0]["objects"][0]["score"], 0.9);
    assert_eq!(records[0]["objects"].as_array().unwrap()[1..], [sure(GATE, 140, 40)]);
    assert_eq!(records[1]["objects"].as_array().unwrap()[1..], [sure(SIZE, 140, 140), sure(SIZE, 340, 140)]);
    assert_eq!(records[0]["path"], format!("scans/{FIRST}"));
    for (name, bytes) in before.iter().filter(|(n, _)| !n.starts_with("labels") && *n != "ocellus.jsonl") {
        assert!(&now[name] == bytes, "{name} changed");
    }
    assert_eq!(now.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}

#[test]
fn a_person_reviews_in_a_browser() {
    let folder = temp();
    let set = data_set(folder.path());
    let page = folder.path().join("review ü.html");
    let out = run(["label", "review", &set, "--html", text(&page), "--json", "--quiet"]);
    out.assert_quiet(0);
    let record = out.record();
    assert_eq!((&record["type"], &record["status"]), (&json!("label_review"), &json!("ok")));
    let number = |key: &str| record[key].as_u64().unwrap();
    assert_eq!([number("objects"), number("classes"), number("pictures"), number("doubts")], [8, 3, 2, 1]);

    let Some(mut b) = Browser::start(folder.path()) else { return };
    b.open(&page);
    let selected = |b: &mut Browser| {
        let object = "(() => { const o = document.querySelector('[aria-selected=true].card').object;
                       return [o.in.file, o.box[0], o.label]; })()";
        b.eval(object)
    };
    let count = |b: &mut Browser| b.eval("document.getElementById('count').textContent");
    let detail =
        |b: &mut Browser| b.eval("document.getElementById('detail').textContent").as_str().unwrap().to_string();
    assert_eq!(
        b.eval("[...document.querySelectorAll('.group h2')].map((h) => h.textContent)"),
        json!([GATE, SIZE, BALL])
    );
    assert_eq!(b.eval("document.title"), "Review: a set");
    assert_eq!(selected(&mut b), json!([FIRST, 240, GATE]));
    let said = detail(&mut b);
    for word in ["remote says <b>Größe</b> 🙂</script>", "0.95", "both", FIRST, GATE, "40 × 40 px at 240, 40"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // The pictures can be seen.
    b.wait("[...document.querySelectorAll('.card image, #detail image')].length === 10");
    b.eval(
        "window.seen = 0; for (const i of document.querySelectorAll('image')) {
           const picture = new Image(); picture.onload = () => { window.seen += 1; }; picture.src = i.href.baseVal; }",
    );
    b.wait("window.seen === 10");

    b.press("r");
    assert_eq!(selected(&mut b), json!([SECOND, 340, GATE]));
    b.press("2");
    assert_eq!(selected(&mut b), json!([FIRST, 140, GATE]));
    b.press("a");
    // The palette, and back again.
    b.press("l");
    b.type_text("größ");
    assert_eq!(b.eval("document.querySelectorAll('#matches li').length"), 1);
    b.press("Enter");
    assert_eq!(count(&mut b), "4 / 8");
    assert_eq!(selected(&mut b), json!([FIRST, 340, GATE]));
    b.press("u");
    assert_eq!((count(&mut b), selected(&mut b)), (json!("3 / 8"), json!([FIRST, 40, GATE])));
    assert!(detail(&mut b).contains("undecided"));
    b.press("x");
    b.press("k");
    b.press("Backspace");
    assert_eq!((count(&mut b), selected(&mut b)), (json!("3 / 8"), json!([FIRST, 40, GATE])));
    b.press("ArrowRight");
    b.press("j");
    assert_eq!(selected(&mut b), json!([SECOND, 40, SIZE]));
    // The undecided ones, round the end.
    b.press("n");
    b.press("n");
    assert_eq!(selected(&mut b), json!([SECOND, 240, BALL]));
    b.press("n");
    assert_eq!(selected(&mut b), json!([FIRST, 40, GATE]));
    b.press("p");
    b.press("[");
    assert_eq!(selected(&mut b), json!([SECOND, 40, SIZE]));
    // All of a class from a score on; the first has less.
    b.press("A");
    b.type_text("0.5");
    assert_eq!(b.eval("document.getElementById('bulk-count').textContent"), "1 undecided object");
    b.press("Enter");
    b.wait("document.getElementById('count').textContent === '4 / 8'");
    // The mouse, and the whole picture.
    b.press("Home");
    b.click(".group:nth-of-type(2) .card:nth-child(2)");
    assert_eq!(selected(&mut b), json!([SECOND, 140, SIZE]));
    b.press("c");
    assert_eq!(b.eval("document.querySelector('#context[open] .mark').getAttribute('x')"), "140");
    b.press("Escape");
    b.wait("!document.getElementById('context').open");
    b.press("?");
    b.wait("document.getElementById('keys').open");
    // No key works through a dialog.
    b.press("r");
    b.press("Escape");
    b.wait("!document.getElementById('keys').open");
    assert_eq!(count(&mut b), "4 / 8");

    b.press("s");
    let file = folder.path().join("decisions.json");
    // The browser reserves the name with an empty file, and puts the download there afterwards.
    let start = Instant::now();
    let saved: Value = loop {
        if let Some(saved) = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            break saved;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was downloaded: {:?}", b.events);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(saved["decisions"], json!(decided()), "{saved:#}");
    assert_eq!(b.eval("JSON.parse(document.getElementById('text').value)"), saved);
    let command = b.eval("document.getElementById('command').textContent");
    assert_eq!(command, format!("ocellus label apply '{set}' decisions.json"));

    // A closed page loses nothing.
    b.open(&page);
    assert_eq!((count(&mut b), selected(&mut b)), (json!("4 / 8"), json!([FIRST, 40, GATE])));
    // Another browser goes on with the file.
    b.eval("localStorage.clear()");
    b.open(&page);
    assert_eq!(count(&mut b), "0 / 8");
    b.choose_file("#file", &file);
    b.wait("document.getElementById('count').textContent === '4 / 8'");
    b.press("u");
    assert_eq!(count(&mut b), "0 / 8");
    assert_eq!(b.faults(), Vec::<String>::new());
    drop(b);

    let before = contents(&set);
    let file = text(&file);
    let out = apply(&[&set, file, "--dry-run", "--json"]);
    out.assert_quiet(0);
    let expected = [("accepted", 2), ("rejected", 1), ("relabelled", 1), ("settled", 0), ("missing", 0), ("files", 2)];
    let assert_counts =
        |out: &Output| expected.iter().for_each(|(k, v)| assert_eq!(out.record()[k], *v, "{k}: {out:?}"));
    assert_counts(&out);
    assert_eq!((contents(&set), backups(&set)), (before.clone(), vec![]));
    let out = run(["label", "apply", &set, file, "--json"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert_eq!(out.stderr, format!("ocellus: the labels as they were: {}\n", at(&set, "backup-1")));
    assert_counts(&out);
    assert_applied(&set, &before);
    let kept = contents(&at(&set, "backup-1"));
    assert_eq!(kept.len(), 4);
    kept.iter().for_each(|(name, bytes)| assert_eq!(&before[name], bytes, "{name}"));
}

/// The data set with decisions, and what it was like.
fn prepared() -> (tempfile::TempDir, String, String, BTreeMap<String, Vec<u8>>) {
    let folder = temp();
    let set = data_set(folder.path());
    let file = write_decisions(folder.path(), &decided());
    let before = contents(&set);
    (folder, set, file, before)
}

#[test]
fn twice_is_once() {
    let (_folder, set, file, before) = prepared();
    // What trainers keep of the labels is out of date from then on.
    std::fs::write(at(&set, "labels/train.cache"), "old").unwrap();
    apply(&[&set, &file]).assert_quiet(0);
    assert_applied(&set, &before);
    let once = contents(&set);
    let out = apply(&[&set, &file]);
    out.assert_quiet(0);
    assert_eq!(
        out.stdout,
        "accepted 2, rejected 1, relabelled 1 (2 of them so already); 0 not found; 0 label files changed\n"
    );
    assert_eq!((contents(&set), backups(&set)), (once, vec!["backup-1".to_string()]));
}

/// Files are replaced one after the other: whatever was reached when it was killed, applying again ends where it would have.
#[test]
fn an_interruption_is_made_good() {
    let (_folder, set, file, before) = prepared();
    apply(&[&set, &file]).assert_quiet(0);
    let after = contents(&set);
    let changed: Vec<&String> = after.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(changed.len(), 3);
    for reached in 0..1 << changed.len() {
        for (i, name) in changed.iter().enumerate() {
            let source = if reached >> i & 1 == 1 { &after } else { &before };
            std::fs::write(at(&set, name), &source[*name]).unwrap();
        }
        apply(&[&set, &file]).assert_quiet(0);
        assert_eq!(contents(&set), after, "{reached:b}");
    }
}

#[test]
fn edited_labels_are_told() {
    let (folder, set, file, _) = prepared();
    let labels = at(&set, "labels/train/plan ä \"1\" <b>.txt");
    // The accepted one was moved by two pixels; the rejected one is gone.
    std::fs::write(&labels, "0 0.405 0.2 0.1 0.133333\n").unwrap();
    let out = apply(&[&set, &file, "--json"]);
    assert_eq!(out.code, Some(1), "{out:?}");
    let expected = format!(
        "ocellus: {FIRST}: {GATE:?} at 140,40,180,80: accept: no such object: the labels were edited meanwhile\n"
    );
    assert_eq!(out.stderr, expected);
    assert_eq!((&out.record()["missing"], &out.record()["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(std::fs::read_to_string(&labels).unwrap(), "0 0.405 0.2 0.1 0.133333\n");
    let file = write_decisions(folder.path(), &[decision("train/../none.png", GATE, square(0, 0), "reject")]);
    let out = apply(&[&set, &file]);
    assert_eq!(out.code, Some(1), "{out:?}");
    assert!(out.stderr.contains("the data set has no such picture"), "{out:?}");
    assert_eq!(apply(&[&set, &file, "--quiet"]).stderr, "");
}

#[test]
fn bad_decisions_change_nothing() {
    let (folder, set, file, before) = prepared();
    let mut unknown = decision(FIRST, GATE, square(40, 40), "relabel");
    unknown["to"] = json!("gate");
    let mut list = decided();
    list.push(unknown);
    let bad = write_decisions(folder.path(), &list);
    apply(&[&set, &bad]).assert_error(&[
        "decisions.json: decision 5",
        "has no class \"gate\"; it has: gate \"x\"",
        BALL,
    ]);
    std::fs::write(&file, "{\"schema\":1").unwrap();
    apply(&[&set, &file]).assert_error(&["decisions.json: expected decisions"]);
    apply(&[&set, &at(&folder, "none.json")]).assert_error(&["none.json: cannot read"]);
    apply(&[&at(&folder, "none"), &file]).assert_error(&["none"]);
    // Labels outside of the folder would have no backup.
    let yaml = std::fs::read_to_string(at(&set, "data.yaml")).unwrap();
    let inner = at(&set, "inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(at(&inner, "data.yaml"), yaml.replace(": images", ": ../images")).unwrap();
    let good = write_decisions(folder.path(), &decided());
    let out = apply(&[&inner, &good]);
    out.assert_error(&["labels/train", "lies outside of", "inner"]);
    assert_eq!(names(&inner), ["data.yaml"]);
    std::fs::remove_dir_all(&inner).unwrap();
    assert_eq!((contents(&set), backups(&set)), (before, vec![]));
}

#[test]
fn a_bad_picture_does_not_stop_the_page() {
    let folder = temp();
    let set = data_set(folder.path());
    let (page, json) = (at(&folder, "r.html"), |args: &[&str]| {
        let page = at(&folder, "r.html");
        run([&["label", "review", &set, "--html", &page, "--json", "--quiet"], args].concat())
    });
    // Decodes as far as its size, no further.
    let file = at(&set, &format!("images/{SECOND}"));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let out = json(&[]);
    assert_eq!(out.code, Some(2), "{out:?}");
    let records = out.records();
    assert_eq!((&records[0]["status"], &records[1]["failed"]), (&json!("error"), &json!(1)), "{out:?}");
    assert!(records[0]["path"].as_str().unwrap().ends_with(SECOND));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.ends_with("</html>\n") && html.contains("two & more.png"));
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(json(&["--limit", "3"]).record()["objects"], 3);
    assert_eq!(json(&["--below", "0.4"]).record()["objects"], 3);
    assert_eq!(json(&["--class", BALL]).record()["objects"], 1);
    json(&["--class", "gate"]).assert_error(&["no class \"gate\"", SIZE]);
    json(&["--limit", "0"]).assert_error(&["--limit"]);
    json(&["--below", "2"]).assert_error(&["\"2\" is not a number from 0 to 1"]);
}
