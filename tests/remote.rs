//! The client of a labelling server against a server that answers, and fails, as the real one does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/labelling_server.rs"]
mod labelling_server;

use labelling_server::{Act, Request, Server, Setup, certified, rectangle, self_signed, shape};
use ocellus::Error;
use ocellus::dataset::Outline;
use ocellus::remote::{Ask, Client, Failure, Found, Key, Options, Picture, Prompts, Wanted, mime, with_exemplars};
use serde_json::{Value, json};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

const MODEL: &str = "segment_anything_3";

/// A JPEG of 64 x 48 pixels.
static JPEG: LazyLock<Vec<u8>> = LazyLock::new(|| {
    common::jpeg(&image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 90])))
});

fn options(server: &str) -> Options {
    let mut options = Options::new(server);
    (options.backoff, options.retries) = (Duration::from_millis(1), 3);
    options
}

fn client(server: &Server) -> Client {
    Client::new(options(&server.url())).unwrap()
}

fn wanted() -> Wanted {
    Wanted { model: MODEL.into(), conf: 0.3, outlines: false }
}

fn picture(bytes: &[u8]) -> Picture<'_> {
    Picture { mime: mime(bytes).unwrap(), bytes, size: (64, 48) }
}

/// Asks for valves (class 0) and pumps (1) in the JPEG.
fn predict(client: &Client) -> Result<Found, Failure> {
    let prompts = Prompts::new([(0, "gate valve"), (1, "pump")]).unwrap();
    client.predict(&picture(&JPEG), &Ask::Text(&prompts), &wanted())
}

fn boxes(found: &Found) -> Vec<(usize, [f32; 4])> {
    found.objects.iter().map(|o| (o.class, o.outline.rect().into())).collect()
}

fn valve() -> Act {
    Act::Shapes(json!([rectangle("gate valve", 0.9, [4.0, 5.0, 20.0, 30.5])]))
}

fn predictions(server: &Server) -> Vec<Request> {
    server.requests().into_iter().filter(|r| r.path == "/v1/predict").collect()
}

#[track_caller]
fn assert_says(failure: &Failure, words: &[&str]) {
    let text = Error::from(failure.clone()).one_line();
    for word in words {
        assert!(text.contains(word), "{word:?} expected in {text:?}");
    }
    assert!(text.starts_with("http") && !text.contains(char::is_control), "{text:?}");
}

#[test]
fn pictures_go_out_as_they_are_and_objects_come_back() {
    let server = Server::start();
    let client = client(&server);
    client.check(MODEL).unwrap();
    server.script([Act::Shapes(json!([
        rectangle("Gate Valve", 0.9, [4.0, 5.0, 20.0, 30.5]),
        rectangle("pump", 0.8, [40.0, 20.0, 90.0, 47.0]),
        rectangle("bolt", 0.8, [1.0, 1.0, 9.0, 9.0]),
    ]))]);
    let found = predict(&client).unwrap();
    assert_eq!(boxes(&found), [(0, [4.0, 5.0, 20.0, 30.5]), (1, [40.0, 20.0, 64.0, 47.0])]);
    assert_eq!(found.objects[0].score, Some(0.9));
    assert_eq!(found.left_out.to_string(), "1 shape labelled \"bolt\"");
    let requests = server.requests();
    let lines: Vec<String> = requests.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(lines, ["GET /health", "GET /v1/models", "POST /v1/predict"]);
    let sent = &requests[2];
    assert_eq!(sent.image(), *JPEG);
    let mut json = sent.json();
    assert!(json["image"].take().as_str().unwrap().starts_with("data:image/jpeg;base64,"));
    let params =
        json!({"conf_threshold": 0.3, "show_masks": false, "show_boxes": true, "text_prompt": "gate valve, pump"});
    assert_eq!(json, json!({"model": MODEL, "image": null, "params": params}));
    assert_eq!(sent.header("host"), Some(format!("localhost:{}", server.port()).as_str()));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert!(requests.iter().all(|r| r.header("token").is_none()));
    // Nothing found is an answer too.
    assert_eq!(predict(&client).unwrap(), Found::default());
}

#[test]
fn outlines_are_asked_for_and_come_once() {
    let server = Server::start();
    let points = json!([[4, 5], [20, 5], [20, 30], [4, 30], [4, 5]]);
    let both = [
        shape("gate valve", "polygon", Some(0.9), points),
        rectangle("gate valve", 0.9, [3.5, 4.5, 20.5, 30.5]),
        shape("pump", "polygon", None, json!([[40, 20], [50, 20], [45, 30], [40, 20]])),
    ];
    server.script([Act::Shapes(json!(both))]);
    let prompts = Prompts::new([(0, "gate valve"), (1, "pump")]).unwrap();
    let wanted = Wanted { outlines: true, ..wanted() };
    let found = client(&server).predict(&picture(&JPEG), &Ask::Text(&prompts), &wanted).unwrap();
    let outlines: Vec<&Outline> = found.objects.iter().map(|o| &o.outline).collect();
    let valve = Outline::Polygon(vec![(4.0, 5.0), (20.0, 5.0), (20.0, 30.0), (4.0, 30.0)]);
    let pump = Outline::Polygon(vec![(40.0, 20.0), (50.0, 20.0), (45.0, 30.0)]);
    assert_eq!(outlines, [&valve, &pump]);
    assert_eq!(found.objects[1].score, None);
    let params = predictions(&server)[0].json()["params"].take();
    assert_eq!((&params["show_masks"], &params["show_boxes"]), (&json!(true), &json!(false)));
}

#[test]
fn examples_are_pasted_beside_the_picture() {
    let server = Server::start();
    let plain = |w: u32, h: u32, v: u8| ocellus::Image::new(w, h, vec![v; (w * h * 3) as usize]).unwrap();
    let wide = with_exemplars(&plain(64, 80, 200), &[plain(20, 10, 7)]).unwrap();
    let png = ocellus::report::draw::png(&wide.image).unwrap();
    let auto = |x: f32| rectangle("AUTOLABEL_OBJECT", 0.9, [x, 16.0, x + 20.0, 26.0]);
    server.script([Act::Shapes(json!([auto(8.0), auto(wide.marks[0].x1)]))]);
    let sent = (wide.image.width(), wide.image.height());
    let ask = Ask::Exemplars { class: 4, marks: &wide.marks, sent };
    let picture = Picture { mime: "image/png", bytes: &png, size: (64, 80) };
    let found = client(&server).predict(&picture, &ask, &wanted()).unwrap();
    assert_eq!(boxes(&found), [(4, [8.0, 16.0, 28.0, 26.0])]);
    assert!(found.left_out.is_empty());
    // The mark in the picture that arrived holds the example.
    let request = &predictions(&server)[0];
    let params = request.json()["params"].take();
    assert_eq!(params["marks"], json!([{"type": "rectangle", "data": [80.0, 16.0, 100.0, 26.0], "label": 1}]));
    assert_eq!(params["text_prompt"], Value::Null);
    let arrived = image::load_from_memory(&request.image()).unwrap().to_rgb8();
    assert_eq!((arrived.get_pixel(80, 16).0, arrived.get_pixel(99, 25).0), ([7; 3], [7; 3]));
    assert_eq!((arrived.get_pixel(79, 16).0, arrived.get_pixel(63, 79).0), ([255; 3], [200; 3]));
}

#[test]
fn what_may_pass_is_tried_again() {
    let server = Server::start();
    let client = client(&server);
    let trouble = [
        Act::Full,
        Act::Crash,
        Act::Hang,
        Act::CutHead,
        Act::CutBody,
        Act::Garbage,
        Act::Say(200, "text/html", "<html>Welcome</html>".into()),
        Act::Say(200, "application/json", r#"{"success":true,"data":{}}"#.into()),
        Act::Say(502, "text/html", "<h1>Bad Gateway</h1>".into()),
    ];
    for act in trouble {
        server.script([act.clone(), act.clone(), valve()]);
        let found = predict(&client).unwrap_or_else(|e| panic!("{act:?}: {e:?}"));
        assert_eq!(boxes(&found), [(0, [4.0, 5.0, 20.0, 30.5])], "{act:?}");
        let requests = predictions(&server);
        assert_eq!(requests.len(), 3, "{act:?}");
        // Each time the whole picture.
        assert!(act_is_hang(&act) || requests.iter().all(|r| r.image() == *JPEG), "{act:?}");
    }
    assert!(!client.is_away());
}

fn act_is_hang(act: &Act) -> bool {
    matches!(act, Act::Hang)
}

#[test]
fn trying_ends() {
    let later: [(Act, &[&str]); 6] = [
        (Act::Full, &["is busy: Task queue is full", "tried 4 times in"]),
        (Act::Hang, &["broke the connection", "tried 4 times in"]),
        (Act::CutHead, &["tried 4 times in"]),
        (Act::CutBody, &["broke the connection", "tried 4 times in"]),
        (Act::Garbage, &["something other than HTTP"]),
        (Act::Say(200, "text/html", "<html>Hi</html>".into()), &["something other than JSON", "<html>Hi"]),
    ];
    for (act, words) in later {
        let server = Server::start();
        server.script(vec![act; 4]);
        let failure = predict(&client(&server)).unwrap_err();
        assert!(matches!(failure, Failure::Server(_)), "{failure:?}");
        assert_says(&failure, words);
        assert_eq!(predictions(&server).len(), 4);
    }
}

#[test]
fn a_failure_at_one_picture_is_that_pictures() {
    let server = Server::start();
    let client = client(&server);
    server.script(vec![Act::Crash; 3]);
    let crash = predict(&client).unwrap_err();
    assert_says(&crash, &["500 Internal Server Error", "tried 3 times"]);
    assert_eq!(predictions(&server).len(), 3);
    server.script([Act::Inference("could not broadcast")]);
    let inference = predict(&client).unwrap_err();
    assert_says(&inference, &["failed at the picture: could not broadcast"]);
    server.script([Act::Huge((64 << 20) + (1 << 16))]);
    let huge = predict(&client).unwrap_err();
    assert_says(&huge, &["more than 64 MiB"]);
    let prompts = Prompts::new([(0, "valve")]).unwrap();
    let cut = &JPEG[..JPEG.len() / 3];
    let damaged = client.predict(&picture(cut), &Ask::Text(&prompts), &wanted()).unwrap_err();
    assert_says(&damaged, &["cannot read the picture"]);
    // None of these but the crash was tried again, and the next picture is well.
    assert_eq!(predictions(&server).len(), 3);
    for failure in [crash, inference, huge, damaged] {
        assert!(matches!(failure, Failure::Picture(_)), "{failure:?}");
    }
    server.script([valve()]);
    assert_eq!(predict(&client).unwrap().objects.len(), 1);
}

#[test]
fn what_will_not_pass_ends_the_run() {
    let keyed = Setup { key: Some("s3cret"), ..Setup::default() };
    let other = Setup { models: vec!["yolo11n", "yolo11s"], ..Setup::default() };
    let redirect = Act::Redirect("http://elsewhere.invalid/v1/predict".into());
    let fault = json!({"detail": [{"type": "x", "loc": ["body", "params"], "msg": "Wrong", "input": "PICTURE"}]});
    let cases: [(Setup, Option<Act>, &[&str]); 5] = [
        (keyed, None, &["key", "--key", "OCELLUS_LABEL_KEY"]),
        (other, None, &["Model 'segment_anything_3' not loaded"]),
        (Setup::default(), Some(redirect), &["sends on to http://elsewhere.invalid/v1/predict", "--server"]),
        (Setup::default(), Some(Act::Say(422, "application/json", fault.to_string())), &["body.params: Wrong"]),
        (Setup::default(), Some(Act::Say(404, "application/json", r#"{"detail":"Not Found"}"#.into())), &["404"]),
    ];
    for (setup, act, words) in cases {
        let server = Server::with(setup);
        server.script(act);
        let client = client(&server);
        let failure = predict(&client).unwrap_err();
        assert!(matches!(failure, Failure::Run(_)), "{failure:?}");
        assert_says(&failure, words);
        assert!(!format!("{failure:?}").contains("PICTURE"));
        // The other threads learn it too; the server is not asked again.
        assert!(client.has_stopped() && !client.is_away());
        assert_eq!(predict(&client).unwrap_err(), failure);
        assert_eq!(predictions(&server).len(), 1);
    }
}

#[test]
fn a_key_goes_to_the_server_and_into_no_message() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct Log;
    impl log::Log for Log {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }
        fn log(&self, record: &log::Record) {
            LINES.lock().unwrap().push(format!("{}: {}", record.target(), record.args()));
        }
        fn flush(&self) {}
    }
    log::set_logger(&Log).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let server = Server::with(Setup { key: Some("s3cret-k3y"), ..Setup::default() });
    for (key, fits) in [("s3cret-k3y", true), ("wr0ng-k3y", false)] {
        let mut options = options(&server.url());
        options.key = Some(Key::new(key).unwrap());
        let client = Client::new(options).unwrap();
        let checked = client.check(MODEL);
        assert_eq!(checked.is_ok(), fits, "{checked:?}");
        if let Err(failure) = checked {
            assert!(matches!(failure, Failure::Run(_)));
            assert_says(&failure, &["wants a key, or another", "--key"]);
        }
        server.script([Act::Full]);
        assert_eq!(predict(&client).is_ok(), fits);
        let requests = server.requests();
        // GET /health never needs it.
        assert_eq!((requests[0].path.as_str(), requests[0].header("token")), ("/health", None));
        assert!(requests[1..].iter().all(|r| r.header("token") == Some(key)), "{requests:?}");
    }
    let lines = LINES.lock().unwrap();
    for source in ["ocellus::remote", "ureq::run"] {
        assert!(lines.iter().any(|l| l.starts_with(source)), "{source} logged nothing");
    }
    // The dump of all bytes, which ureq logs as traces, would hold it in pieces.
    let telling = |line: &&String| line.contains("k3y") || line.contains("ureq_proto::util");
    assert_eq!(lines.iter().find(telling), None);
}

#[test]
fn a_server_that_is_away_is_told_from_others() {
    let mut server = Server::start();
    let url = server.url();
    server.stop();
    let refused = Client::new(options(&url)).unwrap();
    let failure = refused.check(MODEL).unwrap_err();
    assert!(matches!(failure, Failure::Server(_)), "{failure:?}");
    assert_says(&failure, &[&url, "refuses connections: no server is running there"]);
    assert!(!format!("{failure:?}").contains("usual port"));
    // Three pictures in a row: then nothing is tried any more.
    for pictures in 1..=3 {
        assert!(!refused.is_away());
        let failure = predict(&refused).unwrap_err();
        assert_says(&failure, &["refuses connections", "tried 4 times in"]);
        assert_eq!(refused.is_away(), pictures == 3);
    }
    assert_says(&predict(&refused).unwrap_err(), &["is away; the picture was not sent"]);
    let unknown = Client::new(options("http://no-such-host.invalid:8000")).unwrap();
    let failure = unknown.check(MODEL).unwrap_err();
    assert!(matches!(failure, Failure::Server(_)), "{failure:?}");
    assert_says(&failure, &["http://no-such-host.invalid:8000: the server cannot be found"]);
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let mut server = Server::start();
    let (url, port) = (server.url(), server.port());
    let mut options = options(&url);
    (options.backoff, options.retries) = (Duration::from_millis(100), 8);
    let client = Client::new(options).unwrap();
    server.script([valve()]);
    predict(&client).unwrap();
    server.stop();
    let again = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        let server = Server::with(Setup { port, ..Setup::default() });
        server.script([valve()]);
        server
    });
    assert_eq!(predict(&client).unwrap().objects.len(), 1);
    drop(again.join().unwrap());
}

#[test]
fn connections_are_kept_and_a_dead_one_costs_nothing() {
    let server = Server::start();
    let mut options = options(&server.url());
    options.retries = 0;
    let client = Client::new(options).unwrap();
    for _ in 0..3 {
        assert!(predict(&client).unwrap().objects.is_empty());
    }
    assert_eq!(server.connections(), 1);
    for _ in 0..3 {
        server.script([Act::Leave(Box::new(valve()))]);
        assert_eq!(predict(&client).unwrap().objects.len(), 1);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn patience_has_an_end() {
    let server = Server::start();
    let mut options = options(&server.url());
    (options.timeout, options.retries) = (Duration::from_millis(300), 1);
    let client = Client::new(options).unwrap();
    let slow = || Act::Slow(Duration::from_secs(2), Box::new(valve()));
    server.script([slow(), slow()]);
    let start = Instant::now();
    let failure = predict(&client).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(matches!(failure, Failure::Server(_)), "{failure:?}");
    assert_says(&failure, &["did not answer within 0.3 s (--timeout)", "tried 2 times"]);
    // Late, but in time.
    server.script([Act::Slow(Duration::from_millis(20), Box::new(valve()))]);
    assert_eq!(predict(&client).unwrap().objects.len(), 1);
}

#[test]
fn what_is_no_such_server_is_named() {
    let json = "application/json";
    let cases: [(u16, &str, &str, &[&str]); 5] = [
        (404, json, r#"{"detail":"Not Found"}"#, &["is no X-AnyLabeling-Server", "404 Not Found"]),
        (200, "text/html", "<html>Printer</html>", &["is no X-AnyLabeling-Server", "<html>Printer"]),
        (200, json, r#"{"status":"starting"}"#, &["not well but \"starting\""]),
        (503, "text/html", "<h1>Unavailable</h1>", &["503 Service Unavailable"]),
        (301, "text/html", "", &["sends on to another place"]),
    ];
    for (status, kind, body, words) in cases {
        let server = Server::with(Setup { front: Some((status, kind, body.into())), ..Setup::default() });
        let failure = client(&server).check(MODEL).unwrap_err();
        assert_says(&failure, words);
        // A key would have stayed here.
        assert_eq!(server.requests().len(), 1);
    }
    let server = Server::with(Setup { models: vec!["yolo11n", "yolo11s"], ..Setup::default() });
    let failure = client(&server).check(MODEL).unwrap_err();
    assert!(matches!(failure, Failure::Run(_)));
    assert_says(&failure, &["has not loaded the model \"segment_anything_3\"; it has yolo11n, yolo11s"]);
}

#[test]
fn certificates_of_the_house_are_trusted_if_named() {
    let (tls, authority) = certified(&["localhost"]);
    let server = Server::with(Setup { tls: Some(tls), ..Setup::default() });
    let with = |server: &Server, ca: Option<&str>| {
        let mut options = options(&server.url());
        options.ca = ca.map(|pem| pem.as_bytes().to_vec());
        Client::new(options).unwrap()
    };
    let trusting = with(&server, Some(&authority));
    trusting.check(MODEL).unwrap();
    server.script([Act::CutBody, valve()]);
    assert_eq!(predict(&trusting).unwrap().objects.len(), 1);
    assert_eq!(predictions(&server).len(), 2);
    // Without it, or with another one, nothing is sent.
    let (stranger, other) = certified(&["elsewhere.invalid"]);
    for ca in [None, Some(other.as_str())] {
        let failure = predict(&with(&server, ca)).unwrap_err();
        assert!(matches!(failure, Failure::Run(_)), "{failure:?}");
        assert_says(&failure, &["authority that is not known here", "--ca FILE.pem"]);
    }
    assert!(server.requests().is_empty());
    // The right authority, but the certificate is another host's.
    let server = Server::with(Setup { tls: Some(stranger), ..Setup::default() });
    assert_says(&with(&server, Some(&other)).check(MODEL).unwrap_err(), &["cannot be trusted", "elsewhere.invalid"]);
    assert!(server.requests().is_empty());
    // A certificate that signs itself can be named itself, if it is no authority's.
    let (tls, pem) = self_signed(false);
    let server = Server::with(Setup { tls: Some(tls), ..Setup::default() });
    with(&server, Some(&pem)).check(MODEL).unwrap();
    let (tls, pem) = self_signed(true);
    let server = Server::with(Setup { tls: Some(tls), ..Setup::default() });
    assert_says(&with(&server, Some(&pem)).check(MODEL).unwrap_err(), &["is an authority's own"]);
}

#[test]
fn the_wrong_scheme_is_noticed() {
    let plain = Server::start();
    let client = Client::new(options(&plain.url().replace("http:", "https:"))).unwrap();
    let failure = client.check(MODEL).unwrap_err();
    assert_says(&failure, &["try http:// instead"]);
    assert!(plain.requests().is_empty());
}

#[test]
fn proxies_of_the_environment_get_nothing() {
    // Set for a child, not for this process, whose other tests run at the same time.
    if std::env::var_os("HTTP_PROXY").is_some() {
        let client = Client::new(options(&std::env::var("OCELLUS_TEST_SERVER").unwrap())).unwrap();
        return client.check(MODEL).unwrap();
    }
    let (server, proxy) = (Server::start(), Server::start());
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "proxies_of_the_environment_get_nothing"])
        .envs(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"].map(|name| (name, proxy.url())))
        .env("OCELLUS_TEST_SERVER", server.url())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert_eq!(server.requests().len(), 2);
    assert!(proxy.requests().is_empty());
}

#[test]
fn threads_share_a_client() {
    let server = Server::start();
    // As many tries as the queue is full in all: a picture may meet each of them.
    let client = Client::new(Options { retries: 8, ..options(&server.url()) }).unwrap();
    server.script((0..24).map(|n| if n % 3 == 0 { Act::Full } else { valve() }));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..4).map(|_| predict(&client)).collect())).collect();
        let all: Vec<Result<Found, Failure>> =
            threads.into_iter().flat_map(|t: std::thread::ScopedJoinHandle<'_, Vec<_>>| t.join().unwrap()).collect();
        assert_eq!(all.iter().filter(|r| r.as_ref().is_ok_and(|f| f.objects.len() == 1)).count(), 16);
    });
}
