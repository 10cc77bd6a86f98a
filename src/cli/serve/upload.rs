//! The picture of a request: the body as it is, or a file of a form.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use std::time::Duration;

/// A picture's bytes, and the name that a form gives them.
#[derive(Debug)]
pub struct Upload {
    /// As they came.
    pub bytes: Bytes,
    /// The file's name in the form.
    pub name: Option<String>,
}

/// What is said to who sends no picture, too much, or too slowly.
pub type Refused = (StatusCode, String);

/// Bounds on what is sent.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of a body.
    pub bytes: usize,
    /// The time it may take to arrive.
    pub time: Duration,
}

impl Upload {
    /// Reads the picture of `request`.
    pub async fn read(request: Request, bounds: Bounds) -> Result<Self, Refused> {
        let reading = async {
            if is_form(request.headers()) {
                of_form(request, bounds.bytes).await
            } else {
                plain(request, bounds.bytes).await
            }
        };
        let late = (StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} s", bounds.time.as_secs()));
        tokio::time::timeout(bounds.time, reading).await.unwrap_or(Err(late))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("multipart/")
}

fn too_large(limit: usize) -> Refused {
    (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} MB; see --max-body", limit / 1_000_000))
}

fn no_picture() -> Refused {
    (StatusCode::BAD_REQUEST, "no picture: send it as the body, or as a file of a form".into())
}

/// The body as it is. Of one that is too large as much again is taken and dropped: a client that is still sending would not see
/// the answer.
async fn plain(request: Request, limit: usize) -> Result<Upload, Refused> {
    let mut body = request.into_body();
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| (StatusCode::BAD_REQUEST, format!("the body could not be read: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= limit {
            bytes.extend_from_slice(&data);
        } else if length > 2 * limit {
            break;
        }
    }
    match length {
        0 => Err(no_picture()),
        _ if length > limit => Err(too_large(limit)),
        _ => Ok(Upload { bytes: bytes.into(), name: None }),
    }
}

/// The first file of a form, whatever its field is called.
async fn of_form(request: Request, limit: usize) -> Result<Upload, Refused> {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, Body::new(http_body_util::Limited::new(body, limit)));
    let failed = |status: StatusCode, text: String| match status {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(limit),
        _ => (StatusCode::BAD_REQUEST, format!("the form could not be read: {text}")),
    };
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| failed(e.status(), e.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(|e| failed(e.status(), e.body_text()))? {
        let name = field.file_name().map(str::to_string);
        let picture = field.name() == Some("image") || name.is_some();
        let bytes = field.bytes().await.map_err(|e| failed(e.status(), e.body_text()))?;
        if picture && !bytes.is_empty() {
            return Ok(Upload { bytes, name });
        }
    }
    Err(no_picture())
}
