//! `ocellus serve --state`: parts on record, what people say of them, what is learned of that, and recipes made on the page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "serve")]

mod common;
#[path = "common/serving.rs"]
mod serving;

use common::{at, names, repo, run, temp};
use serde_json::{Value, json};
use serving::{RECIPES, Server};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn bytes(name: &str) -> Vec<u8> {
    fs::read(repo(&format!("examples/connector/{name}.jpg"))).unwrap()
}

/// A folder whose `recipes` has the recipe `connector` with its good pictures.
fn station() -> tempfile::TempDir {
    let folder = temp();
    let recipe = folder.path().join("recipes/connector");
    copy(&RECIPES.path().join("connector"), &recipe);
    copy(Path::new(&repo("examples/connector/good")), &recipe.join("goods"));
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten().filter(|e| e.path().is_file()) {
        assert!(fs::copy(entry.path(), to.join(entry.file_name())).unwrap() > 0);
    }
}

fn start(folder: &Path, more: &[&str]) -> Server {
    let state = folder.display().to_string();
    let args: Vec<&str> = ["--state", &state].into_iter().chain(more.iter().copied()).collect();
    Server::new(&args).ready()
}

fn verify(folder: &Path) -> Value {
    let result = run(["audit", "verify", "--json", &folder.join("audit.jsonl").display().to_string()]);
    assert_eq!(result.code, Some(0), "{result:?}");
    result.record()
}

#[test]
fn a_part_is_kept_judged_and_learned_from() {
    let folder = station();
    let server = start(folder.path(), &["--operator", "Kim", "--serial-pattern", "SN-([0-9]+)"]);
    let before = server.get("/v1/recipes").json()[0].clone();
    assert_eq!((&before["goods_kept"], &before["previous"]), (&json!(true), &json!(false)), "{before}");
    let good = server.post("/v1/parts/connector?name=SN-17.jpg", &bytes("test/good_01"));
    assert_eq!((good.status, good.header("ocellus-verdict")), (200, "pass"), "{good:?}");
    let good = good.json();
    assert_eq!((&good["seq"], &good["serial"], &good["operator"]), (&json!(1), &json!("17"), &json!("Kim")));
    let stain = server.post("/v1/parts/connector?serial=18&operator=Lee", &bytes("test/stain_01")).json();
    let told = ["seq", "serial", "operator", "verdict", "recipe_sha256"].map(|k| stain[k].clone());
    assert_eq!(told, [json!(2), json!("18"), json!("Lee"), json!("fail"), before["sha256"].clone()]);
    // One that is sent again is counted once, also while the first is looked at.
    let again: Vec<_> = std::thread::scope(|scope| {
        let ask = || server.post("/v1/parts/connector?request=x1", &bytes("test/good_02"));
        let all: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        all.into_iter()
            .map(|t| t.join().unwrap())
            .filter(|a| a.status != 503)
            .map(|a| a.json()["seq"].clone())
            .collect()
    });
    assert!(!again.is_empty() && again.iter().all(|seq| *seq == json!(3)), "{again:?}");
    assert_eq!(server.post("/v1/parts/connector?request=x1", &bytes("test/good_02")).json()["seq"], 3);
    server.post("/v1/parts/connector?request=x1", &bytes("test/stain_01")).assert_error(409, &["another picture"]);
    // Nothing is kept of what is no picture.
    server.post("/v1/parts/connector", b"no picture").assert_error(422, &[]);
    server.post("/v1/parts/none", &bytes("test/good_01")).assert_error(404, &["none"]);
    server.post("/v1/parts/connector?operator=a%0Ab", &bytes("test/good_01")).assert_error(400, &["operator"]);

    // The files: photograph, picture, record.
    let stored = stain["stored"].as_str().unwrap();
    assert!(stored.starts_with("fail/") && fs::read(folder.path().join(stored)).unwrap() == bytes("test/stain_01"));
    let findings = server.get("/v1/parts/2/findings");
    assert!(
        findings.header("content-type") == "image/png"
            && findings.body == fs::read(folder.path().join(format!("{stored}.png"))).unwrap()
    );
    assert_eq!(server.get("/v1/parts/2/picture").body, bytes("test/stain_01"));
    let small = image::load_from_memory(&server.get("/v1/parts/2/thumbnail").body).unwrap();
    assert_eq!(small.width(), 200);
    for nothing in ["/v1/parts/9", "/v1/parts/9/findings", "/v1/parts/x", "/v1/parts/-1/picture"] {
        server.get(nothing).assert_error(404, &["no such part"]);
    }

    // What a person says is put down beside the record, which stays as it is.
    let learn = json!({"operator": "Lee", "reason": "glare"});
    server.tell("/v1/parts/2/learn", &learn).assert_error(409, &["judged good"]);
    for (wrong, word) in [
        (json!({"judged": "fine", "operator": "Lee", "reason": "glare"}), "fine"),
        (json!({"judged": "good", "operator": "", "reason": "glare"}), "operator"),
        (json!({"judged": "good", "operator": "Lee"}), "reason"),
        (json!({"judged": "good", "operator": "Lee", "reason": "glare", "seq": 9}), "seq"),
    ] {
        server.tell("/v1/parts/2/judgement", &wrong).assert_error(400, &[word]);
    }
    let judged = server.tell("/v1/parts/2/judgement", &json!({"judged": "good", "operator": "Lee", "reason": "glare"}));
    assert_eq!((judged.status, &judged.json()["of"], &judged.json()["seq"]), (200, &json!(2), &json!(4)));
    let list = server.get("/v1/parts?after=3").json();
    assert_eq!((&list["last"], list["parts"].as_array().unwrap().len()), (&json!(4), 1));
    assert_eq!(
        (&list["parts"][0]["judged"]["reason"], &list["parts"][0]["verdict"], &list["parts"][0]["stored"]),
        (&json!("glare"), &json!("fail"), &json!(true))
    );
    let counters = server.get("/v1/counters?recipe=connector").json();
    assert_eq!(
        counters["last_hour"],
        json!({"parts": 3, "pass": 2, "fail": 1, "misplaced": 0, "error": 0, "yield": 2.0 / 3.0})
    );
    assert_eq!(counters["regions"], json!({"all": 1}));

    // The part is learned as a good one, and the step is taken back.
    let learned = server.tell("/v1/parts/2/learn", &learn);
    assert_eq!(learned.status, 200, "{learned:?}");
    let learned = learned.json();
    let number = |v: &Value| v.as_f64().unwrap();
    assert!(
        number(&learned["score"]) / number(&learned["threshold"])
            < number(&stain["score"]) / number(&stain["threshold"]),
        "{learned}"
    );
    server.tell("/v1/parts/2/learn", &learn).assert_error(422, &["among the good ones already"]);
    let after = server.get("/v1/recipes").json()[0].clone();
    assert_eq!(after["good_images"], json!(before["good_images"].as_u64().unwrap() + 1));
    assert_eq!((&after["sha256"], &after["previous"]), (&learned["recipe_sha256"], &json!(true)));
    let back = server.tell("/v1/recipes/connector/rollback", &learn).json();
    assert_eq!((&back["recipe_sha256"], &back["previous_sha256"]), (&before["sha256"], &after["sha256"]));
    let again = server.post("/v1/parts/connector", &bytes("test/stain_01")).json();
    assert_eq!((&again["score"], &again["recipe_sha256"]), (&stain["score"], &before["sha256"]));
    assert_eq!(names(folder.path().join("recipes/connector/goods")), names(repo("examples/connector/good")));
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("ocellus_storage_full 0") && !metrics.contains("ocellus_stored_bytes 0\n"), "{metrics}");

    // It is all there after a restart.
    drop(server);
    assert_eq!(verify(folder.path())["records"], 7);
    let server = start(folder.path(), &[]);
    assert_eq!(server.get("/v1/parts/2").json()["judged"]["reason"], "glare");
    assert_eq!(server.get("/v1/counters").json()["all"]["parts"], 4);
    let csv = at(&folder, "table.csv");
    let report = run([
        "audit",
        "report",
        &folder.path().join("audit.jsonl").display().to_string(),
        "--csv",
        &csv,
        "--shifts",
        "00:00",
    ]);
    report.assert_quiet(0);
    let table = fs::read_to_string(&csv).unwrap();
    assert!(table.contains(",judgement,2,") && table.contains(",rollback,"), "{table}");
}

#[test]
fn a_recipe_is_made_step_by_step() {
    let folder = temp();
    let server = start(folder.path(), &[]);
    assert_eq!(server.get("/v1/recipes").json(), json!([]));
    let goods: Vec<PathBuf> = names(repo("examples/connector/good"))
        .iter()
        .map(|n| Path::new(&repo("examples/connector/good")).join(n))
        .collect();
    for (at, good) in goods.iter().enumerate() {
        let added = server.post("/v1/drafts/cover/goods", &fs::read(good).unwrap());
        assert_eq!((added.status, &added.json()["goods"]), (200, &json!(at + 1)), "{added:?}");
    }
    let other = fs::read(repo("examples/people/astronaut.jpg")).unwrap();
    server.post("/v1/drafts/cover/goods", &other).assert_error(422, &["of one size"]);
    server.post("/v1/drafts/cover/goods", b"no picture").assert_error(422, &[]);
    assert_eq!(server.get("/v1/drafts/cover/goods/2").body, fs::read(&goods[1]).unwrap());
    assert_eq!(server.delete("/v1/drafts/cover/goods/2").json()["goods"], goods.len() - 1);
    assert_eq!(server.get("/v1/drafts/cover/goods/2").body, fs::read(&goods[2]).unwrap());
    let who = json!({"operator": "Lee", "reason": "new part"});
    server.tell("/v1/drafts/cover/publish", &who).assert_error(409, &["not been learned"]);
    server.post("/v1/drafts/cover/try", &bytes("test/good_01")).assert_error(409, &["not been learned"]);
    server.tell("/v1/drafts/none/learn", &json!({"regions": []})).assert_error(404, &["none"]);
    for (plan, status, word) in [
        (json!({"regions": [{"name": "a b", "rect": [0, 0, 9, 9], "method": "patch"}]}), 400, "a b"),
        (json!({"regions": [{"name": "a", "rect": [0, 0, 9, 9], "method": "magic"}]}), 400, "magic"),
        (json!({"regions": [{"name": "a", "rect": [0, 0, 99999, 9], "method": "patch"}]}), 400, "99999"),
        (json!({"regions": [{"name": "a", "rect": [0, 0, 99, 99], "method": "text"}]}), 400, "a"),
        (json!({"regions": [], "align": "up"}), 400, "up"),
    ] {
        server.tell("/v1/drafts/cover/learn", &plan).assert_error(status, &[word]);
    }
    let plan =
        json!({"regions": [{"name": "label", "rect": [40, 40, 200, 160], "method": "classical"}], "align": "auto"});
    let learned = server.tell("/v1/drafts/cover/learn", &plan);
    assert_eq!((learned.status, &learned.json()["regions"][0]["name"]), (200, &json!("label")), "{learned:?}");
    assert!(learned.json()["regions"][0]["held_out"].as_array().unwrap().len() >= goods.len() - 1, "{learned:?}");
    let tried = server.post("/v1/drafts/cover/try", &bytes("test/good_01")).json();
    assert_eq!((&tried["verdict"], &tried["regions"][0]["name"]), (&json!("pass"), &json!("label")));
    assert_eq!(
        server.post("/v1/drafts/cover/try?annotate=true", &bytes("test/good_01")).header("content-type"),
        "image/png"
    );
    assert_eq!(server.get("/v1/drafts").json(), json!([{"name": "cover", "goods": goods.len() - 1, "learned": true}]));
    assert_eq!(server.tell("/v1/drafts/cover/publish", &who).json()["action"], "publish");
    assert_eq!(server.get("/v1/drafts").json(), json!([]));
    let recipe = server.get("/v1/recipes").json()[0].clone();
    assert_eq!((&recipe["name"], &recipe["goods_kept"]), (&json!("cover"), &json!(true)));
    assert_eq!(server.get("/v1/recipes/cover/golden").body, fs::read(&goods[0]).unwrap());
    assert_eq!(server.post("/v1/parts/cover", &bytes("test/good_01")).json()["verdict"], "pass");
    // A name that is taken, names that are none, a draft that is thrown away.
    assert_eq!(server.post("/v1/drafts/cover/goods", &bytes("test/good_01")).status, 200);
    for name in ["..", "%2e%2e", "a%2Fb", ".hidden"] {
        let found = server.post(&format!("/v1/drafts/{name}/goods"), &bytes("test/good_01"));
        assert!([400, 404].contains(&found.status), "{name}: {found:?}");
    }
    assert_eq!(server.delete("/v1/drafts/cover").json()["deleted"], "cover");
    server.delete("/v1/drafts/cover").assert_error(404, &["cover"]);
    // The recipe is one for the command line as well.
    let recipe = folder.path().join("recipes/cover").display().to_string();
    let stain = repo("examples/connector/test/good_02.jpg");
    run(["inspect", "--quiet", "--recipe", &recipe, &stain]).assert_quiet(0);
}

#[test]
fn what_comes_into_a_folder_is_on_record() {
    let folder = station();
    let incoming = folder.path().join("in");
    fs::create_dir_all(&incoming).unwrap();
    let watched = incoming.display().to_string();
    let server = start(folder.path(), &["--watch", &watched, "--watch-recipe", "connector"]);
    assert_eq!(server.get("/v1/station").json()["watch"]["recipe"], "connector");
    fs::write(incoming.join("a.jpg"), bytes("test/stain_01")).unwrap();
    let begun = Instant::now();
    let part = loop {
        let list = server.get("/v1/parts").json();
        if let Some(part) = list["parts"].get(0) {
            break part.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!((&part["path"], &part["verdict"]), (&json!("a.jpg"), &json!("fail")));
    assert_eq!(server.get(&format!("/v1/parts/{}/picture", part["seq"])).body, bytes("test/stain_01"));
    drop(server);
    for wrong in [
        vec!["--watch", &watched],
        vec!["--watch", &watched, "--watch-recipe", "connector"],
        vec!["--webhook", "http://127.0.0.1:1/"],
    ] {
        run(["serve", "--listen", "127.0.0.1:0"].into_iter().chain(wrong)).assert_error(&["--state"]);
    }
}

#[test]
fn without_a_state_nothing_is_kept() {
    let recipes = RECIPES.path().display().to_string();
    let server = Server::new(&["--recipes", &recipes]);
    let found = server.get("/v1/station").json();
    assert_eq!((&found["state"], &found["storage"]), (&json!(false), &Value::Null));
    for path in ["/v1/parts", "/v1/parts/1", "/v1/counters", "/v1/drafts"] {
        server.get(path).assert_error(404, &["--state"]);
    }
    server.post("/v1/parts/connector", &bytes("test/good_01")).assert_error(404, &["--state"]);
    let page = server.get("/");
    assert!(page.status == 200 && page.header("content-security-policy").contains("frame-ancestors 'none'"));
}
