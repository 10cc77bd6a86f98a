//! Who may ask: the bearer of the token, and no page of another site that a browser on this machine shows.

use super::Server;
use super::api::refusal;
use super::upload;
use crate::error::{Error, Result};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use subtle::ConstantTimeEq;

/// Shorter tokens are guessed.
const SHORTEST: usize = 16;
/// What is told to everyone: whether the process lives, and the page itself, which holds nothing.
const OPEN: [&str; 5] = ["/", "/kiosk.css", "/kiosk.js", "/health", "/ready"];

/// What a request must bring. Only the token's hash is kept; hashes are of one length, so comparing them tells nothing of it.
#[derive(Debug)]
pub struct Token([u8; 32]);

impl Token {
    /// The first line of the file `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))?;
        let token = text.lines().next().unwrap_or_default().trim();
        if token.len() < SHORTEST {
            let message = format!(
                "{}: the token has {} characters, expected {SHORTEST} or more on its first line",
                path.display(),
                token.len()
            );
            return Err(Error::Usage(message));
        }
        if !token.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            let message = format!(
                "{}: the token has characters that a header cannot carry, expected plain ASCII",
                path.display()
            );
            return Err(Error::Usage(message));
        }
        Ok(Token(Sha256::digest(token).into()))
    }

    /// Whether `Authorization: Bearer TOKEN` is among the headers.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let Some((scheme, token)) = value.split_once(' ') else { return false };
        let hash: [u8; 32] = Sha256::digest(token.trim()).into();
        scheme.eq_ignore_ascii_case("bearer") && bool::from(self.0.ct_eq(&hash))
    }
}

/// Without a token a server is for this machine alone: its own browser must not be led here under another name (DNS rebinding).
fn is_local_name(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
}

/// A browser names the page that asks, other programs do not. Only our own page may: the one from the very host that is asked.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|v: &header::HeaderValue| v.to_str().unwrap_or("?"));
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

/// Lets a request through, or says why not; counts it either way.
pub async fn guard(
    State(server): State<Arc<Server>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let route = path.as_ref().map_or("other", MatchedPath::as_str).to_string();
    let response = match refused(&server, &route, request.headers()) {
        Some(response) => {
            upload::drain(request).await;
            response
        }
        None => next.run(request).await,
    };
    server.metrics.answered(&route, response.status().as_u16(), start.elapsed());
    response
}

fn refused(server: &Server, route: &str, headers: &HeaderMap) -> Option<Response> {
    if !is_own_page(headers) {
        return Some(refusal(StatusCode::FORBIDDEN, "a page of another site may not ask"));
    }
    match &server.token {
        Some(token) if !OPEN.contains(&route) && !token.is_in(headers) => {
            let mut response =
                refusal(StatusCode::UNAUTHORIZED, "expected Authorization: Bearer and the token of --token-file");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            Some(response)
        }
        None => {
            let host = headers.get(header::HOST).and_then(|v| v.to_str().ok());
            let foreign = host.is_some_and(|h| !is_local_name(h));
            foreign.then(|| {
                refusal(
                    StatusCode::FORBIDDEN,
                    "without --token-file only this machine may ask, by localhost or its address",
                )
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for host in ["localhost", "localhost:8420", "127.0.0.1:8420", "[::1]:8420", "[::1]", "LOCALHOST:1", "127.0.0.2"]
        {
            assert!(is_local_name(host), "{host}");
        }
        for host in
            ["example.com", "example.com:8420", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", ""]
        {
            assert!(!is_local_name(host), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_told() {
        let headers = |list: &[(header::HeaderName, &str)]| -> HeaderMap {
            list.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
        };
        assert!(is_own_page(&headers(&[(header::HOST, "box:8420")])));
        assert!(is_own_page(&headers(&[(header::HOST, "box:8420"), (header::ORIGIN, "http://box:8420")])));
        for origin in ["http://evil.example", "null", "http://box:8421", "box:8420"] {
            assert!(!is_own_page(&headers(&[(header::HOST, "box:8420"), (header::ORIGIN, origin)])), "{origin}");
        }
    }

    #[test]
    fn tokens_are_compared_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short\n").unwrap();
        assert!(Token::read(file.path()).unwrap_err().to_string().contains("5 characters"));
        std::fs::write(file.path(), "0123456789abcdef \nsecond line\n").unwrap();
        let token = Token::read(file.path()).unwrap();
        let with = |value: &str| token.is_in(&[(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect());
        assert!(with("Bearer 0123456789abcdef") && with("bearer 0123456789abcdef"));
        assert!(!with("Bearer 0123456789abcde") && !with("Basic 0123456789abcdef") && !with("0123456789abcdef"));
        assert!(!token.is_in(&HeaderMap::new()));
    }
}
