//! The page of `ocellus serve` in a real browser: an operator inspects, judges, teaches and goes back, and makes a recipe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "serve")]

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/serving.rs"]
mod serving;

use browser::Browser;
use common::{names, repo, run, temp};
use serde_json::{Value, json};
use serving::{RECIPES, Server};
use std::fs;
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    PathBuf::from(repo(&format!("examples/connector/{name}.jpg")))
}

fn goods() -> Vec<PathBuf> {
    let folder = repo("examples/connector/good");
    names(&folder).iter().map(|n| Path::new(&folder).join(n)).collect()
}

/// A state folder with the recipe `connector` and its good pictures.
fn state() -> tempfile::TempDir {
    let folder = temp();
    let recipe = folder.path().join("recipes/connector");
    fs::create_dir_all(recipe.join("goods")).unwrap();
    for entry in fs::read_dir(RECIPES.path().join("connector")).unwrap().flatten() {
        assert!(fs::copy(entry.path(), recipe.join(entry.file_name())).unwrap() > 0);
    }
    for good in goods() {
        assert!(fs::copy(&good, recipe.join("goods").join(good.file_name().unwrap())).unwrap() > 0);
    }
    folder
}

fn start(folder: &Path, more: &[&str]) -> Server {
    let state = folder.display().to_string();
    let args: Vec<&str> = ["--state", &state].into_iter().chain(more.iter().copied()).collect();
    Server::new(&args).ready()
}

fn source(b: &mut Browser, name: &str) {
    b.eval(&format!("(() => {{ const s = document.getElementById('source'); s.value = '{name}'; s.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"));
}

/// Waits for a verdict and the picture of it.
#[track_caller]
fn verdict(b: &mut Browser, kind: &str) {
    b.wait(&format!("document.getElementById('verdict').dataset.verdict === '{kind}'"));
    b.wait("(() => { const p = document.getElementById('picture'); return !p.hidden && p.complete && p.naturalWidth > 0 && !document.getElementById('picture-box').hasAttribute('aria-busy'); })()");
}

fn text(b: &mut Browser, id: &str) -> String {
    b.eval(&format!("document.getElementById('{id}').textContent")).as_str().unwrap().to_string()
}

fn fill(b: &mut Browser, id: &str, value: &str) {
    b.eval(&format!("(() => {{ const i = document.getElementById('{id}'); i.value = {value:?}; i.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"));
}

/// Fills in the dialog that wants a reason and a name.
fn sign(b: &mut Browser) {
    b.wait("document.getElementById('sign').open");
    b.click("#sign-reasons button");
    fill(b, "sign-name", "Kim");
    b.click("#sign-go");
    b.wait("!document.getElementById('sign').open");
}

#[test]
fn an_operator_inspects_judges_and_teaches() {
    let folder = state();
    let server = start(folder.path(), &[]);
    let Some(mut b) = Browser::start(folder.path()) else { return };
    b.visit(&server.url("/"));
    b.wait("document.getElementById('recipe').value === 'connector'");
    b.wait("!document.getElementById('take').disabled");
    source(&mut b, "upload");
    b.choose_file("#upload", &example("test/good_01"));
    verdict(&mut b, "pass");
    assert_eq!(text(&mut b, "word"), "PASS");
    b.shot("pass");
    b.choose_file("#upload", &example("test/stain_01"));
    verdict(&mut b, "fail");
    assert!(text(&mut b, "reason").contains("whole picture"), "{}", text(&mut b, "reason"));
    b.wait("document.querySelectorAll('#history li').length === 2");
    b.wait("[...document.querySelectorAll('#history img')].every((i) => i.complete && i.naturalWidth > 0)");
    b.wait("document.querySelector('#count-parts td')?.textContent === '2'");
    b.shot("fail");
    // No picture at all: an error, and nothing on record.
    let text_file = folder.path().join("notes.jpg");
    fs::write(&text_file, "no picture").unwrap();
    b.choose_file("#upload", &text_file);
    b.wait("document.getElementById('verdict').dataset.verdict === 'error'");
    b.shot("error");

    // The older part, by key; back again; the failed one is judged good.
    b.press("ArrowRight");
    verdict(&mut b, "fail");
    b.press("ArrowRight");
    verdict(&mut b, "pass");
    b.shot("older");
    b.press("ArrowLeft");
    verdict(&mut b, "fail");
    b.press("g");
    b.wait("document.getElementById('sign').open");
    b.shot("judge");
    sign(&mut b);
    b.wait("!document.getElementById('amended').hidden");
    assert!(text(&mut b, "amended").contains("judged GOOD by Kim"), "{}", text(&mut b, "amended"));
    assert_eq!(text(&mut b, "word"), "FAIL");
    b.shot("amended");
    b.wait("!document.getElementById('learn').hidden && !document.getElementById('learn').disabled");
    b.click("#learn");
    b.wait("document.getElementById('sign').open");
    b.click("#sign-go");
    b.wait("document.getElementById('say').open");
    b.shot("learned");
    assert!(text(&mut b, "say-text").contains("good pictures"), "{}", text(&mut b, "say-text"));
    b.click("#say-ok");
    b.click("#recipe-menu");
    b.wait("document.getElementById('recipe-box').open && !document.getElementById('rollback').disabled");
    b.wait("document.getElementById('golden').naturalWidth > 0");
    b.shot("recipe");
    b.click("#rollback");
    sign(&mut b);
    b.wait("!document.getElementById('recipe-box').open");
    let faults: Vec<String> = b.faults().into_iter().filter(|f| !f.contains("422")).collect();
    assert_eq!(faults, Vec::<String>::new());

    // On record: two parts, a judgement, two versions; nothing of the error.
    let audit = folder.path().join("audit.jsonl").display().to_string();
    let verified = run(["audit", "verify", "--json", &audit]);
    assert_eq!((verified.code, &verified.record()["records"]), (Some(0), &json!(5)));
    let records: Vec<Value> =
        fs::read_to_string(&audit).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let kinds: Vec<&str> = records
        .iter()
        .map(|r| r["action"].as_str().or(r["judged"].as_str()).or(r["verdict"].as_str()).unwrap())
        .collect();
    assert_eq!(kinds, ["pass", "fail", "good", "learn", "rollback"]);
}

#[test]
fn a_recipe_is_made_with_the_wizard() {
    let folder = temp();
    let server = start(folder.path(), &[]);
    let Some(mut b) = Browser::start(folder.path()) else { return };
    b.visit(&server.url("/"));
    b.wait("!document.getElementById('empty').hidden");
    b.shot("empty");
    b.click("#empty-new");
    b.wait("document.getElementById('wizard').open");
    fill(&mut b, "draft-name", "cover");
    b.click("#wizard-next");
    b.choose_files("#wizard-upload", &goods());
    let count = goods().len();
    b.wait(&format!(
        "document.querySelectorAll('#goods li').length === {count} && !document.getElementById('wizard-next').disabled"
    ));
    b.shot("wizard-goods");
    b.click("#wizard-next");
    b.wait("document.querySelector('#region-canvas image') !== null");
    let frame = b.eval("(() => { const r = document.querySelector('#region-canvas image').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()");
    let [x, y, w, h]: [f64; 4] = serde_json::from_value(frame).unwrap();
    b.drag([x + 0.1 * w, y + 0.2 * h], [x + 0.6 * w, y + 0.8 * h]);
    b.wait("document.querySelectorAll('#region-list li').length === 1");
    b.eval("(() => { const i = document.querySelector('.region-name'); i.value = 'label'; i.dispatchEvent(new Event('input', { bubbles: true })); })()");
    b.shot("wizard-regions");
    b.click("#wizard-next");
    b.click("#wizard-learn");
    b.wait("!document.getElementById('learn-result').hidden");
    b.shot("wizard-learned");
    b.click("#wizard-next");
    b.choose_file("#wizard-upload", &example("test/good_01"));
    b.wait("document.getElementById('try-verdict').classList.contains('pass') && document.getElementById('try-picture').naturalWidth > 0");
    b.shot("wizard-try");
    b.click("#wizard-next");
    fill(&mut b, "publish-name", "Kim");
    b.click("#publish");
    b.wait("!document.getElementById('wizard').open && document.getElementById('recipe').value === 'cover'");
    // A picture of the browser's camera; its size is not the golden one's, and it is said.
    // A frame is there before the key is pressed, and stays: choosing the camera that runs already does not start it anew.
    let stream = "document.getElementById('camera-view').srcObject?.id";
    b.wait("document.getElementById('camera-view').readyState >= 2");
    let running = b.eval(stream);
    source(&mut b, "camera");
    b.press(" ");
    b.wait("document.getElementById('verdict').dataset.verdict === 'error'");
    b.shot("camera");
    assert_eq!(b.eval(stream), running);
    assert!(text(&mut b, "reason").contains("golden image is"), "{}", text(&mut b, "reason"));
    let faults: Vec<String> = b.faults().into_iter().filter(|f| !f.contains("422")).collect();
    assert_eq!(faults, Vec::<String>::new());
    let recipe = server.get("/v1/recipes").json()[0].clone();
    let [rx, ry, rw, rh]: [u64; 4] = serde_json::from_value(recipe["regions"][0]["rect"].clone()).unwrap();
    let (gw, gh) = (recipe["golden"]["width"].as_f64().unwrap(), recipe["golden"]["height"].as_f64().unwrap());
    let drawn = [rx as f64 / gw, ry as f64 / gh, rw as f64 / gw, rh as f64 / gh];
    assert!(drawn.iter().zip([0.1, 0.2, 0.5, 0.6]).all(|(a, b)| (a - b).abs() < 0.02), "{drawn:?}");
}

#[test]
fn a_watched_folder_shows_what_comes() {
    let folder = state();
    let incoming = folder.path().join("in");
    fs::create_dir_all(&incoming).unwrap();
    let server = start(folder.path(), &["--watch", &incoming.display().to_string(), "--watch-recipe", "connector"]);
    let Some(mut b) = Browser::start(folder.path()) else { return };
    b.call(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 800, "height": 1280, "deviceScaleFactor": 1, "mobile": false}),
    );
    b.call("Emulation.setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}));
    b.visit(&server.url("/"));
    b.wait("document.body.dataset.source === 'watch'");
    assert!(fs::copy(example("test/stain_01"), incoming.join("a.jpg")).unwrap() > 0);
    verdict(&mut b, "fail");
    b.wait("[...document.querySelectorAll('#history img')].some((i) => i.naturalWidth > 0)");
    b.shot("watched-portrait-dark");
    assert_eq!(b.eval("document.documentElement.scrollWidth <= innerWidth"), true);
    assert_eq!(b.faults(), Vec::<String>::new());
}
