//! JSON bodies of requests.

use super::api::{Answer, refusal};
use super::upload;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest body in bytes: a hundred regions have a tenth of it.
const LONGEST: usize = 1 << 18;
/// The time that it may take.
const TIME: Duration = Duration::from_secs(10);
/// Longest name of a person, longest reason.
const WORDS: usize = 200;

/// Who wants something, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// A person's name.
    pub operator: String,
    /// In words.
    pub reason: String,
}

/// Whether a text can stand in a record: a few words in one line.
pub fn check_words(what: &str, text: &str) -> Result<(), Answer> {
    let length = text.trim().chars().count();
    if (1..=WORDS).contains(&length) && !text.contains(char::is_control) {
        return Ok(());
    }
    let message = format!("{what}: expected 1 to {WORDS} characters in one line, found {length}");
    Err(Answer::refusal(StatusCode::BAD_REQUEST, &message))
}

impl Who {
    /// Whether both are there.
    pub fn check(&self) -> Result<(), Answer> {
        check_words("operator", &self.operator)?;
        check_words("reason", &self.reason)
    }
}

/// The body of `request`.
pub async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Response> {
    let large = || refusal(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {LONGEST} bytes"));
    let wrong = |why: String| refusal(StatusCode::BAD_REQUEST, &format!("expected JSON: {why}"));
    let length = request.headers().get(axum::http::header::CONTENT_LENGTH);
    if length.and_then(|v| v.to_str().ok()?.parse::<usize>().ok()).is_some_and(|l| l > LONGEST) {
        upload::drain(request).await;
        return Err(large());
    }
    let body = tokio::time::timeout(TIME, Limited::new(request.into_body(), LONGEST).collect()).await;
    let late = |_| refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
    let bytes = body.map_err(late)?.map_err(|e| match e.is::<LengthLimitError>() {
        true => large(),
        false => wrong(e.to_string()),
    });
    let bytes = bytes?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))
}
