//! What the routes do: a picture and parameters in, the record of the command out.

use super::Server;
use super::parts;
use super::pool::Refusal;
use super::query::{self, Param, Query};
use super::upload::{self, Held};
use crate::cli::commands::{detect::Detect, mask::Mask, ocr::Ocr};
use crate::cli::masks;
use crate::cli::output;
use crate::cli::versions;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::input;
use crate::models;
use crate::recipe::Region;
use crate::report::{detections, draw, json, lines, overlay};
use crate::tasks::detect::Tiles;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What a picture is called whose sender gave it no name.
const UNNAMED: &str = "<body>";
/// The verdict of an inspection, for those who are answered with the picture.
const VERDICT: HeaderName = HeaderName::from_static("ocellus-verdict");
/// Seconds after which to try again when the queue is full: about what a picture takes on a small box.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
/// Pieces that a picture may be looked at in: ten megapixels in pieces of 320 pixels, or 200 in pieces of 1280.
const MOST_TILES: u64 = 256;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PNG: HeaderValue = HeaderValue::from_static("image/png");

pub type Shared = State<Arc<Server>>;

/// What is answered with.
pub struct Answer {
    status: StatusCode,
    kind: HeaderValue,
    body: Vec<u8>,
    verdict: Option<&'static str>,
}

impl Answer {
    /// A JSON text.
    pub fn record(text: String) -> Self {
        Answer { status: StatusCode::OK, kind: JSON, body: (text + "\n").into_bytes(), verdict: None }
    }

    /// A record that says why there is no other.
    pub fn refusal(status: StatusCode, message: &str) -> Self {
        let record = json!({"schema": json::SCHEMA, "type": "error", "status": "error", "error": message});
        Answer { status, ..Answer::record(record.to_string()) }
    }

    /// A picture, as PNG.
    pub fn picture(png: Vec<u8>) -> Self {
        Answer { status: StatusCode::OK, kind: PNG, body: png, verdict: None }
    }
}

impl Answer {
    /// With the verdict of an inspection, for those who are answered with a picture.
    pub fn judged(self, verdict: &'static str) -> Self {
        Answer { verdict: Some(verdict), ..self }
    }

    /// There is no such recipe.
    pub fn no_recipe(name: &str) -> Self {
        Answer::refusal(StatusCode::NOT_FOUND, &format!("there is no recipe {name:?}; see /v1/recipes"))
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        answer.into_response()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, self.kind)], self.body).into_response();
        if let Some(verdict) = self.verdict {
            response.headers_mut().insert(VERDICT, HeaderValue::from_static(verdict));
        }
        response
    }
}

/// A record that says why there is no other.
pub fn refusal(status: StatusCode, message: &str) -> Response {
    Answer::refusal(status, message).into_response()
}

/// An error with the status that tells a client what it can do about it. Those that are no client's fault are told of here, too.
pub fn refused(error: &Error) -> Answer {
    let status = match error {
        Error::Usage(_) => StatusCode::BAD_REQUEST,
        Error::Image { .. } | Error::Input(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status.is_server_error() {
        output::complain(error);
    }
    Answer::refusal(status, &error.one_line())
}

/// A picture that was sent.
pub struct Sent {
    /// Its parameters.
    pub query: Query,
    /// What it is called.
    pub name: String,
    /// Its file.
    pub bytes: Bytes,
    /// When its time is over.
    end: Instant,
    /// Its share of the memory for bodies.
    _held: Held,
}

impl Sent {
    /// Takes a request apart.
    async fn new(server: &Server, request: Request, known: &[Param]) -> Result<Self, Response> {
        let end = Instant::now() + server.pool.time();
        let query = match Query::new(request.uri().query(), known) {
            Ok(query) => query,
            Err(error) => {
                upload::drain(request).await;
                return Err(refused(&error).into());
            }
        };
        let upload = server.bodies.read(request, end).await.map_err(|refused| refused.response(server))?;
        let name = query.name.clone().or(upload.name).unwrap_or_else(|| UNNAMED.into());
        Ok(Sent { query, name, bytes: upload.bytes, end, _held: upload.held })
    }

    /// The picture itself.
    pub fn decode(&self, server: &Server) -> Result<Image> {
        input::decode(&self.name, &self.bytes, &server.limits)
    }
}

/// Has the picture of `request` looked at by the pool. A picture that cannot be used is answered with the record that `--json`
/// has of it.
pub async fn look<W>(server: Arc<Server>, request: Request, kind: &str, known: &[Param], work: W) -> Response
where
    W: FnOnce(&Server, &Sent) -> Result<Answer> + Send + 'static,
{
    let sent = match Sent::new(&server, request, known).await {
        Ok(sent) => sent,
        Err(response) => return response,
    };
    let (name, end) = (sent.name.clone(), sent.end);
    let shared = server.clone();
    match server.pool.run(end, move || work(&shared, &sent)).await {
        Ok(answer) => answer.into_response(),
        Err(Refusal::Failed(error @ (Error::Image { .. } | Error::Input(_)))) => {
            match json::failed(kind, &name, &error) {
                Ok(record) => {
                    Answer { status: StatusCode::UNPROCESSABLE_ENTITY, ..Answer::record(record) }.into_response()
                }
                Err(error) => refused(&error).into_response(),
            }
        }
        Err(why) => why.response(&server),
    }
}

impl upload::Refused {
    /// What is said to who sent it.
    fn response(&self, server: &Server) -> Response {
        match self {
            upload::Refused::Full => Refusal::Full.response(server),
            upload::Refused::Wrong(status, message) => refusal(*status, message),
        }
    }
}

impl Refusal {
    /// What is said to who asked.
    pub fn response(&self, server: &Server) -> Response {
        match self {
            Refusal::Full => {
                let mut response = refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "all threads are busy and the queue, or the memory for bodies, is full",
                );
                response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
                response
            }
            Refusal::Late => {
                let seconds = server.pool.time().as_secs();
                refusal(StatusCode::GATEWAY_TIMEOUT, &format!("not done within {seconds} s; see --timeout"))
            }
            Refusal::Failed(error) => refused(error).into_response(),
        }
    }
}

/// The milliseconds that `work` takes, with its result.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    Ok((work()?, start.elapsed().as_secs_f64() * 1000.0))
}

/// Refuses to look at a picture in so many pieces that others would wait for minutes.
fn bounded(tiles: Option<Tiles>, photo: &Image) -> Result<()> {
    match tiles.map(|t| t.count(photo.width(), photo.height())) {
        Some(count) if count > MOST_TILES => Err(Error::Usage(format!(
            "tile and overlap make {count} pieces of a picture of {}x{}, expected {MOST_TILES} at most",
            photo.width(),
            photo.height()
        ))),
        _ => Ok(()),
    }
}

/// `POST /v1/detect`
pub async fn detect(State(server): Shared, request: Request) -> Response {
    look(server, request, "detect", query::DETECT, |server, sent| {
        let command: Detect = sent.query.command("detect", &[])?;
        let detector = server.networks.detector()?;
        let (params, tiles) = command.settings(detector)?;
        let photo = sent.decode(server)?;
        bounded(tiles, &photo)?;
        let (found, ms) = timed(|| detector.detect(&photo, &params, tiles))?;
        let labels = detector.labels();
        Ok(match sent.query.picture {
            Some(_) => Answer::picture(draw::png(&detections::overlay(&photo, &found, labels)?)?),
            None => Answer::record(json::detect(&sent.name, labels, Ok((&found, ms)))?),
        })
    })
    .await
}

/// `POST /v1/mask`
pub async fn mask(State(server): Shared, request: Request) -> Response {
    look(server, request, "mask", query::MASK, |server, sent| {
        let command: Mask = sent.query.command("mask", &["--out", ""])?;
        let masker = server.networks.masker()?;
        let settings = command.settings(masker)?;
        let photo = sent.decode(server)?;
        bounded(settings.tiles, &photo)?;
        let (masked, ms) = timed(|| masker.mask(&photo, &settings))?;
        Ok(match sent.query.picture {
            Some(query::MASK_ITSELF) => Answer::picture(masks::png(masked.mask, command.invert)?),
            Some(_) => Answer::picture(draw::png(&detections::tinted(&photo, &masked.mask)?)?),
            None => {
                let labels = masker.detector().labels();
                Answer::record(json::mask(&sent.name, labels, Ok((None, &masked.summary(false), ms)))?)
            }
        })
    })
    .await
}

/// `POST /v1/ocr`
pub async fn ocr(State(server): Shared, request: Request) -> Response {
    look(server, request, "ocr", query::OCR, |server, sent| {
        let command: Ocr = sent.query.command("ocr", &[])?;
        let reader = server.networks.reader()?;
        // Lines of one picture side by side only while no other picture is at work.
        let settings = command.settings(reader, server.pool.busy() < 2)?;
        let photo = sent.decode(server)?;
        let (found, ms) = timed(|| reader.read(&photo, &settings))?;
        Ok(match sent.query.picture {
            Some(_) => Answer::picture(draw::png(&lines::overlay(&photo, &found)?)?),
            None => Answer::record(json::ocr(&sent.name, Ok((&found, ms)))?),
        })
    })
    .await
}

/// `POST /v1/embed`
pub async fn embed(State(server): Shared, request: Request) -> Response {
    look(server, request, "embed", query::EMBED, |server, sent| {
        let (model, embedder) = server.networks.embedder()?;
        let vector = embedder.embed(&sent.decode(server)?)?;
        Ok(Answer::record(json::embed(&sent.name, model, &Ok(vector))?))
    })
    .await
}

/// `POST /v1/inspect/{recipe}`
pub async fn inspect(State(server): Shared, path: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let Ok(Path(name)) = path else {
        upload::drain(request).await;
        return refusal(StatusCode::NOT_FOUND, "a recipe's name is text");
    };
    look(server, request, "inspect", query::INSPECT, move |server, sent| {
        let Some(recipe) = server.recipes.get(&name)? else {
            return Ok(Answer::no_recipe(&name));
        };
        let photo = sent.decode(server)?;
        let (inspection, ms) = timed(|| recipe.inspector.inspect(&photo))?;
        server.metrics.judged(&recipe.name, json::verdict(inspection.verdict));
        let answer = match sent.query.picture {
            Some(_) => Answer::picture(draw::png(&overlay::inspection(&photo, &inspection)?)?),
            None => Answer::record(json::inspect(&sent.name, Ok((&inspection, ms)))?),
        };
        Ok(answer.judged(json::verdict(inspection.verdict)))
    })
    .await
}

/// `GET /v1/models`: the records of `ocellus models --json`.
pub async fn models() -> Response {
    let all: Result<Vec<String>> = models::embedded().iter().map(|m| json::model(&m.info, m.bytes.len())).collect();
    match all {
        Ok(records) => Answer::record(format!("[{}]", records.join(","))).into_response(),
        Err(error) => refused(&error).into_response(),
    }
}

/// `GET /v1/recipes`: a record each; of one that cannot be used, why.
pub async fn recipes(State(server): Shared) -> Response {
    let known = server.clone();
    let end = Instant::now() + server.pool.time();
    let all =
        server.pool.run(end, move || known.recipes.names()?.iter().map(|name| recipe(&known, name)).collect()).await;
    match all {
        Ok(records) => Answer::record(Value::Array(records).to_string()).into_response(),
        Err(why) => why.response(&server),
    }
}

fn recipe(server: &Server, name: &str) -> Result<Value> {
    let head = json!({"schema": json::SCHEMA, "type": "recipe", "name": name});
    let body = match server.recipes.get(name) {
        Ok(None) => json!({"status": "error", "error": "it is gone"}),
        Ok(Some(loaded)) => {
            let region = |r: &Region| json!({"name": r.name, "rect": r.rect, "method": r.method.name(), "threshold": r.threshold});
            let regions: Vec<Value> = loaded.recipe.regions.iter().map(region).collect();
            let folder = server.recipes.folder(name)?;
            let golden = &loaded.recipe.golden;
            json!({
                "status": "ok", "sha256": loaded.sha256, "good_images": loaded.recipe.good_images, "regions": regions,
                "golden": {"width": golden.width, "height": golden.height},
                "goods_kept": !versions::goods(&folder).is_empty(), "previous": versions::has_previous(&folder),
            })
        }
        Err(error) => json!({"status": "error", "error": error.one_line()}),
    };
    let both = [head, body].into_iter().filter_map(|v| if let Value::Object(map) = v { Some(map) } else { None });
    Ok(Value::Object(both.flatten().collect()))
}

/// `GET /v1/recipes/{recipe}/golden`: the golden image's file.
pub async fn golden(State(server): Shared, path: Result<Path<String>, PathRejection>) -> Response {
    let Ok(Path(name)) = path else { return refusal(StatusCode::NOT_FOUND, "a recipe's name is text") };
    let (known, end) = (server.clone(), Instant::now() + server.pool.time());
    let read = move || {
        let Some(loaded) = known.recipes.get(&name)? else { return Ok(Answer::no_recipe(&name).into_response()) };
        let file = known.recipes.folder(&name)?.join(&loaded.recipe.golden.image);
        let bytes = std::fs::read(&file).map_err(|e| Error::io(&file, "read", e))?;
        let mut response = parts::picture_of(bytes);
        // Another version may have another one.
        response.headers_mut().remove(header::CACHE_CONTROL);
        Ok(response)
    };
    server.pool.run(end, read).await.unwrap_or_else(|why| why.response(&server))
}

/// `GET /health`: the process answers.
pub async fn health() -> Response {
    Answer::record(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}).to_string()).into_response()
}

/// `GET /ready`: the networks and recipes are loaded.
pub async fn ready(State(server): Shared) -> Response {
    match server.ready.load(Ordering::Acquire) {
        true => Answer::record(json!({"status": "ready"}).to_string()).into_response(),
        false => refusal(StatusCode::SERVICE_UNAVAILABLE, "networks and recipes are being loaded"),
    }
}

/// `GET /metrics`
pub async fn metrics(State(server): Shared) -> Response {
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let kept = server.station.as_ref().map_or((0, false), |s| (s.kept().0, s.kept().2));
    match server.metrics.text(&server.pool, kept) {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(error) => refused(&error).into_response(),
    }
}

/// `GET /openapi.json`
pub async fn openapi() -> Response {
    Answer::record(super::openapi::document().to_string()).into_response()
}
