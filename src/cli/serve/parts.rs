//! Parts on record: a picture that is judged and kept, the last ones, what people say of them, and what is learned of that.

use super::api::{Answer, Shared, look, refusal, refused};
use super::members::{self, Who, check_words};
use super::query::{self, Query};
use super::{Server, upload};
use crate::cli::audit::entry::{self, Key};
use crate::cli::station::{Part, Photograph, Remembered, Station};
use crate::error::{Error, Result};
use crate::models::sha256_hex;
use crate::preprocess;
use crate::report::draw;
use crate::report::json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Width of a small picture in pixels.
const THUMBNAIL: u32 = 200;
/// Parts in one answer.
const MOST: usize = 200;
/// What is written under a number stays the same.
const KEPT: HeaderValue = HeaderValue::from_static("private, max-age=86400");
/// Learning takes longer than looking.
pub const LEARNING: Duration = Duration::from_secs(600);

/// A number in an address, or none.
type Number = Result<Path<u64>, PathRejection>;

/// The station, or why there is none.
pub fn station(server: &Server) -> Result<&Station, Answer> {
    let none =
        || Answer::refusal(StatusCode::NOT_FOUND, "nothing is kept on record: start the server with --state DIR");
    server.station.as_ref().ok_or_else(none)
}

fn part(server: &Server, seq: Number) -> Result<Remembered, Answer> {
    let gone = || {
        Answer::refusal(
            StatusCode::NOT_FOUND,
            "there is no such part among the last ones; older ones are in the audit file",
        )
    };
    let Path(seq) = seq.map_err(|_| gone())?;
    station(server)?.part(seq).ok_or_else(gone)
}

/// The parameters of a request without a picture.
fn parameters(request: &Request, known: &[query::Param]) -> Result<Query, Answer> {
    Query::new(request.uri().query(), known).map_err(|e| refused(&e))
}

/// `POST /v1/parts/{recipe}`
pub async fn add(State(server): Shared, path: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let (Ok(Path(recipe)), Ok(_)) = (path, station(&server)) else {
        upload::drain(request).await;
        let unnamed = || Answer::refusal(StatusCode::NOT_FOUND, "a recipe's name is text");
        return station(&server).err().unwrap_or_else(unnamed).into_response();
    };
    look(server, request, "inspect", query::PART, move |server, sent| {
        let Some(recipe) = server.recipes.get(&recipe)? else {
            return Ok(Answer::no_recipe(&recipe));
        };
        let Some(station) = &server.station else { return Err(Error::Internal("no station".into())) };
        for text in [query::SERIAL, query::OPERATOR, query::REQUEST] {
            if sent.query.value(text).is_some_and(|v| check_words(text, v).is_err()) {
                return Err(Error::Usage(format!("{text}: expected a few words in one line")));
            }
        }
        let request = sent.query.value(query::REQUEST);
        let Some(_one) = request.map_or(Some(None), |r| UnderWay::new(server, r).map(Some)) else {
            return Ok(Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "this request is being answered; try again"));
        };
        if let Some(known) = request.and_then(|request| station.answered(request)) {
            // Its answer was lost on the way, and it came again.
            let text = |key: &str| known.record.get(key).and_then(Value::as_str).unwrap_or_default();
            if text("recipe") != recipe.name || text("sha256") != sha256_hex(&sent.bytes) {
                let message = "another picture, or another recipe, was sent with the same `request`";
                return Ok(Answer::refusal(StatusCode::CONFLICT, message));
            }
            let verdict = ["pass", "fail", "misplaced"].into_iter().find(|v| *v == text("verdict"));
            let answer = Answer::record(Value::Object(known.record.clone()).to_string());
            return Ok(if let Some(verdict) = verdict { answer.judged(verdict) } else { answer });
        }
        let looked = station.look(&recipe, &sent.name, &sent.bytes, &server.limits)?;
        let now = Timestamp::now();
        let key = Key {
            path: path_of(now, &sent.name, &sent.bytes),
            bytes: sent.bytes.len() as u64,
            modified: now.as_nanosecond(),
        };
        let part = Part {
            key: &key,
            name: &sent.name,
            sha256: None,
            photograph: Photograph::Sent(&sent.bytes),
            recipe: &recipe,
            serial: sent.query.value(query::SERIAL),
            operator: sent.query.value(query::OPERATOR),
            request: sent.query.value(query::REQUEST),
            trigger: None,
        };
        let judged = station.judge(&part, Ok(&looked))?;
        server.metrics.judged(&recipe.name, judged.verdict);
        Ok(Answer::record(Value::Object(judged.record).to_string()).judged(judged.verdict))
    })
    .await
}

/// A request of that name is being answered for as long as this lives.
struct UnderWay<'a>(&'a Server, String);

impl<'a> UnderWay<'a> {
    /// None if it is already.
    fn new(server: &'a Server, request: &str) -> Option<Self> {
        let mut all = server.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(request.to_string()).then(|| UnderWay(server, request.to_string()))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Where a picture that was sent is kept: day, time, and what its sender called it.
fn path_of(now: Timestamp, name: &str, bytes: &[u8]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name = std::path::Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().take(64).map(plain).collect();
    let ending = image::guess_format(bytes).ok().and_then(|f| f.extensions_str().first().copied()).unwrap_or("img");
    format!("{}-{name}.{ending}", now.strftime("%Y-%m-%d/%H%M%S%.6f"))
}

/// `GET /v1/parts`
pub async fn list(State(server): Shared, request: Request) -> Response {
    let answer = || -> Result<Answer, Answer> {
        let query = parameters(&request, query::PARTS)?;
        let number = |name: &str, default: u64| match query.value(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                Answer::refusal(StatusCode::BAD_REQUEST, &format!("{name}={text}: expected a whole number"))
            }),
        };
        let (after, limit) = (number(query::AFTER, 0)?, number(query::LIMIT, 50)?);
        let (last, mut parts) = station(&server)?.newer(after, (limit as usize).min(MOST));
        for part in &mut parts {
            // Whether pictures are there, not where.
            part["stored"] = json!(part["stored"].is_string());
        }
        Ok(Answer::record(json!({"last": last, "parts": parts}).to_string()))
    };
    answer().unwrap_or_else(|refused| refused).into_response()
}

/// `GET /v1/parts/{seq}`
pub async fn one(State(server): Shared, seq: Number) -> Response {
    match part(&server, seq) {
        Ok(part) => Answer::record(part.value().to_string()).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// `GET /v1/parts/{seq}/thumbnail`
pub async fn thumbnail(State(server): Shared, seq: Number) -> Response {
    kept(server, seq, |server, part| {
        let bytes = read(server, part, "png")?;
        let picture = crate::input::decode("findings", &bytes, &server.limits)?;
        let height = (picture.height() * THUMBNAIL / picture.width().max(1)).clamp(1, 4 * THUMBNAIL);
        draw::png(&preprocess::resize(&picture, THUMBNAIL, height)?)
    })
    .await
}

/// `GET /v1/parts/{seq}/findings`
pub async fn findings(State(server): Shared, seq: Number) -> Response {
    kept(server, seq, |server, part| read(server, part, "png")).await
}

/// `GET /v1/parts/{seq}/picture`
pub async fn picture(State(server): Shared, seq: Number) -> Response {
    kept(server, seq, photograph).await
}

fn read(server: &Server, part: &Remembered, ending: &str) -> Result<Vec<u8>> {
    let gone = || Error::Input("its pictures are not kept".into());
    let (station, stored) = server.station.as_ref().zip(part.stored()).ok_or_else(gone)?;
    std::fs::read(station.file(stored, ending)).map_err(|_| gone())
}

/// The photograph of a part: in the store, or where it is watched.
fn photograph(server: &Server, part: &Remembered) -> Result<Vec<u8>> {
    let path = part.record.get("path").and_then(Value::as_str);
    let watched = server.watched.as_ref().zip(path).map(|(watched, path)| watched.folder.join(path));
    let bytes = match (read(server, part, ""), watched) {
        (Err(error), Some(file)) => std::fs::read(file).map_err(|_| error),
        (result, _) => result,
    }?;
    // A camera may have put another picture there.
    let same = part.record.get("sha256").and_then(Value::as_str) == Some(&sha256_hex(&bytes));
    same.then_some(bytes).ok_or_else(|| Error::Input("its photograph is not there any more".into()))
}

/// Answers with a picture of a part.
async fn kept(
    server: Arc<Server>,
    seq: Number,
    work: impl FnOnce(&Server, &Remembered) -> Result<Vec<u8>> + Send + 'static,
) -> Response {
    let part = match part(&server, seq) {
        Ok(part) => part,
        Err(refused) => return refused.into_response(),
    };
    let shared = server.clone();
    let end = Instant::now() + server.pool.time();
    match server.pool.run(end, move || work(&shared, &part)).await {
        Ok(bytes) => picture_of(bytes),
        Err(super::pool::Refusal::Failed(Error::Input(message))) => refusal(StatusCode::NOT_FOUND, &message),
        Err(why) => why.response(&server),
    }
}

/// A picture's file as an answer.
pub fn picture_of(bytes: Vec<u8>) -> Response {
    let kind = image::guess_format(&bytes).map_or("application/octet-stream", |f| f.to_mime_type());
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, KEPT)], bytes).into_response()
}

/// What a person says of a part.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Judgement {
    judged: Verdict,
    operator: String,
    reason: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Bad,
}

/// `POST /v1/parts/{seq}/judgement`
pub async fn judge(State(server): Shared, seq: Number, request: Request) -> Response {
    let judged = async {
        let said: Judgement = members::read(request).await?;
        let who = Who { operator: said.operator, reason: said.reason };
        who.check()?;
        let part = part(&server, seq)?;
        let judged = match said.judged {
            Verdict::Good => "good",
            Verdict::Bad => "bad",
        };
        let members = entry::judgement(&part.record, judged, who.operator.trim(), who.reason.trim());
        // Not on the pool: what a person says does not wait for pictures.
        let shared = server.clone();
        let put = tokio::task::spawn_blocking(move || shared.put_down(members)).await;
        match put.unwrap_or_else(|e| Err(Error::Internal(e.to_string()))) {
            Ok(record) => Ok(Answer::record(Value::Object(record).to_string()).into_response()),
            Err(error) => Err(refused(&error).into()),
        }
    };
    judged.await.unwrap_or_else(|refused| refused)
}

impl Server {
    /// Puts a record down.
    ///
    /// # Errors
    /// It could not be written.
    pub fn put_down(&self, members: Map<String, Value>) -> Result<Map<String, Value>> {
        let record = self.station.as_ref().map(|s| s.put_down(members)).unwrap_or_default();
        let written = record.contains_key("seq");
        written.then_some(record).ok_or_else(|| Error::Internal("it could not be put on record".into()))
    }
}

/// Does `work`, which ends with a record, on the pool.
async fn recorded<W>(server: &Arc<Server>, end: Instant, work: W) -> Result<Response, Response>
where
    W: FnOnce(&Server) -> Result<Map<String, Value>> + Send + 'static,
{
    let shared = server.clone();
    let record = server.pool.run(end, move || work(&shared)).await.map_err(|why| why.response(server))?;
    Ok(Answer::record(Value::Object(record).to_string()).into_response())
}

/// `POST /v1/parts/{seq}/learn`
pub async fn learn(State(server): Shared, seq: Number, request: Request) -> Response {
    let learned = async {
        let who: Who = members::read(request).await?;
        who.check()?;
        let part = part(&server, seq)?;
        let good = part.judged.as_ref().is_some_and(|j| j.get("judged").and_then(Value::as_str) == Some("good"));
        if !good {
            return Err(refusal(StatusCode::CONFLICT, "only a part that was judged good can be learned from"));
        }
        recorded(&server, Instant::now() + LEARNING, move |server| learn_from(server, &part, &who)).await
    };
    learned.await.unwrap_or_else(|refused| refused)
}

fn learn_from(server: &Server, part: &Remembered, who: &Who) -> Result<Map<String, Value>> {
    let Some(station) = &server.station else { return Err(Error::Internal("no station".into())) };
    let name = part.record.get("recipe").and_then(Value::as_str).unwrap_or_default();
    let bytes = photograph(server, part)?;
    station.check_room(bytes.len() as u64)?;
    let (before, after) = server.recipes.learn_more(name, &bytes, server.options)?;
    let said = (who.operator.trim(), who.reason.trim());
    let mut members = entry::version("learn", name, (&after.sha256, Some(&before)), said);
    members.insert("of".into(), json!(part.seq));
    members.insert("good_images".into(), json!(after.recipe.good_images));
    // It is on record before anything else can go wrong.
    let mut record = server.put_down(members)?;
    let looked = station.look(&after, "part", &bytes, &server.limits)?;
    for (key, value) in [
        ("verdict", json!(json::verdict(looked.inspection.verdict))),
        ("score", json!(looked.inspection.score)),
        ("threshold", json!(looked.inspection.threshold)),
    ] {
        record.insert(key.into(), value);
    }
    Ok(record)
}

/// `POST /v1/recipes/{recipe}/rollback`
pub async fn roll_back(State(server): Shared, path: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let rolled = async {
        let who: Who = members::read(request).await?;
        who.check()?;
        station(&server)?;
        let Path(name) = path.map_err(|_| refusal(StatusCode::NOT_FOUND, "a recipe's name is text"))?;
        let known = server.recipes.folder(&name).map(|_| ());
        known.map_err(|e| refusal(StatusCode::NOT_FOUND, &e.one_line()))?;
        recorded(&server, Instant::now() + LEARNING, move |server| {
            let (before, after) = server.recipes.roll_back(&name)?;
            let said = (who.operator.trim(), who.reason.trim());
            server.put_down(entry::version("rollback", &name, (&after.sha256, Some(&before)), said))
        })
        .await
    };
    rolled.await.unwrap_or_else(|refused| refused)
}

/// `GET /v1/counters`
pub async fn counters(State(server): Shared, request: Request) -> Response {
    let answer = || -> Result<Answer, Answer> {
        let query = parameters(&request, query::COUNTERS)?;
        Ok(Answer::record(station(&server)?.counters(query.value(query::RECIPE)).to_string()))
    };
    answer().unwrap_or_else(|refused| refused).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_cannot_choose_the_folder() {
        let now: Timestamp = "2026-11-22T17:50:01.25Z".parse().unwrap();
        let path = |name| path_of(now, name, b"\x89PNG\r\n\x1a\n");
        assert_eq!(path("../../etc/SN 7ä.jpeg"), "2026-11-22/175001.250000-SN_7_.png");
        assert_eq!(path("<body>"), "2026-11-22/175001.250000-_body_.png");
        assert_eq!(path(".."), "2026-11-22/175001.250000-.png");
    }
}
