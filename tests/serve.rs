//! `ocellus serve` as its clients see it: the same records as on the command line, bounds, who may ask, how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "serve")]

mod common;
#[path = "common/serving.rs"]
mod serving;

use common::{at, repo, run, temp};
use serde_json::{Value, json};
use serving::{Answer, RECIPES, Server, agent, answer};
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

fn with_recipes() -> [String; 2] {
    ["--recipes".into(), RECIPES.path().display().to_string()]
}

/// A record without what differs from run to run.
fn comparable(mut record: Value) -> Value {
    for key in ["ms", "path", "mask"] {
        record.as_object_mut().unwrap().remove(key);
    }
    record
}

/// A picture's file and bytes.
type Picture = (String, Vec<u8>);

fn picture(path: &str) -> Picture {
    let file = repo(path);
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}

#[test]
fn records_and_pictures_are_those_of_the_command_line() {
    let server = Server::new(&with_recipes()).ready();
    let folder = temp();
    let recipe = RECIPES.path().join("connector").display().to_string();
    let (people, stain) = (picture("examples/people/astronaut.jpg"), picture("examples/connector/test/stain_01.jpg"));
    let masks = at(&folder, "masks");
    let cases: [(&str, &Picture, Vec<&str>, i32); 6] = [
        ("/v1/detect", &people, vec!["detect"], 0),
        (
            "/v1/detect?conf=0.6&classes=person,tie",
            &people,
            vec!["detect", "--conf", "0.6", "--classes", "person,tie"],
            0,
        ),
        ("/v1/mask?dilate=3", &people, vec!["mask", "--dilate", "3", "--out", &masks], 0),
        ("/v1/ocr?min_score=0.1", &stain, vec!["ocr", "--min-score", "0.1"], 0),
        ("/v1/embed", &stain, vec!["embed"], 0),
        ("/v1/inspect/connector", &stain, vec!["inspect", "--recipe", &recipe], 1),
    ];
    for (path, (file, bytes), command, code) in cases {
        let expected = run(command.iter().copied().chain(["--json", "--quiet", file]));
        assert_eq!(expected.code, Some(code), "{expected:?}");
        let found = server.post(path, bytes);
        assert_eq!((found.status, found.header("content-type")), (200, "application/json"), "{path}");
        let record = found.json();
        assert_eq!(record["path"], "<body>");
        assert_eq!(comparable(record), comparable(expected.record()), "{path}");
    }

    // The pictures, too, byte by byte.
    let annotated = |args: &[&str], path: &str, (file, bytes): &Picture, out: &str| {
        run(args.iter().copied().chain(["--quiet", file]));
        let found = server.post(path, bytes);
        assert_eq!((found.status, found.header("content-type")), (200, "image/png"), "{path}");
        assert!(found.body == fs::read(out).unwrap(), "{path}");
        found.header("ocellus-verdict").to_string()
    };
    let out = at(&folder, "out");
    let (astronaut, stained) = (at(&folder, "out/astronaut.png"), at(&folder, "out/stain_01.png"));
    annotated(&["detect", "--annotate", &out], "/v1/detect?annotate=true", &people, &astronaut);
    annotated(&["mask", "--out", &masks, "--preview", &out], "/v1/mask?annotate=true", &people, &astronaut);
    annotated(
        &["mask", "--invert", "--out", &masks],
        "/v1/mask?invert=true&mask=true",
        &people,
        &at(&folder, "masks/astronaut.png"),
    );
    annotated(&["ocr", "--annotate", &out], "/v1/ocr?annotate=true", &stain, &stained);
    let args = ["inspect", "--recipe", &recipe, "--annotate", &out];
    assert_eq!(annotated(&args, "/v1/inspect/connector?annotate=1", &stain, &stained), "fail");

    // Nothing of one request is left for the next.
    let again = server.post("/v1/detect", &people.1).json();
    let first = run(["detect", "--json", "--quiet", &people.0]).record();
    assert_eq!(comparable(again), comparable(first));

    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    for line in [
        "ocellus_requests_total{route=\"/v1/inspect/{recipe}\",status=\"200\"} 2",
        "ocellus_verdicts_total{recipe=\"connector\",verdict=\"fail\"} 2",
        "ocellus_request_duration_seconds_count{route=\"/v1/detect\"} 4",
        "ocellus_queue_waiting 0",
        "ocellus_resident_memory_bytes ",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line}:\n{metrics}");
    }
    let models = server.get("/v1/models").json();
    let listed = run(["models", "--json"]).records();
    assert_eq!(models, Value::Array(listed));
    let recipes = server.get("/v1/recipes").json();
    assert_eq!(
        (recipes[0]["name"].as_str(), recipes[0]["regions"][0]["name"].as_str()),
        (Some("connector"), Some("all")),
        "{recipes}"
    );
}

#[test]
fn pictures_come_in_forms_too() {
    let server = Server::new::<&str>(&[]);
    let (file, bytes) = picture("examples/people/astronaut.jpg");
    let form = |field: &str| {
        let head = format!(
            "--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--x\r\nContent-Disposition: form-data; {field}\r\n\r\n"
        );
        [head.as_bytes(), &bytes, b"\r\n--x--\r\n"].concat()
    };
    let send = |body: &[u8]| {
        let request =
            agent().post(server.url("/v1/detect?conf=0.5")).header("Content-Type", "multipart/form-data; boundary=x");
        answer(request.send(body))
    };
    let found = send(&form("name=\"image\"; filename=\"a \u{e4}.jpg\"")).json();
    assert_eq!(found["path"], "a \u{e4}.jpg");
    let expected = run(["detect", "--json", "--quiet", "--conf", "0.5", &file]).record();
    assert_eq!(comparable(found), comparable(expected));
    send(&form("name=\"text\"")).assert_error(400, &["no picture"]);
    send(b"--x\r\nnonsense").assert_error(400, &["form"]);
    let named = server.post("/v1/detect?name=shelf%207", &bytes).json();
    assert_eq!(named["path"], "shelf 7");
}

#[test]
fn what_is_wrong_is_said_and_nothing_else_suffers() {
    let server = Server::new(
        &[&with_recipes()[..], &["--max-body".into(), "1".into(), "--max-pixels".into(), "2000000".into()]].concat(),
    );
    let (_, good) = picture("examples/connector/good/01.jpg");
    let not = server.post("/v1/detect?name=a.txt", b"not a picture");
    not.assert_error(422, &["a.txt", "not a picture"]);
    assert_eq!((not.json()["type"].as_str(), not.json()["path"].as_str()), (Some("detect"), Some("a.txt")));
    server.post("/v1/inspect/connector", &good[..good.len() / 2]).assert_error(422, &["damaged"]);
    server.post("/v1/detect", b"").assert_error(400, &["no picture"]);
    server.post("/v1/detect", &vec![7; 1_000_001]).assert_error(413, &["1 MB", "--max-body"]);
    let head = b"--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n";
    let form = agent().post(server.url("/v1/detect")).header("Content-Type", "multipart/form-data; boundary=x");
    answer(form.send(&[&head[..], &vec![7; 1_000_001], b"\r\n--x--\r\n"].concat()[..])).assert_error(413, &["1 MB"]);
    for (path, words) in [
        ("/v1/detect?conf=2", &["0 to 1"][..]),
        ("/v1/detect?conf=x", &["conf"]),
        ("/v1/detect?classes=unicorn", &["no class", "unicorn"]),
        ("/v1/detect?model=/etc/passwd", &["unknown parameter", "model"]),
        ("/v1/detect?annotate=maybe", &["true or false"]),
        ("/v1/mask?classes=dog", &["only people"]),
        ("/v1/ocr?pattern=(", &["pattern"]),
        ("/v1/ocr?unclip_ratio=-1", &["unclip"]),
        ("/v1/ocr?conf=0.5", &["unknown parameter"]),
        ("/v1/detect?tile=32&overlap=0.9", &["pieces", "256"]),
        ("/v1/mask?tile=32", &["pieces"]),
    ] {
        server.post(path, &good).assert_error(400, words);
    }
    for name in ["none", "..", "a/b", "", "%ff"] {
        server.post(&format!("/v1/inspect/{name}"), &good).assert_error(404, &[]);
    }
    // A strip that would be padded to hundreds of gigabytes.
    let mut strip = Vec::new();
    image::GrayImage::new(1_000_000, 1)
        .write_to(&mut std::io::Cursor::new(&mut strip), image::ImageFormat::Png)
        .unwrap();
    server.post("/v1/ocr", &strip).assert_error(422, &["strip", "1000000x1"]);
    server.get("/v1/nothing").assert_error(404, &["/openapi.json"]);
    server.get("/v1/detect").assert_error(405, &[]);
    server.post("/v1/detect", b"P6\n3000 3000\n255\n").assert_error(422, &["megapixels"]);
    let answers = server.raw(b"GET / HTTP/9.9\r\n\r\n");
    assert!(answers.is_empty() || answers.starts_with("HTTP/1.1 4") || answers.starts_with("HTTP/1.0 4"), "{answers}");
    // It still works.
    let found = server.post("/v1/inspect/connector", &good);
    assert_eq!((found.status, found.json()["verdict"].as_str()), (200, Some("pass")));
}

#[test]
fn what_is_too_much_is_refused_at_once() {
    let server = Server::new(&["--threads", "1", "--queue", "1"]).ready();
    let (_, bytes) = picture("examples/people/solvay-1927.jpg");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| server.post("/v1/ocr", &bytes))).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let done = answers.iter().filter(|a| a.status == 200).count();
    assert!((2..6).contains(&done), "{done}");
    for answer in answers.iter().filter(|a| a.status != 200) {
        answer.assert_error(503, &["queue"]);
        assert_eq!(answer.header("retry-after"), "1");
    }
}

#[test]
fn a_client_that_says_nothing_is_not_waited_for() {
    let server = Server::new(&["--timeout", "2"]);
    let start = Instant::now();
    let (head, body) = std::thread::scope(|scope| {
        let head = scope.spawn(|| server.raw(b"GET /health HTTP/1.1\r\nHost: local"));
        let body = scope.spawn(|| {
            server.raw(
                b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nConnection: close\r\n\r\nab",
            )
        });
        (head.join().unwrap(), body.join().unwrap())
    });
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(!head.starts_with("HTTP/1.1 2"), "{head}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn who_may_ask() {
    let folder = temp();
    let token = at(&folder, "token");
    fs::write(&token, "correct horse battery\n").unwrap();
    let server = Server::new(&["--token-file", &token]);
    let ask = |path: &str, header: Option<(&str, &str)>| {
        let request = agent().get(server.url(path));
        answer(
            match header {
                Some((name, value)) => request.header(name, value),
                None => request,
            }
            .call(),
        )
    };
    assert_eq!(ask("/health", None).status, 200);
    ask("/v1/models", None).assert_error(401, &["--token-file"]);
    ask("/metrics", Some(("Authorization", "Bearer correct horse batter"))).assert_error(401, &[]);
    assert_eq!(ask("/v1/models", Some(("Authorization", "Bearer correct horse battery"))).status, 200);
    // Without one, this machine alone, and no page of another site.
    let open = Server::new::<&str>(&[]);
    let from = |name: &str, value: &str| answer(agent().get(open.url("/v1/models")).header(name, value).call());
    assert_eq!(from("Origin", &format!("http://{}", open.address)).status, 200);
    from("Origin", "http://evil.example").assert_error(403, &["another site"]);
    from("Host", "evil.example").assert_error(403, &["this machine"]);
    // Who sends much and may not is told so.
    answer(agent().post(server.url("/v1/detect")).send(&vec![7; 900_000][..])).assert_error(401, &[]);
    fs::write(at(&folder, "bad"), "correct h\u{f6}rse battery").unwrap();
    run(["serve", "--listen", "127.0.0.1:0", "--token-file", &at(&folder, "bad")]).assert_error(&["bad", "ASCII"]);
    run(["serve", "--listen", "0.0.0.0:0"]).assert_error(&["--token-file", "0.0.0.0:0"]);
    run(["serve", "--listen", "127.0.0.1:0", "--token-file", &at(&folder, "none")]).assert_error(&["none"]);
    run(["serve", "--listen", "127.0.0.1:0", "--tls-cert", &token]).assert_error(&["--tls-key"]);
    run(["serve", "--listen", "127.0.0.1:0", "--recipes", &at(&folder, "none")]).assert_error(&["none"]);
    run(["serve", "--listen", &open.address.to_string()]).assert_error(&["listen", &open.address.to_string()]);
    run(["serve", "--listen", "127.0.0.1:0", "--detect-model", &at(&folder, "none.onnx")]).assert_error(&["none.onnx"]);
}

#[test]
fn tls() {
    let folder = temp();
    let made = rcgen::generate_simple_self_signed(["localhost".to_string(), "127.0.0.1".into()]).unwrap();
    let (cert, key) = (at(&folder, "cert.pem"), at(&folder, "key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = Server::new(&["--tls-cert", &cert, "--tls-key", &key]);
    let root = ureq::tls::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[root])).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let found = answer(agent.get(format!("https://{}/health", server.address)).call()).json();
    assert_eq!(found, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    // Not in the clear.
    let clear = server.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(!clear.contains("200"), "{clear}");
    run(["serve", "--listen", "127.0.0.1:0", "--tls-cert", &key, "--tls-key", &key])
        .assert_error(&["key.pem", "certificates"]);
}

#[test]
fn it_ends_when_what_runs_is_done() {
    let mut server = Server::new(&["--threads", "1"]).ready();
    let (_, bytes) = picture("examples/people/solvay-1927.jpg");
    let url = server.url("/v1/ocr");
    let asked = std::thread::spawn(move || answer(agent().post(url).send(&bytes[..])));
    let start = Instant::now();
    let busy = |text: &str| text.contains("ocellus_queue_busy 1");
    while !busy(&String::from_utf8(server.get("/metrics").body).unwrap()) {
        assert!(start.elapsed() < Duration::from_secs(60) && !asked.is_finished());
    }
    server.terminate();
    let found = asked.join().unwrap();
    assert_eq!((found.status, found.json()["type"].as_str()), (200, Some("ocr")));
    let status = server.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    server.stderr.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("cut off"), "{rest}");
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::new(&["--threads", "1"]).ready();
    let (_, bytes) = picture("examples/people/solvay-1927.jpg");
    let url = server.url("/v1/detect?tile=64&overlap=0");
    let asked = std::thread::spawn(move || agent().post(url).send(&bytes[..]).is_ok());
    let start = Instant::now();
    while !String::from_utf8(server.get("/metrics").body).unwrap().contains("ocellus_queue_busy 1") {
        assert!(start.elapsed() < Duration::from_secs(60) && !asked.is_finished());
    }
    server.terminate();
    while TcpStream::connect(server.address).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let start = Instant::now();
    server.terminate();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!asked.join().unwrap());
}

/// What the description says there is, is there, and what it names is answered as JSON or as it says.
#[test]
fn the_description_is_true() {
    let server = Server::new(&with_recipes()).ready();
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let (_, bytes) = picture("examples/connector/good/01.jpg");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 32);
    for (path, methods) in paths {
        let address = path.replace("{recipe}", "connector");
        for (method, operation) in methods.as_object().unwrap() {
            let found = match method.as_str() {
                "get" => server.get(&address),
                "delete" => server.delete(&address),
                _ => server.post(&address, &bytes),
            };
            if address.contains('{')
                || path.contains("rollback")
                || found.status == 404 && found.json()["error"].as_str().unwrap().contains("--state")
            {
                // Those that need a part, a draft or a state are in serve_station.rs; here they say so, in a way that is described.
                assert!(operation["responses"].get(found.status.to_string()).is_some(), "{method} {path}: {found:?}");
                continue;
            }
            assert_eq!(found.status, 200, "{method} {path}");
            let kind = found.header("content-type");
            let known = &operation["responses"]["200"]["content"];
            let any = kind.starts_with("image/") && known.get("image/*").is_some();
            assert!(any || known.get(kind).is_some(), "{path}: {kind}");
            // Each parameter is known: given alone with a value that suits its type it is no unknown one.
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                let found = server.post(&format!("{address}?{name}=x"), b"");
                assert!(!String::from_utf8(found.body).unwrap().contains("unknown parameter"), "{path} {name}");
            }
        }
    }
}

/// No name leads out of the folder, or to what is hidden in it.
#[test]
fn recipes_are_those_of_the_folder() {
    let folder = temp();
    let copy = |to: &Path| {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(RECIPES.path().join("connector")).unwrap().flatten() {
            assert!(fs::copy(entry.path(), to.join(entry.file_name())).unwrap() > 0);
        }
    };
    for name in ["outside", "recipes/.hidden", "recipes/a b", "recipes/fine"] {
        copy(&folder.path().join(name));
    }
    let server = Server::new(&["--recipes", &at(&folder, "recipes")]);
    let (_, bytes) = picture("examples/connector/good/01.jpg");
    for name in ["%2e%2e%2foutside", "..%2Foutside", ".hidden", "a%20b", "fine%2f..%2ffine", "%2e"] {
        server.post(&format!("/v1/inspect/{name}"), &bytes).assert_error(404, &[]);
    }
    assert_eq!(server.post("/v1/inspect/fine", &bytes).status, 200);
    assert_eq!(server.get("/v1/recipes").json().as_array().unwrap().len(), 1);
}

#[test]
fn a_recipe_that_is_learned_anew_is_used_at_once() {
    let folder = temp();
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        fs::read_dir(from)
            .unwrap()
            .flatten()
            .for_each(|e| assert!(fs::copy(e.path(), to.join(e.file_name())).unwrap() > 0));
    };
    let server = Server::new(&["--recipes", &folder.path().display().to_string()]).ready();
    let (_, stain) = picture("examples/connector/test/stain_01.jpg");
    server.post("/v1/inspect/line-2", &stain).assert_error(404, &["line-2"]);
    copy(&RECIPES.path().join("connector"), &folder.path().join("line-2"));
    assert_eq!(server.post("/v1/inspect/line-2", &stain).json()["verdict"], "fail");
    let file = folder.path().join("line-2/recipe.toml");
    let text = fs::read_to_string(&file).unwrap();
    let lenient: Vec<String> =
        text.lines().map(|l| if l.starts_with("threshold") { "threshold = 1000.0".into() } else { l.into() }).collect();
    fs::write(&file, lenient.join("\n")).unwrap();
    assert_eq!(server.post("/v1/inspect/line-2", &stain).json()["verdict"], "pass");
    fs::write(&file, "nonsense").unwrap();
    server.post("/v1/inspect/line-2", &stain).assert_error(500, &["recipe.toml"]);
    assert_eq!(server.get("/v1/recipes").json()[0]["status"], "error");
}
