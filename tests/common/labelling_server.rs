//! A labelling server for tests: answers as X-AnyLabeling-Server does on the wire, misbehaves as it is told to, and keeps
//! what it was sent.
#![allow(dead_code)]

use base64::Engine;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does with the next `POST /v1/predict`, after it has read it.
#[derive(Debug, Clone)]
pub enum Act {
    /// What a server does: looks at the request, then sends these shapes.
    Shapes(Value),
    /// The queue is full.
    Full,
    /// The model raised a RuntimeError.
    Crash,
    /// The model raised something else.
    Inference(&'static str),
    /// Any status, type and body.
    Say(u16, &'static str, String),
    /// Answers only after this time.
    Slow(Duration, Box<Act>),
    /// Reads the head of the request and closes the connection.
    Hang,
    /// Closes the connection in the middle of the status line or of a header.
    CutHead,
    /// Closes the connection in the middle of the body.
    CutBody,
    /// Something other than HTTP.
    Garbage,
    /// A body of so many bytes.
    Huge(usize),
    /// Says that the connection stays open, and closes it.
    Leave(Box<Act>),
    /// A header `Location` elsewhere.
    Redirect(String),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the request is no JSON")
    }

    /// The bytes of the picture that was sent.
    pub fn image(&self) -> Vec<u8> {
        let json = self.json();
        let text = json["image"].as_str().expect("image").split_once(',').expect("a data URL").1.to_string();
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }
}

/// What is set up before a server starts.
#[derive(Clone, Default)]
pub struct Setup {
    /// Wanted in the header `Token`.
    pub key: Option<&'static str>,
    /// Loaded models; `segment_anything_3` if there are none here.
    pub models: Vec<&'static str>,
    /// All requests get this answer.
    pub front: Option<(u16, &'static str, String)>,
    /// Speaks TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// 0: any that is free.
    pub port: u16,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Act>>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    stop: AtomicBool,
}

/// A running server; stops when it is dropped.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    scheme: &'static str,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One that has a model and wants no key.
    pub fn start() -> Server {
        Server::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", setup.port)).expect("cannot listen");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("address");
        let shared = Arc::new(Shared::default());
        let scheme = if setup.tls.is_some() { "https" } else { "http" };
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || listen(&listener, &setup, &of_thread));
        Server { shared, address, scheme, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Does these one after the other, then what a server does that finds nothing.
    pub fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.script.lock().expect("script").extend(acts);
    }

    /// All requests up to now, and forgets them.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.requests.lock().expect("requests"))
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// From now on connections are refused.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

fn listen(listener: &TcpListener, setup: &Setup, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (setup, shared) = (setup.clone(), shared.clone());
        connections.push(std::thread::spawn(move || {
            stream.set_nonblocking(false).expect("blocking");
            stream.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
            match &setup.tls {
                Some(config) => {
                    let session = rustls::ServerConnection::new(config.clone()).expect("TLS");
                    serve(rustls::StreamOwned::new(session, Patient(stream, shared.clone())), &setup, &shared);
                }
                None => serve(Patient(stream, shared.clone()), &setup, &shared),
            }
        }));
    }
    connections.into_iter().for_each(|c| c.join().expect("a connection panicked"));
}

/// Waits for bytes until the server is to stop.
struct Patient(TcpStream, Arc<Shared>);

impl Read for Patient {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.0.read(bytes) {
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    if self.1.stop.load(Ordering::Relaxed) {
                        return Ok(0);
                    }
                }
                other => return other,
            }
        }
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Answers the requests of one connection.
fn serve(stream: impl Read + Write, setup: &Setup, shared: &Shared) {
    let mut stream = BufReader::new(stream);
    loop {
        // A greeting of TLS, for one.
        if stream.fill_buf().is_ok_and(|b| b.first().is_some_and(|b| !b.is_ascii_uppercase())) {
            send(stream.get_mut(), 400, "text/plain; charset=utf-8", "Invalid HTTP request received.");
            return;
        }
        let Some(mut request) = head(&mut stream) else { return };
        let length = request.header("content-length").map_or(0, |l| l.parse().expect("length"));
        let is_predict = request.path == "/v1/predict" && request.method == "POST";
        let scripted = if is_predict { shared.script.lock().expect("script").pop_front() } else { None };
        if matches!(scripted, Some(Act::Hang)) {
            shared.requests.lock().expect("requests").push(request);
            return;
        }
        request.body = vec![0; length];
        if stream.read_exact(&mut request.body).is_err() {
            return;
        }
        shared.requests.lock().expect("requests").push(request.clone());
        let stays = match scripted {
            Some(act) => perform(act, &request, setup, stream.get_mut()),
            None => {
                let (status, kind, body) = answer(&request, setup, json!([]));
                send(stream.get_mut(), status, kind, &body)
            }
        };
        if !stays {
            return;
        }
    }
}

/// The head of the next request; none if the connection was closed.
fn head(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|&n| n > 0)?;
    let mut words = line.split_whitespace().map(str::to_string);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|&n| n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_string()));
    }
    Some(Request { method, path, headers, body: Vec::new() })
}

/// Does as the script says; whether the connection stays open.
fn perform(act: Act, request: &Request, setup: &Setup, stream: &mut impl Write) -> bool {
    let raw = |stream: &mut dyn Write, bytes: &[u8]| {
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        false
    };
    match act {
        Act::Shapes(shapes) => {
            let (status, kind, body) = answer(request, setup, shapes);
            send(stream, status, kind, &body)
        }
        Act::Full => send(stream, 503, JSON, r#"{"detail":"Task queue is full, please try again later"}"#),
        Act::Crash => send(stream, 500, "text/plain; charset=utf-8", "Internal Server Error"),
        Act::Inference(message) => send(stream, 200, JSON, &failure("INFERENCE_ERROR", message)),
        Act::Say(status, kind, body) => send(stream, status, kind, &body),
        Act::Slow(time, act) => {
            std::thread::sleep(time);
            perform(*act, request, setup, stream)
        }
        Act::Hang => false,
        Act::CutHead => raw(stream, b"HTTP/1.1 200 OK\r\ncontent-type: appl"),
        Act::CutBody => {
            raw(stream, b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"succe")
        }
        Act::Garbage => raw(stream, b"\x15\x03\x03\x00\x02\x02\x32 no HTTP at all\r\n\r\n"),
        Act::Huge(length) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            // The client need not read it all.
            let piece = vec![b' '; 1 << 16];
            (0..length / piece.len()).all(|_| stream.write_all(&piece).is_ok());
            false
        }
        Act::Leave(act) => {
            perform(*act, request, setup, stream);
            false
        }
        Act::Redirect(place) => {
            let head = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            true
        }
    }
}

const JSON: &str = "application/json";

fn send(stream: &mut impl Write, status: u16, kind: &str, body: &str) -> bool {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nserver: uvicorn\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).and_then(|()| stream.flush()).is_ok()
}

fn failure(code: &str, message: &str) -> String {
    format!(r#"{{"success":false,"error":{{"code":"{code}","message":"{message}","details":null}}}}"#)
}

/// What a server answers that is well: status, type and body.
fn answer(request: &Request, setup: &Setup, shapes: Value) -> (u16, &'static str, String) {
    if let Some(front) = &setup.front {
        return front.clone();
    }
    let path = request.path.as_str();
    let models = if setup.models.is_empty() { vec!["segment_anything_3"] } else { setup.models.clone() };
    if path == "/health" {
        let body =
            json!({"status": "healthy", "models_loaded": models.len(), "timestamp": "2026-11-21T09:09:24.595354Z"});
        return (200, JSON, body.to_string());
    }
    if setup.key.is_some() && request.header("token") != setup.key {
        let body = r#"{"success":false,"error":{"code":"UNAUTHORIZED","message":"Invalid or missing API Key"}}"#;
        return (401, JSON, body.into());
    }
    match (request.method.as_str(), path) {
        ("GET", "/v1/models") => {
            let model = |name: &&str| {
                let about = json!({"display_name": name, "widgets": [], "params": {}, "capabilities": {},
                    "batch_processing_mode": "default"});
                (name.to_string(), about)
            };
            let models: serde_json::Map<String, Value> = models.iter().map(model).collect();
            (200, JSON, json!({"success": true, "data": models}).to_string())
        }
        ("POST", "/v1/predict") => predict(request, &models, shapes),
        (_, "/v1/predict" | "/v1/models") => (405, JSON, r#"{"detail":"Method Not Allowed"}"#.into()),
        _ => (404, JSON, r#"{"detail":"Not Found"}"#.into()),
    }
}

fn predict(request: &Request, models: &[&str], shapes: Value) -> (u16, &'static str, String) {
    let misunderstood = |kind: &str, loc: Value, msg: &str| {
        // The real one repeats what it was sent.
        let input = String::from_utf8_lossy(&request.body).into_owned();
        (422, JSON, json!({"detail": [{"type": kind, "loc": loc, "msg": msg, "input": input}]}).to_string())
    };
    if request.header("content-type") != Some(JSON) {
        return misunderstood("model_attributes_type", json!(["body"]), "Input should be a valid dictionary or object");
    }
    let Ok(json) = serde_json::from_slice::<Value>(&request.body) else {
        return misunderstood("json_invalid", json!(["body", 0]), "JSON decode error");
    };
    for field in ["model", "image"] {
        if !json[field].is_string() {
            return misunderstood("missing", json!(["body", field]), "Field required");
        }
    }
    if !json["params"].is_object() {
        return misunderstood("dict_type", json!(["body", "params"]), "Input should be a valid dictionary");
    }
    let model = json["model"].as_str().unwrap_or_default();
    if !models.contains(&model) {
        return (200, JSON, failure("MODEL_NOT_FOUND", &format!("Model '{model}' not loaded")));
    }
    let image = json["image"].as_str().unwrap_or_default();
    let base64 = image.split_once(',').map_or(image, |(_, rest)| rest);
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
    if image::load_from_memory(&bytes).is_err() {
        return (200, JSON, failure("INVALID_IMAGE", "Failed to decode image"));
    }
    if !json["params"]["conf_threshold"].is_number() {
        return (200, JSON, failure("INFERENCE_ERROR", "conf_threshold is no number"));
    }
    let data = json!({"shapes": shapes, "description": "", "replace": null});
    (200, JSON, json!({"success": true, "data": data}).to_string())
}

/// A shape as the server sends it; `points` as they are.
pub fn shape(label: &str, kind: &str, score: Option<f32>, points: Value) -> Value {
    json!({"label": label, "shape_type": kind, "points": points, "score": score, "attributes": {}, "description": null,
        "difficult": false, "direction": 0.0, "flags": null, "group_id": null, "kie_linking": []})
}

/// A rectangle as the server sends it: four corners, clockwise from the top left.
pub fn rectangle(label: &str, score: f32, [x1, y1, x2, y2]: [f32; 4]) -> Value {
    shape(label, "rectangle", Some(score), json!([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]))
}

/// A certificate for `localhost` by an authority of its own: the server's settings, and the authority as PEM.
pub fn certified(names: &[&str]) -> (Arc<rustls::ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().expect("key");
    let mut authority = rcgen::CertificateParams::new(vec![]).expect("authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&key).expect("authority").pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let own_key = rcgen::KeyPair::generate().expect("key");
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let own = rcgen::CertificateParams::new(names).expect("names").signed_by(&own_key, &issuer).expect("certificate");
    (tls(own.der().clone(), &own_key), pem)
}

/// A certificate for `localhost` that signs itself, an authority's or not: the server's settings and the certificate.
pub fn self_signed(is_authority: bool) -> (Arc<rustls::ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().expect("key");
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_string()]).expect("names");
    if is_authority {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let own = params.self_signed(&key).expect("certificate");
    (tls(own.der().clone(), &key), own.pem())
}

fn tls(certificate: rustls::pki_types::CertificateDer<'static>, key: &rcgen::KeyPair) -> Arc<rustls::ServerConfig> {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
    Arc::new(config.expect("certificate"))
}
