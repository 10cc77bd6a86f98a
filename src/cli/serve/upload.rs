//! The picture of a request: the body as it is, or a file of a form. What all bodies together may hold in memory is bounded.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted at a time, in bytes.
const PIECE: usize = 1024;
/// What is taken of a body that nobody wants, in bytes and in time: a client that is still sending when the connection is closed
/// does not see the answer.
const DRAINED: usize = 1 << 20;
const DRAINING: Duration = Duration::from_secs(2);

/// A share of the memory for bodies, given back when it is dropped.
pub type Held = OwnedSemaphorePermit;

/// A picture's bytes, and the name that a form gives them.
#[derive(Debug)]
pub struct Upload {
    /// As they came.
    pub bytes: Bytes,
    /// The file's name in the form.
    pub name: Option<String>,
    /// Their share of the memory.
    pub held: Held,
}

/// Why there is no picture.
#[derive(Debug)]
pub enum Refused {
    /// Other bodies fill the memory.
    Full,
    /// The client's fault.
    Wrong(StatusCode, String),
}

/// Takes bodies, one of `most` bytes at most and no more of them at a time than fit into the memory for them.
#[derive(Debug)]
pub struct Bodies {
    most: usize,
    free: Arc<Semaphore>,
}

impl Bodies {
    /// Bodies of at most `most` bytes, in memory for `count` such.
    pub fn new(most: usize, count: usize) -> Self {
        Bodies { most, free: Arc::new(Semaphore::new((most / PIECE + 1) * count)) }
    }

    /// Reads the picture of `request`, until `end`.
    pub async fn read(&self, request: Request, end: Instant) -> Result<Upload, Refused> {
        let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        // One that does not say how long it is may be as long as any.
        let pieces = length.unwrap_or(self.most).min(self.most) / PIECE + 1;
        let Ok(held) = self.free.clone().try_acquire_many_owned(pieces as u32) else {
            drain(request).await;
            return Err(Refused::Full);
        };
        let (parts, body) = request.into_parts();
        let reading = tokio::time::timeout_at(end.into(), whole(body, length, self.most));
        let late = || Refused::Wrong(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".into());
        let bytes = reading.await.unwrap_or_else(|_| Err(late()))?;
        let (bytes, name) = match is_form(&parts.headers) {
            true => of_form(Request::from_parts(parts, Body::from(bytes))).await?,
            false => (bytes, None),
        };
        if bytes.is_empty() {
            return Err(no_picture());
        }
        Ok(Upload { bytes, name, held })
    }
}

/// Takes some of a body that nobody wants.
pub async fn drain(request: Request) {
    let mut body = request.into_body();
    let taking = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len);
            if taken > DRAINED {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAINING, taking).await;
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("multipart/")
}

fn no_picture() -> Refused {
    Refused::Wrong(StatusCode::BAD_REQUEST, "no picture: send it as the body, or as a file of a form".into())
}

/// The whole body, which says that it is `known` bytes long. Of one that is too large as much again is taken and dropped, so that
/// its sender sees the answer.
async fn whole(mut body: Body, known: Option<usize>, most: usize) -> Result<Bytes, Refused> {
    let room = known.filter(|known| *known <= most).unwrap_or(0);
    let (mut bytes, mut length) = (Vec::with_capacity(room), 0);
    while let Some(frame) = body.frame().await {
        let broken = |e| Refused::Wrong(StatusCode::BAD_REQUEST, format!("the body could not be read: {e}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length += data.len();
        if length <= most && known.is_none_or(|known| known <= most) {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
        if length > 2 * most {
            break;
        }
    }
    if length > most {
        let message = format!("the body is larger than {} MB; see --max-body", most / 1_000_000);
        return Err(Refused::Wrong(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(bytes.into())
}

/// The first file of a form, whatever its field is called, or the field `image`.
async fn of_form(request: Request) -> Result<(Bytes, Option<String>), Refused> {
    let failed = |text: String| Refused::Wrong(StatusCode::BAD_REQUEST, format!("the form could not be read: {text}"));
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| failed(e.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(|e| failed(e.body_text()))? {
        let name = field.file_name().map(str::to_string);
        let picture = field.name() == Some("image") || name.is_some();
        let bytes = field.bytes().await.map_err(|e| failed(e.body_text()))?;
        if picture && !bytes.is_empty() {
            return Ok((bytes, name));
        }
    }
    Err(no_picture())
}
