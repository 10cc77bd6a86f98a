//! Speaking with the server: one request after the other from each of several threads, tried again while that may help.

use super::agent::agent;
use super::shapes::{self, Found};
use super::wire::{self, Ask, Picture, Refusal, Wanted, cut};
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use ureq::http::{HeaderValue, Response, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts};
use ureq::{Agent, Body, Timeout};

/// The header that the key goes in.
const KEY_HEADER: &str = "Token";

/// The port that the server listens at unless it is told otherwise.
const USUAL_PORT: u16 = 8000;

/// An answer above this size is refused: 64 MiB.
const MOST_ANSWER: u64 = 64 << 20;

/// The longest time between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How often a request is tried that the server fails at: GPU memory may be free a little later.
const TRIES_AFTER_CRASH: u32 = 3;

/// A key of the server. It is never shown.
#[derive(Clone)]
pub struct Key(HeaderValue);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A key; an error if it cannot be sent.
    pub fn new(key: &str) -> Result<Self> {
        let text = Some(key.trim()).filter(|k| !k.is_empty() && k.bytes().all(|b| b.is_ascii_graphic()));
        let mut value = text.and_then(|k| HeaderValue::from_str(k).ok()).ok_or_else(|| {
            Error::Usage("the key is empty or has characters other than ASCII letters, digits and signs".into())
        })?;
        value.set_sensitive(true);
        Ok(Key(value))
    }
}

/// Where the server is and how patient to be with it.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http://HOST:PORT` or `https://HOST:PORT`, with or without a path.
    pub server: String,
    /// The key, if the server wants one.
    pub key: Option<Key>,
    /// Certificates (PEM) of the authorities to trust instead of the public ones.
    pub ca: Option<Vec<u8>>,
    /// How long resolving its name and connecting may take, each.
    pub connect: Duration,
    /// How long one request may take as a whole.
    pub timeout: Duration,
    /// How often a request is tried again.
    pub retries: u32,
    /// Time before the first new try; each further one waits twice as long.
    pub backoff: Duration,
    /// After so many pictures in a row that the server did not answer for it is taken to be away, at least 1.
    pub patience: u32,
}

impl Options {
    /// The usual patience with a server.
    pub fn new(server: &str) -> Self {
        Options {
            server: server.to_string(),
            key: None,
            ca: None,
            connect: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            retries: 5,
            backoff: Duration::from_millis(500),
            patience: 3,
        }
    }
}

/// Why a picture was not labelled. The texts begin with the server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server will not label this one; go on with the others.
    Picture(String),
    /// The server did not answer: the picture is as it was before and should be asked for again later.
    Server(String),
    /// Nothing further will succeed: a wrong key, an unknown model.
    Run(String),
}

impl From<Failure> for Error {
    /// [`Error::Server`] unless the picture is at fault.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Picture(text) => Error::Input(text),
            Failure::Server(text) | Failure::Run(text) => Error::Server(text),
        }
    }
}

/// A labelling server. Shared by threads; each request blocks its own.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    options: Options,
    /// The server's address without a slash at the end.
    base: String,
    /// Pictures in a row without an answer.
    unanswered: AtomicU32,
    /// Why nothing further will succeed.
    ended: OnceLock<String>,
}

impl Client {
    /// Prepares; nothing is sent yet. Errors: an address that is none, a file of authorities without a certificate.
    pub fn new(options: Options) -> Result<Self> {
        let base = address(&options.server)?;
        let roots = match &options.ca {
            Some(pem) => RootCerts::from(certificates(pem)?),
            None => RootCerts::WebPki,
        };
        let agent = agent(roots, options.connect, options.timeout);
        Ok(Client { agent, options, base, unanswered: AtomicU32::new(0), ended: OnceLock::new() })
    }

    /// Whether so many pictures in a row were not answered that the run should stop.
    pub fn is_away(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) >= self.options.patience.max(1)
    }

    /// Whether no further picture will be answered: the server is away, or refuses all.
    pub fn has_stopped(&self) -> bool {
        self.is_away() || self.ended.get().is_some()
    }

    /// Makes sure, before the work starts, that the server is there, takes the key and has the model. Tried once.
    pub fn check(&self, model: &str) -> Result<(), Failure> {
        let fail = |refusal| match refusal {
            Refusal::Later(text) | Refusal::Crashed(text) | Refusal::Picture(text) => Failure::Server(self.says(&text)),
            Refusal::Run(text) => Failure::Run(self.says(&text)),
        };
        // The key is for those only who are known to be such a server.
        let health = self.agent.get(format!("{}/health", self.base)).call();
        self.answer(health).and_then(|(status, body)| wire::health(status, &body)).map_err(fail)?;
        let models = self.with_key(self.agent.get(format!("{}/v1/models", self.base))).call();
        let models = self.answer(models).and_then(|(status, body)| wire::models(status, &body)).map_err(fail)?;
        if models.iter().any(|m| m == model) {
            return Ok(());
        }
        let loaded = if models.is_empty() { "no model at all".into() } else { cut(&models.join(", ")) };
        Err(Failure::Run(self.says(&format!("has not loaded the model {model:?}; it has {loaded}"))))
    }

    /// Asks for the objects of a picture; blocks until there is an answer or patience ends.
    pub fn predict(&self, picture: &Picture, ask: &Ask, wanted: &Wanted) -> Result<Found, Failure> {
        let body = wire::body(picture, ask, wanted);
        let start = Instant::now();
        let mut tries = 0;
        loop {
            self.go_on()?;
            tries += 1;
            let (text, most) = match self.ask(&body) {
                Ok(shapes) => {
                    self.unanswered.store(0, Ordering::Relaxed);
                    return Ok(shapes::objects(&shapes, ask, wanted, picture.size));
                }
                Err(Refusal::Picture(text)) => {
                    self.unanswered.store(0, Ordering::Relaxed);
                    return Err(Failure::Picture(self.says(&text)));
                }
                Err(Refusal::Run(text)) => {
                    let text = self.ended.get_or_init(|| self.says(&text)).clone();
                    return Err(Failure::Run(text));
                }
                Err(Refusal::Crashed(text)) if tries >= TRIES_AFTER_CRASH.min(self.options.retries + 1) => {
                    self.unanswered.store(0, Ordering::Relaxed);
                    return Err(Failure::Picture(self.says(&tried(&text, tries, start))));
                }
                Err(Refusal::Crashed(text)) => (text, TRIES_AFTER_CRASH),
                Err(Refusal::Later(text)) => (text, self.options.retries + 1),
            };
            if tries > self.options.retries {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                return Err(Failure::Server(self.says(&tried(&text, tries, start))));
            }
            log::debug!("{}, try {tries} of {most}", self.says(&text));
            self.wait(tries);
        }
    }

    /// An error if the run has ended meanwhile.
    fn go_on(&self) -> Result<(), Failure> {
        match self.ended.get() {
            Some(text) => Err(Failure::Run(text.clone())),
            None if self.is_away() => Err(Failure::Server(self.says("is away; the picture was not sent"))),
            None => Ok(()),
        }
    }

    /// Waits before the next try: twice as long each time, and not all threads at the same moment. Ends early when the
    /// run does.
    fn wait(&self, tries: u32) {
        let longest = self.options.backoff.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_WAIT);
        let end = Instant::now() + longest.mul_f64(0.5 + 0.5 * fastrand::f64());
        while self.go_on().is_ok() {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            std::thread::sleep(rest.min(Duration::from_millis(100)));
        }
    }

    /// One try.
    fn ask(&self, body: &[u8]) -> Result<Vec<serde_json::Value>, Refusal> {
        let request = self.agent.post(format!("{}/v1/predict", self.base));
        let response = self.with_key(request).header(header::CONTENT_TYPE, "application/json").send(body);
        let (status, body) = self.answer(response)?;
        wire::shapes(status, &body)
    }

    fn with_key<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.options.key {
            Some(key) => request.header(KEY_HEADER, key.0.clone()),
            None => request,
        }
    }

    /// Status and body of a response.
    fn answer(&self, response: Result<Response<Body>, ureq::Error>) -> Result<(u16, Vec<u8>), Refusal> {
        let mut response = response.map_err(|e| self.trouble(&e))?;
        let status = response.status().as_u16();
        if (300..400).contains(&status) {
            let place = response.headers().get(header::LOCATION).map(|v| String::from_utf8_lossy(v.as_bytes()));
            let place = place.map_or("another place".into(), |p| cut(&p));
            return Err(Refusal::Run(format!(
                "sends on to {place}, which is not followed; give that place as --server"
            )));
        }
        let body = response.body_mut().with_config().limit(MOST_ANSWER).read_to_vec();
        Ok((status, body.map_err(|e| self.trouble(&e))?))
    }

    /// What it means that there is no answer.
    fn trouble(&self, error: &ureq::Error) -> Refusal {
        let text = match error {
            ureq::Error::HostNotFound => "cannot be found: no such host name is known here".into(),
            ureq::Error::Timeout(Timeout::Resolve) => "cannot be found: no name server answers".into(),
            ureq::Error::Timeout(Timeout::Connect) => {
                format!("cannot be reached: no connection within {}", seconds(self.options.connect))
            }
            ureq::Error::Timeout(_) => {
                format!("did not answer within {} (--timeout)", seconds(self.options.timeout))
            }
            ureq::Error::Io(e) if is_lookup(e) => format!("cannot be found: {e}"),
            ureq::Error::Io(e) => match e.kind() {
                ErrorKind::ConnectionRefused => {
                    let hint = if self.names_port() {
                        String::new()
                    } else {
                        format!(" (its usual port is {USUAL_PORT}: --server {}:{USUAL_PORT})", self.base)
                    };
                    format!("refuses connections: no server is running there{hint}")
                }
                ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => format!("cannot be reached: {e}"),
                // rustls speaks through I/O errors.
                ErrorKind::InvalidData => return tls(&e.to_string()),
                _ => format!("broke the connection: {e}"),
            },
            ureq::Error::Rustls(e) => return tls(&e.to_string()),
            ureq::Error::Tls(e) => return tls(e),
            ureq::Error::BodyExceedsLimit(_) => {
                return Refusal::Picture(format!("answers with more than {} MiB", MOST_ANSWER >> 20));
            }
            ureq::Error::Protocol(e) => format!("answers with something other than HTTP: {}", cut(&e.to_string())),
            other => format!("cannot be asked: {}", cut(&other.to_string())),
        };
        Refusal::Later(text)
    }

    fn names_port(&self) -> bool {
        self.base.parse::<Uri>().is_ok_and(|uri| uri.port().is_some())
    }

    fn says(&self, text: &str) -> String {
        format!("{}: the server {text}", self.base)
    }
}

/// Whether it was the name that could not be looked up: the standard library has no kind of error for it.
fn is_lookup(error: &std::io::Error) -> bool {
    error.to_string().contains("failed to lookup address")
}

/// What rustls says against a connection. Another try would end the same.
fn tls(text: &str) -> Refusal {
    // The second: an authority of that name is known, but has another key.
    let hint = if text.contains("UnknownIssuer") || text.contains("BadSignature") {
        ": its certificate is by an authority that is not known here; give the authority's certificate as --ca FILE.pem"
    } else if text.contains("CaUsedAsEndEntity") {
        ": its certificate is an authority's own; it needs one of its own, by that authority"
    } else if text.contains("InvalidContentType") {
        ": it seems to speak plain HTTP; try http:// instead of https://"
    } else {
        ""
    };
    Refusal::Run(format!("cannot be trusted, {}{hint}", cut(text)))
}

fn tried(text: &str, tries: u32, start: Instant) -> String {
    match tries {
        1 => text.to_string(),
        _ => format!("{text} (tried {tries} times in {})", seconds(start.elapsed())),
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 10.0 => format!("{} s", (s * 10.0).round() / 10.0),
        s => format!("{s:.0} s"),
    }
}

/// The server's address without a slash at the end; an error says what one looks like.
fn address(server: &str) -> Result<String> {
    let expected = |found: &str| {
        Error::Usage(format!("--server {server:?} {found}, expected http://HOST:PORT or https://HOST:PORT"))
    };
    let uri: Uri = server.trim().parse().map_err(|_| expected("is no address"))?;
    let authority = uri.authority().filter(|a| !a.host().is_empty());
    match (uri.scheme_str(), authority) {
        // It may hold a password and is not repeated.
        (_, Some(authority)) if authority.as_str().contains('@') => {
            Err(Error::Usage("--server holds a user name; a key is given with --key or OCELLUS_LABEL_KEY".into()))
        }
        (Some("http" | "https"), Some(_)) if uri.query().is_some() => Err(expected("has a query")),
        (Some("http" | "https"), Some(authority)) => {
            if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none_or(|port| port == 0) {
                return Err(expected("has no usable port"));
            }
            Ok(server.trim().trim_end_matches('/').to_string())
        }
        (Some(_), _) => Err(expected("is of another kind")),
        (None, _) => Err(expected("is no whole address")),
    }
}

/// The certificates of a PEM file.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(e) => return Err(Error::Usage(format!("the file of --ca is damaged: {}", cut(&e.to_string())))),
        }
    }
    if certificates.is_empty() {
        let message = "the file of --ca holds no certificate; a PEM file is expected (-----BEGIN CERTIFICATE-----)";
        return Err(Error::Usage(message.into()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address(" http://gpu-node:8000/ ").unwrap(), "http://gpu-node:8000");
        assert_eq!(address("https://gpu.house/labels/").unwrap(), "https://gpu.house/labels");
        assert_eq!(address("http://[::1]:8000").unwrap(), "http://[::1]:8000");
        for wrong in [
            "",
            "gpu-node",
            "gpu-node:8000",
            "/v1",
            "ftp://gpu",
            "http://",
            "http://gpu node",
            "http://gpu:0",
            "http://gpu:99999",
            "http://gpu:",
            "http://gpu?x=1",
        ] {
            let text = address(wrong).unwrap_err().to_string();
            assert!(text.contains("expected http://HOST:PORT"), "{wrong:?}: {text}");
        }
        let text = address("http://me:secret@gpu:8000").unwrap_err().to_string();
        assert!(text.contains("--key") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn keys_are_not_shown() {
        let mut options = Options::new("http://gpu:8000");
        options.key = Some(Key::new(" s3cret\n").unwrap());
        let client = Client::new(options).unwrap();
        assert!(!format!("{client:?}").contains("s3cret"));
        for wrong in ["", " ", "a\nb", "schlüssel", "a b"] {
            assert!(Key::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_of_authorities_holds_one() {
        let client = |ca: &[u8]| {
            let mut options = Options::new("https://gpu");
            options.ca = Some(ca.to_vec());
            Client::new(options).map(|_| ()).unwrap_err().to_string()
        };
        assert!(client(b"").contains("holds no certificate"));
        assert!(client(b"not a PEM file").contains("holds no certificate"));
        assert!(client(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").contains("--ca"));
    }
}
