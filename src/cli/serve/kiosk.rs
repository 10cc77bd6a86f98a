//! The page for the operator, and what it asks first.

use super::api::{Answer, Shared};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

const PAGE: &str = include_str!("kiosk/kiosk.html");
const STYLE: &str = include_str!("kiosk/kiosk.css");
const SCRIPT: &str = include_str!("kiosk/kiosk.js");
/// The page uses nothing but what this server gives, and is shown in no other page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
);
/// After an update of the program the page is a new one.
const FRESH: HeaderValue = HeaderValue::from_static("no-cache");

fn text(kind: &'static str, text: &'static str) -> Response {
    let headers: HeaderMap = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, FRESH),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
    .into_iter()
    .collect();
    (headers, text).into_response()
}

/// `GET /`
pub async fn page() -> Response {
    text("text/html; charset=utf-8", PAGE)
}

/// `GET /kiosk.css`
pub async fn style() -> Response {
    text("text/css; charset=utf-8", STYLE)
}

/// `GET /kiosk.js`
pub async fn script() -> Response {
    text("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /v1/station`
pub async fn station(State(server): Shared) -> Response {
    let watch = server.watched.as_ref();
    let watch = watch.map(|w| json!({"folder": w.folder.display().to_string(), "recipe": w.recipe}));
    let kept = server.station.as_ref().map(|s| s.kept());
    let storage = kept.map(|(used, quota, full)| json!({"used_bytes": used, "quota_bytes": quota, "full": full}));
    let answer = json!({
        "version": env!("CARGO_PKG_VERSION"), "state": server.station.is_some(), "watch": watch, "storage": storage,
        "operator": server.station.as_ref().and_then(|s| s.operator()),
    });
    Answer::record(answer.to_string()).into_response()
}
